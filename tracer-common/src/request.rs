//! Requests of io_uring and of Linux AIO: what each opcode is called and does, and where its parameters are.
//!
//! Requests have places of their own in the tables by call ([`URING_BASE`], [`AIO_BASE`]), so that counters, shapes and
//! what is folded say which opcode it was.

use crate::{
    call::{CallClass, CallKind, CallShape, NONE},
    limits::{AIO_BASE, AIO_OPCODES, URING_BASE, URING_OPCODES},
};

/// Which structure of the kernel the parameters of an io_uring request are in: the `buffer` of a request's [`CallShape`].
pub mod command {
    /// `struct io_rw` (io_uring/rw.c).
    pub const READ_WRITE: u8 = 0;
    /// `struct io_sr_msg` (io_uring/net.c).
    pub const NETWORK: u8 = 1;
    /// `struct io_splice` (io_uring/splice.c).
    pub const SPLICE: u8 = 2;
}

/// One opcode.
#[derive(Clone, Copy, Debug)]
pub struct NamedRequest {
    /// Its published name: that of the `IORING_OP_` or `IOCB_CMD_` constant, in small letters.
    pub name: &'static str,
    /// What it does, if it moves payload.
    pub kind: Option<CallKind>,
    /// How to take it in.
    pub shape: CallShape,
    /// Whether it may move payload that is not traced.
    pub moves_unseen: bool,
}

/// The request's own file, as an argument: a [`CallShape`] of a request says whether it is source or sink.
pub const OWN_FILE: u8 = 0;
/// The other file of a splice.
pub const OTHER_FILE: u8 = 1;

const fn moves(
    name: &'static str,
    kind: CallKind,
    class: CallClass,
    sides: [u8; 2],
    buffer: u8,
) -> NamedRequest {
    let [source_fd, sink_fd] = sides;
    NamedRequest {
        name,
        kind: Some(kind),
        shape: CallShape {
            class,
            source_fd,
            sink_fd,
            buffer,
            length: NONE,
            flags: NONE,
            accounted: 0,
            arguments_at: 0,
        },
        moves_unseen: false,
    }
}

const FROM: [u8; 2] = [OWN_FILE, NONE];
const TO: [u8; 2] = [NONE, OWN_FILE];
const BETWEEN: [u8; 2] = [OTHER_FILE, OWN_FILE];

const fn read(name: &'static str, class: CallClass) -> NamedRequest {
    moves(name, CallKind::Read, class, FROM, command::READ_WRITE)
}

const fn write(name: &'static str, class: CallClass) -> NamedRequest {
    moves(name, CallKind::Write, class, TO, command::READ_WRITE)
}

const fn receive(name: &'static str, class: CallClass) -> NamedRequest {
    moves(name, CallKind::Receive, class, FROM, command::NETWORK)
}

const fn send(name: &'static str, class: CallClass) -> NamedRequest {
    moves(name, CallKind::Send, class, TO, command::NETWORK)
}

const fn counted(name: &'static str) -> NamedRequest {
    NamedRequest { name, kind: None, shape: CallShape::COUNTED, moves_unseen: false }
}

const fn unseen(name: &'static str) -> NamedRequest {
    NamedRequest { moves_unseen: true, ..counted(name) }
}

const BUFFER: CallClass = CallClass::BUFFER;
const VECTOR: CallClass = CallClass::VECTOR;
const MESSAGE: CallClass = CallClass::MESSAGE;

