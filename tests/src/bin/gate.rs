//! `gate FIFO PROGRAM ARGUMENTS…`: waits at the FIFO, then becomes the program, bounded in time.

use std::{env, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::{Context as _, Result};
use zc_trace_tests::workload;

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let fifo = arguments.next().context("usage: gate FIFO PROGRAM ARGUMENTS…")?;
    let program = arguments.next().context("usage: gate FIFO PROGRAM ARGUMENTS…")?;
    workload::bound();
    workload::wait_at_gate(Path::new(&fifo))?;
    Err(Command::new(program).args(arguments).exec().into())
}
