//! Processes that a measurement starts, and what the kernel accounts to them.

use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

/// A process of ours: it ends when this is dropped.
pub(crate) struct Owned {
    child: Child,
    polite: bool,
}

/// How long a process that was asked to end may take for it.
const PATIENCE: Duration = Duration::from_secs(10);

impl Owned {
    /// Starts it.
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child =
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child, polite: false })
    }

    /// It has children of its own to end: it is asked by SIGTERM first.
    pub(crate) fn ended_politely(mut self) -> Self {
        self.polite = true;
        self
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input and output, if they are pipes.
    pub(crate) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.child.stdin.take()?, self.child.stdout.take()?))
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end by that signal, and waits; kills it if it takes too long. Whether it ended by itself.
    pub(crate) fn end_by(&mut self, signal: Signal) -> bool {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw)
            && !self.has_ended()
        {
            // One that ends just now is as good.
            let _ = kill_process(pid, signal);
        }
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.has_ended() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        false
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.polite {
            self.end_by(Signal::TERM);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has a process stay on the last CPU: where the scheduler puts it would else be a part of what is measured. The tools go where
/// the scheduler puts them.
pub(crate) fn pin(pid: u32) -> anyhow::Result<()> {
    let last = std::thread::available_parallelism().map_or(0, |cpus| cpus.get() - 1);
    let mut cpus = CpuSet::new();
    cpus.set(last);
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    sched_setaffinity(pid, &cpus).with_context(|| format!("cannot have a process stay on CPU {last}"))
}

/// CPU time that a process has had, from one moment on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTime {
    pid: u32,
    at_start: Duration,
}

impl CpuTime {
    /// From now on.
    pub(crate) fn start(pid: u32) -> anyhow::Result<Self> {
        Ok(Self { pid, at_start: cpu_clock(pid)? })
    }

    /// Until now.
    pub(crate) fn elapsed(&self) -> anyhow::Result<Duration> {
        let now = cpu_clock(self.pid)?;
        // Another process under the same number would have used up less.
        now.checked_sub(self.at_start).with_context(|| {
            format!("the CPU time of process {} went back from {:?} to {now:?}", self.pid, self.at_start)
        })
    }
}

/// CPU time of all threads that a process has and has had, to the nanosecond: the files of `/proc` leave out threads that have
/// ended, or count in hundredths of a second.
fn cpu_clock(pid: u32) -> anyhow::Result<Duration> {
    let number = libc::pid_t::try_from(pid).context("no number of a process")?;
    let mut clock = 0;
    // SAFETY: the pointer is to a clock's number that outlives the call.
    let code = unsafe { libc::clock_getcpuclockid(number, &raw mut clock) };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code))
            .with_context(|| format!("process {pid} has no CPU clock"));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a time that outlives the call.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("process {pid} has ended"));
    }
    Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
}

/// The most memory that a process has had resident, bytes.
pub(crate) fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.parse::<u64>().ok());
    Ok(kibibytes.context("the kernel does not tell a process's peak memory")? * 1024)
}

/// Whether `tracer` traces `target` by ptrace.
fn is_ptracer(tracer: u32, target: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{target}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    line.and_then(|number| number.trim().parse().ok()) == Some(tracer)
}

/// Perf events and BPF links that a process holds.
fn tracing_descriptors(pid: u32) -> usize {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let names = targets.filter_map(|target| target.into_os_string().into_string().ok());
    names.filter(|name| name == "anon_inode:[perf_event]" || name == "anon_inode:bpf_link").count()
}

/// No further descriptor within this: all are there.
const STILL: Duration = Duration::from_millis(200);

/// Waits until a tool holds what it traces by.
pub(crate) fn wait_until_it_holds(tool: &mut Owned, target: u32) -> anyhow::Result<()> {
    let (began, mut since, mut held) = (Instant::now(), Instant::now(), 0);
    while began.elapsed() < PATIENCE {
        if tool.has_ended() {
            bail!("it ended at once");
        }
        let now = tracing_descriptors(tool.pid());
        if now != held {
            (since, held) = (Instant::now(), now);
        }
        if (held > 0 || is_ptracer(tool.pid(), target)) && since.elapsed() > STILL {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("it traces nothing after {} s", PATIENCE.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_have_ended_count() {
        let time = CpuTime::start(std::process::id()).unwrap();
        let of_thread = std::thread::spawn(|| {
            let clock = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            while clock().tv_nsec < 20_000_000 {}
        });
        of_thread.join().unwrap();
        assert!(time.elapsed().unwrap() >= Duration::from_millis(20));
    }

    #[test]
    fn time_that_goes_back_is_an_error() {
        let time = CpuTime { pid: std::process::id(), at_start: Duration::from_secs(1 << 40) };
        assert!(time.elapsed().unwrap_err().to_string().contains("went back"));
    }

    #[test]
    fn a_process_that_is_gone_has_no_time() {
        let mut gone = Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        assert!(CpuTime::start(gone.id()).is_err());
    }
}
