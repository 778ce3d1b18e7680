//! Totals and the document as a whole.

use std::collections::BTreeMap;

use super::*;
use crate::model::{
    event::{Accounts, CallName, CallTotals, Losses, ThreadTotals},
    testing::{FILE, PID, SOCKET, model, model_with, read, write},
};

fn counters(rchar: u64) -> Event {
    let name = |name| CallName { name, compat: false };
    let totals = |kind, count, bytes| CallTotals { kind, count, bytes, ..CallTotals::default() };
    Event::Counters(Box::new(Counters {
        time_ns: 0,
        calls: BTreeMap::from([
            (name("read"), totals(Some(CallKind::Read), 3, 200)),
            (name("write"), totals(Some(CallKind::Write), 2, 200)),
            (name("futex"), totals(None, 5, 0)),
            (name("openat"), totals(Some(CallKind::Descriptor), 1, 0)),
        ]),
        threads: BTreeMap::from([(
            (100, 1),
            ThreadTotals {
                pid: 100,
                calls: 11,
                syscall_transitions: 22,
                user_faults: 4,
                user_interrupts: 1,
                exec_read_chars: 832,
                in_call: Some((name("read"), Some(5))),
                accounts: Accounts {
                    read_chars: rchar,
                    written_chars: 200,
                    read_calls: 3,
                    write_calls: 2,
                    voluntary: 7,
                    major_faults: 1,
                    ..Accounts::default()
                },
                ..ThreadTotals::default()
            },
        )]),
        losses: Losses { lost_events: 9, ..Losses::default() },
        summed: Summed::default(),
        summed_errors: BTreeMap::new(),
    }))
}

#[test]
fn the_counters_are_the_totals() {
    let mut model = model();
    model.apply([
        Event::Operation(read(FILE, 0..100)),
        Event::Operation(write(SOCKET, 0..100)),
        counters(1032),
    ]);
    let totals = model.totals();
    assert_eq!((totals.operations, totals.calls), (5, 11));
    assert_eq!((totals.read_bytes, totals.written_bytes), (1032, 200));
    assert_eq!((totals.read_calls, totals.write_calls), (Some(3), Some(2)));
    assert_eq!(totals.transitions, snapshot::Transitions { syscall: 22, exception: 8, interrupt: 2 });
    assert_eq!((totals.context_switches.voluntary, totals.page_faults.major), (7, 1));
    assert_eq!(totals.losses.lost_events, 9);
    assert_eq!(totals.kernel_accounts.and_then(|accounts| accounts.agree), Some(true));
    assert_eq!((totals.payload_bytes, totals.payload_bytes_at_most), (Some(100), 100));
    assert_eq!(totals.copy_amplification, Some(2.0));
    let document = model.snapshot();
    assert_eq!(document.totals, totals);
    assert_eq!(document.in_flight.at_end.len(), 1);
    assert_eq!(document.in_flight.at_end[0].time_ns, Some(5));
}

#[test]
fn the_referee_disagrees() {
    let mut model = model();
    model.apply([counters(1031)]);
    assert_eq!(model.totals().kernel_accounts.and_then(|accounts| accounts.agree), Some(false));
}

#[test]
fn before_the_counters_are_read_the_stream_counts() {
    let mut model = model();
    model.apply([Event::Operation(read(FILE, 0..100)), Event::Operation(write(SOCKET, 0..100))]);
    let totals = model.totals();
    assert_eq!((totals.operations, totals.calls, totals.transitions.syscall), (2, 2, 4));
    assert_eq!((totals.read_bytes, totals.written_bytes), (100, 100));
    assert_eq!((totals.read_calls, totals.kernel_accounts), (None, None));
}

#[test]
fn an_empty_model_has_a_document() {
    let totals = Model::new(ModelConfig::default()).snapshot().totals;
    assert_eq!((totals.cpu_copied_bytes, totals.dma_bytes), (Some(0), Some(0)));
    assert_eq!(totals.copy_amplification, None);
}

