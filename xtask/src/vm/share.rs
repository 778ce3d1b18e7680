//! Several guests side by side, each with a share of the scenarios.
//!
//! An emulated machine is one thread of ours, and its scenarios run one after the other: one guest leaves all other CPUs idle.

use std::fmt;
use std::thread;

use super::guest::Plan;
use super::machine::{self, Accelerator};

/// More do not pay: each boots for itself.
const MOST: u64 = 4;

/// One guest's part of the work: every `of`th scenario, beginning with number `index`. Neighbours take about as long as
/// each other, so the shares do too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// From 0.
    pub(super) index: u64,
    /// How many guests there are; at least 1.
    pub(super) of: u64,
}

impl fmt::Display for Share {
    /// Counted from 1, as people do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "guest{}", self.index + 1)
    }
}

impl Share {
    /// The shares of a plan on this machine: as many as it has CPUs and free memory for.
    pub(super) fn all(plan: &Plan, accelerator: Accelerator) -> Vec<Self> {
        let cpus = thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
        let of = guests(plan, cpus / accelerator.cpus(), free_memory() / machine::MEMORY);
        (0..of).map(|index| Self { index, of }).collect()
    }
}

/// How many guests are worth it.
fn guests(plan: &Plan, by_cpus: u64, by_memory: u64) -> u64 {
    match plan {
        // A few scenarios, most often one.
        Plan::Only(_) => 1,
        Plan::Full | Plan::Quick => by_cpus.min(by_memory).clamp(1, MOST),
    }
}

/// Bytes that a new program can have without swapping: proc_meminfo(5). 0 if unknown.
fn free_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    available(&text).unwrap_or(0)
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_guests_as_the_machine_has_room_for() {
        assert_eq!(guests(&Plan::Full, 2, 9), 2);
        assert_eq!(guests(&Plan::Quick, 2, 1), 1);
        assert_eq!(guests(&Plan::Full, 0, 0), 1);
        assert_eq!(guests(&Plan::Full, 64, 64), MOST);
        assert_eq!(guests(&Plan::Only("relay".to_owned()), 8, 8), 1);
    }

    #[test]
    fn free_memory_is_what_the_kernel_calls_available() {
        let text = "MemTotal:       100 kB\nMemFree:  7 kB\nMemAvailable:         30 kB\n";
        assert_eq!(available(text), Some(30 << 10));
        assert_eq!(available(""), None);
    }
}
