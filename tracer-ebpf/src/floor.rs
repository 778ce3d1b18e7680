//! Programs that do nothing, on the tracepoints that zc-trace hooks: what any tracer by these hooks costs at least.
//! `cargo xtask bench overhead` measures against them. Typed, as the better form of the real ones is.
#![no_std]
#![no_main]

mod object;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

macro_rules! empty {
    ($($tracepoint:ident)*) => {
        $(
            #[btf_tracepoint]
            pub fn $tracepoint(_: BtfTracePointContext) -> i32 {
                0
            }
        )*
    };
}

// As in `probe/hooks.rs`. One that the kernel does not have is left out when they are loaded.
empty! {
    sched_process_fork
    task_newtask
    sched_process_exec
    sched_process_exit
    sched_switch
    page_fault_user
    page_fault_kernel
    irq_handler_entry
    local_timer_entry
    reschedule_entry
    call_function_entry
    call_function_single_entry
    block_bio_queue
    net_dev_start_xmit
    net_dev_xmit
    swiotlb_bounced
    io_uring_complete
    io_uring_submit_req
    io_uring_submit_sqe
    io_uring_queue_async_work
    io_uring_cqe_overflow
    skb_copy_datagram_iovec
    sys_exit
    sys_enter
}
