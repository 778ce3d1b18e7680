//! From the command line to what is to be done: checked, with one clear sentence for what cannot be.

use std::{
    ffi::OsString,
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    cli::{Colors, TraceArgs},
    error::{Failure, Fatal},
    filter::{Filter, FilterError},
    probe::{Detail, Latency, Source},
    size,
};

/// What to trace.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// Processes that run already.
    Processes(Vec<u32>),
    /// A command to start.
    Command(Vec<OsString>),
}

/// How the dashboard looks, where the terminal does not decide.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Looks {
    /// Colours.
    pub colors: Colors,
    /// Whether to draw with ASCII characters only.
    pub ascii: bool,
    /// Between pictures.
    pub interval: Duration,
}

/// A trace to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What to trace.
    pub subject: Subject,
    /// Children too.
    pub follow: bool,
    /// For how long at most.
    pub duration: Option<Duration>,
    /// Between live lines; `None` for no lines.
    pub interval: Option<Duration>,
    /// Where the document goes.
    pub json: Option<PathBuf>,
    /// Where the lines go.
    pub ndjson: Option<PathBuf>,
    /// What the report shows and the lines tell.
    pub filter: Filter,
    /// No report.
    pub quiet: bool,
    /// The dashboard, if there is to be one, and how it looks.
    pub dashboard: Option<Looks>,
    /// Ring buffer, bytes.
    pub ring_bytes: u32,
    /// Diagnostics of the kernel programs.
    pub debug_ebpf: bool,
    /// Which calls are told one by one.
    pub detail: Detail,
    /// Which calls are timed.
    pub latency: Latency,
    /// What to know the kernel by.
    pub source: Source,
}

impl Plan {
    /// Checks what was asked for.
    ///
    /// # Errors
    /// A usage error that says what to change.
    pub fn new(args: TraceArgs) -> Result<Self, Fatal> {
        let subject = subject(args.pids, args.command)?;
        // A command's own output is not interrupted unless that is asked for.
        let running = matches!(subject, Subject::Processes(_));
        let default_interval = running.then_some(1.0);
        let given_interval = interval(args.interval, false)?;
        // A line for each operation is what was asked for.
        let every = if args.ndjson.is_some() { Detail::All } else { Detail::Auto };
        let detail = if args.summary { Detail::Summed } else { args.detail.unwrap_or(every) };
        let wants_text =
            args.summary || args.lines || args.quiet || [&args.json, &args.ndjson].into_iter().any(is_stdout);
        let dashboard = (running && !wants_text && on_terminal()).then(|| Looks {
            colors: args.colors,
            ascii: args.ascii,
            interval: given_interval.unwrap_or(REFRESH),
        });
        check_outputs(args.json.as_ref(), args.ndjson.as_ref())?;
        Ok(Self {
            subject,
            follow: args.follow,
            duration: args.duration.map(|seconds| positive("--duration", seconds)).transpose()?,
            interval: interval(args.interval.or(default_interval), args.quiet)?
                .filter(|_| dashboard.is_none()),
            json: args.json,
            ndjson: args.ndjson,
            filter: filter(args.filter.as_deref())?,
            quiet: args.quiet,
            dashboard,
            ring_bytes: ring_bytes(&args.ring_size)?,
            debug_ebpf: args.debug_ebpf,
            detail,
            latency: if args.summary { Latency::None } else { args.latency },
            source: args.kernel.source(),
        })
    }
}

impl Plan {
    /// A command traced for its numbers only: nothing is shown or written.
    pub fn quiet_command(command: Vec<OsString>, source: Source) -> Self {
        Self {
            subject: Subject::Command(command),
            follow: false,
            duration: None,
            interval: None,
            json: None,
            ndjson: None,
            filter: Filter::default(),
            quiet: true,
            dashboard: None,
            ring_bytes: DEFAULT_RING_BYTES,
            debug_ebpf: false,
            detail: Detail::All,
            latency: Latency::Auto,
            source,
        }
    }
}

/// What `--ring-size` says when it is not given.
const DEFAULT_RING_BYTES: u32 = 4 << 20;

/// Between pictures of the dashboard, where nothing else is asked for.
const REFRESH: Duration = Duration::from_millis(100);

fn is_stdout(path: &Option<PathBuf>) -> bool {
    path.as_deref() == Some(Path::new("-"))
}

