//! The kernel programs of zc-trace: hooks that keep one slot per traced thread and emit one record per finished call.
//!
//! Every hook filters first: a task without a slot costs one look-up. No policy, no strings and no classification that
//! user space could do live here. Structure offsets come from [`kernel::OFFSETS`].
//!
//! The same modules make two objects: this one, typed by BTF, and `raw.rs`. All that differs is in `form`.
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
#[path = "form/typed.rs"]
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
