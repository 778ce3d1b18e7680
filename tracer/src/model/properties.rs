//! What holds for any sequence of events, and what a byte-by-byte reckoning says of plausible ones.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use proptest::prelude::*;

use super::{
    Model, ModelConfig,
    endpoint::{Endpoint, EndpointKey, EndpointKind},
    event::{
        Call, CallKind, CallName, CallTotals, Counted, Counters, DescriptorChange, DescriptorEvent,
        DescriptorSeen, DescriptorsSeen, DeviceIo, DeviceIoOf, Event, Fault, Folded, Inside, Losses, Mapping,
        Operation, Ran, Request, Serial, Side, Summed, ThreadStarted, ThreadTotals, Zerocopy,
    },
    extent::Extent,
    flow_list::{FlowList, FlowOrder},
    log2::Bucket,
    method::is_operation,
    part::Step,
    recent::RecentTransfer,
    snapshot::{Copy, DescriptorUse, Flow, Mover, Snapshot},
    sources::Sources,
    testing,
};

const KINDS: [CallKind; 18] = [
    CallKind::Read,
    CallKind::Write,
    CallKind::Receive,
    CallKind::Send,
    CallKind::Sendfile,
    CallKind::Splice,
    CallKind::Tee,
    CallKind::Vmsplice,
    CallKind::CopyFileRange,
    CallKind::ProcessVmRead,
    CallKind::ProcessVmWrite,
    CallKind::Descriptor,
    CallKind::Map,
    CallKind::Unmap,
    CallKind::Remap,
    CallKind::Exec,
    CallKind::Exit,
    CallKind::Submit,
];

/// Numbers that are small, so that things meet, or at the edges.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0u64..40, 1 => any::<u64>(), 1 => (0u64..4).prop_map(|less| u64::MAX - less)]
}

/// Any range: empty and inverted ones too.
fn range() -> impl Strategy<Value = Range<u64>> {
    (number(), number()).prop_map(|(start, end)| start..end)
}

fn pid() -> impl Strategy<Value = u32> {
    1u32..4
}

fn name() -> impl Strategy<Value = CallName> {
    (prop::sample::select(vec!["read", "write", "splice", "futex", "io_uring:read"]), any::<bool>())
        .prop_map(|(name, compat)| CallName { name, compat })
}

fn side() -> impl Strategy<Value = Option<Side>> {
    let flags = prop_oneof![Just(0u32), Just(1), Just(0o40_000), any::<u32>()];
    prop::option::weighted(0.8, (descriptor(), 0u64..12, flags))
        .prop_map(|side| side.map(|(fd, serial, flags)| Side { fd, serial: Serial(serial), flags }))
}

fn descriptor() -> impl Strategy<Value = i32> {
    prop_oneof![8 => 0i32..6, 1 => any::<i32>()]
}

fn change() -> impl Strategy<Value = DescriptorChange> {
    let made = || prop::option::of((descriptor(), (0u64..12).prop_map(Serial)));
    let edge = || {
        (descriptor(), any::<bool>()).prop_map(|(fd, all)| if all { u32::MAX } else { fd.cast_unsigned() })
    };
    prop_oneof![
        4 => (made(), made(), prop::option::of(any::<bool>()))
            .prop_map(|(one, other, close_on_exec)| DescriptorChange::Opened { made: [one, other], close_on_exec }),
        2 => (descriptor(), descriptor(), any::<bool>())
            .prop_map(|(from, to, close_on_exec)| DescriptorChange::Duplicated { from, to, close_on_exec }),
        3 => (edge(), edge(), any::<bool>())
            .prop_map(|(first, last, unshared)| DescriptorChange::Closed { first, last, unshared }),
        1 => (edge(), edge(), any::<bool>(), any::<bool>()).prop_map(|(first, last, close_on_exec, unshared)| {
            DescriptorChange::CloseOnExec { first, last, close_on_exec, unshared }
        }),
        1 => Just(DescriptorChange::Unshared),
        1 => (descriptor(), 0u64..12)
            .prop_map(|(fd, serial)| DescriptorChange::Readdressed { fd, serial: Serial(serial) }),
    ]
}

fn changed() -> impl Strategy<Value = DescriptorEvent> {
    (pid(), 1u32..6, number(), number(), change()).prop_map(|(pid, tid, began_ns, time_ns, change)| {
        DescriptorEvent { pid, tid, began_ns, time_ns, change }
    })
}

