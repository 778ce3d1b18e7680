//! Whether structure offsets fit the running kernel: without types of its own nothing else would notice a BTF file of
//! another kernel, and every number would be garbage. User space hooks this for a moment before anything is traced.

use aya_ebpf::{
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid},
    macros::{map, raw_tracepoint},
    maps::Array,
    programs::RawTracePointContext,
};
use tracer_common::offsets::Check;

use crate::kernel::{Task, config, offset, probe};

/// What was found.
#[map]
static CHECK: Array<Check> = Array::with_max_entries(1, 0);

/// At a system call of the daemon itself: compares what the kernel says of the task with what the offsets lead to, and
/// notes where in the task's stack its saved registers are, which a system call's hook is given.
#[raw_tracepoint]
pub fn check_offsets(ctx: RawTracePointContext) -> i32 {
    let ids = bpf_get_current_pid_tgid();
    if (ids >> 32) as u32 != config!(own_tgid) {
        return 0;
    }
    let Some(check) = CHECK.get_ptr_mut(0) else { return 0 };
    // SAFETY: only the daemon's thread gets here.
    let check = unsafe { &mut *check };
    let task = Task::current();
    let mut comm = [0; 16];
    task.comm(&mut comm);
    let same_name = bpf_get_current_comm().is_ok_and(|name| name == comm);
    check.fits = (task.tgid() == (ids >> 32) as u32 && task.tid() == ids as u32 && same_name) as u32;
    let stack: u64 = probe(task.0 as u64, offset!(task_stack));
    check.registers_at = ctx.arg::<u64>(0).wrapping_sub(stack);
    check.ran = 1;
    0
}
