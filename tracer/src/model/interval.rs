//! A map from address ranges to values: what later insertions cover is replaced.

use std::{collections::BTreeMap, ops::Range};

/// Ranges that do not overlap, each with a value. Neighbours with equal values are one range.
#[derive(Clone, Debug)]
pub(crate) struct IntervalMap<T> {
    /// By start: end (exclusive) and value.
    spans: BTreeMap<u64, (u64, T)>,
}

impl<T> Default for IntervalMap<T> {
    fn default() -> Self {
        Self { spans: BTreeMap::new() }
    }
}

impl<T: Copy + PartialEq> IntervalMap<T> {
    /// How many ranges there are.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.spans.clear();
    }

    /// All values, by address.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.spans.values().map(|(_, value)| value)
    }

    /// Keeps only the ranges that `keep` wants.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.spans.retain(|_, (_, value)| keep(value));
    }

    /// Forgets what lies in `range`; what sticks out of it on either side stays.
    pub(crate) fn remove(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some((_, (end, value))) = self.spans.range_mut(..range.start).next_back()
            && *end > range.start
        {
            let (old_end, value) = (*end, *value);
            *end = range.start;
            if old_end > range.end {
                self.spans.insert(range.end, (old_end, value));
                return;
            }
        }
        while let Some((&start, &(end, value))) = self.spans.range(range.clone()).next() {
            self.spans.remove(&start);
            if end > range.end {
                self.spans.insert(range.end, (end, value));
                return;
            }
        }
    }

    /// Sets the value of `range`, replacing what was there.
    pub(crate) fn insert(&mut self, mut range: Range<u64>, value: T) {
        if range.is_empty() || self.replace(&range, value) {
            return;
        }
        self.remove(&range);
        if let Some((&start, &(end, before))) = self.spans.range(..range.start).next_back()
            && end == range.start
            && before == value
        {
            range.start = start;
        }
        if let Some(&(end, after)) = self.spans.get(&range.end)
            && after == value
        {
            self.spans.remove(&range.end);
            range.end = end;
        }
        self.spans.insert(range.start, (range.end, value));
    }

    /// Sets the value of `range` if just this range has one and no neighbour has the new one; whether that was so. A buffer that
    /// is used again and again takes this way, which is one search instead of five.
    fn replace(&mut self, range: &Range<u64>, value: T) -> bool {
        let mut backwards = self.spans.range_mut(..=range.end).rev();
        let mut found = backwards.next();
        if let Some((start, (_, after))) = &found
            && **start == range.end
        {
            if *after == value {
                return false;
            }
            found = backwards.next();
        }
        let Some((start, (end, old))) = found else { return false };
        let joins = |(_, (end, before)): (&u64, &mut (u64, T))| *end == range.start && *before == value;
        if *start != range.start || *end != range.end || backwards.next().is_some_and(joins) {
            return false;
        }
        *old = value;
        true
    }

    /// Gives `range` to `each` in order, piece by piece: what has a value and what has none.
    pub(crate) fn walk(&self, range: &Range<u64>, mut each: impl FnMut(Range<u64>, Option<T>)) {
        let mut at = range.start;
        if range.is_empty() {
            return;
        }
        if let Some((_, &(end, value))) = self.spans.range(..range.start).next_back()
            && end > range.start
        {
            let end = end.min(range.end);
            each(at..end, Some(value));
            at = end;
        }
        for (&start, &(end, value)) in self.spans.range(range.clone()) {
            if start > at {
                each(at..start, None);
            }
            let end = end.min(range.end);
            each(start..end, Some(value));
            at = end;
        }
        if at < range.end {
            each(at..range.end, None);
        }
    }

    /// Takes out what lies in `range`.
    pub(crate) fn take(&mut self, range: &Range<u64>) -> Vec<(Range<u64>, T)> {
        let mut taken = Vec::new();
        self.walk(range, |range, value| taken.extend(value.map(|value| (range, value))));
        self.remove(range);
        taken
    }

    /// Moves what lies in `from` to `to`; what finds no room there is forgotten, and what was there is replaced.
    /// `adapt` may change the values on the way.
    pub(crate) fn relocate(&mut self, from: &Range<u64>, to: &Range<u64>, adapt: impl Fn(T) -> T) {
        let moved = self.take(from);
        self.remove(to);
        for (range, value) in moved {
            let start = to.start.saturating_add(range.start - from.start);
            let end = to.start.saturating_add(range.end - from.start).min(to.end);
            self.insert(start..end, adapt(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, address by address.
    fn shadow(operations: &[(u8, u64, u64, u8)]) -> ([Option<u8>; 64], IntervalMap<u8>) {
        let mut cells = [None; 64];
        let mut map = IntervalMap::default();
        for &(what, start, end, value) in operations {
            match what {
                0 | 1 => {
                    map.insert(start..end, value);
                    (start..end).for_each(|at| cells[at as usize] = Some(value));
                }
                2 => {
                    map.remove(&(start..end));
                    (start..end).for_each(|at| cells[at as usize] = None);
                }
                _ => {
                    let to = u64::from(value)..(u64::from(value) + 16);
                    map.relocate(&(start..end), &to, |value| value);
                    let old = cells;
                    (start..end).for_each(|at| cells[at as usize] = None);
                    to.clone().for_each(|at| cells[at as usize] = None);
                    for at in start..end {
                        let new = to.start + (at - start);
                        if to.contains(&new) {
                            cells[new as usize] = old[at as usize];
                        }
                    }
                }
            }
        }
        (cells, map)
    }

    proptest! {
        #[test]
        fn agrees_with_one_cell_per_address(
            operations in prop::collection::vec((0u8..4, 0u64..48, 0u64..64, 0u8..4), 0..24)
        ) {
            let (cells, map) = shadow(&operations);
            let mut walked = [None; 64];
            let mut at = 0;
            map.walk(&(0..64), |range, value| {
                assert_eq!(range.start, at);
                assert!(range.end > range.start);
                at = range.end;
                range.for_each(|at| walked[at as usize] = value);
            });
            prop_assert_eq!(at, 64);
            prop_assert_eq!(walked, cells);
        }
    }

    #[test]
    fn the_top_of_the_address_space() {
        let mut map = IntervalMap::default();
        map.insert(u64::MAX - 4..u64::MAX, 'a');
        map.relocate(&(u64::MAX - 4..u64::MAX), &(u64::MAX - 2..u64::MAX), |value| value);
        assert_eq!(map.take(&(0..u64::MAX)), [(u64::MAX - 2..u64::MAX, 'a')]);
        #[expect(clippy::reversed_empty_ranges, reason = "nonsense is what is tested")]
        map.insert(9..3, 'b');
        assert_eq!(map.len(), 0);
    }

    #[test]
    fn equal_neighbours_become_one() {
        let mut map = IntervalMap::default();
        for at in 0..100 {
            map.insert(at..at + 1, 'a');
        }
        assert_eq!(map.len(), 1);
    }
}
