//! Attaching to threads that already run: a task iterator that user space reads once or twice.

use core::ffi::c_void;

use tracer_common::slot::{ThreadSlot, state};

use crate::{arch::Registers, calls, kernel::Task, maps::TARGETS, sched, threads};

/// `struct bpf_iter__task` (kernel/bpf/task_iter.c).
#[repr(C)]
pub struct TaskIteration {
    meta: *const c_void,
    task: *const u8,
}

/// Gives every thread of the target processes a slot, with the accounts as they stand now. When tracing has stopped,
/// takes switches and faults of traced threads a last time instead: those that ran on without a call have moved on.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub extern "C" fn attach_threads(context: *const TaskIteration) -> i32 {
    // SAFETY: the kernel passes this structure; the verifier knows its members' types.
    let task = Task(unsafe { (*context).task });
    if task.0.is_null() {
        return 0;
    }
    if let Some(slot) = threads::slot_at_any_time(task) {
        if threads::has_ended() {
            last_look(task, slot);
        }
        return 0;
    }
    let tgid = task.tgid();
    // SAFETY: only tells whether there is one.
    if unsafe { TARGETS.get(tgid) }.is_none() || is_dead(task) {
        return 0;
    }
    threads::begin(task, state::ATTACHED | state::MAYBE_IN_CALL | state::PENDING, tgid, false);
    0
}

/// A leader that has ended while its threads live on: no hook would ever fire for it again (include/linux/sched.h,
/// `TASK_DEAD`).
#[inline(always)]
fn is_dead(task: Task) -> bool {
    task.state() as u64 & sched::TASK_DEAD != 0
}

#[inline(always)]
fn last_look(task: Task, slot: &mut ThreadSlot) {
    if slot.state & state::DEAD != 0 {
        return;
    }
    if slot.state & state::PENDING == 0 {
        task.switches_and_faults(&mut slot.latest);
    }
    // Sleeping, interruptibly or not (include/linux/sched.h); a task that a signal has stopped is on its way out of a call.
    let asleep = task.state() & 0x3 != 0;
    if slot.state & state::MAYBE_IN_CALL != 0 && asleep {
        // Blocked since before tracing began, so inside a call: the registers it entered with still tell which.
        let number = Registers::of(task).call_number();
        if number >= 0 {
            slot.call = calls::table_index(task, number);
            slot.call_start_ns = 0;
            slot.state |= state::IN_CALL;
        }
    }
}
