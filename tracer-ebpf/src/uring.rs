//! Requests of io_uring: noted when they are submitted, told when they complete, whoever runs them.
//!
//! At completion the request still stands (io_uring/io_uring.c frees it and puts its file afterwards), so opcode and file
//! are read there: at submission the descriptor is not resolved yet. What running it uses up (buffer and length move on
//! with partial sends, the array of iovecs may be gone) is taken at submission. A request belongs to the thread that
//! submits it: the one inside `io_uring_enter`, or the polling thread of its process.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{
    call::{CallClass, CallShape},
    counted::Counted,
    limits::{URING_BASE, URING_OPCODES},
    offsets::ABSENT,
    record::{Header, NotificationRecord, RecordKind, ran},
    request::{IOSQE_BUFFER_SELECT, OWN_FILE, READ_MULTISHOT, SEND_ZC, SENDMSG_ZC, command},
    slot::state,
};

use crate::{
    arch, calls, copies, emit,
    form::{Context, hook},
    identity::{self, OpenFile},
    kernel::{Task, config, offset, probe},
    maps::{
        LAST_COMPLETION, MULTISHOT_REQUESTS, NOTIFICATIONS, Outcome, REQUEST_SCRATCH, REQUESTS, Request,
        RequestName, lost,
    },
    payload,
    requests::{self, claim_transitions, moves_payload},
    threads::{self, slot_of},
};

/// include/uapi/linux/io_uring.h: the low bits of a request's flags are those of its submission.
const IOSQE_FIXED_FILE: u32 = 1;
const IOSQE_CQE_SKIP_SUCCESS: u32 = 1 << 6;
/// Of completions: the upper half is the number of a provided buffer;
const IORING_CQE_F_BUFFER: u32 = 1;
/// the request will complete once more;
const IORING_CQE_F_MORE: u32 = 1 << 1;
/// this is the notification that a send without copying is done with its memory.
const IORING_CQE_F_NOTIF: u32 = 1 << 3;
/// The result of such a notification: the memory was copied after all.
const IORING_NOTIF_USAGE_ZC_COPIED: u32 = 1 << 31;
/// Of `ioprio` of network requests.
const IORING_RECV_MULTISHOT: u16 = 1 << 1;
const IORING_SEND_ZC_REPORT_USAGE: u16 = 1 << 3;
const IORING_RECVSEND_BUNDLE: u16 = 1 << 4;
const IORING_SEND_VECTORIZED: u16 = 1 << 5;
/// Of a request's flags those of its submission, and one of these programs' own: it may complete many times over with payload.
const SUBMISSION_FLAGS: u32 = 0xff;
const REPEATS: u32 = 1 << 31;
/// In place of a request: there are several of one name, so that their completions cannot be told apart.
const SEVERAL: u64 = 0;
/// Of splices: the other file is a registered one.
const SPLICE_F_FD_IN_FIXED: u32 = 1 << 31;
/// The low bits of a registered file's pointer are flags (io_uring/filetable.h).
const FIXED_FILE_FLAGS: u64 = 7;

/// The kernel's own threads in a process, its workers and the polling thread: they are made past the tracepoint that tells
/// of other births (kernel/fork.c, `create_io_thread`), and never return to user mode.
#[hook]
pub fn task_newtask(ctx: Context) -> i32 {
    let child = Task(ctx.arg(0));
    if !child.is_io_worker() {
        return 0;
    }
    if let Some(slot) = slot_of(Task::current()) {
        threads::begin(child, 0, slot.tgid, true);
    }
    0
}

/// Since Linux 6.5.
#[hook]
pub fn io_uring_submit_req(ctx: Context) -> i32 {
    submitted(submitted_request(&ctx))
}

/// Before.
#[hook]
pub fn io_uring_submit_sqe(ctx: Context) -> i32 {
    submitted(submitted_request(&ctx))
}

#[inline(always)]
fn submitted_request(ctx: &Context) -> u64 {
    // The first argument is always read: of two reads to choose from the compiler makes one at a chosen place, which the
    // verifier refuses.
    let first = ctx.arg(0);
    if config!(uring_submit_request) == 0 { first } else { ctx.arg(1) }
}

/// A request goes to the kernel's own workers.
#[hook]
pub fn io_uring_queue_async_work(ctx: Context) -> i32 {
    let first: u64 = ctx.arg(0);
    let request: u64 = if config!(uring_queue_request) == 0 { first } else { ctx.arg(1) };
    if let Some(entry) = REQUESTS.get_ptr_mut(request) {
        // SAFETY: a request is queued by whoever runs it, and completes after that.
        unsafe { (*entry).ran = ran::WORKER };
    }
    0
}

