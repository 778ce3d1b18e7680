//! `cargo xtask`: sets up, builds, runs, installs and tests zc-trace.

mod bench;
mod checks;
#[cfg(test)]
mod documents;
mod launch;
mod screenshots;
mod tally;
mod vm;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use xtask::progress::{self, Outcome};
use xtask::setup;

use crate::checks::Selection;
use crate::workspace::Profile;

/// Sets up, builds, runs, installs and tests zc-trace.
///
/// Every command sets up first what is missing: a compiler and a linker for the kernel programs, from Debian's packages
/// or through rustup. The linker is kept in ~/.cache/zc-trace (below $XDG_CACHE_HOME), for all clones.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 something failed (said in one sentence), 2 these arguments make no sense; \
    `run` and `demo` end with zc-trace's own.";

#[derive(Debug, Subcommand)]
enum Task {
    /// Find or install what the build and the tests need.
    ///
    /// Installs from Debian's packages (through sudo unless root) where there is an apt-get, else through rustup, and
    /// builds bpf-linker once. Does nothing, quickly, when nothing is missing.
    Setup,
    /// Build zc-trace, with its kernel programs inside.
    Build {
        /// Optimise it; the binary is then in target/release.
        #[arg(long)]
        release: bool,
    },
    /// Build zc-trace (optimised) and run it as root.
    ///
    /// Goes through sudo unless root. The exit code is that of zc-trace.
    #[command(after_help = "Example: cargo xtask run -- -p 1234 -d 10")]
    Run {
        /// What zc-trace is called with.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<OsString>,
    },
    /// Show what transfers cost: `run -- demo`.
    ///
    /// Serves a file by read+write, sendfile, mmap+write, splice and MSG_ZEROCOPY, traces each, and compares them.
    #[command(after_help = "Example: cargo xtask demo --size 64M")]
    Demo {
        /// What `zc-trace demo` is called with.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<OsString>,
    },
    /// Install zc-trace (optimised), so that `sudo zc-trace -p PID` works as typed.
    Install {
        /// The binary goes to the folder `bin` in here; through sudo where that is needed.
        #[arg(long, default_value = "/usr/local", value_name = "FOLDER")]
        prefix: PathBuf,
    },
    /// Make the pictures of the dashboard that the README shows, from a real screen.
    ///
    /// Traces a small server of files in a terminal of tmux, presses keys, and writes what is on the screen to
    /// docs/screenshots as SVG. Goes through sudo unless root.
    Screenshots,
    /// Run every check: format, clippy, unit tests, and scenarios that trace real processes as root.
    ///
    /// Without root the scenarios run through sudo if it does not ask for a password; else they are skipped, by name.
    #[command(
        after_help = "Examples: cargo xtask test --scenarios relay\n          cargo xtask test --vm 6.12"
    )]
    Test {
        /// Only the tests that need no root.
        #[arg(long)]
        unit: bool,
        /// Only the scenarios.
        #[arg(long)]
        scenarios: bool,
        /// Only tests with this in their name.
        filter: Option<String>,
        /// Instead, run the scenarios on Debian's own kernels in QEMU: 6.1 and 6.12, or those named, or `all`.
        ///
        /// Kernels and QEMU are fetched by apt and unpacked below target/vm; nothing is installed. Takes minutes: without
        /// a KVM that can run them, the kernels are emulated. docs/vm.md tells more.
        #[arg(long, value_name = "KERNEL", num_args = 0.., conflicts_with_all = ["unit", "scenarios"])]
        vm: Option<Vec<String>>,
        /// With --vm, only one or two scenarios of each kind.
        #[arg(long, requires = "vm")]
        quick: bool,
    },
    /// Measure what zc-trace costs.
    Bench {
        /// What is measured.
        #[command(subcommand)]
        what: Bench,
    },
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Compare workloads under zc-trace, its peers, and programs that do nothing, with the same untraced.
    ///
    /// Runs take turns: the ratio of each traced run to the mean of the two untraced ones around it. Goes through sudo unless
    /// root; fetches the peers from Debian's packages.
    #[command(
        after_help = "Example: cargo xtask bench overhead --pairs 7 --workload reads --under zc-trace --under floor"
    )]
    Overhead(bench::Request),
    /// Count the instructions of decoding and of the model under callgrind, and compare them with the committed budget.
    ///
    /// `cargo xtask test` does the same. It fails when a count is exceeded by more than 10 %.
    Instructions(bench::instructions::Request),
    /// Play the scenarios of scale for long: memory must stay flat, and totals right.
    Scale(bench::scale::Request),
}

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Setup => set_up()?,
        Task::Build { release } => {
            setup::build_tools()?;
            let binary = workspace::build(if release { Profile::Release } else { Profile::Dev })?;
            eprintln!("built {}", binary.display());
        }
        Task::Run { arguments } => return Err(run(&arguments)),
        Task::Demo { arguments } => {
            let mut all = vec![OsString::from("demo")];
            all.extend(arguments);
            return Err(run(&all));
        }
        Task::Install { prefix } => {
            setup::build_tools()?;
            launch::install(&workspace::build(Profile::Release)?, &prefix)?;
        }
        Task::Screenshots => {
            setup::build_tools()?;
            let binary = workspace::build(Profile::Release)?;
            screenshots::make(&binary)?;
        }
        Task::Bench { what: Bench::Overhead(request) } => bench::run(&request)?,
        Task::Bench { what: Bench::Instructions(request) } => bench::instructions::run(&request)?,
        Task::Bench { what: Bench::Scale(request) } => bench::scale::run(&request)?,
        Task::Test { vm: Some(kernels), quick, filter, .. } => {
            let held = vm::run(&vm::Request { kernels, quick, filter })?;
            return Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Task::Test { unit, scenarios, filter, .. } => {
            let all = unit == scenarios;
            let selection = Selection { style: all, unit: all || unit, scenarios: all || scenarios, filter };
            return Ok(if checks::run(&selection)? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn set_up() -> anyhow::Result<()> {
    let started = Instant::now();
    let toolchain = setup::build_tools()?;
    for warning in setup::test_tools(&toolchain) {
        eprintln!("warning: {warning}");
    }
    progress::report("set up", &Outcome::Done(toolchain.to_string()), started.elapsed());
    Ok(())
}

/// Builds zc-trace and becomes it; returns only if that fails.
fn run(arguments: &[OsString]) -> anyhow::Error {
    match setup::build_tools().and_then(|_| workspace::build(Profile::Release)) {
        Ok(binary) => launch::become_tool(&binary, arguments),
        Err(error) => error,
    }
}
