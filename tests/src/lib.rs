//! Runs zc-trace as a user would and compares what it says with the kernel's own accounts.
//!
//! Three parts: the *harness* (scenario, process, gate, tracer, document, figures), the *referees* that know the truth without
//! zc-trace (accounts from `/proc`, a strace log) and what the *workloads* in `src/bin` share (call, compat, ktls, workload, zerocopy). A
//! workload performs its calls, checks each result, and prints on its last line what a tracer must have seen.

pub mod accounts;
pub mod bpf;
pub mod call;
pub mod comparison;
#[cfg(target_arch = "x86_64")]
pub mod compat;
pub mod document;
pub mod figures;
pub mod gate;
pub mod ktls;
pub mod namesake;
pub mod process;
pub mod scenario;
pub mod screen;
pub mod strace;
pub mod tracer;
pub mod types;
pub mod uring;
pub mod workload;
pub mod zerocopy;
