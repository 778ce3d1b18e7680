//! The I/O calls, each made by its own number: the C library's wrappers are free to choose another call (glibc's `send`
//! is `sendto`), a workload that promises its calls is not.
//!
//! Descriptors are plain numbers here, because some of them must be wrong.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::RawFd,
    ptr,
};

use libc::{c_long, c_uint, iovec, loff_t, mmsghdr, msghdr, pid_t};

fn returned(value: c_long) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::Error::last_os_error())
}

/// Makes one system call. Every pointer handed in below is that of a borrowed slice or a local, with its own length.
macro_rules! call {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        // SAFETY: the pointers among the arguments are valid for the lengths given with them, or deliberately lead
        // nowhere and are checked by the kernel.
        returned(unsafe { libc::syscall(libc::$number $(, $argument.word())*) })
    };
}

/// What can be an argument. Each fills a whole register: of a narrower one, handed to a function of variable
/// arguments, the upper half would be left to chance.
trait Argument {
    fn word(self) -> c_long;
}

impl Argument for i32 {
    fn word(self) -> c_long {
        self.into()
    }
}

impl Argument for u32 {
    fn word(self) -> c_long {
        self.into()
    }
}

impl Argument for loff_t {
    fn word(self) -> c_long {
        self
    }
}

impl Argument for usize {
    fn word(self) -> c_long {
        self as c_long
    }
}

impl<T> Argument for *const T {
    fn word(self) -> c_long {
        self as c_long
    }
}

impl<T> Argument for *mut T {
    fn word(self) -> c_long {
        self as c_long
    }
}

/// `read`.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    call!(SYS_read, fd, buffer.as_mut_ptr(), buffer.len())
}

/// `read` of `length` bytes to an address that is not mapped.
pub fn read_to_nowhere(fd: RawFd, length: usize) -> io::Result<usize> {
    call!(SYS_read, fd, NOWHERE, length)
}

/// `write`.
pub fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    call!(SYS_write, fd, bytes.as_ptr(), bytes.len())
}

/// `write` of `length` bytes from an address that is not mapped.
pub fn write_from_nowhere(fd: RawFd, length: usize) -> io::Result<usize> {
    call!(SYS_write, fd, NOWHERE, length)
}

/// In the page at the bottom of the address space, where nothing is ever mapped.
const NOWHERE: usize = 8;

/// `pread64`.
pub fn pread64(fd: RawFd, buffer: &mut [u8], offset: loff_t) -> io::Result<usize> {
    call!(SYS_pread64, fd, buffer.as_mut_ptr(), buffer.len(), offset)
}

/// `pwrite64`.
pub fn pwrite64(fd: RawFd, bytes: &[u8], offset: loff_t) -> io::Result<usize> {
    call!(SYS_pwrite64, fd, bytes.as_ptr(), bytes.len(), offset)
}

/// `readv`.
pub fn readv(fd: RawFd, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    call!(SYS_readv, fd, buffers.as_mut_ptr(), buffers.len())
}

/// `writev`.
pub fn writev(fd: RawFd, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    call!(SYS_writev, fd, buffers.as_ptr(), buffers.len())
}

