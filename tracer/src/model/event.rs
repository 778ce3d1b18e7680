//! What the model is fed: events in the order in which the kernel reported them. A live probe and a recording are both
//! sources of these; nothing here knows where they come from.

use std::{collections::BTreeMap, ops::Range};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
pub use tracer_common::{call::CallKind, counted::Counted, endpoint::route, slot::Accounts};

use super::endpoint::Endpoint;

/// Process id (thread group id), as the initial PID namespace numbers it.
pub type Pid = u32;
/// Thread id, likewise.
pub type Tid = u32;

/// The kernel side's running number of an open file's identity. Several serials may name the same endpoint; 0 is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Serial(pub u64);

/// A system call by its name and ABI, e.g. `read`, or `read` of the 32-bit ABI.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct CallName {
    /// The kernel's name without `sys_`; `unknown` for a number that the table does not have.
    pub name: &'static str,
    /// Whether it came through the 32-bit (compat) entry.
    pub compat: bool,
}

impl CallName {
    /// Whether it is no system call but a request of io_uring or AIO, such as `io_uring:read`: no system call's name has
    /// a colon.
    pub fn is_request(self) -> bool {
        self.name.contains(':')
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A serial got its identity. Comes before any operation that names it, unless the identity was lost.
    Endpoint(Serial, Endpoint),
    /// A call that moves payload finished.
    Operation(Operation),
    /// Another call finished.
    Call(Call),
    /// The kernel is done with the memory of a request that sends without copying.
    Notified {
        /// The socket.
        socket: Serial,
        /// The number that the request has in [`Operation::zerocopy`].
        number: u32,
        /// Whether it copied after all.
        copied: bool,
    },
    /// A file was mapped (by `mmap`, or it was when tracing began).
    Mapped(Mapping),
    /// All mappings of a process have been reported: what is at other addresses is no mapped file.
    MappingsKnown {
        /// The process.
        pid: Pid,
    },
    /// Addresses were unmapped, or mapped to something that is not a file.
    Unmapped {
        /// The process.
        pid: Pid,
        /// The addresses.
        range: Range<u64>,
    },
    /// `mremap` moved or resized a mapping.
    Remapped {
        /// The process.
        pid: Pid,
        /// Where it was.
        from: Range<u64>,
        /// Where it is now.
        to: Range<u64>,
    },
    /// A thread is traced from now on.
    ThreadStarted(ThreadStarted),
    /// A thread has ended.
    ThreadEnded {
        /// Its process.
        pid: Pid,
        /// The thread.
        tid: Tid,
        /// When it began, ns since boot: with the thread's number it names it for ever.
        start_ns: u64,
        /// Monotonic time, ns.
        time_ns: u64,
        /// What `wait(2)` reports.
        exit_code: u32,
    },
    /// A process executes another program: its memory is new.
    Executed {
        /// The process.
        pid: Pid,
        /// The number that the thread had which does: it takes over that of the process (fs/exec.c, `de_thread`).
        tid: Tid,
        /// When that thread began, ns since boot.
        start_ns: u64,
        /// `comm` of the new program.
        comm: String,
        /// Monotonic time, ns.
        time_ns: u64,
    },
    /// A finished call changed what descriptors stand for.
    Descriptors(DescriptorEvent),
    /// What `/proc/PID/fd` said at one moment.
    DescriptorsSeen(DescriptorsSeen),
    /// A page fault.
    Fault(Fault),
    /// Operations that were folded since the last such event, by call and endpoints: all of them.
    Folded(Vec<Folded>),
    /// What devices moved since the last time, that no operation tells of.
    DeviceIo(DeviceIo),
    /// The exact counters, read from the kernel. Each replaces the one before.
    Counters(Box<Counters>),
}

/// Ranges of user memory. Most operations have one buffer, which then takes no allocation.
pub type Buffers = SmallVec<[Range<u64>; 1]>;

/// A call that moved, or failed to move, payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// What every call has.
    pub call: Call,
    /// What it does.
    pub kind: CallKind,
    /// Where payload came from, if from a descriptor.
    pub source: Option<Side>,
    /// Where it went to, if to a descriptor.
    pub sink: Option<Side>,
    /// User memory that took part, in order. For more iovecs than the wire carries, the first ones.
    pub buffers: Buffers,
    /// Whether `buffers` is all of it.
    pub buffers_complete: bool,
    /// Bytes asked for, if known.
    pub asked_bytes: Option<u64>,
    /// Bytes moved; 0 on error.
    pub bytes: u64,
    /// Bytes that this thread had fetched from storage during the call; `None` if the kernel keeps no such account.
    pub storage_read_bytes: Option<u64>,
    /// Bytes that it made dirty, or wrote directly.
    pub storage_written_bytes: Option<u64>,
    /// The call's flags argument (`MSG_*`, `SPLICE_F_*`, `RWF_*`).
    pub flags: u32,
    /// The first bytes of the payload, at the beginning of the first buffer: as many as there are, up to eight, then
    /// zeros. `None` if they could not be read.
    pub head: Option<[u8; 8]>,
    /// The last eight bytes of the payload, at the end of its only buffer. `None` if there are not as many, if there are
    /// several buffers, or if they could not be read.
    pub tail: Option<[u8; 8]>,
    /// What has to do with MSG_ZEROCOPY.
    pub zerocopy: Option<Zerocopy>,
    /// What hooks on the copying functions counted inside the call, as far as there are such: see
    /// [`Sources`](super::sources::Sources). `None` if the call was in flight when tracing began.
    pub counted: Option<Counted>,
    /// For a request instead of a call.
    pub request: Option<Request>,
    /// Whether the thread has made others since the last one that was told: they come as [`Folded`].
    pub after_untold: bool,
}

