//! The state of one traced thread, as the kernel side keeps it in an array that user space may read at any time.

use crate::{
    counted::Counted,
    run::{Pace, RUNS, Run},
};

/// The kernel's own accounts of one task (`struct task_struct` and its `ioac`), copied out as they stand.
/// `/proc/PID/io`, `stat` and `status` show the same fields (fs/proc/base.c, `do_io_accounting`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Accounts {
    /// `nvcsw`: context switches because the task blocked.
    pub voluntary: u64,
    /// `nivcsw`: context switches because it was preempted.
    pub involuntary: u64,
    /// `min_flt`: page faults that needed no I/O, in user or kernel mode.
    pub minor_faults: u64,
    /// `maj_flt`: page faults that needed I/O.
    pub major_faults: u64,
    /// `ioac.rchar`, bytes.
    pub read_chars: u64,
    /// `ioac.wchar`, bytes.
    pub written_chars: u64,
    /// `ioac.syscr`.
    pub read_calls: u64,
    /// `ioac.syscw`.
    pub write_calls: u64,
    /// `ioac.read_bytes`: bytes that the task had fetched from storage (`submit_bio`).
    pub storage_read_bytes: u64,
    /// `ioac.write_bytes`: bytes that the task made dirty or wrote directly to storage.
    pub storage_written_bytes: u64,
}

/// State bits of a [`ThreadSlot`].
pub mod state {
    /// The slot belongs to a thread.
    pub const LIVE: u32 = 1;
    /// The thread is inside a system call whose entry was seen.
    pub const IN_CALL: u32 = 2;
    /// A child of the tracer that has not yet executed its command: its calls are the tracer's, not the command's.
    pub const BEFORE_EXEC: u32 = 4;
    /// `sched_process_exit` was seen.
    pub const EXITING: u32 = 8;
    /// The thread has left the CPU for the last time: nothing writes to the slot any more.
    pub const DEAD: u32 = 16;
    /// The thread ran before tracing began.
    pub const ATTACHED: u32 = 32;
    /// The thread was attached and has not yet shown whether it was inside a call then.
    pub const MAYBE_IN_CALL: u32 = 64;
    /// The thread was just born: its first return to user mode is that of its parent's `clone`, not of a call of its own.
    pub const NEWBORN: u32 = 128;
    /// The thread was attached, and none of its own hooks has fired yet: its accounts are taken when one does, so that
    /// they and the counts begin at the same moment.
    pub const PENDING: u32 = 256;
}

/// The open file that a call of the thread met last, so that the next call on it needs no look-up.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MetFile {
    /// Address of the `struct file`: may be reused for another one, hence
    pub file: u64,
    /// the address of its inode and
    pub inode: u64,
    /// the inode number, which may be reused for another file, hence
    pub inode_number: u64,
    /// `i_generation`.
    pub generation: u64,
    /// Its serial.
    pub serial: u64,
}

/// One traced thread. Written only by hooks that run on behalf of that thread (or of the scheduler that switches it).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ThreadSlot {
    /// Thread group (process) id, in the initial PID namespace.
    pub tgid: u32,
    /// Thread id, in the initial PID namespace.
    pub tid: u32,
    /// Bits of [`state`].
    pub state: u32,
    /// Table index of the call it is in, or was in last.
    pub call: u32,
    /// `start_boottime` of the task, ns: with the tid it names a thread for ever.
    pub start_ns: u64,
    /// Monotonic time at which the current call began, ns; 0 if that was before tracing began.
    pub call_start_ns: u64,
    /// Arguments of the current call; the last two entries are padding, so that an index can be masked.
    pub args: [u64; 8],
    /// Serial of the current call's source endpoint, 0 for none.
    pub source: u64,
    /// Serial of the current call's sink endpoint, 0 for none.
    pub sink: u64,
    /// `f_flags` of the source.
    pub source_flags: u32,
    /// `f_flags` of the sink.
    pub sink_flags: u32,
    /// The accounts when the current call began.
    pub at_enter: Accounts,
    /// The accounts when tracing of this thread began.
    pub baseline: Accounts,
    /// The accounts at the last hook that looked.
    pub latest: Accounts,
    /// When the thread last left the CPU, monotonic ns; 0 while it runs.
    pub off_cpu_since_ns: u64,
    /// Whether it left the CPU because it blocked (1) or was preempted (0).
    pub off_cpu_blocked: u32,
    /// Interrupts during the current call.
    pub call_interrupts: u32,
    /// Time blocked during the current call, ns.
    pub call_blocked_ns: u64,
    /// Time preempted during the current call, ns.
    pub call_preempted_ns: u64,
    /// Mode switches by system calls: one per entry and one per return.
    pub syscall_transitions: u64,
    /// Page faults taken in user mode: two transitions each.
    pub user_faults: u64,
    /// Interrupts that arrived in user mode: two transitions each.
    pub user_interrupts: u64,
    /// Interrupts that arrived in kernel mode: no transition.
    pub kernel_interrupts: u64,
    /// Calls that returned, and calls that the thread's end cut off.
    pub calls: u64,
    /// Time blocked since tracing began, ns.
    pub blocked_ns: u64,
    /// Time preempted since tracing began, ns.
    pub preempted_ns: u64,
    /// `rchar` that the kernel added by itself during `execve` (it reads the program's headers).
    pub exec_read_chars: u64,
    /// `syscr` likewise.
    pub exec_read_calls: u64,
    /// Where and how the last user-mode page fault interrupted: instruction pointer, stack pointer, a count register.
    /// An interrupt with the same three came while that fault was being handled, so from kernel mode.
    pub fault_registers: [u64; 3],
    /// The source that a call met last, and
    pub met_source: MetFile,
    /// the sink.
    pub met_sink: MetFile,
    /// Messages of the last `sendmmsg` or `recvmmsg`, and
    pub messages: u64,
    /// their bytes: summed here, because a sum in memory has no range that the verifier would track.
    pub message_bytes: u64,
    /// Of a send with MSG_ZEROCOPY: the number that the socket would give to it.
    pub zerocopy_first: u32,
    /// Bits of [`crate::record::flag`] of the call that ends.
    pub flags: u32,
    /// Bytes that a socket took by reference, of which the function that sends them has not yet returned.
    pub by_reference: u64,
    /// What was counted inside the current call, or inside the last one.
    pub counted: Counted,
    /// How fast it calls.
    pub pace: Pace,
    /// Like calls under way.
    pub runs: [Run; RUNS],
    /// Mode switches of the current `io_uring_enter` that no request has been charged with yet.
    pub unclaimed_transitions: u32,
    /// Padding.
    pub _pad2: u32,
    /// `comm`, as the kernel pads it.
    pub comm: [u8; 16],
}

