//! Storms: a thread that makes more calls than can be told one by one has like calls summed in its slot, a *run*. What
//! they have in common (the call, the descriptor and the open file behind it) was looked up when the last one of them
//! was told, and holds until a traced thread changes descriptors.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{
    call::{CallClass, CallShape, NONE},
    counted::Counted,
    limits::{CALL_OTHER, COMPAT_BASE},
    offsets::{detail, latency},
    run::{
        GROUPS, HOT_CALLS, HOT_SAMPLES, NO_ARGUMENT, PACE_CALLS, RUNS, Run, STORM_NS, TOLD_OF_PACE, group,
    },
    slot::{ThreadSlot, state},
};

use crate::{
    arch::{Registers, SPREAD},
    calls,
    kernel::{Task, config},
    maps::{CALL_COUNTERS, DESCRIPTOR_CHANGES, SUMMED_ERRORS, lost},
    spill, zerocopy,
};

/// How many times descriptors of traced processes have changed what they stand for.
#[inline(always)]
pub fn descriptor_changes() -> u64 {
    DESCRIPTOR_CHANGES.get(0).copied().unwrap_or(0)
}

/// A call may have changed what descriptors stand for: no run goes on without another look.
#[inline(always)]
pub fn descriptors_changed() {
    if let Some(changes) = DESCRIPTOR_CHANGES.get_ptr_mut(0) {
        // SAFETY: an array entry. Two CPUs that add at a time may count one change: it has changed all the same.
        unsafe { *changes = (*changes).wrapping_add(1) };
    }
}

/// Whether a call that begins (where entries are not hooked: that ends) belongs to a run; then nothing else is to be
/// noted of it.
#[inline(always)]
pub fn enter(task: Task, slot: &mut ThreadSlot, registers: Registers, number: i64) -> bool {
    if config!(detail) == detail::ALL {
        return false;
    }
    slot.pace.calls = (slot.pace.calls + 1) & (PACE_CALLS - 1);
    if config!(detail) == detail::BY_PACE && (slot.pace.storm == 0 || slot.pace.calls < TOLD_OF_PACE) {
        return false;
    }
    let call = calls::table_index(task, number);
    let mut index = group(call, SPREAD);
    if slot.runs[index].call != call + 1 {
        index += GROUPS;
    }
    let compat = call >= COMPAT_BASE;
    let run = &slot.runs[index];
    if run.hot == 0
        || run.call != call + 1
        || registers.first(compat) as u32 & run.fd_mask != run.fd
        || run.descriptors != descriptor_changes()
        || run.flags_at != NO_ARGUMENT && registers.flags(compat, run.flags_at) != run.call_flags
    {
        return false;
    }
    slot.call = call;
    slot.source = run.source;
    slot.sink = run.sink;
    slot.source_flags = run.source_flags;
    slot.sink_flags = run.sink_flags;
    if run.source != 0 {
        slot.met_source.file = run.file;
    } else {
        slot.met_sink.file = run.file;
    }
    slot.by_reference = 0;
    slot.call_blocked_ns = 0;
    slot.call_preempted_ns = 0;
    slot.state |= state::IN_CALL;
    slot.syscall_transitions += 1;
    slot.pace.run = index as u32 + 1;
    if config!(latency) == latency::ALL {
        // SAFETY: time has no preconditions.
        slot.call_start_ns = unsafe { bpf_ktime_get_ns() };
    }
    true
}

