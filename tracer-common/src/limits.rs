//! Sizes that both sides must agree on.

/// How many iovecs of a vectored call a record carries; the rest are counted, not carried.
pub const IOVECS: usize = 8;

/// Slots of the system call table: 64-bit numbers from 0, 32-bit (compat) numbers from [`COMPAT_BASE`], and one last
/// slot, [`CALL_OTHER`], for numbers beyond the table (a program may pass any number; the kernel answers ENOSYS).
pub const CALLS: usize = 1025;

/// First slot of the 32-bit (compat) system calls.
pub const COMPAT_BASE: u32 = 512;

/// The slot of every number that has no slot of its own.
pub const CALL_OTHER: u32 = 1024;

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

/// Most path components of a file that are carried; deeper paths are marked as cut.
pub const PATH_COMPONENTS: u32 = 32;

/// Bytes of an endpoint's path buffer (components, last one first, each ending in NUL).
pub const PATH_BYTES: usize = 1024;

/// The longest path component, with its NUL (`NAME_MAX` + 1, linux/limits.h).
pub const NAME_BYTES: usize = 256;

/// Most messages of one `sendmmsg`/`recvmmsg` (`UIO_MAXIOV`, linux/uio.h: the kernel cuts longer vectors).
pub const MESSAGES: u32 = 1024;
