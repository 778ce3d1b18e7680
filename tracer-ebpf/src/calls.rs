//! System calls: what is noted at their entry and told at their return.
//!
//! Both ends are hooked, unless nothing is to be timed. The return alone does for counts and bytes (all six arguments
//! still stand in the saved registers), but not for durations, for what happened inside the call, for what is in flight when tracing ends, nor
//! for a descriptor that another thread closes meanwhile. docs/architecture.md has the measurements.

use core::ptr;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{
    call::{CallClass, CallShape, NONE, accounted},
    counted::Counted,
    limits::{CALL_OTHER, COMPAT_BASE, IOVECS},
    offsets::{detail, latency},
    record::{CallRecord, DescriptorRecord, OperationRecord, RecordKind, VectorRecord, ZerocopyIds, flag},
    slot::{CallCounters, SpillKey, ThreadSlot, state},
};

use crate::{
    aio,
    arch::{self, Registers},
    compat, emit,
    form::{Context, hook},
    identity,
    kernel::{Task, config},
    maps::{CALL_COUNTERS, SHAPES, lost},
    payload, runs, spill, threads, zerocopy,
};

/// Largest errno (include/linux/err.h, `MAX_ERRNO`).
const MAX_ERRNO: i64 = 4095;

#[hook]
pub fn sys_enter(ctx: Context) -> i32 {
    let registers = Registers(ctx.arg(0));
    if let Some(slot) = threads::current_slot(registers.0 as u64) {
        let task = Task::current();
        if !runs::enter(task, slot, registers, ctx.arg(1)) {
            enter(task, slot, registers, ctx.arg(1));
        }
    }
    0
}

#[hook]
pub fn sys_exit(ctx: Context) -> i32 {
    let registers = Registers(ctx.arg(0));
    if let Some(slot) = threads::current_slot(registers.0 as u64) {
        let task = Task::current();
        if slot.pace.run != 0 || is_entry_too() && runs::enter(task, slot, registers, registers.call_number())
        {
            runs::leave(task, slot, ctx.arg(1));
        } else {
            leave(task, slot, registers, ctx.arg(1));
        }
    }
    0
}

/// Whether the returns of calls stand for their entries too, which are not hooked.
#[inline(always)]
pub fn is_entry_too() -> bool {
    config!(latency) == latency::NONE
}

#[inline(always)]
pub fn shape_of(call: u32) -> CallShape {
    SHAPES.get(call).copied().unwrap_or(CallShape::COUNTED)
}

/// The place of a call in the tables; 32-bit calls have numbers of their own.
#[inline(always)]
pub fn table_index(task: Task, number: i64) -> u32 {
    let within = number >= 0 && number < COMPAT_BASE as i64;
    match (within, arch::compat(task)) {
        (true, false) => number as u32,
        (true, true) => COMPAT_BASE + number as u32,
        // It has put the registers of the interrupted program in the place of its own, with no number.
        (false, false) if number == -1 => arch::RT_SIGRETURN,
        (false, _) => CALL_OTHER,
    }
}

/// Whether the thread's call came through the 32-bit ABI.
#[inline(always)]
pub fn is_compat(slot: &ThreadSlot) -> bool {
    slot.call >= COMPAT_BASE && slot.call != CALL_OTHER
}

#[inline(always)]
fn argument(slot: &ThreadSlot, index: u8) -> u64 {
    // The mask bounds what the verifier cannot know; the table never holds more than 5.
    slot.args[(index & 7) as usize]
}

#[inline(always)]
fn enter(task: Task, slot: &mut ThreadSlot, registers: Registers, number: i64) {
    threads::activate(task, slot);
    note_call(task, slot, registers, number);
    if slot.state & state::BEFORE_EXEC == 0 {
        zerocopy::note(task, slot, shape_of(slot.call));
    }
    task.accounts(&mut slot.at_enter);
    // SAFETY: time has no preconditions.
    slot.call_start_ns = unsafe { bpf_ktime_get_ns() };
    slot.state = (slot.state | state::IN_CALL) & !(state::MAYBE_IN_CALL | state::NEWBORN);
    if slot.state & state::BEFORE_EXEC == 0 {
        slot.syscall_transitions += 1;
        if shape_of(slot.call).class == CallClass::SUBMITS {
            aio::submitted(slot);
        }
    }
}