fn seen() -> impl Strategy<Value = DescriptorsSeen> {
    let descriptor = (descriptor(), 0u64..12, any::<bool>(), prop::option::of(any::<bool>())).prop_map(
        |(fd, serial, identified, close_on_exec)| DescriptorSeen {
            fd,
            serial: Serial(serial),
            identified,
            flags: None,
            close_on_exec,
            position_bytes: None,
        },
    );
    (pid(), number(), any::<bool>(), any::<bool>(), prop::collection::vec(descriptor, 0..5)).prop_map(
        |(pid, time_ns, at_begin, complete, descriptors)| DescriptorsSeen {
            pid,
            time_ns,
            at_begin,
            complete,
            descriptors,
        },
    )
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let yes_no = || prop::option::of(any::<bool>());
    let file_system = prop::sample::select(vec![None, Some("ext4"), Some("tmpfs"), Some("xfs"), Some("nfs")]);
    let kind = prop::sample::select(vec![
        EndpointKind::File,
        EndpointKind::Pipe,
        EndpointKind::Pipe,
        EndpointKind::Socket,
        EndpointKind::CharDevice,
        EndpointKind::BlockDevice,
        EndpointKind::Anonymous,
        EndpointKind::User,
        EndpointKind::Unknown,
    ]);
    let family = prop::sample::select(vec!["inet", "unix", "packet"]);
    (kind, 0u64..6, 0u8..8, file_system, yes_no(), yes_no(), family, 0u32..9).prop_map(
        |(kind, inode, key, file_system, dma, loopback, family, minor)| {
            let known = match kind {
                EndpointKind::Socket => testing::socket(inode, family, "tcp", loopback, dma),
                EndpointKind::CharDevice => testing::memory_device(minor),
                _ => testing::endpoint(kind, inode),
            };
            let key = match key {
                0 => EndpointKey::Unknown,
                1 => EndpointKey::User,
                2 => EndpointKey::Inode { device: 8 << 20 | 1, inode, generation: None },
                3 => EndpointKey::Inode { device: 8 << 20 | 1, inode, generation: Some(minor) },
                _ => known.key,
            };
            Endpoint { key, dma, file_system, ..known }
        },
    )
}

fn call() -> impl Strategy<Value = Call> {
    (pid(), 1u32..6, name(), prop::option::weighted(0.9, number()), number(), any::<i64>(), any::<u32>())
        .prop_map(|(pid, tid, name, duration_ns, other_ns, result, count)| Call {
            pid,
            tid,
            name,
            end_ns: other_ns,
            duration_ns,
            began_before: duration_ns.is_none(),
            result,
            inside: duration_ns.is_some().then_some(Inside {
                blocked_ns: other_ns,
                preempted_ns: other_ns,
                voluntary: count,
                involuntary: count,
                minor_faults: count,
                major_faults: count,
                interrupts: count,
            }),
        })
}

fn operation() -> impl Strategy<Value = Operation> {
    let flags = prop_oneof![Just(0u32), Just(2), Just(0x20), Just(0x400_0000), any::<u32>()];
    let bytes = || prop::option::weighted(0.9, number());
    (
        call(),
        prop::sample::select(KINDS.to_vec()),
        (side(), side()),
        prop::collection::vec(range(), 0..4),
        (bytes(), number(), bytes()),
        flags,
    )
        .prop_map(
            |(call, kind, (source, sink), buffers, (asked_bytes, bytes, storage_read_bytes), flags)| {
                Operation {
                    call,
                    kind,
                    source,
                    sink,
                    buffers: buffers.into_iter().collect(),
                    buffers_complete: false,
                    asked_bytes,
                    bytes,
                    storage_read_bytes,
                    storage_written_bytes: storage_read_bytes,
                    flags,
                    head: bytes.is_multiple_of(3).then(|| bytes.to_le_bytes()),
                    tail: bytes.is_multiple_of(5).then(|| bytes.to_be_bytes()),
                    zerocopy: zerocopy(bytes, flags),
                    counted: bytes.is_multiple_of(2).then(|| Counted {
                        to_user: bytes,
                        from_user: bytes.rotate_left(7),
                        to_pipe: bytes / 3,
                        to_file: bytes,
                        to_socket: bytes / 2,
                        device_read: bytes.rotate_right(3),
                        device_written: bytes,
                        device_metadata: 4096,
                    }),
                    after_untold: bytes % 7 == 0,
                    request: call.name.is_request().then_some(Request {
                        user_data: bytes,
                        transitions: u32::from(bytes.is_multiple_of(2)) * 2,
                        ran: Ran::Inline,
                    }),
                }
            },
        )
}

