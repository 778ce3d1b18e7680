//! What each way of moving bytes costs in copies and transitions.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    comparison::Comparison,
    document::{Document, Flow},
    scenario::{EXT4, Outcome, Scenario, last_line, require_file_system, require_program, scenario},
    strace,
    tracer::Tracer,
    workload::reported_calls,
};

use crate::programs::nothing;

const SIZE: u64 = 8 << 20;
const CHUNK: u64 = 64 << 10;

/// A relay's only flow from its file, and how many calls by that name the workload made.
fn relay(scenario: &Scenario, method: &str, call: &str, options: &[&str]) -> Result<(Flow, u64)> {
    let file = scenario.file("payload", usize::try_from(SIZE)?)?;
    let arguments = [method.as_ref(), file.as_os_str(), CHUNK.to_string().as_ref()].map(ToOwned::to_owned);
    let ended = Tracer::new(scenario)?.args(options).traced(workload!("relay"), &arguments).run()?;
    let document = ended.document()?;
    let calls = reported_calls(&last_line(&String::from_utf8(ended.stdout)?)?)?;
    let count = calls.get(call).with_context(|| format!("no {call}"))?.count;
    let flow = only(document.flows_from(&file)?)?;
    // Counted once, wherever one looks.
    let sent: u64 = document
        .flows()?
        .iter()
        .filter(|flow| flow.sink.kind == "socket")
        .map(|flow| flow.payload_bytes)
        .sum();
    ensure!(sent == SIZE, "the flows into sockets carry {sent} bytes");
    Ok((flow, count))
}

/// The one flow that carries payload; a read at the end of the file carries none and is a flow of its own.
fn only(mut flows: Vec<Flow>) -> Result<Flow> {
    flows.retain(|flow| flow.payload_bytes > 0);
    ensure!(flows.len() == 1, "one flow from the file was to be expected: {flows:?}");
    flows.pop().context("no flow")
}

fn compare(flow: &Flow, method: &str, amplification: f64, transitions: u64) -> Comparison {
    let mut comparison = Comparison::default();
    comparison.equal("method", flow.method.as_str(), method);
    comparison.equal("sink.kind", flow.sink.kind.as_str(), "socket");
    comparison.equal("payload_bytes", flow.payload_bytes, SIZE);
    comparison.equal("copy_amplification", flow.copy_amplification, Some(amplification));
    comparison.equal("cpu_copied_bytes", flow.cpu_copied_bytes, Some((SIZE as f64 * amplification) as u64));
    comparison.equal("transitions", flow.transitions, transitions);
    comparison
}

#[test]
fn classical_relay() -> Outcome {
    read_and_write("copies/read+write", &[])
}

pub(crate) fn read_and_write(name: &str, options: &[&str]) -> Outcome {
    scenario(name, |s| {
        let (flow, reads) = relay(s, "read+write", "read", options)?;
        let mut comparison = compare(&flow, "read+write", 2.0, 4 * (SIZE / CHUNK));
        comparison.equal("reads", reads, SIZE / CHUNK);
        comparison.equal("page_cache → user", flow.copied("page_cache", "user", "cpu"), SIZE);
        comparison.equal("user → socket", flow.copied("user", "socket", "cpu"), SIZE);
        comparison.finish()
    })
}

#[test]
fn sendfile() -> Outcome {
    scenario("copies/sendfile", |s| {
        let (flow, calls) = relay(s, "sendfile", "sendfile", &[])?;
        compare(&flow, "sendfile", 0.0, 2 * calls).finish()
    })
}

#[test]
fn mapped() -> Outcome {
    scenario("copies/mmap+write", |s| {
        let (flow, _) = relay(s, "mmap+write", "write", &[])?;
        compare(&flow, "mmap+write", 1.0, 2 * (SIZE / CHUNK)).finish()
    })
}

#[test]
fn spliced() -> Outcome {
    scenario("copies/splice", |s| {
        let (flow, calls) = relay(s, "splice", "splice", &[])?;
        compare(&flow, "splice", 0.0, 2 * calls).finish()
    })
}

#[test]
fn cp_on_ext4() -> Outcome {
    scenario("copies/cp on ext4", |s| {
        require_file_system(s.folder(), "ext4", EXT4)?;
        let cp = require_program("cp")?;
        let (from, to) = (s.file("from", usize::try_from(SIZE)?)?, s.path("to"));
        let (log, _) = strace::run(s, &cp, &[&from, &to], nothing(), &s.path("output"))?;
        let truth = log.by_name().get("copy_file_range").copied().unwrap_or_default();
        if truth.bytes != Some(SIZE) {
            zc_trace_tests::skip!("this cp does not use copy_file_range");
        }
        std::fs::remove_file(&to)?;
        let document = Tracer::new(s)?.traced(cp, &[&from, &to]).run()?.document()?;
        let flow = only(document.flows_from(&from)?)?;
        let mut comparison = Comparison::default();
        comparison.equal("method", flow.method.as_str(), "copy_file_range");
        comparison.holds("the sink is the copy", flow.sink.is(&to));
        comparison.equal("payload_bytes", flow.payload_bytes, SIZE);
        // One copy in the kernel: not zero-copy on ext4, which cannot share extents.
        comparison.equal("copy_amplification", flow.copy_amplification, Some(1.0));
        comparison.equal("page_cache → page_cache", flow.copied("page_cache", "page_cache", "cpu"), SIZE);
        // The last call returns 0 at the file's end: of the flow or not, it is two transitions.
        comparison.between("transitions", 2 * (truth.count - 1), flow.transitions, 2 * truth.count);
        comparison.finish()
    })
}

