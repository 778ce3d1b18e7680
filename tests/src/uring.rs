//! A ring whose every completion is checked and kept in a ledger.

use std::{collections::BTreeMap, io, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use io_uring::{IoUring, cqueue, squeue};
use serde_json::{Value, json};

use crate::workload::Ledger;

/// What a request must come to.
#[derive(Clone, Copy, Debug)]
pub enum Due {
    /// That many bytes, or another result that is no error.
    Bytes(usize),
    /// Success of a request that moves nothing.
    Done,
    /// An error.
    Failed(i32),
}

/// A request, by its published name.
#[derive(Debug)]
pub struct Request {
    /// As in `io_uring:read`.
    pub name: &'static str,
    /// The submission.
    pub entry: squeue::Entry,
    /// What it must come to.
    pub due: Due,
}

/// How requests are to be run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// As the kernel likes.
    Plain,
    /// All by workers of the kernel.
    Worker,
    /// Submitted by the kernel's polling thread.
    PollingThread,
    /// Completions wait until the program asks for them.
    Deferred,
}

/// A ring and what was done by it.
pub struct Ring {
    ring: IoUring,
    mode: Mode,
    ledger: Ledger,
    read: BTreeMap<String, u64>,
    written: BTreeMap<String, u64>,
}

impl Ring {
    /// A ring with room for 64 requests.
    pub fn new(mode: Mode) -> Result<Self> {
        let mut builder = IoUring::builder();
        match mode {
            Mode::Plain | Mode::Worker => {}
            Mode::PollingThread => drop(builder.setup_sqpoll(1000)),
            Mode::Deferred => drop(builder.setup_single_issuer().setup_defer_taskrun()),
        }
        let ring = builder.build(64).context("io_uring_setup")?;
        Ok(Self { ring, mode, ledger: Ledger::default(), read: BTreeMap::new(), written: BTreeMap::new() })
    }

    /// The ring itself.
    pub fn inner(&self) -> &IoUring {
        &self.ring
    }

    /// The ledger, for what is not done through the ring.
    pub fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Notes bytes that were read from a path.
    pub fn has_read(&mut self, path: &Path, bytes: usize) {
        *self.read.entry(path.to_string_lossy().into_owned()).or_default() += bytes as u64;
    }

    /// Notes bytes that were written to a path.
    pub fn has_written(&mut self, path: &Path, bytes: usize) {
        *self.written.entry(path.to_string_lossy().into_owned()).or_default() += bytes as u64;
    }

    /// Makes one request and waits for its completion.
    pub fn make(&mut self, name: &'static str, entry: squeue::Entry, due: Due) -> Result<u32> {
        let flags = self.make_all(vec![Request { name, entry, due }])?;
        flags.first().copied().context("no completion")
    }

    /// Makes some requests by one call and waits for all of them; the flags of their completions, in their order.
    pub fn make_all(&mut self, requests: Vec<Request>) -> Result<Vec<u32>> {
        let flags = if self.mode == Mode::Worker { squeue::Flags::ASYNC } else { squeue::Flags::empty() };
        let numbered = (0_u64..).zip(&requests);
        let entries: Vec<_> = numbered
            // A link that is set already stays.
            .map(|(number, request)| request.entry.clone().user_data(number).flags(flags))
            .collect();
        // In one piece, or the polling thread would take part of a chain.
        // SAFETY: as for `push`.
        unsafe { self.ring.submission().push_multiple(&entries) }.context("the submission queue is full")?;
        let mut flags = vec![0; requests.len()];
        for _ in 0..requests.len() {
            let done = self.wait()?;
            let number = usize::try_from(done.user_data())?;
            let request = requests.get(number).context("a completion of no request")?;
            self.settle(request.name, request.due, done.result())?;
            if let Some(flags) = flags.get_mut(number) {
                *flags = done.flags();
            }
        }
        Ok(flags)
    }

    /// Hands a request in, to be made with the next wait.
    pub fn push(&mut self, entry: &squeue::Entry) -> Result<()> {
        // SAFETY: callers keep the memory of a request until its completion has been taken.
        unsafe { self.ring.submission().push(entry) }.context("the submission queue is full")
    }

    /// The next completion.
    pub fn wait(&mut self) -> Result<cqueue::Entry> {
        loop {
            if let Some(done) = self.ring.completion().next() {
                return Ok(done);
            }
            self.ring.submit_and_wait(1)?;
        }
    }

    /// Checks a result and keeps it.
    pub fn settle(&mut self, name: &'static str, due: Due, result: i32) -> Result<()> {
        let returned = match usize::try_from(result) {
            Ok(result) => Ok(result),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        };
        match due {
            Due::Bytes(bytes) => self.ledger.moved(name, returned, bytes),
            Due::Failed(errno) => self.ledger.failed(name, returned, errno),
            Due::Done => match returned {
                Ok(_) => self.ledger.moved(name, Ok(0), 0),
                Err(error) => bail!("{name}: {error}"),
            },
        }
    }

    /// Prints the last line.
    pub fn report(self) -> Result<()> {
        let more: Value = json!({"read": self.read, "written": self.written});
        self.ledger.report(more)
    }
}

/// Fails unless a completion said that more will come.
pub fn more_to_come(flags: u32) -> Result<()> {
    ensure!(cqueue::more(flags), "the request was to complete once more");
    Ok(())
}
