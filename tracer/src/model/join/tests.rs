//! What real programs do, and what the flows must then say.

use std::slice::from_ref;

use super::*;
use crate::model::{
    Model, ModelConfig,
    endpoint::EndpointKind,
    event::{Call, CallName, Counters, Event, Losses, Ran, Request, Serial, Side, ThreadStarted},
    evidence::Evidence,
    snapshot::Snapshot,
    testing::{
        FILE, OTHER_FILE, OTHER_PIPE, OTHER_SOCKET, PID, PIPE, SOCKET, after, flow, folded, loopback, mapped,
        model, operation, payloads, read, write,
    },
};

fn after_events(events: impl IntoIterator<Item = Event>) -> Snapshot {
    let mut model = model();
    model.apply(events);
    model.snapshot()
}

const CHUNK: u64 = 65_536;
const CHUNKS: u64 = 128;

#[test]
fn the_classical_relay() {
    let relay = (0..CHUNKS).flat_map(|_| [read(FILE, 4096..4096 + CHUNK), write(SOCKET, 4096..4096 + CHUNK)]);
    let end = Operation { bytes: 0, ..read(FILE, 4096..4096 + CHUNK) };
    let snapshot = after(relay.chain([end]));
    let size = CHUNK * CHUNKS;
    let relayed = flow(&snapshot, "read+write");
    assert_eq!(relayed.payload_bytes, size);
    assert_eq!(relayed.cpu_copied_bytes, Some(2 * size));
    assert_eq!(relayed.copy_amplification, Some(2.0));
    assert_eq!(
        (relayed.transitions, relayed.operations, relayed.transfers),
        (4 * CHUNKS, 2 * CHUNKS, CHUNKS)
    );
    assert_eq!(relayed.dma_bytes, Some(0));
    assert_eq!(relayed.evidence, Evidence::Derived);
    assert_eq!((relayed.time_ns, relayed.on_cpu_ns), (Some(2 * CHUNKS * 1000), Some(2 * CHUNKS * 600)));
    assert_eq!(relayed.source.path.as_deref(), Some("/file1"));
    assert_eq!(relayed.sink.address.as_deref(), Some("tcp"));
    let order: Vec<_> = relayed.copies.iter().map(|copy| (copy.from, copy.to, copy.bytes)).collect();
    use crate::model::endpoint::Place::{Device, PageCache, Socket, User};
    assert_eq!(
        order,
        [(Device, PageCache, Some(0)), (PageCache, User, Some(size)), (User, Socket, Some(size)),]
    );
    // The read that found the end is no part of it.
    let rest = flow(&snapshot, "read");
    assert_eq!((rest.payload_bytes, rest.transitions, rest.transfers), (0, 2, 0));
    assert_eq!(rest.copies, []);
    assert_eq!(snapshot.flows.len(), 2);
    assert_eq!(snapshot.totals.payload_bytes_at_most, size);
    assert_eq!(snapshot.totals.cpu_copied_bytes, Some(2 * size));
    assert_eq!(snapshot.totals.copy_amplification, Some(2.0));
}

#[test]
fn several_writes_per_read() {
    let snapshot = after([
        read(FILE, 0..100),
        write(SOCKET, 0..30),
        Operation { bytes: 0, ..write(SOCKET, 30..100) },
        write(SOCKET, 30..100),
    ]);
    let relayed = flow(&snapshot, "read+write");
    assert_eq!((relayed.payload_bytes, relayed.cpu_copied_bytes), (100, Some(200)));
    assert_eq!((relayed.operations, relayed.transitions, relayed.transfers), (3, 6, 2));
    // The one that would have blocked.
    let refused = flow(&snapshot, "write");
    assert_eq!((refused.payload_bytes, refused.operations, refused.transitions), (0, 1, 2));
}

#[test]
fn a_part_that_is_never_sent_on_stays_where_it_was() {
    let snapshot = after([read(FILE, 0..100), write(SOCKET, 0..30), read(OTHER_FILE, 0..100)]);
    assert_eq!(payloads(&snapshot), [("read", 70), ("read", 100), ("read+write", 30)]);
    let relayed = flow(&snapshot, "read+write");
    assert_eq!((relayed.cpu_copied_bytes, relayed.transitions), (Some(60), 4));
}