/// Four reads into one buffer, which is sent on behind a header: as it was read, or every byte of it changed.
const SEVERAL_BUFFERS: &str = r#"
import os, sys
source, sink = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
buffer, header, other = bytearray(65536), b"h" * 100, bytes(255 - byte for byte in range(256))
parts = [memoryview(buffer)[at:at + 16384] for at in range(0, 65536, 16384)]
while all([os.readv(source, [part]) for part in parts]):
    if sys.argv[3] == "changed":
        buffer[:] = buffer.translate(other)
    os.writev(sink, [header, buffer])
"#;

fn sent_behind_a_header(s: &Scenario, how: &str) -> Result<Vec<Flow>> {
    let from = s.file("from", usize::try_from(SIZE)?)?;
    let to = s.path("to");
    let arguments = ["-c".as_ref(), SEVERAL_BUFFERS.as_ref(), from.as_os_str(), to.as_os_str(), how.as_ref()];
    let document = Tracer::new(s)?.traced(require_program("python3")?, &arguments).run()?.document()?;
    let mut flows = document.flows_from(&from)?;
    flows.extend(document.flows_to(&to)?.into_iter().filter(|flow| flow.source.kind == "user"));
    flows.retain(|flow| flow.payload_bytes > 0);
    Ok(flows)
}

#[test]
fn several_buffers() -> Outcome {
    scenario("copies/several buffers", |s| {
        let headers = SIZE / CHUNK * 100;
        let mut comparison = Comparison::default();
        for (how, truth) in [
            ("same", vec![("read+write", SIZE), ("write", headers)]),
            ("changed", vec![("read", SIZE), ("write", SIZE + headers)]),
        ] {
            let flows = sent_behind_a_header(s, how)?;
            let mut said: Vec<_> =
                flows.iter().map(|flow| (flow.method.as_str(), flow.payload_bytes)).collect();
            said.sort_unstable();
            comparison.equal(how, said, truth);
        }
        comparison.finish()
    })
}

fn dd(scenario: &Scenario, flag: &str) -> Result<(Document, Flow)> {
    let file = scenario.file("from", usize::try_from(SIZE)?)?;
    let from = format!("if={}", file.display());
    let arguments = [from.as_str(), "of=/dev/null", "bs=64K", "status=none", flag];
    let document = Tracer::new(scenario)?.traced(require_program("dd")?, &arguments).run()?.document()?;
    let flow = only(document.flows_from(&file)?)?;
    Ok((document, flow))
}

#[test]
fn direct_reads() -> Outcome {
    scenario("copies/dd iflag=direct", |s| {
        require_file_system(s.folder(), "ext4", EXT4)?;
        let (_, flow) = dd(s, "iflag=direct")?;
        let mut comparison = Comparison::default();
        comparison.equal("payload_bytes", flow.payload_bytes, SIZE);
        comparison.equal("cpu_copied_bytes", flow.cpu_copied_bytes, Some(0));
        comparison.equal("page_cache → user by the CPU", flow.copied("page_cache", "user", "cpu"), 0);
        let direct: Vec<_> =
            flow.copies.iter().filter(|copy| copy.from == "device" && copy.to == "user").collect();
        comparison.equal("device → user", direct.iter().filter_map(|copy| copy.bytes).sum(), SIZE);
        comparison.holds("no CPU moved it", direct.iter().all(|copy| copy.mover.as_deref() != Some("cpu")));
        comparison.finish()
    })
}

#[test]
fn buffered_reads_are_the_counterpart() -> Outcome {
    scenario("copies/dd iflag=fullblock", |s| {
        let (document, flow) = dd(s, "iflag=fullblock")?;
        let mut comparison = Comparison::default();
        comparison.equal("payload_bytes", flow.payload_bytes, SIZE);
        comparison.equal("page_cache → user by the CPU", flow.copied("page_cache", "user", "cpu"), SIZE);
        // Writing to /dev/null copies nothing.
        comparison.equal("copy_amplification", flow.copy_amplification, Some(1.0));
        let into_null = document.flows_to(Path::new("/dev/null"))?;
        let payload: u64 = into_null.iter().map(|flow| flow.payload_bytes).sum();
        comparison.equal("payload into /dev/null", payload, SIZE);
        comparison.finish()
    })
}