/// The end of such a call.
#[inline(always)]
pub fn leave(task: Task, slot: &mut ThreadSlot, result: i64) {
    let index = slot.pace.run.wrapping_sub(1) as usize & (RUNS - 1);
    slot.pace.run = 0;
    slot.state &= !state::IN_CALL;
    slot.syscall_transitions += 1;
    slot.calls += 1;
    let run = &mut slot.runs[index];
    run.calls += 1;
    run.hot += 1;
    slot.pace.untold |= run.bytes_mask as u32;
    if result > 0 {
        run.bytes += result as u64 & run.bytes_mask;
    } else if calls::failed(result) {
        let errno = result.wrapping_neg() as u32;
        if run.errno == 0 {
            run.errno = errno;
        }
        run.errors += 1;
        run.named_errors += (run.errno == errno) as u64;
    }
    if config!(latency) == latency::ALL {
        run.timed += 1;
        // SAFETY: time has no preconditions.
        run.duration_ns += unsafe { bpf_ktime_get_ns() }.wrapping_sub(slot.call_start_ns);
    }
    if config!(latency) != latency::NONE {
        run.blocked_ns += slot.call_blocked_ns;
        run.preempted_ns += slot.call_preempted_ns;
    }
    let (read, written) = (slot.latest.storage_read_bytes, slot.latest.storage_written_bytes);
    // Switches and faults the scheduler's hook takes, and the last look at the thread.
    task.io(&mut slot.latest);
    let read = slot.latest.storage_read_bytes.wrapping_sub(read);
    let written = slot.latest.storage_written_bytes.wrapping_sub(written);
    if slot.pace.user_faults == slot.user_faults {
        run.storage_read_bytes += read;
        run.storage_written_bytes += written;
    } else {
        // Page faults in user mode since the last call may have fetched it.
        run.storage_unknown += (read | written != 0) as u64;
    }
    slot.pace.user_faults = slot.user_faults;
    if slot.pace.counted != 0 {
        run.counted.add(&slot.counted);
        slot.counted = Counted::NONE;
        slot.pace.counted = 0;
    }
    if slot.pace.calls == 0 {
        flush(slot);
    }
}

/// After a call that was told: takes the pace, and in a storm has the calls like it summed from now on.
#[inline(always)]
pub fn told(slot: &mut ThreadSlot, shape: CallShape, now: u64, busy_ns: u64) {
    slot.pace.user_faults = slot.user_faults;
    if config!(detail) == detail::ALL {
        return;
    }
    if calls::is_operation(shape.class) {
        // Whether its record found room does not matter here: the verifier of 6.1 loses track of the reservation where more
        // than one thing hangs on that.
        slot.pace.untold = 0;
    }
    if slot.pace.calls == 0 {
        if config!(detail) == detail::BY_PACE {
            slot.pace.storm = (now.wrapping_sub(slot.pace.since_ns) < STORM_NS) as u32;
            slot.pace.since_ns = now;
        }
        flush(slot);
    }
    if (slot.pace.storm != 0 || config!(detail) == detail::SUMMED) && can_be_summed(slot, shape) {
        sum_from_now_on(slot, shape, busy_ns);
    }
}

/// Calls on no descriptor but their first argument, whose records say nothing that a sum does not.
#[inline(always)]
fn can_be_summed(slot: &ThreadSlot, shape: CallShape) -> bool {
    let class = shape.class;
    let simple = class == CallClass::COUNTED
        || class == CallClass::BUFFER
        || class == CallClass::VECTOR
        || class == CallClass::MESSAGE;
    let first =
        (shape.source_fd == NONE || shape.source_fd == 0) && (shape.sink_fd == NONE || shape.sink_fd == 0);
    simple && first && slot.call != CALL_OTHER && !zerocopy::concerns(slot, shape)
}

/// The run for a call: that of its like, else a free one of its group. Nothing if there is none: kinds of calls in turn would
/// drive each other out, so those that are there stay for as long as they are frequent.
#[inline(always)]
fn place(slot: &ThreadSlot) -> Option<usize> {
    let first = group(slot.call, SPREAD);
    let second = first + GROUPS;
    let is_like = |run: &Run| run.call == slot.call + 1;
    let is_free = |run: &Run| run.samples == 0;
    if is_like(&slot.runs[first]) {
        Some(first)
    } else if is_like(&slot.runs[second]) {
        Some(second)
    } else if is_free(&slot.runs[first]) {
        Some(first)
    } else if is_free(&slot.runs[second]) {
        Some(second)
    } else {
        None
    }
}

