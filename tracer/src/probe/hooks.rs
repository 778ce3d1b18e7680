//! Every hook: one line each. A program is named as the tracepoint that it hooks, or as the function.

/// Whether zc-trace can do without it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// Without it nothing can be traced.
    Required,
    /// Without it a number is `unknown`, or less well known; the rest goes on.
    Optional,
}

/// Where in the kernel a program hooks in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// A tracepoint.
    Tracepoint,
    /// Where a function returns (fexit), under the first of these names that the kernel has. Only in the typed form.
    Return(&'static [&'static str]),
}

/// One hook.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// The program's name: that of the tracepoint, or of the function.
    pub name: &'static str,
    /// Where it hooks in.
    pub place: Place,
    /// Whether it is needed.
    pub need: Need,
    /// What it gives.
    pub gives: &'static str,
    /// Whether it counts by the call that its thread is inside of, which is not known unless entries of calls are hooked.
    pub needs_entries: bool,
}

impl Hook {
    const fn inside_calls(self) -> Self {
        Self { needs_entries: true, ..self }
    }
}

const fn required(name: &'static str, gives: &'static str) -> Hook {
    Hook { name, place: Place::Tracepoint, need: Need::Required, gives, needs_entries: false }
}

const fn optional(name: &'static str, gives: &'static str) -> Hook {
    Hook { name, place: Place::Tracepoint, need: Need::Optional, gives, needs_entries: false }
}

const fn returns(name: &'static str, functions: &'static [&'static str], gives: &'static str) -> Hook {
    Hook { name, place: Place::Return(functions), need: Need::Optional, gives, needs_entries: true }
}

/// What hooks on the functions give that run requests of io_uring.
pub const REQUEST_COPIES: &str = "which request of io_uring a copy was made for";

/// In the order in which they are attached: births first, so that no thread slips through; calls last.
pub const HOOKS: &[Hook] = &[
    required("sched_process_fork", "threads and children from their birth"),
    optional("task_newtask", "the kernel's own threads for io_uring"),
    required("sched_process_exec", "new programs"),
    required("sched_process_exit", "calls cut off by the end of a thread"),
    required("sched_switch", "context switches, time blocked and preempted"),
    optional("page_fault_user", "transitions by exception"),
    optional("page_fault_kernel", "page faults inside calls by what they were on").inside_calls(),
    optional("irq_handler_entry", "transitions by device interrupts"),
    optional("local_timer_entry", "transitions by the timer's interrupt"),
    optional("reschedule_entry", "transitions by interrupts from other CPUs"),
    optional("call_function_entry", "transitions by interrupts from other CPUs"),
    optional("call_function_single_entry", "transitions by interrupts from other CPUs"),
    optional("block_bio_queue", "DMA of block devices, also late").inside_calls(),
    optional("net_dev_start_xmit", "DMA of network cards: packets sent"),
    optional("net_dev_xmit", "packets that a network card refused"),
    optional("swiotlb_bounced", "DMA through bounce buffers"),
    optional(URING_COMPLETE, "requests of io_uring, as operations"),
    optional("io_uring_submit_req", "when and by whom a request was submitted (since Linux 6.5)"),
    optional("io_uring_submit_sqe", "when and by whom a request was submitted (before)"),
    optional("io_uring_queue_async_work", "requests run by workers of the kernel"),
    optional("io_uring_cqe_overflow", "requests whose completion found no room"),
    optional("skb_copy_datagram_iovec", "copies from sockets").inside_calls(),
    returns("filemap_read", &["filemap_read"], "copies from the page cache"),
    returns("shmem_file_read_iter", &["shmem_file_read_iter"], "copies from tmpfs"),
    returns("generic_perform_write", &["generic_perform_write"], "copies into the page cache"),
    returns("iomap_file_buffered_write", &["iomap_file_buffered_write"], "copies into the page cache of XFS"),
    // Before the function that they tell of.
    returns("skb_zerocopy_iter_stream", &["skb_zerocopy_iter_stream"], "MSG_ZEROCOPY: what was not copied"),
    // Up to Linux 6.4 pages go to TCP by another way, which copies nothing.
    returns("skb_splice_from_iter", &["skb_splice_from_iter"], "sendfile to TCP: what was not copied"),
    returns("tcp_sendmsg_locked", &["tcp_sendmsg_locked"], "copies into TCP sockets"),
    returns("ip_generic_getfrag", &["ip_generic_getfrag"], "copies into UDP sockets"),
    returns("skb_copy_datagram_from_iter", &["skb_copy_datagram_from_iter"], "copies into unix sockets"),
    returns("pipe_read", &["anon_pipe_read", "pipe_read"], "copies from pipes"),
    returns("pipe_write", &["anon_pipe_write", "pipe_write"], "copies into pipes"),
    // Up to Linux 6.4 there is another, generic_file_splice_read, which copies nothing.
    returns("copy_splice_read", &["copy_splice_read"], "splices that copy after all"),
    returns("io_read", &["io_read"], REQUEST_COPIES),
    returns("io_write", &["io_write"], REQUEST_COPIES),
    returns("io_read_mshot", &["io_read_mshot"], REQUEST_COPIES),
    returns("io_send", &["io_send"], REQUEST_COPIES),
    returns("io_sendmsg", &["io_sendmsg"], REQUEST_COPIES),
    returns("io_send_zc", &["io_send_zc"], REQUEST_COPIES),
    returns("io_sendmsg_zc", &["io_sendmsg_zc"], REQUEST_COPIES),
    returns("io_recv", &["io_recv"], REQUEST_COPIES),
    returns("io_recvmsg", &["io_recvmsg"], REQUEST_COPIES),
    returns("io_splice", &["io_splice"], REQUEST_COPIES),
    required("sys_exit", "operations, counts and bytes by call"),
    required("sys_enter", "durations, and calls in flight").inside_calls(),
];

/// The task iterator that attaches to threads that already run: in the typed form.
pub const ATTACH_THREADS: &str = "attach_threads";

/// Looks at the daemon itself by the structure offsets, to see whether they fit: in the raw form.
pub const CHECK_OFFSETS: &str = "check_offsets";

/// Completions of io_uring: without them none of its requests is traced.
pub const URING_COMPLETE: &str = "io_uring_complete";

/// Hooks that stand in for each other: what the kernel lacks of a pair is not needed.
pub const PAIRS: &[(&str, &str)] = &[("io_uring_submit_sqe", "io_uring_submit_req")];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_floor_has_the_same_tracepoints() {
        let source = include_str!("../../../tracer-ebpf/src/floor.rs");
        let list =
            source.split_once("\nempty! {").and_then(|(_, rest)| rest.split_once('}')).map(|(list, _)| list);
        let floor: BTreeSet<&str> = list.unwrap_or_default().split_whitespace().collect();
        let hooks = HOOKS.iter().filter(|hook| hook.place == Place::Tracepoint).map(|hook| hook.name);
        assert_eq!(floor, hooks.collect());
    }
}
