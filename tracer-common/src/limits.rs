//! Sizes that both sides must agree on.

/// How many iovecs of a vectored call a record carries; the rest are counted, not carried.
pub const IOVECS: usize = 8;

/// Slots of the system call table: 64-bit numbers from 0, 32-bit (compat) numbers from [`COMPAT_BASE`], one slot,
/// [`CALL_OTHER`], for numbers beyond the table (a program may pass any number; the kernel answers ENOSYS), and the
/// opcodes of requests from [`URING_BASE`] and [`AIO_BASE`].
pub const CALLS: usize = (AIO_BASE + AIO_OPCODES) as usize;

/// First slot of the 32-bit (compat) system calls.
pub const COMPAT_BASE: u32 = 512;

/// The slot of every number that has no slot of its own.
pub const CALL_OTHER: u32 = 1024;

/// First slot of the opcodes of io_uring requests.
pub const URING_BASE: u32 = CALL_OTHER + 1;

/// Slots of them: a power of two, the last one for all opcodes beyond.
pub const URING_OPCODES: u32 = 128;

/// First slot of the opcodes of Linux AIO.
pub const AIO_BASE: u32 = URING_BASE + URING_OPCODES;

/// Slots of them: a power of two, the last one for all opcodes beyond.
pub const AIO_OPCODES: u32 = 16;

/// Most io_uring requests under way of which the kernel side remembers the submission.
pub const REQUESTS: u32 = 16_384;

/// Most sends without copying by io_uring whose notification is awaited.
pub const NOTIFICATIONS: u32 = 16_384;

/// Most threads that run requests at one time of which copies are counted.
pub const RUNNING: u32 = 4096;

/// Most requests of AIO under way that are remembered.
pub const AIO_REQUESTS: u32 = 4096;

/// Most requests of one `io_submit`, and completions of one `io_getevents`, that are looked at; the rest is counted.
pub const AIO_BATCH: u64 = 64;

/// Most requests of io_uring under way that complete many times over and are told apart by their user data.
pub const MULTISHOTS: u32 = 8192;

/// Most threads traced at one time. A thread beyond that is counted as lost, never silently left out.
pub const THREADS: u32 = 16_384;

/// Most open files whose identity the kernel side remembers at one time; older ones are looked up anew.
pub const FILES: u32 = 131_072;

/// Most files that are known by their page cache, and most sockets that are known by their kernel side, so that late I/O
/// can be told by them.
pub const CACHED_FILES: u32 = 32_768;

/// Most files and devices that block I/O is added up by.
pub const DEVICES: u32 = 16_384;

/// Most endpoint identities that wait for user space to read them.
pub const ENDPOINTS: u32 = 16_384;

/// Most combinations of call and endpoints that operations are folded into while the ring buffer is full.
pub const SPILLS: u32 = 16_384;

/// Most kinds of errors, by call, of which calls are summed; the others stay without a name.
pub const SUMMED_ERRORS: u32 = 4096;

/// Most path components of a file that are carried; deeper paths are marked as cut.
pub const PATH_COMPONENTS: u32 = 32;

/// Bytes of an endpoint's path buffer (components, last one first, each ending in NUL).
pub const PATH_BYTES: usize = 1024;

/// The longest path component, with its NUL (`NAME_MAX` + 1, linux/limits.h).
pub const NAME_BYTES: usize = 256;

/// Most messages of one `sendmmsg`/`recvmmsg` (`UIO_MAXIOV`, linux/uio.h: the kernel cuts longer vectors).
pub const MESSAGES: u32 = 1024;
