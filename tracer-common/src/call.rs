//! What the kernel side needs to know of a system call: which argument means what.
//!
//! The programs hold no system call numbers. User space fills a table, indexed by number, with [`CallShape`]s for the
//! running architecture; a new call is one line in [`CALL_SHAPES`].

/// Index of an argument that a call does not have.
pub const NONE: u8 = 0xff;

/// What the kernel side does when a call finishes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct CallClass(pub u8);

impl CallClass {
    /// Counted and timed; emits a call record.
    pub const COUNTED: Self = Self(0);
    /// Moves payload through one buffer (`read`, `sendto`).
    pub const BUFFER: Self = Self(1);
    /// Moves payload through an array of `struct iovec`.
    pub const VECTOR: Self = Self(2);
    /// Moves payload through a `struct msghdr`.
    pub const MESSAGE: Self = Self(3);
    /// Moves payload through an array of `struct mmsghdr`; returns messages, not bytes.
    pub const MESSAGES: Self = Self(4);
    /// Moves payload inside the kernel between two descriptors.
    pub const IN_KERNEL: Self = Self(5);
    /// Makes, duplicates or ends descriptors or mappings; emits its arguments.
    pub const DESCRIPTOR: Self = Self(6);
    /// `execve` and `execveat`: replaces the saved registers.
    pub const EXEC: Self = Self(7);
    /// `exit` and `exit_group`: never returns.
    pub const NO_RETURN: Self = Self(8);
    /// `connect`, `bind`, `setsockopt`: as [`Self::DESCRIPTOR`], and the first argument's endpoint is described anew,
    /// because its addresses or its protocol have changed.
    pub const READDRESSES: Self = Self(9);
}

/// Which argument of a call means what; argument indices from 0, or [`NONE`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct CallShape {
    /// What to do with it.
    pub class: CallClass,
    /// The descriptor that payload comes from.
    pub source_fd: u8,
    /// The descriptor that payload goes to.
    pub sink_fd: u8,
    /// The buffer, or the array of iovecs or of message headers.
    pub buffer: u8,
    /// The length of the buffer in bytes, or the number of array entries.
    pub length: u8,
    /// The flags.
    pub flags: u8,
    /// 1: the call came through the 32-bit ABI, whose message headers are laid out differently.
    pub compat: u8,
    /// Padding.
    pub _pad: u8,
}

impl CallShape {
    /// A call that is only counted and timed.
    pub const COUNTED: Self = Self {
        class: CallClass::COUNTED,
        source_fd: NONE,
        sink_fd: NONE,
        buffer: NONE,
        length: NONE,
        flags: NONE,
        compat: 0,
        _pad: 0,
    };
}

/// What an operation does, whichever of its variants was called.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum CallKind {
    /// `read`, `pread64`, `readv`, `preadv`, `preadv2`.
    Read,
    /// `write`, `pwrite64`, `writev`, `pwritev`, `pwritev2`.
    Write,
    /// `recvfrom`, `recvmsg`, `recvmmsg` (and 32-bit `recv`).
    Receive,
    /// `sendto`, `sendmsg`, `sendmmsg` (and 32-bit `send`).
    Send,
    /// `sendfile`.
    Sendfile,
    /// `splice`.
    Splice,
    /// `tee`.
    Tee,
    /// `vmsplice`: its direction is that of the pipe's end.
    Vmsplice,
    /// `copy_file_range`.
    CopyFileRange,
    /// `process_vm_readv`.
    ProcessVmRead,
    /// `process_vm_writev`.
    ProcessVmWrite,
    /// Makes, duplicates or ends descriptors.
    Descriptor,
    /// `mmap` (and 32-bit `mmap2`).
    Map,
    /// `munmap`.
    Unmap,
    /// `mremap`.
    Remap,
    /// `execve`, `execveat`.
    Exec,
    /// `exit`, `exit_group`.
    Exit,
}

/// One call that is more than counted.
#[derive(Clone, Copy, Debug)]
pub struct NamedShape {
    /// The kernel's name of the call, without `sys_`.
    pub name: &'static str,
    /// What it does.
    pub kind: CallKind,
    /// Which argument means what.
    pub shape: CallShape,
}

const fn named(name: &'static str, kind: CallKind, class: CallClass, args: [u8; 5]) -> NamedShape {
    let [source_fd, sink_fd, buffer, length, flags] = args;
    NamedShape {
        name,
        kind,
        shape: CallShape { class, source_fd, sink_fd, buffer, length, flags, compat: 0, _pad: 0 },
    }
}

const fn descriptor(name: &'static str) -> NamedShape {
    named(name, CallKind::Descriptor, CallClass::DESCRIPTOR, [NONE; 5])
}

const N: u8 = NONE;

