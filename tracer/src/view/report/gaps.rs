//! What the report does not show: lost detail and calls in flight.

use super::heading;
use crate::{
    model::snapshot::{InFlight, InFlightCall, Losses, Snapshot, Summed},
    view::{
        format::{counted, duration, escape},
        layout::Page,
        style::Paint,
    },
};

/// Most calls in flight that are named.
const NAMED: usize = 10;

/// What was summed in the kernel by intent.
pub(super) fn write_summed(page: &mut Page, snapshot: &Snapshot) {
    let Summed { operations, calls } = snapshot.totals.summed;
    if operations == 0 && calls == 0 {
        return;
    }
    heading(page, "SUMMED IN THE KERNEL");
    let sums = format!(
        "  {} and {} came too fast to be told one by one, or none was to be (--summary): calls, bytes, descriptors and \
         transitions have them exactly. Reads are joined to writes in the proportion of those that were told (~); where none \
         was, bytes that were read and then written count as payload twice (?).",
        counted(operations, "operation"),
        counted(calls, "other call"),
    );
    page.wrapped(Paint::Plain, 2, &sums);
    let timed = snapshot.calls.iter().all(|call| call.time_ns.is_some());
    let untimed = snapshot.calls.iter().map(|call| call.untimed).fold(0, u64::saturating_add);
    if timed && untimed > 0 {
        let times = format!(
            "  {} of these and others were not timed: in seconds and µs/call marked ~ they have the mean of the timed ones \
             (--latency all times each, --detail all tells each).",
            counted(untimed, "call"),
        );
        page.wrapped(Paint::Plain, 2, &times);
    }
}

pub(super) fn write_losses(page: &mut Page, losses: &Losses) {
    if *losses == Losses::default() {
        return;
    }
    page.blank();
    page.line(Paint::Warning, "LOSSES");
    // Destructured, so that a new kind of loss cannot be forgotten here.
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
    } = *losses;
    let kinds = [
        (
            folded_operations,
            "operation",
            "came too fast to be kept one by one: folded into the counters of their \
          call and endpoints, and joined to transfers in the proportion of those that were told",
        ),
        (unattributed_operations, "operation", "counted in the totals, but in no flow"),
        (folded_calls, "other call", "counted, but without latency"),
        (
            lost_events,
            "event",
            "on descriptors, mappings, threads or programs lost: a flow may name the wrong \
          endpoint or none",
        ),
        (untraced_threads, "thread", "could not be traced: nothing of it is in this report"),
        (unknown_endpoints, "endpoint", "could not be identified"),
        (undecodable_records, "record", "not understood by this version"),
        (
            untraced_submissions,
            "request",
            "of io_uring or AIO, or calls that submit such, not traced: what they moved is in no number here",
        ),
        (
            missed_runs,
            "event",
            "missed: the kernel skipped the hook, since another thread was in it and had been preempted there. \
          Counts, bytes and times are too low",
        ),
    ];
    for (number, noun, meaning) in kinds.into_iter().filter(|(number, ..)| *number > 0) {
        page.wrapped(Paint::Warning, 4, &format!("  {} {meaning}", counted(number, noun)));
    }
    let scope = if untraced_threads == 0 { "" } else { " for the threads that were traced" };
    if missed_runs == 0 {
        let totals =
            format!("  Calls, bytes read and written, transitions, switches and faults are exact{scope}.");
        page.wrapped(Paint::Plain, 2, &totals);
    }
}

pub(super) fn write_in_flight(page: &mut Page, in_flight: &InFlight) {
    if in_flight.at_start.is_empty() && in_flight.at_end.is_empty() {
        return;
    }
    heading(page, "IN FLIGHT");
    write_calls(page, "when tracing began (counted, without duration)", &in_flight.at_start);
    write_calls(page, "when tracing ended (not counted)", &in_flight.at_end);
}

fn write_calls(page: &mut Page, when: &str, calls: &[InFlightCall]) {
    if calls.is_empty() {
        return;
    }
    let mut names: Vec<String> = calls.iter().take(NAMED).map(call).collect();
    if let Some(hidden) = calls.len().checked_sub(NAMED).filter(|hidden| *hidden > 0) {
        names.push(format!("{hidden} more"));
    }
    page.wrapped(Paint::Plain, 4, &format!("  {when}: {}", names.join(", ")));
}

fn call(call: &InFlightCall) -> String {
    let since = call.time_ns.map_or_else(String::new, |ns| format!(" for {}", duration(ns)));
    format!("{} in thread {}{since}", escape(&call.name), call.tid)
}
