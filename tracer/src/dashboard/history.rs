//! What happened of late, from differences of totals: bars for the graphs, the oldest forgotten, and rates of the last second,
//! which can be read at ten pictures a second.

use std::collections::VecDeque;

use super::frame::{Cost, Frame};
use crate::model::snapshot::{CallStatistics, Totals};

/// Bars that are remembered: more than a wide screen has columns.
const MOST: usize = 512;

/// What a bar of a graph stands for at least, ns: a little less than half a second, because frames come a little early at times.
const BAR_NS: u64 = 450_000_000;

/// What a rate is taken over at least, where frames come that often, ns.
const RECENT_NS: u64 = 950_000_000;

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
        let Totals { calls, transitions, payload_bytes_at_most: payload_bytes, .. } =
            frame.look.snapshot.totals;
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

/// What happened of late.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The bars of the graphs, oldest first.
    bars: VecDeque<Sample>,
    /// Where the next bar begins.
    bar: Option<Sums>,
    /// The frames of the last second, oldest first, and at least two.
    recent: VecDeque<Sums>,
}

impl History {
    /// A further frame. The first one says where things stood; it is no interval.
    pub(crate) fn take(&mut self, frame: &Frame) {
        let now = Sums::of(frame);
        if self.recent.back().is_some_and(|last| last.elapsed_ns >= now.elapsed_ns) {
            return;
        }
        let bar = *self.bar.get_or_insert(now);
        if now.elapsed_ns - bar.elapsed_ns >= BAR_NS {
            if self.bars.len() == MOST {
                self.bars.pop_front();
            }
            self.bars.push_back(now.since(&bar));
            self.bar = Some(now);
        }
        self.recent.push_back(now);
        while let [_, second, .., last] = &*self.recent.make_contiguous()
            && last.elapsed_ns - second.elapsed_ns >= RECENT_NS
        {
            self.recent.pop_front();
        }
    }

    /// Forgets the bars.
    pub(crate) fn clear(&mut self) {
        self.bars.clear();
    }

    /// The last second or, where frames are further apart, the last interval.
    pub(crate) fn latest(&self) -> Option<Sample> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        (last.elapsed_ns > first.elapsed_ns).then(|| last.since(first))
    }

    /// Pictures per second, of late.
    pub(crate) fn pace(&self) -> Option<f64> {
        let intervals = u32::try_from(self.recent.len().checked_sub(1)?).unwrap_or(u32::MAX);
        self.latest().map(|sample| f64::from(intervals) * 1e9 / sample.interval_ns as f64)
    }

    /// Rates of the last `most` bars, oldest first.
    pub(crate) fn rates(&self, most: usize, of: impl Fn(&Sample) -> u64) -> Vec<u64> {
        let skipped = self.bars.len().saturating_sub(most);
        self.bars.iter().skip(skipped).map(|sample| sample.per_second(of(sample))).collect()
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
    fn bars_are_differences_and_the_oldest_is_forgotten() {
        let mut history = History::default();
        history.take(&frame(1_000_000_000, 10));
        assert!(history.latest().is_none());
        history.take(&frame(1_500_000_000, 30));
        assert_eq!(history.rates(9, |sample| sample.calls), [40]);
        assert_eq!(history.pace(), Some(2.0));
        for at in 2..600 {
            history.take(&frame(at * 1_000_000_000, 30 + at));
        }
        assert_eq!(history.rates(usize::MAX, |sample| sample.calls).len(), MOST);
        assert_eq!(history.rates(2, |sample| sample.calls), [1, 1]);
    }

    #[test]
    fn frequent_frames_share_a_bar_and_rates_are_of_the_last_second() {
        let mut history = History::default();
        for at in 0..=20 {
            // Nothing in the first second, 1,000 calls in the second one.
            history.take(&frame(at * 100_000_000, 100 * at.saturating_sub(10)));
        }
        assert_eq!(history.rates(usize::MAX, |sample| sample.calls), [0, 0, 1000, 1000]);
        assert_eq!(history.latest().map(|sample| sample.per_second(sample.calls)), Some(1000));
        assert_eq!(history.pace(), Some(10.0));
    }

    #[test]
    fn the_same_moment_twice_is_no_interval() {
        let mut history = History::default();
        history.take(&frame(1, 1));
        history.take(&frame(1, 2));
        assert!(history.latest().is_none());
    }
}
