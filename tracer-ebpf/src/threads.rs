//! Slots of traced threads: finding, making, ending.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{
    record::{RecordKind, ThreadRecord},
    slot::{Accounts, ThreadSlot, state},
};

use crate::{
    emit, form,
    kernel::Task,
    maps::{CONTROL, FREE_SLOTS, ON_CPU, SLOTS, lost},
};

/// The slot of a task, if it is traced. When tracing has ended it is not any more: all hooks stop at one moment, though
/// they are detached one after the other.
#[inline(always)]
pub fn slot_of(task: Task) -> Option<&'static mut ThreadSlot> {
    let slot = slot_at_any_time(task)?;
    if has_ended() { None } else { Some(slot) }
}

/// Likewise of the task on this CPU, which entered the kernel with its user registers at that place. The last one looked
/// at is known without calling any helper, so that one that is not traced pays a comparison.
///
/// The place is in the task's kernel stack, so it tells tasks apart that live; the scheduler's hook ends what is known,
/// because a stack is used again after its task. (The place is compared all the same: some kernels keep the switches of
/// certain tasks to themselves.)
#[inline(always)]
pub fn current_slot(registers: u64) -> Option<&'static mut ThreadSlot> {
    let control = CONTROL.get(0)?;
    let on_cpu = ON_CPU.get_ptr_mut(0)?;
    // SAFETY: this CPU's own entry.
    let on_cpu = unsafe { &mut *on_cpu };
    if on_cpu.registers != registers || on_cpu.attachments != control.attachments {
        on_cpu.registers = registers;
        on_cpu.attachments = control.attachments;
        on_cpu.slot = number_of(Task::current()).unwrap_or(0);
    }
    if on_cpu.slot == 0 || control.stopped != 0 {
        return None;
    }
    slot_numbered(on_cpu.slot)
}

/// Another task is on this CPU, or it has been given a slot: the next call looks whether it is traced.
#[inline(always)]
pub fn look_again() {
    if let Some(on_cpu) = ON_CPU.get_ptr_mut(0) {
        // SAFETY: this CPU's own entry.
        unsafe { (*on_cpu).registers = 0 };
    }
}

/// Whether user space has ended the trace.
#[inline(always)]
pub fn has_ended() -> bool {
    CONTROL.get(0).is_some_and(|control| control.stopped != 0)
}

/// The slot of a task, if it has one.
#[inline(always)]
pub fn slot_at_any_time(task: Task) -> Option<&'static mut ThreadSlot> {
    slot_numbered(number_of(task)?)
}

/// The number of a task's slot plus one.
#[inline(always)]
pub fn number_of(task: Task) -> Option<u32> {
    form::find(task).or_else(|| form::attach(task))
}

/// The slot by that number.
#[inline(always)]
pub fn slot_numbered(number: u32) -> Option<&'static mut ThreadSlot> {
    let slot = SLOTS.get_ptr_mut(number.wrapping_sub(1))?;
    // SAFETY: an array entry; only hooks that run for this thread write to it.
    Some(unsafe { &mut *slot })
}

/// What became of giving a task a slot.
#[derive(Clone, Copy, PartialEq)]
pub enum Claim {
    /// It is the task's.
    Made,
    /// The task has another: a thread that is born while others are attached is met by both hooks, on two CPUs.
    Taken,
    /// There is no memory for the entry.
    NoRoom,
}

/// Begins the counting of a thread that was attached, by its first hook: until now it may have moved on unseen.
#[inline(always)]
pub fn activate(task: Task, slot: &mut ThreadSlot) {
    if slot.state & state::PENDING != 0 {
        slot.state &= !state::PENDING;
        task.accounts(&mut slot.baseline);
        slot.latest = slot.baseline;
        slot.at_enter = slot.baseline;
        look_again();
    }
}

