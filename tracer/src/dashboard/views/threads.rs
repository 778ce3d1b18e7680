//! Threads: who does how much; each opens to what it did for which flows.

use ratatui::text::Line;

use super::{Canvas, View};
use crate::{
    dashboard::{
        frame::Frame,
        table::{Cell, Row, key, names, numbers},
    },
    look::Lists,
    model::snapshot::Thread,
    view::format::{self, bytes, count, short_duration},
};

/// The view.
pub(crate) const VIEW: View = View {
    title: "Threads",
    columns: &[
        numbers("TID", 7, 0),
        names("COMMAND", 12, 0),
        numbers("CALLS", 11, 0),
        numbers("TRANS", 11, 4),
        numbers("RCHAR", 10, 0),
        numbers("WCHAR", 10, 0),
        numbers("BLOCKED", 8, 3),
        numbers("PREEMPT", 8, 6),
        numbers("SWITCHES", 9, 5),
        numbers("FAULTS", 8, 7),
        numbers("PID", 7, 8),
    ],
    sorted: 2,
    rows: |frame, filter| {
        frame.look.snapshot.threads.iter().filter(|thread| filter.matches_thread(thread)).map(row).collect()
    },
    empty: "No thread is traced.",
    open: Some(open),
    more: Some(|frame, wanted, more| more.thread = find(frame, wanted).map(|thread| thread.tid)),
    flows_by: None,
    lists: Lists { threads: true, ..Lists::NONE },
    partly: None,
    keep: None,
    picture: None,
};

fn row(thread: &Thread) -> Row {
    // One entry stands for many that have ended.
    let tid = if thread.tid == 0 { "many".to_owned() } else { thread.tid.to_string() };
    let name = format::escape(&thread.comm);
    let transitions = thread.transitions;
    Row {
        key: thread_key(thread),
        marked: false,
        cells: vec![
            Cell::By(tid, Some(thread.tid.into())),
            Cell::Text(if thread.ended { format!("{name} (ended)") } else { name.into_owned() }),
            Cell::Count(thread.calls),
            Cell::Count(transitions.syscall + transitions.exception + transitions.interrupt),
            Cell::Bytes(Some(thread.read_bytes)),
            Cell::Bytes(Some(thread.written_bytes)),
            Cell::Duration(Some(thread.blocked_ns)),
            Cell::Duration(Some(thread.preempted_ns)),
            Cell::Count(thread.context_switches.voluntary + thread.context_switches.involuntary),
            Cell::Count(thread.page_faults.minor + thread.page_faults.major),
            Cell::Id(thread.pid),
        ],
    }
}

fn thread_key(thread: &Thread) -> u64 {
    key((thread.pid, thread.tid))
}

fn find(frame: &Frame, wanted: u64) -> Option<&Thread> {
    frame.look.snapshot.threads.iter().find(|thread| thread_key(thread) == wanted)
}

fn open(frame: &Frame, wanted: u64, canvas: &Canvas<'_>) -> Option<Vec<Line<'static>>> {
    let thread = find(frame, wanted)?;
    let (transitions, switches, faults) = (thread.transitions, thread.context_switches, thread.page_faults);
    let ended = if thread.ended { ", ended" } else { "" };
    let title =
        format!("Thread {} of process {}: {}{ended}", thread.tid, thread.pid, format::escape(&thread.comm));
    let in_flight = &frame.look.snapshot.in_flight.at_end;
    let now = in_flight.iter().find(|call| (call.pid, call.tid) == (thread.pid, thread.tid));
    let now = now.map_or_else(
        || "in no call".to_owned(),
        |call| {
            let since = call.time_ns.map(|ns| format!("for {}", short_duration(ns)));
            let since = since.as_deref().unwrap_or("since before tracing began");
            format!("in {} {since}", format::escape(&call.name))
        },
    );
    let by_cause = format!(
        "calls {}, faults {}, interrupts {}",
        count(transitions.syscall),
        count(transitions.exception),
        count(transitions.interrupt)
    );
    let mut lines = vec![
        canvas.heading(&title),
        canvas.fact("now", if thread.ended { "ended" } else { &now }),
        canvas.fact("calls", &count(thread.calls)),
        canvas.fact("transitions by cause", &by_cause),
        canvas.fact(
            "context switches",
            &format!("{} voluntary, {} involuntary", count(switches.voluntary), count(switches.involuntary)),
        ),
        canvas.fact("page faults", &format!("{} minor, {} major", count(faults.minor), count(faults.major))),
        canvas.fact("read", &bytes(thread.read_bytes)),
        canvas.fact("written", &bytes(thread.written_bytes)),
        canvas.fact("blocked", &short_duration(thread.blocked_ns)),
        canvas.fact("preempted", &short_duration(thread.preempted_ns)),
        Line::default(),
        canvas.heading("Its flows, by the bytes that it moved"),
    ];
    if let Some((_, flows)) = frame.look.thread.as_ref().filter(|(tid, _)| *tid == thread.tid) {
        lines.extend(flows.iter().map(|(flow, done)| {
            let what = format!("{} in {}", bytes(done.bytes), format::counted(done.operations, "operation"));
            canvas.flow(flow, &what)
        }));
        if flows.is_empty() {
            lines.push(Line::from("  none that is told apart by thread"));
        }
    }
    lines.push(Line::default());
    lines.push(canvas.heading("Its last transfers, newest first"));
    lines.extend(super::transfers::last(frame, canvas, |transfer| transfer.tid == thread.tid));
    Some(lines)
}