/// Which call it is, with what arguments, on which open files.
#[inline(always)]
fn note_call(task: Task, slot: &mut ThreadSlot, registers: Registers, number: i64) {
    slot.call = table_index(task, number);
    let compat = is_compat(slot);
    registers.arguments(compat, &mut slot.args);
    if compat {
        compat::unfold(slot);
    }
    slot.call_interrupts = 0;
    slot.call_blocked_ns = 0;
    slot.call_preempted_ns = 0;
    slot.source = 0;
    slot.sink = 0;
    slot.source_flags = 0;
    slot.sink_flags = 0;
    slot.by_reference = 0;
    if slot.pace.counted != 0 {
        slot.counted = Counted::NONE;
        slot.pace.counted = 0;
    }
    slot.pace.descriptors = runs::descriptor_changes();
    // Of a run's call whose end was missed: hooks that the kernel does not run leave no mark on later calls.
    slot.pace.run = 0;
    slot.unclaimed_transitions = 0;
    if slot.state & state::BEFORE_EXEC != 0 {
        return;
    }
    let shape = shape_of(slot.call);
    if shape.class.0 >= CallClass::ENTERS_RING.0 {
        slot.unclaimed_transitions = 2;
    }
    if shape.source_fd != NONE {
        let source = identity::of_descriptor(task, argument(slot, shape.source_fd), &mut slot.met_source);
        slot.source = source.serial;
        slot.source_flags = source.flags;
    }
    if shape.sink_fd != NONE {
        let sink = identity::of_descriptor(task, argument(slot, shape.sink_fd), &mut slot.met_sink);
        slot.sink = sink.serial;
        slot.sink_flags = sink.flags;
    }
}

/// What a finished call came to.
#[derive(Clone, Copy)]
struct Outcome {
    now: u64,
    duration_ns: u64,
    result: i64,
    bytes: u64,
    flags: u16,
    shape: CallShape,
    /// Descriptors that the call wrote to user memory, -1 else.
    descriptors: [i32; 2],
}

#[inline(always)]
fn leave(task: Task, slot: &mut ThreadSlot, registers: Registers, result: i64) {
    if slot.state & state::NEWBORN != 0 {
        // The child's side of its parent's clone: it returns to user mode once, from a call that it did not make.
        slot.state &= !state::NEWBORN;
        slot.syscall_transitions += (slot.state & state::BEFORE_EXEC == 0) as u64;
        return;
    }
    if slot.state & state::PENDING != 0 {
        // The call ran while tracing began. What it moved may be in the accounts already, so counting begins after it.
        threads::activate(task, slot);
        slot.state &= !state::MAYBE_IN_CALL;
        return;
    }
    let known_start = slot.state & state::IN_CALL != 0;
    // An exit whose entry no hook saw, of a thread that was not inside a call when it was attached: entries are not
    // hooked, or seccomp or a debugger refused the call before the hook (kernel/entry/common.c, `syscall_trace_enter`).
    // It entered the kernel all the same.
    let refused = !known_start && slot.state & state::MAYBE_IN_CALL == 0;
    slot.state &= !(state::IN_CALL | state::MAYBE_IN_CALL);
    if slot.state & state::BEFORE_EXEC != 0 {
        return;
    }
    // SAFETY: time has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if is_entry_too() {
        slot.at_enter = slot.latest;
    }
    task.accounts(&mut slot.latest);
    let storage_known = known_start || refused && is_entry_too() && is_storage_of_call(slot);
    if !known_start {
        note_call(task, slot, registers, registers.call_number());
        slot.call_start_ns = now;
        if !storage_known {
            slot.at_enter = slot.latest;
        }
    }
    slot.syscall_transitions += 1 + refused as u64;
    slot.calls += 1;
    let shape = shape_of(slot.call);
    let mut outcome = Outcome {
        now,
        duration_ns: now.wrapping_sub(slot.call_start_ns),
        result,
        bytes: bytes_moved(slot, shape, result),
        flags: forgotten(&mut slot.flags, flags(known_start, refused, storage_known)),
        shape,
        descriptors: [-1; 2],
    };
    if !known_start && !refused {
        settle(slot, shape.accounted, outcome.bytes);
    }
    if shape.class == CallClass::SUBMITS {
        aio::settled(slot, result);
    }
    if shape.class == CallClass::COLLECTS {
        aio::completed(slot, result);
    }
    if shape.class == CallClass::READDRESSES || shape.class == CallClass::RENEWS {
        identity::forget(task, argument(slot, 0));
    }
    if shape.class == CallClass::READDRESSES {
        slot.source = identify(slot, argument(slot, 0));
    }
    if shape.class == CallClass::OPENS && result >= 0 {
        identify_new(slot, &mut outcome);
    }
    if shape.class == CallClass::EXEC && result == 0 {
        slot.exec_read_chars += slot.latest.read_chars.wrapping_sub(slot.at_enter.read_chars);
        slot.exec_read_calls += slot.latest.read_calls.wrapping_sub(slot.at_enter.read_calls);
    }
    if changes_descriptors(shape.class) {
        runs::descriptors_changed();
    }
    let told = tell(slot, &outcome);
    count(slot, &outcome, told);
    slot.unclaimed_transitions = 0;
    let off_cpu_ns = slot.call_blocked_ns + slot.call_preempted_ns;
    runs::told(slot, shape, now, outcome.duration_ns.saturating_sub(off_cpu_ns));
}

