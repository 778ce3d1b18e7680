//! Latencies over time: how many calls took how long, column by column. When there is no room for more columns, each two
//! become one, so that a trace of any length has its picture.

use super::log2::{LogHistogram, least};

/// Most columns.
const MOST_COLUMNS: usize = 120;
/// How wide the columns are at first, ns.
const FIRST_WIDTH_NS: u64 = 1_000_000_000;

/// The latencies of one call over time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Heat {
    /// The width of a column, ns.
    pub column_ns: u64,
    /// Monotonic time at which the first column begins, ns.
    pub first_ns: u64,
    /// The least latency that each bucket counts, ns: up to that of the next one, which is twice as much.
    pub buckets_from_ns: Vec<u64>,
    /// How many calls ended in each column, by bucket.
    pub counts: Vec<Vec<u64>>,
}

/// The same while it is counted.
#[derive(Debug)]
pub(crate) struct HeatMap {
    column_ns: u64,
    first_ns: u64,
    columns: Vec<LogHistogram>,
}

impl HeatMap {
    /// Begins with a call that ended at `time_ns`.
    pub(crate) fn begin(time_ns: u64) -> Self {
        let first_ns = time_ns - time_ns % FIRST_WIDTH_NS;
        Self { column_ns: FIRST_WIDTH_NS, first_ns, columns: Vec::new() }
    }

    /// A call ended. What is earlier than the first call (CPUs report in no order) counts in the first column.
    pub(crate) fn add(&mut self, time_ns: u64, latency_ns: u64) {
        let since_ns = time_ns.saturating_sub(self.first_ns);
        let place = loop {
            match usize::try_from(since_ns / self.column_ns) {
                Ok(place) if place < MOST_COLUMNS => break place,
                _ => self.halve(),
            }
        };
        if place >= self.columns.len() {
            self.columns.resize_with(place + 1, LogHistogram::default);
        }
        if let Some(column) = self.columns.get_mut(place) {
            column.add(latency_ns);
        }
    }

    /// Makes one column of each two.
    fn halve(&mut self) {
        let merge = |pair: &[LogHistogram]| {
            pair.iter().fold(LogHistogram::default(), |mut sum, column| {
                sum.merge(column);
                sum
            })
        };
        self.columns = self.columns.chunks(2).map(merge).collect();
        self.column_ns = self.column_ns.saturating_mul(2);
    }

    /// How people see it.
    pub(crate) fn shown(&self) -> Heat {
        let buckets = || self.columns.iter().flat_map(|column| column.counts().map(|(bucket, _)| bucket));
        let all = buckets().min().unwrap_or(1)..=buckets().max().unwrap_or(0);
        let counts = |column: &LogHistogram| {
            let mut counts = vec![0; all.clone().count()];
            for (bucket, count) in column.counts() {
                let place = usize::from(bucket.saturating_sub(*all.start()));
                if let Some(slot) = counts.get_mut(place) {
                    *slot = count;
                }
            }
            counts
        };
        Heat {
            column_ns: self.column_ns,
            first_ns: self.first_ns,
            buckets_from_ns: all.clone().map(least).collect(),
            counts: self.columns.iter().map(counts).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = FIRST_WIDTH_NS;

    #[test]
    fn columns_of_a_second() {
        let mut heat = HeatMap::begin(10 * SECOND + 5);
        for (time_ns, latency_ns) in [(10 * SECOND + 5, 1000), (12 * SECOND, 300), (9 * SECOND, 1023)] {
            heat.add(time_ns, latency_ns);
        }
        assert_eq!(
            heat.shown(),
            Heat {
                column_ns: SECOND,
                first_ns: 10 * SECOND,
                buckets_from_ns: vec![256, 512],
                counts: vec![vec![0, 2], vec![0, 0], vec![1, 0]],
            }
        );
    }

    #[test]
    fn a_long_trace_has_wider_columns() {
        let mut heat = HeatMap::begin(0);
        (0..1000).for_each(|second| heat.add(second * SECOND, 1));
        let shown = heat.shown();
        assert_eq!((shown.column_ns, shown.counts.len()), (16 * SECOND, 63));
        assert_eq!(shown.counts[0], [16]);
        assert_eq!(shown.counts[62], [8]);
        heat.add(u64::MAX, 1);
        assert!(heat.shown().counts.len() <= MOST_COLUMNS);
    }

    proptest! {
        #[test]
        fn every_call_is_counted_once(
            calls in prop::collection::vec((0u64..1 << 40, any::<u64>()), 1..300),
        ) {
            let mut heat = HeatMap::begin(calls[0].0);
            calls.iter().for_each(|(time_ns, latency_ns)| heat.add(*time_ns, *latency_ns));
            let shown = heat.shown();
            prop_assert!(shown.counts.len() <= MOST_COLUMNS);
            prop_assert!(shown.counts.iter().all(|column| column.len() == shown.buckets_from_ns.len()));
            prop_assert_eq!(shown.counts.iter().flatten().sum::<u64>(), calls.len() as u64);
        }
    }
}
