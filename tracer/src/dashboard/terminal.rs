//! The terminal, taken over and given back: when the dashboard ends, when it is suspended, and when something panics.

use std::{
    io::{self, Stdout, stdout},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use crossterm::{
    clipboard::CopyToClipboard,
    cursor,
    event::{DisableMouseCapture, EnableMouseCapture},
    execute,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{Terminal, backend::CrosstermBackend};

/// Whether it is taken over now: it is given back once.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal while it is the dashboard's. Dropped, it is as it was.
pub(super) struct Taken {
    /// What is drawn on.
    pub(super) terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Taken {
    /// Takes it over.
    ///
    /// # Errors
    /// If it is none, or does not obey.
    pub(super) fn take() -> io::Result<Self> {
        HOOK.call_once(|| {
            let before = panic::take_hook();
            // Else the message would be painted over, or stairs.
            panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        take_over()?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout()));
        if terminal.is_err() {
            give_back();
        }
        Ok(Self { terminal: terminal? })
    }

    /// Gives it back, does something else, and takes it over again.
    ///
    /// # Errors
    /// If it does not obey any more.
    pub(super) fn away(&mut self, otherwise: impl FnOnce()) -> io::Result<()> {
        give_back();
        otherwise();
        take_over()?;
        self.repaint()
    }

    /// Takes it over once more, after somebody stopped this process and its shell used the terminal meanwhile.
    ///
    /// # Errors
    /// If it does not obey any more.
    pub(super) fn again(&mut self) -> io::Result<()> {
        // Else it is believed to be as it was left.
        disable_raw_mode()?;
        take_over()?;
        self.repaint()
    }

    /// Forgets what is on the screen, so that all of it is painted anew. Not by `Terminal::clear`, which asks the terminal
    /// where its cursor is: the answer would lie among the keys.
    ///
    /// # Errors
    /// If it does not obey any more.
    pub(super) fn repaint(&mut self) -> io::Result<()> {
        execute!(stdout(), Clear(ClearType::All))?;
        self.terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(())
    }

    /// Puts a text on the clipboard of the terminal, also through ssh and tmux: OSC 52 (XTerm Control Sequences, "Manipulate
    /// Selection Data").
    ///
    /// # Errors
    /// If it cannot be written. Whether the terminal heeds it is not told.
    pub(super) fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(stdout(), CopyToClipboard::to_clipboard_from(text))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::Release);
    let taken = execute!(stdout(), EnterAlternateScreen, EnableMouseCapture, cursor::Hide);
    if taken.is_err() {
        give_back();
    }
    taken
}

/// Whether this thread, and those that it starts from now on, take SIGTSTP. Of a process with a dashboard only the thread of the
/// dashboard does: any other might take it a moment later, with the terminal taken over again.
pub(crate) fn heed_stops(heed: bool) {
    let how = if heed { libc::SIG_UNBLOCK } else { libc::SIG_BLOCK };
    // SAFETY: a set of signals is plain data; it is emptied before it is used, and lives as long as the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTSTP);
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

/// As it was before. Harmless if it was given back already.
pub(crate) fn give_back() {
    if TAKEN.swap(false, Ordering::AcqRel) {
        // There is nobody to tell.
        let _ = execute!(stdout(), DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}
