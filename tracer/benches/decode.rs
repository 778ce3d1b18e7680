//! What it costs to make events of the kernel side's records.
//!
//! `cargo bench -p zc-trace --bench decode`; records per second of one core.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tracer_common::{
    limits::IOVECS,
    record::{CallRecord, DescriptorRecord, Header, IoVec, OperationRecord, RecordKind, VectorRecord, flag},
};
use zc_trace::probe::{
    call_table::CallTable,
    decode::{Decoded, decode},
};

const RECORDS: usize = 1024;

/// Numbers of the calls on x86-64 and aarch64.
const READ: u32 = if cfg!(target_arch = "x86_64") { 0 } else { 63 };
const WRITEV: u32 = if cfg!(target_arch = "x86_64") { 20 } else { 66 };
const GETPID: u32 = if cfg!(target_arch = "x86_64") { 39 } else { 172 };
const CLOSE: u32 = if cfg!(target_arch = "x86_64") { 3 } else { 57 };

fn call(kind: RecordKind, number: u32, at: usize) -> CallRecord {
    let header = Header {
        kind: kind.0,
        flags: flag::STORAGE_KNOWN,
        call: number,
        tgid: 100,
        tid: 100,
        time_ns: at as u64 * 1000,
    };
    CallRecord { header, duration_ns: 700, result: 1, ..CallRecord::default() }
}

fn operation(at: usize) -> OperationRecord {
    OperationRecord {
        call: call(RecordKind::OPERATION, READ, at),
        source: 5,
        source_fd: 3,
        sink_fd: -1,
        buffer: 0x7fff_0000,
        asked: 65_536,
        bytes: 65_536,
        ..OperationRecord::default()
    }
}

fn vector(at: usize) -> VectorRecord {
    let operation =
        OperationRecord { call: call(RecordKind::VECTOR, WRITEV, at), vectors: 2, ..operation(at) };
    let mut iovecs = [IoVec::default(); IOVECS];
    for (entry, base) in iovecs.iter_mut().zip([0x1000, 0x9000]) {
        *entry = IoVec { base, length: 512 };
    }
    VectorRecord { operation, iovecs }
}

fn descriptor(at: usize) -> DescriptorRecord {
    DescriptorRecord {
        call: call(RecordKind::DESCRIPTOR, CLOSE, at),
        args: [7, 0, 0, 0, 0, 0],
        endpoint: 5,
        second_endpoint: 0,
        descriptors: [-1; 2],
    }
}

/// As they lie in the ring buffer.
fn bytes<T>(record: T) -> Vec<u8> {
    // SAFETY: records are integers without padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(&record).cast::<u8>(), size_of::<T>()) }.to_vec()
}

fn measure(criterion: &mut Criterion) {
    let table = CallTable::native();
    let kinds: [(&str, fn(usize) -> Vec<u8>); 4] = [
        ("operation", |at| bytes(operation(at))),
        ("vector", |at| bytes(vector(at))),
        ("call", |at| bytes(call(RecordKind::CALL, GETPID, at))),
        ("descriptor", |at| bytes(descriptor(at))),
    ];
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (name, record) in kinds {
        let records: Vec<Vec<u8>> = (0..RECORDS).map(record).collect();
        let understood =
            records.iter().filter(|record| !matches!(decode(record, &table), Decoded::Unknown)).count();
        assert_eq!(understood, RECORDS, "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| records.iter().for_each(|record| drop(black_box(decode(record, &table)))));
        });
    }
    group.finish();
}

criterion_group!(benches, measure);
criterion_main!(benches);
