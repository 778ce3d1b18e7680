//! Threads: who does how much.

use super::View;
use crate::{
    dashboard::table::{Cell, Row, key, names, numbers},
    model::snapshot::Thread,
    view::format,
};

/// The view.
pub(crate) const VIEW: View = View {
    title: "Threads",
    columns: &[
        numbers("TID", 7, 0),
        names("COMMAND", 12, 0),
        numbers("CALLS", 11, 0),
        numbers("TRANS", 11, 4),
        numbers("READ", 10, 0),
        numbers("WRITTEN", 10, 0),
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
    open: None,
    more: None,
    flows_by: None,
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
        key: key((thread.pid, thread.tid)),
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
