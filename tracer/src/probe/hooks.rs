//! Every hook: one line each. A program is named as the tracepoint that it hooks.

/// Whether zc-trace can do without it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// Without it nothing can be traced.
    Required,
    /// Without it a number is `unknown`, the rest goes on.
    Optional,
}

/// One hook.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// The typed tracepoint, and the program's name.
    pub name: &'static str,
    /// Whether it is needed.
    pub need: Need,
    /// What it gives.
    pub gives: &'static str,
}

const fn required(name: &'static str, gives: &'static str) -> Hook {
    Hook { name, need: Need::Required, gives }
}

const fn optional(name: &'static str, gives: &'static str) -> Hook {
    Hook { name, need: Need::Optional, gives }
}

/// In the order in which they are attached: births first, so that no thread slips through; calls last.
pub const HOOKS: &[Hook] = &[
    required("sched_process_fork", "threads and children from their birth"),
    required("sched_process_exec", "new programs"),
    required("sched_process_exit", "calls cut off by the end of a thread"),
    required("sched_switch", "context switches, time blocked and preempted"),
    optional("page_fault_user", "transitions by exception"),
    optional("irq_handler_entry", "transitions by device interrupts"),
    optional("local_timer_entry", "transitions by the timer's interrupt"),
    optional("reschedule_entry", "transitions by interrupts from other CPUs"),
    optional("call_function_entry", "transitions by interrupts from other CPUs"),
    optional("call_function_single_entry", "transitions by interrupts from other CPUs"),
    optional("block_bio_queue", "DMA of block devices, also late"),
    optional("net_dev_start_xmit", "DMA of network cards: packets sent"),
    optional("net_dev_xmit", "packets that a network card refused"),
    required("sys_exit", "operations, counts and bytes by call"),
    required("sys_enter", "durations, and calls in flight"),
];

/// The task iterator that attaches to threads that already run: in the typed form.
pub const ATTACH_THREADS: &str = "attach_threads";

/// Looks at the daemon itself by the structure offsets, to see whether they fit: in the raw form.
pub const CHECK_OFFSETS: &str = "check_offsets";