/// The opcodes of io_uring, by number (include/uapi/linux/io_uring.h, `enum io_uring_op`).
pub const URING_REQUESTS: &[NamedRequest] = &[
    counted("io_uring:nop"),
    read("io_uring:readv", VECTOR),
    write("io_uring:writev", VECTOR),
    counted("io_uring:fsync"),
    read("io_uring:read_fixed", BUFFER),
    write("io_uring:write_fixed", BUFFER),
    counted("io_uring:poll_add"),
    counted("io_uring:poll_remove"),
    counted("io_uring:sync_file_range"),
    send("io_uring:sendmsg", MESSAGE),
    receive("io_uring:recvmsg", MESSAGE),
    counted("io_uring:timeout"),
    counted("io_uring:timeout_remove"),
    counted("io_uring:accept"),
    counted("io_uring:async_cancel"),
    counted("io_uring:link_timeout"),
    counted("io_uring:connect"),
    counted("io_uring:fallocate"),
    counted("io_uring:openat"),
    counted("io_uring:close"),
    counted("io_uring:files_update"),
    counted("io_uring:statx"),
    read("io_uring:read", BUFFER),
    write("io_uring:write", BUFFER),
    counted("io_uring:fadvise"),
    counted("io_uring:madvise"),
    send("io_uring:send", BUFFER),
    receive("io_uring:recv", BUFFER),
    counted("io_uring:openat2"),
    counted("io_uring:epoll_ctl"),
    moves("io_uring:splice", CallKind::Splice, CallClass::IN_KERNEL, BETWEEN, command::SPLICE),
    counted("io_uring:provide_buffers"),
    counted("io_uring:remove_buffers"),
    moves("io_uring:tee", CallKind::Tee, CallClass::IN_KERNEL, BETWEEN, command::SPLICE),
    counted("io_uring:shutdown"),
    counted("io_uring:renameat"),
    counted("io_uring:unlinkat"),
    counted("io_uring:mkdirat"),
    counted("io_uring:symlinkat"),
    counted("io_uring:linkat"),
    counted("io_uring:msg_ring"),
    counted("io_uring:fsetxattr"),
    counted("io_uring:setxattr"),
    counted("io_uring:fgetxattr"),
    counted("io_uring:getxattr"),
    counted("io_uring:socket"),
    // What a driver makes of it (NVMe and ublk move payload by it) no result tells.
    unseen("io_uring:uring_cmd"),
    send("io_uring:send_zc", BUFFER),
    send("io_uring:sendmsg_zc", MESSAGE),
    read("io_uring:read_multishot", BUFFER),
    counted("io_uring:waitid"),
    counted("io_uring:futex_wait"),
    counted("io_uring:futex_wake"),
    counted("io_uring:futex_waitv"),
    counted("io_uring:fixed_fd_install"),
    counted("io_uring:ftruncate"),
    counted("io_uring:bind"),
    counted("io_uring:listen"),
    // Into memory that the device itself writes to: not in the copy table.
    unseen("io_uring:recv_zc"),
    counted("io_uring:epoll_wait"),
    read("io_uring:readv_fixed", VECTOR),
    write("io_uring:writev_fixed", VECTOR),
    counted("io_uring:pipe"),
];

/// What an opcode that this version does not know is called.
pub const URING_UNKNOWN: NamedRequest = unseen("io_uring:unknown");

/// The opcodes of Linux AIO, by number (include/uapi/linux/aio_abi.h, `IOCB_CMD_`).
pub const AIO_REQUESTS: &[NamedRequest] = &[
    read("aio:pread", BUFFER),
    write("aio:pwrite", BUFFER),
    counted("aio:fsync"),
    counted("aio:fdsync"),
    AIO_UNKNOWN,
    counted("aio:poll"),
    counted("aio:noop"),
    read("aio:preadv", VECTOR),
    write("aio:pwritev", VECTOR),
];

/// What an opcode of AIO that this version does not know is called.
pub const AIO_UNKNOWN: NamedRequest = unseen("aio:unknown");

/// Of the flags of a request: the kernel chooses one of the buffers that the process provided
/// (include/uapi/linux/io_uring.h).
pub const IOSQE_BUFFER_SELECT: u32 = 1 << 5;

/// Opcodes of io_uring that send without copying: MSG_ZEROCOPY without being asked by that flag.
pub const SEND_ZC: u32 = 47;
/// Likewise with a message header.
pub const SENDMSG_ZC: u32 = 48;
/// Reads again and again into provided buffers.
pub const READ_MULTISHOT: u32 = 49;

/// The request at a place of the tables by call; `None` for a system call's.
pub fn at(index: u32) -> Option<&'static NamedRequest> {
    let within = |base: u32, count: u32| index.checked_sub(base).filter(|opcode| *opcode < count);
    if let Some(opcode) = within(URING_BASE, URING_OPCODES) {
        return Some(URING_REQUESTS.get(opcode as usize).unwrap_or(&URING_UNKNOWN));
    }
    let opcode = within(AIO_BASE, AIO_OPCODES)?;
    Some(AIO_REQUESTS.get(opcode as usize).unwrap_or(&AIO_UNKNOWN))
}

const _: () = assert!(URING_REQUESTS.len() < URING_OPCODES as usize);
const _: () = assert!(AIO_REQUESTS.len() < AIO_OPCODES as usize);
