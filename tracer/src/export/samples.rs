//! Documents for tests: an empty one, a busy one, one with losses, one of a hostile target, and a demonstration.

use std::collections::BTreeMap;

use super::{
    document::{DemoDocument, DemoRun, Document, EvidenceSource, Machine, SCHEMA_VERSION, Target, Tool},
    ndjson::OperationLine,
};
use crate::{
    findings::findings,
    model::{
        endpoint::{EndpointKind, Place},
        event::{Buffers, Call, CallKind, CallName, Operation, Serial, Side},
        evidence::Evidence,
        fallback::{Fallback, Reason},
        snapshot::*,
    },
};

const MIB: u64 = 1 << 20;

/// All trace documents.
pub(crate) fn documents() -> Vec<Document> {
    vec![empty(), busy(), lossy(), hostile()]
}

/// Nothing happened.
pub(crate) fn empty() -> Document {
    Document {
        schema_version: SCHEMA_VERSION,
        tool: Tool { name: "zc-trace".to_owned(), version: "0.1.0".to_owned() },
        machine: Machine { kernel: "6.18.44".to_owned(), arch: "x86_64".to_owned(), cpus: 2 },
        target: Target {
            pid: 4242,
            pids: vec![4242],
            comm: "relay".to_owned(),
            args: ["/usr/bin/relay", "--file", "/srv/www/big.bin"].map(str::to_owned).to_vec(),
            user: Some("www-data".to_owned()),
            start_time_unix_ns: Some(1_790_000_000_000_000_000),
            command: false,
            exit_code: None,
        },
        evidence: BTreeMap::from([
            ("transitions".to_owned(), source("tp_btf:sys_exit", Evidence::Measured)),
            ("cpu_copied_bytes".to_owned(), source("return values", Evidence::Derived)),
        ]),
        started_at_unix_ns: 1_790_000_100_000_000_000,
        duration_ns: 10_002_345_678,
        unfinished: false,
        findings: Vec::new(),
        snapshot: Snapshot {
            totals: Totals { cpu_copied_bytes: Some(0), dma_bytes: Some(0), ..Totals::default() },
            ..Snapshot::default()
        },
    }
}

fn source(source: &str, evidence: Evidence) -> EvidenceSource {
    EvidenceSource { source: source.to_owned(), evidence, better: None }
}

/// A relay that was started by zc-trace and has ended.
pub(crate) fn busy() -> Document {
    let mut document = empty();
    document.target.command = true;
    document.target.exit_code = Some(0);
    document.snapshot = Snapshot {
        totals: busy_totals(),
        calls: vec![
            call("write", 4_097, 0, 256 * MIB, 98_765_432),
            call("read", 4_100, 1, 256 * MIB + 4_096, 65_432_100),
            call("copy_file_range", 12, 0, 3 * MIB / 2, 1_234_567),
            CallStatistics { unfinished: 1, latency_ns: None, ..call("exit_group", 1, 0, 0, 0) },
        ],
        requests: vec![RequestStatistics {
            name: "io_uring:read".to_owned(),
            count: 40,
            errors: 2,
            bytes: MIB,
            time_ns: 7_654_321,
            latency_ns: None,
        }],
        flows: vec![relay_flow(), cached_copy_flow(), log_flow(), silent_flow()],
        descriptors: vec![
            descriptor(4, file("/srv/copy.bin"), 0, 256 * MIB),
            Descriptor { errors: 1, ..descriptor(3, file("/srv/www/big.bin"), 256 * MIB + 4_096, 0) },
            Descriptor {
                open: Some(false),
                openings: 3,
                close_on_exec: Some(true),
                opened: DescriptorOrigin::Traced,
                opened_ns: Some(5_000_000_000),
                ..descriptor(4, file("/etc/relay.conf"), 2_048, 0)
            },
        ],
        descriptor_summary: DescriptorSummary {
            open: 5,
            closed: 7,
            all: DescriptorUse {
                operations: 12_291,
                errors: 1,
                read_bytes: 256 * MIB + 6_144,
                written_bytes: 256 * MIB,
            },
            ..DescriptorSummary::default()
        },
        mapped_files: vec![MappedFile {
            pid: 4242,
            file: file("/usr/lib/libc.so.6"),
            user_faults: 120,
            kernel_faults: 0,
            minor_faults: 117,
            major_faults: 2,
            reached: Reached {
                bytes: Some(1_884_160),
                evidence: Evidence::Modelled,
                at_least_bytes: 480 << 10,
                at_most_bytes: None,
            },
        }],
        processes: vec![process(4242, None, Some(0)), process(4250, Some(4242), Some(137))],
        threads: Vec::new(),
        in_flight: InFlight::default(),
    };
    document.findings = findings(&document.snapshot);
    document
}

