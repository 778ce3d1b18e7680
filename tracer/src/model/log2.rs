//! Histograms by powers of two: small enough that every flow may have two.

/// How many values lay between two numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bucket {
    /// The least value that it counts.
    pub from: u64,
    /// The greatest value that it counts.
    pub to: u64,
    /// How many.
    pub count: u64,
}

/// The number of the bucket that counts a value: 0 for 0, and one more for each bit.
fn bucket_of(value: u64) -> u8 {
    // At most 64.
    (u64::BITS - value.leading_zeros()) as u8
}

/// The least value of a bucket.
pub(crate) fn least(bucket: u8) -> u64 {
    match bucket {
        0 => 0,
        _ => 1u64.checked_shl(u32::from(bucket) - 1).unwrap_or(u64::MAX),
    }
}

/// The greatest value of a bucket.
fn greatest(bucket: u8) -> u64 {
    1u64.checked_shl(bucket.into()).map_or(u64::MAX, |next| next - 1)
}

/// Counts from the first bucket in use to the last: most flows use a few.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogHistogram {
    first: u8,
    counts: Vec<u64>,
}

impl LogHistogram {
    /// The count of a bucket; room is made for it.
    fn slot(&mut self, bucket: u8) -> Option<&mut u64> {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let more = usize::from(self.first - bucket);
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = bucket;
        }
        let place = usize::from(bucket - self.first);
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts.get_mut(place)
    }

    /// One more value.
    pub(crate) fn add(&mut self, value: u64) {
        if let Some(count) = self.slot(bucket_of(value)) {
            *count = count.saturating_add(1);
        }
    }

    /// Takes out a value that was added.
    pub(crate) fn remove(&mut self, value: u64) {
        if let Some(count) = self.slot(bucket_of(value)) {
            *count = count.saturating_sub(1);
        }
    }

    /// Adds all of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (bucket, more) in other.counts() {
            if let Some(count) = self.slot(bucket) {
                *count = count.saturating_add(more);
            }
        }
    }

    /// The buckets that counted something, with their numbers.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (u8, u64)> {
        (self.first..).zip(self.counts.iter().copied()).filter(|(_, count)| *count > 0)
    }

    /// From the first bucket that counted something to the last.
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        let (Some((first, _)), Some((last, _))) = (self.counts().next(), self.counts().last()) else {
            return Vec::new();
        };
        let all = (self.first..).zip(self.counts.iter().copied());
        all.filter(|(bucket, _)| (first..=last).contains(bucket))
            .map(|(bucket, count)| Bucket { from: least(bucket), to: greatest(bucket), count })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_are_powers_of_two() {
        let mut histogram = LogHistogram::default();
        assert_eq!(histogram.buckets(), []);
        [4096, 5000, 1024].iter().for_each(|value| histogram.add(*value));
        let expected = [(1024, 2047, 1), (2048, 4095, 0), (4096, 8191, 2)];
        assert_eq!(histogram.buckets(), expected.map(|(from, to, count)| Bucket { from, to, count }));
        histogram.remove(1024);
        assert_eq!(histogram.buckets(), [Bucket { from: 4096, to: 8191, count: 2 }]);
    }

    proptest! {
        #[test]
        fn every_value_is_in_one_bucket(values in prop::collection::vec(any::<u64>().prop_map(|value| value >> (value % 64)), 0..50)) {
            let (mut one, mut other) = (LogHistogram::default(), LogHistogram::default());
            for (number, value) in values.iter().enumerate() {
                if number % 2 == 0 { one.add(*value) } else { other.add(*value) }
            }
            one.merge(&other);
            let buckets = one.buckets();
            for Bucket { from, to, count } in &buckets {
                let inside = values.iter().filter(|value| (from..=to).contains(value)).count();
                prop_assert_eq!(inside as u64, *count);
            }
            prop_assert_eq!(buckets.iter().map(|bucket| bucket.count).sum::<u64>(), values.len() as u64);
        }
    }
}
