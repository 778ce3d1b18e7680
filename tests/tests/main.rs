//! All scenarios, in one binary. They run one at a time, each within a time limit.
//!
//! zc-trace is `$ZC_TRACE`, or the newest of `target/{debug,release}/zc-trace`. What cannot run here says so on standard
//! error, as `skipped: NAME: reason`.

/// The path of a workload of this package.
macro_rules! workload {
    ($name:literal) => {
        env!(concat!("CARGO_BIN_EXE_", $name))
    };
}

mod aio;
mod bad_input;
mod compat;
mod copies;
mod dashboard;
mod descriptors;
mod dma;
mod endpoints;
mod evidence;
mod findings;
mod fio;
mod from_the_start;
mod kernel_accounts;
mod midway;
mod nic;
mod outputs;
mod overload;
mod own_commands;
mod programs;
mod raw_form;
mod referees;
mod scale;
mod servers;
mod shapes;
mod storms;
mod surroundings;
mod unseen;
mod uring;
mod zerocopy;
