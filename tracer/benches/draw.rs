//! What a frame of the dashboard costs with 100,000 flows and 1,000 threads in the model: for each view, and what is open in
//! it. It should stay below 10 ms: asking the model, taking in what it says, and drawing are measured one by one.
//!
//! `cargo bench -p zc-trace --bench draw`

mod crowd;
#[expect(dead_code, reason = "the decoder's part of it")]
mod material;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use zc_trace::Rehearsal;

use crowd::{FLOWS, crowded};
use material::detailed;

/// A wide screen: more to draw than most.
const SCREEN: (u16, u16) = (200, 60);

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

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = frames
}
criterion_main!(benches);
