//! A strace log of the same program as referee: which calls it made, how many failed, how many bytes they returned.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::scenario::{Scenario, require_program};

/// One call by name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CallCount {
    /// How many began, also those that never returned.
    pub count: u64,
    /// How many returned an error.
    pub errors: u64,
    /// Sum of what they returned, for the calls that return bytes.
    pub bytes: Option<u64>,
}

impl CallCount {
    /// Adds to it.
    pub fn add(&mut self, errors: u64, bytes: Option<u64>) {
        self.count += 1;
        self.errors += errors;
        if let Some(bytes) = bytes {
            self.bytes = Some(self.bytes.unwrap_or(0) + bytes);
        }
    }
}

/// The calls whose return value is payload bytes. (What `sendmmsg` and `recvmmsg` return is messages.)
const BYTE_CALLS: [&str; 22] = [
    "read",
    "write",
    "pread64",
    "pwrite64",
    "readv",
    "writev",
    "preadv",
    "pwritev",
    "preadv2",
    "pwritev2",
    "sendfile",
    "splice",
    "tee",
    "vmsplice",
    "copy_file_range",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "process_vm_readv",
    "process_vm_writev",
    "sendfile64",
];

/// A parsed log.
#[derive(Debug, Default)]
pub struct Log {
    /// Each call that was made: process or thread id, name, and what it returned (`None`: an error or no return).
    pub calls: Vec<LoggedCall>,
}

/// One line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LoggedCall {
    /// The thread that made it.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It returned this.
    Returned(u64),
    /// It returned an error.
    Failed,
    /// It never returned.
    Unfinished,
}

impl Log {
    /// Reads the text of `strace -f -o FILE`, where each line begins with a thread's id.
    pub fn parse(text: &str) -> Result<Self> {
        let mut calls = Vec::<LoggedCall>::new();
        for line in text.lines() {
            let (tid, rest) = line.split_once(' ').with_context(|| format!("no thread id: {line}"))?;
            let tid: u32 = tid.parse().with_context(|| format!("no thread id: {line}"))?;
            let rest = rest.trim_start();
            // `--- SIGCHLD {…} ---` and `+++ exited with 0 +++` are no calls.
            if rest.starts_with("---") || rest.starts_with("+++") {
                continue;
            }
            if let Some(resumed) = rest.strip_prefix("<... ") {
                let name = resumed.split(' ').next().context("a resumed call without a name")?;
                let begun = calls
                    .iter_mut()
                    .rev()
                    .find(|call| call.tid == tid && call.name == name && call.outcome == Outcome::Unfinished)
                    .with_context(|| format!("{name} was resumed but never begun"))?;
                begun.outcome = outcome(resumed);
                continue;
            }
            let (name, _) = rest.split_once('(').with_context(|| format!("no call: {line}"))?;
            let outcome =
                if rest.ends_with("<unfinished ...>") { Outcome::Unfinished } else { outcome(rest) };
            calls.push(LoggedCall { tid, name: name.to_owned(), outcome });
        }
        Ok(Self { calls })
    }

    /// Counts by name, over all threads.
    pub fn by_name(&self) -> BTreeMap<String, CallCount> {
        count(&self.calls)
    }

    /// Counts by name of what came after the first call of that name.
    pub fn after(&self, mark: &str) -> Result<BTreeMap<String, CallCount>> {
        let first = self.calls.iter().position(|call| call.name == mark).context("the log has no mark")?;
        Ok(count(&self.calls[first + 1..]))
    }
}

fn count(calls: &[LoggedCall]) -> BTreeMap<String, CallCount> {
    let mut counts = BTreeMap::<String, CallCount>::new();
    for call in calls {
        let bytes = match call.outcome {
            Outcome::Returned(value) => value,
            Outcome::Failed | Outcome::Unfinished => 0,
        };
        let bytes = BYTE_CALLS.contains(&call.name.as_str()).then_some(bytes);
        let errors = u64::from(call.outcome == Outcome::Failed);
        counts.entry(call.name.clone()).or_default().add(errors, bytes);
    }
    counts
}

/// What stands after the last ` = `: `5`, `0x7f… (flags …)`, `-1 ENOENT (…)`, `?`, `? ERESTARTSYS (…)`.
fn outcome(line: &str) -> Outcome {
    let Some((_, result)) = line.rsplit_once(" = ") else { return Outcome::Unfinished };
    let mut words = result.split(' ');
    let value = words.next().unwrap_or_default();
    let named_error = words.next().is_some_and(|word| word.starts_with("ERESTART"));
    if value == "?" && !named_error {
        return Outcome::Unfinished;
    }
    let number = match value.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok(),
        None => value.parse().ok(),
    };
    number.map_or(Outcome::Failed, Outcome::Returned)
}

/// Runs a command under strace to its end; standard output goes to the given file.
pub fn run(
    scenario: &Scenario,
    program: impl AsRef<OsStr>,
    arguments: &[impl AsRef<OsStr>],
    stdin: Stdio,
    stdout: &Path,
) -> Result<(Log, i32)> {
    let strace = require_program("strace")?;
    let log = scenario.path("strace.log");
    let mut command = Command::new(strace);
    // `-s 0`: no strings, in which ` = ` could stand. `--quiet` is for strace's own remarks.
    command.args(["-f", "-q", "-s", "0", "-o"]).arg(&log).arg("--").arg(program).args(arguments);
    command.stdin(stdin).stdout(fs::File::create(stdout)?);
    let code = scenario.run(&mut command)?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    ensure!(text.contains("+++"), "strace did not run the program: {text}");
    Ok((Log::parse(&text)?, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"10    execve("/bin/x", ["x"...], 0x7ffd /* 20 vars */) = 0
10    brk(NULL)                         = 0x5555
10    openat(AT_FDCWD, ""..., O_RDONLY) = -1 ENOENT (No such file or directory)
10    read(3,  <unfinished ...>
11    read(4, ""..., 10)                = 10
10    <... read resumed>""..., 4096)    = 832
10    --- SIGCHLD {si_signo=SIGCHLD} ---
10    poll([{fd=3}], 1, 5) = ? ERESTART_RESTARTBLOCK (Interrupted by signal)
10    fcntl(3, F_GETFL)                 = 0x8000 (flags O_RDONLY|O_LARGEFILE)
11    futex(0x7f,  <unfinished ...>
10    exit_group(0)                     = ?
11    <... futex resumed>)              = ?
10    +++ exited with 0 +++
"#;

    #[test]
    fn counts_errors_and_bytes_by_name() {
        let counts = Log::parse(LOG).unwrap().by_name();
        let count = |name: &str| *counts.get(name).unwrap();
        assert_eq!(count("read"), CallCount { count: 2, errors: 0, bytes: Some(842) });
        assert_eq!(count("openat"), CallCount { count: 1, errors: 1, bytes: None });
        assert_eq!(count("poll").errors, 1);
        assert_eq!(count("brk").errors, 0);
        assert_eq!(count("fcntl").errors, 0);
        assert_eq!(count("exit_group"), CallCount { count: 1, errors: 0, bytes: None });
        assert_eq!(count("futex").count, 1);
        assert_eq!(counts.len(), 8);
    }

    #[test]
    fn counts_after_a_mark() {
        let counts = Log::parse(LOG).unwrap().after("openat").unwrap();
        assert!(!counts.contains_key("brk"));
        assert_eq!(counts.get("read").unwrap().count, 2);
    }
}
