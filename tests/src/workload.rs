//! What workloads share: a bound in time, waiting at a gate, and the ledger of what was done.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs::{File, OpenOptions},
    io,
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    path::Path,
    process::ExitStatus,
};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};

use crate::{call, process::patience, strace::CallCount};

/// A workload that was left alone ends itself after this many seconds, where nothing asks for more patience.
const BOUND_SECONDS: u32 = 120;

/// Bounds this process in time, also beyond an exec. A forked child must ask for it anew.
pub fn bound() {
    // SAFETY: sets a timer whose signal ends the process.
    unsafe { libc::alarm(BOUND_SECONDS.saturating_mul(patience())) };
}

/// The arguments, and the gate's FIFO if `--gate FIFO` ends them.
pub fn arguments() -> Result<(Vec<OsString>, Option<OsString>)> {
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let gate = match arguments.iter().position(|argument| argument == "--gate") {
        Some(at) => {
            let gate = arguments.get(at + 1).context("--gate needs a FIFO")?.clone();
            arguments.truncate(at);
            Some(gate)
        }
        None => None,
    };
    Ok((arguments, gate))
}

/// An argument as a number.
pub fn number(arguments: &[OsString], index: usize, name: &str) -> Result<usize> {
    let text = arguments.get(index).and_then(|argument| argument.to_str());
    text.with_context(|| format!("argument {} ({name}) is missing", index + 1))?
        .parse()
        .with_context(|| format!("{name} is no number"))
}

/// An argument as a path.
pub fn path<'a>(arguments: &'a [OsString], index: usize, name: &str) -> Result<&'a Path> {
    Ok(Path::new(
        arguments.get(index).with_context(|| format!("argument {} ({name}) is missing", index + 1))?,
    ))
}

/// Waits until somebody opens the FIFO for writing and closes it: by `ppoll`, since reading would be in the accounts.
pub fn wait_at_gate(fifo: &Path) -> Result<File> {
    let fifo = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(fifo)
        .with_context(|| fifo.display().to_string())?;
    // A reader that opened first is not told of a hang-up until a writer has come and gone (`pipe_poll`).
    poll(&mut [PollFd::new(&fifo, PollFlags::IN)], None)?;
    Ok(fifo)
}

/// Waits if there is a gate, then makes the call that marks the beginning in a strace log.
pub fn begin(gate: Option<&OsString>) -> Result<()> {
    if let Some(fifo) = gate {
        wait_at_gate(Path::new(fifo))?;
    }
    call::mark()?;
    Ok(())
}

/// Length of the last line of a workload, with its line feed: fixed, so that the line can tell the bytes it will take.
pub const REPORT_BYTES: usize = 8192;

/// What was done, call by call, each checked.
#[derive(Default)]
pub struct Ledger(BTreeMap<&'static str, CallCount>);

impl Ledger {
    /// One call that must return that many bytes.
    pub fn moved(&mut self, name: &'static str, result: io::Result<usize>, bytes: usize) -> Result<()> {
        match result {
            Ok(returned) if returned == bytes => {
                self.0.entry(name).or_default().add(0, Some(bytes as u64));
                Ok(())
            }
            other => bail!("{name}: {other:?} instead of {bytes} bytes"),
        }
    }

    /// One call that must move some bytes, as many as it likes up to a limit; how many.
    pub fn moved_some(
        &mut self,
        name: &'static str,
        result: io::Result<usize>,
        most: usize,
    ) -> Result<usize> {
        let bytes = result.with_context(|| name.to_owned())?;
        if bytes == 0 || bytes > most {
            bail!("{name}: {bytes} bytes instead of 1 to {most}");
        }
        self.moved(name, Ok(bytes), bytes)?;
        Ok(bytes)
    }

    /// One call over several messages, which must have these lengths.
    pub fn messages(
        &mut self,
        name: &'static str,
        result: io::Result<(usize, Vec<u32>)>,
        lengths: &[u32],
    ) -> Result<()> {
        let (_, found) = result.with_context(|| name.to_owned())?;
        if found != lengths {
            bail!("{name}: messages of {found:?} bytes instead of {lengths:?}");
        }
        self.0.entry(name).or_default().add(0, Some(lengths.iter().map(|length| u64::from(*length)).sum()));
        Ok(())
    }

    /// One call that must fail so.
    pub fn failed<T: std::fmt::Debug>(
        &mut self,
        name: &'static str,
        result: io::Result<T>,
        errno: i32,
    ) -> Result<()> {
        match result {
            Err(error) if error.raw_os_error() == Some(errno) => {
                self.0.entry(name).or_default().add(1, Some(0));
                Ok(())
            }
            other => bail!("{name}: {other:?} instead of {}", io::Error::from_raw_os_error(errno)),
        }
    }

    /// As JSON: `{name: {count, errors, bytes}}`.
    pub fn to_json(&self) -> Value {
        self.0
            .iter()
            .map(|(name, call)| {
                let CallCount { count, errors, bytes } = *call;
                ((*name).to_owned(), json!({"count": count, "errors": errors, "bytes": bytes}))
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Prints the last line by one `write`, which is in the ledger too. `more` goes into the line.
    pub fn report(mut self, more: Value) -> Result<()> {
        self.0.entry("write").or_default().add(0, Some(REPORT_BYTES as u64));
        let line = report_line(&json!({"calls": self.to_json(), "more": more}))?;
        let written = call::write(io::stdout().as_raw_fd(), &line)?;
        if written != line.len() {
            bail!("the report was cut off after {written} bytes");
        }
        Ok(())
    }
}

/// A line of [`REPORT_BYTES`].
fn report_line(value: &Value) -> Result<Vec<u8>> {
    let mut line = value.to_string().into_bytes();
    if line.len() >= REPORT_BYTES {
        bail!("the report has {} bytes", line.len());
    }
    line.resize(REPORT_BYTES - 1, b' ');
    line.push(b'\n');
    Ok(line)
}

/// The calls that a workload's last line tells.
pub fn reported_calls(report: &Value) -> Result<BTreeMap<String, CallCount>> {
    let calls = report.get("calls").and_then(Value::as_object).context("the report has no calls")?;
    let number = |call: &Value, name: &str| call.get(name).and_then(Value::as_u64);
    calls
        .iter()
        .map(|(name, call)| {
            let count = CallCount {
                count: number(call, "count").context("no count")?,
                errors: number(call, "errors").context("no errors")?,
                bytes: number(call, "bytes"),
            };
            Ok((name.clone(), count))
        })
        .collect()
}

/// Fails unless a child did well.
pub fn did_well(what: &str, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{what} ended with {status}");
    }
    Ok(())
}