fn device_io() -> impl Strategy<Value = DeviceIo> {
    let dma = || prop::option::of(any::<bool>());
    let of = prop_oneof![
        4 => (0u64..12).prop_map(|serial| DeviceIoOf::File(Serial(serial))),
        4 => (0u64..12).prop_map(|serial| DeviceIoOf::Socket(Serial(serial))),
        1 => Just(DeviceIoOf::Bounced),
        1 => dma().prop_map(|dma| DeviceIoOf::OtherFile { dma }),
        1 => dma().prop_map(|dma| DeviceIoOf::Metadata { dma }),
    ];
    (of, number(), number(), number()).prop_map(|(of, time_ns, read_bytes, written_bytes)| DeviceIo {
        of,
        time_ns,
        read_bytes,
        written_bytes,
    })
}

fn zerocopy(bytes: u64, flags: u32) -> Option<Zerocopy> {
    let first = flags % 8;
    match bytes % 5 {
        0 => Some(Zerocopy::Sent { first, end: first }),
        1 => Some(Zerocopy::Sent { first, end: first + 3 }),
        2 => Some(Zerocopy::Done { first, end: first + 2, copied: flags > 100 }),
        3 => Some(Zerocopy::Done { first, end: flags, copied: false }),
        _ => None,
    }
}

fn folded() -> impl Strategy<Value = Folded> {
    (operation(), number()).prop_map(|(operation, operations)| Folded {
        pid: operation.call.pid,
        name: operation.call.name,
        kind: operation.kind,
        source: operation.source,
        sink: operation.sink,
        flags: operation.flags,
        operations: operations % 1000,
        errors: operations % 10,
        transitions: operations % 2000,
        bytes: operation.bytes,
        duration_ns: operation.call.end_ns,
        blocked_ns: operation.call.end_ns,
        preempted_ns: operation.call.end_ns,
        storage_read_bytes: operation.storage_read_bytes,
        storage_written_bytes: operation.storage_written_bytes,
        counted: operation.counted.unwrap_or_default(),
    })
}

fn counters() -> impl Strategy<Value = Counters> {
    let calls = prop::collection::btree_map(
        name(),
        (prop::option::of(prop::sample::select(KINDS.to_vec())), number(), number()),
        0..4,
    );
    let threads = prop::collection::btree_map((1u32..6, number()), (pid(), number(), any::<bool>()), 0..4);
    (calls, threads, number()).prop_map(|(calls, threads, lost)| Counters {
        time_ns: lost,
        calls: calls
            .into_iter()
            .map(|(name, (kind, count, bytes))| {
                (name, CallTotals { kind, count, bytes, unfinished: count, ..CallTotals::default() })
            })
            .collect(),
        threads: threads
            .into_iter()
            .map(|(key, (pid, count, ended))| {
                let totals = ThreadTotals {
                    pid,
                    calls: count,
                    syscall_transitions: count,
                    user_faults: count,
                    user_interrupts: count,
                    exec_read_chars: count,
                    ended,
                    in_call: Some((CallName { name: "poll", compat: false }, None)),
                    ..ThreadTotals::default()
                };
                (key, totals)
            })
            .collect(),
        losses: Losses { lost_events: lost, ..Losses::default() },
        summed: Summed::default(),
        summed_errors: BTreeMap::new(),
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0u64..12, endpoint()).prop_map(|(serial, endpoint)| Event::Endpoint(Serial(serial), endpoint)),
        12 => operation().prop_map(Event::Operation),
        1 => call().prop_map(Event::Call),
        1 => (pid(), range(), 0u64..12, number()).prop_map(|(pid, range, serial, offset)| {
            Event::Mapped(Mapping { pid, range, serial: Serial(serial), offset, fresh: offset % 2 == 0 })
        }),
        1 => (pid(), range()).prop_map(|(pid, range)| Event::Unmapped { pid, range }),
        1 => (pid(), range(), range()).prop_map(|(pid, from, to)| Event::Remapped { pid, from, to }),
        1 => (pid(), 1u32..6, pid(), any::<bool>(), any::<bool>()).prop_map(|(pid, tid, parent, attached, shares_descriptors)| {
            let comm = String::new();
            Event::ThreadStarted(ThreadStarted { pid, tid, parent, attached, start_ns: 0, shares_descriptors, time_ns: 0, comm })
        }),
        1 => (pid(), 1u32..6, any::<u32>()).prop_map(|(pid, tid, exit_code)| {
            Event::ThreadEnded { pid, tid, start_ns: 0, time_ns: 0, exit_code }
        }),
        1 => (pid(), 1u32..6).prop_map(|(pid, tid)| {
            Event::Executed { pid, tid, start_ns: 0, comm: "new".to_owned(), time_ns: 0 }
        }),
        5 => changed().prop_map(Event::Descriptors),
        1 => seen().prop_map(Event::DescriptorsSeen),
        1 => (pid(), 0u64..400, any::<bool>()).prop_map(|(pid, address, in_kernel)| {
            Event::Fault(Fault { pid, tid: pid, in_kernel, ..testing::fault(address) })
        }),
        1 => prop::collection::vec(folded(), 0..5).prop_map(Event::Folded),
        3 => device_io().prop_map(Event::DeviceIo),
        1 => counters().prop_map(|counters| Event::Counters(Box::new(counters))),
    ]
}