#[test]
fn several_reads_per_write_and_vectors() {
    let header = 1000..1020;
    let two =
        Operation { buffers: vec![header, 0..100, 200..250].into(), bytes: 165, ..write(SOCKET, 0..170) };
    let snapshot = after([read(FILE, 0..100), read(OTHER_FILE, 200..250), two]);
    // 20 bytes of its own, 100 and 45 that were read.
    assert_eq!(payloads(&snapshot), [("read", 5), ("read+write", 45), ("read+write", 100), ("write", 20)]);
    let of = |path: &str| {
        let found = snapshot
            .flows
            .iter()
            .find(|flow| flow.method == "read+write" && flow.source.path.as_deref() == Some(path));
        found.unwrap()
    };
    // What the write cost goes to the largest part, and its copies by bytes.
    assert_eq!((of("/file1").transitions, of("/file1").cpu_copied_bytes), (4, Some(200)));
    assert_eq!((of("/file4").transitions, of("/file4").cpu_copied_bytes), (2, Some(90)));
    assert_eq!(flow(&snapshot, "write").cpu_copied_bytes, Some(20));
    assert_eq!(snapshot.totals.cpu_copied_bytes, Some(100 + 50 + 165));
}

#[test]
fn a_read_vector_is_filled_in_order() {
    let vector = Operation { buffers: vec![100..110, 0..10].into(), bytes: 15, ..read(FILE, 0..20) };
    let snapshot = after([vector, write(SOCKET, 0..10), write(SOCKET, 100..110)]);
    assert_eq!(payloads(&snapshot), [("read+write", 15), ("write", 5)]);
}

#[test]
fn fan_out_delivers_again() {
    let snapshot = after([read(FILE, 0..100), write(SOCKET, 0..100), write(OTHER_SOCKET, 0..100)]);
    let mut flows: Vec<_> = snapshot
        .flows
        .iter()
        .filter(|flow| flow.method == "read+write")
        .map(|flow| (flow.payload_bytes, flow.cpu_copied_bytes, flow.transitions))
        .collect();
    flows.sort_unstable();
    assert_eq!(flows, [(100, Some(100), 2), (100, Some(200), 4)]);
    assert_eq!(snapshot.totals.payload_bytes_at_most, 200);
}

#[test]
fn the_same_buffer_twice_in_one_write() {
    let twice = Operation { buffers: vec![0..10, 0..10].into(), bytes: 20, ..write(SOCKET, 0..20) };
    let snapshot = after([read(FILE, 0..100), twice]);
    assert_eq!(payloads(&snapshot), [("read", 90), ("read+write", 20)]);
    assert_eq!(flow(&snapshot, "read+write").cpu_copied_bytes, Some(10 + 20));
}

#[test]
fn methods_of_sockets() {
    let receive = Operation { kind: CallKind::Receive, ..read(SOCKET, 0..10) };
    let send = Operation { kind: CallKind::Send, ..write(OTHER_SOCKET, 0..10) };
    let zerocopy = Operation { flags: 0x400_0000, ..send.clone() };
    let method = |operations: [Operation; 2]| {
        let snapshot = after(operations);
        let found: Vec<_> = snapshot.flows.iter().filter(|flow| flow.payload_bytes > 0).collect();
        assert_eq!(found.len(), 1);
        found[0].method.clone()
    };
    assert_eq!(method([receive.clone(), send.clone()]), "recv+send");
    assert_eq!(method([read(FILE, 0..10), send]), "read+send");
    assert_eq!(method([receive, write(FILE, 0..10)]), "recv+write");
    assert_eq!(method([read(FILE, 0..10), zerocopy.clone()]), "read+send(MSG_ZEROCOPY)");
    let alone = after([zerocopy]);
    // Loopback copies after all.
    assert_eq!(flow(&alone, "send(MSG_ZEROCOPY)").copy_amplification, Some(1.0));
}

#[test]
fn peeked_bytes_are_delivered_once() {
    let receive = Operation { kind: CallKind::Receive, ..read(SOCKET, 0..10) };
    let peek = Operation { flags: 2, ..receive.clone() };
    let snapshot = after([peek, receive, write(FILE, 0..10)]);
    assert_eq!(payloads(&snapshot), [("recv+write", 10)]);
    assert_eq!(flow(&snapshot, "recv").cpu_copied_bytes, Some(10));
    assert_eq!(snapshot.totals.cpu_copied_bytes, Some(30));
}

