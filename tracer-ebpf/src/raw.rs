//! The same programs for kernels without types of their own (see `main.rs`): only `form` differs.
#![no_std]
#![no_main]

mod aio;
mod arch;
mod block;
mod bounce;
mod calls;
mod compat;
mod copies;
mod emit;
mod faults;
#[path = "form/raw.rs"]
mod form;
mod identity;
mod interrupts;
mod kernel;
mod maps;
mod network;
mod object;
mod path;
mod payload;
mod requests;
mod runs;
mod sched;
mod spill;
mod threads;
mod uring;
mod zerocopy;