/// A model with so little room that every limit is reached.
fn small() -> Model {
    Model::new(ModelConfig {
        sources: Sources::ALL,
        record_transfers: true,
        traces_requests: false,
        most_recent_transfers: 4,
        record_details: true,
        most_waiting_transfers: 4,
        most_flows: 6,
        most_endpoints: 4,
        most_pieces_per_process: 3,
        most_processes: 2,
        most_pipes: 2,
        most_descriptors: 5,
        most_closed_descriptors: 3,
    })
}

/// Everything is booked once: the flows add up to the operations, whatever moved between them.
fn check_sums(model: &Model, events: &[Event]) {
    let join = model.join();
    let mut parts: BTreeMap<Step, u128> = BTreeMap::new();
    let (mut payload, mut dirty, mut operations, mut transitions) = (0u128, 0u128, 0u64, 0u64);
    for tally in join.flows.tallies() {
        payload += tally.payload;
        dirty += tally.dirty;
        operations += tally.stats.operations;
        transitions += tally.stats.transitions;
        let copied = tally.parts().filter(|(step, _)| step.is_known() && step.mover == Some(Mover::Cpu));
        let copied: u128 = copied.map(|(_, amount)| amount.bytes).sum();
        assert_eq!(u128::from(tally.copied_at_least()), copied.min(u64::MAX.into()));
        tally.parts().for_each(|(step, amount)| *parts.entry(step).or_default() += amount.bytes);
    }
    assert_eq!((payload, dirty), (join.overall.payload, join.overall.dirty));
    assert_eq!(parts, join.overall.parts().map(|(step, amount)| (step, amount.bytes)).collect());
    let (mut made, mut switched) = (0u64, 0u64);
    for event in events {
        match event {
            Event::Operation(operation) if is_operation(operation.kind) => {
                made += 1;
                switched += match operation.request {
                    Some(request) => u64::from(request.transitions),
                    None if !operation.call.began_before => 2,
                    None => 1,
                };
            }
            Event::Folded(folded) => {
                for folded in folded.iter().filter(|folded| is_operation(folded.kind)) {
                    made += folded.operations;
                    switched += folded.transitions;
                }
            }
            _ => {}
        }
    }
    assert_eq!((operations, transitions), (made, switched));
}

/// Each operation is booked once at each of its descriptors, wherever these have gone meanwhile.
fn check_descriptors(snapshot: &Snapshot, events: &[Event]) {
    let mut made = DescriptorUse::default();
    let mut book = |kind, [source, sink]: [Option<Side>; 2], [operations, errors, bytes]: [u64; 3]| {
        let reads = |pipe: Side| pipe.flags & 3 == 0;
        let (source, sink) = match (kind, sink.or(source)) {
            (CallKind::Vmsplice, pipe) => {
                (pipe.filter(|pipe| reads(*pipe)), pipe.filter(|pipe| !reads(*pipe)))
            }
            _ => (source, sink),
        };
        let ends = u64::from(source.is_some()) + u64::from(sink.is_some());
        made.operations = made.operations.saturating_add(operations * ends);
        made.errors = made.errors.saturating_add(errors * ends);
        made.read_bytes = made.read_bytes.saturating_add(if source.is_some() { bytes } else { 0 });
        made.written_bytes = made.written_bytes.saturating_add(if sink.is_some() { bytes } else { 0 });
    };
    for event in events {
        match event {
            Event::Operation(operation) if is_operation(operation.kind) => {
                let failed = u64::from((-4095..0).contains(&operation.call.result));
                book(operation.kind, [operation.source, operation.sink], [1, failed, operation.bytes]);
            }
            Event::Folded(folded) => {
                for folded in folded.iter().filter(|folded| is_operation(folded.kind)) {
                    let sums = [folded.operations, folded.errors, folded.bytes];
                    book(folded.kind, [folded.source, folded.sink], sums);
                }
            }
            _ => {}
        }
    }
    let summary = snapshot.descriptor_summary;
    assert_eq!(summary.all, made);
    let listed = snapshot
        .descriptors
        .iter()
        .map(|known| [known.operations, known.errors, known.read_bytes, known.written_bytes]);
    let rest = [summary.not_listed_use, summary.without_descriptor]
        .map(|sums| [sums.operations, sums.errors, sums.read_bytes, sums.written_bytes]);
    let sums = listed.chain(rest).fold([0u64; 4], |mut sums, more| {
        sums.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        sums
    });
    assert_eq!(sums, [made.operations, made.errors, made.read_bytes, made.written_bytes]);
    let open = snapshot.descriptors.iter().filter(|known| known.open != Some(false)).count();
    assert_eq!(open as u64, summary.open, "no more than are listed");
}

