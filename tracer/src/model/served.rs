//! What is remembered of an operation once it is booked: enough to show it beside the transfers that it served.

use super::{
    event::{CallName, Operation, Tid},
    flow::Stats,
};

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) name: CallName,
    pub(crate) tid: Tid,
    /// Monotonic time of its end, ns.
    pub(crate) end_ns: u64,
    /// Wall time, of a request from submission to completion, ns; `None` if its beginning was not seen.
    pub(crate) duration_ns: Option<u64>,
    /// Bytes that it moved.
    pub(crate) bytes: u64,
    /// Of that, blocked, and preempted, ns; `None` likewise, and of requests.
    pub(crate) blocked_ns: Option<u64>,
    pub(crate) preempted_ns: Option<u64>,
    pub(crate) transitions: u64,
}

impl Served {
    /// What is remembered of an operation that cost so much.
    pub(crate) fn of(operation: &Operation, stats: &Stats) -> Self {
        let call = &operation.call;
        Self {
            name: call.name,
            tid: call.tid,
            end_ns: call.end_ns,
            duration_ns: call.duration_ns,
            bytes: operation.bytes,
            blocked_ns: call.inside.map(|inside| inside.blocked_ns),
            preempted_ns: call.inside.map(|inside| inside.preempted_ns),
            transitions: stats.transitions,
        }
    }

    /// Monotonic time of its beginning, ns.
    pub(crate) fn start_ns(&self) -> Option<u64> {
        self.duration_ns.map(|duration| self.end_ns.saturating_sub(duration))
    }
}
