//! What the benches feed to the decoder and to the model; `tests/src/bin/instructions.rs` uses it too.

use std::hint::black_box;

use tracer_common::{
    limits::IOVECS,
    record::{CallRecord, DescriptorRecord, Header, IoVec, OperationRecord, RecordKind, VectorRecord, flag},
};
use zc_trace::model::{
    ModelConfig,
    endpoint::{Endpoint, EndpointKey, EndpointKind},
    event::{
        Call, CallKind, CallName, DescriptorChange, DescriptorEvent, Event, Inside, Operation, Pid, Serial,
        Side,
    },
};
use zc_trace::probe::{
    call_table::CallTable,
    decode::{Decoded, change, decode},
};

pub(crate) const PID: Pid = 100;
const SERVED_THREADS: u64 = 8;

/// Numbers of calls on x86-64 and aarch64.
const READ: u32 = if cfg!(target_arch = "x86_64") { 0 } else { 63 };
const WRITEV: u32 = if cfg!(target_arch = "x86_64") { 20 } else { 66 };
const GETPID: u32 = if cfg!(target_arch = "x86_64") { 39 } else { 172 };
const CLOSE: u32 = if cfg!(target_arch = "x86_64") { 3 } else { 57 };

fn call(kind: RecordKind, number: u32, at: u64) -> CallRecord {
    let flags = flag::STORAGE_KNOWN;
    let header = Header { kind: kind.0, flags, call: number, tgid: PID, tid: PID, time_ns: at * 1000 };
    CallRecord { header, duration_ns: 700, result: 1, ..CallRecord::default() }
}

fn operation_record(at: u64) -> OperationRecord {
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

fn vector_record(at: u64) -> VectorRecord {
    let call = call(RecordKind::VECTOR, WRITEV, at);
    let operation = OperationRecord { call, vectors: 2, ..operation_record(at) };
    let mut iovecs = [IoVec::default(); IOVECS];
    for (entry, base) in iovecs.iter_mut().zip([0x1000, 0x9000]) {
        *entry = IoVec { base, length: 512 };
    }
    VectorRecord { operation, iovecs }
}

fn descriptor_record(at: u64) -> DescriptorRecord {
    DescriptorRecord {
        call: call(RecordKind::DESCRIPTOR, CLOSE, at),
        args: [7, 0, 0, 0, 0, 0],
        endpoint: 5,
        second_endpoint: 0,
        descriptors: [-1; 2],
    }
}

/// As it lies in the ring buffer.
fn bytes<T>(record: T) -> Vec<u8> {
    // SAFETY: records are integers without padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(&record).cast::<u8>(), size_of::<T>()) }.to_vec()
}

/// That many records of each kind that is frequent, with the name of the kind.
pub(crate) fn records(count: u64) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let of = |record: fn(u64) -> Vec<u8>| (0..count).map(record).collect();
    vec![
        ("operation", of(|at| bytes(operation_record(at)))),
        ("vector", of(|at| bytes(vector_record(at)))),
        ("call", of(|at| bytes(call(RecordKind::CALL, GETPID, at)))),
        ("descriptor", of(|at| bytes(descriptor_record(at)))),
    ]
}

/// Decodes a record as the reader does.
pub(crate) fn decoded(record: &[u8], table: &CallTable) {
    let decoded = black_box(decode(record, table));
    if matches!(decoded, Decoded::Changing(_)) {
        black_box(change(record, table));
    }
}

pub(crate) fn endpoint(kind: EndpointKind, number: u64) -> Event {
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

pub(crate) fn operation(
    number: u64,
    kind: CallKind,
    name: &'static str,
    serial: u64,
    bytes: u64,
) -> Operation {
    let side = Some(Side { fd: 3, serial: Serial(serial), flags: 0 });
    let reads = kind == CallKind::Read;
    Operation {
        call: Call {
            pid: PID,
            tid: PID + u32::try_from(number / 2 % SERVED_THREADS).unwrap_or(0),
            name: CallName { name, compat: false },
            end_ns: number * 1000,
            duration_ns: Some(700 + number % 5000),
            began_before: false,
            result: i64::try_from(bytes).unwrap_or(0),
            inside: Some(Inside::default()),
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
        after_untold: false,
    }
}

/// So many reads of the same file into the same buffer.
pub(crate) fn storm(operations: u64) -> Vec<Event> {
    (0..operations).map(|number| Event::Operation(operation(number, CallKind::Read, "read", 1, 1))).collect()
}

/// A relay of so many operations: each two are one transfer.
pub(crate) fn relay(operations: u64) -> Vec<Event> {
    (0..operations)
        .map(|number| match number % 2 {
            0 => operation(number, CallKind::Read, "read", 1, 65_536),
            _ => operation(number, CallKind::Write, "write", 2, 65_536),
        })
        .map(Event::Operation)
        .collect()
}

/// So many descriptors that stay open, and as many that are opened and closed: a server with many connections.
pub(crate) fn descriptors(count: u64) -> Vec<Event> {
    let event = |at: u64, change| {
        let time_ns = 2 * at + 1;
        Event::Descriptors(DescriptorEvent { pid: PID, tid: PID, began_ns: time_ns - 1, time_ns, change })
    };
    let opened = |at: u64, fd: u64| {
        let made = [i32::try_from(fd).ok().map(|fd| (fd, Serial(1))), None];
        event(at, DescriptorChange::Opened { made, close_on_exec: Some(false) })
    };
    let closed = |at: u64, fd: u64| {
        let [first, last] = [u32::try_from(fd).unwrap_or(0); 2];
        event(at, DescriptorChange::Closed { first, last, unshared: false })
    };
    let stay = (0..count).map(|fd| opened(fd, fd));
    let go =
        (0..count).flat_map(|turn| [opened(count + 2 * turn, count), closed(count + 2 * turn + 1, count)]);
    stay.chain(go).collect()
}

/// What [`storm`] and [`relay`] move between.
pub(crate) fn two_ends() -> [Event; 2] {
    [endpoint(EndpointKind::File, 1), endpoint(EndpointKind::Socket, 2)]
}

/// What the dashboard asks for.
pub(crate) fn detailed() -> ModelConfig {
    ModelConfig { most_recent_transfers: 1000, record_details: true, ..ModelConfig::default() }
}
