//! What became of one kernel: what its guests said, together, and what was wrong with them.

use std::time::Duration;
use std::{fs, io, path::Path};

use xtask::progress::{self, Outcome};

use super::boot::Fate;
use super::kernels::Kernel;
use super::machine::Machine;
use super::report::Report;
use super::times::Times;

/// How many of the scenarios that took longest are named.
const SLOWEST: usize = 3;

/// What became of one kernel.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// What was said.
    pub(super) report: Report,
    /// What went wrong beside scenarios that failed, as sentences.
    pub(super) problems: Vec<String>,
    slowest: Vec<(String, Duration)>,
}

impl Examined {
    /// One guest's.
    pub(super) fn new(
        kernel: &Kernel,
        machine: &Machine,
        fate: &Fate,
        report: Report,
        times: &Times,
    ) -> Self {
        let (console, results) = (machine.console.display(), machine.results.display());
        let mut problems = Vec::new();
        if *fate != Fate::Done {
            problems.push(format!(
                "{kernel}: {}; its console is {console}, what it said {results}",
                fate.describe()
            ));
        }
        for lack in &report.lacks {
            problems.push(format!("{kernel}: the guest cannot {lack}; see {console}"));
        }
        for (form, outcome) in report.verdicts() {
            if outcome == Outcome::Failed {
                problems.push(format!(
                    "{kernel}: `zc-trace doctor --form {form}` finds no way to trace; see {results}"
                ));
            }
        }
        for line in complaints(&machine.console) {
            problems.push(format!("{kernel}: the kernel complains: {line}; see {console}"));
        }
        Self { report, problems, slowest: times.slowest(SLOWEST) }
    }

    /// Takes in what another guest with the same kernel did.
    pub(super) fn join(&mut self, other: Self) {
        self.report.join(other.report);
        self.problems.extend(other.problems);
        self.slowest.extend(other.slowest);
        self.slowest.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        self.slowest.truncate(SLOWEST);
    }

    /// Notes what of these runs no guest ran. To be asked when all have been joined.
    pub(super) fn miss(&mut self, kernel: &Kernel, runs: &[&str]) {
        let gaps = self.report.gaps(runs).into_iter();
        self.problems.extend(gaps.map(|gap| format!("{kernel}: {gap}")));
    }

    /// Whether nothing went wrong.
    pub(super) fn holds(&self) -> bool {
        self.problems.is_empty() && self.report.runs.iter().all(|run| run.code == Some(0))
    }

    /// For the line that ends the step.
    pub(super) fn summary(&self) -> String {
        let slowest: Vec<_> =
            self.slowest.iter().map(|(name, time)| format!("{name} {}", progress::seconds(*time))).collect();
        format!("{} scenarios, the longest {}", self.report.tests_done(), slowest.join(", "))
    }
}

/// What a kernel says when something is wrong inside it, each once.
fn complaints(console: &Path) -> Vec<String> {
    let text = fs::read(console).unwrap_or_else(|_: io::Error| Vec::new());
    let text = String::from_utf8_lossy(&text);
    let mut found: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| line.contains("WARNING: CPU") || line.contains("BUG: ")) {
        let line = line.split_once("] ").map_or(line, |(_, line)| line).trim().to_owned();
        if !found.contains(&line) {
            found.push(line);
        }
    }
    found
}
