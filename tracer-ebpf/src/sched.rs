//! The life of threads, and who is on the CPU.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_log_ebpf::debug;
use tracer_common::{
    record::RecordKind,
    slot::{ThreadSlot, state},
};

use crate::{
    calls,
    form::{self, Context, hook},
    kernel::{Task, config},
    maps::CONTROL,
    runs,
    threads::{self, slot_of},
};

/// include/linux/sched.h: the task has exited and will never run again.
pub const TASK_DEAD: u64 = 0x80;

#[hook]
pub fn sched_switch(ctx: Context) -> i32 {
    let (previous, next) = (Task(ctx.arg(1)), Task(ctx.arg(2)));
    if let Some(slot) = slot_of(previous) {
        let state =
            if config!(sched_switch_arity) >= 4 { previous_state(&ctx) } else { previous.state() as u64 };
        switched_out(previous, slot, state);
    }
    threads::look_again();
    if let Some(slot) = slot_of(next) {
        switched_in(next, slot);
    }
    0
}

/// The fourth argument exists since Linux 5.18 (commit fa2c3254d7cf): the state as the scheduler saw it. Before, the
/// task's own field still held it.
#[inline(always)]
fn previous_state(ctx: &Context) -> u64 {
    ctx.arg(3)
}

#[inline(always)]
fn switched_out(task: Task, slot: &mut ThreadSlot, previous_state: u64) {
    // SAFETY: time has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    threads::activate(task, slot);
    let voluntary = slot.latest.voluntary;
    task.switches_and_faults(&mut slot.latest);
    slot.off_cpu_since_ns = now;
    slot.off_cpu_blocked = (slot.latest.voluntary != voluntary && previous_state != 0) as u32;
    if slot.off_cpu_blocked != 0 || previous_state & TASK_DEAD != 0 {
        runs::blocks(slot);
    }
    if previous_state & TASK_DEAD != 0 {
        task.io(&mut slot.latest);
        slot.state |= state::DEAD;
        let number = form::find(task).unwrap_or(0);
        threads::tell(RecordKind::THREAD_END, task, slot, slot.tgid, number.wrapping_sub(1));
        form::forget(task);
    }
}

#[inline(always)]
fn switched_in(task: Task, slot: &mut ThreadSlot) {
    threads::activate(task, slot);
    if slot.off_cpu_since_ns == 0 {
        return;
    }
    // SAFETY: time has no preconditions.
    let away = unsafe { bpf_ktime_get_ns() }.wrapping_sub(slot.off_cpu_since_ns);
    slot.off_cpu_since_ns = 0;
    if slot.off_cpu_blocked != 0 {
        slot.blocked_ns += away;
        slot.call_blocked_ns += away;
        runs::was_blocked(slot, away);
    } else {
        slot.preempted_ns += away;
        slot.call_preempted_ns += away;
        runs::was_preempted(slot, away);
    }
}

#[hook]
pub fn sched_process_fork(ctx: Context) -> i32 {
    let (parent, child) = (Task(ctx.arg(0)), Task(ctx.arg(1)));
    let (parent_tgid, child_tgid) = (parent.tgid(), child.tgid());
    if config!(debug) != 0 {
        debug!(&ctx, "fork: {} makes {} ({})", parent_tgid, child_tgid, child.tid());
    }
    let thread = parent_tgid == child_tgid;
    if let Some(slot) = slot_of(parent) {
        if thread || config!(follow) != 0 {
            let before_exec = slot.state & state::BEFORE_EXEC;
            let shares = parent.files() == child.files();
            threads::begin(child, state::NEWBORN | before_exec, parent_tgid, shares);
        }
    } else if !thread && spawner() == parent_tgid && parent_tgid != 0 {
        threads::begin(child, state::NEWBORN | state::BEFORE_EXEC, parent_tgid, false);
    }
    0
}

#[inline(always)]
fn spawner() -> u32 {
    CONTROL.get(0).map_or(0, |control| control.spawner_tgid)
}

#[hook]
pub fn sched_process_exec(ctx: Context) -> i32 {
    let task = Task(ctx.arg(0));
    let old_tid: u32 = ctx.arg(1);
    let Some(slot) = slot_of(task) else { return 0 };
    if slot.state & state::BEFORE_EXEC != 0 {
        // From here on its calls are the command's, beginning with this execve, whose entry was not counted.
        slot.state &= !state::BEFORE_EXEC;
        // Where entries are not hooked, its return stands for both.
        slot.syscall_transitions += !calls::is_entry_too() as u64;
    }
    if config!(debug) != 0 {
        debug!(&ctx, "exec: {} (thread {} before), state {}", task.tgid(), old_tid, slot.state);
    }
    // A thread that executes takes over its leader's id (fs/exec.c, de_thread).
    slot.tid = task.tid();
    task.comm(&mut slot.comm);
    let number = form::find(task).unwrap_or(0);
    threads::tell(RecordKind::EXEC, task, slot, old_tid, number.wrapping_sub(1));
    0
}

#[hook]
pub fn sched_process_exit(ctx: Context) -> i32 {
    let task = Task(ctx.arg(0));
    if let Some(slot) = slot_of(task) {
        if config!(debug) != 0 {
            debug!(
                &ctx,
                "exit: {} of {}, after {} calls, state {}", slot.tid, slot.tgid, slot.calls, slot.state
            );
        }
        calls::cut_off(task, slot);
        slot.state = (slot.state | state::EXITING) & !state::IN_CALL;
    }
    0
}