/// The thread was attached inside this call, which is counted. If that was after the kernel had booked what it moved, the
/// accounts as they stood then hold it already: they begin before it.
#[inline(never)]
fn settle(slot: &mut ThreadSlot, accounted: u8, bytes: u64) {
    let (before, after) = (&mut slot.baseline, &slot.latest);
    if bytes == 0 {
        return;
    }
    if accounted & accounted::READ != 0 {
        unbook(&mut before.read_chars, after.read_chars, bytes);
        unbook(&mut before.read_calls, after.read_calls, 1);
    }
    if accounted & accounted::WRITTEN != 0 {
        unbook(&mut before.written_chars, after.written_chars, bytes);
        unbook(&mut before.write_calls, after.write_calls, 1);
    }
}

/// An account that a call has not moved since, though it does.
#[inline(always)]
fn unbook(before: &mut u64, after: u64, by: u64) {
    if *before == after {
        *before = after.saturating_sub(by);
    }
}

/// What the descriptors stand for that the call has made: said here, because one that is never read from or written to
/// is met nowhere else.
#[inline(always)]
fn identify_new(slot: &mut ThreadSlot, outcome: &mut Outcome) {
    if outcome.shape.buffer == NONE {
        slot.source = identify(slot, outcome.result as u64);
        return;
    }
    outcome.descriptors = payload::user(argument(slot, outcome.shape.buffer));
    slot.source = identify(slot, outcome.descriptors[0] as u64);
    slot.sink = identify(slot, outcome.descriptors[1] as u64);
}

/// A function of its own, so that the program holds the look-up once for all of these.
#[inline(never)]
fn identify(slot: &mut ThreadSlot, fd: u64) -> u64 {
    identity::of_descriptor(Task::current(), fd, &mut slot.met_source).serial
}

/// The value, by a way on which the verifier forgets it: where it knew each that there can be, it would walk all that follows
/// once for each.
#[inline(always)]
fn forgotten(place: &mut u32, value: u16) -> u16 {
    *place = value as u32;
    // SAFETY: a valid reference.
    unsafe { ptr::read_volatile(place) as u16 }
}

/// Whether what came from storage, or was made dirty, since the last call ended is this call's, whose entry was not seen:
/// page faults in user mode may have fetched it, unless there was none, or nothing came.
#[inline(always)]
fn is_storage_of_call(slot: &ThreadSlot) -> bool {
    let (before, after) = (&slot.at_enter, &slot.latest);
    slot.pace.user_faults == slot.user_faults
        || before.storage_read_bytes == after.storage_read_bytes
            && before.storage_written_bytes == after.storage_written_bytes
}

