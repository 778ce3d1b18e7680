//! What is measured: each tool, and each mode of zc-trace, is one line.

use std::path::Path;

/// How one knows that a tool is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// A line on standard error begins so.
    Says(&'static str),
    /// It holds tracing descriptors (perf events, BPF links), and no more are coming, or it is the target's ptracer.
    Holds,
}

/// Where the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Built here: in cargo's folder of release builds, under this path.
    Built(&'static str),
    /// In `PATH`; and the Debian package that brings it.
    Packaged(&'static str, &'static str),
}

/// One tool in one mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// As the table calls it.
    pub(crate) name: &'static str,
    /// The program.
    pub(crate) program: Program,
    /// Its arguments; [`PID`], [`DOCUMENT`] and [`FLOOR`] are replaced.
    pub(crate) arguments: &'static [&'static str],
    /// More of them where the work is done by children of the target.
    pub(crate) follow: &'static [&'static str],
    /// When it is at work.
    pub(crate) ready: Ready,
}

/// In arguments: the process to trace.
const PID: &str = "{pid}";
/// In arguments: where a JSON document is to be written.
const DOCUMENT: &str = "{json}";
/// In arguments: the object with programs that do nothing.
const FLOOR: &str = "{floor}";

const fn floor(name: &'static str, arguments: &'static [&'static str]) -> Tool {
    let ready = Ready::Says("floor: attached");
    Tool { name, program: Program::Built("floor"), arguments, follow: &[], ready }
}

const fn own(name: &'static str, arguments: &'static [&'static str]) -> Tool {
    let ready = Ready::Says("zc-trace: attached");
    Tool { name, program: Program::Built("zc-trace"), arguments, follow: &["-f"], ready }
}

const fn peer(
    name: &'static str,
    program: (&'static str, &'static str),
    arguments: &'static [&'static str],
    follow: &'static [&'static str],
) -> Tool {
    Tool { name, program: Program::Packaged(program.0, program.1), arguments, follow, ready: Ready::Holds }
}

const STRACE: (&str, &str) = ("strace", "strace");
const PERF: (&str, &str) = ("perf", "linux-perf");
const BPFTRACE: (&str, &str) = ("bpftrace", "bpftrace");
const SYSCOUNT: (&str, &str) = ("syscount", "libbpf-tools");

/// In the order of the table.
pub(crate) const TOOLS: &[Tool] = &[
    floor("floor: sys_exit", &[FLOOR, "sys_exit"]),
    floor("floor: sys_enter, sys_exit", &[FLOOR, "sys_enter", "sys_exit"]),
    floor("floor: all tracepoints", &[FLOOR]),
    own("zc-trace", &["--json", DOCUMENT, "-p", PID]),
    own("zc-trace --latency none", &["--latency", "none", "--json", DOCUMENT, "-p", PID]),
    own("zc-trace --latency all", &["--latency", "all", "--json", DOCUMENT, "-p", PID]),
    own("zc-trace --detail all", &["--detail", "all", "--json", DOCUMENT, "-p", PID]),
    own("zc-trace --summary", &["--summary", "--json", DOCUMENT, "-p", PID]),
    peer("syscount", SYSCOUNT, &["-d", "600", "-p", PID], &[]),
    peer("syscount -L", SYSCOUNT, &["-d", "600", "-L", "-p", PID], &[]),
    peer("bpftrace count()", BPFTRACE, &["-e", COUNT, PID], &[]),
    peer("strace -c", STRACE, &["-c", "-o", "/dev/null", "-p", PID], &["-f"]),
    peer("strace -f", STRACE, &["-f", "-o", "/dev/null", "-p", PID], &[]),
    peer("perf trace -s", PERF, &["trace", "-s", "-o", "/dev/null", "-p", PID], &[]),
];

/// `$1` is the process.
const COUNT: &str = "tracepoint:raw_syscalls:sys_exit /pid == $1/ { @[args->id] = count(); }";

impl Tool {
    /// What it is called with.
    pub(crate) fn arguments(&self, pid: u32, document: &Path, floor: &Path, follow: bool) -> Vec<String> {
        let more = if follow { self.follow } else { &[] };
        let replaced = |argument: &&'static str| match *argument {
            PID => pid.to_string(),
            DOCUMENT => document.display().to_string(),
            FLOOR => floor.display().to_string(),
            other => other.to_owned(),
        };
        more.iter().chain(self.arguments).map(replaced).collect()
    }

    /// The Debian package that brings it, unless it is built here.
    pub(crate) fn package(&self) -> Option<(&'static str, &'static str)> {
        match self.program {
            Program::Built(_) => None,
            Program::Packaged(program, package) => Some((program, package)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_and_the_document_stand_where_they_belong() {
        let tool = TOOLS.iter().find(|tool| tool.name == "zc-trace").unwrap();
        let arguments = tool.arguments(42, Path::new("/t/d.json"), Path::new("f"), true);
        assert_eq!(arguments, ["-f", "--json", "/t/d.json", "-p", "42"]);
        assert!(!tool.arguments(42, Path::new("d"), Path::new("f"), false).contains(&"-f".to_owned()));
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TOOLS.len());
    }
}
