//! Why the kernel side did not come up.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::{maps::MapError, programs::ProgramError};

use super::offsets::VMLINUX;
use crate::{error, view::format::escape_bytes};

/// Why the kernel side did not come up.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No types of the kernel.
    #[error("this kernel does not publish its types ({VMLINUX}: {0})")]
    NoBtf(String),
    /// The file with types that was given cannot be used.
    #[error("{} holds no types of a kernel: {why}", shown(path))]
    NoTypes {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The types that were given lead elsewhere than the kernel says.
    #[error("the types in {} are not those of the kernel that runs", shown(.0))]
    OtherTypes(PathBuf),
    /// No right to load programs.
    #[error("the kernel refused to load programs: {0}")]
    NotPermitted(io::Error),
    /// The process may not have more descriptors: programs, maps and links take one each.
    #[error("zc-trace may not open as many files as it needs: {0}")]
    TooFewDescriptors(io::Error),
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
    /// Stops or signals came while the kernel looked at a program, each time that it was asked to.
    #[error("stops or signals interrupted the kernel, again and again, while it looked at {0}")]
    Interrupted(&'static str),
    /// Anything else that aya reports.
    #[error("{0}")]
    Other(String),
}

fn shown(path: &Path) -> String {
    escape_bytes(path.as_os_str().as_encoded_bytes())
}

fn log_note(log: &Option<PathBuf>) -> String {
    log.as_ref().map_or_else(String::new, |path| format!("; its log is in {}", shown(path)))
}

pub(super) fn other(error: impl std::error::Error + 'static) -> LoadError {
    too_few_descriptors(&error).unwrap_or_else(|| LoadError::Other(error.to_string()))
}

pub(super) fn no_btf(error: impl std::error::Error + 'static) -> LoadError {
    too_few_descriptors(&error).unwrap_or_else(|| LoadError::NoBtf(chain(&error)))
}

pub(super) fn from_aya(error: aya::EbpfError) -> LoadError {
    if let Some(too_few) = too_few_descriptors(&error) {
        return too_few;
    }
    match io_error(&error) {
        Some(io) if io.kind() == io::ErrorKind::PermissionDenied => {
            LoadError::NotPermitted(again(io, libc::EPERM))
        }
        _ => LoadError::Other(chain(&error)),
    }
}

/// The same error, if it is that this process or the machine has no more descriptors.
pub(super) fn too_few_descriptors(error: &(dyn std::error::Error + 'static)) -> Option<LoadError> {
    let io = io_error(error).filter(|io| error::is_too_few_descriptors(io))?;
    Some(LoadError::TooFewDescriptors(again(io, libc::EMFILE)))
}

/// The error cannot be taken out of what contains it.
fn again(error: &io::Error, else_number: i32) -> io::Error {
    io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(else_number))
}

/// Whether a stop or a signal interrupted the verifier (kernel/bpf/verifier.c, `do_check`).
pub(super) fn is_interrupted(error: &ProgramError) -> bool {
    io_error(error).and_then(io::Error::raw_os_error) == Some(libc::EAGAIN)
}

/// The system call's error at the bottom of a chain.
fn io_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut source = Some(error);
    while let Some(cause) = source {
        if let Some(io) = itself_or_wrapped(cause) {
            return Some(io);
        }
        source = cause.source();
    }
    None
}

/// A transparent variant of aya's errors stands for the error in it, and names what is behind that as its source.
fn itself_or_wrapped<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    match cause.downcast_ref::<ProgramError>() {
        Some(ProgramError::IOError(io)) => return Some(io),
        Some(ProgramError::MapError(map)) => return itself_or_wrapped(map),
        _ => {}
    }
    match cause.downcast_ref::<MapError>() {
        Some(MapError::IoError(io)) => Some(io),
        _ => cause.downcast_ref(),
    }
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
    if let Some(too_few) = too_few_descriptors(&error) {
        return too_few;
    }
    if is_interrupted(&error) {
        return LoadError::Interrupted(program);
    }
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            not_loaded(program, io_error, &verifier_log.to_string())
        }
        other => LoadError::NotAttached { program, why: other.to_string() },
    }
}

/// Without a word of the verifier it was not the verifier.
fn not_loaded(program: &'static str, error: io::Error, log: &str) -> LoadError {
    if error.kind() == io::ErrorKind::PermissionDenied && log.is_empty() {
        return LoadError::NotPermitted(error);
    }
    LoadError::Refused { program, log: keep_log(program, &format!("{error}\n{log}")) }
}

pub(super) fn not_attached(program: &'static str, error: &ProgramError) -> LoadError {
    if let Some(too_few) = too_few_descriptors(error) {
        return too_few;
    }
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
    // Nothing is left if it cannot be written.
    fs::write(file.path(), log).ok()?;
    file.keep().ok().map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    #[test]
    fn a_refusal_names_the_file_with_the_log() {
        let error = not_loaded("sys_exit", errno(libc::EACCES), "R0 invalid mem access");
        let text = error.to_string();
        let LoadError::Refused { program: "sys_exit", log: Some(path) } = error else { panic!("{text}") };
        assert!(text.ends_with(&format!("; its log is in {}", path.display())), "{text}");
        let log = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        assert!(log.starts_with("Permission denied") && log.ends_with("\nR0 invalid mem access"), "{log}");
    }

    #[test]
    fn without_a_word_of_the_verifier_it_is_a_matter_of_rights() {
        assert!(matches!(not_loaded("sys_exit", errno(libc::EPERM), ""), LoadError::NotPermitted(_)));
    }

    #[test]
    fn an_interruption_is_no_refusal() {
        let interrupted = ProgramError::IOError(errno(libc::EAGAIN));
        assert!(matches!(refused("sys_exit", interrupted), LoadError::Interrupted("sys_exit")));
    }

    #[test]
    fn too_few_descriptors_are_found_at_the_bottom_of_any_error() {
        let create = |number| MapError::CreateError { name: "RING".to_owned(), io_error: errno(number) };
        let too_few = from_aya(aya::EbpfError::MapError(create(libc::EMFILE)));
        assert!(matches!(too_few, LoadError::TooFewDescriptors(_)), "{too_few}");
        let program = refused("sys_exit", ProgramError::IOError(errno(libc::EMFILE)));
        assert!(matches!(program, LoadError::TooFewDescriptors(_)), "{program}");
        assert!(matches!(other(create(libc::ENOMEM)), LoadError::Other(_)));
    }
}
