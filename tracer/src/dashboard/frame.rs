//! What the room of the model hands over: what is known at one moment, and nothing of how it looks.

use std::collections::HashMap;

use crate::look::Look;

/// The model at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// Since tracing began, ns.
    pub(crate) elapsed_ns: u64,
    /// What is known.
    pub(crate) look: Look,
    /// Payload of each flow that was listed a second ago already, bytes per second, by its number.
    pub(crate) flow_rates: HashMap<u64, u64>,
    /// What zc-trace itself costs.
    pub(crate) cost: Cost,
}

/// What zc-trace itself costs, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// CPU time of the daemon since it began, user and system, ns.
    pub(crate) cpu_ns: Option<u64>,
    /// Its resident memory, bytes.
    pub(crate) resident_bytes: Option<u64>,
    /// Time that the kernel programs ran, ns, and how often: where `kernel.bpf_stats_enabled` is on.
    pub(crate) programs: Option<ProgramCost>,
}

/// What the kernel accounts to the programs (kernel/bpf/syscall.c, `bpf_prog_get_stats`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ProgramCost {
    /// Time in all, ns.
    pub(crate) time_ns: u64,
    /// Runs in all.
    pub(crate) runs: u64,
}
