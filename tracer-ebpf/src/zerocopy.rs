//! MSG_ZEROCOPY: the kernel numbers the sends of a socket that it does without copying, and reports on the socket's error
//! queue when it is done with their pages, and whether it copied them after all
//! (Documentation/networking/msg_zerocopy.rst).

use tracer_common::{
    call::{CallClass, CallShape, NONE},
    record::{OperationRecord, ZerocopyIds, flag},
    slot::ThreadSlot,
};

use crate::{
    calls::is_compat,
    identity,
    kernel::{Task, offset, probe},
    payload::{user, word},
};

/// include/linux/socket.h
const MSG_ERRQUEUE: u64 = 0x2000;
const MSG_ZEROCOPY: u64 = 0x400_0000;
/// 64-bit `struct user_msghdr` (include/linux/socket.h): `msg_control` and `msg_controllen`; size and `cmsg_level` of its
/// `struct cmsghdr`.
const NATIVE: [u64; 4] = [32, 40, 16, 8];
/// The same of the 32-bit ABI (include/net/compat.h).
const COMPAT: [u64; 4] = [16, 20, 12, 4];
/// `SOL_IP` with `IP_RECVERR`, `SOL_IPV6` with `IPV6_RECVERR`: level in the lower half.
const IP_RECVERR: u64 = 11 << 32;
const IPV6_RECVERR: u64 = 25 << 32 | 41;
/// include/uapi/linux/errqueue.h
const SO_EE_ORIGIN_ZEROCOPY: u8 = 5;
const SO_EE_CODE_ZEROCOPY_COPIED: u8 = 1;

/// `struct sock_extended_err` (include/uapi/linux/errqueue.h).
#[derive(Clone, Copy)]
#[repr(C)]
struct Report {
    errno: u32,
    origin: u8,
    kind: u8,
    code: u8,
    _pad: u8,
    info: u32,
    data: u32,
}

const REPORT: u64 = size_of::<Report>() as u64;
const _: () = assert!(REPORT == 16);

/// At the entry of a send: the number that the socket gives to it, if it does it without copying.
#[inline(always)]
pub fn note(task: Task, slot: &mut ThreadSlot, shape: CallShape) {
    if asks(slot, shape) {
        slot.zerocopy_first = next_number(task, slot.args[0] as u32);
    }
}

/// At its return: which numbers were given out meanwhile. Of a look at the error queue: what it reports.
#[inline(always)]
pub fn tell(record: &mut OperationRecord, slot: &ThreadSlot, shape: CallShape) {
    if asks(slot, shape) {
        if record.call.header.flags & flag::START_UNSEEN != 0 {
            // Which numbers it was given nobody can tell, nor whether it was given any.
            return;
        }
        let end = next_number(Task::current(), slot.args[0] as u32);
        record.zerocopy = ZerocopyIds { first: slot.zerocopy_first, end };
        record.call.header.flags |= flag::ZEROCOPY_SEND;
    } else if reports(slot, shape) && record.call.result >= 0 {
        let (header, compat) = (slot.args[1], is_compat(slot));
        let [control, length, size, level] = if compat { COMPAT } else { NATIVE };
        if word(header.wrapping_add(length), compat) >= size + REPORT {
            let message = word(header.wrapping_add(control), compat);
            tell_report(record, user(message.wrapping_add(level)), user(message.wrapping_add(size)));
        }
    }
}

#[inline(always)]
fn tell_report(record: &mut OperationRecord, level: u64, report: Report) {
    if (level == IP_RECVERR || level == IPV6_RECVERR) && report.origin == SO_EE_ORIGIN_ZEROCOPY {
        record.zerocopy = ZerocopyIds { first: report.info, end: report.data.wrapping_add(1) };
        record.call.header.flags |= flag::ZEROCOPY_DONE;
        if report.code & SO_EE_CODE_ZEROCOPY_COPIED != 0 {
            record.call.header.flags |= flag::ZEROCOPY_COPIED;
        }
    }
}

/// Whether the kernel numbers the call, or reports on such: each says something of its own.
#[inline(always)]
pub fn concerns(slot: &ThreadSlot, shape: CallShape) -> bool {
    asks(slot, shape) || reports(slot, shape)
}

#[inline(always)]
fn asks(slot: &ThreadSlot, shape: CallShape) -> bool {
    let sends = shape.class == CallClass::BUFFER
        || shape.class == CallClass::MESSAGE
        || shape.class == CallClass::MESSAGES;
    sends && shape.sink_fd == 0 && flags(slot, shape) & MSG_ZEROCOPY != 0
}

#[inline(always)]
fn reports(slot: &ThreadSlot, shape: CallShape) -> bool {
    shape.class == CallClass::MESSAGE && shape.source_fd == 0 && flags(slot, shape) & MSG_ERRQUEUE != 0
}

#[inline(always)]
fn flags(slot: &ThreadSlot, shape: CallShape) -> u64 {
    if shape.flags == NONE { 0 } else { slot.args[(shape.flags & 7) as usize] }
}

/// `sk_zckey` of the socket behind a descriptor; 0 where there is none.
#[inline(always)]
fn next_number(task: Task, fd: u32) -> u32 {
    let file = identity::file_of(task, fd);
    let socket: u64 = probe(file, offset!(file_private));
    let sk: u64 = probe(socket, offset!(socket_sk));
    probe(sk, offset!(sk_zerocopy_key))
}