#[inline(always)]
fn flags(known_start: bool, refused: bool, storage_known: bool) -> u16 {
    let start = match (known_start, refused) {
        (true, _) => 0,
        (false, true) => flag::UNTIMED,
        (false, false) => flag::NO_START,
    };
    let storage = if storage_known && config!(storage_accounts) != 0 { flag::STORAGE_KNOWN } else { 0 };
    start | storage
}

/// Whether descriptors may stand for something else after a call of this class: requests of io_uring can close some.
#[inline(always)]
fn changes_descriptors(class: CallClass) -> bool {
    class.0 > CallClass::IN_KERNEL.0
}

/// Whether calls of this class move payload: their records tell what was counted inside.
#[inline(always)]
pub fn is_operation(class: CallClass) -> bool {
    class.0 >= CallClass::BUFFER.0 && class.0 <= CallClass::IN_KERNEL.0
}

#[inline(always)]
fn bytes_moved(slot: &mut ThreadSlot, shape: CallShape, result: i64) -> u64 {
    if result <= 0 || !is_operation(shape.class) {
        0
    } else if shape.class == CallClass::MESSAGES {
        payload::messages_bytes(argument(slot, shape.buffer), result as u64, is_compat(slot) as u64)
    } else {
        result as u64
    }
}

#[inline(always)]
pub fn failed(result: i64) -> bool {
    (-MAX_ERRNO..0).contains(&result)
}

/// The exact counters.
#[inline(always)]
fn count(slot: &ThreadSlot, outcome: &Outcome, told: bool) {
    let Some(counters) = CALL_COUNTERS.get_ptr_mut(slot.call) else { return };
    // SAFETY: this CPU's own entry.
    let counters: &mut CallCounters = unsafe { &mut *counters };
    counters.count += 1;
    counters.errors += failed(outcome.result) as u64;
    counters.bytes += outcome.bytes;
    counters.duration_ns += outcome.duration_ns;
    counters.blocked_ns += slot.call_blocked_ns;
    counters.preempted_ns += slot.call_preempted_ns;
    counters.folded += !told as u64;
    counters.untimed += (outcome.flags & flag::START_UNSEEN != 0) as u64;
}

/// Emits what user space wants to know; false if there was no room (then it has been folded).
#[inline(always)]
fn tell(slot: &ThreadSlot, outcome: &Outcome) -> bool {
    match outcome.shape.class {
        CallClass::BUFFER | CallClass::IN_KERNEL => tell_operation(slot, outcome),
        CallClass::VECTOR | CallClass::MESSAGE | CallClass::MESSAGES => tell_vector(slot, outcome),
        CallClass::DESCRIPTOR | CallClass::READDRESSES | CallClass::OPENS => tell_descriptor(slot, outcome),
        _ => tell_call(slot, outcome),
    }
}

#[inline(always)]
fn fill_call(record: &mut CallRecord, kind: RecordKind, slot: &ThreadSlot, outcome: &Outcome) {
    let (before, after) = (&slot.at_enter, &slot.latest);
    emit::header(&mut record.header, kind, slot, outcome.now);
    record.header.flags = outcome.flags;
    record.duration_ns = outcome.duration_ns;
    record.blocked_ns = slot.call_blocked_ns;
    record.preempted_ns = slot.call_preempted_ns;
    record.result = outcome.result;
    record.voluntary = after.voluntary.wrapping_sub(before.voluntary) as u32;
    record.involuntary = after.involuntary.wrapping_sub(before.involuntary) as u32;
    record.minor_faults = after.minor_faults.wrapping_sub(before.minor_faults) as u32;
    record.major_faults = after.major_faults.wrapping_sub(before.major_faults) as u32;
    record.interrupts = slot.call_interrupts;
    record._pad = 0;
}

