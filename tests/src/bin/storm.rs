//! `storm COUNT [--gate FIFO]`: COUNT reads of one byte from /dev/zero, as fast as can be.

use std::{fs::File, os::fd::AsRawFd as _};

use anyhow::Result;
use serde_json::json;
use zc_trace_tests::{
    call,
    workload::{self, Ledger},
};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let count = workload::number(&arguments, 0, "COUNT")?;
    let zero = File::open("/dev/zero")?;
    let mut ledger = Ledger::default();
    let mut byte = [0];
    workload::begin(gate.as_ref())?;
    for _ in 0..count {
        ledger.moved("read", call::read(zero.as_raw_fd(), &mut byte), 1)?;
    }
    ledger.report(json!({}))
}