#[test]
fn a_mapped_file() {
    let mut model = model();
    model.apply([mapped(FILE, 4096..8192), Event::Operation(write(SOCKET, 4096..8192))]);
    let snapshot = model.snapshot();
    let flow = flow(&snapshot, "mmap+write");
    assert_eq!((flow.payload_bytes, flow.copy_amplification, flow.transitions), (4096, Some(1.0), 2));
    assert_eq!(flow.source.path.as_deref(), Some("/file1"));
}

#[test]
fn memory_that_is_unmapped_or_executed_over_is_forgotten() {
    for end in [
        Event::Unmapped { pid: PID, range: 0..100 },
        Event::Executed { pid: PID, tid: PID, start_ns: 0, comm: String::new(), time_ns: 0 },
    ] {
        let mut model = model();
        model.apply([Event::Operation(read(FILE, 0..100)), end, Event::Operation(write(SOCKET, 0..100))]);
        assert_eq!(payloads(&model.snapshot()), [("read", 100), ("write", 100)]);
    }
}

#[test]
fn what_a_parent_read_is_its_childs_own() {
    let mut model = model();
    let child = 101;
    let fork = ThreadStarted {
        pid: child,
        tid: child,
        parent: PID,
        attached: false,
        start_ns: 0,
        shares_descriptors: false,
        time_ns: 0,
        comm: String::new(),
    };
    let mut sent = write(SOCKET, 0..100);
    sent.call.pid = child;
    model.apply([Event::Operation(read(FILE, 0..100)), Event::ThreadStarted(fork), Event::Operation(sent)]);
    let snapshot = model.snapshot();
    assert_eq!(flow(&snapshot, "write").cpu_copied_bytes, Some(100));
    assert_eq!(flow(&snapshot, "read").cpu_copied_bytes, Some(100));
}

#[test]
fn sendfile_is_a_transfer_by_itself() {
    let snapshot = after((0..CHUNKS).map(|_| operation(CallKind::Sendfile, FILE, SOCKET, CHUNK)));
    let flow = flow(&snapshot, "sendfile");
    assert_eq!((flow.copy_amplification, flow.transitions, flow.transfers), (Some(0.0), 2 * CHUNKS, CHUNKS));
}

#[test]
fn splice_through_a_pipe_is_one_transfer() {
    let chunk =
        || [operation(CallKind::Splice, FILE, PIPE, CHUNK), operation(CallKind::Splice, PIPE, SOCKET, CHUNK)];
    let snapshot = after((0..CHUNKS).flat_map(|_| chunk()));
    assert_eq!(payloads(&snapshot), [("splice", CHUNK * CHUNKS)]);
    let flow = snapshot.flows.iter().find(|flow| flow.payload_bytes > 0).unwrap();
    assert_eq!((flow.copy_amplification, flow.transitions), (Some(0.0), 4 * CHUNKS));
    assert_eq!(flow.source.path.as_deref(), Some("/file1"));
    assert_eq!(flow.transfers, CHUNKS);
    let ways: Vec<_> = flow.copies.iter().map(|copy| (copy.from, copy.to)).collect();
    use crate::model::endpoint::Place::{Device, PageCache, Pipe, Socket};
    assert_eq!(ways, [(Device, PageCache), (PageCache, Pipe), (Pipe, Socket)]);
    assert_eq!(snapshot.flows.len(), 1, "what went through left nothing behind");
}

#[test]
fn what_rests_in_a_pipe_and_what_was_there_before() {
    let snapshot =
        after([operation(CallKind::Splice, FILE, PIPE, 100), operation(CallKind::Splice, PIPE, SOCKET, 60)]);
    assert_eq!(payloads(&snapshot), [("splice", 40), ("splice", 60)]);
    let snapshot = after([operation(CallKind::Splice, PIPE, SOCKET, 60)]);
    assert_eq!(flow(&snapshot, "splice").source.kind, EndpointKind::Pipe);
    let written = after([write(PIPE, 0..50), operation(CallKind::Splice, PIPE, SOCKET, 50)]);
    assert_eq!(flow(&written, "splice").source.kind, EndpointKind::Pipe);
    let read_out = after([operation(CallKind::Splice, FILE, PIPE, 100), read(PIPE, 0..100)]);
    assert_eq!(payloads(&read_out), [("read", 100), ("splice", 100)]);
}

