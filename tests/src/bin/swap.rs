//! `swap ROUNDS READS A B [--gate FIFO]`: READS one-byte reads of a descriptor, as fast as can be, in each of ROUNDS rounds; after
//! each round the descriptor is made to stand for the other one of two files, by the reading thread and by another one in turn.
//! Reports how many reads each file has seen.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd as _, RawFd},
    sync::mpsc::channel,
    thread,
};

use anyhow::Result;
use serde_json::json;
use zc_trace_tests::{
    call,
    workload::{self, Ledger},
};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let rounds = workload::number(&arguments, 0, "ROUNDS")?;
    let reads = workload::number(&arguments, 1, "READS")?;
    let files =
        [File::open(workload::path(&arguments, 2, "A")?)?, File::open(workload::path(&arguments, 3, "B")?)?];
    let [a, b] = [files[0].as_raw_fd(), files[1].as_raw_fd()];
    let shared = files[0].try_clone()?;
    let fd = shared.as_raw_fd();
    let (orders, to_do) = channel::<RawFd>();
    let (done, finished) = channel();
    let other = thread::spawn(move || to_do.iter().try_for_each(|file| done.send(become_file(file, fd))));
    let mut ledger = Ledger::default();
    let mut seen = [0u64; 2];
    let mut byte = [0];
    workload::begin(gate.as_ref())?;
    for round in 0..rounds {
        for _ in 0..reads {
            ledger.moved("pread64", call::pread64(fd, &mut byte, 0), 1)?;
        }
        seen[round % 2] += reads as u64;
        let next = if round % 2 == 0 { b } else { a };
        if round % 4 < 2 {
            become_file(next, fd)?;
        } else {
            orders.send(next)?;
            finished.recv()??;
        }
    }
    drop(orders);
    let _ = other.join();
    ledger.report(json!({"a": seen[0], "b": seen[1]}))
}

/// Has a descriptor stand for the open file of another one.
fn become_file(file: RawFd, fd: RawFd) -> io::Result<()> {
    // SAFETY: no memory is involved, and nobody else uses the descriptor meanwhile.
    let result = unsafe { libc::dup3(file, fd, 0) };
    if result == fd { Ok(()) } else { Err(io::Error::last_os_error()) }
}
