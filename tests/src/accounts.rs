//! What the kernel itself has written down about a process: the referee.

use std::{fs, ops::Sub, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::process::wait_until;

/// `/proc/PID/io`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Io {
    /// Bytes returned by the read family.
    pub rchar: u64,
    /// Bytes taken by the write family.
    pub wchar: u64,
    /// Calls of the read family.
    pub syscr: u64,
    /// Calls of the write family.
    pub syscw: u64,
    /// Bytes fetched from storage.
    pub read_bytes: u64,
    /// Bytes made dirty or written to storage directly.
    pub write_bytes: u64,
}

impl Io {
    /// Reads its text.
    pub fn parse(text: &str) -> Result<Self> {
        let number = |name: &str| field(text, name);
        Ok(Self {
            rchar: number("rchar")?,
            wchar: number("wchar")?,
            syscr: number("syscr")?,
            syscw: number("syscw")?,
            read_bytes: number("read_bytes")?,
            write_bytes: number("write_bytes")?,
        })
    }

    /// Of a process: all its threads, those that have ended too.
    pub fn of(pid: u32) -> Result<Self> {
        Self::parse(&proc_text(pid, "io")?)
    }
}

/// Page faults.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// Without I/O.
    pub minor: u64,
    /// With I/O.
    pub major: u64,
}

impl Faults {
    /// From `/proc/PID/stat`, fields 10 and 12: all threads, those that have ended too.
    pub fn of(pid: u32) -> Result<Self> {
        let text = proc_text(pid, "stat")?;
        // The name, field 2, may hold blanks and parentheses: count from its end, after which field 3 comes.
        let (_, rest) = text.rsplit_once(") ").context("stat has no name")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |index: usize| -> Result<u64> {
            Ok(fields.get(index - 3).with_context(|| format!("stat has no field {index}"))?.parse()?)
        };
        Ok(Self { minor: number(10)?, major: number(12)? })
    }
}

/// Context switches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Switches {
    /// The thread blocked.
    pub voluntary: u64,
    /// The thread was preempted.
    pub involuntary: u64,
}

impl Switches {
    /// From `/proc/PID/status`: the main thread only. Threads that have ended are in no file under `/proc`.
    pub fn of(pid: u32) -> Result<Self> {
        let text = proc_text(pid, "status")?;
        Ok(Self {
            voluntary: field(&text, "voluntary_ctxt_switches")?,
            involuntary: field(&text, "nonvoluntary_ctxt_switches")?,
        })
    }
}

/// All accounts of a process at one moment. To mean something the process must be blocked, stopped or ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Accounts {
    /// Bytes and calls.
    pub io: Io,
    /// Page faults.
    pub faults: Faults,
    /// Context switches of the main thread.
    pub switches: Switches,
}

impl Accounts {
    /// Of a process as it is now.
    pub fn of(pid: u32) -> Result<Self> {
        Ok(Self { io: Io::of(pid)?, faults: Faults::of(pid)?, switches: Switches::of(pid)? })
    }

    /// Of a process that has ended and that its parent, the caller, has not yet reaped.
    ///
    /// A process is a zombie a moment before it leaves the CPU for good, and that is one more voluntary switch. Its
    /// kernel stack goes right after (`finish_task_switch`): when `/proc/PID/syscall` finds no stack, the accounts are
    /// closed.
    pub fn of_zombie(pid: u32) -> Result<Self> {
        ensure!(state(pid)? == 'Z', "process {pid} is not a zombie");
        wait_until(Duration::from_secs(10), "the zombie to leave the CPU", || {
            Ok(proc_text(pid, "syscall")?.starts_with("-1 0x0 0x0"))
        })?;
        Self::of(pid)
    }

    /// For a workload to print.
    pub fn to_json(&self) -> Value {
        let Self { io, faults, switches } = *self;
        json!({
            "rchar": io.rchar, "wchar": io.wchar, "syscr": io.syscr, "syscw": io.syscw,
            "read_bytes": io.read_bytes, "write_bytes": io.write_bytes,
            "minor": faults.minor, "major": faults.major,
            "voluntary": switches.voluntary, "involuntary": switches.involuntary,
        })
    }

    /// What a workload printed.
    pub fn from_json(value: &Value) -> Result<Self> {
        let number = |name: &str| {
            value.get(name).and_then(Value::as_u64).with_context(|| format!("no {name} in {value}"))
        };
        Ok(Self {
            io: Io {
                rchar: number("rchar")?,
                wchar: number("wchar")?,
                syscr: number("syscr")?,
                syscw: number("syscw")?,
                read_bytes: number("read_bytes")?,
                write_bytes: number("write_bytes")?,
            },
            faults: Faults { minor: number("minor")?, major: number("major")? },
            switches: Switches { voluntary: number("voluntary")?, involuntary: number("involuntary")? },
        })
    }
}

impl Sub for Accounts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            io: self.io - earlier.io,
            faults: Faults {
                minor: self.faults.minor - earlier.faults.minor,
                major: self.faults.major - earlier.faults.major,
            },
            switches: Switches {
                voluntary: self.switches.voluntary - earlier.switches.voluntary,
                involuntary: self.switches.involuntary - earlier.switches.involuntary,
            },
        }
    }
}

impl Sub for Io {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            rchar: self.rchar - earlier.rchar,
            wchar: self.wchar - earlier.wchar,
            syscr: self.syscr - earlier.syscr,
            syscw: self.syscw - earlier.syscw,
            read_bytes: self.read_bytes - earlier.read_bytes,
            write_bytes: self.write_bytes - earlier.write_bytes,
        }
    }
}

/// The state letter of `/proc/PID/stat`.
pub fn state(pid: u32) -> Result<char> {
    let text = proc_text(pid, "stat")?;
    let (_, rest) = text.rsplit_once(") ").context("stat has no name")?;
    rest.chars().next().context("stat has no state")
}

/// The ids of a process's threads.
pub fn threads(pid: u32) -> Result<Vec<u32>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid}"))? {
        threads.push(entry?.file_name().to_string_lossy().parse()?);
    }
    Ok(threads)
}

/// Whether that thread is blocked in that system call.
pub fn is_blocked_in(tid: u32, number: libc::c_long) -> Result<bool> {
    let text = proc_text(tid, "syscall")?;
    Ok(state(tid)? == 'S' && text.split(' ').next() == Some(number.to_string().as_str()))
}

fn field(text: &str, name: &str) -> Result<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("no line {name} in: {text}"))?
        .trim()
        .parse()
        .with_context(|| format!("{name} is no number"))
}

fn proc_text(pid: u32, name: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{name}");
    let bytes = fs::read(&path).with_context(|| path.clone())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_needs_every_line() {
        let text = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 0\n";
        let io = Io::parse(text).unwrap();
        assert_eq!(io, Io { rchar: 1, wchar: 2, syscr: 3, syscw: 4, read_bytes: 5, write_bytes: 6 });
        assert!(Io::parse("rchar: 1\n").is_err());
    }

    #[test]
    fn accounts_survive_their_json() {
        let accounts = Accounts {
            io: Io { rchar: 1, wchar: 2, syscr: 3, syscw: 4, read_bytes: 5, write_bytes: 6 },
            faults: Faults { minor: 7, major: 8 },
            switches: Switches { voluntary: 9, involuntary: 10 },
        };
        assert_eq!(Accounts::from_json(&accounts.to_json()).unwrap(), accounts);
    }
}
