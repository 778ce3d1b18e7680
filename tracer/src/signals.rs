//! The signals that end zc-trace, how it notices them, and that what it changes about signals stays its own.
//!
//! A handler only counts. Nothing that comes between two questions is lost, code that does not wait for anything can
//! ask too, and no descriptor is needed. A handler, unlike `SIG_IGN`, does not outlive an `execve`: commands that
//! zc-trace starts are not touched by it.

use std::{
    ffi::{c_int, c_void},
    fmt, io,
    sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::Signal;

use crate::entry;

/// How long a signal may go unnoticed by a task that waits for one: not seen by a person.
const POLL: Duration = Duration::from_millis(20);

static COUNT: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicI32 = AtomicI32::new(0);
static BY_KERNEL: AtomicBool = AtomicBool::new(false);

/// A signal that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Caught {
    /// Which.
    pub(crate) signal: Signal,
    /// Whether the terminal sent it (Ctrl-C): then the whole process group in its foreground has it too.
    pub(crate) by_terminal: bool,
}

/// The signals that come from one moment on.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    seen: u32,
}

impl Signals {
    /// From now on the signals that end a trace are caught, and no longer end the process by themselves.
    ///
    /// # Errors
    /// If the kernel refuses a handler.
    pub(crate) fn catch() -> io::Result<Self> {
        handle(libc::SIGINT, note)?;
        handle(libc::SIGTERM, note)?;
        if !entry::ignored(libc::SIGQUIT) {
            handle(libc::SIGQUIT, note)?;
        }
        if !entry::ignored(libc::SIGHUP) {
            // Else somebody wants it to go on when the terminal goes (nohup). SIGINT is taken in any case: shells
            // ignore it for commands in the background, and `kill -INT` is how scripts end a trace.
            handle(libc::SIGHUP, note)?;
        }
        Ok(Self { seen: COUNT.load(Ordering::Acquire) })
    }

    /// One that has come and was not taken yet.
    pub(crate) fn pending(&self) -> Option<Caught> {
        (COUNT.load(Ordering::Acquire) != self.seen).then(last)
    }

    /// Waits for the next one and takes it. Of several that came together the last counts as all of them.
    pub(crate) async fn next(&mut self) -> Caught {
        loop {
            if let Some(caught) = self.pending() {
                self.seen = self.seen.wrapping_add(1);
                return caught;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until that many have come.
    pub(crate) async fn wait_for(mut self, count: u32) {
        for _ in 0..count {
            self.next().await;
        }
    }
}

/// The last signal that was caught since the process began.
pub(crate) fn caught() -> Option<Caught> {
    (COUNT.load(Ordering::Acquire) != 0).then(last)
}

fn last() -> Caught {
    let signal = match LAST.load(Ordering::Acquire) {
        libc::SIGTERM => Signal::TERM,
        libc::SIGHUP => Signal::HUP,
        libc::SIGQUIT => Signal::QUIT,
        _ => Signal::INT,
    };
    Caught { signal, by_terminal: BY_KERNEL.load(Ordering::Acquire) }
}

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// Lets a write beyond the limit of file sizes (`ulimit -f`) fail, as one to a full disk does, instead of ending the
/// process before it can remove what it has begun.
///
/// # Errors
/// If the kernel refuses the handler.
pub fn survive_file_limits() -> io::Result<()> {
    if entry::ignored(libc::SIGXFSZ) { Ok(()) } else { handle(libc::SIGXFSZ, pass) }
}

static CONTINUED: AtomicBool = AtomicBool::new(false);

/// From now on it is noted when this process is continued after a stop.
///
/// # Errors
/// If the kernel refuses the handler.
pub(crate) fn heed_continuations() -> io::Result<()> {
    handle(libc::SIGCONT, continued)
}

/// Whether it was continued since that was last asked.
pub(crate) fn was_continued() -> bool {
    CONTINUED.swap(false, Ordering::AcqRel)
}

extern "C" fn continued(_number: c_int, _info: *mut libc::siginfo_t, _context: *mut c_void) {
    CONTINUED.store(true, Ordering::Release);
}

extern "C" fn pass(_number: c_int, _info: *mut libc::siginfo_t, _context: *mut c_void) {}

extern "C" fn note(number: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel hands over a valid structure, or none.
    let code = unsafe { info.as_ref() }.map_or(0, |info| info.si_code);
    // The terminal driver sends as the kernel itself (drivers/tty/n_tty.c, `__isig`).
    BY_KERNEL.store(code == libc::SI_KERNEL, Ordering::Release);
    LAST.store(number, Ordering::Release);
    COUNT.fetch_add(1, Ordering::Release);
}

fn handle(signal: c_int, handler: Handler) -> io::Result<()> {
    // SAFETY: zeros are a value of this structure of integers, and an empty set of signals.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handlers of this file only touch atomics, which may be done at any moment.
    match unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs what must not be left half done: signals that would end the process come when it is over.
pub(crate) fn deferred<T>(action: impl FnOnce() -> T) -> T {
    let before = mask(libc::SIG_BLOCK, &all());
    let outcome = action();
    mask(libc::SIG_SETMASK, &before);
    outcome
}

fn all() -> libc::sigset_t {
    // SAFETY: zeros are a value of this structure of integers, and the call fills it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        set
    }
}

/// Changes this thread's mask; returns the one before.
fn mask(how: c_int, set: &libc::sigset_t) -> libc::sigset_t {
    // SAFETY: both sets are valid for the whole call, which fails only for an unknown `how`.
    unsafe {
        let mut before = std::mem::zeroed();
        libc::pthread_sigmask(how, set, &raw mut before);
        before
    }
}

/// Why zc-trace ended without a result: somebody wanted it to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interrupted {
    signal: Signal,
    before: &'static str,
}

impl Interrupted {
    /// Ended by that signal before that.
    pub(crate) fn new(caught: Caught, before: &'static str) -> Self {
        Self { signal: caught.signal, before }
    }

    /// The exit code, as a shell shows it for a program that a signal ended.
    pub fn exit_code(&self) -> u8 {
        u8::try_from(128 + self.signal.as_raw()).unwrap_or(1)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.signal {
            Signal::TERM => "SIGTERM",
            Signal::HUP => "SIGHUP",
            Signal::QUIT => "SIGQUIT",
            _ => "SIGINT",
        };
        write!(f, "ended by {name} before {}", self.before)
    }
}

impl std::error::Error for Interrupted {}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise(signal: c_int) {
        // SAFETY: raising a signal touches no memory.
        assert_eq!(unsafe { libc::raise(signal) }, 0);
    }

    /// One test, because the counter is the process's.
    #[test]
    fn signals_are_noticed_one_by_one_also_if_nobody_waits() {
        let mut signals = Signals::catch().unwrap();
        assert_eq!(signals.pending(), None);
        deferred(|| {
            raise(libc::SIGTERM);
            assert_eq!(signals.pending(), None, "it came in the middle");
        });
        let caught = signals.pending().unwrap();
        assert_eq!((caught.signal, caught.by_terminal), (Signal::TERM, false));
        // Not SIGHUP, which stays ignored under nohup.
        raise(libc::SIGINT);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            // Both are taken without a further one coming.
            signals.next().await;
            assert_eq!(signals.next().await.signal, Signal::INT);
            let none = tokio::time::timeout(POLL * 3, signals.next()).await;
            assert!(none.is_err(), "{none:?}");
        });
        let interrupted = Interrupted::new(super::caught().unwrap(), "it began");
        assert_eq!(interrupted.exit_code(), 130);
        assert_eq!(interrupted.to_string(), "ended by SIGINT before it began");
    }
}