/// What is in no flow may count twice, as read and as written.
#[test]
fn payload_is_unknown_once_operations_are_in_no_flow() {
    let mut model = model();
    let summed = Summed { operations: 3, calls: 4 };
    let losses = Losses { unattributed_operations: 1, ..Losses::default() };
    model.apply([Event::Counters(Box::new(Counters { summed, losses, ..Counters::default() }))]);
    let totals = model.snapshot().totals;
    assert_eq!(totals.summed, snapshot::Summed { operations: 3, calls: 4 });
    assert_eq!((totals.payload_evidence, totals.copy_amplification), (Evidence::Unknown, None));
    assert_eq!(totals.payload_bytes, None);
}

/// What was in flight when tracing began is in its flow, but what happened inside it is not known: 0 would be a claim.
#[test]
fn what_happened_inside_is_known_of_calls_whose_beginning_was_seen() {
    let mut in_flight = read(FILE, 0..100);
    in_flight.call.began_before = true;
    (in_flight.call.duration_ns, in_flight.call.inside) = (None, None);
    let mut model = model_with(ModelConfig::default());
    model.apply([Event::Operation(in_flight)]);
    let seen = |model: &Model| {
        let flow = &model.snapshot().flows[0];
        (flow.unseen_operations, flow.context_switches.map(|switches| switches.voluntary), flow.blocked_ns)
    };
    assert_eq!(seen(&model), (1, None, None));
    model.apply([Event::Operation(read(FILE, 0..100))]);
    assert_eq!(seen(&model), (1, Some(1), Some(300)), "of the other one it is known");
}

/// A program that ended before anybody looked may have written what it had mapped.
#[test]
fn without_mappings_nobody_knows_whose_bytes_were_written() {
    let evidence = |events: Vec<Event>| {
        let mut model = model_with(ModelConfig::default());
        model.apply(events);
        model.apply([Event::Operation(write(FILE, 0..100))]);
        model.snapshot().flows[0].payload_evidence
    };
    let executed = || Event::Executed { pid: PID, tid: PID, start_ns: 0, comm: "a".to_owned(), time_ns: 1 };
    assert_eq!(evidence(vec![]), Evidence::Derived);
    assert_eq!(evidence(vec![executed()]), Evidence::Modelled);
    assert_eq!(evidence(vec![executed(), Event::MappingsKnown { pid: PID }]), Evidence::Derived);
}

/// Where the kernel did not run a program, what was copied is not known as a whole.
#[test]
fn missed_runs_leave_the_totals_open() {
    let mut model = model_with(ModelConfig::default());
    let losses = Losses { missed_runs: 1, ..Losses::default() };
    let counters = Counters { losses, ..Counters::default() };
    model.apply([Event::Operation(read(FILE, 0..100)), Event::Counters(Box::new(counters))]);
    let totals = model.totals();
    assert_eq!((totals.cpu_copied_bytes, totals.cpu_copied_bytes_at_least), (None, 100));
    assert_eq!(totals.cpu_copied_evidence, Evidence::Unknown);
}

/// Without hooks on entries no time is known: neither of a flow nor of a call.
#[test]
fn without_entries_no_time_is_known() {
    let sources = Sources { entries: false, ..Sources::ALL };
    let mut model = model_with(ModelConfig { sources, ..ModelConfig::default() });
    let mut untimed = read(FILE, 0..100);
    (untimed.call.duration_ns, untimed.call.inside) = (None, None);
    model.apply([Event::Operation(untimed)]);
    let snapshot = model.snapshot();
    assert_eq!(snapshot.flows.iter().map(|flow| flow.time_ns).collect::<Vec<_>>(), [None]);
    assert_eq!(
        snapshot.calls.iter().map(|call| (call.time_ns, call.untimed)).collect::<Vec<_>>(),
        [(None, 1)]
    );
    assert_eq!(snapshot.totals.transitions.syscall, 2);
}
