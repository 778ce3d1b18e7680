//! Every map but those of one form.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf, Stack},
};
use tracer_common::{
    call::{self, CallShape, SocketCall},
    counted::Counted,
    device::{DeviceBytes, DeviceKey},
    endpoint::Endpoint,
    limits::{
        AIO_REQUESTS as MOST_AIO_REQUESTS, CACHED_FILES, CALLS, DEVICES, ENDPOINTS, FILES, IOVECS,
        MULTISHOTS, NOTIFICATIONS as MOST_NOTIFICATIONS, REQUESTS as MOST_REQUESTS, RUNNING as MOST_RUNNING,
        SPILLS, SUMMED_ERRORS as MOST_SUMMED_ERRORS, THREADS,
    },
    offsets::Control,
    record::IoVec,
    slot::{CallCounters, LossCounters, SpillCounters, SpillKey, ThreadSlot},
};

use crate::identity::OpenFile;

/// What an open file was found to be: valid as long as inode pointer, number and generation are still
/// those.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct KnownFile {
    pub inode: u64,
    pub inode_number: u64,
    pub generation: u64,
    pub serial: u64,
}

/// Which file has this page cache: valid as long as the inode's address, number and generation are still those.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CachedFile {
    pub inode: u64,
    pub inode_number: u64,
    pub generation: u64,
    pub serial: u64,
}

/// Which endpoint a `struct sock` is: valid as long as the open socket, or the ports, are still those.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct KnownSocket {
    pub socket: u64,
    pub inode: u64,
    pub inode_number: u64,
    pub serial: u64,
    pub local_port: u16,
    pub remote_port: u16,
    pub _pad: u32,
}

/// Whether the task that was last looked at on a CPU is traced.
#[repr(C)]
pub struct OnCpu {
    /// Where its user registers are while it is in a call; 0 if that is to be looked up.
    pub registers: u64,
    /// Number of its slot plus one, 0 for an untraced task.
    pub slot: u32,
    /// Attachments up to then: valid as long as there is no further one.
    pub attachments: u32,
}

/// Where an endpoint is built, and where the walk along its path stands.
#[repr(C)]
pub struct Scratch {
    pub endpoint: Endpoint,
    pub root_mount: u64,
    pub root_dentry: u64,
    pub mount: u64,
    pub dentry: u64,
    pub used: u32,
    pub outcome: u32,
}

/// Records for user space; the size is set by the loader.
#[map]
pub static RING: RingBuf = RingBuf::with_byte_size(4 << 20, 0);
/// One slot per traced thread.
#[map]
pub static SLOTS: Array<ThreadSlot> = Array::with_max_entries(THREADS, 0);
/// Slot numbers that are free; user space fills it and gives back the slots of the dead.
#[map]
pub static FREE_SLOTS: Stack<u32> = Stack::with_max_entries(THREADS, 0);
/// Which argument of which call means what; filled by user space for the running architecture.
#[map]
pub static SHAPES: Array<CallShape> = Array::with_max_entries(CALLS as u32, 0);
/// What 32-bit `socketcall` stands for, by its first argument; filled by user space.
#[map]
pub static SOCKET_CALLS: Array<SocketCall> = Array::with_max_entries(call::SOCKET_CALLS.len() as u32, 0);
/// Exact counters by call.
#[map]
pub static CALL_COUNTERS: PerCpuArray<CallCounters> = PerCpuArray::with_max_entries(CALLS as u32, 0);
/// Who is on each CPU.
#[map]
pub static ON_CPU: PerCpuArray<OnCpu> = PerCpuArray::with_max_entries(1, 0);
/// How many times a traced thread has made a call that may change what descriptors stand for.
#[map]
pub static DESCRIPTOR_CHANGES: Array<u64> = Array::with_max_entries(1, 0);
/// What was lost.
#[map]
pub static LOSSES: PerCpuArray<LossCounters> = PerCpuArray::with_max_entries(1, 0);
/// Operations folded while the ring buffer was full.
#[map]
pub static SPILL: PerCpuHashMap<SpillKey, SpillCounters> = PerCpuHashMap::with_max_entries(SPILLS, 0);
/// Errors of calls that were summed: by table index of the call (upper half) and errno.
#[map]
pub static SUMMED_ERRORS: PerCpuHashMap<u64, u64> = PerCpuHashMap::with_max_entries(MOST_SUMMED_ERRORS, 0);
/// Identity of open files by `struct file` pointer.
#[map]
pub static KNOWN_FILES: LruHashMap<u64, KnownFile> = LruHashMap::with_max_entries(FILES, 0);
/// Files by their page cache (`struct address_space` pointer).
#[map]
pub static CACHED: LruHashMap<u64, CachedFile> = LruHashMap::with_max_entries(CACHED_FILES, 0);
/// Sockets by their `struct sock` pointer.
#[map]
pub static SOCKETS: LruHashMap<u64, KnownSocket> = LruHashMap::with_max_entries(CACHED_FILES, 0);
/// What devices moved outside of operations, since tracing began.
#[map]
pub static DEVICE_IO: PerCpuHashMap<DeviceKey, DeviceBytes> =
    PerCpuHashMap::with_max_entries(DEVICES, aya_ebpf::bindings::BPF_F_NO_PREALLOC);
