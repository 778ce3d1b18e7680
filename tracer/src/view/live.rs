//! The live lines: what happened in each interval, as rates.

use super::{
    format::{count, escape, maybe_bytes, ratio},
    style::{Paint, Style},
};
use crate::model::snapshot::{Totals, Transitions};

/// The head comes again after this many lines.
const HEAD_EVERY: u64 = 20;

const HEAD: &str = "  elapsed    calls/s transitions/s   payload/s CPU-copied/s       DMA/s  ampl.";

/// Prints one line an interval.
#[derive(Debug)]
pub struct Live {
    style: Style,
    lines: u64,
}

impl Live {
    /// Nothing printed yet.
    pub fn new(style: Style) -> Self {
        Self { style, lines: 0 }
    }

    /// The line, with its line break, of an interval of `interval_ns` that ended `elapsed_ns` after tracing began and
    /// took the totals from `before` to `now`; with the head before it whenever that is due.
    pub fn line(&mut self, elapsed_ns: u64, interval_ns: u64, before: &Totals, now: &Totals) -> String {
        let mut text = String::new();
        if self.lines.is_multiple_of(HEAD_EVERY) {
            text = self.style.paint(Paint::Heading, HEAD) + "\n";
        }
        self.lines += 1;
        text + &rates(elapsed_ns, interval_ns, before, now) + "\n"
    }
}

/// The line, with its line break, that says that one of several targets has ended. `left` of them go on.
pub fn ended(pid: u32, comm: &str, exit_code: u32, left: usize) -> String {
    let left = if left == 0 { "no target is left".to_owned() } else { format!("{left} left") };
    format!("zc-trace: {pid} ({}) ended with exit code {exit_code}; {left}\n", escape(comm))
}

fn rates(elapsed_ns: u64, interval_ns: u64, before: &Totals, now: &Totals) -> String {
    let rate = |before: u64, now: u64| per_second(now.saturating_sub(before), interval_ns);
    let number = |before, now| rate(before, now).map_or_else(|| "?".to_owned(), count);
    // What is not known as a whole is shown as the part that is known, marked `>`.
    let at_least = |known: Option<u64>, before, now| {
        format!("{}{}", if known.is_some() { "" } else { ">" }, maybe_bytes(rate(before, now)))
    };
    let payload = rate(before.payload_bytes_at_most, now.payload_bytes_at_most);
    // Where it is not known which bytes reached their sink, payload is no more than this.
    let at_most = if now.payload_bytes.is_some() || payload == Some(0) { "" } else { "<" };
    format!(
        "{:>7.1} s {:>10} {:>13} {:>11} {:>12} {:>11} {:>6}",
        elapsed_ns as f64 / 1e9,
        number(before.calls, now.calls),
        number(sum(before.transitions), sum(now.transitions)),
        format!("{at_most}{}", maybe_bytes(payload)),
        at_least(now.cpu_copied_bytes, before.cpu_copied_bytes_at_least, now.cpu_copied_bytes_at_least),
        at_least(now.dma_bytes, before.dma_bytes_at_least, now.dma_bytes_at_least),
        amplification(before, now),
    )
}

fn sum(transitions: Transitions) -> u64 {
    transitions.syscall.saturating_add(transitions.exception).saturating_add(transitions.interrupt)
}

/// The rate of `amount` in an interval, rounded; `None` if no time passed.
fn per_second(amount: u64, interval_ns: u64) -> Option<u64> {
    let (amount, interval) = (u128::from(amount), u128::from(interval_ns));
    let rate = (amount * 1_000_000_000 + interval / 2).checked_div(interval)?;
    Some(u64::try_from(rate).unwrap_or(u64::MAX))
}

/// Of the interval: `-` without payload, `?` if the copies or the payload are not known.
fn amplification(before: &Totals, now: &Totals) -> String {
    let payload = now.payload_bytes_at_most.saturating_sub(before.payload_bytes_at_most);
    if payload == 0 {
        return "-".to_owned();
    }
    let copied = now
        .cpu_copied_bytes
        .zip(before.cpu_copied_bytes)
        .filter(|_| now.payload_bytes.is_some())
        .map(|(now, before)| now.saturating_sub(before));
    ratio(copied.map(|copied| copied as f64 / payload as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{export::samples, view::format::width};

    #[test]
    fn the_lines_of_a_trace() {
        let (nothing, mut now) = (
            Totals {
                payload_bytes: Some(0),
                cpu_copied_bytes: Some(0),
                dma_bytes: Some(0),
                ..Totals::default()
            },
            samples::busy().snapshot.totals,
        );
        let mut live = Live::new(Style::plain());
        let mut text = live.line(1_000_000_000, 1_000_000_000, &nothing, &now);
        text += &live.line(1_500_000_000, 500_000_000, &now, &now);
        let before = now.clone();
        now.cpu_copied_bytes = None;
        now.cpu_copied_bytes_at_least += 1 << 20;
        now.payload_bytes_at_most += 1 << 21;
        now.calls += 7;
        text += &live.line(2_000_000_000, 500_000_000, &before, &now);
        text += &live.line(2_000_000_000, 0, &before, &now);
        let before = now.clone();
        (now.cpu_copied_bytes, now.payload_bytes) = (before.payload_bytes, None);
        now.payload_bytes_at_most += 1 << 21;
        text += &live.line(2_500_000_000, 500_000_000, &before, &now);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_end_is_one_line_whatever_the_name() {
        assert_eq!(ended(7, "a\nb", 137, 2), "zc-trace: 7 (a\\nb) ended with exit code 137; 2 left\n");
        assert!(ended(7, "a", 0, 0).ends_with("no target is left\n"));
    }

    #[test]
    fn the_head_comes_every_twenty_lines() {
        let mut live = Live::new(Style::plain());
        let totals = Totals::default();
        let text: String = (0..41).map(|_| live.line(0, 1, &totals, &totals)).collect();
        assert_eq!(text.matches("elapsed").count(), 3);
        assert!(text.starts_with(HEAD));
    }

    #[test]
    fn head_and_lines_line_up() {
        let totals = samples::busy().snapshot.totals;
        let line = rates(1_000_000_000, 1_000_000_000, &Totals::default(), &totals);
        assert_eq!(width(&line), width(HEAD));
        assert!(width(HEAD) <= 80);
    }

    #[test]
    fn counters_that_seem_to_run_backwards_give_no_nonsense() {
        let totals = samples::busy().snapshot.totals;
        let line = rates(u64::MAX, 1, &totals, &Totals::default());
        assert!(line.contains(" 0 B"), "{line}");
        assert_eq!(per_second(u64::MAX, 1), Some(u64::MAX));
        assert_eq!(per_second(5, 0), None);
    }
}
