//! Runs zc-trace.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::{
    document::Document,
    process::{Process, STEP, shell_code, wait_until},
    scenario::{Scenario, require_root},
    skip,
};

/// How the line on standard error begins that says that every hook is in place.
const READY: &str = "zc-trace: attached";

/// The binary: `$ZC_TRACE`, else the newest of `target/{debug,release}/zc-trace`. Skips if there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("ZC_TRACE") {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "ZC_TRACE is {}, which is no file", path.display());
        return Ok(path);
    }
    // This test runs from target/PROFILE/deps.
    let here = env::current_exe()?;
    let target = here.ancestors().nth(3).context("the test does not run from a target folder")?;
    let newest = ["debug", "release"]
        .map(|profile| target.join(profile).join("zc-trace"))
        .into_iter()
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .max();
    match newest {
        Some((_, path)) => Ok(path),
        None => skip!(
            "zc-trace is not built in {} (cargo xtask build), and ZC_TRACE is not set",
            target.display()
        ),
    }
}

/// A run of zc-trace to be.
pub struct Tracer<'s> {
    scenario: &'s Scenario,
    command: Command,
    json: Option<PathBuf>,
    stdout: PathBuf,
    stderr: PathBuf,
    waits_for_ready: bool,
}

impl<'s> Tracer<'s> {
    /// As root, with a JSON document as output.
    pub fn new(scenario: &'s Scenario) -> Result<Self> {
        let mut tracer = Self::bare(scenario)?;
        require_root()?;
        let json = tracer.stdout.with_extension("json");
        tracer.command.arg("--json").arg(&json);
        tracer.json = Some(json);
        Ok(tracer)
    }

    /// Without any option.
    pub fn bare(scenario: &'s Scenario) -> Result<Self> {
        Ok(Self::of(scenario, Command::new(binary()?)))
    }

    /// Through another command, to which the caller has given the binary.
    pub fn of(scenario: &'s Scenario, command: Command) -> Self {
        let number = (0..).find(|number| !scenario.path(&format!("zc-trace-{number}.stderr")).exists());
        let stderr = scenario.path(&format!("zc-trace-{}.stderr", number.unwrap_or(0)));
        let mut tracer = Self {
            scenario,
            command,
            json: None,
            stdout: stderr.with_extension("stdout"),
            stderr,
            waits_for_ready: false,
        };
        tracer
            .command
            .stdin(Stdio::null())
            .env_remove("RUST_BACKTRACE")
            .env_remove("SUDO_UID")
            .env_remove("SUDO_GID");
        tracer
    }

    /// Attaches to that process.
    pub fn pid(mut self, pid: u32) -> Self {
        self.waits_for_ready = true;
        self.arg("-p").arg(pid.to_string())
    }

