//! `crowd DESCRIPTORS READS [--gate FIFO]`: that many open files, which are read in turn, so that no two reads after each other
//! are alike: READS reads of 1 to 16 bytes. Raises its own limit of open files.

use std::{fs::File, os::fd::AsRawFd as _};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use zc_trace_tests::{
    call,
    workload::{self, Ledger},
};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let descriptors = workload::number(&arguments, 0, "DESCRIPTORS")?;
    let reads = workload::number(&arguments, 1, "READS")?;
    let files = open(descriptors)?;
    let mut ledger = Ledger::default();
    let mut buffer = [0; 16];
    workload::begin(gate.as_ref())?;
    for (number, file) in files.iter().cycle().take(reads).enumerate() {
        let bytes = number % buffer.len() + 1;
        let part = buffer.get_mut(..bytes).context("a longer part than the whole")?;
        ledger.moved("read", call::read(file.as_raw_fd(), part), bytes)?;
    }
    ledger.report(json!({"descriptors": descriptors}))
}

/// Each is an open file of its own, not a duplicate.
fn open(descriptors: usize) -> Result<Vec<File>> {
    // For the standard streams and the gate.
    let wanted = Some(descriptors as u64 + 64);
    let limit = getrlimit(Resource::Nofile);
    if limit.current < wanted {
        let maximum = limit.maximum.max(wanted);
        setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum })
            .context("cannot raise the limit of open files")?;
    }
    let open = || File::open("/dev/zero").context("cannot open /dev/zero once more");
    std::iter::repeat_with(open).take(descriptors).collect()
}
