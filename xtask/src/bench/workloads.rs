//! What is traced: each workload is one line, and a way to do one lap of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use xtask::{capture, environment};

use super::process::{CpuTime, Owned, pin};

/// How a workload is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One-byte reads of /dev/zero.
    Reads,
    /// Reads while another process, which sleeps, is traced.
    Untraced,
    /// 64 KiB at a time from a file to a loopback socket.
    Relay,
    /// nginx under wrk.
    Server,
    /// `cc -O2`.
    Compiler,
}

/// One workload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// As the command line and the table call it.
    pub(crate) name: &'static str,
    /// In one sentence.
    pub(crate) what: &'static str,
    /// The programs that it needs, and the Debian packages that bring them.
    pub(crate) needs: &'static [(&'static str, &'static str)],
    /// Whether the work is done by children of the process that is traced.
    pub(crate) has_children: bool,
    kind: Kind,
}

/// In the order of the tables.
pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "reads",
        what: "one-byte reads of /dev/zero in a loop",
        needs: &[],
        has_children: false,
        kind: Kind::Reads,
    },
    Workload {
        name: "untraced",
        what: "the same reads, in a process that is not traced, while another one is",
        needs: &[],
        has_children: false,
        kind: Kind::Untraced,
    },
    Workload {
        name: "relay",
        what: "a file of 64 MiB over loopback TCP, read and written 64 KiB at a time",
        needs: &[],
        has_children: false,
        kind: Kind::Relay,
    },
    Workload {
        name: "server",
        what: "nginx (one worker, sendfile) serves a file of 16 KiB to wrk (16 connections)",
        needs: &[("nginx", "nginx-light"), ("wrk", "wrk")],
        has_children: false,
        kind: Kind::Server,
    },
    Workload {
        name: "compiler",
        what: "cc -O2 of a generated C file, with the children that cc makes",
        needs: &[("cc", "gcc")],
        has_children: true,
        kind: Kind::Compiler,
    },
];

/// What one lap took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lap {
    /// From beginning to end, ns.
    pub(crate) wall_ns: u64,
    /// Of the process that is measured (of its children, where these do the work), ns.
    pub(crate) cpu_ns: u64,
    /// What was done meanwhile: calls, chunks, answers, compilations.
    pub(crate) operations: u64,
}

/// A workload that stands ready for laps. It ends with this value.
pub(crate) struct Standing {
    /// What does the laps.
    worker: Worker,
    /// The process to trace.
    pub(crate) target: u32,
    /// The process, or that which started it.
    _process: Owned,
    /// What stands beside it and does nothing.
    _beside: Option<Box<Standing>>,
}

enum Worker {
    Lap { ask: ChildStdin, answers: BufReader<ChildStdout> },
    Server { worker: u32, address: String },
}

impl Workload {
    /// Starts it; its files go to `folder`, which outlives it. `lap` is the workload of that name.
    pub(crate) fn start(&self, folder: &Path, lap: &Path) -> anyhow::Result<Standing> {
        match self.kind {
            Kind::Reads => standing(lap, &["reads".into()]),
            Kind::Relay => standing(lap, &["relay".into(), content(folder, 64 << 20)?.into_os_string()]),
            Kind::Compiler => {
                let source = folder.join("generated.c");
                fs::write(&source, c_source(FUNCTIONS))?;
                let arguments = ["command", "cc", "-O2", "-c", "-o", "/dev/null"];
                let mut arguments: Vec<_> = arguments.iter().map(Into::into).collect();
                arguments.push(source.into_os_string());
                standing(lap, &arguments)
            }
            Kind::Untraced => {
                let other = standing(lap, &["reads".into()])?;
                let measured = standing(lap, &["reads".into()])?;
                Ok(Standing { target: other.target, _beside: Some(Box::new(other)), ..measured })
            }
            Kind::Server => serve(folder),
        }
    }
}

/// Starts the program `lap` on the last CPU.
fn standing(lap: &Path, arguments: &[std::ffi::OsString]) -> anyhow::Result<Standing> {
    let mut command = Command::new(lap);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Owned::spawn(&mut command)?;
    pin(child.pid())?;
    let (stdin, stdout) = child.pipes().context("a workload has no pipes")?;
    let mut answers = BufReader::new(stdout);
    let mut line = String::new();
    answers.read_line(&mut line)?;
    if line.trim_end() != "ready" {
        bail!("the workload {} did not start", lap.display());
    }
    Ok(Standing {
        target: child.pid(),
        worker: Worker::Lap { ask: stdin, answers },
        _process: child,
        _beside: None,
    })
}

