//! Starting a command under trace from its birth.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

use crate::{
    entry,
    error::{self, Failure, Fatal},
    machine,
    probe::Probe,
    view::format::escape_bytes,
};

/// As much of a file's beginning as the kernel looks at (include/uapi/linux/binfmts.h, `BINPRM_BUF_SIZE`).
const BEGINNING: u64 = 256;

/// Where commands are looked for without `PATH` (execvp(3)).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Starts the command. Its calls count from its `execve` on, the kernel's accounts from its birth.
///
/// # Errors
/// If it cannot be found or executed.
pub(crate) fn spawn(probe: &mut Probe, command: &[OsString]) -> anyhow::Result<Child> {
    let (program, args) = command.split_first().ok_or_else(|| {
        Fatal::new(Failure::Usage, "no command was given", "write it after --, such as zc-trace -- ls")
    })?;
    probe.trace_own_children(true).map_err(|error| machine::explain(&error))?;
    let mut command = Command::new(program);
    command.args(args);
    entry::give_on(&mut command);
    let outcome = command.spawn();
    probe.trace_own_children(false).map_err(|error| machine::explain(&error))?;
    Ok(outcome.map_err(|error| cannot_start(program, &error))?)
}

/// Ends a command that has only just begun, because it cannot be traced after all.
pub(crate) fn abandon(child: Option<Child>) {
    if let Some(mut child) = child {
        // If it has ended by itself, so much the better.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn cannot_start(program: &OsStr, error: &io::Error) -> Fatal {
    if let Some(fatal) = error::too_few_descriptors(error) {
        return fatal;
    }
    let name = escape_bytes(program.as_bytes());
    if error.kind() == io::ErrorKind::NotFound {
        let (what, hint) = what_is_missing(program, &name);
        return Fatal::new(Failure::NotFound, what, hint);
    }
    Fatal::new(
        Failure::NotExecutable,
        format!("the command {name} could not be executed: {error}"),
        "check that it is a program for this machine and that its x permission is set",
    )
}

/// The kernel says the same of a command that is not there and of one whose interpreter or loader is not.
fn what_is_missing(program: &OsStr, name: &str) -> (String, &'static str) {
    if program.is_empty() {
        return ("the command is an empty string".to_owned(), "write it after --, such as zc-trace -- ls");
    }
    let Some(file) = file_of(program) else {
        let hint = "check the spelling, or give its path; built-ins of a shell need sh -c '...'";
        return (format!("the command {name} was not found"), hint);
    };
    match interpreter_of(&file) {
        Some(interpreter) if !Path::new(OsStr::from_bytes(&interpreter)).exists() => (
            format!(
                "the command {name} is a script whose interpreter {} was not found",
                escape_bytes(&interpreter)
            ),
            "correct its first line (a \\r at the end comes from Windows), or install the interpreter",
        ),
        _ => (
            format!(
                "the command {name} is there, but the loader or interpreter that it asks for was not found"
            ),
            "file(1) names it; install it, or take a program that was made for this system",
        ),
    }
}

/// The file that a command's name stands for, if there is one.
fn file_of(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program)).filter(|file| file.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// What a script names after `#!`, read as the kernel does (fs/binfmt_script.c, `load_script`).
fn interpreter_of(file: &Path) -> Option<Vec<u8>> {
    let mut beginning = Vec::new();
    File::open(file).ok()?.take(BEGINNING).read_to_end(&mut beginning).ok()?;
    let line = beginning.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | 0));
    words.find(|word| !word.is_empty()).map(<[u8]>::to_vec)
}

/// An exit status as a shell shows it: 128 + signal for a command that was killed.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What is said of a file with that content, which the kernel did not find a way to execute.
    fn said_of(content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("command");
        fs::write(&file, content).unwrap();
        let fatal = cannot_start(file.as_os_str(), &io::ErrorKind::NotFound.into());
        assert_eq!(fatal.failure, Failure::NotFound);
        fatal.what.replace(&folder.path().display().to_string(), "")
    }

    #[test]
    fn a_script_lacks_its_interpreter() {
        for (content, interpreter) in [
            (&b"#!/nonexist/x\necho\n"[..], "/nonexist/x"),
            (b"#! \t/nonexist/x -e\n", "/nonexist/x"),
            (b"#!/bin/sh\r\necho\r\n", "/bin/sh\\r"),
            (b"#!/nonexist/\x1b[2J", "/nonexist/\\x1b[2J"),
        ] {
            let sentence =
                format!("the command /command is a script whose interpreter {interpreter} was not found");
            assert_eq!(said_of(content), sentence);
        }
    }

    #[test]
    fn a_program_lacks_its_loader() {
        for content in [&b"\x7fELF"[..], b"#!/bin/sh\n", b"#!\n", b""] {
            assert!(said_of(content).starts_with("the command /command is there, but the loader"));
        }
    }

    #[test]
    fn a_command_is_not_there() {
        let said = |program: &str| cannot_start(program.as_ref(), &io::ErrorKind::NotFound.into()).what;
        assert_eq!(said(""), "the command is an empty string");
        assert_eq!(said("/no/such\nprogram"), "the command /no/such\\nprogram was not found");
        assert_eq!(said("no-such-program"), "the command no-such-program was not found");
        // A folder of that name is no command.
        assert_eq!(said("/"), "the command / was not found");
    }
}
