//! The report's tables of system calls, as `strace -c` has it, and of processes.

use super::heading;
use crate::{
    model::snapshot::{CallStatistics, Latency, Process, RequestStatistics},
    view::{
        format::{UNKNOWN, bytes, count, decimal, escape, known_duration, short_duration},
        layout::{Column, Page, Table, left, right, spare},
        style::Paint,
    },
};

/// Most processes shown.
const SHOWN_PROCESSES: usize = 20;

const COLUMNS: [Column; 11] = [
    right("% time"),
    right("seconds"),
    spare("µs/call", 1),
    right("calls"),
    right("errors"),
    right("bytes"),
    spare("blocked", 2),
    spare("p50", 4),
    right("p99"),
    spare("max", 3),
    left("syscall"),
];

const REQUEST_COLUMNS: [Column; 8] = [
    right("seconds"),
    right("µs/request"),
    right("requests"),
    right("errors"),
    right("bytes"),
    spare("p50", 2),
    spare("p99", 1),
    left("opcode"),
];

pub(super) fn write(page: &mut Page, calls: &[&CallStatistics], all: &[CallStatistics]) {
    heading(page, "SYSTEM CALLS, most time first");
    if all.is_empty() {
        page.line(Paint::Plain, "  none returned");
        return;
    }
    let total = sum(all);
    let mut table = Table::new(&COLUMNS);
    for call in calls {
        table.row(row(call, total.time_ns, UNKNOWN));
    }
    // There is no such thing as the median of different calls.
    table.row(row(&total, total.time_ns, ""));
    let lines = table.lines(0, page.columns());
    let left_out = lines.left_out.join(", ");
    page.table(lines);
    if !left_out.is_empty() {
        page.wrapped(
            Paint::Faint,
            2,
            &format!("no room for: {left_out} (a wider terminal or --json has them)"),
        );
    }
}

/// Requests of io_uring, if there were any.
pub(super) fn write_requests(page: &mut Page, requests: &[&RequestStatistics]) {
    if requests.is_empty() {
        return;
    }
    heading(page, "REQUESTS, most time from submission to completion first (they overlap)");
    let mut table = Table::new(&REQUEST_COLUMNS);
    for request in requests {
        let latency = |pick: fn(&Latency) -> u64| {
            request.latency_ns.as_ref().map_or_else(|| UNKNOWN.to_owned(), |all| short_duration(pick(all)))
        };
        let each = (request.count > 0).then(|| request.time_ns as f64 / 1_000.0 / request.count as f64);
        table.row([
            format!("{:.6}", request.time_ns as f64 / 1e9),
            decimal(each),
            count(request.count),
            if request.errors == 0 { String::new() } else { count(request.errors) },
            if request.bytes == 0 { String::new() } else { bytes(request.bytes) },
            latency(|all| all.p50),
            latency(|all| all.p99),
            escape(&request.name).into_owned(),
        ]);
    }
    let lines = table.lines(0, page.columns());
    page.table(lines);
}

fn row(call: &CallStatistics, total_ns: Option<u64>, no_latency: &str) -> [String; 11] {
    let latency = |pick: fn(&Latency) -> u64| {
        call.latency_ns.as_ref().map_or_else(|| no_latency.to_owned(), |all| short_duration(pick(all)))
    };
    let share = call.time_ns.zip(total_ns).map(|(time, total)| match total {
        0 => 0.0,
        _ => time as f64 * 100.0 / total as f64,
    });
    let each = call.time_ns.filter(|_| call.count > 0).map(|time| time as f64 / 1_000.0 / call.count as f64);
    [
        share.map_or_else(|| UNKNOWN.to_owned(), |share| format!("{share:.2}")),
        call.time_ns.map_or_else(
            || UNKNOWN.to_owned(),
            |time| format!("{}{:.6}", if call.untimed > 0 { "~" } else { "" }, time as f64 / 1e9),
        ),
        decimal(each),
        count(call.count),
        if call.errors == 0 { String::new() } else { count(call.errors) },
        if call.bytes == 0 { String::new() } else { bytes(call.bytes) },
        known_duration(call.blocked_ns),
        latency(|all| all.p50),
        latency(|all| all.p99),
        latency(|all| all.max),
        escape(&call.name).into_owned(),
    ]
}

fn sum(calls: &[CallStatistics]) -> CallStatistics {
    let sum = |pick: fn(&CallStatistics) -> u64| calls.iter().map(pick).fold(0, u64::saturating_add);
    let known = |pick: fn(&CallStatistics) -> Option<u64>| {
        calls.iter().map(pick).try_fold(0, |sum: u64, call| Some(sum.saturating_add(call?)))
    };
    CallStatistics {
        name: "total".to_owned(),
        count: sum(|call| call.count),
        errors: sum(|call| call.errors),
        unfinished: sum(|call| call.unfinished),
        bytes: sum(|call| call.bytes),
        untimed: sum(|call| call.untimed),
        time_ns: known(|call| call.time_ns),
        blocked_ns: known(|call| call.blocked_ns),
        preempted_ns: known(|call| call.preempted_ns),
        errors_by_name: Vec::new(),
        latency_ns: None,
    }
}

/// Who took part, where there was more than one process.
pub(super) fn write_processes(page: &mut Page, processes: &[Process]) {
    if processes.len() < 2 {
        return;
    }
    heading(page, "PROCESSES");
    let mut table = Table::new(&[
        right("pid"),
        right("parent"),
        right("calls"),
        right("transitions"),
        right("read"),
        right("written"),
        spare("switches", 1),
        right("exit"),
        left("comm"),
    ]);
    for process in processes.iter().take(SHOWN_PROCESSES) {
        table.row(process_row(process));
    }
    page.table(table.lines(0, page.columns()));
    let hidden = processes.len().saturating_sub(SHOWN_PROCESSES);
    if hidden > 0 {
        page.line(Paint::Faint, format!("and {} more (--json has all)", count(hidden as u64)));
    }
}

fn process_row(process: &Process) -> [String; 9] {
    let transitions = process.transitions;
    let switches = process.context_switches;
    [
        process.pid.to_string(),
        process.parent.map_or_else(String::new, |parent| parent.to_string()),
        count(process.calls),
        count(
            transitions.syscall.saturating_add(transitions.exception).saturating_add(transitions.interrupt),
        ),
        bytes(process.read_bytes),
        bytes(process.written_bytes),
        count(switches.voluntary.saturating_add(switches.involuntary)),
        process.exit_code.map_or_else(String::new, |code| code.to_string()),
        escape(&process.comm).into_owned(),
    ]
}