fn busy_totals() -> Totals {
    Totals {
        operations: 8_209,
        calls: 8_321,
        read_bytes: 258 * MIB,
        written_bytes: 257 * MIB,
        read_calls: Some(4_112),
        write_calls: Some(4_109),
        payload_evidence: Evidence::Modelled,
        payload_bytes: Some(257 * MIB + MIB / 2),
        payload_bytes_at_most: 257 * MIB + MIB / 2,
        cpu_copied_bytes: Some(513 * MIB + MIB / 2),
        cpu_copied_evidence: Evidence::Derived,
        cpu_copied_bytes_at_least: 513 * MIB + MIB / 2,
        dma_bytes: None,
        dma_evidence: Evidence::Unknown,
        dma_bytes_outside_operations: Some(0),
        dma_metadata_bytes: Some(0),
        not_written_back_bytes: None,
        written_back_for_others_bytes: Some(0),
        swiotlb_bounced_bytes: Some(0),
        dma_bytes_at_least: 64 * MIB,
        copy_amplification: Some(1.994_174_757),
        copy_amplification_evidence: Evidence::Modelled,
        copy_disagreements: 0,
        transitions: Transitions { syscall: 16_641, exception: 342, interrupt: 1_024 },
        context_switches: ContextSwitches { voluntary: 123, involuntary: 45 },
        page_faults: PageFaults { minor: 165, major: 6 },
        page_fault_places: FaultPlaces {
            user: 171,
            kernel: 0,
            file: 120,
            file_major: 2,
            anonymous: 50,
            anonymous_major: 0,
            not_told: 1,
        },
        losses: Losses::default(),
        summed: Summed::default(),
        kernel_accounts: Some(KernelAccounts {
            rchar: 258 * MIB,
            wchar: 257 * MIB,
            syscr: 4_112,
            syscw: 4_109,
            read_bytes: 64 * MIB,
            write_bytes: 3 * MIB / 2,
            agree: Some(true),
        }),
    }
}

fn call(name: &str, count: u64, errors: u64, bytes: u64, time_ns: u64) -> CallStatistics {
    CallStatistics {
        name: name.to_owned(),
        count,
        errors,
        unfinished: 0,
        bytes,
        untimed: 0,
        time_ns: Some(time_ns),
        blocked_ns: Some(time_ns / 10),
        preempted_ns: Some(time_ns / 100),
        errors_by_name: if errors > 0 { vec![error("EAGAIN", errors)] } else { Vec::new() },
        latency_ns: Some(Latency {
            samples: count,
            p50: time_ns / count,
            p90: time_ns / count * 2,
            p99: time_ns / count * 5,
            max: time_ns / count * 90,
        }),
    }
}

fn error(name: &str, count: u64) -> ErrorCount {
    ErrorCount { name: name.to_owned(), count }
}

