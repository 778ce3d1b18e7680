//! Attached to a process that is already at work: totals equal the difference of two snapshots of `/proc`, and the calls
//! under way at either end are named.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use zc_trace_tests::{
    accounts::{Accounts, Io, is_blocked_in, state, threads},
    comparison::Comparison,
    document::Document,
    process::{Process, STEP, patience, wait_until},
    scenario::{Outcome, Scenario, require_program, require_root, scenario},
    skip,
    tracer::Tracer,
};

/// Each read of the busy workload.
const BYTES: u64 = 100;
/// Its reading threads.
const READERS: usize = 8;

/// Eight threads that read without end, and are at it.
fn busy(scenario: &Scenario) -> Result<Process> {
    require_root()?;
    let mut command = Command::new(workload!("threads"));
    command.args(["4", "0", &BYTES.to_string()]).stdin(Stdio::null()).stdout(Stdio::null());
    let process = scenario.spawn(&mut command)?;
    let pid = process.pid();
    wait_until(STEP, "all threads", || Ok(threads(pid)?.len() == READERS + 1))?;
    reads_on(pid, 10_000)?;
    Ok(process)
}

/// Waits until the process has read that many times more.
fn reads_on(pid: u32, reads: u64) -> Result<()> {
    let start = Io::of(pid)?.syscr;
    wait_until(STEP, "more reads", || Ok(Io::of(pid)?.syscr >= start + reads))
}

