//! `zc-trace demo`: the built-in workload, each method under trace.

use crate::cli::{DemoArgs, WorkloadArgs};

/// Runs the demonstration and prints what it found. Returns the exit code.
///
/// # Errors
/// What could not be done, in one sentence with a hint.
pub fn run(_args: &DemoArgs) -> anyhow::Result<u8> {
    anyhow::bail!("not yet")
}

/// The workload itself, in a process of its own.
///
/// # Errors
/// What the workload could not do.
pub fn run_workload(_args: &WorkloadArgs) -> anyhow::Result<u8> {
    anyhow::bail!("not yet")
}
