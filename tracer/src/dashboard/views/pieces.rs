//! Pieces that pictures are put together from.

use ratatui::text::{Line, Span};

use crate::{
    dashboard::theme::{Role, Theme},
    model::{
        log2::Bucket,
        snapshot::{Copy, Flow, Losses, Mover, Snapshot},
    },
    view::{
        format::{self, marked_bytes},
        report,
    },
};

/// Room to draw in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Canvas<'a> {
    /// How things look.
    pub(crate) theme: &'a Theme,
    /// Columns.
    pub(crate) width: usize,
    /// Rows.
    pub(crate) height: usize,
}

/// Columns that the name of a fact takes.
const NAME: usize = 24;

impl Canvas<'_> {
    /// A head inside a picture.
    pub(super) fn heading(&self, text: &str) -> Line<'static> {
        let text = format!(" {}", self.theme.spell(text));
        Line::styled(format::truncate_end(&text, self.width).into_owned(), self.theme.style(Role::Heading))
    }

    /// A name and what it comes to.
    pub(super) fn fact(&self, name: &str, text: &str) -> Line<'static> {
        let room = self.width.saturating_sub(NAME + 2);
        let name = format!(" {:<NAME$} ", format::truncate_end(&self.theme.spell(name), NAME));
        Line::from(vec![
            Span::styled(name, self.theme.style(Role::Faint)),
            Span::raw(format::truncate_end(&self.theme.spell(text), room).into_owned()),
        ])
    }

    /// A flow in one line, and something about it.
    pub(super) fn flow(&self, flow: &Flow, about: &str) -> Line<'static> {
        let about = self.theme.spell(about);
        let room = self.width.saturating_sub(format::width(&about) + 5);
        let (arrow, method) = (self.theme.pick("→", ">"), format::escape(&flow.method));
        let text = format!("{} {arrow} {} {method}", report::name(&flow.source), report::name(&flow.sink));
        let text = format::truncate_middle(&text, room);
        let gap = " ".repeat(room.saturating_sub(format::width(&text)));
        Line::from(format!("  {text}{gap}  {about}"))
    }

    /// A text over as many lines as it needs.
    pub(super) fn wrapped(&self, indent: usize, text: &str) -> Vec<Line<'static>> {
        let room = self.width.saturating_sub(indent + 1).max(10);
        let mut lines = vec![String::new()];
        for word in self.theme.spell(text).split(' ') {
            let Some(line) = lines.last_mut() else { break };
            if line.is_empty() {
                line.push_str(word);
            } else if format::width(line) + 1 + format::width(word) > room {
                lines.push(word.to_owned());
            } else {
                line.push(' ');
                line.push_str(word);
            }
        }
        let indented =
            |line: String| Line::from(format!("{:indent$}{}", "", format::truncate_end(&line, room)));
        lines.into_iter().map(indented).collect()
    }

    /// A bar for a share of the whole, that many columns wide.
    pub(super) fn bar(&self, share: f64, columns: usize) -> String {
        let full = self.theme.bars().last().copied().unwrap_or("#");
        let filled = (share.clamp(0.0, 1.0) * columns as f64).round() as usize;
        format!("{}{}", full.repeat(filled), " ".repeat(columns.saturating_sub(filled)))
    }

    /// A bar for each number, the highest filling the row. What is above 0 is seen.
    pub(super) fn spark(&self, numbers: &[u64]) -> String {
        let bars = self.theme.bars();
        let highest = numbers.iter().copied().max().unwrap_or(0).max(1);
        let steps = bars.len() as u64 - 1;
        let bar = |number: &u64| {
            let step = (u128::from(*number) * u128::from(steps)).div_ceil(u128::from(highest));
            bars.get(usize::try_from(step).unwrap_or(0)).copied().unwrap_or(" ")
        };
        numbers.iter().map(bar).collect()
    }

    /// A bar for each bucket of a histogram.
    pub(super) fn histogram(&self, buckets: &[Bucket], shown: fn(u64) -> String) -> Vec<Line<'static>> {
        if buckets.is_empty() {
            return vec![Line::from("  nothing was seen from begin to end")];
        }
        let highest = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0).max(1);
        let columns = self.width.saturating_sub(NAME + 18);
        let bar = |bucket: &Bucket| {
            let range = if bucket.from == bucket.to {
                shown(bucket.from)
            } else {
                format!("{} – {}", shown(bucket.from), shown(bucket.to))
            };
            let range = self.theme.spell(&range);
            let share = bucket.count as f64 / highest as f64;
            Line::from(vec![
                Span::styled(format!(" {range:>NAME$} "), self.theme.style(Role::Faint)),
                Span::styled(self.bar(share, columns), self.theme.style(Role::Payload)),
                Span::raw(format!(" {:>13}", format::count(bucket.count))),
            ])
        };
        // Empty ones between others are one line: what matters would leave the screen.
        let mut lines = Vec::new();
        let mut buckets = buckets.iter().peekable();
        while let Some(bucket) = buckets.next() {
            let mut empty = vec![bucket];
            while bucket.count == 0
                && let Some(next) = buckets.next_if(|next| next.count == 0)
            {
                empty.push(next);
            }
            if empty.len() > 2 {
                let gap = format!(" {:>NAME$} ", self.theme.pick("⋮", ":"));
                lines.push(Line::from(Span::styled(gap, self.theme.style(Role::Faint))));
            } else {
                lines.extend(empty.into_iter().map(bar));
            }
        }
        lines
    }

    /// A copy or move: from, to, by whom, a bar for its share of the payload, and why.
    pub(super) fn copy(&self, copy: &Copy, payload: u64) -> Vec<Line<'static>> {
        const BAR: usize = 16;
        let (who, role) = match copy.mover {
            Some(Mover::Cpu) => ("CPU copies", Role::Cpu),
            Some(Mover::Dma) => ("device moves (DMA)", Role::Dma),
            Some(Mover::None) => ("by reference", Role::Good),
            None => ("by whom is not known", Role::Faint),
        };
        let (from, to) = (report::place_word(copy.from), report::place_word(copy.to));
        let way = format!("{from} {} {to}", self.theme.pick("→", "->"));
        let share = copy.bytes.map_or(0.0, |bytes| bytes as f64 / payload.max(1) as f64);
        let style = self.theme.style(role);
        let mut lines = vec![Line::from(vec![
            Span::raw(format!("  {way:<24} ")),
            Span::styled(self.bar(share, BAR), style),
            Span::raw(format!(" {:>12}  ", marked_bytes(copy.bytes, copy.evidence))),
            Span::styled(who, style),
        ])];
        if let Some(note) = &copy.note {
            lines.extend(self.wrapped(4, &format::escape(note)));
        }
        lines
    }
}

/// Each kind of detail that can be lost, and how much was.
pub(super) fn lost(losses: Losses) -> [(&'static str, u64); 9] {
    let Losses {
        folded_operations,
        unattributed_operations,
        folded_calls,
        lost_events,
        untraced_threads,
        unknown_endpoints,
        undecodable_records,
        untraced_submissions,
        missed_runs,
    } = losses;
    [
        ("operations folded", folded_operations),
        ("operations in no flow", unattributed_operations),
        ("calls without latency", folded_calls),
        ("events lost", lost_events),
        ("threads untraced", untraced_threads),
        ("endpoints unknown", unknown_endpoints),
        ("records not read", undecodable_records),
        ("requests untraced", untraced_submissions),
        ("events missed", missed_runs),
    ]
}

/// Pieces of detail that were lost.
pub(crate) fn losses(snapshot: &Snapshot) -> u64 {
    lost(snapshot.totals.losses).iter().fold(0, |sum, (_, lost)| sum.saturating_add(*lost))
}