/// Every call that is an operation or changes descriptors, mappings or the process; others are only counted.
/// Arguments: source fd, sink fd, buffer, length, flags. Sources: the man pages in section 2 of each call.
pub const CALL_SHAPES: &[NamedShape] = &[
    named("read", CallKind::Read, CallClass::BUFFER, [0, N, 1, 2, N]),
    named("pread64", CallKind::Read, CallClass::BUFFER, [0, N, 1, 2, N]),
    named("readv", CallKind::Read, CallClass::VECTOR, [0, N, 1, 2, N]),
    named("preadv", CallKind::Read, CallClass::VECTOR, [0, N, 1, 2, N]),
    named("preadv2", CallKind::Read, CallClass::VECTOR, [0, N, 1, 2, 5]),
    named("write", CallKind::Write, CallClass::BUFFER, [N, 0, 1, 2, N]),
    named("pwrite64", CallKind::Write, CallClass::BUFFER, [N, 0, 1, 2, N]),
    named("writev", CallKind::Write, CallClass::VECTOR, [N, 0, 1, 2, N]),
    named("pwritev", CallKind::Write, CallClass::VECTOR, [N, 0, 1, 2, N]),
    named("pwritev2", CallKind::Write, CallClass::VECTOR, [N, 0, 1, 2, 5]),
    named("recvfrom", CallKind::Receive, CallClass::BUFFER, [0, N, 1, 2, 3]),
    named("recv", CallKind::Receive, CallClass::BUFFER, [0, N, 1, 2, 3]),
    named("recvmsg", CallKind::Receive, CallClass::MESSAGE, [0, N, 1, N, 2]),
    named("recvmmsg", CallKind::Receive, CallClass::MESSAGES, [0, N, 1, 2, 3]),
    named("recvmmsg_time64", CallKind::Receive, CallClass::MESSAGES, [0, N, 1, 2, 3]),
    named("sendto", CallKind::Send, CallClass::BUFFER, [N, 0, 1, 2, 3]),
    named("send", CallKind::Send, CallClass::BUFFER, [N, 0, 1, 2, 3]),
    named("sendmsg", CallKind::Send, CallClass::MESSAGE, [N, 0, 1, N, 2]),
    named("sendmmsg", CallKind::Send, CallClass::MESSAGES, [N, 0, 1, 2, 3]),
    named("sendfile", CallKind::Sendfile, CallClass::IN_KERNEL, [1, 0, N, 3, N]),
    named("sendfile64", CallKind::Sendfile, CallClass::IN_KERNEL, [1, 0, N, 3, N]),
    named("splice", CallKind::Splice, CallClass::IN_KERNEL, [0, 2, N, 4, 5]),
    named("tee", CallKind::Tee, CallClass::IN_KERNEL, [0, 1, N, 2, 3]),
    named("copy_file_range", CallKind::CopyFileRange, CallClass::IN_KERNEL, [0, 2, N, 4, 5]),
    named("vmsplice", CallKind::Vmsplice, CallClass::VECTOR, [N, 0, 1, 2, 3]),
    named("process_vm_readv", CallKind::ProcessVmRead, CallClass::VECTOR, [N, N, 1, 2, 5]),
    named("process_vm_writev", CallKind::ProcessVmWrite, CallClass::VECTOR, [N, N, 1, 2, 5]),
    named("mmap", CallKind::Map, CallClass::DESCRIPTOR, [4, N, N, N, N]),
    named("mmap2", CallKind::Map, CallClass::DESCRIPTOR, [4, N, N, N, N]),
    named("munmap", CallKind::Unmap, CallClass::DESCRIPTOR, [N; 5]),
    named("mremap", CallKind::Remap, CallClass::DESCRIPTOR, [N; 5]),
    named("execve", CallKind::Exec, CallClass::EXEC, [N; 5]),
    named("execveat", CallKind::Exec, CallClass::EXEC, [N; 5]),
    named("exit", CallKind::Exit, CallClass::NO_RETURN, [N; 5]),
    named("exit_group", CallKind::Exit, CallClass::NO_RETURN, [N; 5]),
    descriptor("open"),
    descriptor("openat"),
    descriptor("openat2"),
    descriptor("creat"),
    descriptor("close"),
    descriptor("close_range"),
    descriptor("dup"),
    descriptor("dup2"),
    descriptor("dup3"),
    descriptor("fcntl"),
    descriptor("fcntl64"),
    descriptor("pipe"),
    descriptor("pipe2"),
    descriptor("socket"),
    descriptor("socketpair"),
    descriptor("accept"),
    descriptor("accept4"),
    named("connect", CallKind::Descriptor, CallClass::READDRESSES, [NONE; 5]),
    named("bind", CallKind::Descriptor, CallClass::READDRESSES, [NONE; 5]),
    // It may put another protocol on top of TCP.
    named("setsockopt", CallKind::Descriptor, CallClass::READDRESSES, [NONE; 5]),
    descriptor("eventfd"),
    descriptor("eventfd2"),
    descriptor("memfd_create"),
    descriptor("epoll_create"),
    descriptor("epoll_create1"),
    descriptor("timerfd_create"),
    descriptor("signalfd"),
    descriptor("signalfd4"),
    descriptor("inotify_init"),
    descriptor("inotify_init1"),
    descriptor("fanotify_init"),
    descriptor("userfaultfd"),
    descriptor("perf_event_open"),
    descriptor("pidfd_open"),
    descriptor("pidfd_getfd"),
    descriptor("io_uring_setup"),
];

const _: () = assert!(size_of::<CallShape>() == 8);
