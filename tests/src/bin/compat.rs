//! `compat COUNT [--gate FIFO]`: makes 32-bit calls from a 64-bit program: COUNT times `getpid`, whose 32-bit number is
//! that of the 64-bit `writev`, and COUNT times `read` of 100 bytes, whose number is that of `close`. Where the kernel has
//! no 32-bit calls it dies of a signal.

use anyhow::Result;

#[cfg(target_arch = "x86_64")]
fn main() -> Result<()> {
    use std::{fs::File, os::fd::AsRawFd as _};

    use anyhow::ensure;
    use serde_json::json;
    use zc_trace_tests::{
        compat::{Arena, address, call},
        workload::{self, Ledger},
    };

    const READ: u64 = 3;
    const GETPID: u64 = 20;

    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let count = workload::number(&arguments, 0, "COUNT")?;
    let zero = File::open("/dev/zero")?;
    let buffer = address(Arena::new(4096)?.bytes(100)?);
    workload::begin(gate.as_ref())?;
    let mut ledger = Ledger::default();
    for _ in 0..count {
        ensure!(call(GETPID, [0; 5])? == std::process::id() as usize, "getpid gave another process");
        ledger.moved("getpid:32", Ok(0), 0)?;
        let read = call(READ, [zero.as_raw_fd().cast_unsigned().into(), buffer, 100, 0, 0]);
        ledger.moved("read:32", read, 100)?;
    }
    ledger.report(json!({}))
}

#[cfg(not(target_arch = "x86_64"))]
fn main() -> Result<()> {
    anyhow::bail!("this machine has no int 0x80")
}