#[test]
fn tee_and_pipe_to_pipe() {
    let snapshot = after([
        operation(CallKind::Splice, FILE, PIPE, 100),
        operation(CallKind::Tee, PIPE, OTHER_PIPE, 100),
        operation(CallKind::Splice, OTHER_PIPE, SOCKET, 100),
        operation(CallKind::Splice, PIPE, OTHER_SOCKET, 100),
    ]);
    assert_eq!(payloads(&snapshot), [("splice", 100), ("splice", 100), ("tee", 100)]);
    assert_eq!(snapshot.totals.cpu_copied_bytes, Some(0));
    let from_file = |flow: &&crate::model::snapshot::Flow| flow.source.kind == EndpointKind::File;
    assert_eq!(snapshot.flows.iter().filter(from_file).count(), 2);
    let moved_on = after([
        operation(CallKind::Splice, FILE, PIPE, 100),
        operation(CallKind::Splice, PIPE, OTHER_PIPE, 100),
        operation(CallKind::Splice, OTHER_PIPE, SOCKET, 100),
    ]);
    assert_eq!(payloads(&moved_on), [("splice", 100), ("splice", 100)]);
}

#[test]
fn vmsplice_goes_by_the_end_of_the_pipe() {
    let gift = |flags| {
        let mut operation = Operation { kind: CallKind::Vmsplice, ..write(PIPE, 0..100) };
        operation.sink = Some(Side { flags, ..crate::model::testing::side(PIPE) });
        operation
    };
    let snapshot = after([gift(1)]);
    assert_eq!(flow(&snapshot, "vmsplice").sink.kind, EndpointKind::Pipe);
    assert_eq!(payloads(&after([read(FILE, 0..100), gift(1)])), [("read+vmsplice", 100)]);
    assert_eq!(payloads(&after([gift(0), write(SOCKET, 0..100)])), [("vmsplice+write", 100)]);
}

#[test]
fn process_vm_readv_overwrites_what_was_read() {
    let other = Operation { kind: CallKind::ProcessVmRead, source: None, ..read(FILE, 0..100) };
    let snapshot = after([read(FILE, 0..100), other, write(SOCKET, 0..100)]);
    assert_eq!(payloads(&snapshot), [("process_vm_readv", 100), ("read", 100), ("write", 100)]);
}

#[test]
fn the_kernels_report_on_a_zerocopy_send() {
    let send = |first| Operation {
        kind: CallKind::Send,
        flags: 0x400_0000,
        zerocopy: Some(Zerocopy::Sent { first, end: first + 1 }),
        ..write(SOCKET, 0..100)
    };
    let report = |first, end, copied| Operation {
        kind: CallKind::Receive,
        bytes: 0,
        zerocopy: Some(Zerocopy::Done { first, end, copied }),
        ..read(SOCKET, 0..0)
    };
    let counts = |snapshot: &Snapshot| {
        let zerocopy = flow(snapshot, "send(MSG_ZEROCOPY)").zerocopy;
        zerocopy.map(|counts| (counts.sends, counts.copied, counts.by_reference, counts.not_reported))
    };
    let snapshot = after([send(0), send(1), send(2), report(0, 2, true)]);
    assert_eq!(counts(&snapshot), Some((3, 2, 0, 1)));
    assert_eq!(snapshot.totals.cpu_copied_bytes, Some(300), "the third as the table has it: over loopback");
    let snapshot = after([send(0), send(1), report(0, 1, false), report(1, 2, false)]);
    assert_eq!(counts(&snapshot), Some((2, 0, 2, 0)));
    let flow = flow(&snapshot, "send(MSG_ZEROCOPY)");
    assert_eq!((flow.cpu_copied_bytes, flow.evidence), (Some(0), Evidence::Derived));
    let ignored = Operation { zerocopy: Some(Zerocopy::Sent { first: 5, end: 5 }), ..send(5) };
    let snapshot = after([ignored, report(0, 9, false)]);
    assert_eq!((counts(&snapshot), snapshot.totals.cpu_copied_bytes), (None, Some(100)));
}

