//! `threads COUNT READS BYTES [--gate FIFO]`: COUNT threads that exist from the beginning and, after the gate, COUNT
//! more each make READS reads of BYTES from /dev/zero. With READS 0 they read until the process is ended.

use std::{fs::File, os::fd::AsRawFd as _, sync::Barrier, thread};

use anyhow::{Result, anyhow};
use serde_json::json;
use zc_trace_tests::{
    call,
    workload::{self, Ledger},
};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let count = workload::number(&arguments, 0, "COUNT")?;
    let reads = workload::number(&arguments, 1, "READS")?;
    let bytes = workload::number(&arguments, 2, "BYTES")?;
    let zero = File::open("/dev/zero")?;
    let start = Barrier::new(count + 1);
    let work = || -> Result<u64> {
        let mut buffer = vec![0; bytes];
        let mut done = 0;
        while reads == 0 || done < reads as u64 {
            if call::read(zero.as_raw_fd(), &mut buffer)? != bytes {
                return Err(anyhow!("/dev/zero gave less than {bytes} bytes"));
            }
            done += 1;
        }
        Ok(done)
    };
    let done = thread::scope(|scope| -> Result<u64> {
        let early: Vec<_> = (0..count)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    work()
                })
            })
            .collect();
        workload::begin(gate.as_ref())?;
        start.wait();
        let late: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        let mut done = 0;
        for thread in early.into_iter().chain(late) {
            done += thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        Ok(done)
    })?;
    let mut ledger = Ledger::default();
    for _ in 0..done {
        ledger.moved("read", Ok(bytes), bytes)?;
    }
    ledger.report(json!({"threads": 2 * count}))
}
