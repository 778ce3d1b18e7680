//! What the model knows at one moment: the input of every view and export. The names are those of the JSON document.
//!
//! A number that is not known is `None` (`null`), with evidence `unknown`; it is never 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    endpoint::{EndpointKind, Place},
    evidence::Evidence,
    fallback::Fallback,
};

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Sums over the whole target.
    pub totals: Totals,
    /// Per system call, most time first.
    pub calls: Vec<CallStatistics>,
    /// Per opcode of io_uring and AIO requests, most time first.
    pub requests: Vec<RequestStatistics>,
    /// Transfers between the same two endpoints by the same method, most CPU-copied bytes first.
    pub flows: Vec<Flow>,
    /// What each descriptor stood for and what went through it, busiest first; at most 1,000.
    pub descriptors: Vec<Descriptor>,
    /// Sums over all descriptors, also those that are not listed.
    pub descriptor_summary: DescriptorSummary,
    /// Mapped files on which page faults were taken, most faults first.
    pub mapped_files: Vec<MappedFile>,
    /// Per process, by pid.
    pub processes: Vec<Process>,
    /// Per thread, by pid and tid.
    pub threads: Vec<Thread>,
    /// Calls that were under way at the ends of the trace: in no count.
    pub in_flight: InFlight,
}

/// Sums over the whole target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// I/O calls and requests that finished.
    pub operations: u64,
    /// All system calls that returned, or that the end of a thread cut off.
    pub calls: u64,
    /// What `rchar` in `/proc/PID/io` means: bytes returned by the read family, sendfile and copy_file_range, and what
    /// the kernel itself read to execute programs.
    pub read_bytes: u64,
    /// What `wchar` means.
    pub written_bytes: u64,
    /// What `syscr` means; null where the kernel keeps no account.
    pub read_calls: Option<u64>,
    /// What `syscw` means.
    pub write_calls: Option<u64>,
    /// Bytes that reached their sink, each counted once per transfer; null if not known.
    pub payload_bytes: Option<u64>,
    /// As many if they are known; else more, because some were counted as read and as written.
    pub payload_bytes_at_most: u64,
    /// How `payload_bytes` is known: `modelled` if reads were joined to writes, because that a buffer still held what was
    /// read into it is concluded from samples, and of operations that were folded from those that were told; `unknown` if
    /// none of these were told, because what is not joined counts twice where it was read and then written.
    pub payload_evidence: Evidence,
    /// Bytes copied by the CPU for it; null if for some part not known.
    pub cpu_copied_bytes: Option<u64>,
    /// How `cpu_copied_bytes` is known.
    pub cpu_copied_evidence: Evidence,
    /// The part of it that is known.
    pub cpu_copied_bytes_at_least: u64,
    /// Bytes moved by DMA; null if for some part not known (buffered writes reach the device later).
    pub dma_bytes: Option<u64>,
    /// How `dma_bytes` is known.
    pub dma_evidence: Evidence,
    /// The part of it that is known.
    pub dma_bytes_at_least: u64,
    /// Part of it that was moved for the target but for none of its flows: programs and libraries that are paged in,
    /// mapped files that no call takes anything from. Null where the kernel tells of neither requests nor accounts.
    pub dma_bytes_outside_operations: Option<u64>,
    /// Part of it that file systems and memory management moved for themselves while they worked for the target: inodes,
    /// extents, swap. In no flow. Null where requests to block devices are not traced.
    pub dma_metadata_bytes: Option<u64>,
    /// Bytes made dirty by calls (whole pages) that had not been written to their device when tracing ended: at most,
    /// because they may have been deleted or cut off since. Null where there are none, or that cannot be followed.
    pub not_written_back_bytes: Option<u64>,
    /// Bytes written to files that the target used, beyond what calls of its own had made dirty: by mapped memory, by
    /// other processes, or from before. Not in `dma_bytes`. Null where requests to block devices are not traced.
    pub written_back_for_others_bytes: Option<u64>,
    /// Bytes that the CPU copied between the buffers that devices can reach and the memory that was meant (swiotlb), on the
    /// whole machine while tracing lasted: for whom is not known, so they are in no other number. Null where that is not
    /// traced.
    pub swiotlb_bounced_bytes: Option<u64>,
    /// CPU-copied bytes ÷ payload bytes; null without payload or if the copies are not known.
    pub copy_amplification: Option<f64>,
    /// How `copy_amplification` is known: the weaker evidence of the two.
    pub copy_amplification_evidence: Evidence,
    /// Mode switches of the CPU by cause.
    pub transitions: Transitions,
    /// Context switches.
    pub context_switches: ContextSwitches,
    /// Page faults, in user and in kernel mode, as the kernel accounts them.
    pub page_faults: PageFaults,
    /// The same by where they were taken and what they were on.
    pub page_fault_places: FaultPlaces,
    /// Operations for which a hook counted other copies than the copy table derives from the return value.
    pub copy_disagreements: u64,
    /// Detail that was lost; the totals are exact all the same.
    pub losses: Losses,
    /// Summed in the kernel.
    #[serde(default)]
    pub summed: Summed,
    /// The kernel's own accounts of the traced threads beside what zc-trace counted.
    pub kernel_accounts: Option<KernelAccounts>,
}

