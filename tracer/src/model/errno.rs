//! Errors of calls: by name, and how many of each.

use std::{cmp::Reverse, collections::BTreeMap};

use syscalls::Errno;

use super::snapshot::ErrorCount;

/// The errno that a call returned, if it returned one (include/linux/err.h: `MAX_ERRNO`). Any other negative value is a
/// result, such as an address in the upper half.
pub(crate) fn errno(result: i64) -> Option<u16> {
    let number = result.checked_neg().filter(|number| (1..=4095).contains(number))?;
    u16::try_from(number).ok()
}

/// The name of the errno that a call returned, such as `EAGAIN`; its number for one that the table does not have.
pub(crate) fn errno_name(result: i64) -> Option<String> {
    errno(result).map(name)
}

fn name(number: u16) -> String {
    Errno::new(number.into()).name().map_or_else(|| number.to_string(), str::to_owned)
}

/// The errors of one call. There are at most 4095 kinds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errors(BTreeMap<u16, u64>);

impl Errors {
    /// One more.
    pub(crate) fn count(&mut self, errno: u16) {
        self.add(errno, 1);
    }

    /// So many more.
    pub(crate) fn add(&mut self, errno: u16, more: u64) {
        let count = self.0.entry(errno).or_default();
        *count = count.saturating_add(more);
    }

    /// By name, most first, so that they add up to `total`: what was not told one by one is `other`. Where more were told
    /// than `total` (the counters are a little older than the stream), the most frequent ones are so many less.
    pub(crate) fn shown(&self, total: u64) -> Vec<ErrorCount> {
        let told = self.0.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let mut counts: Vec<_> = self.0.iter().map(|(number, count)| (*count, name(*number))).collect();
        counts.push((total.saturating_sub(told), "other".to_owned()));
        most_first(&mut counts);
        let mut excess = told.saturating_sub(total);
        for (count, _) in &mut counts {
            let less = excess.min(*count);
            *count -= less;
            excess -= less;
        }
        counts.retain(|(count, _)| *count > 0);
        most_first(&mut counts);
        counts.into_iter().map(|(count, name)| ErrorCount { name, count }).collect()
    }
}

fn most_first(counts: &mut [(u64, String)]) {
    counts.sort_by(|(one, one_name), (other, other_name)| {
        (Reverse(one), one_name).cmp(&(Reverse(other), other_name))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(told: &[(u16, u64)], total: u64) -> Vec<(String, u64)> {
        let mut errors = Errors::default();
        for &(errno, times) in told {
            (0..times).for_each(|_| errors.count(errno));
        }
        errors.shown(total).into_iter().map(|error| (error.name, error.count)).collect()
    }

    fn named<const N: usize>(errors: [(&str, u64); N]) -> Vec<(String, u64)> {
        errors.map(|(name, count)| (name.to_owned(), count)).to_vec()
    }

    #[test]
    fn only_errnos_have_names() {
        assert_eq!(errno_name(-11).as_deref(), Some("EAGAIN"));
        assert_eq!(errno_name(-4000).as_deref(), Some("4000"));
        for result in [0, 11, -4096, i64::MIN, i64::MAX] {
            assert_eq!(errno_name(result), None);
        }
    }

    #[test]
    fn they_add_up_to_the_total() {
        assert_eq!(shown(&[], 0), []);
        assert_eq!(shown(&[(2, 1), (11, 3)], 4), named([("EAGAIN", 3), ("ENOENT", 1)]));
        assert_eq!(shown(&[(2, 1), (11, 3)], 6), named([("EAGAIN", 3), ("other", 2), ("ENOENT", 1)]));
        assert_eq!(shown(&[(2, 1), (11, 3)], 2), named([("EAGAIN", 1), ("ENOENT", 1)]));
        assert_eq!(shown(&[(2, 1), (11, 3)], 0), []);
        assert_eq!(shown(&[], 5), named([("other", 5)]));
    }
}
