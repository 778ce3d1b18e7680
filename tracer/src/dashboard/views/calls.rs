//! System calls and requests, as `strace -c` gives them, with bytes and latencies.

use ratatui::text::{Line, Span};

use super::{Canvas, View};
use crate::{
    dashboard::{
        frame::Frame,
        table::{Cell, Row, key, names, numbers},
        theme::Role,
    },
    filter::Filter,
    look::Lists,
    model::{
        heat::Heat,
        snapshot::{CallStatistics, Latency, RequestStatistics},
    },
    view::format::{self, count, known_duration, short_duration},
};

/// The view.
pub(crate) const VIEW: View = View {
    title: "Calls",
    columns: &[
        names("CALL", 16, 0),
        numbers("CALLS", 11, 0),
        numbers("ERRORS", 9, 2),
        numbers("BYTES", 10, 0),
        numbers("TIME", 8, 0),
        numbers("BLOCKED", 8, 6),
        numbers("p50", 8, 1),
        numbers("p90", 8, 5),
        numbers("p99", 8, 3),
        numbers("MAX", 8, 4),
    ],
    sorted: 4,
    rows,
    empty: "No system call has returned yet.",
    open: Some(open),
    more: Some(|frame, wanted, more| {
        let mut calls = frame.look.snapshot.calls.iter();
        more.call = calls.find(|call| key(call.name.as_str()) == wanted).map(|call| call.name.clone());
    }),
    flows_by: None,
    lists: Lists::NONE,
    partly: None,
    keep: None,
    picture: None,
};

fn rows(frame: &Frame, filter: &Filter) -> Vec<Row> {
    let calls = frame.look.snapshot.calls.iter().filter(|call| filter.matches_call(call)).map(call_row);
    let requests = frame.look.snapshot.requests.iter().filter(|request| filter.matches_request(request));
    calls.chain(requests.map(request_row)).collect()
}

fn call_row(call: &CallStatistics) -> Row {
    row(
        &call.name,
        [
            Cell::Count(call.count),
            Cell::Count(call.errors),
            Cell::Bytes(Some(call.bytes)),
            Cell::Duration(call.time_ns),
            Cell::Duration(call.blocked_ns),
        ],
        call.latency_ns,
    )
}

fn request_row(request: &RequestStatistics) -> Row {
    row(
        &request.name,
        [
            Cell::Count(request.count),
            Cell::Count(request.errors),
            Cell::Bytes(Some(request.bytes)),
            Cell::Duration(Some(request.time_ns)),
            // Requests are no thread's.
            Cell::By("-".to_owned(), None),
        ],
        request.latency_ns,
    )
}

fn row(name: &str, figures: [Cell; 5], latency: Option<Latency>) -> Row {
    let of = |pick: fn(Latency) -> u64| Cell::Duration(latency.map(pick));
    let mut cells = vec![Cell::name(name)];
    cells.extend(figures);
    cells.extend([
        of(|latency| latency.p50),
        of(|latency| latency.p90),
        of(|latency| latency.p99),
        of(|latency| latency.max),
    ]);
    Row { key: key(name), marked: false, cells }
}

fn open(frame: &Frame, wanted: u64, canvas: &Canvas<'_>) -> Option<Vec<Line<'static>>> {
    let call = frame.look.snapshot.calls.iter().find(|call| key(call.name.as_str()) == wanted)?;
    let off_cpu = call.blocked_ns.zip(call.preempted_ns).map(|(one, other)| one.saturating_add(other));
    let on_cpu = call.time_ns.zip(off_cpu).map(|(time, off)| time.saturating_sub(off));
    let calls = format!(
        "{}, {} failed, {} never returned",
        count(call.count),
        count(call.errors),
        count(call.unfinished)
    );
    let time = format!(
        "{}: on CPU {}, blocked {}, preempted {}",
        known_duration(call.time_ns),
        known_duration(on_cpu),
        known_duration(call.blocked_ns),
        known_duration(call.preempted_ns)
    );
    let latency = call.latency_ns.map_or_else(
        || "not known: no call was seen from begin to end".to_owned(),
        |Latency { samples, p50, p90, p99, max }| {
            format!(
                "p50 {}, p90 {}, p99 {}, max {} of {}",
                short_duration(p50),
                short_duration(p90),
                short_duration(p99),
                short_duration(max),
                format::counted(samples, "call")
            )
        },
    );
    let mut lines = vec![
        canvas.heading(&format::escape(&call.name)),
        canvas.fact("calls", &calls),
        canvas.fact("payload", &format::bytes(call.bytes)),
        canvas.fact("time", &time),
        canvas.fact("latency", &latency),
    ];
    if !call.errors_by_name.is_empty() {
        lines.push(Line::default());
        lines.push(canvas.heading("Errors by name"));
    }
    lines.extend(call.errors_by_name.iter().map(|error| canvas.fact(&error.name, &count(error.count))));
    if let Some((_, heat)) = frame.look.heat.as_ref().filter(|(name, _)| *name == call.name) {
        lines.push(Line::default());
        lines.extend(heat_map(canvas, heat));
    }
    Some(lines)
}

/// Columns of what stands left of the map.
const MARGIN: usize = 12;

/// Latencies over time: a row for each size, the longest above, and the latest column to the right.
fn heat_map(canvas: &Canvas<'_>, heat: &Heat) -> Vec<Line<'static>> {
    let shades = canvas.theme.shades();
    let highest = heat.counts.iter().flatten().copied().max().unwrap_or(0).max(1);
    let room = canvas.width.saturating_sub(MARGIN + 2);
    let skipped = heat.counts.len().saturating_sub(room);
    let head = format!("Latency over time, {} a column", short_duration(heat.column_ns));
    let mut lines = vec![canvas.heading(&head)];
    for (bucket, from) in heat.buckets_from_ns.iter().enumerate().rev() {
        let shade = |column: &Vec<u64>| {
            let seen = column.get(bucket).copied().unwrap_or(0);
            let steps = shades.len() as u64 - 1;
            // What is above 0 is seen, and few beside many are told apart: by the logarithm.
            let weight = ((seen + 1) as f64).ln() / ((highest + 1) as f64).ln();
            let step = (weight * steps as f64).ceil() as usize;
            shades.get(step.min(shades.len() - 1)).copied().unwrap_or(" ")
        };
        let map: String = heat.counts.iter().skip(skipped).map(shade).collect();
        let label = canvas.theme.spell(&format!("≥ {}", short_duration(*from)));
        lines.push(Line::from(vec![
            Span::styled(format!(" {label:>MARGIN$} "), canvas.theme.style(Role::Faint)),
            Span::styled(map, canvas.theme.style(Role::Cpu)),
        ]));
    }
    lines
}