/// Payload, operations, and how many of these were estimated, of the flow with this method.
fn sums(snapshot: &Snapshot, method: &str) -> (u64, u64, u64) {
    let flow = flow(snapshot, method);
    (flow.payload_bytes, flow.operations, flow.estimated_operations)
}

#[test]
fn folded_reads_are_in_flows_and_joined_to_no_write_that_is_told() {
    let reads = folded(CallKind::Read, FILE, 0, 10, 1000);
    let snapshot = after_events([
        Event::Operation(read(FILE, 0..100)),
        Event::Folded(vec![Folded { storage_read_bytes: Some(4096), ..reads }]),
        Event::Operation(write(SOCKET, 0..100)),
    ]);
    assert_eq!(sums(&snapshot, "read"), (1100, 11, 0));
    let read = flow(&snapshot, "read");
    assert_eq!((read.transitions, read.folded_operations, read.dma_bytes), (22, 10, Some(4096)));
    // Who knows where those reads went: the earlier one is no longer believed.
    assert_eq!(flow(&snapshot, "write").payload_bytes, 100);
}

/// Of what is told, half of the bytes that are written were read before: so it is with what is folded.
#[test]
fn of_folded_operations_as_much_is_joined_as_of_those_that_are_told() {
    let [reads, writes] =
        [folded(CallKind::Read, FILE, 0, 10, 1000), folded(CallKind::Write, 0, SOCKET, 20, 1000)];
    let snapshot = after_events([
        Event::Operation(read(FILE, 0..100)),
        Event::Operation(write(SOCKET, 0..100)),
        Event::Operation(write(SOCKET, 500..600)),
        Event::Folded(vec![writes.clone(), reads.clone()]),
    ]);
    assert_eq!(sums(&snapshot, "read+write"), (600, 17, 15));
    assert_eq!(sums(&snapshot, "write"), (600, 11, 10));
    assert_eq!(sums(&snapshot, "read"), (500, 5, 5));
    let relay = flow(&snapshot, "read+write");
    assert_eq!((relay.transitions, relay.transfers, relay.folded_operations), (34, 11, 15));
    assert_eq!((relay.copy_amplification, relay.payload_evidence), (Some(2.0), Evidence::Modelled));
    assert_eq!(flow(&snapshot, "read").payload_evidence, Evidence::Modelled);
    let totals = &snapshot.totals;
    assert_eq!((totals.payload_bytes_at_most, totals.payload_evidence), (1700, Evidence::Modelled));

    // Of which there is less than was written cannot all be joined.
    let few = Folded { bytes: 100, ..reads };
    let snapshot = after_events([
        Event::Operation(read(FILE, 0..100)),
        Event::Operation(write(SOCKET, 0..100)),
        Event::Folded(vec![few, writes]),
    ]);
    assert_eq!(sums(&snapshot, "read+write"), (1100, 32, 30), "some bytes were sent twice");
    assert_eq!((snapshot.flows.len(), snapshot.totals.payload_bytes_at_most), (1, 1100));
}

#[test]
fn where_no_write_is_told_nobody_knows_what_counts_twice() {
    let [reads, writes] =
        [folded(CallKind::Read, FILE, 0, 10, 1000), folded(CallKind::Write, 0, SOCKET, 20, 1000)];
    let evidence = |events: &[&[Folded]]| {
        let events = events.iter().map(|folded| Event::Folded(folded.to_vec()));
        after_events(events).totals.payload_evidence
    };
    assert_eq!(evidence(&[from_ref(&reads)]), Evidence::Derived);
    assert_eq!(evidence(&[from_ref(&writes)]), Evidence::Derived);
    assert_eq!(evidence(&[&[reads.clone(), writes.clone()]]), Evidence::Unknown);
    assert_eq!(evidence(&[from_ref(&reads), from_ref(&writes)]), Evidence::Unknown);
    let half = folded(CallKind::Splice, PIPE, SOCKET, 10, 1000);
    assert_eq!(evidence(&[&[half]]), Evidence::Unknown, "the other half may have been told");
}