impl Standing {
    /// Does one lap.
    pub(crate) fn lap(&mut self) -> anyhow::Result<Lap> {
        match &mut self.worker {
            Worker::Lap { ask, answers } => {
                writeln!(ask, "go").context("the workload has ended")?;
                let mut line = String::new();
                answers.read_line(&mut line)?;
                let numbers: Option<Vec<u64>> =
                    line.split_whitespace().map(|word| word.parse().ok()).collect();
                match numbers.as_deref() {
                    Some(&[wall_ns, cpu_ns, operations]) => Ok(Lap { wall_ns, cpu_ns, operations }),
                    _ => bail!("the workload says {line:?} instead of what its lap took"),
                }
            }
            Worker::Server { worker, address } => load(*worker, address),
        }
    }
}

fn content(folder: &Path, bytes: usize) -> anyhow::Result<PathBuf> {
    let path = folder.join(format!("content-{bytes}"));
    let pattern: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    fs::write(&path, pattern).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Makes `cc -O2` take some 300 ms.
const FUNCTIONS: usize = 40;

fn c_source(functions: usize) -> String {
    let function = |number: usize| {
        format!(
            "double f{number}(double *a, int n) {{ double s = {number};\n  for (int i = 0; i < n; i++) {{ s += a[i] * \
             a[(i * {}) % n]; if (s > 1e9) s /= 3; }}\n  return s; }}\n",
            number + 3
        )
    };
    (0..functions).map(function).collect()
}

fn serve(folder: &Path) -> anyhow::Result<Standing> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let file = content(folder, 16 << 10)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let configuration = folder.join("nginx.conf");
    let here = folder.display();
    fs::write(
        &configuration,
        format!(
            "user root; daemon off; worker_processes 1; pid {here}/nginx.pid; error_log {here}/nginx.log;\n\
             events {{ worker_connections 256; }}\nhttp {{ access_log off; sendfile on; keepalive_requests 1000000000;\n  \
             client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;\n  \
             uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;\n  \
             server {{ listen 127.0.0.1:{port}; root {here}; }} }}\n"
        ),
    )?;
    let nginx = environment::find_program("nginx").context("there is no nginx")?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(folder).arg("-c").arg(&configuration).stdin(Stdio::null()).stderr(Stdio::null());
    let master = Owned::spawn(&mut command)?.ended_politely();
    let worker = worker_of(master.pid())?;
    pin(worker)?;
    let address = format!("http://127.0.0.1:{port}/{name}");
    Ok(Standing {
        worker: Worker::Server { worker, address },
        target: worker,
        _process: master,
        _beside: None,
    })
}

/// The first child of a process, as soon as it has one.
fn worker_of(master: u32) -> anyhow::Result<u32> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(10) {
        let children =
            fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        if let Some(child) = children.split_whitespace().next() {
            // It is about to become a worker: give it the time to open its sockets.
            std::thread::sleep(Duration::from_millis(200));
            return child.parse().context("a child's number is none");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("nginx has started no worker within 10 s")
}

/// One second of requests.
fn load(worker: u32, address: &str) -> anyhow::Result<Lap> {
    let time = CpuTime::start(worker)?;
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c16", "-d1s", address]);
    let began = Instant::now();
    let captured = capture::run(wrk)?;
    let (wall, cpu) = (began.elapsed(), time.elapsed()?);
    let requests = answered(&captured.text).with_context(|| format!("wrk says: {}", captured.tail(3)))?;
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Ok(Lap { wall_ns: nanos(wall), cpu_ns: nanos(cpu), operations: requests })
}

/// How many requests were answered, all of them well.
fn answered(said: &str) -> Option<u64> {
    if said.contains("Non-2xx") {
        return None;
    }
    let line = said.lines().find_map(|line| line.trim().split_once(" requests in "))?;
    line.0.parse().ok().filter(|requests| *requests > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_read() {
        let said =
            "Running 1s test\n  2 threads\n  34567 requests in 1.00s, 540.12MB read\nRequests/sec: 34500\n";
        assert_eq!(answered(said), Some(34567));
        assert_eq!(answered("  5 requests in 1.00s\n  Non-2xx or 3xx responses: 5\n"), None);
        assert_eq!(answered("unable to connect"), None);
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = WORKLOADS.iter().map(|workload| workload.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), WORKLOADS.len());
    }
}
