//! How this process was entered: what whoever started it decided about signals and standard streams.
//!
//! Rust's runtime changes some of it before `main`: it ignores SIGPIPE, and opens `/dev/null` where a standard stream is
//! closed. So it is noted earlier, by a constructor. It is given on to the command that zc-trace starts, which is to run
//! as it would without zc-trace.

use std::{
    ffi::c_int,
    io,
    os::unix::process::CommandExt as _,
    process::Command,
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
};

/// Signals whose fate in a child would not be that on entry: Rust's `Command` resets SIGPIPE, and the others have
/// handlers here, of which `execve` makes the default.
const CHANGED: [c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGPIPE];

/// With this signal glibc has all threads change their user at once (nptl, `SIGSETXID`). It takes it over with the first thread
/// that is made, and hides it from `sigaction`.
const OF_THREADS: c_int = 33;

/// What the kernel takes a signal's action as (include/linux/signal_types.h, `struct sigaction`): the handler first.
type KernelAction = [usize; 4];

/// One bit for each signal, from the number 1 on.
static IGNORED: AtomicU64 = AtomicU64::new(0);
static BLOCKED: AtomicU64 = AtomicU64::new(0);
/// One bit for each of the three standard streams.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// The C library runs what stands in this section before `main`.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

extern "C" fn note() {
    // SAFETY: these calls only ask, and what they write to is theirs for the time; zeros are a value of the structures.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask);
        for signal in 1..=64 {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
            {
                IGNORED.fetch_or(bit(signal), Ordering::Relaxed);
            }
            if libc::sigismember(&raw const mask, signal) == 1 {
                BLOCKED.fetch_or(bit(signal), Ordering::Relaxed);
            }
        }
        let mut action: KernelAction = [0; 4];
        libc::syscall(libc::SYS_rt_sigaction, OF_THREADS, 0usize, &raw mut action, 8usize);
        if action[0] == libc::SIG_IGN {
            IGNORED.fetch_or(bit(OF_THREADS), Ordering::Relaxed);
        }
        for stream in 0..3 {
            if libc::fcntl(stream, libc::F_GETFD) < 0 {
                CLOSED.fetch_or(1 << stream, Ordering::Relaxed);
            }
        }
    }
}

fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Whether that signal was ignored on entry.
pub(crate) fn ignored(signal: c_int) -> bool {
    IGNORED.load(Ordering::Relaxed) & bit(signal) != 0
}

/// Whether that standard stream (0, 1, 2) was closed on entry.
pub(crate) fn closed(stream: c_int) -> bool {
    CLOSED.load(Ordering::Relaxed) & 1 << stream != 0
}

/// Has the command start with what this process was given, where `Command` by itself would not.
pub(crate) fn give_on(command: &mut Command) {
    let ignored: Vec<c_int> = CHANGED.into_iter().filter(|signal| ignored(*signal)).collect();
    let closed: Vec<c_int> = (0..3).filter(|stream| closed(*stream)).collect();
    let blocked = BLOCKED.load(Ordering::Relaxed);
    if self::ignored(OF_THREADS) {
        let ignore: KernelAction = [libc::SIG_IGN, 0, 0, 0];
        // SAFETY: the kernel only reads it. Nothing here changes its user, so this process has no use for the signal.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, OF_THREADS, &raw const ignore, 0usize, 8usize) };
    }
    if ignored.is_empty() && closed.is_empty() && blocked == 0 {
        // As nearly always: without a closure `Command` need not fork, which costs page faults.
        return;
    }
    // SAFETY: the closure makes system calls only, and touches no lock and no allocator.
    unsafe {
        command.pre_exec(move || {
            for signal in &ignored {
                libc::signal(*signal, libc::SIG_IGN);
            }
            for stream in &closed {
                libc::close(*stream);
            }
            block(blocked)
        });
    }
}

fn block(blocked: u64) -> io::Result<()> {
    // SAFETY: the set is filled before it is used and outlives the call.
    let outcome = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in (1..=64).filter(|signal| blocked & bit(*signal) != 0) {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