/// What a request of io_uring has besides what every operation has. Its times are from submission to completion.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Request {
    /// What the program knows it by.
    pub user_data: u64,
    /// Mode switches of `io_uring_enter` that fall to it: those of a call fall to the first request that it submits, or
    /// else to the first that completes in it.
    pub transitions: u32,
    /// Who ran it.
    pub ran: Ran,
}

/// Who ran a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ran {
    /// The call that submitted it, before it returned.
    Inline,
    /// Its thread, later.
    Deferred,
    /// A worker of the kernel.
    Worker,
    /// The kernel's polling thread.
    PollingThread,
    /// Not known.
    Unknown,
}

/// What an operation has to do with MSG_ZEROCOPY. Sockets number such sends; the numbers wrap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Zerocopy {
    /// A send that asked for it got the numbers from `first` to before `end`; none if the socket did not heed the flag.
    Sent {
        /// The first number.
        first: u32,
        /// The one after the last.
        end: u32,
    },
    /// A report from the error queue: the kernel is done with these sends.
    Done {
        /// The first number.
        first: u32,
        /// The one after the last.
        end: u32,
        /// Whether it copied them after all.
        copied: bool,
    },
}

/// A descriptor's side of an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Side {
    /// The descriptor's number at that moment.
    pub fd: i32,
    /// The open file behind it; `Serial(0)` if that could not be found out.
    pub serial: Serial,
    /// `f_flags`: `O_DIRECT`, `O_NONBLOCK`, access mode.
    pub flags: u32,
}

/// What is known of every finished call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    /// Process.
    pub pid: Pid,
    /// Thread.
    pub tid: Tid,
    /// Which call.
    pub name: CallName,
    /// Monotonic time of its end, ns.
    pub end_ns: u64,
    /// Wall time, ns; `None` if it was in flight when tracing began, or where entries of calls are not hooked.
    pub duration_ns: Option<u64>,
    /// Whether it was in flight when tracing began: its entry was before that.
    pub began_before: bool,
    /// Return value; negative is an errno.
    pub result: i64,
    /// What happened inside; `None` where the duration is not known, and of requests, which have no thread of their own.
    pub inside: Option<Inside>,
}

/// What happened to a thread inside a call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Inside {
    /// Time blocked, ns.
    pub blocked_ns: u64,
    /// Time preempted (runnable, but off the CPU), ns.
    pub preempted_ns: u64,
    /// Voluntary context switches.
    pub voluntary: u32,
    /// Involuntary ones.
    pub involuntary: u32,
    /// Minor page faults.
    pub minor_faults: u32,
    /// Major page faults.
    pub major_faults: u32,
    /// Interrupts that arrived (from kernel mode: no transitions).
    pub interrupts: u32,
}

/// A page fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The process.
    pub pid: Pid,
    /// The thread.
    pub tid: Tid,
    /// The address.
    pub address: u64,
    /// Whether the kernel took it on behalf of the program, inside a call.
    pub in_kernel: bool,
    /// Whether it was a write.
    pub writes: bool,
    /// Whether the page was there, but not to be used so.
    pub present: bool,
    /// Minor faults of the thread before it, the low half of the count.
    pub minor_before: u32,
    /// Major ones.
    pub major_before: u32,
}

/// A file in a process's address space.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mapping {
    /// The process.
    pub pid: Pid,
    /// The addresses.
    pub range: Range<u64>,
    /// The file.
    pub serial: Serial,
    /// Offset in the file of the first address, bytes.
    pub offset: u64,
    /// Whether a call has just made it, and none of its pages is there yet: not of what was mapped before, nor with
    /// MAP_POPULATE or MAP_LOCKED.
    pub fresh: bool,
}