#[test]
fn a_call_in_flight_at_the_attach_returned_once() {
    let mut late = read(FILE, 0..100);
    late.call = Call { duration_ns: None, began_before: true, ..late.call };
    let mut model = model();
    let attached = ThreadStarted {
        pid: late.call.pid,
        tid: late.call.tid,
        parent: late.call.pid,
        attached: true,
        start_ns: 0,
        shares_descriptors: false,
        time_ns: 0,
        comm: String::new(),
    };
    model.apply([Event::ThreadStarted(attached), Event::Operation(late.clone())]);
    let snapshot = model.snapshot();
    assert_eq!(flow(&snapshot, "read").transitions, 1);
    // A later one of which no entry was seen was refused by seccomp: it was not in flight.
    model.apply([Event::Operation(late)]);
    assert_eq!(model.snapshot().in_flight.at_start.len(), 1);
    assert_eq!(snapshot.in_flight.at_start[0].name, "read");
}

#[test]
fn transfers_are_taken_once_and_bounded() {
    let mut model = model();
    model.apply([read(FILE, 0..100), write(SOCKET, 0..60)].map(Event::Operation));
    let taken = model.take_transfers();
    assert_eq!(taken.len(), 1);
    let transfer = &taken[0];
    assert_eq!((transfer.method.as_str(), transfer.payload_bytes), ("read+write", 60));
    assert_eq!((transfer.cpu_copied_bytes, transfer.transitions), (Some(120), 4));
    assert_eq!(transfer.time_in_calls_ns, Some(2000));
    assert_eq!(model.take_transfers(), []);
    let config = ModelConfig { record_transfers: true, most_waiting_transfers: 3, ..ModelConfig::default() };
    let mut small = Model::new(config);
    small.apply([Event::Endpoint(Serial(SOCKET), loopback(2))]);
    small.apply((0..10).map(|_| Event::Operation(write(SOCKET, 0..10))));
    assert_eq!((small.take_transfers().len(), small.dropped_transfers()), (3, 7));
}

#[test]
fn a_vector_too_long_to_be_carried() {
    let long = |complete| Operation { bytes: 500, buffers_complete: complete, ..read(OTHER_FILE, 200..300) };
    let writes = [write(SOCKET, 0..100), write(SOCKET, 200..300)];
    let [first, second] = writes.clone();
    let snapshot = after([read(FILE, 0..100), long(false), first, second]);
    // The rest may have gone over what was read before: that is no longer believed. What is known still is.
    assert_eq!(payloads(&snapshot), [("read", 100), ("read", 400), ("read+write", 100), ("write", 100)]);
    assert_eq!(flow(&snapshot, "write").payload_evidence, Evidence::Modelled);
    let [first, second] = writes;
    let snapshot = after([read(FILE, 0..100), long(true), first, second]);
    assert_eq!(payloads(&snapshot), [("read", 400), ("read+write", 100), ("read+write", 100)]);
}

#[test]
fn an_unknown_endpoint_is_not_nothing() {
    let snapshot = after([read(99, 0..100), write(SOCKET, 0..100)]);
    let flow = flow(&snapshot, "read+write");
    assert_eq!((flow.payload_bytes, flow.cpu_copied_bytes, flow.copy_amplification), (100, None, None));
    assert_eq!(snapshot.totals.cpu_copied_bytes, None);
    assert_eq!(snapshot.totals.cpu_copied_bytes_at_least, 100);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut model = model();
    for turn in 0..40_000u64 {
        let at = (turn * 7919) % (1 << 20);
        model.apply([Event::Operation(read(FILE, at..at + 3))]);
        model.apply([Event::Operation(operation(CallKind::Splice, FILE, PIPE, 1))]);
    }
    // 4096 pieces, and 1024 entries of a pipe, with as many again that wait to be collected.
    let deposits = model.join().deposits.len();
    assert!(deposits <= 3 * (4096 + 1024), "{deposits}");
}