/// Gives a task a slot in a `state` and tells user space. Counts a loss if there is none free. The accounts of a new
/// task begin at zero (kernel/fork.c, `copy_process`), so its baseline does.
#[inline(always)]
pub fn begin(task: Task, kind: u32, parent: u32, shares_descriptors: bool) {
    let Ok(Some(number)) = FREE_SLOTS.pop() else {
        lost(|losses| losses.untraced_threads += 1);
        return;
    };
    let Some(slot) = SLOTS.get_ptr_mut(number) else { return };
    // SAFETY: the slot was free, so nobody else uses it.
    let slot = unsafe { &mut *slot };
    clear(slot);
    slot.tgid = task.tgid();
    slot.tid = task.tid();
    slot.start_ns = task.start_ns();
    task.comm(&mut slot.comm);
    slot.state = state::LIVE | kind;
    let claim = form::set(task, number + 1);
    if claim != Claim::Made {
        slot.state = 0;
        let _ = FREE_SLOTS.push(number, 0);
        lost(|losses| losses.untraced_threads += (claim == Claim::NoRoom) as u64);
        return;
    }
    tell_with(RecordKind::THREAD_START, task, slot, parent, number, shares_descriptors);
}

/// Fields one by one: a whole default value would be built on the stack, which has no room for it.
#[inline(always)]
fn clear(slot: &mut ThreadSlot) {
    slot.call = 0;
    slot.call_start_ns = 0;
    slot.source = 0;
    slot.sink = 0;
    clear_accounts(&mut slot.at_enter);
    clear_accounts(&mut slot.baseline);
    clear_accounts(&mut slot.latest);
    slot.off_cpu_since_ns = 0;
    slot.off_cpu_blocked = 0;
    slot.call_interrupts = 0;
    slot.call_blocked_ns = 0;
    slot.call_preempted_ns = 0;
    slot.syscall_transitions = 0;
    slot.user_faults = 0;
    slot.user_interrupts = 0;
    slot.kernel_interrupts = 0;
    slot.calls = 0;
    slot.blocked_ns = 0;
    slot.preempted_ns = 0;
    slot.exec_read_chars = 0;
    slot.exec_read_calls = 0;
    slot.fault_registers = [0; 3];
    slot.met_source.file = 0;
    slot.met_sink.file = 0;
    slot.unclaimed_transitions = 0;
    slot.pace.calls = 0;
    slot.pace.storm = 0;
    slot.pace.run = 0;
    slot.pace.untold = 0;
    slot.pace.user_faults = 0;
    for run in &mut slot.runs {
        run.call = 0;
        run.calls = 0;
    }
}

#[inline(always)]
fn clear_accounts(accounts: &mut Accounts) {
    *accounts = Accounts {
        voluntary: 0,
        involuntary: 0,
        minor_faults: 0,
        major_faults: 0,
        read_chars: 0,
        written_chars: 0,
        read_calls: 0,
        write_calls: 0,
        storage_read_bytes: 0,
        storage_written_bytes: 0,
    };
}

/// Emits a thread record.
#[inline(always)]
pub fn tell(kind: RecordKind, task: Task, slot: &ThreadSlot, parent: u32, number: u32) {
    tell_with(kind, task, slot, parent, number, false);
}

#[inline(always)]
fn tell_with(
    kind: RecordKind,
    task: Task,
    slot: &ThreadSlot,
    parent: u32,
    number: u32,
    shares_descriptors: bool,
) {
    let Some(mut record) = emit::reserve::<ThreadRecord>() else {
        lost(|losses| losses.lost_events += 1);
        return;
    };
    // SAFETY: time has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let body = emit::body(&mut record);
    emit::header(&mut body.header, kind, slot, now);
    body.parent = parent;
    body.slot = number;
    body.exit_code = task.exit_code();
    body.shares_descriptors = shares_descriptors as u32;
    body.start_ns = slot.start_ns;
    body.comm = slot.comm;
    emit::submit(record, now);
}