#[hook]
pub fn io_uring_complete(ctx: Context) -> i32 {
    let (ring, request): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    let completion =
        if config!(uring_complete_arity) >= 5 { by_arguments(&ctx, ring) } else { by_entry(&ctx, ring) };
    if let Some(last) = LAST_COMPLETION.get_ptr_mut(0) {
        // SAFETY: this CPU's own entry.
        unsafe { *last = RequestName { ring, user_data: completion.user_data } };
    }
    completed(request, &completion);
    0
}

/// A completion finds no room in the completion queue and waits elsewhere. Linux before 6.3 reports it as completed
/// besides; later ones only here, without the request.
#[hook]
pub fn io_uring_cqe_overflow(ctx: Context) -> i32 {
    let (ring, user_data, result): (u64, u64, i32) = (ctx.arg(0), ctx.arg(1), ctx.arg(2));
    if let Some(last) = LAST_COMPLETION.get_ptr_mut(0) {
        // SAFETY: this CPU's own entry.
        let last = unsafe { &mut *last };
        let reported = last.ring == ring && last.user_data == user_data;
        last.ring = 0;
        if reported || result <= 0 || threads::has_ended() || slot_of(Task::current()).is_none() {
            return 0;
        }
        lost(|losses| losses.untraced_requests += 1);
    }
    0
}

/// One completion.
#[derive(Clone, Copy)]
struct Completion {
    ring: u64,
    user_data: u64,
    result: i32,
    flags: u32,
}

#[inline(always)]
fn by_arguments(ctx: &Context, ring: u64) -> Completion {
    Completion { ring, user_data: ctx.arg(2), result: ctx.arg(3), flags: ctx.arg(4) }
}

/// By the entry of the completion queue itself.
#[inline(always)]
fn by_entry(ctx: &Context, ring: u64) -> Completion {
    let entry: u64 = ctx.arg(2);
    Completion {
        ring,
        user_data: probe(entry, offset!(cqe_user_data)),
        result: probe(entry, offset!(cqe_res)),
        flags: probe(entry, offset!(cqe_flags)),
    }
}

/// Where an opcode is in the tables by call.
#[inline(always)]
fn table_index(opcode: u32) -> u32 {
    URING_BASE + if opcode < URING_OPCODES { opcode } else { URING_OPCODES - 1 }
}

#[inline(always)]
fn user_data_of(request: u64) -> u64 {
    if offset!(request_user_data) != ABSENT {
        probe(request, offset!(request_user_data))
    } else {
        probe(request, offset!(request_user_data_before_5_19))
    }
}

#[inline(always)]
fn submitted(request: u64) -> i32 {
    let task = Task::current();
    let Some(slot) = slot_of(task) else { return 0 };
    let Some(entry) = REQUEST_SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own entry.
    let entry = unsafe { &mut *entry };
    let shape = note(task, request, entry);
    entry.tgid = slot.tgid;
    entry.tid = slot.tid;
    entry.call_start_ns = slot.call_start_ns;
    entry.user_data = user_data_of(request);
    entry.ran = if task.is_io_worker() { ran::POLLING_THREAD } else { ran::INLINE };
    entry.transitions = claim_transitions(slot);
    // SAFETY: time has no preconditions.
    entry.start_ns = unsafe { bpf_ktime_get_ns() };
    // By reference: a copy would lie on the stack.
    let built: &Request = entry;
    let _ = REQUESTS.insert(request, built, 0);
    if entry.flags & REPEATS != 0 {
        let name = RequestName { ring: entry.ring, user_data: entry.user_data };
        let number = if is_taken(name, request) { SEVERAL } else { request };
        let _ = MULTISHOT_REQUESTS.insert(name, number, 0);
    }
    if moves_payload(shape) && entry.flags & IOSQE_CQE_SKIP_SUCCESS != 0 {
        // If it succeeds nothing tells.
        lost(|losses| losses.untraced_requests += 1);
    }
    0
}

/// Whether another request under way has that name.
#[inline(always)]
fn is_taken(name: RequestName, request: u64) -> bool {
    // SAFETY: copied at once.
    let Some(other) = (unsafe { MULTISHOT_REQUESTS.get(name) }).copied() else { return false };
    if other == SEVERAL || other == request {
        return other == SEVERAL;
    }
    // SAFETY: an entry that is replaced meanwhile would fail the comparison.
    let Some(entry) = (unsafe { REQUESTS.get(other) }) else { return false };
    entry.ring == name.ring && entry.user_data == name.user_data && entry.flags & REPEATS != 0
}