#[inline(always)]
fn fill_operation(record: &mut OperationRecord, kind: RecordKind, slot: &ThreadSlot, outcome: &Outcome) {
    let shape = outcome.shape;
    let (before, after) = (&slot.at_enter, &slot.latest);
    fill_call(&mut record.call, kind, slot, outcome);
    if slot.pace.untold != 0 {
        record.call.header.flags |= flag::AFTER_UNTOLD;
    }
    record.source = slot.source;
    record.sink = slot.sink;
    record.source_fd = descriptor(slot, shape.source_fd);
    record.sink_fd = descriptor(slot, shape.sink_fd);
    record.source_flags = slot.source_flags;
    record.sink_flags = slot.sink_flags;
    record.buffer = 0;
    record.asked = u64::MAX;
    record.bytes = outcome.bytes;
    record.storage_read_bytes = after.storage_read_bytes.wrapping_sub(before.storage_read_bytes);
    record.storage_written_bytes = after.storage_written_bytes.wrapping_sub(before.storage_written_bytes);
    record.call_flags = call_flags(slot, shape);
    record.vectors = 0;
    record.head = [0; 8];
    record.tail = [0; 8];
    record.counted = slot.counted;
    record.zerocopy = ZerocopyIds { first: 0, end: 0 };
    zerocopy::tell(record, slot, shape);
}

#[inline(always)]
fn descriptor(slot: &ThreadSlot, at: u8) -> i32 {
    if at == NONE { -1 } else { argument(slot, at) as i32 }
}

#[inline(always)]
pub fn call_flags(slot: &ThreadSlot, shape: CallShape) -> u32 {
    if shape.flags == NONE { 0 } else { argument(slot, shape.flags) as u32 }
}

#[inline(always)]
fn tell_operation(slot: &ThreadSlot, outcome: &Outcome) -> bool {
    if config!(detail) == detail::SUMMED {
        return fold(slot, outcome);
    }
    let Some(mut entry) = emit::reserve::<OperationRecord>() else {
        return fold(slot, outcome);
    };
    let record = emit::body(&mut entry);
    fill_operation(record, RecordKind::OPERATION, slot, outcome);
    if outcome.shape.buffer != NONE {
        record.buffer = argument(slot, outcome.shape.buffer);
        payload::note_head(record, record.buffer);
        payload::note_tail(record, payload::end(record.buffer, record.bytes));
    }
    if outcome.shape.length != NONE {
        record.asked = argument(slot, outcome.shape.length);
    }
    emit::submit(entry, outcome.now);
    true
}

/// Not inlined: what the caller needs of the stack counts for all that it calls.
#[inline(never)]
fn tell_vector(slot: &ThreadSlot, outcome: &Outcome) -> bool {
    if config!(detail) == detail::SUMMED {
        return fold(slot, outcome);
    }
    let Some(mut entry) = emit::reserve::<VectorRecord>() else {
        return fold(slot, outcome);
    };
    let record = emit::body(&mut entry);
    fill_operation(&mut record.operation, RecordKind::VECTOR, slot, outcome);
    fill_vector(record, slot, outcome);
    emit::submit(entry, outcome.now);
    true
}

#[inline(always)]
fn fill_vector(record: &mut VectorRecord, slot: &ThreadSlot, outcome: &Outcome) {
    let shape = outcome.shape;
    let buffer = argument(slot, shape.buffer);
    let compat = is_compat(slot);
    if shape.class == CallClass::MESSAGES && compat {
        return;
    }
    if shape.class == CallClass::MESSAGES {
        let count = if outcome.result < 0 { 0 } else { outcome.result as u64 };
        payload::messages_vector(buffer, count, &mut record.iovecs);
        record.operation.vectors = if count > IOVECS as u64 { u32::MAX } else { count as u32 };
        return;
    }
    let (base, count) = if shape.class == CallClass::MESSAGE {
        payload::message_vector(buffer, compat)
    } else {
        (buffer, argument(slot, shape.length))
    };
    payload::vector(base, count, compat, &mut record.iovecs);
    record.operation.vectors = if count > u32::MAX as u64 { u32::MAX } else { count as u32 };
    let [first, ..] = record.iovecs;
    // Of a longer payload only the part in the first buffer lies there; eight bytes are compared at most.
    if count > 0 && first.length >= 8 {
        payload::note_head(&mut record.operation, first.base);
    }
    let end = payload::end_of_vector(&record.iovecs, count, outcome.bytes);
    payload::note_tail(&mut record.operation, end);
}

