//! Records of the ring buffer. Every record begins with a [`Header`]; an unknown kind is counted by the reader, never
//! an error, so that either side may be newer.

use crate::{counted::Counted, limits::IOVECS};

/// What a record is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct RecordKind(pub u16);

impl RecordKind {
    /// A [`CallRecord`].
    pub const CALL: Self = Self(1);
    /// An [`OperationRecord`].
    pub const OPERATION: Self = Self(2);
    /// A [`VectorRecord`].
    pub const VECTOR: Self = Self(3);
    /// A [`DescriptorRecord`].
    pub const DESCRIPTOR: Self = Self(4);
    /// A [`ThreadRecord`]: a thread was born.
    pub const THREAD_START: Self = Self(5);
    /// A [`ThreadRecord`]: a thread left the CPU for the last time.
    pub const THREAD_END: Self = Self(6);
    /// A [`ThreadRecord`]: a process began to execute another program.
    pub const EXEC: Self = Self(7);
    /// A [`FaultRecord`]: a page fault.
    pub const FAULT: Self = Self(8);
    /// A [`RequestRecord`].
    pub const REQUEST: Self = Self(9);
    /// A [`NotificationRecord`].
    pub const NOTIFICATION: Self = Self(10);
}

/// Bits of [`Header::flags`].
pub mod flag {
    /// The call was in flight when tracing began: its start, and what happened before, is unknown.
    pub const NO_START: u16 = 1;
    /// `storage_read_bytes` and `storage_written_bytes` are known: the kernel keeps task I/O accounts, and what they grew by
    /// is this call's alone.
    pub const STORAGE_KNOWN: u16 = 2;
    /// `head` holds the first bytes of the payload.
    pub const HEAD_KNOWN: u16 = 4;
    /// `tail` holds the last bytes of the payload.
    pub const TAIL_KNOWN: u16 = 8;
    /// A send with MSG_ZEROCOPY: `zerocopy` holds the numbers that the socket gave to it (none if it did not heed the
    /// flag).
    pub const ZEROCOPY_SEND: u16 = 16;
    /// A report on such sends: `zerocopy` holds their numbers.
    pub const ZEROCOPY_DONE: u16 = 32;
    /// And it says that they were copied.
    pub const ZEROCOPY_COPIED: u16 = 64;
    /// The page fault was taken in kernel mode.
    pub const FAULT_IN_KERNEL: u16 = 128;
    /// Of a request: the kernel chose the buffer among those that the process provided, and where it is is not known.
    pub const BUFFER_UNKNOWN: u16 = 256;
    /// The page fault was a write.
    pub const FAULT_WRITES: u16 = 512;
    /// The page was there, but not to be used so.
    pub const FAULT_ON_PRESENT: u16 = 1024;
    /// Of an operation: the thread has made others since the last one that was told.
    pub const AFTER_UNTOLD: u16 = 2048;
    /// The call began and ended while tracing, but its start, and what happened inside, is unknown: entries of calls are
    /// not hooked, or seccomp or a debugger refused it before the hook.
    pub const UNTIMED: u16 = 4096;
    /// What happened inside the call is not known: time, switches, faults, interrupts.
    pub const START_UNSEEN: u16 = NO_START | UNTIMED;

    const ALL: [u16; 13] = [
        NO_START,
        STORAGE_KNOWN,
        HEAD_KNOWN,
        TAIL_KNOWN,
        ZEROCOPY_SEND,
        ZEROCOPY_DONE,
        ZEROCOPY_COPIED,
        FAULT_IN_KERNEL,
        BUFFER_UNKNOWN,
        FAULT_WRITES,
        FAULT_ON_PRESENT,
        AFTER_UNTOLD,
        UNTIMED,
    ];
    /// Each is one bit, and a bit of its own.
    const _: () = {
        let mut at = 0;
        while at < ALL.len() {
            assert!(ALL[at] == 1 << at);
            at += 1;
        }
    };
}

/// The head of every record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Header {
    /// A [`RecordKind`].
    pub kind: u16,
    /// Bits of [`flag`].
    pub flags: u16,
    /// Table index of the system call, where there is one.
    pub call: u32,
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
    /// Monotonic time of the event (of a call: of its end), ns.
    pub time_ns: u64,
}

/// A finished system call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct CallRecord {
    /// The head.
    pub header: Header,
    /// Wall time, ns; 0 with [`flag::NO_START`].
    pub duration_ns: u64,
    /// Time blocked, ns.
    pub blocked_ns: u64,
    /// Time preempted, ns.
    pub preempted_ns: u64,
    /// The return value; negative is an errno.
    pub result: i64,
    /// Voluntary context switches inside the call.
    pub voluntary: u32,
    /// Involuntary ones.
    pub involuntary: u32,
    /// Minor page faults inside the call (taken by the kernel's own copying).
    pub minor_faults: u32,
    /// Major ones.
    pub major_faults: u32,
    /// Interrupts that arrived during the call.
    pub interrupts: u32,
    /// Padding.
    pub _pad: u32,
}

