//! Statistics per system call: exact counts from the kernel's counters, distributions from the stream.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use tracer_common::{call::accounted, request};

use super::{
    errno::{Errors, errno},
    event::{Call, CallKind, CallName, CallTotals, Inside},
    hash::HashMap,
    heat::{Heat, HeatMap},
    method::is_operation,
    snapshot::{CallStatistics, ErrorCount, Latency, RequestStatistics},
};

/// Latencies are told apart to this many decimal digits.
const SIGNIFICANT_DIGITS: u8 = 3;
/// Longer ones count as this: a day, ns. It bounds the memory of a histogram.
const LONGEST_NS: u64 = 24 * 3600 * 1_000_000_000;

/// What the stream told of one call.
#[derive(Debug, Default)]
struct Seen {
    totals: CallTotals,
    latency: Option<Histogram<u64>>,
    longest_ns: u64,
    errors: Errors,
    heat: Option<HeatMap>,
}

/// All calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Whether latencies over time are kept.
    heats: bool,
    seen: HashMap<CallName, Seen>,
    exact: Option<BTreeMap<CallName, CallTotals>>,
    /// Errors that the stream did not tell.
    summed_errors: BTreeMap<(CallName, u16), u64>,
}

/// The sums over all calls that totals need.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sums {
    /// I/O calls that returned.
    pub(crate) operations: u64,
    /// All calls.
    pub(crate) calls: u64,
    /// As `rchar` counts, without what `execve` reads.
    pub(crate) read_bytes: u64,
    /// As `wchar` counts.
    pub(crate) written_bytes: u64,
    /// Bytes that operations moved, each as often as one did: at least the payload.
    pub(crate) moved_bytes: u64,
    /// Requests that are not traced, or calls that hand such to the kernel.
    pub(crate) untraced_submissions: u64,
}

/// What the opcode of a request may move besides what its completion tells.
fn moves_unseen(name: CallName) -> bool {
    let all = request::URING_REQUESTS.iter().chain(request::AIO_REQUESTS);
    let unknown = [&request::URING_UNKNOWN, &request::AIO_UNKNOWN];
    all.chain(unknown).any(|request| request.name == name.name && request.moves_unseen)
}

impl Calls {
    /// Keeps latencies over time, or not.
    pub(crate) fn new(heats: bool) -> Self {
        Self { heats, ..Self::default() }
    }

    /// A call finished.
    pub(crate) fn observe(&mut self, call: &Call, kind: Option<CallKind>, bytes: u64) {
        let seen = self.seen.entry(call.name).or_default();
        let totals = &mut seen.totals;
        totals.kind = totals.kind.or(kind);
        totals.count = totals.count.saturating_add(1);
        if let Some(errno) = errno(call.result) {
            totals.errors = totals.errors.saturating_add(1);
            seen.errors.count(errno);
        }
        totals.bytes = totals.bytes.saturating_add(bytes);
        let Inside { blocked_ns, preempted_ns, .. } = call.inside.unwrap_or_default();
        totals.blocked_ns = totals.blocked_ns.saturating_add(blocked_ns);
        totals.preempted_ns = totals.preempted_ns.saturating_add(preempted_ns);
        let Some(duration_ns) = call.duration_ns else {
            totals.untimed = totals.untimed.saturating_add(1);
            return;
        };
        totals.duration_ns = totals.duration_ns.saturating_add(duration_ns);
        seen.longest_ns = seen.longest_ns.max(duration_ns);
        if self.heats {
            let heat = seen.heat.get_or_insert_with(|| HeatMap::begin(call.end_ns));
            heat.add(call.end_ns, duration_ns);
        }
        if seen.latency.is_none() {
            seen.latency = Histogram::new(SIGNIFICANT_DIGITS).ok();
        }
        if let Some(latency) = &mut seen.latency {
            // It grows by itself; it cannot fail for a value that is limited.
            latency.record(duration_ns.min(LONGEST_NS)).ok();
        }
    }

    /// The kernel's counters replace what was there.
    pub(crate) fn replace(
        &mut self,
        exact: BTreeMap<CallName, CallTotals>,
        summed_errors: BTreeMap<(CallName, u16), u64>,
    ) {
        self.exact = Some(exact);
        self.summed_errors = summed_errors;
    }

    /// The errors of one call by name.
    fn errors(&self, name: CallName, total: u64) -> Vec<ErrorCount> {
        let mut errors = self.seen.get(&name).map(|seen| seen.errors.clone()).unwrap_or_default();
        for ((_, errno), count) in self.summed_errors.range((name, 0)..=(name, u16::MAX)) {
            errors.add(*errno, *count);
        }
        errors.shown(total)
    }

