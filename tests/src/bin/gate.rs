//! `gate FIFO PROGRAM ARGUMENTS…`: waits at the FIFO, then becomes the program, bounded in time.
//!
//! Between the gate and the `execve` it makes no call, so that a trace which begins at the gate has one call more than
//! a trace of the program: the wait itself.

use std::{env, ffi::CString, io, os::unix::ffi::OsStringExt as _, path::Path, ptr};

use anyhow::{Context as _, Result};
use zc_trace_tests::workload;

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let fifo = arguments.next().context("usage: gate FIFO PROGRAM ARGUMENTS…")?;
    let arguments =
        arguments.map(|argument| CString::new(argument.into_vec())).collect::<Result<Vec<_>, _>>()?;
    let program = arguments.first().context("usage: gate FIFO PROGRAM ARGUMENTS…")?;
    let mut vector: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    vector.push(ptr::null());
    workload::bound();
    // As a program expects it; Rust's runtime ignores it.
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let gate = workload::wait_at_gate(Path::new(&fifo))?;
    // SAFETY: both point to NUL-terminated strings, the vector ends in a null pointer; the environment is inherited.
    unsafe { libc::execv(program.as_ptr(), vector.as_ptr()) };
    let error = io::Error::last_os_error();
    drop(gate);
    Err(error).with_context(|| String::from_utf8_lossy(program.as_bytes()).into_owned())
}