/// What the request says of itself.
#[inline(always)]
fn note(task: Task, request: u64, entry: &mut Request) -> CallShape {
    entry.ring = probe(request, offset!(request_ctx));
    entry.opcode = probe::<u8>(request, offset!(request_opcode)) as u32;
    entry.flags = probe::<u32>(request, offset!(request_flags)) & SUBMISSION_FLAGS;
    if entry.opcode == READ_MULTISHOT {
        entry.flags |= REPEATS;
    }
    entry.fd = -1;
    if offset!(request_fd) != ABSENT && entry.flags & IOSQE_FIXED_FILE == 0 {
        entry.fd = probe(request, offset!(request_fd));
    }
    entry.buffer = 0;
    entry.asked = u64::MAX;
    entry.call_flags = 0;
    entry.vectors = 0;
    entry.heading = 0;
    entry.counted = Counted::NONE;
    entry.notification = 0;
    entry.other = 0;
    entry.other_flags = 0;
    entry.other_fd = -1;
    let shape = calls::shape_of(table_index(entry.opcode));
    if !moves_payload(shape) {
        return shape;
    }
    match shape.buffer {
        command::NETWORK => note_network(request, shape, arch::compat(task), entry),
        command::SPLICE => note_splice(task, request, entry),
        _ => note_read_write(request, shape, arch::compat(task), entry),
    }
    shape
}

#[inline(always)]
fn note_read_write(request: u64, shape: CallShape, compat: bool, entry: &mut Request) {
    let address: u64 = probe(request, offset!(rw_addr));
    let length: u32 = probe(request, offset!(rw_len));
    entry.call_flags = probe(request, offset!(rw_flags));
    note_memory(shape.class, address, length, compat, entry);
}

#[inline(always)]
fn note_network(request: u64, shape: CallShape, compat: bool, entry: &mut Request) {
    let address: u64 = probe(request, offset!(network_buffer));
    let length: u32 = probe(request, offset!(network_length));
    let options: u16 =
        if offset!(network_options) == ABSENT { 0 } else { probe(request, offset!(network_options)) };
    entry.call_flags = probe(request, offset!(network_flags));
    let sends_zerocopy = entry.opcode == SEND_ZC || entry.opcode == SENDMSG_ZC;
    if sends_zerocopy && options & IORING_SEND_ZC_REPORT_USAGE != 0 && offset!(network_notification) != ABSENT
    {
        entry.notification = probe(request, offset!(network_notification));
    }
    let bundles = options & IORING_RECVSEND_BUNDLE != 0;
    if bundles || shape.source_fd == OWN_FILE && options & IORING_RECV_MULTISHOT != 0 {
        entry.flags |= REPEATS;
    }
    if bundles {
        // Of several provided buffers, each maybe in part.
        entry.buffer = address;
        entry.vectors = u32::MAX;
    } else if shape.class == CallClass::MESSAGE {
        entry.buffer = address;
        if entry.flags & REPEATS != 0 {
            entry.heading = payload::multishot_heading(address, compat);
        }
        let (base, count) = payload::message_vector(address, compat);
        let count = if count > u32::MAX as u64 { u32::MAX } else { count as u32 };
        note_memory(CallClass::VECTOR, base, count, compat, entry);
    } else if shape.sink_fd == OWN_FILE && options & IORING_SEND_VECTORIZED != 0 {
        note_memory(CallClass::VECTOR, address, length, compat, entry);
    } else {
        note_memory(CallClass::BUFFER, address, length, compat, entry);
    }
}

/// The user memory of a request, for which the ring's own ABI counts: that of the call which submits, or which a polling
/// thread was made by (arch/x86: it keeps the mark, because it never returns to user mode). With a provided buffer the
/// kernel chooses it when it runs the request.
#[inline(always)]
fn note_memory(class: CallClass, address: u64, length: u32, compat: bool, entry: &mut Request) {
    if class == CallClass::BUFFER {
        entry.buffer = address;
        if entry.flags & IOSQE_BUFFER_SELECT == 0 {
            entry.asked = length as u64;
        }
    } else if entry.flags & IOSQE_BUFFER_SELECT == 0 {
        payload::vector(address, length as u64, compat, &mut entry.iovecs);
        entry.vectors = length;
    }
}

#[inline(always)]
fn note_splice(task: Task, request: u64, entry: &mut Request) {
    let fd: u32 = probe(request, offset!(splice_fd_in));
    let flags: u32 = probe(request, offset!(splice_flags));
    entry.asked = probe(request, offset!(splice_length));
    entry.call_flags = flags & !SPLICE_F_FD_IN_FIXED;
    let file = if flags & SPLICE_F_FD_IN_FIXED != 0 {
        registered_file(entry.ring, fd)
    } else {
        entry.other_fd = fd as i32;
        identity::file_of(task, fd)
    };
    let OpenFile { serial, flags } = identity::of_file(file, fd);
    entry.other = serial;
    entry.other_flags = flags;
}