/// Identities that user space has not read yet, by serial.
#[map]
pub static NEW_ENDPOINTS: HashMap<u64, Endpoint> =
    HashMap::with_max_entries(ENDPOINTS, aya_ebpf::bindings::BPF_F_NO_PREALLOC);
/// Too large for the stack.
#[map]
pub static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
/// The next endpoint serial on each CPU.
#[map]
pub static NEXT_SERIAL: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
/// When this CPU last woke the reader, ns.
#[map]
pub static LAST_WAKE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
/// Processes to attach to: read by the task iterator, in the raw form by any hook that meets a task without a slot.
#[map]
pub static TARGETS: HashMap<u32, u32> = HashMap::with_max_entries(1024, 0);
/// What may change at run time.
#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// What is kept of an io_uring request from its submission to its completion.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Request {
    pub ring: u64,
    pub user_data: u64,
    /// Monotonic time of its submission, ns; 0 if that was before tracing began.
    pub start_ns: u64,
    /// When the call that submitted it began: with the thread it names that call.
    pub call_start_ns: u64,
    pub tgid: u32,
    pub tid: u32,
    pub opcode: u32,
    /// The low bits of the request's flags: those of its submission (`IOSQE_`).
    pub flags: u32,
    /// One of `tracer_common::record::ran`.
    pub ran: u32,
    /// Mode switches that it has been charged with.
    pub transitions: u32,
    pub buffer: u64,
    /// Bytes; `u64::MAX` where the iovecs tell, or nobody.
    pub asked: u64,
    pub call_flags: u32,
    pub vectors: u32,
    /// The descriptor, -1 for a registered file.
    pub fd: i32,
    /// What goes before the payload in the buffers of a `recvmsg` that completes many times over, bytes.
    pub heading: u32,
    /// Of a send without copying: the kernel's notification that will say whether it copied after all; 0 if none will.
    pub notification: u64,
    /// The other file of a splice: its serial,
    pub other: u64,
    /// `f_flags`, and
    pub other_flags: u32,
    /// descriptor.
    pub other_fd: i32,
    pub iovecs: [IoVec; IOVECS],
    /// What was counted for it since its last completion.
    pub counted: Counted,
}

/// What the completion of a request came to.
#[repr(C)]
pub struct Outcome {
    pub now: u64,
    pub duration_ns: u64,
    pub result: i64,
    pub bytes: u64,
    /// Where it is in the tables by call.
    pub call: u32,
    pub ran: u32,
    pub shape: CallShape,
    pub source: OpenFile,
    pub sink: OpenFile,
    /// Where the payload is in a provided buffer; 0 if that is not known.
    pub selected: u64,
    /// 1: the kernel will notify of what became of it.
    pub notifies: u32,
}

/// What an io_uring request is told apart by where the kernel does not say which one completes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct RequestName {
    pub ring: u64,
    pub user_data: u64,
}

/// What was counted for the request that a thread runs, by thread id, until the function returns that runs it.
#[map]
pub static RUNNING: LruHashMap<u32, Counted> = LruHashMap::with_max_entries(MOST_RUNNING, 0);
/// io_uring requests under way by `struct io_kiocb` pointer.
#[map]
pub static REQUESTS: LruHashMap<u64, Request> = LruHashMap::with_max_entries(MOST_REQUESTS, 0);
/// The pointers of those that may complete many times over.
#[map]
pub static MULTISHOT_REQUESTS: LruHashMap<RequestName, u64> = LruHashMap::with_max_entries(MULTISHOTS, 0);
/// What a request of AIO is told apart by.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct AioName {
    pub tgid: u64,
    /// Address of its `struct iocb` in the process.
    pub object: u64,
}

/// Requests of AIO under way; their file is the `other`.
#[map]
pub static AIO_REQUESTS: LruHashMap<AioName, Request> = LruHashMap::with_max_entries(MOST_AIO_REQUESTS, 0);
/// Serials of the sockets of sends without copying, by the pointer of their notification.
#[map]
pub static NOTIFICATIONS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(MOST_NOTIFICATIONS, 0);
/// Where an entry of these is built: too large for the stack.
#[map]
pub static REQUEST_SCRATCH: PerCpuArray<Request> = PerCpuArray::with_max_entries(1, 0);
/// Likewise for what it came to.
#[map]
pub static OUTCOME: PerCpuArray<Outcome> = PerCpuArray::with_max_entries(1, 0);
/// The last completion on each CPU, which an overflow of the completion queue may be reported of once more.
#[map]
pub static LAST_COMPLETION: PerCpuArray<RequestName> = PerCpuArray::with_max_entries(1, 0);

/// Adds to one of this CPU's loss counters.
#[inline(always)]
pub fn lost(add: impl FnOnce(&mut LossCounters)) {
    if let Some(losses) = LOSSES.get_ptr_mut(0) {
        // SAFETY: this CPU's own entry.
        add(unsafe { &mut *losses });
    }
}
