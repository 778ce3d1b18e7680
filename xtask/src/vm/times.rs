//! How long each scenario takes in a guest, seen from outside: libtest does not tell, and the matrix must stay a matter of
//! minutes.

use std::time::{Duration, Instant};

use super::report::Report;

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    running: Option<(String, Instant)>,
    done: Vec<(String, Duration)>,
}

impl Times {
    /// Notes which scenario runs now. Those that begin and end between two looks are not seen: they take no time.
    pub(super) fn look(&mut self, report: &Report, now: Instant) {
        let running = report.running();
        if self.running.as_ref().map(|(name, _)| name.as_str()) == running.as_deref() {
            return;
        }
        if let Some((name, since)) = self.running.take() {
            self.done.push((name, now.saturating_duration_since(since)));
        }
        self.running = running.map(|name| (name, now));
    }

    /// The ones that took longest, longest first.
    pub(super) fn slowest(&self, number: usize) -> Vec<(String, Duration)> {
        let mut done = self.done.clone();
        done.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        done.truncate(number);
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_longest_is_found() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut times = Times::default();
        let mut said = "@@@ run ext4\n".to_owned();
        for (line, seconds) in
            [("test a ... ", 0), ("ok\n", 3), ("test b ... ", 4), ("", 5), ("ok\ntest c ... ", 11)]
        {
            said += line;
            times.look(&Report::read(&said), at(seconds));
        }
        assert_eq!(times.slowest(1), [("ext4 b".to_owned(), Duration::from_secs(7))]);
        assert_eq!(times.slowest(9).len(), 2);
    }
}
