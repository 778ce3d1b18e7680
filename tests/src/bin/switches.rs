//! `switches ROUNDS [--gate FIFO]`: two processes on one CPU pass a byte to and fro over pipes ROUNDS times (each waits
//! each time: voluntary switches), then both compute for a while (the scheduler takes turns: involuntary ones).

use std::{
    hint::black_box,
    io,
    os::fd::{AsRawFd as _, RawFd},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rustix::{
    process::{WaitOptions, getpid, waitpid},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use serde_json::json;
use zc_trace_tests::{
    call,
    workload::{self, Ledger},
};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let rounds = workload::number(&arguments, 0, "ROUNDS")?;
    let (mine, theirs) = (io::pipe()?, io::pipe()?);
    stay_on_one_cpu()?;
    workload::begin(gate.as_ref())?;
    if call::fork()? == 0 {
        workload::bound();
        let mut ledger = Ledger::default();
        let played = pass(&mut ledger, rounds, theirs.0.as_raw_fd(), mine.1.as_raw_fd(), false);
        compute();
        call::exit_now(i32::from(played.is_err()));
    }
    let mut ledger = Ledger::default();
    pass(&mut ledger, rounds, mine.0.as_raw_fd(), theirs.1.as_raw_fd(), true)?;
    compute();
    let ended = waitpid(None, WaitOptions::empty())?;
    ensure!(ended.is_some_and(|(_, status)| status.exit_status() == Some(0)), "the other process failed");
    ledger.report(json!({"rounds": rounds}))
}

fn pass(ledger: &mut Ledger, rounds: usize, from: RawFd, to: RawFd, begins: bool) -> Result<()> {
    let mut byte = [0];
    for _ in 0..rounds {
        if begins {
            ledger.moved("write", call::write(to, &byte), 1)?;
        }
        ledger.moved("read", call::read(from, &mut byte), 1)?;
        if !begins {
            ledger.moved("write", call::write(to, &byte), 1)?;
        }
    }
    Ok(())
}

fn compute() {
    let start = Instant::now();
    let mut number = 0_u64;
    while start.elapsed() < Duration::from_millis(100) {
        number = black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

fn stay_on_one_cpu() -> Result<()> {
    let mine = sched_getaffinity(Some(getpid()))?;
    let mut one = CpuSet::new();
    if let Some(cpu) = (0..CpuSet::MAX_CPU).find(|cpu| mine.is_set(*cpu)) {
        one.set(cpu);
    }
    sched_setaffinity(Some(getpid()), &one)?;
    Ok(())
}