/// A finished call that changed what descriptors stand for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DescriptorEvent {
    /// The process.
    pub pid: Pid,
    /// The thread.
    pub tid: Tid,
    /// Monotonic time of the call's begin, ns; of its end if that is not known.
    pub began_ns: u64,
    /// Monotonic time of its end, ns.
    pub time_ns: u64,
    /// What it did.
    pub change: DescriptorChange,
}

/// What a call did to a table of descriptors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DescriptorChange {
    /// It made new descriptors: one, or two (`pipe`, `socketpair`).
    Opened {
        /// Their numbers, and the open files behind them (`Serial(0)` if that could not be found out).
        made: [Option<(i32, Serial)>; 2],
        /// Whether they are closed by `execve`; `None` if not known.
        close_on_exec: Option<bool>,
    },
    /// It made one descriptor stand for what another does (`dup`, `fcntl(F_DUPFD)`).
    Duplicated {
        /// The one that was there.
        from: i32,
        /// The one that was made or replaced.
        to: i32,
        /// Whether the new one is closed by `execve`.
        close_on_exec: bool,
    },
    /// It closed all descriptors from the first to the last.
    Closed {
        /// The first.
        first: u32,
        /// The last.
        last: u32,
        /// Whether the caller got a table of its own first (`CLOSE_RANGE_UNSHARE`).
        unshared: bool,
    },
    /// It said for all descriptors from the first to the last whether they are closed by `execve`.
    CloseOnExec {
        /// The first.
        first: u32,
        /// The last.
        last: u32,
        /// Whether they are.
        close_on_exec: bool,
        /// Whether the caller got a table of its own first (`CLOSE_RANGE_UNSHARE`).
        unshared: bool,
    },
    /// It gave the caller a table of its own (`unshare(CLONE_FILES)`).
    Unshared,
    /// It changed the addresses of a socket (`connect`, `bind`): the open file has a new serial.
    Readdressed {
        /// The socket.
        fd: i32,
        /// Its serial from now on.
        serial: Serial,
    },
}

/// What `/proc/PID/fd` said at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DescriptorsSeen {
    /// The process.
    pub pid: Pid,
    /// Monotonic time at which the reading began, ns: what had happened by then is in it.
    pub time_ns: u64,
    /// Whether these are the descriptors that were open when tracing began.
    pub at_begin: bool,
    /// Whether these are all.
    pub complete: bool,
    /// They, by number.
    pub descriptors: Vec<DescriptorSeen>,
}

/// One of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DescriptorSeen {
    /// Its number.
    pub fd: i32,
    /// What it stands for.
    pub serial: Serial,
    /// Whether device and inode are known, so that it can be told whether it is the same as another.
    pub identified: bool,
    /// `f_flags` (`O_*`), without `O_CLOEXEC`; `None` if not known.
    pub flags: Option<u32>,
    /// Whether it is closed by `execve`; `None` if not known.
    pub close_on_exec: Option<bool>,
    /// Position in the file, bytes; `None` if not known.
    pub position_bytes: Option<u64>,
}

/// A thread that is traced from now on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ThreadStarted {
    /// Its process.
    pub pid: Pid,
    /// The thread.
    pub tid: Tid,
    /// The process that made it; equal to `pid` for a further thread.
    pub parent: Pid,
    /// Whether it ran before tracing began.
    pub attached: bool,
    /// When it began, ns since boot.
    pub start_ns: u64,
    /// Whether it shares the descriptor table of the thread that made it. Not known, and false, of one that ran before.
    pub shares_descriptors: bool,
    /// Monotonic time, ns.
    pub time_ns: u64,
    /// `comm`.
    pub comm: String,
}

/// Operations folded in the kernel: they came too fast to be told one by one, or the ring buffer was full.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Folded {
    /// The process.
    pub pid: Pid,
    /// Which call.
    pub name: CallName,
    /// What it does.
    pub kind: CallKind,
    /// As in [`Operation`].
    pub source: Option<Side>,
    /// As in [`Operation`].
    pub sink: Option<Side>,
    /// As in [`Operation`].
    pub flags: u32,
    /// How many operations.
    pub operations: u64,
    /// Those that returned an error.
    pub errors: u64,
    /// Payload bytes in all.
    pub bytes: u64,
    /// Wall time in all, ns.
    pub duration_ns: u64,
    /// Time blocked in all, ns.
    pub blocked_ns: u64,
    /// Time preempted in all, ns.
    pub preempted_ns: u64,
    /// Mode switches in all.
    pub transitions: u64,
    /// Bytes fetched from storage in all, if the kernel keeps such an account.
    pub storage_read_bytes: Option<u64>,
    /// Bytes made dirty, or written directly, in all.
    pub storage_written_bytes: Option<u64>,
    /// What hooks on the copying functions counted inside them in all.
    pub counted: Counted,
}

