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
    /// `connect` and `bind`: as [`Self::DESCRIPTOR`], and the first argument's endpoint is described anew, because its
    /// addresses have changed.
    pub const READDRESSES: Self = Self(9);
    /// Returns a new descriptor, or writes two of them to user memory at the buffer (`pipe`, `socketpair`): as
    /// [`Self::DESCRIPTOR`], and says what they stand for.
    pub const OPENS: Self = Self(10);
    /// `setsockopt`: as [`Self::COUNTED`], and the first argument's endpoint is described anew when it is next met, because
    /// its protocol may have changed.
    pub const RENEWS: Self = Self(11);
    /// `io_uring_enter`: as [`Self::COUNTED`], and its two transitions fall to a request that it serves. So do those of
    /// the following.
    pub const ENTERS_RING: Self = Self(12);
    /// `io_submit`: its requests are noted.
    pub const SUBMITS: Self = Self(13);
    /// `io_getevents`: the completions that it returns are told.
    pub const COLLECTS: Self = Self(14);
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
    /// Bits of [`accounted`]: in which of the task's accounts the kernel books what the call moved.
    pub accounted: u8,
    /// Where its arguments are: 0, in registers.
    pub arguments_at: u8,
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
        accounted: 0,
        arguments_at: 0,
    };

    /// [`Self::arguments_at`]: in memory, where the first one points (32-bit `mmap`).
    pub const AT_FIRST: u8 = 1;
    /// In memory, where the second one points, of the call that the first one stands for (32-bit `socketcall`): one of
    /// [`SOCKET_CALLS`].
    pub const AT_SECOND: u8 = 2;
}

/// The accounts in which a call's bytes are booked before it returns (fs/read_write.c, `add_rchar` and `add_wchar`).
pub mod accounted {
    /// `rchar` and `syscr`.
    pub const READ: u8 = 1;
    /// `wchar` and `syscw`.
    pub const WRITTEN: u8 = 2;
}

/// A call that 32-bit `socketcall` stands for.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct SocketCall {
    /// Its table index; 0 for none.
    pub call: u32,
    /// How many arguments it has.
    pub arguments: u32,
}

/// What 32-bit `socketcall` stands for, by its first argument (include/uapi/linux/net.h), and with how many arguments
/// (net/socket.c, `nargs`). x86 has no 32-bit `send`, `recv` and `accept`: with the other arguments 0 they are what stands
/// here for them.
pub const SOCKET_CALLS: &[(&str, u32)] = &[
    ("", 0),
    ("socket", 3),
    ("bind", 3),
    ("connect", 3),
    ("listen", 2),
    ("accept4", 3),
    ("getsockname", 3),
    ("getpeername", 3),
    ("socketpair", 4),
    ("sendto", 4),
    ("recvfrom", 4),
    ("sendto", 6),
    ("recvfrom", 6),
    ("shutdown", 2),
    ("setsockopt", 5),
    ("getsockopt", 5),
    ("sendmsg", 3),
    ("recvmsg", 3),
    ("accept4", 4),
    ("recvmmsg", 5),
    ("sendmmsg", 4),
];

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
    /// `io_uring_enter`, `io_submit`, `io_getevents`: for requests, which are operations of their own.
    Submit,
}

impl CallKind {
    /// Bits of [`accounted`]: the read and write families, sendfile and copy_file_range go through fs/read_write.c;
    /// fs/splice.c, net/socket.c, mm/process_vm_access.c and requests do not.
    #[must_use]
    pub const fn accounted(self) -> u8 {
        match self {
            Self::Read => accounted::READ,
            Self::Write => accounted::WRITTEN,
            Self::Sendfile | Self::CopyFileRange => accounted::READ | accounted::WRITTEN,
            _ => 0,
        }
    }
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
        shape: CallShape {
            class,
            source_fd,
            sink_fd,
            buffer,
            length,
            flags,
            accounted: kind.accounted(),
            arguments_at: 0,
        },
    }
}

const fn descriptor(name: &'static str) -> NamedShape {
    named(name, CallKind::Descriptor, CallClass::DESCRIPTOR, [NONE; 5])
}

const fn opens(name: &'static str) -> NamedShape {
    named(name, CallKind::Descriptor, CallClass::OPENS, [NONE; 5])
}

/// A call that writes two descriptors to user memory.
const fn opens_two(name: &'static str, buffer: u8) -> NamedShape {
    named(name, CallKind::Descriptor, CallClass::OPENS, [NONE, NONE, buffer, NONE, NONE])
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
    opens("open"),
    opens("openat"),
    opens("openat2"),
    opens("creat"),
    descriptor("close"),
    descriptor("close_range"),
    descriptor("dup"),
    descriptor("dup2"),
    descriptor("dup3"),
    descriptor("fcntl"),
    descriptor("fcntl64"),
    opens_two("pipe", 0),
    opens_two("pipe2", 0),
    opens("socket"),
    opens_two("socketpair", 3),
    opens("accept"),
    opens("accept4"),
    named("connect", CallKind::Descriptor, CallClass::READDRESSES, [NONE; 5]),
    named("bind", CallKind::Descriptor, CallClass::READDRESSES, [NONE; 5]),
    // It may put another protocol on top of TCP.
    named("setsockopt", CallKind::Descriptor, CallClass::RENEWS, [NONE; 5]),
    opens("eventfd"),
    opens("eventfd2"),
    opens("memfd_create"),
    opens("epoll_create"),
    opens("epoll_create1"),
    opens("timerfd_create"),
    opens("signalfd"),
    opens("signalfd4"),
    opens("inotify_init"),
    opens("inotify_init1"),
    opens("fanotify_init"),
    opens("userfaultfd"),
    opens("perf_event_open"),
    opens("pidfd_open"),
    opens("pidfd_getfd"),
    opens("io_uring_setup"),
    opens("open_by_handle_at"),
    opens("mq_open"),
    opens("memfd_secret"),
    opens("fsopen"),
    opens("fspick"),
    opens("fsmount"),
    opens("open_tree"),
    opens("landlock_create_ruleset"),
    descriptor("unshare"),
    named("io_uring_enter", CallKind::Submit, CallClass::ENTERS_RING, [NONE; 5]),
    named("io_submit", CallKind::Submit, CallClass::SUBMITS, [NONE; 5]),
    named("io_getevents", CallKind::Submit, CallClass::COLLECTS, [NONE; 5]),
    named("io_pgetevents", CallKind::Submit, CallClass::COLLECTS, [NONE; 5]),
    named("io_pgetevents_time64", CallKind::Submit, CallClass::COLLECTS, [NONE; 5]),
];

const _: () = assert!(size_of::<CallShape>() == 8);