const _: () = assert!(size_of::<Accounts>() == 80);
const _: () = assert!(size_of::<MetFile>() == 40);
const _: () = assert!(
    size_of::<ThreadSlot>()
        == 16
            + 16
            + 64
            + 16
            + 8
            + 3 * 80
            + 16
            + 16
            + 4 * 8
            + 3 * 8
            + 16
            + 24
            + 2 * 40
            + 32
            + 8
            + 8
            + 64
            + size_of::<Pace>()
            + RUNS * 240
            + 8
);

/// Exact counters of one system call on one CPU.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct CallCounters {
    /// Calls that returned.
    pub count: u64,
    /// Those that returned an error.
    pub errors: u64,
    /// Calls cut off by the end of the thread (`exit_group` among them): not in `count`.
    pub unfinished: u64,
    /// Bytes moved: the return value of operations, the sum of message lengths for `sendmmsg` and `recvmmsg`.
    pub bytes: u64,
    /// Wall time inside the call, ns: of those that were timed, and estimates of those that were summed.
    pub duration_ns: u64,
    /// Time blocked inside the call, ns.
    pub blocked_ns: u64,
    /// Time preempted inside the call, ns.
    pub preempted_ns: u64,
    /// Calls whose detail found no room in the ring buffer.
    pub folded: u64,
    /// Calls whose duration was not measured. Where entries are hooked, `duration_ns` has the mean of those for each.
    pub untimed: u64,
}

const _: () = assert!(size_of::<CallCounters>() == 72);

/// What was lost on the way, on one CPU. Totals stay exact; these count the detail that is missing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct LossCounters {
    /// Operations folded into [`SpillCounters`] because the ring buffer was full.
    pub folded_operations: u64,
    /// Operations that also found no room in the spill map: in the totals, but in no flow.
    pub unattributed_operations: u64,
    /// Other calls whose record found no room (they stay counted).
    pub folded_calls: u64,
    /// Descriptor, mapping, thread and exec records that found no room.
    pub lost_events: u64,
    /// Threads that found no free slot and are not traced.
    pub untraced_threads: u64,
    /// Endpoints whose identity found no room and stays unknown.
    pub unknown_endpoints: u64,
    /// Requests that may have moved payload and whose completion was not seen, or not understood.
    pub untraced_requests: u64,
    /// Not lost: operations that were summed by intent, because their thread made too many to tell each, and
    pub summed_operations: u64,
    /// likewise other calls.
    pub summed_calls: u64,
}

const _: () = assert!(size_of::<LossCounters>() == 72);

/// What operations are folded by when the ring buffer is full.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
#[repr(C)]
pub struct SpillKey {
    /// The process.
    pub tgid: u32,
    /// Table index of the call.
    pub call: u32,
    /// Serial of the source endpoint.
    pub source: u64,
    /// Serial of the sink endpoint.
    pub sink: u64,
    /// `f_flags` of the source.
    pub source_flags: u32,
    /// `f_flags` of the sink.
    pub sink_flags: u32,
    /// The call's flags argument.
    pub call_flags: u32,
    /// Descriptor of the source; -1: none, or not known.
    pub source_fd: i32,
    /// Descriptor of the sink; -1: none, or not known.
    pub sink_fd: i32,
    /// Padding.
    pub _pad: u32,
}

/// Operations folded in the kernel, on one CPU.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct SpillCounters {
    /// How many operations.
    pub operations: u64,
    /// Those that returned an error.
    pub errors: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Wall time, ns.
    pub duration_ns: u64,
    /// Time blocked, ns.
    pub blocked_ns: u64,
    /// Time preempted, ns.
    pub preempted_ns: u64,
    /// Bytes fetched from storage.
    pub storage_read_bytes: u64,
    /// Bytes made dirty, or written directly.
    pub storage_written_bytes: u64,
    /// Operations of which neither of the two is known.
    pub storage_unknown: u64,
    /// What was counted inside them.
    pub counted: Counted,
    /// Mode switches: of requests, those that fall to them.
    pub transitions: u64,
}

const _: () = assert!(size_of::<SpillKey>() == 48);
const _: () = assert!(size_of::<SpillCounters>() == 72 + 64 + 8);
