//! What happened in each interval, for the sparklines: differences of totals, the oldest forgotten.

use std::collections::VecDeque;

use super::frame::{Cost, Frame};
use crate::model::snapshot::{CallStatistics, Totals};

/// Intervals that are remembered: more than a wide screen has columns.
const MOST: usize = 512;

/// What happened in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// How long it was, ns; above 0.
    pub(crate) interval_ns: u64,
    /// System calls.
    pub(crate) calls: u64,
    /// Mode switches.
    pub(crate) transitions: u64,
    /// Payload, bytes.
    pub(crate) payload_bytes: u64,
    /// Copied by the CPU, bytes: the part that is known.
    pub(crate) cpu_copied_bytes: u64,
    /// Moved by DMA, bytes: the part that is known.
    pub(crate) dma_bytes: u64,
    /// Time on the CPU inside system calls, of all threads, ns.
    pub(crate) on_cpu_ns: u64,
    /// CPU time of zc-trace itself, ns.
    pub(crate) own_cpu_ns: Option<u64>,
}

impl Sample {
    /// An amount of the interval per second, rounded.
    pub(crate) fn per_second(&self, amount: u64) -> u64 {
        let interval = u128::from(self.interval_ns.max(1));
        u64::try_from((u128::from(amount) * 1_000_000_000 + interval / 2) / interval).unwrap_or(u64::MAX)
    }
}

/// The sums of which samples are the differences.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    elapsed_ns: u64,
    sample: Sample,
}

impl Sums {
    fn of(frame: &Frame) -> Self {
        let Totals { calls, transitions, payload_bytes, .. } = frame.look.snapshot.totals;
        let totals = &frame.look.snapshot.totals;
        let on_cpu = |call: &CallStatistics| {
            let off_cpu = call.blocked_ns.unwrap_or(0).saturating_add(call.preempted_ns.unwrap_or(0));
            call.time_ns.unwrap_or(0).saturating_sub(off_cpu)
        };
        let Cost { cpu_ns, .. } = frame.cost;
        Self {
            elapsed_ns: frame.elapsed_ns,
            sample: Sample {
                interval_ns: 0,
                calls,
                transitions: transitions.syscall + transitions.exception + transitions.interrupt,
                payload_bytes,
                cpu_copied_bytes: totals.cpu_copied_bytes_at_least,
                dma_bytes: totals.dma_bytes_at_least,
                on_cpu_ns: frame.look.snapshot.calls.iter().map(on_cpu).fold(0, u64::saturating_add),
                own_cpu_ns: cpu_ns,
            },
        }
    }

    /// What happened since.
    fn since(&self, before: &Self) -> Sample {
        let (now, then) = (&self.sample, &before.sample);
        Sample {
            interval_ns: self.elapsed_ns.saturating_sub(before.elapsed_ns).max(1),
            calls: now.calls.saturating_sub(then.calls),
            transitions: now.transitions.saturating_sub(then.transitions),
            payload_bytes: now.payload_bytes.saturating_sub(then.payload_bytes),
            cpu_copied_bytes: now.cpu_copied_bytes.saturating_sub(then.cpu_copied_bytes),
            dma_bytes: now.dma_bytes.saturating_sub(then.dma_bytes),
            on_cpu_ns: now.on_cpu_ns.saturating_sub(then.on_cpu_ns),
            own_cpu_ns: now.own_cpu_ns.zip(then.own_cpu_ns).map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// The last intervals.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    samples: VecDeque<Sample>,
    last: Option<Sums>,
}

impl History {
    /// A further frame. The first one says where things stood; it is no interval.
    pub(crate) fn take(&mut self, frame: &Frame) {
        let now = Sums::of(frame);
        if let Some(before) = self.last.replace(now)
            && now.elapsed_ns > before.elapsed_ns
        {
            if self.samples.len() == MOST {
                self.samples.pop_front();
            }
            self.samples.push_back(now.since(&before));
        }
    }

    /// Forgets the intervals.
    pub(crate) fn clear(&mut self) {
        self.samples.clear();
    }

    /// The last interval.
    pub(crate) fn latest(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// Rates of the last `most` intervals, oldest first.
    pub(crate) fn rates(&self, most: usize, of: impl Fn(&Sample) -> u64) -> Vec<u64> {
        let skipped = self.samples.len().saturating_sub(most);
        self.samples.iter().skip(skipped).map(|sample| sample.per_second(of(sample))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(elapsed_ns: u64, calls: u64) -> Frame {
        let mut frame = Frame { elapsed_ns, ..Frame::default() };
        frame.look.snapshot.totals.calls = calls;
        frame
    }

    #[test]
    fn intervals_are_differences_and_the_oldest_is_forgotten() {
        let mut history = History::default();
        history.take(&frame(1_000_000_000, 10));
        assert!(history.latest().is_none());
        history.take(&frame(1_500_000_000, 30));
        assert_eq!(history.rates(9, |sample| sample.calls), [40]);
        for at in 2..600 {
            history.take(&frame(at * 1_000_000_000, 30 + at));
        }
        assert_eq!(history.rates(usize::MAX, |sample| sample.calls).len(), MOST);
        assert_eq!(history.rates(2, |sample| sample.calls), [1, 1]);
    }

    #[test]
    fn the_same_moment_twice_is_no_interval() {
        let mut history = History::default();
        history.take(&frame(1, 1));
        history.take(&frame(1, 2));
        assert!(history.latest().is_none());
    }
}
