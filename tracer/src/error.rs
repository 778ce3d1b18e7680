//! Errors that end the program: what, why, and a hint; and the exit codes that go with them.

use std::{fmt, io, process::ExitCode};

use crate::signals::Interrupted;

/// What kind of thing went wrong. The numbers are the documented exit codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Failure {
    /// Anything else.
    Internal = 1,
    /// The command line.
    Usage = 2,
    /// The process to trace.
    Target = 3,
    /// Missing rights, or a limit that is too low.
    Privileges = 4,
    /// The kernel lacks something.
    Kernel = 5,
    /// A file could not be written.
    Output = 6,
    /// The command could not be executed.
    NotExecutable = 126,
    /// The command was not found.
    NotFound = 127,
}

/// An error as people see it.
#[derive(Debug)]
pub struct Fatal {
    /// What kind.
    pub failure: Failure,
    /// What happened and why: one clear sentence.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl Fatal {
    /// Makes one.
    pub fn new(failure: Failure, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { failure, what: what.into(), hint: hint.into() }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nhint: {}", self.what, self.hint)
    }
}

impl std::error::Error for Fatal {}

/// Whether this says that the process has as many descriptors as it may have.
pub(crate) fn is_too_few_descriptors(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMFILE)
}

/// The hint for that.
pub(crate) const MORE_DESCRIPTORS: &str = "raise the limit of open files: ulimit -n 1024";

/// The error for that, wherever it comes from, if that is what it is.
pub(crate) fn too_few_descriptors(error: &io::Error) -> Option<Fatal> {
    is_too_few_descriptors(error).then(|| {
        let what = format!("zc-trace may not open as many files as it needs: {error}");
        Fatal::new(Failure::Privileges, what, MORE_DESCRIPTORS)
    })
}

/// How an error is told, and the exit code that belongs to it.
pub fn tell(error: &anyhow::Error) -> (String, ExitCode) {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        // Where it was at that moment is no reason.
        return (interrupted.to_string(), ExitCode::from(interrupted.exit_code()));
    }
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    if let Some(fatal) = io.and_then(too_few_descriptors) {
        return (fatal.to_string(), ExitCode::from(fatal.failure as u8));
    }
    let failure = error.downcast_ref::<Fatal>().map_or(Failure::Internal, |fatal| fatal.failure);
    (format!("{error:#}"), ExitCode::from(failure as u8))
}