/// One mode switch is user→kernel or kernel→user.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transitions {
    /// By system calls.
    pub syscall: u64,
    /// By page faults taken in user mode.
    pub exception: u64,
    /// By interrupts that arrived in user mode.
    pub interrupt: u64,
}

/// The scheduler put another task on the CPU.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextSwitches {
    /// The task blocked.
    pub voluntary: u64,
    /// It was preempted.
    pub involuntary: u64,
}

/// Page faults.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PageFaults {
    /// Without I/O.
    pub minor: u64,
    /// With I/O.
    pub major: u64,
}

/// Page faults by where they were taken and what they were on. `user` and `kernel` are exact; `file` and `anonymous` add up
/// to the faults that were told one by one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultPlaces {
    /// In user mode: the program touched the page.
    pub user: u64,
    /// In kernel mode: a call did, or the kernel looked for pages to pin.
    pub kernel: u64,
    /// On a file that was mapped shared, or private and not writable.
    pub file: u64,
    /// Of these, such as are known to have needed I/O. Which of both a thread's last fault was is not told.
    #[serde(default)]
    pub file_major: u64,
    /// On other memory of the program: anonymous, or a private copy of a file.
    pub anonymous: u64,
    /// Of these, such as are known to have needed I/O (swap, or a page of the file that is copied).
    #[serde(default)]
    pub anonymous_major: u64,
    /// Neither is known: pages that the kernel faulted in by itself, or the record found no room.
    pub not_told: u64,
}

/// Bytes of a mapped file that page faults made reachable. A fault tells the page that it was taken on; what the kernel
/// mapped along with it (mm/memory.c, `do_fault_around`; huge pages) it does not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reached {
    /// The pages that faults were taken on, and of those that were read what lies in the same 64 KiB: what is mapped along if
    /// it is cached. Null if not all faults are remembered.
    pub bytes: Option<u64>,
    /// How well `bytes` is known. The two bounds are derived.
    pub evidence: Evidence,
    /// The pages that faults were taken on.
    pub at_least_bytes: u64,
    /// With what lies in the same 2 MiB, the largest page there is. Null if there were faults of which it is not known where.
    pub at_most_bytes: Option<u64>,
}

/// A mapped file on which page faults were taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MappedFile {
    /// Process.
    pub pid: u32,
    /// The file.
    pub file: FlowEnd,
    /// Faults in user mode: the program read or wrote the mapping.
    pub user_faults: u64,
    /// Faults in kernel mode: a call read or wrote it. They are in the flows of those calls too.
    pub kernel_faults: u64,
    /// Faults, in either mode, that are known to have found the page in memory.
    #[serde(default)]
    pub minor_faults: u64,
    /// Faults that are known to have needed I/O. Which of both a thread's last fault was is not told.
    #[serde(default)]
    pub major_faults: u64,
    /// What they made reachable, each byte once for as long as it is mapped.
    #[serde(default)]
    pub reached: Reached,
}

