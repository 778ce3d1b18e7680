//! Finished transfers, one by one, for whoever streams them.

use super::{
    endpoints::Endpoints,
    event::Call,
    flow::{FlowKey, Tally},
    snapshot::Transfer,
};

/// Transfers that have not been taken yet.
#[derive(Debug)]
pub(crate) struct Finished {
    transfers: Vec<Transfer>,
    most: usize,
    dropped: u64,
}

impl Finished {
    /// Keeps at most `most`; 0 keeps none.
    pub(crate) fn new(most: usize) -> Self {
        Self { transfers: Vec::new(), most, dropped: 0 }
    }

    /// A transfer finished by `call`. Nothing is made of it unless someone wants it: it costs strings.
    pub(crate) fn push(&mut self, call: &Call, key: FlowKey, tally: &Tally, endpoints: &Endpoints) {
        if self.most == 0 || tally.payload == 0 {
            return;
        }
        if self.transfers.len() >= self.most {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.transfers.push(shown([call.pid, call.tid], call.end_ns, key, tally, endpoints));
    }

    /// Keeps at most `most` from now on.
    pub(crate) fn keep(&mut self, most: usize) {
        self.most = most;
    }

    /// Hands them out.
    pub(crate) fn take(&mut self) -> Vec<Transfer> {
        std::mem::take(&mut self.transfers)
    }

    /// How many found no room so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// How people see a transfer of process and thread `ids` that finished at `time_ns`.
pub(super) fn shown(
    ids: [u32; 2],
    time_ns: u64,
    key: FlowKey,
    tally: &Tally,
    endpoints: &Endpoints,
) -> Transfer {
    let [pid, tid] = ids;
    Transfer {
        pid,
        tid,
        time_ns,
        source: endpoints.end(key.source),
        sink: endpoints.end(key.sink),
        method: key.method.name().to_owned(),
        payload_bytes: tally.payload_bytes(),
        cpu_copied_bytes: tally.by_cpu().bytes,
        dma_bytes: tally.by_dma().bytes,
        transitions: tally.stats.transitions,
        time_in_calls_ns: (tally.stats.unseen == 0).then_some(tally.stats.time_ns),
        copies: tally.copies(false),
    }
}
