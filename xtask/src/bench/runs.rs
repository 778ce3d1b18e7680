//! One tool's runs: starting it, a lap under it, and what it says and costs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use super::Found;
use super::process::{CpuTime, Owned, peak_memory, wait_until_it_holds};
use super::ratios::{Spread, is_noise, ratio};
use super::tools::Ready;
use super::workloads::{Lap, Standing};

/// How long after its last operation what a tool does is still on account of the lap.
const SETTLE: Duration = Duration::from_millis(30);
/// A tool that is not at work by then has failed.
const START: Duration = Duration::from_secs(20);

/// The runs of one workload under one tool.
#[derive(Debug)]
pub(crate) struct Series {
    found: Found,
    runs: Vec<Run>,
    failure: Option<String>,
}

#[derive(Debug)]
struct Run {
    cpu_ratio: f64,
    wall_ratio: f64,
    /// CPU time of an operation in the untraced run that followed, ns.
    untraced_ns: f64,
    cost: Cost,
}

/// What a tool took for itself during a lap, and what it lost.
#[derive(Debug)]
struct Cost {
    /// CPU time of the tool, as a share of the target's.
    cpu_share: f64,
    memory_bytes: u64,
    /// From its start until it said that it is at work.
    start: Option<Duration>,
    account: Option<Account>,
}

/// What zc-trace's document says of losses.
#[derive(Debug, Default)]
struct Account {
    operations: u64,
    losses: BTreeMap<String, u64>,
}

impl Series {
    /// No run yet.
    pub(crate) fn of(found: Found) -> Self {
        Self { found, runs: Vec::new(), failure: None }
    }

    /// The tool.
    pub(crate) fn name(&self) -> &'static str {
        self.found.tool.name
    }

    /// Whether it was measured at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Why it was left out from then on.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// One traced lap, and the untraced one that follows; `before` is the one that precedes. A tool that cannot be used is
    /// no error: it is left out from then on.
    pub(crate) fn run(
        &mut self,
        standing: &mut Standing,
        before: &mut Lap,
        follow: bool,
        folder: &Path,
    ) -> anyhow::Result<()> {
        match self.traced(standing, follow, folder) {
            Ok((lap, cost)) => {
                let after = standing.lap()?;
                let compare = |time: fn(&Lap) -> u64| {
                    ratio(per_operation(before, time), per_operation(&lap, time), per_operation(&after, time))
                };
                self.runs.push(Run {
                    untraced_ns: per_operation(&after, |lap| lap.cpu_ns),
                    cpu_ratio: compare(|lap| lap.cpu_ns),
                    wall_ratio: compare(|lap| lap.wall_ns),
                    cost,
                });
                *before = after;
            }
            Err(error) => self.failure = Some(format!("{error:#}")),
        }
        Ok(())
    }

    fn traced(&self, standing: &mut Standing, follow: bool, folder: &Path) -> anyhow::Result<(Lap, Cost)> {
        let document = folder.join("document.json");
        let _ = fs::remove_file(&document);
        let said = folder.join("said");
        let mut command = Command::new(&self.found.path);
        command.args(self.found.tool.arguments(standing.target, &document, &self.found.floor, follow));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said)?);
        let began = Instant::now();
        let mut tool = Owned::spawn(&mut command)?;
        let start = match self.found.tool.ready {
            Ready::Says(line) => Some(wait_for_line(&mut tool, &said, line, began)?),
            Ready::Holds => {
                wait_until_it_holds(&mut tool, standing.target).with_context(|| last_words(&said))?;
                None
            }
        };
        std::thread::sleep(SETTLE);
        let own_time = CpuTime::start(tool.pid())?;
        let lap = standing.lap()?;
        std::thread::sleep(SETTLE);
        let cpu = own_time.elapsed()?;
        if tool.has_ended() {
            bail!("it ended during the lap: {}", last_words(&said));
        }
        let memory_bytes = peak_memory(tool.pid())?;
        // A peer that does not heed the signal is killed; zc-trace is to write its document.
        if !tool.end_by(Signal::INT) && self.found.tool.ready != Ready::Holds {
            bail!("it did not end after SIGINT");
        }
        let account = document.is_file().then(|| read_account(&document)).transpose()?;
        let cpu_share = cpu.as_nanos() as f64 / lap.cpu_ns as f64;
        Ok((lap, Cost { cpu_share, memory_bytes, start, account }))
    }

    /// CPU time per operation, untraced = 1.
    pub(crate) fn cpu(&self) -> Option<Spread> {
        Spread::of(self.runs.iter().map(|run| run.cpu_ratio))
    }

    /// Wall time per operation, untraced = 1.
    pub(crate) fn wall(&self) -> Option<Spread> {
        Spread::of(self.runs.iter().map(|run| run.wall_ratio))
    }

    /// Whether the CPU time cannot be told from that of untraced runs; nothing with few pairs.
    pub(crate) fn is_noise(&self) -> Option<bool> {
        is_noise(self.runs.iter().map(|run| run.cpu_ratio))
    }

    /// CPU time of each operation in the untraced runs, ns.
    pub(crate) fn untraced_ns(&self) -> impl Iterator<Item = f64> {
        self.runs.iter().map(|run| run.untraced_ns)
    }

    /// CPU time of the tool as a share of the target's.
    pub(crate) fn cpu_share(&self) -> Option<Spread> {
        Spread::of(self.runs.iter().map(|run| run.cost.cpu_share))
    }

    /// Peak resident memory of the tool, bytes: the largest of all runs.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        self.runs.iter().map(|run| run.cost.memory_bytes).max()
    }

    /// Seconds until it was at work, of tools that say so.
    pub(crate) fn start(&self) -> Option<Spread> {
        Spread::of(self.runs.iter().filter_map(|run| Some(run.cost.start?.as_secs_f64())))
    }

    /// What was lost in all runs together, in words; nothing of a tool that does not say.
    pub(crate) fn losses(&self) -> Option<String> {
        let mut sum = Account::default();
        for account in self.runs.iter().filter_map(|run| run.cost.account.as_ref()) {
            sum.operations += account.operations;
            for (name, count) in &account.losses {
                *sum.losses.entry(name.clone()).or_default() += count;
            }
        }
        (sum.operations > 0).then(|| in_words(&sum))
    }
}