/// What devices moved outside of operations, or late.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DeviceIo {
    /// What the bytes belong to.
    pub of: DeviceIoOf,
    /// Monotonic time of the reading, ns: nothing of it happened later.
    pub time_ns: u64,
    /// Bytes that came from the device.
    pub read_bytes: u64,
    /// Bytes that went to it.
    pub written_bytes: u64,
}

/// What bytes that a device moved belong to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeviceIoOf {
    /// Contents of a file or block device that operations were seen on, moved for whomever.
    File(Serial),
    /// Packets that a network card fetched from a socket, headers included; sent by whomever.
    Socket(Serial),
    /// Bytes that the CPU copied through bounce buffers, for whomever on this machine; `written_bytes` counts both ways.
    Bounced,
    /// Contents of another file, moved on behalf of a traced thread: programs and libraries that are paged in.
    OtherFile {
        /// Whether the device does DMA; `None` if not known.
        dma: Option<bool>,
    },
    /// What file systems and memory management keep for themselves, moved on behalf of a traced thread.
    Metadata {
        /// Whether the device does DMA; `None` if not known.
        dma: Option<bool>,
    },
}

/// The exact counters since tracing began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Monotonic time of the reading, ns.
    pub time_ns: u64,
    /// By call.
    pub calls: BTreeMap<CallName, CallTotals>,
    /// By thread: those that live, and those that have ended since the last reading (by tid and start time, so a reused tid is
    /// another key).
    pub threads: BTreeMap<(Tid, u64), ThreadTotals>,
    /// Losses so far.
    pub losses: Losses,
    /// Summed in the kernel so far.
    pub summed: Summed,
    /// Errors of calls that were summed, by call and errno, as far as they are known by name.
    pub summed_errors: BTreeMap<(CallName, u16), u64>,
}

/// Exact totals of one call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CallTotals {
    /// What kind of operation it is, if one.
    pub kind: Option<CallKind>,
    /// Calls that returned.
    pub count: u64,
    /// Those that returned an error.
    pub errors: u64,
    /// Calls that never returned (`exit_group`, or the thread was killed inside).
    pub unfinished: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Wall time, ns.
    pub duration_ns: u64,
    /// Time blocked, ns.
    pub blocked_ns: u64,
    /// Time preempted, ns.
    pub preempted_ns: u64,
    /// Calls whose duration was not measured: of those that were summed in the kernel, `duration_ns` has the mean of others.
    pub untimed: u64,
}

/// Exact totals of one thread.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ThreadTotals {
    /// Its process.
    pub pid: Pid,
    /// `comm`.
    pub comm: String,
    /// Whether it has ended.
    pub ended: bool,
    /// Calls that returned or were cut off by its end.
    pub calls: u64,
    /// Mode switches by system calls.
    pub syscall_transitions: u64,
    /// Page faults taken in user mode (two transitions each).
    pub user_faults: u64,
    /// Interrupts that arrived in user mode (two transitions each).
    pub user_interrupts: u64,
    /// Interrupts that arrived in kernel mode.
    pub kernel_interrupts: u64,
    /// Time blocked, ns.
    pub blocked_ns: u64,
    /// Time preempted, ns.
    pub preempted_ns: u64,
    /// The kernel's own accounts, since tracing of this thread began.
    pub accounts: Accounts,
    /// Part of `accounts.read_chars` that the kernel read by itself during `execve`.
    pub exec_read_chars: u64,
    /// Part of `accounts.read_calls` likewise.
    pub exec_read_calls: u64,
    /// The call that the thread is inside of now: its name and for how long, ns (`None`: since before the attach).
    pub in_call: Option<(CallName, Option<u64>)>,
}

/// Detail that is missing; totals are exact all the same, but for missed runs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Losses {
    /// Operations folded in the kernel.
    pub folded_operations: u64,
    /// Operations in the totals but in no flow.
    pub unattributed_operations: u64,
    /// Other calls without detail.
    pub folded_calls: u64,
    /// Descriptor, mapping, thread and exec records lost.
    pub lost_events: u64,
    /// Threads that could not be traced.
    pub untraced_threads: u64,
    /// Endpoints without identity.
    pub unknown_endpoints: u64,
    /// Records of a kind or size that this version does not know.
    pub undecodable_records: u64,
    /// Requests that may have moved payload, and whose completion was not seen or not understood.
    pub untraced_requests: u64,
    /// Times that the kernel did not run one of our programs.
    pub missed_runs: u64,
}

/// Calls that were summed in the kernel by intent: their thread made too many to tell each, or that is how it was asked
/// for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summed {
    /// Operations.
    pub operations: u64,
    /// Other calls.
    pub calls: u64,
}