/// The document agrees with itself, and every sum carries what its parts say.
fn check_document(snapshot: &Snapshot) {
    let saturating = |sum: u64, more: u64| sum.saturating_add(more);
    let payload = snapshot.flows.iter().map(|flow| flow.payload_bytes).fold(0, saturating);
    assert_eq!(payload, snapshot.totals.payload_bytes_at_most);
    for flow in &snapshot.flows {
        let unknown = |cpu: bool| {
            flow.copies.iter().any(|copy| {
                let dma = copy.mover == Some(Mover::Dma);
                copy.bytes.is_none() && (copy.mover.is_none() || dma != cpu)
            })
        };
        assert_eq!(flow.cpu_copied_bytes.is_none(), unknown(true), "{flow:?}");
        assert_eq!(flow.dma_bytes.is_none(), unknown(false), "{flow:?}");
        assert!(snapshot.totals.cpu_copied_evidence >= flow.evidence || flow.payload_bytes == 0);
        if let Some(reached) = flow.reached {
            let bytes = reached.bytes.unwrap_or(flow.payload_bytes);
            let most = reached.at_most_bytes.unwrap_or(flow.payload_bytes);
            let bounds = [reached.at_least_bytes, bytes, most, flow.payload_bytes];
            assert!(bounds.is_sorted(), "{bounds:?}");
        }
    }
    if snapshot.totals.cpu_copied_bytes.is_some() {
        let copied = snapshot.flows.iter().filter_map(|flow| flow.cpu_copied_bytes).fold(0, saturating);
        assert_eq!(Some(copied), snapshot.totals.cpu_copied_bytes);
    }
}

/// The steps of a transfer make up its copies and mode switches.
fn check_anatomy(model: &Model) {
    let copied = |copies: &mut dyn Iterator<Item = &Copy>| {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        for Copy { from, to, mover, bytes, evidence, derived_bytes: _, note } in copies {
            let Some(bytes) = bytes.filter(|bytes| *bytes > 0) else { continue };
            let sum = sums.entry(format!("{from:?} {to:?} {mover:?} {evidence:?} {note:?}")).or_default();
            *sum = sum.saturating_add(bytes);
        }
        sums
    };
    for RecentTransfer { number, transfer, steps, more_steps } in model.recent_transfers(usize::MAX) {
        assert!(!steps.is_empty() && steps.len() <= 9);
        if more_steps > 0 {
            continue;
        }
        let own = steps.iter().filter(|step| !step.shared);
        let transitions: u64 = own.map(|step| step.transitions).sum();
        assert_eq!(transitions, transfer.transitions, "{number}: {transfer:?} {steps:?}");
        let by_steps = copied(&mut steps.iter().flat_map(|step| &step.copies));
        assert_eq!(by_steps, copied(&mut transfer.copies.iter()), "{number}: {transfer:?} {steps:?}");
    }
}

type Measure = (FlowOrder, fn(&Flow) -> u64);

/// What flows can be ranked by, and where the snapshot says how much of it they have.
const MEASURES: &[Measure] = &[
    (FlowOrder::Payload, |flow| flow.payload_bytes),
    (FlowOrder::Transitions, |flow| flow.transitions),
    (FlowOrder::OnCpu, |flow| flow.on_cpu_ns.unwrap_or(0)),
    (FlowOrder::Blocked, |flow| flow.blocked_ns.unwrap_or(0)),
    (FlowOrder::Transfers, |flow| flow.transfers),
];

