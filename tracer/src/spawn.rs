//! Starting a command under trace from its birth.

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus},
};

use crate::{
    entry,
    error::{self, Failure, Fatal},
    machine,
    probe::Probe,
};

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

fn cannot_start(program: &OsString, error: &io::Error) -> Fatal {
    if let Some(fatal) = error::too_few_descriptors(error) {
        return fatal;
    }
    let name = crate::view::format::escape_bytes(program.as_encoded_bytes());
    if error.kind() == io::ErrorKind::NotFound {
        let hint = "check the spelling, or give its path; built-ins of a shell need sh -c '...'";
        return Fatal::new(Failure::NotFound, format!("the command {name} was not found"), hint);
    }
    Fatal::new(
        Failure::NotExecutable,
        format!("the command {name} could not be executed: {error}"),
        "check that it is a program for this machine and that its x permission is set",
    )
}

/// An exit status as a shell shows it: 128 + signal for a command that was killed.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}
