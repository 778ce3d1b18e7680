//! The six steps of one classical transfer, drawn in three lanes (user, kernel, device), with what the trace measured.

use crate::{
    export::document::DemoRun,
    model::{
        endpoint::Place,
        evidence::Evidence,
        snapshot::{Copy, Flow, Mover},
    },
    view::{
        format::{bytes, known_duration, mark, marked_bytes, ratio, short_duration},
        layout::Page,
        style::Paint,
    },
};

const CLASSICAL: &str = "read+write";

/// Draws the anatomy, if the classical method was run.
pub(super) fn write(page: &mut Page, runs: &[DemoRun]) {
    let Some(run) = runs.iter().find(|run| run.method == CLASSICAL) else { return };
    let flows = &run.document.snapshot.flows;
    let flow = flows.iter().filter(|flow| flow.method == CLASSICAL).max_by_key(|flow| flow.payload_bytes);
    page.blank();
    page.wrapped(Paint::Heading, 2, "ANATOMY of one read+write transfer (averages over the whole run)");
    page.line(Paint::Heading, "    user                    kernel                      device");
    for step in steps(&Measured { run, flow }) {
        page.line(Paint::Plain, step.drawing);
        page.wrapped(Paint::Faint, 8, &format!("      {}", step.meaning));
    }
    if let Some(sum) = flow.and_then(in_sum) {
        page.wrapped(Paint::Plain, 4, &sum);
    }
}

/// What one transfer costs; `None` if there was none.
fn in_sum(flow: &Flow) -> Option<String> {
    let payload = flow.payload_bytes.checked_div(flow.transfers)?;
    let each = |amount: u64| amount as f64 / flow.transfers as f64;
    let copied = flow.cpu_copied_bytes.map(|copied| copied / flow.transfers);
    let switches = flow.context_switches;
    Some(format!(
        "=   per transfer of {}: {:.2} transitions, {} copied by the CPU, {} context switches, {} on the CPU",
        bytes(payload),
        each(flow.transitions),
        marked_bytes(copied, flow.evidence),
        ratio(switches.map(|switches| each(switches.voluntary.saturating_add(switches.involuntary)))),
        known_duration(flow.on_cpu_ns.map(|on_cpu| on_cpu / flow.transfers)),
    ))
}

/// One step: what it looks like and what it is.
struct Step {
    drawing: &'static str,
    meaning: String,
}

/// The lanes' edges stand in columns 13 and 49.
fn steps(measured: &Measured<'_>) -> [Step; 6] {
    let fetched = measured.dma(Place::Device, Place::PageCache);
    let sent = measured.dma(Place::Socket, Place::Device);
    let copied_out = measured.copied(Place::PageCache, Place::User);
    let copied_in = measured.copied(Place::User, Place::Socket);
    let (reading, writing) = (measured.each("read"), measured.each("write"));
    [
        Step {
            drawing: "1   read() ───┼─► enter                           │",
            meaning: "transition user→kernel: the call enters".to_owned(),
        },
        Step {
            drawing: "2             │   page cache ◄════════ DMA ═══════╪═ disk",
            meaning: format!("device→page cache, what is not cached yet: {fetched}"),
        },
        Step {
            drawing: "3   buffer ◄══╪══ page cache        CPU copy      │",
            meaning: format!(
                "page cache→user: {copied_out}; transition kernel→user: read returns, {reading}"
            ),
        },
        Step {
            drawing: "4   write() ──┼─► enter                           │",
            meaning: "transition user→kernel: the call enters".to_owned(),
        },
        Step {
            drawing: "5   buffer ═══╪═► socket buffer     CPU copy      │",
            meaning: format!("user→socket: {copied_in}; transition kernel→user: write returns, {writing}"),
        },
        Step {
            drawing: "6             │   socket buffer ═════ DMA ════════╪═► network",
            meaning: format!("socket→device, later: {sent}"),
        },
    ]
}

/// Where the figures come from.
struct Measured<'run> {
    run: &'run DemoRun,
    flow: Option<&'run Flow>,
}

impl Measured<'_> {
    /// What the CPU copied on this way, per transfer.
    fn copied(&self, from: Place, to: Place) -> String {
        match self.sum(from, to, Mover::Cpu) {
            Some((bytes, evidence)) => format!("{} by the CPU", self.per_transfer(bytes, evidence)),
            None => "not known".to_owned(),
        }
    }

    /// What devices moved on this way, per transfer.
    fn dma(&self, from: Place, to: Place) -> String {
        match self.sum(from, to, Mover::Dma) {
            Some((Some(0), evidence)) => format!("nothing {}", mark(evidence)),
            Some((bytes, evidence)) => self.per_transfer(bytes, evidence),
            None if self.flow.is_some_and(|flow| !flow.copies.is_empty() && flow.dma_bytes.is_some()) => {
                "nothing".to_owned()
            }
            None => "not known".to_owned(),
        }
    }

    /// All bytes of one kind of copy with their evidence; `None` if the flow has no such copy.
    fn sum(&self, from: Place, to: Place, mover: Mover) -> Option<(Option<u64>, Evidence)> {
        let is_such = |copy: &&Copy| copy.from == from && copy.to == to && copy.mover == Some(mover);
        let mut such = self.flow?.copies.iter().filter(is_such).peekable();
        such.peek()?;
        Some(such.fold((Some(0), Evidence::default()), |(bytes, evidence), copy| {
            let sum = bytes.zip(copy.bytes).map(|(sum, bytes): (u64, u64)| sum.saturating_add(bytes));
            (sum, evidence.max(copy.evidence))
        }))
    }

    fn per_transfer(&self, all: Option<u64>, evidence: Evidence) -> String {
        let each = all.zip(self.flow).and_then(|(all, flow)| all.checked_div(flow.transfers));
        each.map_or_else(|| "not known".to_owned(), |each| format!("{} {}", bytes(each), mark(evidence)))
    }

    /// The average time inside a call.
    fn each(&self, name: &str) -> String {
        let call = self.run.document.snapshot.calls.iter().find(|call| call.name == name);
        let each = call.and_then(|call| call.time_ns?.checked_div(call.count));
        each.map_or_else(|| "time not known".to_owned(), |each| format!("{} inside", short_duration(each)))
    }
}