/// Whether there is somebody who sees, and keys to press, on a terminal that can do more than a typewriter.
fn on_terminal() -> bool {
    let able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    able && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

fn usage(what: impl Into<String>, hint: impl Into<String>) -> Fatal {
    Fatal::new(Failure::Usage, what, hint)
}

fn subject(pids: Vec<u32>, command: Vec<OsString>) -> Result<Subject, Fatal> {
    match (pids.is_empty(), command.is_empty()) {
        (false, true) => Ok(Subject::Processes(distinct(pids))),
        (true, false) => Ok(Subject::Command(command)),
        (false, false) => Err(usage(
            "-p PID and a command were both given, and only one of them can be traced",
            "leave one out; to trace a command's children too, use -f",
        )),
        (true, true) => Err(usage(
            "nothing to trace was given",
            "zc-trace -p PID traces a running process, zc-trace -- COMMAND starts one; --help has examples",
        )),
    }
}

fn distinct(pids: Vec<u32>) -> Vec<u32> {
    let mut seen = Vec::new();
    for pid in pids {
        if !seen.contains(&pid) {
            seen.push(pid);
        }
    }
    seen
}

fn positive(option: &str, seconds: f64) -> Result<Duration, Fatal> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(usage(
            format!("{option} {seconds} is not a length of time"),
            "give seconds above 0, such as 10 or 0.5",
        )),
    }
}

fn interval(seconds: Option<f64>, quiet: bool) -> Result<Option<Duration>, Fatal> {
    let interval = seconds.map(|seconds| positive("--interval", seconds)).transpose()?;
    Ok(interval.filter(|_| !quiet))
}

fn filter(text: Option<&str>) -> Result<Filter, Fatal> {
    let told = |FilterError { position, what, hint }| {
        usage(format!("--filter: {what} (at character {position})"), hint)
    };
    Filter::parse(text.unwrap_or_default()).map_err(told)
}

fn check_outputs(json: Option<&PathBuf>, ndjson: Option<&PathBuf>) -> Result<(), Fatal> {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    if json.is_some() && json.map(absolute) == ndjson.map(absolute) {
        return Err(usage(
            "--json and --ndjson name the same file, and each would overwrite the other",
            "give them different names",
        ));
    }
    Ok(())
}

/// Smallest ring buffer: a page (kernel/bpf/ringbuf.c, `ringbuf_map_alloc`), but a page holds too few records to be of
/// use. Largest: 1 GiB.
const RING_RANGE: std::ops::RangeInclusive<u64> = 16 << 10..=1 << 30;

fn ring_bytes(text: &str) -> Result<u32, Fatal> {
    let bytes = size("--ring-size", text)?;
    let hint = "give a power of two between 16K and 1G, such as 4M";
    if !bytes.is_power_of_two() || !RING_RANGE.contains(&bytes) {
        let text = crate::view::format::escape(text);
        return Err(usage(format!("--ring-size {text} is not a size that a ring buffer can have"), hint));
    }
    u32::try_from(bytes).map_err(|_| usage(format!("--ring-size {text} is too large"), hint))
}

/// Reads a size: bytes, or with a suffix K, M, G (powers of 1024).
///
/// # Errors
/// A usage error if it is none, or zero.
pub fn size(option: &str, text: &str) -> Result<u64, Fatal> {
    size::read(text).ok_or_else(|| {
        let shown = crate::view::format::escape(text);
        let hint = "give bytes above 0, or a number with K, M or G, such as 64K";
        usage(format!("{option} {shown} is not a size"), hint)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn plan(args: &[&str]) -> Result<Plan, Fatal> {
        let all = std::iter::once("zc-trace").chain(args.iter().copied());
        Plan::new(Cli::try_parse_from(all).unwrap().trace)
    }

    #[test]
    fn a_process_and_a_command_exclude_each_other() {
        let error = plan(&["-p", "1", "--", "true"]).unwrap_err();
        assert_eq!(error.failure, Failure::Usage);
        assert_eq!(plan(&[]).unwrap_err().failure, Failure::Usage);
    }

    #[test]
    fn repeated_pids_are_traced_once() {
        let plan = plan(&["-p", "7", "-p", "9", "-p", "7"]).unwrap();
        assert_eq!(plan.subject, Subject::Processes(vec![7, 9]));
        assert_eq!(plan.interval, Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_command_keeps_its_options_and_has_no_live_lines() {
        let plan = plan(&["-d", "0.5", "--", "ls", "-p", "-d"]).unwrap();
        assert_eq!(plan.subject, Subject::Command(vec!["ls".into(), "-p".into(), "-d".into()]));
        assert_eq!((plan.duration, plan.interval), (Some(Duration::from_millis(500)), None));
    }

    #[test]
    fn filters_are_checked() {
        let error = plan(&["--filter", "bytes>=lots", "-p", "1"]).unwrap_err();
        assert_eq!(error.failure, Failure::Usage);
        assert_eq!(error.what, "--filter: bytes>=lots is not a size (at character 8)");
        assert!(plan(&["-p", "1"]).unwrap().filter.is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            ["-d", "0"],
            ["-d", "nan"],
            ["-d", "inf"],
            ["-i", "1e300"],
            ["--ring-size", "5M"],
            ["--ring-size", "4K"],
            ["--ring-size", "x"],
            ["--ring-size", "99999999999G"],
        ] {
            assert_eq!(
                plan(&[&args[..], &["-p", "1"]].concat()).unwrap_err().failure,
                Failure::Usage,
                "{args:?}"
            );
        }
    }
}
