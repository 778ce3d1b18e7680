//! Events for the tests of the model.

use std::ops::Range;

use super::{
    Model, ModelConfig,
    endpoint::{Endpoint, EndpointKey, EndpointKind, Socket},
    event::{
        Buffers, Call, CallKind, CallName, Counted, Event, Fault, Folded, Inside, Mapping, Operation, Pid,
        Serial, Side,
    },
    snapshot::{Flow, Snapshot},
};

/// The process that most tests trace.
pub(crate) const PID: Pid = 100;

/// An endpoint on device 8:1.
pub(crate) fn endpoint(kind: EndpointKind, inode: u64) -> Endpoint {
    Endpoint {
        key: EndpointKey::Inode { device: 8 << 20 | 1, inode, generation: Some(0) },
        kind,
        path: None,
        file_system: None,
        device_node: None,
        dma: None,
        socket: None,
    }
}

/// A regular file.
pub(crate) fn file(inode: u64, file_system: &'static str, dma: Option<bool>) -> Endpoint {
    Endpoint {
        path: Some(format!("/file{inode}")),
        file_system: Some(file_system),
        dma,
        ..endpoint(EndpointKind::File, inode)
    }
}

/// A socket.
pub(crate) fn socket(
    inode: u64,
    family: &str,
    protocol: &str,
    loopback: Option<bool>,
    dma: Option<bool>,
) -> Endpoint {
    let socket = Socket {
        family: family.to_owned(),
        socket_type: "stream".to_owned(),
        protocol: protocol.to_owned(),
        local: None,
        remote: None,
        loopback,
        offloads: None,
    };
    Endpoint { socket: Some(socket), dma, ..endpoint(EndpointKind::Socket, inode) }
}

/// A TCP socket over loopback.
pub(crate) fn loopback(inode: u64) -> Endpoint {
    socket(inode, "inet", "tcp", Some(true), Some(false))
}

/// A character device of major 1.
pub(crate) fn memory_device(minor: u32) -> Endpoint {
    Endpoint { device_node: Some((1, minor)), ..endpoint(EndpointKind::CharDevice, 10 + u64::from(minor)) }
}

/// A call that took 1 µs.
pub(crate) fn call(pid: Pid, name: CallName) -> Call {
    Call {
        pid,
        tid: pid,
        name,
        end_ns: 0,
        duration_ns: Some(1000),
        began_before: false,
        result: 0,
        inside: Some(Inside { blocked_ns: 300, preempted_ns: 100, voluntary: 1, ..Inside::default() }),
    }
}

/// The call that tests make of a kind.
fn name(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Read => "read",
        CallKind::Write => "write",
        CallKind::Receive => "recvfrom",
        CallKind::Send => "sendto",
        CallKind::Sendfile => "sendfile",
        CallKind::Splice => "splice",
        CallKind::Tee => "tee",
        CallKind::Vmsplice => "vmsplice",
        CallKind::CopyFileRange => "copy_file_range",
        CallKind::ProcessVmRead => "process_vm_readv",
        CallKind::ProcessVmWrite => "process_vm_writev",
        _ => "other",
    }
}

/// A descriptor's side.
pub(crate) fn side(serial: u64) -> Side {
    Side { fd: 3, serial: Serial(serial), flags: 0 }
}