/// A file that was registered with the ring (io_uring/rsrc.h, `io_rsrc_node_lookup`; before 6.13 io_uring/filetable.h,
/// `io_file_from_index`).
#[inline(always)]
fn registered_file(ring: u64, index: u32) -> u64 {
    if offset!(ctx_file_nodes) != ABSENT {
        let count: u32 = probe(ring, offset!(ctx_file_count));
        if index >= count {
            return 0;
        }
        let nodes: u64 = probe(ring, offset!(ctx_file_nodes));
        let node: u64 = probe(nodes.wrapping_add(index as u64 * 8), 0);
        return probe::<u64>(node, offset!(node_file)) & !FIXED_FILE_FLAGS;
    }
    if offset!(ctx_fixed_files) == ABSENT {
        return 0;
    }
    let count: u32 = probe(ring, offset!(ctx_fixed_count));
    if index >= count {
        return 0;
    }
    let files: u64 = probe(ring, offset!(ctx_fixed_files));
    probe::<u64>(files.wrapping_add(index as u64 * 8), 0) & !FIXED_FILE_FLAGS
}

/// `request` is 0 where the kernel does not say which one it is: of a further completion of the same request.
#[inline(always)]
fn completed(request: u64, completion: &Completion) {
    if threads::has_ended() {
        return;
    }
    let task = Task::current();
    if completion.flags & IORING_CQE_F_NOTIF != 0 {
        return notified(request, completion);
    }
    let name = RequestName { ring: completion.ring, user_data: completion.user_data };
    let mut number = request;
    if request == 0 {
        // SAFETY: copied at once.
        match unsafe { MULTISHOT_REQUESTS.get(name) } {
            Some(found) if *found != SEVERAL => number = *found,
            _ => return unnamed(task, completion),
        }
    }
    let known = REQUESTS.get_ptr_mut(number);
    let entry = match known {
        // SAFETY: an entry is replaced only by a request at the same address, which then is no more.
        Some(entry) => unsafe { &mut *entry },
        None if request == 0 => return unnamed(task, completion),
        None => match of_this_thread(task, request, completion) {
            Some(entry) => entry,
            None => return,
        },
    };
    let opcode = probe::<u8>(number, offset!(request_opcode)) as u32;
    if entry.user_data == completion.user_data && entry.opcode == opcode {
        let buffer = selected_buffer(number, entry, request == 0);
        finish(task, number, entry, completion, buffer, request == 0);
    }
    if request != 0 {
        let _ = REQUESTS.remove(request);
        // SAFETY: copied at once. Of several the others are not told apart any better.
        if entry.flags & REPEATS != 0 && unsafe { MULTISHOT_REQUESTS.get(name) }.copied() != Some(SEVERAL) {
            let _ = MULTISHOT_REQUESTS.remove(name);
        }
    }
}

/// The kernel is done with what a request sent without copying: whoever runs when it learns of that.
#[inline(always)]
fn notified(notification: u64, completion: &Completion) {
    // SAFETY: copied at once.
    let Some(socket) = (unsafe { NOTIFICATIONS.get(notification) }).copied() else { return };
    let _ = NOTIFICATIONS.remove(notification);
    let Some(mut room) = emit::reserve::<NotificationRecord>() else {
        lost(|losses| losses.lost_events += 1);
        return;
    };
    // SAFETY: time has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let record = emit::body(&mut room);
    record.header =
        Header { kind: RecordKind::NOTIFICATION.0, flags: 0, call: 0, tgid: 0, tid: 0, time_ns: now };
    record.socket = socket;
    record.number = requests::notification_number(notification);
    record.copied = (completion.result as u32 & IORING_NOTIF_USAGE_ZC_COPIED != 0) as u32;
    emit::submit(room, now);
}

/// A completion of nobody knows which request: if it comes with a provided buffer, payload was moved.
#[inline(always)]
fn unnamed(task: Task, completion: &Completion) {
    if completion.flags & IORING_CQE_F_BUFFER != 0 && completion.result > 0 && slot_of(task).is_some() {
        lost(|losses| losses.untraced_requests += 1);
    }
}