/// A descriptor that was open when tracing began.
fn descriptor(fd: i32, endpoint: FlowEnd, read_bytes: u64, written_bytes: u64) -> Descriptor {
    Descriptor {
        pid: 4242,
        tid: None,
        shared_with: Vec::new(),
        fd,
        endpoint,
        open_flags: Some(0o100_000),
        close_on_exec: Some(false),
        position_bytes: Some(0),
        opened: DescriptorOrigin::BeforeAttach,
        opened_ns: None,
        open: Some(true),
        openings: 1,
        operations: 4_097,
        errors: 0,
        read_bytes,
        written_bytes,
        last_use_ns: Some(10_000_000_000),
    }
}

/// A file's end of a flow.
pub(crate) fn file(path: &str) -> FlowEnd {
    FlowEnd {
        kind: EndpointKind::File,
        path: Some(path.to_owned()),
        address: None,
        id: Some("254:0:1234".to_owned()),
        generation: Some(7),
        file_system: Some("ext4".to_owned()),
    }
}

fn socket() -> FlowEnd {
    FlowEnd {
        kind: EndpointKind::Socket,
        path: None,
        address: Some("tcp 127.0.0.1:8080 → 127.0.0.1:40312".to_owned()),
        id: Some("0:8:99887".to_owned()),
        generation: Some(0),
        file_system: None,
    }
}

fn user() -> FlowEnd {
    FlowEnd {
        kind: EndpointKind::User,
        path: None,
        address: None,
        id: None,
        generation: None,
        file_system: None,
    }
}

fn step(from: Place, to: Place, mover: Option<Mover>, bytes: Option<u64>, evidence: Evidence) -> Copy {
    Copy { from, to, mover, bytes, evidence, derived_bytes: None, note: None }
}

/// The classical relay.
pub(crate) fn relay_flow() -> Flow {
    Flow {
        id: 0,
        pid: 4242,
        source: file("/srv/www/big.bin"),
        sink: socket(),
        method: "read+write".to_owned(),
        transfers: 4_096,
        operations: 8_192,
        payload_bytes: 256 * MIB,
        payload_evidence: Evidence::Modelled,
        cpu_copied_bytes: Some(512 * MIB),
        dma_bytes: Some(64 * MIB),
        copy_amplification: Some(2.0),
        copy_amplification_evidence: Evidence::Modelled,
        transitions: 16_384,
        transitions_per_mib: Some(64.0),
        unseen_operations: 1,
        context_switches: Some(ContextSwitches { voluntary: 100, involuntary: 40 }),
        page_faults: Some(PageFaults::default()),
        time_ns: Some(164_000_000),
        on_cpu_ns: Some(147_654_321),
        blocked_ns: Some(12_345_678),
        preempted_ns: Some(4_000_001),
        request_time_ns: 0,
        folded_operations: 0,
        estimated_operations: 0,
        not_written_back_bytes: None,
        zerocopy: None,
        reached: None,
        copies: vec![
            step(Place::Device, Place::PageCache, Some(Mover::Dma), Some(64 * MIB), Evidence::Measured),
            step(Place::PageCache, Place::User, Some(Mover::Cpu), Some(256 * MIB), Evidence::Derived),
            step(Place::User, Place::Socket, Some(Mover::Cpu), Some(256 * MIB), Evidence::Derived),
        ],
        fallbacks: Vec::new(),
        evidence: Evidence::Derived,
    }
}

fn cached_copy_flow() -> Flow {
    let bytes = 3 * MIB / 2;
    let mut copy =
        step(Place::PageCache, Place::PageCache, Some(Mover::Cpu), Some(bytes), Evidence::Modelled);
    let reason = Reason::ExtentsNotShared;
    let text = "copied after all: no extents were shared between the two files".to_owned();
    copy.note = Some(text.clone());
    let fallback = Fallback { reason, text, operations: 12, bytes, evidence: Evidence::Modelled };
    Flow {
        source: file("/srv/www/templates/a/rather/deep/folder/of/a/project/index.template.html"),
        sink: file("/var/cache/relay/an/equally/deep/folder/of/the/same/project/index.html"),
        method: "copy_file_range".to_owned(),
        transfers: 12,
        operations: 12,
        payload_bytes: bytes,
        payload_evidence: Evidence::Derived,
        cpu_copied_bytes: Some(bytes),
        dma_bytes: None,
        copy_amplification: Some(1.0),
        transitions: 24,
        transitions_per_mib: Some(16.0),
        on_cpu_ns: Some(1_234_567),
        blocked_ns: Some(0),
        copies: vec![copy, step(Place::PageCache, Place::Device, Some(Mover::Dma), None, Evidence::Unknown)],
        fallbacks: vec![fallback],
        evidence: Evidence::Modelled,
        ..relay_flow()
    }
}