/// `preadv`.
pub fn preadv(fd: RawFd, buffers: &mut [IoSliceMut<'_>], offset: loff_t) -> io::Result<usize> {
    call!(SYS_preadv, fd, buffers.as_mut_ptr(), buffers.len(), offset, 0)
}

/// `pwritev`.
pub fn pwritev(fd: RawFd, buffers: &[IoSlice<'_>], offset: loff_t) -> io::Result<usize> {
    call!(SYS_pwritev, fd, buffers.as_ptr(), buffers.len(), offset, 0)
}

/// `preadv2`; offset -1 is the file's own position.
pub fn preadv2(fd: RawFd, buffers: &mut [IoSliceMut<'_>], offset: loff_t, flags: i32) -> io::Result<usize> {
    call!(SYS_preadv2, fd, buffers.as_mut_ptr(), buffers.len(), offset, offset >> 63, flags)
}

/// `pwritev2`; offset -1 is the file's own position.
pub fn pwritev2(fd: RawFd, buffers: &[IoSlice<'_>], offset: loff_t, flags: i32) -> io::Result<usize> {
    call!(SYS_pwritev2, fd, buffers.as_ptr(), buffers.len(), offset, offset >> 63, flags)
}

/// `sendfile` from the file's own position.
pub fn sendfile(out: RawFd, input: RawFd, count: usize) -> io::Result<usize> {
    call!(SYS_sendfile, out, input, ptr::null_mut::<loff_t>(), count)
}

/// `sendfile` from an offset, which moves on.
pub fn sendfile_at(out: RawFd, input: RawFd, offset: &mut loff_t, count: usize) -> io::Result<usize> {
    call!(SYS_sendfile, out, input, ptr::from_mut(offset), count)
}

/// `splice` from and to the current positions.
pub fn splice(input: RawFd, out: RawFd, length: usize, flags: c_uint) -> io::Result<usize> {
    let none = ptr::null_mut::<loff_t>();
    call!(SYS_splice, input, none, out, none, length, flags)
}

/// `tee`.
pub fn tee(input: RawFd, out: RawFd, length: usize, flags: c_uint) -> io::Result<usize> {
    call!(SYS_tee, input, out, length, flags)
}

/// `vmsplice` into a pipe's writing end.
pub fn vmsplice(fd: RawFd, buffers: &[IoSlice<'_>], flags: c_uint) -> io::Result<usize> {
    call!(SYS_vmsplice, fd, buffers.as_ptr(), buffers.len(), flags)
}

/// `vmsplice` out of a pipe's reading end.
pub fn vmsplice_out(fd: RawFd, buffers: &mut [IoSliceMut<'_>], flags: c_uint) -> io::Result<usize> {
    call!(SYS_vmsplice, fd, buffers.as_mut_ptr(), buffers.len(), flags)
}

/// `copy_file_range` between offsets, which move on.
pub fn copy_file_range(
    input: RawFd,
    from: &mut loff_t,
    out: RawFd,
    to: &mut loff_t,
    length: usize,
) -> io::Result<usize> {
    call!(SYS_copy_file_range, input, ptr::from_mut(from), out, ptr::from_mut(to), length, 0)
}

/// `sendto` on a connected socket.
pub fn sendto(fd: RawFd, bytes: &[u8], flags: i32) -> io::Result<usize> {
    call!(SYS_sendto, fd, bytes.as_ptr(), bytes.len(), flags, ptr::null::<u8>(), 0)
}

/// `recvfrom`, whose sender is of no interest.
pub fn recvfrom(fd: RawFd, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    let nobody = ptr::null_mut::<u8>();
    call!(SYS_recvfrom, fd, buffer.as_mut_ptr(), buffer.len(), flags, nobody, ptr::null_mut::<u32>())
}

/// A message over these buffers. `IoSlice` and `IoSliceMut` are promised to be laid out as `iovec`.
fn message(buffers: *mut iovec, count: usize) -> msghdr {
    // SAFETY: all zeroes is a valid, empty message.
    let mut message: msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = buffers;
    message.msg_iovlen = count as _;
    message
}

/// `sendmsg` on a connected socket.
pub fn sendmsg(fd: RawFd, buffers: &[IoSlice<'_>], flags: i32) -> io::Result<usize> {
    let message = message(buffers.as_ptr().cast_mut().cast(), buffers.len());
    call!(SYS_sendmsg, fd, ptr::from_ref(&message), flags)
}

/// `recvmsg`.
pub fn recvmsg(fd: RawFd, buffers: &mut [IoSliceMut<'_>], flags: i32) -> io::Result<usize> {
    let mut message = message(buffers.as_mut_ptr().cast(), buffers.len());
    call!(SYS_recvmsg, fd, ptr::from_mut(&mut message), flags)
}

/// Room for control data with one descriptor, laid out as the kernel wants it (cmsg(3)).
#[repr(C, align(8))]
struct Control([u8; 32]);

/// `sendmsg` on a connected unix socket, with a descriptor beside the bytes (SCM_RIGHTS, unix(7)).
pub fn sendmsg_passing(fd: RawFd, buffers: &[IoSlice<'_>], passed: RawFd) -> io::Result<usize> {
    let mut control = Control([0; 32]);
    let mut message = message(buffers.as_ptr().cast_mut().cast(), buffers.len());
    message.msg_control = ptr::from_mut(&mut control).cast();
    // SAFETY: arithmetic only.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as c_uint) } as _;
    // SAFETY: the control data has room for one header and one descriptor.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as c_uint) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(passed);
    }
    call!(SYS_sendmsg, fd, ptr::from_ref(&message), 0)
}

/// `recvmsg`, and the descriptor that came with the bytes if one did.
pub fn recvmsg_passed(fd: RawFd, buffers: &mut [IoSliceMut<'_>]) -> io::Result<(usize, Option<RawFd>)> {
    let mut control = Control([0; 32]);
    let mut message = message(buffers.as_mut_ptr().cast(), buffers.len());
    message.msg_control = ptr::from_mut(&mut control).cast();
    message.msg_controllen = size_of::<Control>() as _;
    let bytes = call!(SYS_recvmsg, fd, ptr::from_mut(&mut message), libc::MSG_CMSG_CLOEXEC)?;
    // SAFETY: the kernel has filled control data and its length in.
    let passed = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let is_right = !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_RIGHTS;
        is_right.then(|| libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned())
    };
    Ok((bytes, passed))
}

/// `sendmmsg` of one message per slice: how many went, and the bytes of each.
pub fn sendmmsg(fd: RawFd, payloads: &[&[u8]], flags: i32) -> io::Result<(usize, Vec<u32>)> {
    let slices: Vec<IoSlice<'_>> = payloads.iter().map(|payload| IoSlice::new(payload)).collect();
    let mut messages: Vec<mmsghdr> = slices
        .iter()
        .map(|slice| mmsghdr { msg_hdr: message(ptr::from_ref(slice).cast_mut().cast(), 1), msg_len: 0 })
        .collect();
    let count = call!(SYS_sendmmsg, fd, messages.as_mut_ptr(), messages.len(), flags)?;
    Ok((count, messages.iter().take(count).map(|message| message.msg_len).collect()))
}

/// `recvmmsg` of one message per buffer, without a time limit: how many came, and the bytes of each.
pub fn recvmmsg(fd: RawFd, buffers: &mut [&mut [u8]], flags: i32) -> io::Result<(usize, Vec<u32>)> {
    let mut slices: Vec<IoSliceMut<'_>> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
    let mut messages: Vec<mmsghdr> = slices
        .iter_mut()
        .map(|slice| mmsghdr { msg_hdr: message(ptr::from_mut(slice).cast(), 1), msg_len: 0 })
        .collect();
    let forever = ptr::null_mut::<libc::timespec>();
    let count = call!(SYS_recvmmsg, fd, messages.as_mut_ptr(), messages.len(), flags, forever)?;
    Ok((count, messages.iter().take(count).map(|message| message.msg_len).collect()))
}

/// `process_vm_readv` from `remote` of that process, which may be this one.
pub fn process_vm_readv(pid: u32, local: &mut [u8], remote: &[IoSlice<'_>]) -> io::Result<usize> {
    let mine = IoSliceMut::new(local);
    let pid = pid.cast_signed() as pid_t;
    call!(SYS_process_vm_readv, pid, ptr::from_ref(&mine), 1, remote.as_ptr(), remote.len(), 0)
}

/// `process_vm_writev` to `remote` of that process, which may be this one.
pub fn process_vm_writev(pid: u32, local: &[u8], remote: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let mine = IoSlice::new(local);
    let pid = pid.cast_signed() as pid_t;
    call!(SYS_process_vm_writev, pid, ptr::from_ref(&mine), 1, remote.as_mut_ptr(), remote.len(), 0)
}

/// `close_range`.
pub fn close_range(first: RawFd, last: RawFd, flags: c_uint) -> io::Result<usize> {
    call!(SYS_close_range, first, last, flags)
}

/// `pidfd_getfd`.
pub fn pidfd_getfd(pidfd: RawFd, fd: RawFd) -> io::Result<RawFd> {
    call!(SYS_pidfd_getfd, pidfd, fd, 0).map(|fd| fd as RawFd)
}

/// A call that changes nothing and that no C library makes by itself: shows in a strace log where a workload's own calls
/// begin.
pub fn mark() -> io::Result<usize> {
    call!(SYS_sched_get_priority_max, 0)
}

/// The name of the call that [`mark`] makes.
pub const MARK: &str = "sched_get_priority_max";

/// `fork`, or what stands for it where the machine has no such call. For programs with one thread.
pub fn fork() -> io::Result<usize> {
    #[cfg(target_arch = "x86_64")]
    return call!(SYS_fork);
    #[cfg(not(target_arch = "x86_64"))]
    return clone();
}

/// `clone` with nothing shared. For programs with one thread.
pub fn clone() -> io::Result<usize> {
    call!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)
}

/// `clone` that makes a process with the same table of descriptors. For programs with one thread.
pub fn clone_files() -> io::Result<usize> {
    call!(SYS_clone, libc::CLONE_FILES | libc::SIGCHLD, 0, 0, 0, 0)
}

/// Ends the process at once: a forked child must not run what its parent left to be run at exit.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}
