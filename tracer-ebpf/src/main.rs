//! The kernel programs of zc-trace: hooks that keep one slot per traced thread and emit one record per finished call.
//!
//! Every hook filters first: a task without a slot costs one look-up in its own task storage. No policy, no strings
//! and no classification that user space could do live here. Structure offsets come from [`kernel::offsets`].
#![no_std]
#![no_main]

mod arch;
mod attach;
mod calls;
mod emit;
mod faults;
mod identity;
mod interrupts;
mod kernel;
mod maps;
mod path;
mod payload;
mod sched;
mod task_storage;
mod threads;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // A panic path that survived optimisation would be refused by the verifier; none may.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
