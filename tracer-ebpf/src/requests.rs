//! Requests of io_uring and AIO that have completed: counted, and told as operations.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{
    call::{CallClass, CallShape},
    record::{CallRecord, OperationRecord, RecordKind, RequestRecord, ZerocopyIds, flag},
    request::{IOSQE_BUFFER_SELECT, OWN_FILE},
    slot::{CallCounters, SpillKey, ThreadSlot},
};

use crate::{
    emit,
    identity::OpenFile,
    maps::{CALL_COUNTERS, OUTCOME, Outcome, Request, lost},
    payload, spill,
};

/// Whether requests of this shape are operations.
#[inline(always)]
pub fn moves_payload(shape: CallShape) -> bool {
    shape.class != CallClass::COUNTED
}

/// Mode switches of the call for requests that the thread is in, unless another request has been charged with them.
#[inline(always)]
pub fn claim_transitions(slot: &mut ThreadSlot) -> u32 {
    let unclaimed = slot.unclaimed_transitions;
    slot.unclaimed_transitions = 0;
    unclaimed
}

/// A number for a notification, of which no two wait at one time: its address, without what is the same of all.
#[inline(always)]
pub fn notification_number(notification: u64) -> u32 {
    (notification >> 6) as u32
}

impl Outcome {
    /// That of a request without files. In a per-CPU entry: it would take much of the stack, which all functions on the way
    /// here share.
    #[inline(always)]
    pub fn new(entry: &Request, call: u32, shape: CallShape, result: i64) -> Option<&'static mut Self> {
        // SAFETY: this CPU's own entry.
        let outcome = unsafe { &mut *OUTCOME.get_ptr_mut(0)? };
        // SAFETY: time has no preconditions.
        let now = unsafe { bpf_ktime_get_ns() };
        let heading = entry.heading as i64;
        outcome.now = now;
        outcome.duration_ns = if entry.start_ns == 0 { 0 } else { now.wrapping_sub(entry.start_ns) };
        outcome.result = result;
        outcome.bytes = if moves_payload(shape) && result > heading { (result - heading) as u64 } else { 0 };
        outcome.call = call;
        outcome.ran = entry.ran;
        outcome.shape = shape;
        outcome.source = OpenFile::NONE;
        outcome.sink = OpenFile::NONE;
        outcome.selected = 0;
        outcome.notifies = 0;
        Some(outcome)
    }
}

/// Counts and tells it.
#[inline(always)]
pub fn tell(entry: &Request, outcome: &Outcome) {
    let told =
        if moves_payload(outcome.shape) { tell_request(entry, outcome) } else { tell_call(entry, outcome) };
    count(outcome, told);
}

/// The exact counters.
#[inline(always)]
fn count(outcome: &Outcome, told: bool) {
    let Some(counters) = CALL_COUNTERS.get_ptr_mut(outcome.call) else { return };
    // SAFETY: this CPU's own entry.
    let counters: &mut CallCounters = unsafe { &mut *counters };
    counters.count += 1;
    counters.errors += (outcome.result < 0) as u64;
    counters.bytes += outcome.bytes;
    counters.duration_ns += outcome.duration_ns;
    counters.folded += !told as u64;
}

#[inline(always)]
fn fill_call(record: &mut CallRecord, kind: RecordKind, entry: &Request, outcome: &Outcome) {
    record.header.kind = kind.0;
    record.header.flags = if entry.start_ns == 0 { flag::NO_START } else { 0 };
    record.header.call = outcome.call;
    record.header.tgid = entry.tgid;
    record.header.tid = entry.tid;
    record.header.time_ns = outcome.now;
    record.duration_ns = outcome.duration_ns;
    record.blocked_ns = 0;
    record.preempted_ns = 0;
    record.result = outcome.result;
    record.voluntary = 0;
    record.involuntary = 0;
    record.minor_faults = 0;
    record.major_faults = 0;
    record.interrupts = 0;
    record._pad = 0;
}

#[inline(always)]
fn tell_call(entry: &Request, outcome: &Outcome) -> bool {
    let Some(mut room) = emit::reserve::<CallRecord>() else {
        lost(|losses| losses.folded_calls += 1);
        return false;
    };
    fill_call(emit::body(&mut room), RecordKind::CALL, entry, outcome);
    emit::submit(room, outcome.now);
    true
}

