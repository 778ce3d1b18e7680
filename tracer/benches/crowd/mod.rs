//! A model with much in it.

use std::collections::BTreeMap;

use zc_trace::model::{
    Model, ModelConfig,
    endpoint::EndpointKind,
    event::{Accounts, CallKind, CallName, CallTotals, Counters, Event, Operation, Side, ThreadTotals, Tid},
};

use crate::material::{PID, endpoint, operation};

pub(crate) const FLOWS: u64 = 100_000;
const THREADS: u32 = 1000;
/// Bytes of an operation.
const CHUNK: u64 = 64 << 10;
/// Descriptors that they go over.
const DESCRIPTORS: u64 = 900;

/// The same operation by another of the threads, on a descriptor of its own.
fn elsewhere(operation: Operation, number: u64) -> Event {
    let on = |side: Side| Side { fd: i32::try_from(side.serial.0 % DESCRIPTORS).unwrap_or(0), ..side };
    let mut operation =
        Operation { source: operation.source.map(on), sink: operation.sink.map(on), ..operation };
    operation.call.tid = PID + u32::try_from(number / 2).unwrap_or(0) % THREADS;
    Event::Operation(operation)
}

/// Many flows, threads and transfers: each file is read, and what was read is written to another.
pub(crate) fn crowded(config: ModelConfig) -> Model {
    let mut model = Model::new(config);
    let half = FLOWS / 2;
    for number in 1..=half {
        let bytes = CHUNK + number % 777;
        let [at, relayed, again] = [0, 1, 2].map(|step| 4 * number + step);
        model.apply([
            endpoint(EndpointKind::File, number),
            endpoint(EndpointKind::File, half + number),
            elsewhere(operation(at, CallKind::Read, "read", number, bytes), at),
            elsewhere(operation(relayed, CallKind::Write, "write", half + number, bytes), relayed),
            elsewhere(operation(again, CallKind::Read, "pread64", number, 65_536), again),
        ]);
    }
    let threads: BTreeMap<(Tid, u64), ThreadTotals> = (0..THREADS)
        .map(|number| {
            let comm = format!("worker/{number}");
            let accounts = Accounts { read_chars: u64::from(number) << 20, ..Accounts::default() };
            let totals = ThreadTotals { pid: PID, comm, calls: 10, accounts, ..ThreadTotals::default() };
            ((PID + number, 1), totals)
        })
        .collect();
    let calls = ["read", "write", "pread64"].map(|name| {
        let totals = CallTotals { count: half, duration_ns: half * 1000, ..CallTotals::default() };
        (CallName { name, compat: false }, totals)
    });
    model.apply([Event::Counters(Box::new(Counters {
        threads,
        calls: calls.into(),
        ..Counters::default()
    }))]);
    model
}