fn per_operation(lap: &Lap, time: impl Fn(&Lap) -> u64) -> f64 {
    time(lap) as f64 / lap.operations as f64
}

fn in_words(account: &Account) -> String {
    let mut words = Vec::new();
    for (name, count) in account.losses.iter().filter(|(_, count)| **count > 0) {
        let name = name.replace('_', " ");
        words.push(match name.as_str() {
            "folded operations" => {
                format!("{:.1} % of operations folded", *count as f64 / account.operations as f64 * 100.0)
            }
            name => format!("{count} {name}"),
        });
    }
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn read_account(document: &Path) -> anyhow::Result<Account> {
    let text = fs::read(document)?;
    let json: serde_json::Value = serde_json::from_slice(&text).context("zc-trace's document is no JSON")?;
    let operations = json.pointer("/totals/operations").and_then(serde_json::Value::as_u64);
    let losses = json
        .pointer("/totals/losses")
        .and_then(serde_json::Value::as_object)
        .context("it tells no losses")?;
    Ok(Account {
        operations: operations.context("zc-trace's document tells no operations")?,
        losses: losses.iter().filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect(),
    })
}

fn wait_for_line(tool: &mut Owned, said: &Path, start: &str, began: Instant) -> anyhow::Result<Duration> {
    while began.elapsed() < START {
        let text = fs::read_to_string(said).unwrap_or_default();
        if text.lines().any(|line| line.starts_with(start)) {
            return Ok(began.elapsed());
        }
        if tool.has_ended() {
            bail!("it ended at once: {}", last_words(said));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("it is not at work after {} s", START.as_secs())
}

/// The first line of what a tool has said on standard error.
fn last_words(said: &Path) -> String {
    let text = fs::read_to_string(said).unwrap_or_default();
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}

/// A folder for the files of the workloads; it goes when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new one, below the system's folder for such.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("zc-trace-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where tracefs is mounted, or belongs.
const TRACEFS: &str = "/sys/kernel/tracing";

/// A mount of ours; it goes when this is dropped.
pub(crate) struct Mount(bool);

/// Peers look up tracepoints in tracefs, which Debian mounts and a bare machine does not.
pub(crate) fn mount_tracefs() -> anyhow::Result<Mount> {
    if Path::new(TRACEFS).join("events").is_dir() {
        return Ok(Mount(false));
    }
    let status = Command::new("mount").args(["-t", "tracefs", "tracefs", TRACEFS]).status();
    Ok(Mount(status.context("cannot start mount")?.success()))
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.0 {
            let _ = Command::new("umount").arg(TRACEFS).status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_by_name() {
        let losses = [("folded_operations", 25), ("lost_events", 3), ("untraced_threads", 0)];
        let losses = losses.map(|(name, count)| (name.to_owned(), count)).into();
        let text = in_words(&Account { operations: 1000, losses });
        assert_eq!(text, "2.5 % of operations folded, 3 lost events");
        assert_eq!(in_words(&Account { operations: 1, losses: BTreeMap::new() }), "none");
    }

    #[test]
    fn a_lap_is_compared_by_operation() {
        let lap = Lap { wall_ns: 300, cpu_ns: 200, operations: 10 };
        assert!((per_operation(&lap, |lap| lap.cpu_ns) - 20.0).abs() < 1e-12);
    }
}
