//! The last transfers, newest first; each opens as its anatomy, beside what zero-copy I/O would do.

use ratatui::text::{Line, Span};

use super::{Canvas, View, anatomy};
use crate::{
    dashboard::{
        frame::Frame,
        table::{Cell, Row, key, names, numbers},
    },
    look::Lists,
    model::{
        ideal::{Ideal, ideal},
        recent::{RecentTransfer, Step},
        snapshot::{Mover, Transfer},
    },
    view::{
        format::{self, bytes, count, known_duration, maybe_bytes},
        report,
    },
};

/// The view.
pub(crate) const VIEW: View = View {
    title: "Transfers",
    columns: &[
        numbers("NUMBER", 10, 0),
        names("SOURCE", 10, 0),
        names("SINK", 10, 0),
        names("METHOD", 10, 0),
        numbers("PAYLOAD", 10, 0),
        numbers("CPU-COPIED", 10, 0),
        numbers("DMA", 10, 5),
        numbers("TRANS", 6, 4),
        numbers("IN CALLS", 8, 3),
        numbers("TID", 7, 6),
    ],
    sorted: 0,
    rows: |frame, filter| {
        let transfers = frame.look.transfers.iter();
        transfers.filter(|recent| filter.matches_transfer(&recent.transfer)).map(row).collect()
    },
    empty: "No transfer has been finished yet.",
    open: Some(open),
    more: None,
    flows_by: None,
    lists: Lists { transfers: true, ..Lists::NONE },
    partly: None,
    keep: Some(|before, now, wanted| {
        let is_it = |recent: &&RecentTransfer| key(recent.number) == wanted;
        if now.look.transfers.iter().any(|recent| is_it(&recent)) {
            return;
        }
        now.look.transfers.extend(before.look.transfers.iter().find(is_it).cloned());
    }),
    picture: None,
};

/// From this many columns on the two anatomies stand side by side.
const SIDE_BY_SIDE: usize = 110;

/// Most transfers in what opens elsewhere.
const LAST: usize = 10;