/// The same as a request of io_uring, charged with that many mode switches.
fn requested(operation: Operation, transitions: u32) -> Operation {
    let name = match operation.kind {
        CallKind::Read => "io_uring:read",
        _ => "io_uring:send",
    };
    Operation {
        call: Call { name: CallName { name, compat: false }, ..operation.call },
        storage_read_bytes: None,
        request: Some(Request { user_data: 1, transitions, ran: Ran::Inline }),
        ..operation
    }
}

#[test]
fn requests_are_joined_and_cost_what_they_are_charged_with() {
    let send = Operation { kind: CallKind::Send, ..write(SOCKET, 0..100) };
    let snapshot = after([requested(read(FILE, 0..100), 2), requested(send, 0)]);
    let flow = flow(&snapshot, "read+send");
    assert_eq!((flow.payload_bytes, flow.operations, flow.transitions), (100, 2, 2));
    // No thread spent the time between submission and completion.
    assert_eq!((flow.time_ns, flow.blocked_ns, flow.request_time_ns), (Some(0), Some(0), 2000));
    assert_eq!((snapshot.totals.operations, snapshot.totals.calls), (2, 0));
    assert_eq!(snapshot.totals.transitions.syscall, 0, "those are of io_uring_enter, which comes by itself");
    assert_eq!(snapshot.totals.cpu_copied_bytes, Some(200));
}

#[test]
fn requests_that_are_not_traced_leave_copies_unknown() {
    let mut model = model();
    let losses = Losses { untraced_requests: 3, ..Losses::default() };
    model.apply([Event::Counters(Box::new(Counters { losses, ..Counters::default() }))]);
    let totals = model.totals();
    assert_eq!((totals.cpu_copied_bytes, totals.losses.untraced_submissions), (None, 3));
}

#[test]
fn a_notification_says_what_became_of_a_send() {
    let zerocopy = Some(Zerocopy::Sent { first: 9, end: 10 });
    let flags = libc::MSG_ZEROCOPY.cast_unsigned();
    let send = Operation { kind: CallKind::Send, flags, zerocopy, ..write(SOCKET, 0..100) };
    let mut model = model();
    let notified = Event::Notified { socket: Serial(SOCKET), number: 9, copied: true };
    model.apply([Event::Operation(requested(send, 2)), notified]);
    let snapshot = model.snapshot();
    let flow = flow(&snapshot, "send(MSG_ZEROCOPY)");
    assert_eq!(
        (flow.cpu_copied_bytes, flow.zerocopy.as_ref().map(|sends| sends.copied)),
        (Some(100), Some(1))
    );
}

/// The first write that is told after some were folded sends on what a folded read brought: it is no example.
#[test]
fn a_window_that_begins_with_a_write_says_as_much_as_one_that_begins_with_a_read() {
    let [reads, writes] =
        [folded(CallKind::Read, FILE, 0, 10, 1000), folded(CallKind::Write, 0, SOCKET, 10, 1000)];
    let late = Operation { after_untold: true, ..write(SOCKET, 300..400) };
    let snapshot = after_events([
        Event::Operation(late),
        Event::Operation(read(FILE, 0..100)),
        Event::Operation(write(SOCKET, 0..100)),
        Event::Folded(vec![reads, writes]),
    ]);
    assert_eq!(sums(&snapshot, "read+write"), (1100, 22, 20));
    assert_eq!(sums(&snapshot, "write"), (100, 1, 0));
}

/// One sink for many sources: the writes are folded, each of the reads is told.
#[test]
fn folded_writes_send_on_what_told_reads_have_brought() {
    let writes = folded(CallKind::Write, 0, SOCKET, 10, 1000);
    let snapshot = after_events([
        Event::Operation(read(FILE, 0..100)),
        Event::Operation(write(SOCKET, 0..100)),
        Event::Operation(read(FILE, 0..600)),
        Event::Folded(vec![writes]),
        Event::Operation(write(SOCKET, 0..600)),
    ]);
    assert_eq!(sums(&snapshot, "read+write"), (1100, 12, 10));
    assert_eq!(flow(&snapshot, "read+write").cpu_copied_bytes, Some(100 + 600 + 1100));
    assert_eq!(sums(&snapshot, "read"), (0, 1, 0), "its cost stays with it");
    assert_eq!((snapshot.totals.payload_bytes_at_most, snapshot.totals.cpu_copied_bytes), (1700, Some(2400)));
}
