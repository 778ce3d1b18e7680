//! Why the kernel side did not come up.

use std::{fs, io, path::PathBuf};

use aya::programs::ProgramError;

use super::offsets::VMLINUX;

/// Why the kernel side did not come up.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No types of the kernel.
    #[error("this kernel does not publish its types ({VMLINUX}: {0})")]
    NoBtf(String),
    /// The file with types that was given cannot be used.
    #[error("{} holds no types of a kernel: {why}", path.display())]
    NoTypes {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The types that were given lead elsewhere than the kernel says.
    #[error("the types in {} are not those of the kernel that runs", .0.display())]
    OtherTypes(PathBuf),
    /// No right to load programs.
    #[error("the kernel refused to load programs: {0}")]
    NotPermitted(io::Error),
    /// A needed tracepoint does not exist.
    #[error("this kernel has no tracepoint {0}")]
    NoTracepoint(&'static str),
    /// A function that a hook wants to see return does not exist, or this form has no such hooks.
    #[error("this kernel has no function {0} that can be hooked")]
    NoFunction(&'static str),
    /// A structure member that everything rests on does not exist.
    #[error("this kernel's types have no {0}.{1}")]
    NoMember(&'static str, &'static str),
    /// The verifier refused a program.
    #[error("the kernel's verifier refused the program {program}{}", log_note(.log))]
    Refused {
        /// Which.
        program: &'static str,
        /// Where its log was written.
        log: Option<PathBuf>,
    },
    /// A program was loaded but could not be attached.
    #[error("the program {program} could not be attached: {why}")]
    NotAttached {
        /// Which.
        program: &'static str,
        /// Why.
        why: String,
    },
    /// Anything else that aya reports.
    #[error("{0}")]
    Other(String),
}

fn log_note(log: &Option<PathBuf>) -> String {
    log.as_ref().map_or_else(String::new, |path| format!("; its log is in {}", path.display()))
}

pub(super) fn other(error: impl std::fmt::Display) -> LoadError {
    LoadError::Other(error.to_string())
}

pub(super) fn from_aya(error: aya::EbpfError) -> LoadError {
    match io_error(&error) {
        Some(io) if io.kind() == io::ErrorKind::PermissionDenied => {
            LoadError::NotPermitted(io::Error::from_raw_os_error(io.raw_os_error().unwrap_or(libc::EPERM)))
        }
        _ => LoadError::Other(chain(&error)),
    }
}

/// The system call's error at the bottom of a chain.
fn io_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut source = Some(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref() {
            return Some(io);
        }
        source = cause.source();
    }
    None
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

pub(super) fn refused(program: &'static str, error: ProgramError) -> LoadError {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            if io_error.kind() == io::ErrorKind::PermissionDenied && log.is_empty() {
                LoadError::NotPermitted(io_error)
            } else {
                LoadError::Refused { program, log: keep_log(program, &format!("{io_error}\n{log}")) }
            }
        }
        other => LoadError::NotAttached { program, why: other.to_string() },
    }
}

pub(super) fn not_attached(program: &'static str, error: &ProgramError) -> LoadError {
    // bpf(2) says so of a raw tracepoint that does not exist (kernel/bpf/syscall.c, `bpf_raw_tp_link_attach`).
    match io_error(error) {
        Some(io) if io.kind() == io::ErrorKind::NotFound => LoadError::NoTracepoint(program),
        _ => LoadError::NotAttached { program, why: chain(error) },
    }
}

/// Writes the verifier's log where the person can find it.
fn keep_log(program: &str, log: &str) -> Option<PathBuf> {
    let file = tempfile::Builder::new()
        .prefix(&format!("zc-trace-verifier-{program}-"))
        .suffix(".log")
        .tempfile()
        .ok()?;
    let (_, path) = file.keep().ok()?;
    fs::write(&path, log).ok()?;
    Some(path)
}