#[inline(always)]
fn tell_descriptor(slot: &ThreadSlot, outcome: &Outcome) -> bool {
    let Some(mut entry) = emit::reserve::<DescriptorRecord>() else {
        lost(|losses| losses.lost_events += 1);
        return false;
    };
    let record = emit::body(&mut entry);
    fill_call(&mut record.call, RecordKind::DESCRIPTOR, slot, outcome);
    let [a, b, c, d, e, f, ..] = slot.args;
    record.args = [a, b, c, d, e, f];
    record.endpoint = slot.source;
    record.second_endpoint = slot.sink;
    record.descriptors = outcome.descriptors;
    emit::submit(entry, outcome.now);
    true
}

#[inline(always)]
fn tell_call(slot: &ThreadSlot, outcome: &Outcome) -> bool {
    if config!(detail) == detail::SUMMED {
        lost(|losses| losses.summed_calls += 1);
        return false;
    }
    let Some(mut entry) = emit::reserve::<CallRecord>() else {
        lost(|losses| losses.folded_calls += 1);
        return false;
    };
    fill_call(emit::body(&mut entry), RecordKind::CALL, slot, outcome);
    emit::submit(entry, outcome.now);
    true
}

/// No room in the ring buffer: detail is lost, bytes are not.
#[inline(never)]
fn fold(slot: &ThreadSlot, outcome: &Outcome) -> bool {
    let key = SpillKey {
        tgid: slot.tgid,
        call: slot.call,
        source: slot.source,
        sink: slot.sink,
        source_flags: slot.source_flags,
        sink_flags: slot.sink_flags,
        call_flags: call_flags(slot, outcome.shape),
        source_fd: descriptor(slot, outcome.shape.source_fd),
        sink_fd: descriptor(slot, outcome.shape.sink_fd),
        _pad: 0,
    };
    let Some(counters) = spill::entry(&key) else {
        lost(|losses| losses.unattributed_operations += 1);
        return false;
    };
    let (before, after) = (&slot.at_enter, &slot.latest);
    counters.operations += 1;
    counters.errors += failed(outcome.result) as u64;
    counters.bytes += outcome.bytes;
    counters.duration_ns += outcome.duration_ns;
    counters.blocked_ns += slot.call_blocked_ns;
    counters.preempted_ns += slot.call_preempted_ns;
    counters.storage_read_bytes += after.storage_read_bytes.wrapping_sub(before.storage_read_bytes);
    counters.storage_written_bytes += after.storage_written_bytes.wrapping_sub(before.storage_written_bytes);
    counters.storage_unknown += (outcome.flags & flag::STORAGE_KNOWN == 0) as u64;
    counters.counted.add(&slot.counted);
    // Of a call that was under way at the attach the trace holds the return alone.
    counters.transitions += 2 - (outcome.flags & flag::NO_START != 0) as u64;
    if config!(detail) == detail::SUMMED {
        lost(|losses| losses.summed_operations += 1);
    } else {
        lost(|losses| losses.folded_operations += 1);
    }
    false
}

/// A thread ends inside a call: `exit`, or it was killed there. The call never returns.
#[inline(always)]
pub fn cut_off(task: Task, slot: &mut ThreadSlot) {
    if slot.state & state::BEFORE_EXEC != 0 {
        return;
    }
    if is_entry_too() {
        // Killed or not, every other call returns before its thread ends.
        let number = Registers::of(task).call_number();
        if number < 0 || shape_of(table_index(task, number)).class != CallClass::NO_RETURN {
            return;
        }
        slot.call = table_index(task, number);
        slot.syscall_transitions += 1;
    } else if slot.state & state::IN_CALL == 0 {
        return;
    }
    slot.pace.run = 0;
    slot.calls += 1;
    if let Some(counters) = CALL_COUNTERS.get_ptr_mut(slot.call) {
        // SAFETY: this CPU's own entry.
        unsafe { (*counters).unfinished += 1 };
    }
}