/// An operation between serials (0: no descriptor), without buffers.
pub(crate) fn operation(kind: CallKind, source: u64, sink: u64, bytes: u64) -> Operation {
    let call_name = CallName { name: name(kind), compat: false };
    Operation {
        call: Call { result: i64::try_from(bytes).unwrap_or(i64::MAX), ..call(PID, call_name) },
        kind,
        source: (source != 0).then(|| side(source)),
        sink: (sink != 0).then(|| side(sink)),
        buffers: Buffers::new(),
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

/// So many of these, folded in the kernel, with so many bytes in all.
pub(crate) fn folded(kind: CallKind, source: u64, sink: u64, operations: u64, bytes: u64) -> Folded {
    Folded {
        pid: PID,
        name: CallName { name: name(kind), compat: false },
        kind,
        source: (source != 0).then(|| side(source)),
        sink: (sink != 0).then(|| side(sink)),
        flags: 0,
        operations,
        errors: 0,
        transitions: 2 * operations,
        bytes,
        duration_ns: 500 * operations,
        blocked_ns: 0,
        preempted_ns: 0,
        storage_read_bytes: None,
        storage_written_bytes: None,
        counted: Counted::NONE,
    }
}

/// `read(serial, range)` that filled its buffer.
pub(crate) fn read(serial: u64, range: Range<u64>) -> Operation {
    let bytes = range.end - range.start;
    Operation { buffers: std::iter::once(range).collect(), ..operation(CallKind::Read, serial, 0, bytes) }
}

/// `write(serial, range)` that took it all.
pub(crate) fn write(serial: u64, range: Range<u64>) -> Operation {
    let bytes = range.end - range.start;
    Operation { buffers: std::iter::once(range).collect(), ..operation(CallKind::Write, 0, serial, bytes) }
}

/// A file mapped in [`PID`].
pub(crate) fn mapped(serial: u64, range: Range<u64>) -> Event {
    Event::Mapped(Mapping { pid: PID, range, serial: Serial(serial), offset: 0, fresh: false })
}

/// The first page fault of [`PID`], a read in user mode.
pub(crate) fn fault(address: u64) -> Fault {
    Fault {
        pid: PID,
        tid: PID,
        address,
        in_kernel: false,
        writes: false,
        present: false,
        minor_before: 0,
        major_before: 0,
    }
}

/// Serials of [`model`].
pub(crate) const FILE: u64 = 1;
pub(crate) const SOCKET: u64 = 2;
pub(crate) const PIPE: u64 = 3;
pub(crate) const OTHER_FILE: u64 = 4;
pub(crate) const OTHER_SOCKET: u64 = 5;
pub(crate) const OTHER_PIPE: u64 = 6;

/// A model that records transfers and knows some endpoints.
pub(crate) fn model() -> Model {
    model_with(ModelConfig { record_transfers: true, ..ModelConfig::default() })
}

/// The same of another configuration.
pub(crate) fn model_with(config: ModelConfig) -> Model {
    let mut model = Model::new(config);
    let endpoints = [
        (FILE, file(1, "ext4", Some(true))),
        (SOCKET, loopback(2)),
        (PIPE, endpoint(EndpointKind::Pipe, 3)),
        (OTHER_FILE, file(4, "ext4", Some(true))),
        (OTHER_SOCKET, loopback(5)),
        (OTHER_PIPE, endpoint(EndpointKind::Pipe, 6)),
    ];
    model.apply(endpoints.map(|(serial, endpoint)| Event::Endpoint(Serial(serial), endpoint)));
    model
}

/// The state after these operations.
pub(crate) fn after(operations: impl IntoIterator<Item = Operation>) -> Snapshot {
    let mut model = model();
    model.apply(operations.into_iter().map(Event::Operation));
    model.snapshot()
}

/// The flow of a method; there must be one.
pub(crate) fn flow<'a>(snapshot: &'a Snapshot, method: &str) -> &'a Flow {
    let mut found = snapshot.flows.iter().filter(|flow| flow.method == method);
    match (found.next(), found.next()) {
        (Some(flow), None) => flow,
        _ => panic!("not just one flow {method}: {:#?}", snapshot.flows),
    }
}

/// Method and payload of all flows with payload.
pub(crate) fn payloads(snapshot: &Snapshot) -> Vec<(&str, u64)> {
    let mut flows: Vec<_> = snapshot
        .flows
        .iter()
        .filter(|flow| flow.payload_bytes > 0)
        .map(|flow| (flow.method.as_str(), flow.payload_bytes))
        .collect();
    flows.sort_unstable();
    flows
}