/// Calls that were summed in the kernel by intent, because their thread made too many to tell each (or all, with
/// `--summary`): counts and bytes are exact, and they are in no transfer, no distribution and no stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summed {
    /// Operations: in totals and flows, and joined to transfers in the proportion of those that were told.
    pub operations: u64,
    /// Other calls.
    pub calls: u64,
}

/// Detail that is missing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Losses {
    /// Operations folded in the kernel because the ring buffer was full: in totals and flows, and joined to transfers in the
    /// proportion of those that were told.
    pub folded_operations: u64,
    /// Operations that are in the totals but in no flow.
    pub unattributed_operations: u64,
    /// Other calls that are counted but without latency.
    pub folded_calls: u64,
    /// Events on descriptors, mappings, threads and programs that were lost.
    pub lost_events: u64,
    /// Threads that could not be traced.
    pub untraced_threads: u64,
    /// Endpoints that could not be identified.
    pub unknown_endpoints: u64,
    /// Records that this version cannot read.
    pub undecodable_records: u64,
    /// Requests of io_uring or AIO that may have moved payload and are not traced, or where none is traced the calls that
    /// submitted them (`io_uring_enter`, `io_submit`): what these moved is in no number, so payload and copies are not
    /// known as a whole.
    pub untraced_submissions: u64,
    /// Times that the kernel skipped one of zc-trace's programs, because that was running on the CPU already and had been
    /// preempted there: what these would have counted is in no number, so totals are too low.
    #[serde(default)]
    pub missed_runs: u64,
}

/// What the kernel itself accounted to the traced threads (`struct task_struct`), for comparison.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KernelAccounts {
    /// `rchar`.
    pub rchar: u64,
    /// `wchar`.
    pub wchar: u64,
    /// `syscr`.
    pub syscr: u64,
    /// `syscw`.
    pub syscw: u64,
    /// `read_bytes`: fetched from storage.
    pub read_bytes: u64,
    /// `write_bytes`: made dirty or written directly.
    pub write_bytes: u64,
    /// Whether `rchar` and `wchar` equal what zc-trace counted by itself, and all threads were traced. Null in a document that
    /// was written while tracing went on (`unfinished`) unless they do: the counters of a running program are read one after
    /// the other, so that a difference says nothing.
    pub agree: Option<bool>,
}

/// One system call, as `strace -c` shows it, and more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CallStatistics {
    /// Its name; 32-bit calls end in `:32`.
    pub name: String,
    /// Calls that returned, and those that the end of a thread cut off.
    pub count: u64,
    /// Of these, how many returned an error.
    pub errors: u64,
    /// The errors by name, most first; they add up to `errors`.
    #[serde(default)]
    pub errors_by_name: Vec<ErrorCount>,
    /// Of the calls, how many never returned (`exit_group`).
    pub unfinished: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Calls whose duration was not measured, because they were summed in the kernel or were under way when tracing began.
    /// In `time_ns`, the former have the mean of those around them.
    #[serde(default)]
    pub untimed: u64,
    /// Wall time inside, ns; null if no call was timed (`--summary`, `--latency none`).
    pub time_ns: Option<u64>,
    /// Of that, blocked.
    pub blocked_ns: Option<u64>,
    /// Of that, preempted.
    pub preempted_ns: Option<u64>,
    /// Distribution of the wall time of the calls that were told one by one; null if no call was seen from start to end.
    pub latency_ns: Option<Latency>,
}

/// One kind of error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorCount {
    /// The errno, such as `EAGAIN`; its number if it has no name; `other` for all of which the detail was lost.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// One kind of request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestStatistics {
    /// Its name: `io_uring:` and the opcode, as in `io_uring:read`.
    pub name: String,
    /// Completions. One request may complete many times over.
    pub count: u64,
    /// Of these, how many with an error.
    pub errors: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Time from submission to completion, ns; requests overlap. Of further completions of one request, from the one
    /// before.
    pub time_ns: u64,
    /// Distribution of that time; null if no request was seen from start to end.
    pub latency_ns: Option<Latency>,
}

