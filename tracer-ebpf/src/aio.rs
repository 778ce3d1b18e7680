//! Linux AIO: what `io_submit` hands in and `io_getevents` brings back. No hook tells of its completions, but both calls
//! pass them through the memory of the program. A request is known by its process and the address of its `struct iocb`,
//! which every completion repeats.

use core::ptr;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{
    call::CallClass,
    counted::Counted,
    limits::{AIO_BASE, AIO_BATCH, AIO_OPCODES},
    offsets::ABSENT,
    record::ran,
    request::OWN_FILE,
    slot::ThreadSlot,
};

use crate::{
    calls,
    identity::{self, OpenFile},
    kernel::{Task, offset, probe},
    maps::{AIO_REQUESTS, AioName, Outcome, REQUEST_SCRATCH, Request, lost},
    payload,
    requests::{self, claim_transitions, moves_payload},
    threads,
};

/// Arguments of `io_submit`: how many, and the array of pointers to `struct iocb`.
const SUBMIT_COUNT: usize = 1;
const SUBMIT_LIST: usize = 2;
/// Argument of `io_getevents` and `io_pgetevents`: the array of `struct io_event`.
const EVENTS: usize = 3;

/// `struct iocb` (include/uapi/linux/aio_abi.h).
#[derive(Clone, Copy)]
#[repr(C)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    length: u64,
}

/// `struct io_event`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Event {
    data: u64,
    object: u64,
    result: i64,
    further: i64,
}

/// Where in it the address of the request is.
const EVENT_OBJECT: u64 = 8;

/// How many of an array are looked at, where a loop may look at it in memory: in a register its range would differ at each
/// way out of the loop.
#[inline(always)]
fn bound(slot: &mut ThreadSlot, count: u64) {
    slot.messages = count;
}

#[inline(always)]
fn is_within(slot: &ThreadSlot, index: u64) -> bool {
    // SAFETY: a valid reference.
    index < unsafe { ptr::read_volatile(&slot.messages) }
}

/// An address in the list of `io_submit`.
#[inline(always)]
fn entry_of_list(list: u64, index: u64, compat: bool) -> u64 {
    let stride = if compat { 4 } else { 8 };
    payload::word(list.wrapping_add(index * stride), compat)
}

/// `io_submit` begins: the requests may complete before it returns, and their memory may be used anew.
#[inline(never)]
pub fn submitted(slot: &mut ThreadSlot) {
    let (count, list) = (slot.args[SUBMIT_COUNT], slot.args[SUBMIT_LIST]);
    let compat = calls::is_compat(slot);
    bound(slot, count);
    for index in 0..AIO_BATCH {
        if !is_within(slot, index) {
            break;
        }
        aio_submit_one(entry_of_list(list, index, compat));
    }
}

/// A global function with a number as its argument: the verifier walks it once and not once per turn of the loop, which
/// took it minutes.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn aio_submit_one(object: u64) -> u64 {
    let task = Task::current();
    let Some(slot) = threads::slot_of(task) else { return 0 };
    let Some(entry) = REQUEST_SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own entry.
    let entry = unsafe { &mut *entry };
    note(slot, object, entry);
    identify(task, entry);
    // SAFETY: time has no preconditions.
    entry.start_ns = unsafe { bpf_ktime_get_ns() };
    entry.transitions = claim_transitions(slot);
    let name = AioName { tgid: slot.tgid as u64, object };
    if AIO_REQUESTS.get_ptr(name).is_some() && moves_payload(calls::shape_of(table_index(entry.opcode))) {
        // The program took the completion of the one before out of the shared ring by itself, without a call.
        lost(|losses| losses.untraced_requests += 1);
    }
    // By reference: a copy would lie on the stack.
    let built: &Request = entry;
    let _ = AIO_REQUESTS.insert(name, built, 0);
    0
}

/// `io_submit` returns: what it did not take is not under way; what was not looked at is.
#[inline(never)]
pub fn settled(slot: &mut ThreadSlot, result: i64) {
    let taken = if result < 0 { 0 } else { result as u64 };
    if taken > AIO_BATCH {
        lost(|losses| losses.untraced_requests += taken - AIO_BATCH);
    }
    let (count, list) = (slot.args[SUBMIT_COUNT], slot.args[SUBMIT_LIST]);
    if taken >= count {
        return;
    }
    let compat = calls::is_compat(slot);
    let refused = list.wrapping_add(taken * if compat { 4 } else { 8 });
    bound(slot, count - taken);
    for index in 0..AIO_BATCH {
        if !is_within(slot, index) {
            break;
        }
        let object = entry_of_list(refused, index, compat);
        let _ = AIO_REQUESTS.remove(AioName { tgid: slot.tgid as u64, object });
    }
}

/// `io_getevents` returns completions.
#[inline(never)]
pub fn completed(slot: &mut ThreadSlot, result: i64) {
    let count = if result < 0 { 0 } else { result as u64 };
    if count > AIO_BATCH {
        lost(|losses| losses.untraced_requests += count - AIO_BATCH);
    }
    bound(slot, count);
    for index in 0..AIO_BATCH {
        if !is_within(slot, index) {
            break;
        }
        let event = slot.args[EVENTS].wrapping_add(index * size_of::<Event>() as u64);
        aio_meet_one(event);
        aio_identify_one(event);
        aio_complete_one(event);
    }
}