/// A line for each of the last transfers that `is` one of those.
pub(super) fn last(frame: &Frame, canvas: &Canvas<'_>, is: impl Fn(&Transfer) -> bool) -> Vec<Line<'static>> {
    let found = frame.look.transfers.iter().filter(|recent| is(&recent.transfer)).take(LAST);
    let line = |recent: &RecentTransfer| {
        let transfer = &recent.transfer;
        let calls: Vec<&str> = recent.steps.iter().map(|step| step.call.as_str()).collect();
        let what = format!(
            "{} by {} in {}",
            bytes(transfer.payload_bytes),
            format::escape(&calls.join(", ")),
            known_duration(transfer.time_in_calls_ns)
        );
        canvas.fact(&count(recent.number), &what)
    };
    let lines: Vec<Line<'static>> = found.map(line).collect();
    if lines.is_empty() { vec![Line::from("  none among the last that finished")] } else { lines }
}

fn row(recent: &RecentTransfer) -> Row {
    let transfer = &recent.transfer;
    Row {
        key: key(recent.number),
        marked: false,
        cells: vec![
            Cell::Count(recent.number),
            Cell::Text(report::name(&transfer.source)),
            Cell::Text(report::name(&transfer.sink)),
            Cell::name(&transfer.method),
            Cell::Bytes(Some(transfer.payload_bytes)),
            Cell::Bytes(transfer.cpu_copied_bytes),
            Cell::Bytes(transfer.dma_bytes),
            Cell::Count(transfer.transitions),
            Cell::Duration(transfer.time_in_calls_ns),
            Cell::Id(transfer.tid),
        ],
    }
}

fn open(frame: &Frame, wanted: u64, canvas: &Canvas<'_>) -> Option<Vec<Line<'static>>> {
    let recent = frame.look.transfers.iter().find(|recent| key(recent.number) == wanted)?;
    let transfer = &recent.transfer;
    let arrow = canvas.theme.pick("→", ">");
    let ends = format!("{} {arrow} {}", report::name(&transfer.source), report::name(&transfer.sink));
    let figures = format!(
        "{} payload, {} copied by the CPU, {} by DMA, {} transitions, {} in calls",
        bytes(transfer.payload_bytes),
        maybe_bytes(transfer.cpu_copied_bytes),
        maybe_bytes(transfer.dma_bytes),
        count(transfer.transitions),
        known_duration(transfer.time_in_calls_ns)
    );
    let number = count(recent.number);
    let mut lines = vec![
        canvas.heading(&format!("Transfer {number} by {}, thread {}", transfer.method, transfer.tid)),
        Line::from(format!(" {}", format::truncate_middle(&ends, canvas.width.saturating_sub(2)))),
        Line::from(format!(
            " {}",
            format::truncate_end(&canvas.theme.spell(&figures), canvas.width.saturating_sub(2))
        )),
        Line::default(),
    ];
    let wide = canvas.width >= SIDE_BY_SIDE;
    let half = if wide { Canvas { width: canvas.width / 2, ..*canvas } } else { *canvas };
    let mut measured = vec![half.heading("As it was")];
    measured.extend(anatomy::lanes(&half, &recent.steps));
    if recent.more_steps > 0 {
        measured.push(Line::from(format!(
            " and {} that are not shown",
            format::counted(recent.more_steps, "operation")
        )));
    }
    if recent.steps.iter().any(|step| step.shared) {
        measured.extend(half.wrapped(
            1,
            "A step served another transfer as well, to which its time and switches are counted.",
        ));
    }
    let better = match ideal(recent) {
        Some(ideal) => as_it_could_be(&half, recent, &ideal),
        None => vec![half.heading("No other call would copy less")],
    };
    if wide {
        lines.extend(side_by_side(measured, better, half.width));
    } else {
        lines.extend(measured);
        lines.push(Line::default());
        lines.extend(better);
    }
    Some(lines)
}

fn as_it_could_be(canvas: &Canvas<'_>, recent: &RecentTransfer, ideal: &Ideal) -> Vec<Line<'static>> {
    let copied = |steps: &[Step]| -> u64 {
        let by_cpu = steps.iter().flat_map(|step| &step.copies).filter(|copy| copy.mover == Some(Mover::Cpu));
        by_cpu.filter_map(|copy| copy.bytes).fold(0, u64::saturating_add)
    };
    let transitions: u64 = ideal.steps.iter().map(|step| step.transitions).sum();
    let mut lines = vec![canvas.heading(&format!("As {} would do it (modelled)", ideal.method))];
    lines.extend(anatomy::lanes(canvas, &ideal.steps));
    let before = maybe_bytes(recent.transfer.cpu_copied_bytes);
    let less = format!(
        "CPU copies {} instead of {before}, transitions {} instead of {}.",
        bytes(copied(&ideal.steps)),
        count(transitions),
        count(recent.transfer.transitions)
    );
    lines.extend(canvas.wrapped(1, &less));
    lines.extend(canvas.wrapped(1, ideal.why));
    lines
}

fn side_by_side(left: Vec<Line<'static>>, right: Vec<Line<'static>>, columns: usize) -> Vec<Line<'static>> {
    let rows = left.len().max(right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    let both = |_| {
        let mut line = left.next().unwrap_or_default();
        let gap = columns.saturating_sub(line.width());
        // A style of the whole line goes to its pieces: the other half has its own.
        let style = line.style;
        let mut spans: Vec<Span<'static>> =
            line.spans.drain(..).map(|span| span.clone().style(style.patch(span.style))).collect();
        spans.push(Span::raw(" ".repeat(gap)));
        let other = right.next().unwrap_or_default();
        let style = other.style;
        spans.extend(other.spans.into_iter().map(|span| span.clone().style(style.patch(span.style))));
        Line::from(spans)
    };
    (0..rows).map(both).collect()
}