/// A finished operation: a call that moves payload.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct OperationRecord {
    /// What every call has.
    pub call: CallRecord,
    /// Serial of the source endpoint, 0 for none or unknown.
    pub source: u64,
    /// Serial of the sink endpoint, 0 for none or unknown.
    pub sink: u64,
    /// Descriptor of the source, -1 for none.
    pub source_fd: i32,
    /// Descriptor of the sink, -1 for none.
    pub sink_fd: i32,
    /// `f_flags` of the source (O_DIRECT, O_NONBLOCK, access mode).
    pub source_flags: u32,
    /// `f_flags` of the sink.
    pub sink_flags: u32,
    /// Address of the buffer in the target, 0 where there is none or there are several.
    pub buffer: u64,
    /// Bytes asked for; `u64::MAX` where the iovecs tell.
    pub asked: u64,
    /// Bytes moved; 0 on error.
    pub bytes: u64,
    /// Bytes fetched from storage during the call, by this thread.
    pub storage_read_bytes: u64,
    /// Bytes made dirty, or written directly, during the call, by this thread.
    pub storage_written_bytes: u64,
    /// The call's flags argument.
    pub call_flags: u32,
    /// How many iovecs the call had (0 for a plain buffer).
    pub vectors: u32,
    /// The first bytes of the payload in the target's memory, as many as there are up to eight; with
    /// [`flag::HEAD_KNOWN`]. They tell whether a buffer that is written from still holds what was read into it.
    pub head: [u8; 8],
    /// Likewise the last eight bytes, with [`flag::TAIL_KNOWN`]: of a payload in several buffers those of the last part, if that has as many.
    pub tail: [u8; 8],
    /// With [`flag::ZEROCOPY_SEND`] or [`flag::ZEROCOPY_DONE`]: which sends of the socket.
    pub zerocopy: ZerocopyIds,
    /// What was counted inside the call; nothing with [`flag::NO_START`].
    pub counted: Counted,
}

/// One `struct iovec` of the target.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct IoVec {
    /// Address in the target.
    pub base: u64,
    /// Bytes.
    pub length: u64,
}

/// Numbers that a socket gives to its sends with MSG_ZEROCOPY (`sk_zckey`). They wrap.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct ZerocopyIds {
    /// The first one.
    pub first: u32,
    /// The one after the last.
    pub end: u32,
}

/// An operation with the first iovecs of its vector.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct VectorRecord {
    /// The operation.
    pub operation: OperationRecord,
    /// `min(vectors, IOVECS)` of these are set.
    pub iovecs: [IoVec; IOVECS],
}

/// Who ran a request: [`RequestRecord::ran`].
pub mod ran {
    /// The call that submitted it, before it returned.
    pub const INLINE: u32 = 0;
    /// Its thread, later.
    pub const DEFERRED: u32 = 1;
    /// A worker of the kernel (io-wq).
    pub const WORKER: u32 = 2;
    /// The kernel's polling thread (SQPOLL) submitted it.
    pub const POLLING_THREAD: u32 = 3;
    /// Not known: it was submitted before tracing began.
    pub const UNKNOWN: u32 = 4;
}

/// A completed request of io_uring that moves payload. Its time is that from submission to completion.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct RequestRecord {
    /// The operation, with the first iovecs if it has any.
    pub vector: VectorRecord,
    /// What the program knows it by.
    pub user_data: u64,
    /// Mode switches of `io_uring_enter` that fall to it.
    pub transitions: u32,
    /// One of [`ran`].
    pub ran: u32,
}

/// The kernel is done with the memory of a request that sends without copying, and says whether it copied it after all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct NotificationRecord {
    /// The head.
    pub header: Header,
    /// Serial of the socket.
    pub socket: u64,
    /// The number that the request's record had in `zerocopy`.
    pub number: u32,
    /// 1: copied.
    pub copied: u32,
}

/// A finished call that changed descriptors or mappings.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct DescriptorRecord {
    /// What every call has.
    pub call: CallRecord,
    /// Its arguments, as passed.
    pub args: [u64; 6],
    /// Serial of the endpoint of a mapped file, of the descriptor that the call made (the first of two), or whose
    /// addresses it changed; 0 else.
    pub endpoint: u64,
    /// Serial of the second descriptor that the call made, 0 else.
    pub second_endpoint: u64,
    /// Descriptors that the call wrote to user memory (`pipe`, `socketpair`), -1 else.
    pub descriptors: [i32; 2],
}

/// A page fault of a traced thread.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct FaultRecord {
    /// The head; the call is the one that the thread is in, or was in last.
    pub header: Header,
    /// The address.
    pub address: u64,
    /// The thread's minor faults before this one, the low half (`min_flt`), and
    pub minor_faults: u32,
    /// major ones: with those before the next fault they tell which of both this one was.
    pub major_faults: u32,
}

/// A thread began, ended, or executed a program.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct ThreadRecord {
    /// The head.
    pub header: Header,
    /// Start: the parent's process. Exec: the thread id that the thread had before.
    pub parent: u32,
    /// The slot of the thread.
    pub slot: u32,
    /// End: `exit_code` as `wait(2)` reports it.
    pub exit_code: u32,
    /// Start: 1 if the thread shares the descriptor table of the one that made it (CLONE_FILES), 0 if it has its own.
    pub shares_descriptors: u32,
    /// `start_boottime`, ns.
    pub start_ns: u64,
    /// `comm`, as the kernel pads it.
    pub comm: [u8; 16],
}

const _: () = assert!(size_of::<Header>() == 24);
const _: () = assert!(size_of::<CallRecord>() == 80);
const _: () = assert!(size_of::<OperationRecord>() == 248);
const _: () = assert!(size_of::<VectorRecord>() == 248 + 128);
const _: () = assert!(size_of::<DescriptorRecord>() == 152);
const _: () = assert!(size_of::<NotificationRecord>() == 40);
const _: () = assert!(size_of::<RequestRecord>() == 248 + 128 + 16);
const _: () = assert!(size_of::<FaultRecord>() == 40);
const _: () = assert!(size_of::<ThreadRecord>() == 64);
