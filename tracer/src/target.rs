//! The process to trace: whether it can be, and what it is.

use std::{fs, io, path::PathBuf};

use procfs::{
    ProcError,
    process::{ProcState, Process, Stat, StatFlags},
};

use crate::{
    error::{Failure, Fatal, too_few_descriptors},
    export::document::Target,
    privileges::{self, Capabilities},
};

/// A process as it was found: the start time tells it from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its id.
    pub(crate) pid: u32,
    /// What it was called then.
    pub(crate) comm: String,
    start_ticks: u64,
}

fn target_error(what: String, hint: &str) -> Fatal {
    Fatal::new(Failure::Target, what, hint)
}

/// Finds a process and checks that it can be traced.
///
/// # Errors
/// If there is none, or it is a thread, a kernel thread, a zombie, this program itself, or out of reach.
pub(crate) fn find(pid: u32) -> Result<Found, Fatal> {
    if pid == std::process::id() {
        return Err(target_error(
            format!("process {pid} is zc-trace itself, and tracing that would trace the tracing"),
            "name another process",
        ));
    }
    let stat = stat_of(pid)?;
    check_leader(pid)?;
    if StatFlags::from_bits_truncate(stat.flags).contains(StatFlags::PF_KTHREAD) {
        return Err(target_error(
            format!("process {pid} ({}) is a kernel thread: it makes no system calls", shown(&stat.comm)),
            "name a process of user space; ps -e --ppid 2 --deselect lists them",
        ));
    }
    if has_ended(&stat) {
        return Err(target_error(
            format!(
                "process {pid} ({}) has ended and only waits for its parent to notice",
                shown(&stat.comm)
            ),
            "name a process that runs",
        ));
    }
    check_access(pid)?;
    Ok(Found { pid, start_ticks: stat.starttime, comm: stat.comm })
}

/// A process whose first thread has ended lives on in its others.
fn has_ended(stat: &Stat) -> bool {
    matches!(stat.state(), Ok(ProcState::Zombie | ProcState::Dead)) && stat.num_threads <= 1
}

fn shown(name: &str) -> std::borrow::Cow<'_, str> {
    crate::view::format::escape(name)
}

fn no_such(pid: u32) -> Fatal {
    target_error(
        format!("there is no process {pid}"),
        "ps -e or pgrep NAME lists processes; inside a container numbers differ: use the host's",
    )
}

fn out_of_sight(pid: u32, error: &ProcError) -> Fatal {
    if let ProcError::Io(error, _) = error
        && let Some(fatal) = too_few_descriptors(error)
    {
        return fatal;
    }
    target_error(
        format!("process {pid} cannot be looked at: {error}"),
        "check that /proc is mounted and shows other users' processes (hidepid)",
    )
}

fn stat_of(pid: u32) -> Result<Stat, Fatal> {
    let number = i32::try_from(pid).ok().filter(|number| *number > 0).ok_or_else(|| no_such(pid))?;
    match Process::new(number).and_then(|process| process.stat()) {
        Ok(stat) => Ok(stat),
        Err(ProcError::NotFound(_)) => Err(no_such(pid)),
        Err(error) => Err(out_of_sight(pid, &error)),
    }
}

/// `/proc/TID` exists for threads too, though no listing shows it.
fn check_leader(pid: u32) -> Result<(), Fatal> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let leader = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse::<u32>().ok());
    match leader {
        Some(leader) if leader != pid => Err(target_error(
            format!("{pid} is a thread of process {leader}, and zc-trace traces whole processes"),
            &format!("use -p {leader}"),
        )),
        _ => Ok(()),
    }
}

/// `/proc/PID/io` asks for the same right as ptrace does (fs/proc/base.c, `do_io_accounting`).
fn check_access(pid: u32) -> Result<(), Fatal> {
    let readable = fs::read(format!("/proc/{pid}/io"));
    let refused = readable.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    if refused && !Capabilities::of_self().may_trace_others() {
        return Err(Fatal::new(
            Failure::Privileges,
            format!("process {pid} belongs to another user, and zc-trace lacks CAP_SYS_PTRACE"),
            privileges::HINT,
        ));
    }
    Ok(())
}

impl Found {
    /// Whether the process is still the one that was found. A program that it executes meanwhile does not change that.
    pub(crate) fn still_there(&self) -> bool {
        let stat = i32::try_from(self.pid).ok().and_then(|pid| Process::new(pid).ok()?.stat().ok());
        stat.is_some_and(|stat| stat.starttime == self.start_ticks && !has_ended(&stat))
    }

    /// The error for a process that went away while zc-trace attached.
    pub(crate) fn vanished(&self) -> Fatal {
        target_error(
            format!("process {} ended while zc-trace attached to it", self.pid),
            "name a process that lives longer, or start it under trace: zc-trace -- COMMAND",
        )
    }
}

/// What the document says of a process; unknown parts stay empty.
pub(crate) fn describe(pids: &[u32], command: bool) -> Target {
    let pid = pids.first().copied().unwrap_or(0);
    let process = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok());
    let stat = process.as_ref().and_then(|process| process.stat().ok());
    Target {
        pid,
        pids: pids.to_vec(),
        comm: stat.as_ref().map_or_else(String::new, |stat| stat.comm.clone()),
        args: args_of(pid),
        user: process.as_ref().and_then(|process| process.uid().ok()).map(user_name),
        start_time_unix_ns: stat.as_ref().and_then(start_time_unix_ns),
        command,
        exit_code: None,
    }
}

fn args_of(pid: u32) -> Vec<String> {
    let bytes = fs::read(PathBuf::from(format!("/proc/{pid}/cmdline"))).unwrap_or_default();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
}

/// Name by `/etc/passwd` (no NSS: the tool must not hang on a name service), else the number.
fn user_name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

/// `starttime` counts clock ticks since boot (proc(5)).
fn start_time_unix_ns(stat: &Stat) -> Option<u64> {
    let ticks = procfs::ticks_per_second();
    let since_boot = u128::from(stat.starttime).checked_mul(1_000_000_000)?.checked_div(u128::from(ticks))?;
    let boot = u128::from(procfs::boot_time_secs().ok()?).checked_mul(1_000_000_000)?;
    u64::try_from(boot.checked_add(since_boot)?).ok()
}