/// A request that was submitted before tracing began. It is this thread's if any traced one's.
#[inline(always)]
fn of_this_thread(task: Task, request: u64, completion: &Completion) -> Option<&'static mut Request> {
    let slot = slot_of(task)?;
    // SAFETY: this CPU's own entry.
    let entry = unsafe { &mut *REQUEST_SCRATCH.get_ptr_mut(0)? };
    note(task, request, entry);
    // What running it has used up says nothing any more.
    entry.buffer = 0;
    entry.asked = u64::MAX;
    entry.vectors = u32::MAX;
    entry.fd = -1;
    entry.user_data = completion.user_data;
    entry.tgid = slot.tgid;
    entry.tid = slot.tid;
    entry.start_ns = 0;
    entry.call_start_ns = 0;
    entry.ran = ran::UNKNOWN;
    entry.transitions = 0;
    Some(entry)
}

#[inline(always)]
fn finish(
    task: Task,
    request: u64,
    entry: &mut Request,
    completion: &Completion,
    buffer: u64,
    to_complete_again: bool,
) {
    let call = table_index(entry.opcode);
    let shape = calls::shape_of(call);
    let Some(outcome) = Outcome::new(entry, call, shape, completion.result as i64) else { return };
    outcome.selected = buffer;
    if let Some(slot) = slot_of(task) {
        if to_complete_again {
            // The function that runs it has not returned.
            copies::claim(slot.tid, request);
        }
        entry.transitions += claim_transitions(slot);
        let in_its_call = slot.state & state::IN_CALL != 0
            && slot.tid == entry.tid
            && slot.call_start_ns == entry.call_start_ns;
        if outcome.ran == ran::INLINE && !in_its_call {
            outcome.ran = ran::DEFERRED;
        }
    } else if outcome.ran == ran::INLINE {
        outcome.ran = ran::DEFERRED;
    }
    if moves_payload(shape) {
        let own = identity::of_file(probe(request, offset!(request_file)), entry.fd as u32);
        let other = OpenFile { serial: entry.other, flags: entry.other_flags };
        outcome.source = if shape.source_fd == OWN_FILE { own } else { other };
        outcome.sink = if shape.sink_fd == OWN_FILE { own } else { OpenFile::NONE };
    }
    let notifies =
        (entry.notification != 0) & (outcome.bytes > 0) & (completion.flags & IORING_CQE_F_MORE != 0);
    outcome.notifies = notifies as u32;
    if notifies {
        let _ = NOTIFICATIONS.insert(entry.notification, outcome.sink.serial, 0);
    }
    let copied = entry.counted.to_user.wrapping_add(entry.counted.from_user);
    if entry.flags & REPEATS != 0 && copied != outcome.bytes {
        // Some kernels tell of several completions at once, later (6.3 to 6.9, `__io_flush_post_cqes`): which part is whose is
        // not known then.
        entry.counted = Counted::NONE;
    }
    requests::tell(entry, outcome);
    // Should it complete again, then that took from now on.
    entry.start_ns = outcome.now;
    entry.transitions = 0;
    entry.counted = Counted::NONE;
}

/// Where the payload is in the provided buffer that the kernel chose; 0 if that is not known. Many kernels leave the
/// buffer's address where the request's own would be. Newer ones do not for `recv`, but as long as the request is
/// `to_complete_again` its iterator stands (io_uring/net.c, `io_recv_buf_select`).
#[inline(always)]
fn selected_buffer(request: u64, entry: &Request, to_complete_again: bool) -> u64 {
    if entry.flags & IOSQE_BUFFER_SELECT == 0 {
        return 0;
    }
    let shape = calls::shape_of(table_index(entry.opcode));
    if shape.buffer != command::NETWORK {
        // It is gone already from a read that completes many times over, and a vector points to it.
        let known = shape.class == CallClass::BUFFER && entry.opcode != READ_MULTISHOT;
        return if known { unless(probe(request, offset!(rw_addr)), entry.buffer) } else { 0 };
    }
    let address = unless(probe(request, offset!(network_buffer)), entry.buffer);
    if shape.class == CallClass::MESSAGE {
        // io_recvmsg_prep_multishot
        return if entry.heading == 0 || address == 0 { 0 } else { address + entry.heading as u64 };
    }
    if address != 0 || !to_complete_again || offset!(message_iterator) == ABSENT {
        return address;
    }
    let message: u64 = probe(request, offset!(request_async));
    let place: u64 = probe(message, offset!(message_iterator));
    // Of several buffers it is a list in the kernel's own memory.
    if message == 0 || (place as i64) < 0 { 0 } else { place }
}

/// `value`, unless it is as it was.
#[inline(always)]
fn unless(value: u64, before: u64) -> u64 {
    if value == before { 0 } else { value }
}
