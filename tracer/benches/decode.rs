//! What it costs to make events of the kernel side's records, of one core.
//!
//! `cargo bench -p zc-trace --bench decode`

#[expect(dead_code, reason = "the model's part of it")]
mod material;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use zc_trace::probe::{
    call_table::CallTable,
    decode::{Decoded, decode},
};

const RECORDS: u64 = 1024;

fn measure(criterion: &mut Criterion) {
    let table = CallTable::native();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(RECORDS));
    for (name, records) in material::records(RECORDS) {
        let unknown = records.iter().filter(|record| matches!(decode(record, &table), Decoded::Unknown));
        assert_eq!(unknown.count(), 0, "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| records.iter().for_each(|record| material::decoded(record, &table)));
        });
    }
    group.finish();
}

criterion_group!(benches, measure);
criterion_main!(benches);
