//! The user memory and the bytes of a finished operation, read from the target's own arguments.

use aya_ebpf::helpers::bpf_probe_read_user;
use tracer_common::{
    limits::{IOVECS, MESSAGES},
    record::IoVec,
};

/// 64-bit `struct msghdr`: `msg_iov` and `msg_iovlen` (include/linux/socket.h, `struct user_msghdr`).
const MSG_IOV: u64 = 16;
const MSG_IOVLEN: u64 = 24;
/// 64-bit `struct mmsghdr`: its size, and where the message's length is.
const MMSGHDR: u64 = 64;
const MSG_LEN: u64 = 56;

#[inline(always)]
fn user<T: Copy + Default>(address: u64) -> T {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const T) }.unwrap_or_default()
}

/// An array of iovecs in the target: address and number of entries.
#[inline(always)]
pub fn message_vector(header: u64) -> (u64, u64) {
    (user(header + MSG_IOV), user(header + MSG_IOVLEN))
}

/// Copies the first iovecs; returns the bytes they ask for, or `u64::MAX` if there are more than fit.
#[inline(always)]
pub fn vector(base: u64, count: u64, into: &mut [IoVec; IOVECS]) -> u64 {
    let mut asked: u64 = 0;
    for (index, entry) in into.iter_mut().enumerate() {
        *entry = if (index as u64) < count {
            user(base + index as u64 * size_of::<IoVec>() as u64)
        } else {
            IoVec { base: 0, length: 0 }
        };
        asked = asked.wrapping_add(entry.length);
    }
    if count > IOVECS as u64 { u64::MAX } else { asked }
}

/// The first iovec of each of the first messages of an array.
#[inline(always)]
pub fn messages_vector(base: u64, count: u64, into: &mut [IoVec; IOVECS]) {
    for (index, entry) in into.iter_mut().enumerate() {
        *entry = if (index as u64) < count {
            user(user(base + index as u64 * MMSGHDR + MSG_IOV))
        } else {
            IoVec { base: 0, length: 0 }
        };
    }
}

/// Bytes moved by `sendmmsg` or `recvmmsg`, which return a number of messages: the sum of their `msg_len`.
#[inline(never)]
pub fn messages_bytes(base: u64, count: u64) -> u64 {
    let mut bytes: u64 = 0;
    for index in 0..MESSAGES as u64 {
        if index >= count {
            break;
        }
        bytes += user::<u32>(base + index * MMSGHDR + MSG_LEN) as u64;
    }
    bytes
}