    /// One argument more.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// More arguments.
    pub fn args(mut self, arguments: &[impl AsRef<OsStr>]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Starts that command under trace.
    pub fn traced(self, program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Self {
        self.arg("--").arg(program).args(arguments)
    }

    /// Its standard input; nothing by default.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Its environment.
    pub fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it; with [`pid`](Self::pid), until every hook is in place.
    pub fn start(mut self) -> Result<Trace> {
        self.command.stdout(File::create(&self.stdout)?);
        self.launch()
    }

    /// As [`start`](Self::start), with standard output into a pipe for the caller to read.
    pub fn start_piped(mut self) -> Result<Trace> {
        self.command.stdout(Stdio::piped());
        self.launch()
    }

    /// Starts it and does not wait for readiness.
    pub fn start_unready(mut self) -> Result<Trace> {
        self.waits_for_ready = false;
        self.start()
    }

    /// Runs it to its own end.
    pub fn run(self) -> Result<Ended> {
        self.start_unready()?.end()
    }

    fn launch(mut self) -> Result<Trace> {
        self.command.stderr(File::create(&self.stderr)?);
        let words: Vec<OsString> = self.command.get_args().map(OsStr::to_owned).collect();
        self.scenario.note(format!("ran zc-trace {words:?}"));
        let process = self.scenario.spawn(&mut self.command)?;
        let trace = Trace { process, json: self.json, stdout: self.stdout, stderr: self.stderr };
        if self.waits_for_ready {
            trace.wait_for_line(READY).inspect_err(|_| self.scenario.note(trace.diagnosis()))?;
        }
        Ok(trace)
    }
}

/// A running zc-trace.
pub struct Trace {
    process: Process,
    json: Option<PathBuf>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Trace {
    /// Its process's id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it has said on standard error so far.
    pub fn said(&self) -> Result<String> {
        read_text(&self.stderr)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits for a line on standard error that begins so.
    pub fn wait_for_line(&self, start: &str) -> Result<()> {
        wait_until(STEP, &format!("a line of zc-trace that begins {start:?}"), || {
            let has_ended = self.process.has_ended()?;
            let text = read_text(&self.stderr)?;
            // Only whole lines: the rest of one may still come.
            if text.split_inclusive('\n').any(|line| line.starts_with(start) && line.ends_with('\n')) {
                return Ok(true);
            }
            ensure!(!has_ended, "zc-trace ended before it: {text}");
            Ok(false)
        })
    }

    /// Ends the trace as Ctrl-C does.
    pub fn stop(self) -> Result<Ended> {
        self.stop_by(Signal::INT)
    }

    /// Ends the trace by a signal.
    pub fn stop_by(self, signal: Signal) -> Result<Ended> {
        self.process.signal(signal)?;
        self.end()
    }

    /// Waits for its own end.
    pub fn end(mut self) -> Result<Ended> {
        let status = self.process.reap(STEP).with_context(|| self.diagnosis())?;
        Ok(Ended {
            code: shell_code(status),
            // Not there if the output was a pipe.
            stdout: fs::read(&self.stdout).unwrap_or_default(),
            stderr: read_text(&self.stderr)?,
            json: self.json.take(),
        })
    }

    /// Waits until that time has passed or it has ended; whether it has.
    pub fn ends_within(&self, limit: Duration) -> Result<bool> {
        Ok(self.process.wait_for_end(limit).is_ok())
    }

    fn diagnosis(&self) -> String {
        format!("standard error of zc-trace: {}", read_text(&self.stderr).unwrap_or_default())
    }
}

/// A run of zc-trace that is over.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; 128 + the signal that ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    json: Option<PathBuf>,
}

impl Ended {
    /// The JSON document of a run that ended with that code. It must be coherent.
    pub fn document_after(&self, code: i32) -> Result<Document> {
        self.ended_with(code)?;
        let document = Document::read(self.json.as_deref().context("this run had no --json")?)?;
        document.is_coherent().with_context(|| {
            let losses =
                document.get("totals.losses").map_or_else(|error| format!("{error:#}"), ToString::to_string);
            format!("the document contradicts itself (losses: {losses})")
        })?;
        Ok(document)
    }

    /// The JSON document of a run without error.
    pub fn document(&self) -> Result<Document> {
        self.document_after(0)
    }

    /// The file of the JSON document.
    pub fn json(&self) -> Option<&Path> {
        self.json.as_deref()
    }

    /// That it ended with that code and did not crash.
    pub fn ended_with(&self, code: i32) -> Result<()> {
        ensure!(
            self.code == code,
            "exit code {} instead of {code}; standard error: {}",
            self.code,
            self.stderr
        );
        self.did_not_crash()
    }

    /// That it shows no panic.
    pub fn did_not_crash(&self) -> Result<()> {
        for sign in ["panicked at", "RUST_BACKTRACE", "stack backtrace"] {
            ensure!(!self.stderr.contains(sign), "standard error shows a crash: {}", self.stderr);
        }
        Ok(())
    }

    /// That it refused with that code and said so as promised: one paragraph that begins with `zc-trace: `, then a hint.
    pub fn refused_with(&self, code: i32) -> Result<()> {
        self.ended_with(code)?;
        self.says_why()
    }

    /// The form of an error message.
    pub fn says_why(&self) -> Result<()> {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let message = lines
            .iter()
            .position(|line| line.starts_with("zc-trace: ") && !line.starts_with(READY))
            .with_context(|| format!("no line begins with `zc-trace: `: {}", self.stderr))?;
        let hint = lines
            .iter()
            .position(|line| line.strip_prefix("hint: ").is_some_and(|hint| !hint.trim().is_empty()))
            .with_context(|| format!("no line begins with `hint: `: {}", self.stderr))?;
        ensure!(message < hint, "the hint comes before the message: {}", self.stderr);
        if lines[message..hint].iter().any(|line| line.trim().is_empty()) {
            bail!("the message is more than one paragraph: {}", self.stderr);
        }
        Ok(())
    }
}

fn read_text(path: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}