/// A request that was submitted before tracing began is noted now: the program's own description of it still stands. Its
/// file and its completion are done with apart, because the stacks of all functions on the way to a file's identity add up.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn aio_meet_one(address: u64) -> u64 {
    let task = Task::current();
    let Some(slot) = threads::slot_of(task) else { return 0 };
    let object = payload::user(address.wrapping_add(EVENT_OBJECT));
    let name = AioName { tgid: slot.tgid as u64, object };
    if AIO_REQUESTS.get_ptr(name).is_some() {
        return 0;
    }
    let Some(entry) = REQUEST_SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own entry.
    let entry = unsafe { &mut *entry };
    note(slot, object, entry);
    // By reference: a copy would lie on the stack.
    let built: &Request = entry;
    let _ = AIO_REQUESTS.insert(name, built, 0);
    0
}

/// Looks the file of such a request up.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn aio_identify_one(address: u64) -> u64 {
    let task = Task::current();
    let Some(slot) = threads::slot_of(task) else { return 0 };
    let object = payload::user(address.wrapping_add(EVENT_OBJECT));
    let Some(entry) = AIO_REQUESTS.get_ptr_mut(AioName { tgid: slot.tgid as u64, object }) else { return 0 };
    // SAFETY: an entry that only this process's calls change.
    let entry = unsafe { &mut *entry };
    if entry.start_ns == 0 {
        identify(task, entry);
    }
    0
}

#[inline(always)]
fn identify(task: Task, entry: &mut Request) {
    let file = identity::file_of(task, entry.fd as u32);
    let OpenFile { serial, flags } = identity::of_file(file, entry.fd as u32);
    entry.other = serial;
    entry.other_flags = flags;
}

/// A global function, likewise.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn aio_complete_one(address: u64) -> u64 {
    let task = Task::current();
    let Some(slot) = threads::slot_of(task) else { return 0 };
    let event: Event = payload::user(address);
    let name = AioName { tgid: slot.tgid as u64, object: event.object };
    let Some(entry) = AIO_REQUESTS.get_ptr_mut(name) else { return 0 };
    // SAFETY: an entry that only this process's calls change.
    let entry = unsafe { &mut *entry };
    entry.transitions += claim_transitions(slot);
    let call = table_index(entry.opcode);
    let shape = calls::shape_of(call);
    let Some(outcome) = Outcome::new(entry, call, shape, event.result) else { return 0 };
    let own = OpenFile { serial: entry.other, flags: entry.other_flags };
    outcome.source = if shape.source_fd == OWN_FILE { own } else { OpenFile::NONE };
    outcome.sink = if shape.sink_fd == OWN_FILE { own } else { OpenFile::NONE };
    requests::tell(entry, outcome);
    let _ = AIO_REQUESTS.remove(name);
    0
}

/// Where to count what is copied for the request that the kernel's `struct aio_kiocb` stands for, inside of `io_submit`: what
/// copies at all does so there.
#[inline(always)]
pub fn counted(tgid: u32, iocb: u64) -> Option<*mut Counted> {
    if iocb == 0 || offset!(aio_object) == ABSENT {
        return None;
    }
    let object = probe(iocb, offset!(aio_object));
    let entry = AIO_REQUESTS.get_ptr_mut(AioName { tgid: tgid as u64, object })?;
    // SAFETY: an entry that only this process's calls change; it is not looked at before `io_submit` has returned.
    Some(unsafe { &raw mut (*entry).counted })
}

#[inline(always)]
fn table_index(opcode: u32) -> u32 {
    AIO_BASE + if opcode < AIO_OPCODES { opcode } else { AIO_OPCODES - 1 }
}

/// What the program says of a request.
#[inline(always)]
fn note(slot: &ThreadSlot, object: u64, entry: &mut Request) {
    let iocb: Iocb = payload::user(object);
    entry.ring = 0;
    entry.user_data = iocb.data;
    entry.start_ns = 0;
    entry.call_start_ns = 0;
    entry.tgid = slot.tgid;
    entry.tid = slot.tid;
    entry.opcode = iocb.opcode as u32;
    entry.flags = 0;
    entry.ran = ran::UNKNOWN;
    entry.transitions = 0;
    entry.buffer = iocb.buffer;
    entry.asked = iocb.length;
    entry.call_flags = iocb.rw_flags;
    entry.vectors = 0;
    entry.fd = iocb.fd as i32;
    entry.heading = 0;
    entry.notification = 0;
    entry.other_fd = -1;
    let shape = calls::shape_of(table_index(entry.opcode));
    if shape.class == CallClass::VECTOR {
        entry.asked = u64::MAX;
        entry.vectors = if iocb.length > u32::MAX as u64 { u32::MAX - 1 } else { iocb.length as u32 };
        payload::vector(iocb.buffer, iocb.length, calls::is_compat(slot), &mut entry.iovecs);
    }
    entry.other = 0;
    entry.other_flags = 0;
    entry.counted = Counted::NONE;
}