    /// The best that is known: the counters, and before they were read for the first time, the stream.
    fn known(&self) -> Vec<(CallName, CallTotals)> {
        match &self.exact {
            Some(exact) => exact.iter().map(|(name, totals)| (*name, *totals)).collect(),
            None => self.seen.iter().map(|(name, seen)| (*name, seen.totals)).collect(),
        }
    }

    /// The latencies over time of a call by the name that people see.
    pub(crate) fn heat(&self, shown: &str) -> Option<Heat> {
        let mut found = self.seen.iter().filter(|(name, _)| shown.starts_with(name.name));
        let (_, seen) = found.find(|(name, _)| shown_name(**name) == shown)?;
        seen.heat.as_ref().map(HeatMap::shown)
    }

    /// Sums over all calls.
    pub(crate) fn sums(&self, requests_traced: bool) -> Sums {
        let mut sums = Sums::default();
        for (name, totals) in self.known() {
            let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
            if totals.kind.is_some_and(is_operation) {
                add(&mut sums.operations, totals.count);
                add(&mut sums.moved_bytes, totals.bytes);
            }
            let submits = match name.name {
                "io_uring_enter" => !requests_traced,
                _ => name.is_request() && moves_unseen(name),
            };
            if submits {
                add(&mut sums.untraced_submissions, totals.count);
            }
            if name.is_request() {
                // io_uring/rw.c and fs/aio.c go past fs/read_write.c, and so past the accounts below.
                continue;
            }
            add(&mut sums.calls, totals.count);
            add(&mut sums.calls, totals.unfinished);
            let booked = totals.kind.map_or(0, CallKind::accounted);
            if booked & accounted::READ != 0 {
                add(&mut sums.read_bytes, totals.bytes);
            }
            if booked & accounted::WRITTEN != 0 {
                add(&mut sums.written_bytes, totals.bytes);
            }
        }
        sums
    }

    /// System calls, or requests, most time first.
    fn sorted(&self, requests: bool) -> Vec<(CallName, CallTotals)> {
        let mut calls: Vec<_> = self
            .known()
            .into_iter()
            .filter(|(name, totals)| {
                name.is_request() == requests && (totals.count > 0 || totals.unfinished > 0)
            })
            .collect();
        calls.sort_by_key(|&(name, totals)| (std::cmp::Reverse((totals.duration_ns, totals.count)), name));
        calls
    }

    /// How people see requests, most time first.
    pub(crate) fn requests(&self) -> Vec<RequestStatistics> {
        let shown = |(name, totals): (CallName, CallTotals)| RequestStatistics {
            name: shown_name(name),
            count: totals.count,
            errors: totals.errors,
            bytes: totals.bytes,
            time_ns: totals.duration_ns,
            latency_ns: self.seen.get(&name).and_then(latency),
        };
        self.sorted(true).into_iter().map(shown).collect()
    }

    /// How people see system calls, most time first.
    pub(crate) fn snapshot(&self) -> Vec<CallStatistics> {
        let shown = |(name, totals): (CallName, CallTotals)| CallStatistics {
            name: shown_name(name),
            count: totals.count.saturating_add(totals.unfinished),
            errors: totals.errors,
            unfinished: totals.unfinished,
            bytes: totals.bytes,
            untimed: totals.untimed,
            time_ns: Some(totals.duration_ns),
            blocked_ns: Some(totals.blocked_ns),
            preempted_ns: Some(totals.preempted_ns),
            errors_by_name: self.errors(name, totals.errors),
            latency_ns: self.seen.get(&name).and_then(latency),
        };
        self.sorted(false).into_iter().map(shown).collect()
    }
}

/// The name that people see; 32-bit calls are marked.
pub(crate) fn shown_name(name: CallName) -> String {
    if name.compat { format!("{}:32", name.name) } else { name.name.to_owned() }
}