/// The view has the first flows of the snapshot, and the rest as it is.
fn check_view(model: &Model, limit: usize) {
    let mut snapshot = model.snapshot();
    assert_eq!(snapshot.flows.len(), model.flow_count());
    let all = snapshot.flows.clone();
    snapshot.flows.truncate(limit);
    assert_eq!(model.view(&Extent::with(FlowList::first(limit))), snapshot);
    for (by, measure) in MEASURES {
        let most = FlowList { most: Some(limit), by: *by, ..FlowList::default() };
        let listed = model.view(&Extent::only(most)).flows;
        let mut sorted: Vec<u64> = all.iter().map(measure).collect();
        sorted.sort_unstable_by_key(|measure| Reverse(*measure));
        sorted.truncate(limit);
        assert_eq!(listed.iter().map(measure).collect::<Vec<u64>>(), sorted, "{by:?}");
        let passes = |flow: &Flow| flow.payload_bytes > 0;
        let some = model.view(&Extent::only(FlowList { passes: Some(&passes), ..most })).flows;
        let mut with_payload = model.view(&Extent::only(FlowList { most: None, ..most })).flows;
        with_payload.retain(passes);
        with_payload.truncate(limit);
        assert_eq!(some, with_payload);
    }
}

/// The detail of a flow is that of its operations.
fn check_details(model: &Model) {
    for flow in model.snapshot().flows {
        let Some(detail) = model.flow_detail(flow.id) else {
            assert_eq!(flow.operations, 0, "{flow:?}");
            continue;
        };
        let told = flow.operations - flow.folded_operations;
        let counted = |buckets: &[Bucket]| buckets.iter().map(|bucket| bucket.count).sum::<u64>();
        assert_eq!(counted(&detail.chunk_bytes), told);
        assert!(counted(&detail.latency_ns) <= told);
        let calls: u64 = detail.calls.iter().map(|call| call.count).sum();
        let threads: u64 = detail.threads.iter().map(|thread| thread.done.operations).sum();
        assert_eq!((calls, threads + detail.other_threads.operations), (flow.operations, flow.operations));
        assert!(detail.threads.len() <= 16);
        assert!(detail.first_ns <= detail.last_ns);
    }
    for call in model.snapshot().calls {
        let heat = model.heat(&call.name);
        let counted = heat.map(|heat| heat.counts.iter().flatten().sum::<u64>());
        // The counters may have totals of a call that the stream never told of.
        assert_eq!(counted, call.latency_ns.map(|latency| latency.samples), "{}", call.name);
        let errors: u64 = call.errors_by_name.iter().map(|error| error.count).sum();
        assert_eq!(errors, call.errors);
    }
}

/// Where bytes come from and by what, to where, and how many: the flows in short.
type Ledger = BTreeMap<(String, String, String), u64>;

/// What spliced a byte into a pipe, through which pipe, and whether the byte is a duplicate; `None`: it was written.
type Byte = Option<(String, String, bool)>;

/// The bytes of a plausible program one by one.
#[derive(Default)]
struct Reckoning {
    ledger: BTreeMap<(String, String, String), i64>,
    memory: BTreeMap<u64, (String, bool)>,
    mapped: BTreeMap<u64, String>,
    pipes: BTreeMap<String, VecDeque<Byte>>,
}

impl Reckoning {
    fn book(&mut self, source: &str, sink: &str, method: &str, bytes: i64) {
        *self.ledger.entry((source.into(), sink.into(), method.into())).or_default() += bytes;
    }

    fn pop(&mut self, pipe: &str, bytes: u64) -> Vec<Byte> {
        let content = self.pipes.entry(pipe.into()).or_default();
        (0..bytes).map(|_| content.pop_front().flatten()).collect()
    }

    fn read(&mut self, source: &str, addresses: &[u64]) {
        self.book(source, "user", "read", addresses.len() as i64);
        if source.starts_with("pipe") {
            self.pop(source, addresses.len() as u64);
        }
        for &at in addresses {
            self.memory.insert(at, (source.into(), false));
        }
    }

