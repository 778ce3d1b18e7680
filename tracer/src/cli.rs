//! The command line: types only. What they mean is checked in `options`.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::probe::{Detail, Latency, Source, form::Choice};

/// What a running process pays for its I/O: transitions, copies, and who makes them
#[derive(Debug, Parser)]
#[command(
    name = "zc-trace",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    override_usage = "zc-trace [OPTIONS] -p PID...\n       zc-trace [OPTIONS] -- COMMAND [ARGS]...\n       zc-trace demo|doctor [OPTIONS]",
    after_help = AFTER_HELP,
)]
pub struct Cli {
    /// Demo or doctor; without either, a process is traced
    #[command(subcommand)]
    pub subcommand: Option<Sub>,
    /// What to trace and what to do with it
    #[command(flatten)]
    pub trace: TraceArgs,
}

const AFTER_HELP: &str = "\
Examples:
  sudo zc-trace -p 1234                      watch a running process on the dashboard; ? lists its keys
  sudo zc-trace -p 1234 --lines              the same as lines of text; Ctrl-C ends with a report
  sudo zc-trace -p 1234 --summary            ... at the least cost for a target that calls a million times a second
  sudo zc-trace -p 1234 -d 10 --json t.json  ten seconds, and the whole trace as JSON
  sudo zc-trace -- dd if=/etc/passwd of=/dev/null
                                             trace a command from its first instruction
  sudo zc-trace -f -- make                   ... and its children
  sudo zc-trace demo                         see what read+write, sendfile, mmap, splice and MSG_ZEROCOPY cost
  zc-trace doctor                            what this kernel offers and what is missing

Filters (--filter): terms with spaces between, all of which must hold
  call=NAME  fd=N  path=PART  method=NAME  bytes>=SIZE  thread=TID|PART  pid=PID
  WORD       in some name, path, address or method      !TERM  not so      \"a b\"  with spaces
  * and ? stand for any characters and for one: call=pread*, path=*.log. A term that has no meaning for a kind
  of row (fd= for a flow) does not hide it.
  sudo zc-trace --filter 'path=/srv !call=fstat bytes>=1M' -p 1234

Exit codes:
  0    the trace ended as asked (with a command: the command's own exit code, 128 + signal if it was killed)
  1    an internal error      2  the command line      3  the process to trace      4  missing rights
  5    the kernel lacks something                      6  a file could not be written
  126  the command could not be executed             127  the command was not found
  128 + n  signal n ended it before there was a result

zc-trace needs root, or CAP_BPF and CAP_PERFMON (and CAP_SYS_PTRACE for processes of others).";

/// Tracing.
#[derive(Args, Debug)]
pub struct TraceArgs {
    /// Trace this process with all its threads; may be given several times
    #[arg(short, long = "pid", value_name = "PID")]
    pub pids: Vec<u32>,
    /// Trace children too that the target makes from now on
    #[arg(short, long)]
    pub follow: bool,
    /// End after this many seconds (a command then gets SIGTERM, and SIGKILL 3 s later)
    #[arg(short, long, value_name = "SECONDS")]
    pub duration: Option<f64>,
    /// Seconds between pictures of the dashboard [default: 0.1] or live lines [default: 1; with a command no lines]
    #[arg(short, long, value_name = "SECONDS")]
    pub interval: Option<f64>,
    /// Live lines and a report instead of the dashboard
    #[arg(long)]
    pub lines: bool,
    /// The same at the least cost for the target: all is summed in the kernel, without latency and single operations
    #[arg(long, conflicts_with_all = ["detail", "latency", "ndjson"])]
    pub summary: bool,
    /// Which calls are told one by one [default: auto; with --ndjson all]
    #[arg(long, value_enum, value_name = "DETAIL")]
    pub detail: Option<Detail>,
    /// Which calls are timed
    #[arg(long, value_enum, default_value_t, value_name = "LATENCY")]
    pub latency: Latency,
    /// Colours of the dashboard
    #[arg(long, value_enum, default_value_t, value_name = "COLORS")]
    pub colors: Colors,
    /// Draw the dashboard with ASCII characters only
    #[arg(long)]
    pub ascii: bool,
    /// Write the whole trace as one JSON document when it ends; - for standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write each operation and transfer as a line of JSON as it happens; - for standard output
    #[arg(long, value_name = "FILE")]
    pub ndjson: Option<PathBuf>,
    /// Show and stream only what is like this (terms below); totals and --json stay whole
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
    /// No dashboard, no live lines and no report
    #[arg(short, long)]
    pub quiet: bool,
    /// Size of the ring buffer between kernel and daemon, in bytes or with K, M, G: a power of two
    #[arg(long, value_name = "SIZE", default_value = "4M")]
    pub ring_size: String,
    /// Let the kernel programs log their own diagnostics (slow)
    #[arg(long)]
    pub debug_ebpf: bool,
    /// What to know the kernel by
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// Run this command and trace it from its first instruction
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Which colours the dashboard has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Colors {
    /// Those that fit the terminal; none with NO_COLOR
    #[default]
    Auto,
    /// For a dark background
    Dark,
    /// For a light background
    Light,
    /// None
    None,
}

/// The kernel's types, and what is made of them.
#[derive(Args, Clone, Debug, Default)]
pub struct KernelArgs {
    /// Take the kernel's types from this file of raw BTF: for kernels that do not publish them
    #[arg(long, value_name = "FILE")]
    pub btf: Option<PathBuf>,
    /// Which form of the kernel programs to load (for tests)
    #[arg(long, value_enum, default_value_t, hide = true)]
    pub form: Choice,
}

impl KernelArgs {
    /// As the probe takes it.
    pub fn source(self) -> Source {
        Source { btf: self.btf, form: self.form }
    }
}

/// What else it does.
#[derive(Debug, Subcommand)]
pub enum Sub {
    /// Serve a file over a loopback socket by five methods, trace each, and show them side by side
    Demo(DemoArgs),
    /// Say what this kernel offers, what is missing, and what would help
    Doctor(KernelArgs),
    /// Used by demo: sends the file by one method
    #[command(hide = true)]
    DemoWorkload(WorkloadArgs),
}

/// The demonstration.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Size of the file, in bytes or with K, M, G
    #[arg(long, default_value = "64M", value_name = "SIZE")]
    pub size: String,
    /// Most bytes that one call is asked to move, in bytes or with K, M, G
    #[arg(long, default_value = "64K", value_name = "SIZE")]
    pub chunk: String,
    /// Write the five traces as one JSON document; - for standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// What to know the kernel by
    #[command(flatten)]
    pub kernel: KernelArgs,
}

/// The hidden workload of the demonstration.
#[derive(Args, Debug)]
pub struct WorkloadArgs {
    /// How to send
    #[arg(long)]
    pub method: crate::demo::Method,
    /// Bytes of the file
    #[arg(long)]
    pub size: u64,
    /// Most bytes of one call
    #[arg(long)]
    pub chunk: u64,
    /// The file
    #[arg(long)]
    pub file: PathBuf,
    /// Where to
    #[arg(long)]
    pub address: SocketAddr,
}