/// A latency distribution, ns.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Over how many calls (fewer than the count if detail was lost).
    pub samples: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct FlowEnd {
    /// What it is.
    pub kind: EndpointKind,
    /// Path, for what has one.
    pub path: Option<String>,
    /// Address, for sockets: `tcp 127.0.0.1:80 → 127.0.0.1:4242`.
    pub address: Option<String>,
    /// Device and inode, `major:minor:inode`.
    pub id: Option<String>,
    /// Inode generation: tells files apart that had the same inode number one after the other.
    pub generation: Option<u32>,
    /// File system, by name.
    pub file_system: Option<String>,
}

/// All transfers between the same two endpoints by the same method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// Its number in the model that made the snapshot: it never changes. Not in documents.
    #[serde(skip)]
    pub id: u64,
    /// Process.
    pub pid: u32,
    /// Where the bytes come from.
    pub source: FlowEnd,
    /// Where they go.
    pub sink: FlowEnd,
    /// How: `read+write`, `sendfile`, `splice`, `mmap+write`, `send(MSG_ZEROCOPY)`, `read`, `write` …
    pub method: String,
    /// How many transfers.
    pub transfers: u64,
    /// Operations that served them.
    pub operations: u64,
    /// Bytes that reached the sink.
    pub payload_bytes: u64,
    /// How it is known that these bytes went from this source to this sink: `modelled` where a read was joined to a write.
    pub payload_evidence: Evidence,
    /// Bytes copied by the CPU; null if not known.
    pub cpu_copied_bytes: Option<u64>,
    /// Bytes moved by DMA; null if not known.
    pub dma_bytes: Option<u64>,
    /// CPU-copied bytes ÷ payload bytes.
    pub copy_amplification: Option<f64>,
    /// How `copy_amplification` is known: the weaker evidence of the two.
    pub copy_amplification_evidence: Evidence,
    /// Mode switches by the flow's system calls.
    pub transitions: u64,
    /// The same per MiB of payload.
    pub transitions_per_mib: Option<f64>,
    /// Of its operations, calls whose beginning was not seen (in flight when tracing began; all with `--latency none`): what
    /// happened inside them, and how long they took, is in none of the following.
    #[serde(default)]
    pub unseen_operations: u64,
    /// Context switches inside its calls, but those that were folded; null if all were folded or
    /// began unseen.
    pub context_switches: Option<ContextSwitches>,
    /// Page faults inside its calls, likewise.
    pub page_faults: Option<PageFaults>,
    /// Wall time inside its calls, ns (of those that were summed in the kernel, the mean of those around them); null if no
    /// call was timed (`--summary`, `--latency none`).
    pub time_ns: Option<u64>,
    /// Of that, on the CPU.
    pub on_cpu_ns: Option<u64>,
    /// Of that, blocked.
    pub blocked_ns: Option<u64>,
    /// Of that, preempted.
    pub preempted_ns: Option<u64>,
    /// Time from submission to completion of its requests (io_uring), ns: not in `time_ns`, and they overlap.
    pub request_time_ns: u64,
    /// Of its operations, how many were folded in the kernel.
    pub folded_operations: u64,
    /// Of these, how many are this flow's because as many of those into the same sink that were told are: `modelled`, as is
    /// what they moved and cost.
    #[serde(default)]
    pub estimated_operations: u64,
    /// Bytes of its sink that it made dirty (whole pages) and that had not been written to the device when tracing ended:
    /// at most, because they may have been deleted or cut off since. Null where nothing is written back, or that cannot be followed.
    pub not_written_back_bytes: Option<u64>,
    /// What its sends with MSG_ZEROCOPY came to, if there were any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zerocopy: Option<Zerocopy>,
    /// Of flows from a mapped file: payload that page faults had reached since tracing began. What was mapped before, or by
    /// MAP_POPULATE, is not in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reached: Option<Reached>,
    /// Each copy and move, in the order in which the bytes pass.
    pub copies: Vec<Copy>,
    /// Of what the CPU copied, what a call was to spare (sendfile, splice, copy_file_range, MSG_ZEROCOPY, O_DIRECT), by the
    /// reason why it was copied after all; most bytes first.
    #[serde(default)]
    pub fallbacks: Vec<Fallback>,
    /// The weakest evidence among `copies` moved by the CPU.
    pub evidence: Evidence,
}

