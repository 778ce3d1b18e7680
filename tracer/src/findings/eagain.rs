//! Calls that find nothing to do and say EAGAIN, again and again: polling by trial.
//!
//! One such call after each useful one is how a non-blocking descriptor is emptied (epoll(7), edge-triggered), and is not told.
//! Other errors are not counted. Not told either where several processes were traced and it is not plain whose calls they were.

use super::{AppliesTo, Figure, Finding, Saving};
use crate::model::{
    evidence::Evidence,
    snapshot::{CallStatistics, Snapshot},
};

/// So many failed calls for each useful one are a storm.
const STORM: u64 = 4;

const CALLS: [&str; 21] = [
    "read", "readv", "pread64", "preadv", "preadv2", "recvfrom", "recvmsg", "recvmmsg", "write", "writev",
    "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg", "sendfile", "splice", "vmsplice",
    "accept", "accept4",
];

pub(super) fn find(snapshot: &Snapshot) -> Vec<Finding> {
    let Some(pid) = owner(snapshot) else { return Vec::new() };
    snapshot.calls.iter().filter_map(|call| of_call(call, pid)).collect()
}

/// The process whose calls failed: the only one, or that with nine tenths of what failed on descriptors.
fn owner(snapshot: &Snapshot) -> Option<u32> {
    if let [process] = snapshot.processes.as_slice() {
        return Some(process.pid);
    }
    let all = snapshot.descriptor_summary.all.errors;
    let errors_of = |pid: u32| {
        let its = snapshot.descriptors.iter().filter(|descriptor| descriptor.pid == pid);
        its.map(|descriptor| descriptor.errors).fold(0, u64::saturating_add)
    };
    let worst = snapshot.processes.iter().map(|process| (errors_of(process.pid), process.pid)).max()?;
    (all > 0 && worst.0 >= all - all / 10).then_some(worst.1)
}

fn of_call(call: &CallStatistics, pid: u32) -> Option<Finding> {
    let name = call.name.strip_suffix(":32").unwrap_or(&call.name);
    // A name of the table, which the target does not choose, so that it may stand in a text.
    let name = CALLS.iter().find(|known| **known == name)?;
    let again =
        call.errors_by_name.iter().filter(|error| error.name == "EAGAIN" || error.name == "EWOULDBLOCK");
    let again = again.map(|error| error.count).fold(0, u64::saturating_add);
    let useful = call.count.saturating_sub(call.errors).saturating_sub(call.unfinished);
    if again < useful.saturating_mul(STORM).max(1) {
        return None;
    }
    Some(Finding {
        rule: "eagain-storm".to_owned(),
        title: format!("most calls of {name} find nothing to do (EAGAIN)"),
        advice: "Wait until there is something, with epoll_wait(2) or poll(2), or let the call block; io_uring waits by itself."
            .to_owned(),
        applies_to: AppliesTo { pid, method: None, source: None, sink: None },
        figures: vec![
            Figure::new("calls that failed with EAGAIN", again, "calls", Evidence::Measured),
            Figure::new("calls that did something", useful, "calls", Evidence::Measured),
        ],
        // For each useful call, one that waits takes the place of those that failed.
        saving: Saving::new(0, again.saturating_sub(useful).saturating_mul(2)),
        also: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::{Descriptor, DescriptorSummary, DescriptorUse, ErrorCount, Process};

    fn call(name: &str, again: u64, useful: u64) -> CallStatistics {
        let errors_by_name = vec![
            ErrorCount { name: "EAGAIN".to_owned(), count: again },
            ErrorCount { name: "EINTR".to_owned(), count: 5 },
        ];
        CallStatistics {
            name: name.to_owned(),
            count: again + useful + 5,
            errors: again + 5,
            errors_by_name,
            ..CallStatistics::default()
        }
    }

    fn process(pid: u32) -> Process {
        Process { pid, ..Process::default() }
    }

    #[test]
    fn a_storm_is_many_for_each_useful_one() {
        assert_eq!(of_call(&call("recvfrom", 399, 100), 1), None);
        assert_eq!(of_call(&call("recvfrom", 400, 100), 1).unwrap().saving, Saving::new(0, 600));
        assert_eq!(of_call(&call("accept4", 10, 0), 1).unwrap().saving, Saving::new(0, 20));
        assert!(of_call(&call("read:32", 10, 0), 1).is_some());
        assert_eq!(of_call(&call("read", 0, 0), 1), None);
    }

    #[test]
    fn other_errors_and_other_calls_are_none() {
        let mut other = call("read", 400, 1);
        other.errors_by_name.remove(0);
        assert_eq!(of_call(&other, 1), None);
        for name in ["futex", "epoll_wait", "openat", "read2"] {
            assert_eq!(of_call(&call(name, 400, 1), 1), None);
        }
    }

    #[test]
    fn whose_calls_they_were() {
        let mut snapshot = Snapshot {
            calls: vec![call("read", 400, 1)],
            processes: vec![process(7)],
            ..Snapshot::default()
        };
        assert_eq!(find(&snapshot)[0].applies_to.pid, 7);
        snapshot.processes.push(process(8));
        assert_eq!(find(&snapshot), [], "either may have made them");
        let descriptors = crate::export::samples::busy().snapshot.descriptors;
        let mut failing = Descriptor { pid: 8, errors: 360, ..descriptors[0].clone() };
        let all = DescriptorUse { errors: 400, ..DescriptorUse::default() };
        snapshot.descriptor_summary = DescriptorSummary { all, ..DescriptorSummary::default() };
        snapshot.descriptors = vec![failing.clone()];
        assert_eq!(find(&snapshot)[0].applies_to.pid, 8);
        failing.errors = 359;
        snapshot.descriptors = vec![failing];
        assert_eq!(find(&snapshot), []);
    }
}
