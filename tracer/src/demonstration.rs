//! `zc-trace demo`: the built-in workload, each method under trace.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::Path,
};

use crate::{
    cli::{DemoArgs, WorkloadArgs},
    demo::{self, Method, Options, Traced, workload},
    error::{Failure, Fatal},
    export::{file::StandardStream, json::DocumentOutput, text::TextOutput},
    options,
    probe::Source,
    session,
    signals::{self, Interrupted},
    view::{
        self,
        format::{bytes, escape_bytes},
    },
};

/// Runs the demonstration and prints what it found. Returns the exit code.
///
/// # Errors
/// What could not be done, in one sentence with a hint.
pub fn run(args: &DemoArgs) -> anyhow::Result<u8> {
    let options = Options {
        size_bytes: options::size("--size", &args.size)?,
        chunk_bytes: options::size("--chunk", &args.chunk)?,
    };
    check_space(options.size_bytes)?;
    let prepared = args.json.as_deref().map(DocumentOutput::prepare).transpose();
    let output = prepared.map_err(|error| session::cannot_write(&error))?;
    let to_stderr = args.json.as_deref() == Some(Path::new("-"));
    let stream = if to_stderr { StandardStream::Error } else { StandardStream::Output };
    let mut text = TextOutput::prepare(stream).map_err(|error| session::cannot_write(&error))?;
    let document =
        demo::run(options, |method, command| trace(method, command, args.kernel.clone().source()))?;
    let shown = text.write(&view::demo::demo(&document, session::style(stream)));
    if let Some(output) = output {
        output.write(&document).map_err(|error| session::cannot_write(&error))?;
    }
    shown.map_err(|error| session::cannot_write(&error))?;
    Ok(0)
}

/// The file is made in the folder for temporary files.
fn check_space(size_bytes: u64) -> Result<(), Fatal> {
    let folder = std::env::temp_dir();
    let Ok(space) = rustix::fs::statvfs(&folder) else { return Ok(()) };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if size_bytes < free {
        return Ok(());
    }
    let shown = escape_bytes(folder.as_os_str().as_encoded_bytes());
    Err(Fatal::new(
        Failure::Output,
        format!(
            "the demo's file of {} has no room in {shown}, where {} are free",
            bytes(size_bytes),
            bytes(free)
        ),
        "give a smaller --size, or set TMPDIR to a folder with more room",
    ))
}

/// One method, traced from its first instruction.
fn trace(method: Method, args: Vec<OsString>, source: Source) -> anyhow::Result<Traced> {
    // Each takes a second or two, most of it for the hooks.
    let _ = writeln!(io::stderr(), "zc-trace: tracing {} …", method.name());
    let program = std::env::current_exe()?;
    let command = std::iter::once(program.into_os_string()).chain(args).collect();
    let before = cpu_seconds_of_children();
    let traced = session::trace_command(command, source);
    if let Some(caught) = signals::caught() {
        // What was traced is a torso, and what went wrong with it (the sender was killed) goes without saying.
        return Err(Interrupted::new(caught, "the demonstration was complete").into());
    }
    let traced = traced?;
    Ok(Traced {
        document: traced.document,
        cpu_seconds: cpu_seconds_of_children() - before,
        exit_code: i32::from(traced.exit_code),
    })
}

/// User and system time of the children that have been waited for, s (getrusage(2)).
fn cpu_seconds_of_children() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills the structure; it is plain integers, so zeros are a value too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// The workload itself, in a process of its own.
///
/// # Errors
/// What the workload could not do.
pub fn run_workload(args: &WorkloadArgs) -> anyhow::Result<u8> {
    workload::send_file(&workload::Options {
        method: args.method,
        size_bytes: args.size,
        chunk_bytes: args.chunk,
        file: args.file.clone(),
        address: args.address,
    })?;
    Ok(0)
}