fn log_flow() -> Flow {
    Flow {
        source: user(),
        sink: file("/var/log/relay.log"),
        method: "write".to_owned(),
        transfers: 1,
        operations: 1,
        payload_bytes: 120,
        payload_evidence: Evidence::Derived,
        copy_amplification_evidence: Evidence::Derived,
        cpu_copied_bytes: Some(120),
        dma_bytes: None,
        copy_amplification: Some(1.0),
        transitions: 2,
        transitions_per_mib: Some(17_476.27),
        on_cpu_ns: Some(5_432),
        blocked_ns: Some(0),
        reached: None,
        copies: vec![step(Place::User, Place::PageCache, Some(Mover::Cpu), Some(120), Evidence::Derived)],
        ..relay_flow()
    }
}

fn silent_flow() -> Flow {
    Flow {
        source: socket(),
        sink: user(),
        method: "read".to_owned(),
        transfers: 0,
        operations: 1,
        payload_bytes: 0,
        cpu_copied_bytes: Some(0),
        dma_bytes: Some(0),
        copy_amplification: None,
        transitions: 2,
        transitions_per_mib: None,
        copies: Vec::new(),
        ..relay_flow()
    }
}

fn process(pid: u32, parent: Option<u32>, exit_code: Option<u32>) -> Process {
    Process {
        pid,
        parent,
        comm: "relay".to_owned(),
        threads: 2,
        calls: 4_160,
        transitions: Transitions { syscall: 8_320, exception: 171, interrupt: 512 },
        context_switches: ContextSwitches { voluntary: 61, involuntary: 22 },
        page_faults: PageFaults { minor: 82, major: 3 },
        read_bytes: 129 * MIB,
        written_bytes: 128 * MIB,
        exit_code,
    }
}

/// Detail was lost, copies are not known, the accounts differ, and calls were in flight.
pub(crate) fn lossy() -> Document {
    let mut document = busy();
    document.target.command = false;
    document.target.exit_code = None;
    let totals = &mut document.snapshot.totals;
    totals.cpu_copied_bytes = None;
    totals.cpu_copied_evidence = Evidence::Unknown;
    totals.copy_amplification = None;
    totals.losses = Losses {
        folded_operations: 1_234_567,
        unattributed_operations: 12,
        folded_calls: 99,
        lost_events: 3,
        untraced_threads: 1,
        unknown_endpoints: 2,
        undecodable_records: 1,
        untraced_submissions: 0,
        missed_runs: 0,
    };
    if let Some(accounts) = &mut totals.kernel_accounts {
        accounts.agree = Some(false);
        accounts.rchar += 4_096;
        accounts.wchar -= 1;
    }
    document.snapshot.flows[0].folded_operations = 1_234_000;
    document.snapshot.flows[0].cpu_copied_bytes = None;
    document.snapshot.flows[0].copy_amplification = None;
    document.snapshot.in_flight = InFlight {
        at_start: vec![in_flight(4242, "epoll_wait", None)],
        at_end: vec![in_flight(4242, "read", Some(1_500_000_000)), in_flight(4243, "futex", None)],
    };
    document
}

fn in_flight(tid: u32, name: &str, time_ns: Option<u64>) -> InFlightCall {
    InFlightCall { pid: 4242, tid, name: name.to_owned(), time_ns }
}