fn latency(seen: &Seen) -> Option<Latency> {
    let latency = seen.latency.as_ref().filter(|latency| !latency.is_empty())?;
    // A histogram answers with the upper end of a step; no quantile is longer than the longest.
    let quantile = |quantile| latency.value_at_quantile(quantile).min(seen.longest_ns);
    Some(Latency {
        samples: latency.len(),
        p50: quantile(0.5),
        p90: quantile(0.9),
        p99: quantile(0.99),
        max: seen.longest_ns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{snapshot::ErrorCount, testing};

    #[test]
    fn the_stream_counts_until_the_counters_are_read() {
        let mut calls = Calls::default();
        let name = CallName { name: "read", compat: false };
        for (result, duration_ns) in [(10, Some(1000)), (-11, Some(3000)), (5, None)] {
            let call = Call { result, duration_ns, ..testing::call(1, name) };
            calls.observe(&call, Some(CallKind::Read), u64::try_from(result).unwrap_or(0));
        }
        let read = &calls.snapshot()[0];
        assert_eq!((read.count, read.errors, read.bytes, read.time_ns), (3, 1, 15, Some(4000)));
        let latency = read.latency_ns.unwrap();
        assert_eq!((latency.samples, latency.p50, latency.max), (2, 1000, 3000));
        let error = |name: &str, count| ErrorCount { name: name.to_owned(), count };
        assert_eq!(read.errors_by_name, [error("EAGAIN", 1)]);
        let exact = CallTotals {
            kind: Some(CallKind::Read),
            count: 100,
            errors: 4,
            unfinished: 1,
            bytes: 1500,
            ..CallTotals::default()
        };
        calls.replace(BTreeMap::from([(name, exact)]), BTreeMap::new());
        let read = &calls.snapshot()[0];
        assert_eq!((read.count, read.unfinished, read.bytes), (101, 1, 1500));
        assert_eq!(read.latency_ns, Some(latency));
        assert_eq!(
            (read.errors, &read.errors_by_name[..]),
            (4, &[error("other", 3), error("EAGAIN", 1)][..])
        );
        assert_eq!(
            calls.sums(true),
            Sums { operations: 100, calls: 101, read_bytes: 1500, moved_bytes: 1500, ..Sums::default() }
        );
    }

    #[test]
    fn read_and_written_bytes_are_those_of_rchar_and_wchar() {
        let all = [
            (CallKind::Read, 1, 1, 0),
            (CallKind::Write, 2, 0, 2),
            (CallKind::Sendfile, 4, 4, 4),
            (CallKind::CopyFileRange, 8, 8, 8),
            (CallKind::Splice, 16, 0, 0),
            (CallKind::Tee, 32, 0, 0),
            (CallKind::Vmsplice, 64, 0, 0),
            (CallKind::Receive, 128, 0, 0),
            (CallKind::Send, 256, 0, 0),
            (CallKind::ProcessVmRead, 512, 0, 0),
            (CallKind::ProcessVmWrite, 1024, 0, 0),
        ];
        for (kind, bytes, read_bytes, written_bytes) in all {
            let mut calls = Calls::default();
            let name = CallName { name: "call", compat: true };
            calls.observe(&testing::call(1, name), Some(kind), bytes);
            assert_eq!(
                calls.sums(true),
                Sums {
                    operations: 1,
                    calls: 1,
                    read_bytes,
                    written_bytes,
                    moved_bytes: bytes,
                    ..Sums::default()
                },
                "{kind:?}"
            );
            assert_eq!(calls.snapshot()[0].name, "call:32");
        }
    }

    #[test]
    fn requests_are_operations_but_no_calls() {
        let mut calls = Calls::default();
        let observe = |calls: &mut Calls, name, kind, bytes| {
            let name = CallName { name, compat: false };
            calls.observe(&testing::call(1, name), kind, bytes);
        };
        observe(&mut calls, "io_uring:read", Some(CallKind::Read), 100);
        observe(&mut calls, "aio:pwrite", Some(CallKind::Write), 50);
        observe(&mut calls, "io_uring:fsync", None, 0);
        observe(&mut calls, "io_uring_enter", Some(CallKind::Submit), 0);
        // They go past fs/read_write.c, and so past rchar and wchar.
        assert_eq!(calls.sums(true), Sums { operations: 2, calls: 1, moved_bytes: 150, ..Sums::default() });
        assert_eq!(calls.sums(false).untraced_submissions, 1);
        assert_eq!(calls.snapshot().len(), 1);
        let requests = calls.requests();
        assert_eq!(requests.len(), 3);
        let read = requests.iter().find(|request| request.name == "io_uring:read").unwrap();
        assert_eq!((read.count, read.bytes, read.time_ns), (1, 100, 1000));
        // What a driver moves by it nobody says.
        observe(&mut calls, "io_uring:uring_cmd", None, 0);
        assert_eq!(calls.sums(true).untraced_submissions, 1);
    }

    #[test]
    fn a_call_that_took_for_ever_is_one_sample() {
        let mut calls = Calls::default();
        let name = CallName { name: "pause", compat: false };
        calls.observe(&Call { duration_ns: Some(u64::MAX), ..testing::call(1, name) }, None, 0);
        let latency = calls.snapshot()[0].latency_ns.unwrap();
        assert_eq!((latency.samples, latency.max), (1, u64::MAX));
    }
}
