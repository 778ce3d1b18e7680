//! A gate: a process that exists and waits, so that a tracer can attach before its program's first instruction.
//!
//! The workload `gate` opens a FIFO, waits on it by `ppoll`, which no account counts, and then becomes the given
//! program. Workloads can wait at a gate by themselves ([`crate::workload::wait_at_gate`]), after their set-up.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    accounts::is_blocked_in,
    process::{Process, STEP, wait_until},
    scenario::{Scenario, require_root},
};

/// The name that waiting at the gate has among the calls.
pub const WAITING_CALL: &str = "ppoll";

/// A process at its gate.
pub struct Gate {
    process: Process,
    fifo: PathBuf,
    output: PathBuf,
}

impl Gate {
    /// Starts `gate FIFO PROGRAM ARGUMENTS…` (`gate` is the path of that workload); standard output goes to a file.
    pub fn before(
        scenario: &Scenario,
        gate: &str,
        program: impl AsRef<OsStr>,
        arguments: &[impl AsRef<OsStr>],
        stdin: Stdio,
    ) -> Result<Self> {
        let fifo = make_fifo(scenario)?;
        let mut command = Command::new(gate);
        command.arg(&fifo).arg(program).args(arguments).stdin(stdin);
        Self::start(scenario, command, fifo)
    }

    /// Starts `PROGRAM ARGUMENTS… --gate FIFO`: a workload that waits by itself.
    pub fn inside(scenario: &Scenario, program: &str, arguments: &[impl AsRef<OsStr>]) -> Result<Self> {
        let fifo = make_fifo(scenario)?;
        let mut command = Command::new(program);
        command.args(arguments).arg("--gate").arg(&fifo).stdin(Stdio::null());
        Self::start(scenario, command, fifo)
    }

    fn start(scenario: &Scenario, mut command: Command, fifo: PathBuf) -> Result<Self> {
        // Whose `/proc/PID/syscall` may be read, and who may attach.
        require_root()?;
        let output = fifo.with_extension("stdout");
        command.stdout(File::create(&output)?);
        let process = scenario.spawn(&mut command)?;
        wait_until(STEP, "the process to wait at its gate", || {
            if process.has_ended()? {
                bail!("the process ended before its gate");
            }
            is_blocked_in(process.pid(), libc::SYS_ppoll)
        })?;
        Ok(Self { process, fifo, output })
    }

    /// The process's id, before and after the gate.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Lets it go.
    pub fn open(&self) -> Result<()> {
        OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&self.fifo)
            .context("nobody waits at the gate")?;
        Ok(())
    }

    /// The process behind it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it wrote to standard output so far.
    pub fn output(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.output)?).into_owned())
    }

    /// The file that its standard output is.
    pub fn output_path(&self) -> &Path {
        &self.output
    }
}

/// A FIFO with a name that no other has.
fn make_fifo(scenario: &Scenario) -> Result<PathBuf> {
    let path = (0_u32..)
        .map(|number| scenario.path(&format!("gate-{number}")))
        .find(|path| !path.exists())
        .context("no name left")?;
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    Ok(path)
}
