//! What the model costs: to take in operations, and to tell what it knows of many flows and threads.
//!
//! `cargo bench -p zc-trace --bench model`

mod crowd;
#[expect(dead_code, reason = "the decoder's part of it")]
mod material;

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use zc_trace::model::{Model, ModelConfig, event::Event, extent::Extent, flow_list::FlowList};

use crowd::{FLOWS, crowded};
use material::{detailed, relay, storm, two_ends};

const OPERATIONS: u64 = 100_000;

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(OPERATIONS)).sample_size(20);
    let cases = [
        ("storm", storm(OPERATIONS), ModelConfig::default()),
        ("relay", relay(OPERATIONS), ModelConfig::default()),
        ("relay, with details", relay(OPERATIONS), detailed()),
    ];
    for (name, events, config) in cases {
        group.bench_function(name, |bencher| {
            let prepare = || {
                let mut model = Model::new(config);
                model.apply(two_ends());
                (model, events.clone())
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

/// Resident memory of this process, KiB (`/proc/self/status`).
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

fn tell(criterion: &mut Criterion) {
    let before = resident_kib();
    let plain = crowded(ModelConfig::default());
    let between = resident_kib();
    let model = crowded(detailed());
    if let (Some(before), Some(between), Some(after)) = (before, between, resident_kib()) {
        let [plain, detailed] = [between.saturating_sub(before), after.saturating_sub(between)];
        eprintln!("{FLOWS} flows take about {plain} KiB, with details {detailed} KiB");
    }
    drop(plain);
    let mut group = criterion.benchmark_group("100,000 flows, 1,000 threads");
    group.sample_size(20);
    group.bench_function("snapshot", |bencher| bencher.iter(|| black_box(model.snapshot())));
    group.bench_function("view of 1,000 flows", |bencher| {
        bencher.iter(|| {
            black_box(model.view(&Extent::with(FlowList { most: Some(1000), ..FlowList::default() })))
        })
    });
    group.bench_function("totals", |bencher| bencher.iter(|| black_box(model.totals())));
    group.bench_function("flow count", |bencher| bencher.iter(|| black_box(model.flow_count())));
    group.bench_function("1,000 recent transfers", |bencher| {
        let mut model = Model::new(detailed());
        model.apply(two_ends());
        model.apply(relay(4000));
        bencher.iter(|| black_box(model.recent_transfers(1000)));
    });
    group.bench_function("heat", |bencher| bencher.iter(|| black_box(model.heat("read"))));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = tell, apply
}
criterion_main!(benches);