/// Sends with MSG_ZEROCOPY, by what the kernel reported on the socket's error queue.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Zerocopy {
    /// Sends that the socket did not copy at once.
    pub sends: u64,
    /// Of these, reported as copied after all.
    pub copied: u64,
    /// Reported as not copied.
    pub by_reference: u64,
    /// Not reported yet, or the program has not taken the report.
    pub not_reported: u64,
}

/// A number that stood for an endpoint in a process's table of descriptors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Descriptor {
    /// Process.
    pub pid: u32,
    /// The thread, where it has a table of its own (`unshare(CLONE_FILES)`); null for the process's table.
    pub tid: Option<u32>,
    /// Other processes that share the table (CLONE_FILES), as far as that was seen: of processes that ran before tracing
    /// began it is not known.
    pub shared_with: Vec<u32>,
    /// The number.
    pub fd: i32,
    /// What it stood for.
    pub endpoint: FlowEnd,
    /// The open file's flags (`O_*`), as the kernel numbers them; null if not known yet.
    pub open_flags: Option<u32>,
    /// Whether `execve` closes it; null if not known.
    pub close_on_exec: Option<bool>,
    /// Position in the file when `/proc/PID/fdinfo` was last read (when tracing began or ended); null if it was not.
    pub position_bytes: Option<u64>,
    /// How it came to be.
    pub opened: DescriptorOrigin,
    /// Monotonic time since when it stands for this, ns; null if that was not traced.
    pub opened_ns: Option<u64>,
    /// Whether it still does; null if that is not known (an exec, and `close_on_exec` not known).
    pub open: Option<bool>,
    /// How many times the number was opened for this endpoint; closed ones are added up.
    pub openings: u64,
    /// Operations through it; one from a descriptor to a descriptor counts at both.
    pub operations: u64,
    /// Of these, how many failed.
    pub errors: u64,
    /// Bytes that came from it.
    pub read_bytes: u64,
    /// Bytes that went to it.
    pub written_bytes: u64,
    /// Monotonic time of the end of the last operation, ns; null if there was none.
    pub last_use_ns: Option<u64>,
}

/// How a descriptor came to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DescriptorOrigin {
    /// It was open when tracing began: `/proc/PID/fd` had it, or the command inherited it.
    BeforeAttach,
    /// By a traced call, or by a traced fork of a table that had it.
    Traced,
    /// By a way that is not followed (passed through a socket, made by `ioctl` or `bpf`, or the record was lost): an
    /// operation went through it, or `/proc/PID/fd` had it in the end.
    NotSeen,
}

/// What went through descriptors.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DescriptorUse {
    /// Operations; one from a descriptor to a descriptor counts at both.
    pub operations: u64,
    /// Of these, how many failed.
    pub errors: u64,
    /// Bytes that came from them.
    pub read_bytes: u64,
    /// Bytes that went to them.
    pub written_bytes: u64,
}

/// All descriptors together. What went through those that are listed, through those that are not, and through none makes
/// up `all`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DescriptorSummary {
    /// Descriptors that are open.
    pub open: u64,
    /// How many times one was closed, or its process ended.
    pub closed: u64,
    /// What went through all of them.
    pub all: DescriptorUse,
    /// Descriptors that are not listed.
    pub not_listed: u64,
    /// What went through those.
    pub not_listed_use: DescriptorUse,
    /// Operations of which the descriptor is not known (folded in the kernel), or that had none (EBADF).
    pub without_descriptor: DescriptorUse,
    /// How many times the table was found wrong, by an operation or by `/proc/PID/fd` in the end, and put right:
    /// descriptors come and go by ways that are not followed, and records may be lost.
    pub corrected: u64,
    /// How many times a descriptor found no room.
    pub not_followed: u64,
}

