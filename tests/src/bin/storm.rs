//! `storm COUNT [again] [--gate FIFO]`: COUNT reads of one byte from /dev/zero, as fast as can be; with `again` from a silent
//! pipe that does not block, each of which fails with EAGAIN.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use anyhow::Result;
use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::json;
use zc_trace_tests::{
    call,
    workload::{self, Ledger},
};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let count = workload::number(&arguments, 0, "COUNT")?;
    let fails = arguments.get(1).is_some_and(|how| how == "again");
    let (source, _writer) = if fails { silent()? } else { (File::open("/dev/zero")?.into(), None) };
    let mut ledger = Ledger::default();
    let mut byte = [0];
    workload::begin(gate.as_ref())?;
    for _ in 0..count {
        let result = call::read(source.as_raw_fd(), &mut byte);
        if fails {
            ledger.failed("read", result, libc::EAGAIN)?;
        } else {
            ledger.moved("read", result, 1)?;
        }
    }
    ledger.report(json!({}))
}

/// A pipe without bytes, and the end that keeps it from being at its end.
fn silent() -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
    Ok((reader, Some(writer)))
}
