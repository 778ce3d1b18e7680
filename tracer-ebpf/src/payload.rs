//! The user memory and the bytes of a finished operation, read from the target's own arguments.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use tracer_common::{
    limits::{IOVECS, MESSAGES},
    record::{IoVec, OperationRecord, flag},
};

use crate::{kernel::Task, threads};

/// Where the members of a `struct msghdr` are, and how wide its words.
#[derive(Clone, Copy)]
struct MessageLayout {
    name_length: u64,
    vector: u64,
    vector_length: u64,
    control_length: u64,
    /// Of `struct mmsghdr`: its size, and where the message's length is.
    stride: u64,
    length: u64,
}

impl MessageLayout {
    /// include/linux/socket.h, `struct user_msghdr`, on 64-bit machines.
    const NATIVE: Self =
        Self { name_length: 8, vector: 16, vector_length: 24, control_length: 40, stride: 64, length: 56 };
    /// include/net/compat.h, `struct compat_msghdr` and `struct compat_mmsghdr`.
    const COMPAT: Self =
        Self { name_length: 4, vector: 8, vector_length: 12, control_length: 20, stride: 32, length: 28 };

    #[inline(always)]
    fn of(compat: bool) -> Self {
        if compat { Self::COMPAT } else { Self::NATIVE }
    }
}

/// Size of `struct io_uring_recvmsg_out` (include/uapi/linux/io_uring.h).
const RECVMSG_OUT: u32 = 16;

/// A value of the target's memory; zeros if it cannot be read (without a branch: see `kernel::probe`).
#[inline(always)]
pub fn user<T: Copy>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the address and always writes the whole value; T is made of integers.
    unsafe {
        bpf_probe_read_user(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const c_void);
        value.assume_init()
    }
}

/// An address or a size of the target's: of a 32-bit one half as wide.
#[inline(always)]
pub fn word(address: u64, compat: bool) -> u64 {
    if compat { user::<u32>(address) as u64 } else { user(address) }
}

/// Notes the first bytes of a record's payload.
#[inline(always)]
pub fn note_head(record: &mut OperationRecord, buffer: u64) {
    let length = if record.bytes > 8 { 8 } else { record.bytes as u32 };
    let into = record.head.as_mut_ptr().cast();
    // SAFETY: at most the size of `head`.
    if length > 0 && unsafe { bpf_probe_read_user(into, length, buffer as *const c_void) == 0 } {
        record.call.header.flags |= flag::HEAD_KNOWN;
    }
}

/// Notes the eight bytes before `end`, unless that is 0.
#[inline(always)]
pub fn note_tail(record: &mut OperationRecord, end: u64) {
    if end == 0 {
        return;
    }
    let (into, from) = (record.tail.as_mut_ptr().cast(), end.wrapping_sub(8));
    // SAFETY: the size of `tail`.
    if unsafe { bpf_probe_read_user(into, 8, from as *const c_void) == 0 } {
        record.call.header.flags |= flag::TAIL_KNOWN;
    }
}

/// The end of a payload in one buffer, if it has eight bytes; 0 else.
#[inline(always)]
pub fn end(buffer: u64, bytes: u64) -> u64 {
    if bytes >= 8 { buffer.wrapping_add(bytes) } else { 0 }
}

/// Where a payload in several buffers ends, if that is in one of the first and it has eight bytes there; 0 else.
#[inline(never)]
pub fn end_of_vector(iovecs: &[IoVec; IOVECS], count: u64, bytes: u64) -> u64 {
    let (mut left, mut last) = (bytes, 0);
    for (index, entry) in (0..).zip(iovecs) {
        if index >= count || left == 0 {
            break;
        }
        let part = if entry.length < left { entry.length } else { left };
        last = end(entry.base, part);
        left -= part;
    }
    if left == 0 { last } else { 0 }
}

/// Address and number of entries of the iovecs that a message header points to.
#[inline(always)]
pub fn message_vector(header: u64, compat: bool) -> (u64, u64) {
    let layout = MessageLayout::of(compat);
    (
        word(header.wrapping_add(layout.vector), compat),
        word(header.wrapping_add(layout.vector_length), compat),
    )
}

/// Bytes that the kernel puts before the payload when `recvmsg` completes many times over into provided buffers: a head
/// and room for address and control data as large as in the program's message header (io_uring/net.c,
/// `io_recvmsg_multishot`).
#[inline(always)]
pub fn multishot_heading(header: u64, compat: bool) -> u32 {
    let layout = MessageLayout::of(compat);
    let name: u32 = user(header.wrapping_add(layout.name_length));
    let control = word(header.wrapping_add(layout.control_length), compat);
    RECVMSG_OUT.wrapping_add(name).wrapping_add(control as u32)
}

/// Copies the first iovecs. Entries beyond `count` keep what was there; user space does not look at them.
#[inline(always)]
pub fn vector(base: u64, count: u64, compat: bool, into: &mut [IoVec; IOVECS]) {
    if compat {
        return compat_vector(base, into);
    }
    let entries = if count > IOVECS as u64 { IOVECS as u64 } else { count };
    let bytes = entries as u32 * size_of::<IoVec>() as u32;
    // SAFETY: at most the size of `into`.
    unsafe { bpf_probe_read_user(into.as_mut_ptr().cast(), bytes, base as *const c_void) };
}

/// Likewise of a 32-bit program (include/linux/compat.h, `struct compat_iovec`). One by one, also beyond the last one: each
/// way out of the loop would be walked on from by the verifier. Not inlined: rare, and it would be in every program.
#[inline(never)]
fn compat_vector(base: u64, into: &mut [IoVec; IOVECS]) {
    for (index, entry) in (0..).zip(into.iter_mut()) {
        let at = base.wrapping_add(index * 8);
        *entry = IoVec { base: word(at, true), length: word(at.wrapping_add(4), true) };
    }
}

/// The first iovec of each of the first messages of an array.
#[inline(always)]
pub fn messages_vector(base: u64, count: u64, into: &mut [IoVec; IOVECS]) {
    for (index, entry) in (0..).zip(into.iter_mut()) {
        if index >= count {
            break;
        }
        let MessageLayout { stride, vector, .. } = MessageLayout::NATIVE;
        let vector: u64 = user(base.wrapping_add(index * stride + vector));
        *entry = user(vector);
    }
}

/// Bytes moved by `sendmmsg` or `recvmmsg`, which return a number of messages: the sum of their `msg_len`. A global function
/// with numbers as its arguments: the verifier walks its turns once for each program, not once for each way that leads to it.
///
/// Count and sum go through memory: in registers their ranges would differ at each way out of the loop, and the verifier
/// would walk what follows once for every number of messages.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn messages_bytes(base: u64, count: u64, compat: u64) -> u64 {
    let Some(slot) = threads::slot_of(Task::current()) else { return 0 };
    let MessageLayout { stride, length: length_at, .. } = MessageLayout::of(compat != 0);
    slot.messages = count;
    slot.message_bytes = 0;
    for index in 0..MESSAGES as u64 {
        // SAFETY: a valid reference.
        if index >= unsafe { ptr::read_volatile(&slot.messages) } {
            break;
        }
        let length: u32 = user(base.wrapping_add(index * stride + length_at));
        // SAFETY: likewise.
        unsafe { ptr::write_volatile(&mut slot.message_bytes, slot.message_bytes + length as u64) };
    }
    // SAFETY: likewise.
    unsafe { ptr::read_volatile(&slot.message_bytes) }
}