    fn write(&mut self, sink: &str, addresses: &[u64]) {
        for at in addresses {
            if let Some((source, sent)) = self.memory.get_mut(at) {
                let (source, before) = (source.clone(), std::mem::replace(sent, true));
                self.book(&source, sink, "read+write", 1);
                if !before {
                    self.book(&source, "user", "read", -1);
                }
            } else if let Some(source) = self.mapped.get(at).cloned() {
                self.book(&source, sink, "mmap+write", 1);
            } else {
                self.book("user", sink, "write", 1);
            }
        }
        if sink.starts_with("pipe") {
            self.pipes.entry(sink.into()).or_default().extend(addresses.iter().map(|_| None));
        }
    }

    fn splice(&mut self, source: &str, sink: &str, bytes: u64) {
        let (from_pipe, to_pipe) = (source.starts_with("pipe"), sink.starts_with("pipe"));
        let popped = if from_pipe { self.pop(source, bytes) } else { Vec::new() };
        if from_pipe && to_pipe {
            self.book(source, sink, "splice", bytes as i64);
            self.pipes.entry(sink.into()).or_default().extend(popped);
        } else if from_pipe {
            for byte in popped {
                match byte {
                    Some((file, through, duplicate)) => {
                        self.book(&file, sink, "splice", 1);
                        if !duplicate {
                            self.book(&file, &through, "splice", -1);
                        }
                    }
                    None => self.book(source, sink, "splice", 1),
                }
            }
        } else {
            self.book(source, sink, "splice", bytes as i64);
            let byte = to_pipe.then(|| Some((source.into(), sink.into(), false)));
            let content = self.pipes.entry(sink.into()).or_default();
            content.extend((0..bytes).filter_map(|_| byte.clone()));
        }
    }

    fn tee(&mut self, source: &str, sink: &str, bytes: u64) {
        self.book(source, sink, "tee", bytes as i64);
        let content = self.pipes.entry(source.into()).or_default();
        let copied: Vec<_> = (0..bytes as usize)
            .map(|at| content.get(at).cloned().flatten().map(|(file, through, _)| (file, through, true)))
            .collect();
        self.pipes.entry(sink.into()).or_default().extend(copied);
    }

    fn ledger(self) -> Ledger {
        let positive = |(key, bytes): (_, i64)| (key, u64::try_from(bytes).expect("no flow below zero"));
        self.ledger.into_iter().map(positive).filter(|(_, bytes)| *bytes > 0).collect()
    }
}

/// One step of a plausible program.
#[derive(Clone, Debug)]
enum Action {
    Read { source: u64, buffers: Vec<Range<u64>>, short: u64 },
    Write { sink: u64, buffers: Vec<Range<u64>>, short: u64 },
    Splice { source: u64, sink: u64, bytes: u64 },
    Tee { source: u64, sink: u64, bytes: u64 },
    Map { file: u64, range: Range<u64> },
    Unmap { range: Range<u64> },
}

const NAMES: [&str; 7] = ["user", "file1", "file2", "socket1", "socket2", "pipe1", "pipe2"];

fn action() -> impl Strategy<Value = Action> {
    let some = || (0u64..40, 1u64..16).prop_map(|(start, length)| start..start + length);
    let buffers = || prop::collection::vec(some(), 1..3);
    let any_end = || 1u64..7;
    prop_oneof![
        4 => (any_end(), buffers(), 0u64..4)
            .prop_map(|(source, buffers, short)| Action::Read { source, buffers, short }),
        4 => (any_end(), buffers(), 0u64..4)
            .prop_map(|(sink, buffers, short)| Action::Write { sink, buffers, short }),
        2 => (1u64..3, 5u64..7, 0u64..9).prop_map(|(source, sink, bytes)| Action::Splice { source, sink, bytes }),
        2 => (5u64..7, 1u64..7, 0u64..9).prop_map(|(source, sink, bytes)| Action::Splice { source, sink, bytes }),
        1 => (0u64..9).prop_map(|bytes| Action::Tee { source: 5, sink: 6, bytes }),
        1 => (1u64..3, some()).prop_map(|(file, range)| Action::Map { file, range }),
        1 => some().prop_map(|range| Action::Unmap { range }),
    ]
}

/// The addresses that a vector of buffers names, without the last `short` ones.
fn addresses(buffers: &[Range<u64>], short: u64) -> Vec<u64> {
    let mut addresses: Vec<u64> = buffers.iter().cloned().flatten().collect();
    addresses.truncate(addresses.len().saturating_sub(short as usize));
    addresses
}

