//! What wastes copies and transitions, and what would save them: a pure function of a snapshot.
//!
//! One rule is one file, and one line in [`RULES`]. A rule says what it sees; whether that is worth a word is decided here
//! for all of them. No text of a finding holds a name that the target chose: those are in [`AppliesTo`].

pub(crate) mod alike;
mod eagain;
mod overlap;
mod page_faults;
mod relay;
mod small_calls;
mod zero_copy;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    evidence::Evidence,
    snapshot::{Flow, FlowEnd, Snapshot},
};

/// All rules.
const RULES: [fn(&Snapshot) -> Vec<Finding>; 5] =
    [relay::find, small_calls::find, page_faults::find, zero_copy::find, eagain::find];

/// A transition counts as much as copying so many bytes when findings are compared. Both take in the order of 100 ns: entering
/// the kernel and leaving it, and copying 1 KiB at 10 GB/s. It orders findings and is in no figure.
const BYTES_PER_TRANSITION: u64 = 1024;
/// What saves less than copying so much does not show in how long a program takes (about half a millisecond).
const LEAST_SAVING_BYTES: u64 = 4 << 20;
/// What saves less than this share of all copies and transitions of the trace is not where the cost is.
const LEAST_SHARE: f64 = 0.01;

/// Something that could cost less.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The rule, such as `read-write-relay`.
    pub rule: String,
    /// In a few words.
    pub title: String,
    /// What to do about it, and on which condition.
    pub advice: String,
    /// What it is about.
    pub applies_to: AppliesTo,
    /// The figures behind it.
    pub figures: Vec<Figure>,
    /// What would be saved.
    pub saving: Saving,
    /// What else is found on the same flows, by rule: it would save part of the same, so that it is no finding by itself.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub also: Vec<String>,
}

/// What a finding is about. Names are as the target chose them: to be escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct AppliesTo {
    /// Process.
    pub pid: u32,
    /// Method of the flow, if it is about one.
    pub method: Option<String>,
    /// Where its bytes come from, or the mapped file. Of several flows with different ends, only the kind is set; the figure
    /// `flows` says how many.
    pub source: Option<FlowEnd>,
    /// Where they go.
    pub sink: Option<FlowEnd>,
}

impl AppliesTo {
    fn flow(flow: &Flow) -> Self {
        Self {
            pid: flow.pid,
            method: Some(flow.method.clone()),
            source: Some(flow.source.clone()),
            sink: Some(flow.sink.clone()),
        }
    }
}

/// One number behind a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Figure {
    /// What it counts.
    pub name: String,
    /// How many; null if not known.
    pub value: Option<u64>,
    /// Of what: `bytes`, `calls`, `transitions`, `faults`, `flows`.
    pub unit: String,
    /// How it is known.
    pub evidence: Evidence,
}

impl Figure {
    fn new(name: &str, value: u64, unit: &str, evidence: Evidence) -> Self {
        Self { name: name.to_owned(), value: Some(value), unit: unit.to_owned(), evidence }
    }
}

/// What following the advice would save.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Saving {
    /// Bytes that the CPU would not copy.
    pub cpu_copied_bytes: u64,
    /// Mode switches that would not be made.
    pub transitions: u64,
    /// Always `modelled`: it did not happen.
    pub evidence: Evidence,
}

impl Saving {
    fn new(cpu_copied_bytes: u64, transitions: u64) -> Self {
        Self { cpu_copied_bytes, transitions, evidence: Evidence::Modelled }
    }

    fn weight(&self) -> u64 {
        weight(self.cpu_copied_bytes, self.transitions)
    }
}

fn weight(copied: u64, transitions: u64) -> u64 {
    copied.saturating_add(transitions.saturating_mul(BYTES_PER_TRANSITION))
}

/// What could cost less, worst first. A program that needs no advice gets none.
pub fn findings(snapshot: &Snapshot) -> Vec<Finding> {
    let transitions = snapshot.totals.transitions;
    let all = transitions.syscall.saturating_add(transitions.exception).saturating_add(transitions.interrupt);
    let total = weight(snapshot.totals.cpu_copied_bytes_at_least, all);
    let mut found = alike::together(overlap::apart(RULES.iter().flat_map(|rule| rule(snapshot)).collect()));
    found.retain(|finding| {
        let saved = finding.saving.weight();
        saved >= LEAST_SAVING_BYTES && saved as f64 >= total as f64 * LEAST_SHARE
    });
    found.sort_by_key(|finding| std::cmp::Reverse(finding.saving.weight()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    #[test]
    fn nothing_is_found_in_nothing() {
        assert_eq!(findings(&Snapshot::default()), []);
        assert_eq!(findings(&samples::empty().snapshot), []);
    }

    #[test]
    fn the_worst_comes_first_and_little_is_not_told() {
        let mut snapshot = samples::busy().snapshot;
        let large = samples::relay_flow();
        let mut small = large.clone();
        small.pid = 7;
        for copy in &mut small.copies {
            copy.bytes = Some(3 << 20);
        }
        let mut little = large.clone();
        little.pid = 8;
        little.transitions = 2;
        for copy in &mut little.copies {
            copy.bytes = Some(1 << 20);
        }
        snapshot.flows = vec![little, small, large];
        snapshot.totals.cpu_copied_bytes_at_least = 0;
        let pids: Vec<u32> = findings(&snapshot).iter().map(|finding| finding.applies_to.pid).collect();
        assert_eq!(pids, [4242, 7]);
        snapshot.totals.cpu_copied_bytes_at_least = u64::MAX;
        assert_eq!(findings(&snapshot), [], "less than its share");
    }

    #[test]
    fn no_name_of_the_target_is_in_a_text() {
        let found = findings(&samples::hostile().snapshot);
        assert!(!found.is_empty());
        for finding in found {
            for text in [&finding.rule, &finding.title, &finding.advice] {
                assert!(!text.contains("文") && !text.chars().any(char::is_control), "{text:?}");
            }
        }
    }
}