#[inline(always)]
fn sum_from_now_on(slot: &mut ThreadSlot, shape: CallShape, busy_ns: u64) {
    let has_fd = shape.source_fd == 0 || shape.sink_fd == 0;
    let fd = if has_fd { slot.args[0] as u32 } else { 0 };
    let flags_at = if shape.flags == NONE { NO_ARGUMENT } else { shape.flags as u32 };
    let call_flags = calls::call_flags(slot, shape);
    let Some(index) = place(slot) else { return };
    let run = &slot.runs[index];
    let same = run.call == slot.call + 1
        && run.fd == fd
        && run.source == slot.source
        && run.sink == slot.sink
        && run.source_flags == slot.source_flags
        && run.sink_flags == slot.sink_flags
        && run.call_flags == call_flags;
    if !same && run.calls > 0 {
        flush(slot);
    }
    let run = &mut slot.runs[index];
    if !same {
        run.samples = 0;
        run.sampled_ns = 0;
        run.hot = 0;
    }
    run.samples += 1;
    run.sampled_ns += busy_ns;
    if run.hot != 0 || run.samples >= HOT_SAMPLES {
        run.hot += 1;
    }
    run.call = slot.call + 1;
    run.fd = fd;
    run.fd_mask = if has_fd { u32::MAX } else { 0 };
    run.flags_at = flags_at;
    run.call_flags = call_flags;
    run.source = slot.source;
    run.sink = slot.sink;
    run.source_flags = slot.source_flags;
    run.sink_flags = slot.sink_flags;
    run.file = if slot.source != 0 { slot.met_source.file } else { slot.met_sink.file };
    run.bytes_mask = if calls::is_operation(shape.class) { u64::MAX } else { 0 };
    run.descriptors = slot.pace.descriptors;
}

/// The thread blocks: what it has summed may wait for long.
#[inline(always)]
pub fn blocks(slot: &mut ThreadSlot) {
    if slot.pace.storm != 0 || config!(detail) == detail::SUMMED {
        flush(slot);
    }
}

/// The thread is back from being blocked: after long it is in no storm.
#[inline(always)]
pub fn was_blocked(slot: &mut ThreadSlot, away_ns: u64) {
    if away_ns > STORM_NS {
        slot.pace.storm = 0;
        slot.pace.calls = 0;
    }
}

/// It is back from being preempted: its pace is taken by the time that it had.
#[inline(always)]
pub fn was_preempted(slot: &mut ThreadSlot, away_ns: u64) {
    slot.pace.since_ns = slot.pace.since_ns.wrapping_add(away_ns);
}

/// Adds what was summed to the counters that user space reads.
#[inline(never)]
pub fn flush(slot: &mut ThreadSlot) -> i32 {
    let tgid = slot.tgid;
    let window_ends = slot.pace.calls == 0;
    for run in &mut slot.runs {
        if run.calls > 0 {
            flush_run(tgid, run);
        }
        if window_ends {
            let hot = run.hot > HOT_CALLS;
            run.hot = hot as u32;
            run.samples = if hot { run.samples } else { 0 };
            run.sampled_ns = if hot { run.sampled_ns } else { 0 };
        }
    }
    0
}

#[inline(always)]
fn flush_run(tgid: u32, run: &mut Run) {
    let call = run.call.wrapping_sub(1);
    let mean_ns = run.mean_ns();
    let duration_ns = run.duration_ns();
    if let Some(counters) = CALL_COUNTERS.get_ptr_mut(call) {
        // SAFETY: this CPU's own entry.
        run.count(duration_ns, unsafe { &mut *counters });
    }
    name_errors(call, run);
    let calls = run.calls;
    if run.bytes_mask == 0 {
        lost(|losses| losses.summed_calls += calls);
    } else {
        spill(tgid, run, duration_ns);
    }
    run.samples = (run.samples > 0) as u32;
    run.sampled_ns = mean_ns;
    run.calls = 0;
    run.errors = 0;
    run.named_errors = 0;
    run.errno = 0;
    run.bytes = 0;
    run.timed = 0;
    run.duration_ns = 0;
    run.blocked_ns = 0;
    run.preempted_ns = 0;
    run.storage_read_bytes = 0;
    run.storage_written_bytes = 0;
    run.storage_unknown = 0;
    run.counted = Counted::NONE;
}

/// What the errors were.
#[inline(always)]
fn name_errors(call: u32, run: &Run) {
    if run.named_errors == 0 {
        return;
    }
    let key = (call as u64) << 32 | run.errno as u64;
    if SUMMED_ERRORS.get_ptr_mut(key).is_none() {
        let _ = SUMMED_ERRORS.insert(key, 0, 0);
    }
    if let Some(count) = SUMMED_ERRORS.get_ptr_mut(key) {
        // SAFETY: this CPU's own entry; user space only reads it.
        unsafe { *count += run.named_errors };
    }
}

#[inline(always)]
fn spill(tgid: u32, run: &Run, duration_ns: u64) {
    let operations = run.calls;
    let Some(counters) = spill::entry(&run.key(tgid)) else {
        lost(|losses| losses.unattributed_operations += operations);
        return;
    };
    run.spill(duration_ns, counters);
    lost(|losses| losses.summed_operations += operations);
}