fn perform(action: &Action, reckoning: &mut Reckoning) -> Event {
    let named = |serial: u64| NAMES[serial as usize];
    match action.clone() {
        Action::Read { source, buffers, short } => {
            let addresses = addresses(&buffers, short);
            reckoning.read(named(source), &addresses);
            let operation = testing::operation(CallKind::Read, source, 0, addresses.len() as u64);
            Event::Operation(Operation { buffers: buffers.into(), ..operation })
        }
        Action::Write { sink, buffers, short } => {
            let addresses = addresses(&buffers, short);
            reckoning.write(named(sink), &addresses);
            let operation = testing::operation(CallKind::Write, 0, sink, addresses.len() as u64);
            Event::Operation(Operation { buffers: buffers.into(), ..operation })
        }
        Action::Splice { source, sink, bytes } => {
            reckoning.splice(named(source), named(sink), bytes);
            Event::Operation(testing::operation(CallKind::Splice, source, sink, bytes))
        }
        Action::Tee { source, sink, bytes } => {
            reckoning.tee(named(source), named(sink), bytes);
            Event::Operation(testing::operation(CallKind::Tee, source, sink, bytes))
        }
        Action::Map { file, range } => {
            for at in range.clone() {
                reckoning.memory.remove(&at);
                reckoning.mapped.insert(at, named(file).into());
            }
            testing::mapped(file, range)
        }
        Action::Unmap { range } => {
            for at in range.clone() {
                reckoning.memory.remove(&at);
                reckoning.mapped.remove(&at);
            }
            Event::Unmapped { pid: testing::PID, range }
        }
    }
}

fn plausible_model() -> Model {
    let config = ModelConfig {
        record_transfers: true,
        most_recent_transfers: 100,
        record_details: true,
        ..ModelConfig::default()
    };
    let mut model = Model::new(config);
    for (serial, name) in (0u64..).zip(NAMES).skip(1) {
        let endpoint = match serial {
            1 | 2 => testing::file(serial, "ext4", Some(true)),
            3 | 4 => testing::loopback(serial),
            _ => testing::endpoint(EndpointKind::Pipe, serial),
        };
        model.apply([Event::Endpoint(Serial(serial), Endpoint { path: Some(name.to_owned()), ..endpoint })]);
    }
    model
}

fn ledger(snapshot: &Snapshot) -> Ledger {
    let name = |end: &super::snapshot::FlowEnd| match (&end.path, &end.address) {
        (Some(path), _) => path.clone(),
        (_, Some(address)) => address.trim_start_matches("tcp ").to_owned(),
        _ => "user".to_owned(),
    };
    let flows = snapshot.flows.iter().filter(|flow| flow.payload_bytes > 0);
    flows
        .map(|flow| ((name(&flow.source), name(&flow.sink), flow.method.clone()), flow.payload_bytes))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_adds_up(events in prop::collection::vec(event(), 0..60), limit in 0usize..8) {
        let roomy = ModelConfig { most_recent_transfers: 100, record_details: true, ..ModelConfig::default() };
        for mut model in [small(), Model::new(roomy)] {
            model.apply(events.clone());
            check_sums(&model, &events);
            check_document(&model.snapshot());
            check_anatomy(&model);
            check_details(&model);
            check_view(&model, limit);
            check_descriptors(&model.snapshot(), &events);
            prop_assert!(model.take_transfers().len() <= 4);
        }
    }

    #[test]
    fn the_same_events_in_any_batches_give_the_same(
        events in prop::collection::vec(event(), 0..60),
        cut in 0usize..60,
    ) {
        let mut whole = small();
        whole.apply(events.clone());
        let mut pieces = small();
        let (first, second) = events.split_at(cut.min(events.len()));
        pieces.apply(first.to_vec());
        pieces.snapshot();
        pieces.apply(second.to_vec());
        prop_assert_eq!(whole.snapshot(), pieces.snapshot());
        prop_assert_eq!(whole.recent_transfers(9), pieces.recent_transfers(9));
        prop_assert_eq!(whole.take_transfers(), pieces.take_transfers());
    }

    #[test]
    fn plausible_programs_byte_by_byte(actions in prop::collection::vec(action(), 0..40)) {
        let mut reckoning = Reckoning::default();
        let events: Vec<Event> = actions.iter().map(|action| perform(action, &mut reckoning)).collect();
        let mut model = plausible_model();
        model.apply(events.clone());
        check_sums(&model, &events);
        check_anatomy(&model);
        check_details(&model);
        let snapshot = model.snapshot();
        check_document(&snapshot);
        prop_assert_eq!(ledger(&snapshot), reckoning.ledger());
    }
}
