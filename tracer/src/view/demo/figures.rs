//! What the sending of the file cost: the flows that touch the file or the connection, without the start of the program
//! (the loader reads libraries too).

use crate::{
    export::document::DemoRun,
    model::{
        endpoint::EndpointKind,
        evidence::Evidence,
        snapshot::{Flow, FlowEnd, Mover},
    },
};

/// Sums over those flows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    /// Size of the file, bytes.
    pub(super) payload_bytes: u64,
    /// Mode switches by their system calls.
    pub(super) transitions: u64,
    /// Bytes copied by the CPU, if all are known.
    pub(super) cpu_copied_bytes: Option<u64>,
    /// How that is known.
    pub(super) cpu_copied_evidence: Evidence,
    /// Bytes moved by DMA, if all are known.
    pub(super) dma_bytes: Option<u64>,
    /// How that is known.
    pub(super) dma_evidence: Evidence,
}

impl Figures {
    /// Those of the flow into the socket by that method and of the flows that share an end with it.
    pub(super) fn of(run: &DemoRun) -> Option<Self> {
        let snapshot = &run.document.snapshot;
        let sends =
            |flow: &&Flow| flow.sink.kind == EndpointKind::Socket && flow.method.ends_with(&run.method);
        let main = snapshot.flows.iter().filter(sends).max_by_key(|flow| flow.payload_bytes)?;
        let touches =
            |end: &FlowEnd| end.id.is_some() && (end.id == main.source.id || end.id == main.sink.id);
        let flows: Vec<&Flow> =
            snapshot.flows.iter().filter(|flow| touches(&flow.source) || touches(&flow.sink)).collect();
        let sum =
            |number: fn(&Flow) -> Option<u64>| flows.iter().map(|flow| number(flow)).sum::<Option<u64>>();
        let dma = flows.iter().flat_map(|flow| &flow.copies).filter(|copy| copy.mover == Some(Mover::Dma));
        Some(Self {
            payload_bytes: run.size_bytes,
            transitions: flows.iter().map(|flow| flow.transitions).sum(),
            cpu_copied_bytes: sum(|flow| flow.cpu_copied_bytes),
            cpu_copied_evidence: flows.iter().map(|flow| flow.evidence).max().unwrap_or_default(),
            dma_bytes: sum(|flow| flow.dma_bytes),
            dma_evidence: dma.map(|copy| copy.evidence).max().unwrap_or(Evidence::Derived),
        })
    }

    /// CPU-copied bytes ÷ payload bytes.
    pub(super) fn amplification(&self) -> Option<f64> {
        let copied = self.cpu_copied_bytes?;
        (self.payload_bytes > 0).then(|| copied as f64 / self.payload_bytes as f64)
    }
}