#[inline(always)]
fn tell_request(entry: &Request, outcome: &Outcome) -> bool {
    let Some(mut room) = emit::reserve::<RequestRecord>() else {
        return fold(entry, outcome);
    };
    let record = emit::body(&mut room);
    record.user_data = entry.user_data;
    record.transitions = entry.transitions;
    record.ran = outcome.ran;
    record.vector.iovecs = entry.iovecs;
    fill_operation(&mut record.vector.operation, entry, outcome);
    // Without a branch: it would double the ways on from here.
    let first = notification_number(entry.notification);
    let end = first.wrapping_add(outcome.notifies);
    record.vector.operation.zerocopy = ZerocopyIds { first, end };
    record.vector.operation.call.header.flags |= flag::ZEROCOPY_SEND * outcome.notifies as u16;
    fill_memory(&mut record.vector.operation, entry, outcome);
    emit::submit(room, outcome.now);
    true
}

/// Of the source and of the sink.
#[inline(always)]
fn descriptors(entry: &Request, shape: CallShape) -> [i32; 2] {
    [
        if shape.source_fd == OWN_FILE { entry.fd } else { entry.other_fd },
        if shape.sink_fd == OWN_FILE { entry.fd } else { -1 },
    ]
}

#[inline(always)]
fn fill_operation(record: &mut OperationRecord, entry: &Request, outcome: &Outcome) {
    let shape = outcome.shape;
    fill_call(&mut record.call, RecordKind::REQUEST, entry, outcome);
    record.source = outcome.source.serial;
    record.sink = outcome.sink.serial;
    [record.source_fd, record.sink_fd] = descriptors(entry, shape);
    record.source_flags = outcome.source.flags;
    record.sink_flags = outcome.sink.flags;
    record.buffer = 0;
    record.asked = entry.asked;
    record.bytes = outcome.bytes;
    record.storage_read_bytes = 0;
    record.storage_written_bytes = 0;
    record.call_flags = entry.call_flags;
    record.vectors = entry.vectors;
    record.head = [0; 8];
    record.tail = [0; 8];
    record.counted = entry.counted;
}

/// The memory that took part, and samples of what it holds. That the request completes in a thread of its process or in
/// a worker, which has the same memory, is the rule; else the samples stay unknown.
#[inline(always)]
fn fill_memory(record: &mut OperationRecord, entry: &Request, outcome: &Outcome) {
    let selects = entry.flags & IOSQE_BUFFER_SELECT != 0;
    if entry.vectors == u32::MAX {
        // Submitted before tracing began, or in buffers that cannot be told.
        record.vectors = 0;
        record.call.header.flags |= flag::BUFFER_UNKNOWN;
    } else if selects || outcome.shape.class == CallClass::BUFFER && entry.vectors == 0 {
        record.buffer = if selects { outcome.selected } else { entry.buffer };
        note_samples(record);
    } else {
        let [first, ..] = entry.iovecs;
        if record.vectors > 0 && first.length >= 8 {
            payload::note_head(record, first.base);
        }
        let end = payload::end_of_vector(&entry.iovecs, record.vectors as u64, record.bytes);
        payload::note_tail(record, end);
    }
}

#[inline(always)]
fn note_samples(record: &mut OperationRecord) {
    if record.buffer == 0 {
        record.call.header.flags |= flag::BUFFER_UNKNOWN;
    } else {
        payload::note_head(record, record.buffer);
        payload::note_tail(record, payload::end(record.buffer, record.bytes));
    }
}

/// No room in the ring buffer: detail is lost, bytes are not.
#[inline(never)]
fn fold(entry: &Request, outcome: &Outcome) -> bool {
    let [source_fd, sink_fd] = descriptors(entry, outcome.shape);
    let key = SpillKey {
        tgid: entry.tgid,
        call: outcome.call,
        source: outcome.source.serial,
        sink: outcome.sink.serial,
        source_flags: outcome.source.flags,
        sink_flags: outcome.sink.flags,
        call_flags: entry.call_flags,
        source_fd,
        sink_fd,
        _pad: 0,
    };
    let Some(counters) = spill::entry(&key) else {
        lost(|losses| losses.unattributed_operations += 1);
        return false;
    };
    counters.operations += 1;
    counters.errors += (outcome.result < 0) as u64;
    counters.bytes += outcome.bytes;
    counters.duration_ns += outcome.duration_ns;
    counters.transitions += entry.transitions as u64;
    counters.counted.add(&entry.counted);
    lost(|losses| losses.folded_operations += 1);
    false
}
