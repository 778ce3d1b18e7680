//! What a frame of the dashboard costs with 100,000 flows and 1,000 threads in the model: for each view, and what is open in
//! it. It should stay below 10 ms: asking the model, taking in what it says, and drawing are measured one by one.
//!
//! `cargo bench -p zc-trace --bench draw`

use std::{collections::BTreeMap, hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use zc_trace::{
    Rehearsal,
    model::{
        Model, ModelConfig,
        endpoint::{Endpoint, EndpointKey, EndpointKind},
        event::{
            Accounts, Call, CallKind, CallName, CallTotals, Counters, Event, Operation, Pid, Serial, Side,
            ThreadTotals, Tid,
        },
    },
};

const PID: Pid = 100;
const FLOWS: u64 = 100_000;
const THREADS: u32 = 1000;
/// Bytes of an operation.
const CHUNK: u64 = 64 << 10;
/// A wide screen: more to draw than most.
const SCREEN: (u16, u16) = (200, 60);

/// As the session makes it for a dashboard.
fn detailed() -> ModelConfig {
    ModelConfig { most_recent_transfers: 1000, record_details: true, ..ModelConfig::default() }
}

fn endpoint(kind: EndpointKind, number: u64) -> Event {
    let endpoint = Endpoint {
        key: EndpointKey::Inode { device: 8 << 20 | 1, inode: number, generation: Some(0) },
        kind,
        path: Some(format!("/srv/data/of/some/length/{number}")),
        file_system: Some("ext4"),
        device_node: None,
        dma: Some(true),
        socket: None,
    };
    Event::Endpoint(Serial(number), endpoint)
}

fn operation(number: u64, kind: CallKind, name: &'static str, serial: u64, bytes: u64) -> Event {
    let side = Some(Side { fd: i32::try_from(serial % 900).unwrap_or(0), serial: Serial(serial), flags: 0 });
    let reads = kind == CallKind::Read;
    Event::Operation(Operation {
        call: Call {
            pid: PID,
            tid: PID + u32::try_from(number / 2).unwrap_or(0) % THREADS,
            name: CallName { name, compat: false },
            end_ns: number * 1000,
            duration_ns: Some(700 + number % 5000),
            began_before: false,
            blocked_ns: 0,
            preempted_ns: 0,
            result: i64::try_from(bytes).unwrap_or(0),
            voluntary: 0,
            involuntary: 0,
            minor_faults: 0,
            major_faults: 0,
            interrupts: 0,
        },
        kind,
        source: side.filter(|_| reads),
        sink: side.filter(|_| !reads),
        buffers: std::iter::once(4096..4096 + bytes).collect(),
        buffers_complete: true,
        asked_bytes: Some(bytes),
        bytes,
        storage_read_bytes: Some(0),
        storage_written_bytes: Some(0),
        flags: 0,
        head: None,
        tail: None,
        zerocopy: None,
        counted: None,
        request: None,
    })
}

/// A model of many flows, threads and transfers: each file is read, and what was read is written to another.
fn crowded(config: ModelConfig) -> Model {
    let mut model = Model::new(config);
    let half = FLOWS / 2;
    for number in 1..=half {
        model.apply([
            endpoint(EndpointKind::File, number),
            endpoint(EndpointKind::File, half + number),
            operation(4 * number, CallKind::Read, "read", number, CHUNK + number % 777),
            operation(4 * number + 1, CallKind::Write, "write", half + number, CHUNK + number % 777),
            operation(4 * number + 2, CallKind::Read, "pread64", number, 65_536),
        ]);
    }
    let threads: BTreeMap<(Tid, u64), ThreadTotals> = (0..THREADS)
        .map(|number| {
            let comm = format!("worker/{number}");
            let accounts = Accounts { read_chars: u64::from(number) << 20, ..Accounts::default() };
            (
                (PID + number, 1),
                ThreadTotals { pid: PID, comm, calls: 10, accounts, ..ThreadTotals::default() },
            )
        })
        .collect();
    let calls = ["read", "write", "pread64"].map(|name| {
        let totals = CallTotals { count: half, duration_ns: half * 1000, ..CallTotals::default() };
        (CallName { name, compat: false }, totals)
    });
    let counters = Counters { threads, calls: calls.into(), ..Counters::default() };
    model.apply([Event::Counters(Box::new(counters))]);
    model
}

fn frames(criterion: &mut Criterion) {
    let model = crowded(detailed());
    assert!(model.flow_count() as u64 >= FLOWS, "{} flows", model.flow_count());
    let mut group = criterion.benchmark_group("100,000 flows, 1,000 threads");
    group.sample_size(20);
    let mut rehearsal = Rehearsal::new(SCREEN.0, SCREEN.1);
    group.bench_function("the model is asked", |bencher| bencher.iter(|| black_box(rehearsal.look(&model))));
    rehearsal.refresh(&model);
    for (number, name) in Rehearsal::views().enumerate() {
        for open in [false, true] {
            rehearsal.show(number);
            rehearsal.refresh(&model);
            rehearsal.draw();
            if open && !rehearsal.open() {
                continue;
            }
            rehearsal.refresh(&model);
            let name = if open { format!("{name}, opened") } else { name.to_owned() };
            group.bench_function(format!("{name}: a frame is taken in"), |bencher| {
                bencher.iter(|| rehearsal.take_again());
            });
            group.bench_function(format!("{name}: it is drawn"), |bencher| bencher.iter(|| rehearsal.draw()));
        }
    }
    group.finish();
}

/// What it costs to keep, besides sums, what the dashboard opens.
fn details(criterion: &mut Criterion) {
    const OPERATIONS: u64 = 100_000;
    let mut group = criterion.benchmark_group("taking in operations");
    group.throughput(Throughput::Elements(OPERATIONS)).sample_size(10);
    let relay = |number| match number % 2 {
        0 => operation(number, CallKind::Read, "read", 1, 65_536),
        _ => operation(number, CallKind::Write, "write", 2, 65_536),
    };
    for (name, config) in [("sums alone", ModelConfig::default()), ("with what opens", detailed())] {
        group.bench_function(name, |bencher| {
            let prepare = || {
                let mut model = Model::new(config);
                model.apply([endpoint(EndpointKind::File, 1), endpoint(EndpointKind::File, 2)]);
                (model, (0..OPERATIONS).map(relay).collect::<Vec<Event>>())
            };
            let run = |(mut model, events): (Model, Vec<Event>)| {
                model.apply(events);
                model
            };
            bencher.iter_batched(prepare, run, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = frames, details
}
criterion_main!(benches);