/// Stops every thread. One that was in a call has left it: signals are taken on the way back to user mode.
fn stop(process: &Process) -> Result<()> {
    process.signal(Signal::STOP)?;
    wait_until(STEP, "every thread to stop", || {
        for tid in threads(process.pid())? {
            if state(tid)? != 'T' {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

#[test]
fn between_two_stops() -> Outcome {
    trace_between_two_stops("midway/between two stops", &[])
}

pub(crate) fn trace_between_two_stops(name: &str, options: &[&str]) -> Outcome {
    scenario(name, |s| {
        let process = busy(s)?;
        stop(&process)?;
        let trace = Tracer::new(s)?.args(options).pid(process.pid()).start()?;
        let opening = Accounts::of(process.pid())?;
        process.signal(Signal::CONT)?;
        reads_on(process.pid(), 20_000)?;
        stop(&process)?;
        let closing = Accounts::of(process.pid())?;
        let document = trace.stop()?.document()?;
        let mut comparison = Comparison::default();
        comparison.io(&document, &(closing - opening))?;
        comparison.faults(&document, &(closing - opening))?;
        comparison.equal("in_flight.at_end", document.in_flight("at_end")?, vec![]);
        comparison.finish()
    })
}

/// Another tracer that takes its time at each return of a call: its hook comes before zc-trace's, after the kernel has booked what
/// the call moved. So most of the target's time is between the two. An instance of its own (Documentation/trace/ftrace.rst).
struct SlowReturns(PathBuf);

impl SlowReturns {
    fn of(pid: u32) -> Result<Self> {
        let folder = PathBuf::from(format!("/sys/kernel/tracing/instances/zc-trace-test-{pid}"));
        if !folder.parent().is_some_and(Path::exists) {
            skip!("the kernel's own tracer is not there");
        }
        fs::create_dir(&folder)?;
        let instance = Self(folder);
        for tid in threads(pid)? {
            let mut pids = File::options().append(true).open(instance.0.join("set_event_pid"))?;
            pids.write_all(tid.to_string().as_bytes())?;
        }
        fs::write(instance.0.join("options/stacktrace"), "1")?;
        fs::write(instance.0.join("events/raw_syscalls/sys_exit/enable"), "1")?;
        Ok(instance)
    }
}

impl Drop for SlowReturns {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("events/raw_syscalls/sys_exit/enable"), "0");
        // It has no files of its own, only those that the kernel shows.
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn after_calls_were_booked() -> Outcome {
    trace_after_calls_were_booked("midway/after calls were booked", &[])
}

#[test]
fn after_calls_were_booked_and_summed() -> Outcome {
    trace_after_calls_were_booked("midway/after calls were booked, summed", &["--summary"])
}

/// The calls under way at the attach are in the totals if they are in the kernel's accounts: both begin with the same call.
pub(crate) fn trace_after_calls_were_booked(name: &str, options: &[&str]) -> Outcome {
    scenario(name, |s| {
        let process = busy(s)?;
        let _slow = SlowReturns::of(process.pid())?;
        for _ in 0..3 {
            let trace = Tracer::new(s)?.args(options).pid(process.pid()).start()?;
            reads_on(process.pid(), 1000)?;
            let document = trace.stop()?.document()?;
            let mut comparison = Comparison::default();
            let bytes = document.number("totals.read_bytes")?;
            comparison.equal("totals.read_bytes", bytes, document.number("totals.kernel_accounts.rchar")?);
            let calls = document.number("totals.read_calls")?;
            comparison.equal("totals.read_bytes, a hundred for each call", bytes, calls * BYTES);
            transitions_add_up(&document, &mut comparison)?;
            comparison.finish()?;
        }
        Ok(())
    })
}

/// Of calls under way at the attach the trace holds the return alone, of those at the end the entry. Only reads come and go.
fn transitions_add_up(document: &Document, comparison: &mut Comparison) -> Result<()> {
    let at_end = document.in_flight("at_end")?.iter().filter(|(_, name)| name == "read").count();
    let of_flows: u64 = document.flows()?.iter().map(|flow| flow.transitions).sum();
    let transitions = document.number("totals.transitions.syscall")?;
    comparison.equal("transitions of flows, and of reads at the end", of_flows + at_end as u64, transitions);
    Ok(())
}

#[test]
fn while_it_runs() -> Outcome {
    trace_while_it_runs("midway/while it runs", &[])
}

#[test]
fn while_it_runs_and_is_summed() -> Outcome {
    trace_while_it_runs("midway/while it runs, summed", &["--summary"])
}

pub(crate) fn trace_while_it_runs(name: &str, options: &[&str]) -> Outcome {
    scenario(name, |s| {
        let process = busy(s)?;
        let pid = process.pid();
        let before_attach = Io::of(pid)?;
        let trace = Tracer::new(s)?.args(options).pid(pid).args(&["-d", "1"]).start()?;
        let attached = Io::of(pid)?;
        // Well within the second that it traces.
        let start = Instant::now();
        let mut within = attached;
        while start.elapsed() < Duration::from_millis(400) {
            let now = Io::of(pid)?;
            if start.elapsed() < Duration::from_millis(400) {
                within = now;
            }
        }
        let ended = trace.end()?;
        let after = Io::of(pid)?;
        let document = ended.document()?;
        let bytes = document.number("totals.read_bytes")?;
        let mut comparison = Comparison::default();
        let in_flight = READERS as u64 * BYTES;
        let least = (within.rchar - attached.rchar).saturating_sub(in_flight);
        comparison.between("totals.read_bytes", least, bytes, after.rchar - before_attach.rchar + in_flight);
        transitions_add_up(&document, &mut comparison)?;
        // No call is counted half: each is 100 bytes.
        let reads = document.number("totals.read_calls")?;
        comparison.equal("totals.read_bytes, a hundred for each call", bytes, reads * BYTES);
        comparison.equal(
            "calls[read].count",
            document.calls()?.get("read").context("no reads")?.count,
            reads,
        );
        let most = 5_000_000_000 * u64::from(patience());
        comparison.between("duration_ns", 900_000_000, document.number("duration_ns")?, most);
        // A read under way at the end is not counted, and there is no more than one for each thread.
        comparison.between("in_flight.at_end", 0, document.in_flight("at_end")?.len(), READERS + 1);
        comparison.holds("the target goes on", !process.has_ended()?);
        reads_on(pid, 1000)?;
        comparison.finish()
    })
}

#[test]
fn blocked_at_both_ends() -> Outcome {
    trace_blocked_at_both_ends("midway/blocked at both ends", &[])
}

pub(crate) fn trace_blocked_at_both_ends(name: &str, options: &[&str]) -> Outcome {
    scenario(name, |s| {
        require_root()?;
        let mut command = Command::new(require_program("cat")?);
        command.stdin(Stdio::piped()).stdout(File::create(s.path("output"))?);
        let mut process = s.spawn(&mut command)?;
        let pid = process.pid();
        let blocked = || is_blocked_in(pid, libc::SYS_read);
        wait_until(STEP, "cat to wait for input", blocked)?;
        let trace = Tracer::new(s)?.args(options).pid(pid).start()?;
        let opening = Accounts::of(pid)?;
        let stdin = process.child().stdin.as_mut().context("no stdin")?;
        stdin.write_all(b"ten bytes\n")?;
        wait_until(STEP, "cat to wait for more", || {
            Ok(Io::of(pid)?.wchar == opening.io.wchar + 10 && blocked()?)
        })?;
        let closing = Accounts::of(pid)?;
        let document = trace.stop()?.document()?;
        let mut comparison = Comparison::default();
        comparison.accounts(&document, &(closing - opening))?;
        let waiting = vec![(pid, "read".to_owned())];
        comparison.equal("in_flight.at_start", document.in_flight("at_start")?, waiting.clone());
        comparison.equal("in_flight.at_end", document.in_flight("at_end")?, waiting);
        let calls = document.calls()?;
        // The read that was under way returned within the trace, and the one under way at the end did not.
        comparison.equal("calls[read].count", calls.get("read").map_or(0, |call| call.count), 1);
        comparison.equal("calls[read].bytes", calls.get("read").and_then(|call| call.bytes), Some(10));
        comparison.equal("calls[write].count", calls.get("write").map_or(0, |call| call.count), 1);
        comparison.finish()
    })
}

#[test]
fn a_web_server() -> Outcome {
    scenario("midway/Python's http.server and curl", |s| {
        require_root()?;
        let curl = require_program("curl")?;
        let folder = s.make_folder("served")?;
        let size = 5_000_001;
        s.file("served/file", size)?;
        let log = s.path("log");
        let mut command = Command::new(require_program("python3")?);
        command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(&folder).arg("0");
        command.stdin(Stdio::null()).stdout(File::create(&log)?).stderr(Stdio::null());
        let server = s.spawn(&mut command)?;
        let pid = server.pid();
        let mut port = None;
        wait_until(STEP, "the server's port", || {
            let text = fs::read_to_string(&log)?;
            port = text
                .split_whitespace()
                .skip_while(|word| *word != "port")
                .nth(1)
                .and_then(|word| word.parse::<u16>().ok());
            Ok(port.is_some())
        })?;
        let port = port.context("no port")?;
        let fetch = || -> Result<()> {
            let mut command = Command::new(&curl);
            command.args(["-sf", "-o"]).arg(s.path("fetched")).arg(format!("http://127.0.0.1:{port}/file"));
            ensure!(s.run(&mut command)? == 0, "curl failed");
            ensure!(fs::metadata(s.path("fetched"))?.len() == size as u64, "not everything came");
            Ok(())
        };
        // A thread per request, which ends after curl has.
        let idle = || wait_until(STEP, "the server to be idle", || Ok(threads(pid)?.len() == 1));
        fetch()?;
        idle()?;
        let trace = Tracer::new(s)?.pid(pid).start()?;
        let opening = Accounts::of(pid)?;
        for _ in 0..3 {
            fetch()?;
        }
        idle()?;
        let closing = Accounts::of(pid)?;
        let document = trace.stop()?.document()?;
        let mut comparison = Comparison::default();
        comparison.io(&document, &(closing - opening))?;
        let path = folder.join("file");
        let read: u64 = document.flows_from(&path)?.iter().map(|flow| flow.payload_bytes).sum();
        comparison.equal("payload from the served file", read, 3 * size as u64);
        comparison.equal("threads", document.process(pid)?.number("threads")?, 4);
        comparison.holds("the server goes on", TcpStream::connect(("127.0.0.1", port)).is_ok());
        comparison.finish()
    })
}

#[test]
fn two_processes_at_once() -> Outcome {
    scenario("midway/two processes", |s| {
        require_root()?;
        let mut processes = Vec::new();
        for name in ["a", "b"] {
            let mut command = Command::new(require_program("cat")?);
            command.stdin(Stdio::piped()).stdout(File::create(s.path(name))?);
            let process = s.spawn(&mut command)?;
            wait_until(STEP, "cat to wait for input", || is_blocked_in(process.pid(), libc::SYS_read))?;
            processes.push(process);
        }
        let pids: Vec<u32> = processes.iter().map(Process::pid).collect();
        let trace = Tracer::new(s)?.pid(pids[0]).pid(pids[1]).start()?;
        for (process, text) in processes.iter_mut().zip(["first", "the second"]) {
            let mut stdin = process.child().stdin.take().context("no stdin")?;
            stdin.write_all(text.as_bytes())?;
        }
        for process in &mut processes {
            process.reap(STEP)?;
        }
        // With its last target's end it ends by itself.
        let traced = trace.end()?;
        let document = traced.document()?;
        let mut comparison = Comparison::default();
        let said = String::from_utf8_lossy(&traced.stdout);
        for pid in &pids {
            let line = format!("zc-trace: {pid} (cat) ended with exit code 0");
            comparison.holds("the end of each is told", said.contains(&line));
        }
        comparison.equal("read by the first", document.process(pids[0])?.number("read_bytes")?, 5);
        comparison.equal("read by the second", document.process(pids[1])?.number("read_bytes")?, 10);
        comparison.equal("totals.written_bytes", document.number("totals.written_bytes")?, 15);
        let mut output = String::new();
        File::open(s.path("b"))?.read_to_string(&mut output)?;
        comparison.holds("the second's output is right", output == "the second");
        comparison.finish()
    })
}