/// The target chose names to fool the reader.
pub(crate) fn hostile() -> Document {
    let mut document = busy();
    document.target.comm = "\x1b]0;owned\x07".to_owned();
    document.target.args =
        vec!["rm\n  payload  0 B".to_owned(), "\u{202e}txt.exe".to_owned(), "\0".to_owned()];
    document.target.user = Some("ro\x1b[31mot".to_owned());
    document.snapshot.processes[1].comm = "\r\t\x7f".to_owned();
    document.snapshot.flows.truncate(1);
    document.snapshot.flows[0].source =
        file("/tmp/\x1b[2J\x1b[Hall\nis\u{200b} fine/文文文文文文文文文文文文文文文文文文文文/\u{9b}31m.bin");
    document.findings = findings(&document.snapshot);
    document
}

/// A transfer of the relay.
pub(crate) fn transfer() -> Transfer {
    let flow = relay_flow();
    Transfer {
        pid: 4242,
        tid: 4243,
        time_ns: 123_456_789,
        source: flow.source,
        sink: flow.sink,
        method: flow.method,
        payload_bytes: 65_536,
        cpu_copied_bytes: Some(131_072),
        dma_bytes: None,
        transitions: 4,
        time_in_calls_ns: Some(40_000),
        copies: flow.copies,
    }
}

/// A 32-bit send that would have blocked; its source is serial 7, its sink serial 8.
pub(crate) fn operation() -> Operation {
    Operation {
        call: Call {
            pid: 4242,
            tid: 4243,
            name: CallName { name: "sendto", compat: true },
            end_ns: 123_456_789,
            duration_ns: None,
            began_before: true,
            result: -11,
            inside: None,
        },
        kind: CallKind::Send,
        source: Some(Side { fd: 3, serial: Serial(7), flags: 0 }),
        sink: Some(Side { fd: 4, serial: Serial(8), flags: 2 }),
        buffers: Buffers::new(),
        buffers_complete: true,
        asked_bytes: Some(65_536),
        bytes: 0,
        storage_read_bytes: None,
        storage_written_bytes: None,
        flags: 0x4000,
        head: None,
        tail: None,
        zerocopy: None,
        counted: None,
        request: None,
        after_untold: false,
    }
}

/// The line of [`operation`].
pub(crate) fn operation_line() -> OperationLine {
    OperationLine::new(&operation(), |_| Some(socket()))
}

/// The demonstration with all methods.
pub(crate) fn demo() -> DemoDocument {
    let document = empty();
    DemoDocument {
        schema_version: SCHEMA_VERSION,
        tool: document.tool,
        machine: document.machine,
        demo: vec![
            demo_run("read+write", 2, 16_900, 90, 0.25),
            demo_run("sendfile", 0, 8_710, 90, 0.0625),
            demo_run("mmap+write", 1, 8_720, 4_186, 0.125),
            demo_run("splice", 0, 16_910, 92, 0.0625),
            demo_run("send(MSG_ZEROCOPY)", 2, 18_000, 150, 0.5),
        ],
    }
}

fn demo_run(method: &str, copies: u64, syscall: u64, minor: u64, cpu_seconds: f64) -> DemoRun {
    let mut document = busy();
    let totals = &mut document.snapshot.totals;
    (totals.payload_bytes, totals.payload_bytes_at_most) = (Some(256 * MIB), 256 * MIB);
    totals.cpu_copied_bytes = Some(copies * 256 * MIB);
    totals.copy_amplification = Some(copies as f64);
    totals.dma_bytes = Some(0);
    totals.dma_evidence = Evidence::Modelled;
    totals.transitions.syscall = syscall;
    totals.page_faults = PageFaults { minor, major: 0 };
    document.snapshot.flows.truncate(1);
    document.snapshot.flows[0].method = method.to_owned();
    DemoRun {
        method: method.to_owned(),
        size_bytes: 256 * MIB,
        chunk_bytes: 65_536,
        cpu_seconds,
        wall_seconds: 0.125,
        bytes_per_second: Some(256.0 * MIB as f64 / 0.125),
        document,
    }
}