/// Who moves the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mover {
    /// The CPU copies.
    Cpu,
    /// A device copies.
    Dma,
    /// Nobody: pages are passed by reference (a move, not a copy), or the bytes are dropped or made up.
    None,
}

/// Payload bytes moved from one place to another.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Copy {
    /// From where.
    pub from: Place,
    /// To where.
    pub to: Place,
    /// By whom; null if not known.
    pub mover: Option<Mover>,
    /// How many bytes; null if not known.
    pub bytes: Option<u64>,
    /// How that is known.
    pub evidence: Evidence,
    /// Beside a copy that a hook counted: what follows from the return values by the copy table. Where it differs from
    /// `bytes`, the table or the hook is wrong, or the kernel did what return values do not tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub derived_bytes: Option<u64>,
    /// Why, where it is not plain.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// Its id; 0: all ended ones that are not listed one by one, added up.
    pub pid: u32,
    /// The process that made it, if that was seen.
    pub parent: Option<u32>,
    /// `comm`.
    pub comm: String,
    /// Threads traced in it so far.
    pub threads: u64,
    /// System calls.
    pub calls: u64,
    /// Transitions by cause.
    pub transitions: Transitions,
    /// Context switches.
    pub context_switches: ContextSwitches,
    /// Page faults.
    pub page_faults: PageFaults,
    /// `rchar`.
    pub read_bytes: u64,
    /// `wchar`.
    pub written_bytes: u64,
    /// Exit code as a shell shows it (128 + signal if killed), once ended.
    pub exit_code: Option<u32>,
}

/// One thread.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thread {
    /// Its process.
    pub pid: u32,
    /// Its id.
    pub tid: u32,
    /// `comm`.
    pub comm: String,
    /// Whether it has ended. With thread id 0 an entry stands for many threads of its process that have.
    pub ended: bool,
    /// System calls.
    pub calls: u64,
    /// Transitions by cause.
    pub transitions: Transitions,
    /// Context switches.
    pub context_switches: ContextSwitches,
    /// Page faults.
    pub page_faults: PageFaults,
    /// `rchar`.
    pub read_bytes: u64,
    /// `wchar`.
    pub written_bytes: u64,
    /// Time blocked, ns.
    pub blocked_ns: u64,
    /// Time preempted, ns.
    pub preempted_ns: u64,
}

/// Calls under way at the ends of the trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InFlight {
    /// Calls that began before tracing did and returned inside: counted, but without duration.
    pub at_start: Vec<InFlightCall>,
    /// Calls that had not returned when tracing ended: not counted.
    pub at_end: Vec<InFlightCall>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InFlightCall {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// The call.
    pub name: String,
    /// For how long so far, ns; null if since before the attach.
    pub time_ns: Option<u64>,
}

/// One transfer, as the NDJSON stream has it once its bytes have reached their sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Transfer {
    /// Process.
    pub pid: u32,
    /// Thread that completed it.
    pub tid: u32,
    /// Monotonic time of completion, ns.
    pub time_ns: u64,
    /// Where the bytes come from.
    pub source: FlowEnd,
    /// Where they go.
    pub sink: FlowEnd,
    /// How.
    pub method: String,
    /// Bytes that reached the sink.
    pub payload_bytes: u64,
    /// Bytes copied by the CPU.
    pub cpu_copied_bytes: Option<u64>,
    /// Bytes moved by DMA.
    pub dma_bytes: Option<u64>,
    /// Mode switches.
    pub transitions: u64,
    /// Wall time of its calls, ns; null if the beginning of one was not seen.
    pub time_in_calls_ns: Option<u64>,
    /// Each copy and move.
    pub copies: Vec<Copy>,
}
