//! The user memory and the bytes of a finished operation, read from the target's own arguments.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use tracer_common::{
    limits::{IOVECS, MESSAGES},
    record::IoVec,
    slot::ThreadSlot,
};

/// 64-bit `struct msghdr`: `msg_iov` and `msg_iovlen` (include/linux/socket.h, `struct user_msghdr`).
const MSG_IOV: u64 = 16;
const MSG_IOVLEN: u64 = 24;
/// Likewise `msg_namelen` and `msg_controllen`.
const MSG_NAMELEN: u64 = 8;
const MSG_CONTROLLEN: u64 = 40;
/// Size of `struct io_uring_recvmsg_out` (include/uapi/linux/io_uring.h).
const RECVMSG_OUT: u32 = 16;
/// 64-bit `struct mmsghdr`: its size, and where the message's length is.
const MMSGHDR: u64 = 64;
const MSG_LEN: u64 = 56;
/// The same of the 32-bit ABI (include/net/compat.h, `struct compat_mmsghdr`).
const COMPAT_MMSGHDR: u64 = 32;
const COMPAT_MSG_LEN: u64 = 28;

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

/// Copies the first bytes of the payload; false if they cannot be read.
#[inline(always)]
pub fn head(buffer: u64, bytes: u64, into: &mut [u8; 8]) -> bool {
    let length = if bytes > 8 { 8 } else { bytes as u32 };
    // SAFETY: at most the size of `into`.
    unsafe { bpf_probe_read_user(into.as_mut_ptr().cast(), length, buffer as *const c_void) == 0 }
}

/// Copies the last eight bytes of a payload that has as many; false if they cannot be read.
#[inline(always)]
pub fn tail(buffer: u64, bytes: u64, into: &mut [u8; 8]) -> bool {
    let from = buffer.wrapping_add(bytes).wrapping_sub(8);
    // SAFETY: the size of `into`.
    bytes >= 8 && unsafe { bpf_probe_read_user(into.as_mut_ptr().cast(), 8, from as *const c_void) == 0 }
}

/// Address and number of entries of the iovecs that a message header points to.
#[inline(always)]
pub fn message_vector(header: u64) -> (u64, u64) {
    (user(header.wrapping_add(MSG_IOV)), user(header.wrapping_add(MSG_IOVLEN)))
}

/// Bytes that the kernel puts before the payload when `recvmsg` completes many times over into provided buffers: a head
/// and room for address and control data as large as in the program's message header (io_uring/net.c,
/// `io_recvmsg_multishot`).
#[inline(always)]
pub fn multishot_heading(header: u64) -> u32 {
    let name: u32 = user(header.wrapping_add(MSG_NAMELEN));
    let control: u64 = user(header.wrapping_add(MSG_CONTROLLEN));
    RECVMSG_OUT.wrapping_add(name).wrapping_add(control as u32)
}

/// Copies the first iovecs. Entries beyond `count` keep what was there; user space does not look at them.
#[inline(always)]
pub fn vector(base: u64, count: u64, into: &mut [IoVec; IOVECS]) {
    let entries = if count > IOVECS as u64 { IOVECS as u64 } else { count };
    let bytes = entries as u32 * size_of::<IoVec>() as u32;
    // SAFETY: at most the size of `into`.
    unsafe { bpf_probe_read_user(into.as_mut_ptr().cast(), bytes, base as *const c_void) };
}

/// The first iovec of each of the first messages of an array.
#[inline(always)]
pub fn messages_vector(base: u64, count: u64, into: &mut [IoVec; IOVECS]) {
    for (index, entry) in (0..).zip(into.iter_mut()) {
        if index >= count {
            break;
        }
        let vector: u64 = user(base.wrapping_add(index * MMSGHDR + MSG_IOV));
        *entry = user(vector);
    }
}

/// Bytes moved by `sendmmsg` or `recvmmsg`, which return a number of messages: the sum of their `msg_len`.
///
/// Count and sum go through memory: in registers their ranges would differ at each way out of the loop, and the verifier
/// would walk the rest of the program once for every number of messages.
#[inline(never)]
pub fn messages_bytes(slot: &mut ThreadSlot, base: u64, count: u64, compat: bool) {
    let (stride, length_at) = if compat { (COMPAT_MMSGHDR, COMPAT_MSG_LEN) } else { (MMSGHDR, MSG_LEN) };
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
}
