//! Requests of io_uring: each kind with its bytes, whoever runs it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    comparison::Comparison,
    document::{Document, Flow},
    figures::{Evidence, figure},
    gate::Gate,
    process::STEP,
    scenario::{EXT4, Outcome, Scenario, last_line, require_file_system, require_program, scenario},
    skip,
    tracer::Tracer,
    workload::reported_calls,
};

/// Skips where the machine's owner has switched io_uring off (`kernel.io_uring_disabled`).
fn require_uring() -> Result<()> {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    if disabled.trim() == "2" {
        skip!("io_uring is disabled");
    }
    Ok(())
}

fn payload(flows: &[Flow]) -> u64 {
    flows.iter().map(|flow| flow.payload_bytes).sum()
}

/// Every kind of request, and every file, against what the workload did.
pub(crate) fn compare(document: &Document, report: &serde_json::Value) -> Result<()> {
    let mut comparison = Comparison::default();
    let mut requests = document.requests()?;
    for (name, truth) in reported_calls(report)? {
        if name.contains(':') {
            comparison.equal(&name, requests.remove(&name), Some(truth));
        }
    }
    comparison.holds("there is no other kind", requests.is_empty());
    let bytes =
        |which: &str| report["more"][which].as_object().cloned().with_context(|| format!("no {which}"));
    for (path, bytes) in bytes("read")? {
        let read = payload(&document.flows_from(Path::new(&path))?);
        comparison.equal(&format!("read from {path}"), read, bytes.as_u64().context("no number")?);
    }
    for (path, bytes) in bytes("written")? {
        let written = payload(&document.flows_to(Path::new(&path))?);
        comparison.equal(&format!("written to {path}"), written, bytes.as_u64().context("no number")?);
    }
    comparison.holds("the kernel's accounts agree", document.get("totals.kernel_accounts.agree")? == true);
    comparison.equal(
        "losses.untraced_submissions",
        document.number("totals.losses.untraced_submissions")?,
        0,
    );
    comparison.holds("what the CPU copied is known", document.number("totals.cpu_copied_bytes").is_ok());
    comparison.equal("copy_disagreements", document.number("totals.copy_disagreements")?, 0);
    comparison.finish()
}

/// Whether hooks count what is copied for requests on this kernel.
pub(crate) fn counts_copies(document: &Document) -> Result<bool> {
    let evidence = document.get("evidence")?;
    let of_requests = evidence.get("copies.of_requests").context("no copies.of_requests")?;
    Ok(of_requests.get("evidence").and_then(serde_json::Value::as_str) == Some("measured"))
}

fn every_kind(mode: &str, options: &[&str]) -> Outcome {
    scenario(&format!("uring/{mode} {}", options.join(" ")), |s| {
        require_uring()?;
        let arguments = [mode.as_ref(), s.folder().as_os_str()];
        let ended = Tracer::new(s)?.args(options).traced(workload!("uring"), &arguments).run()?;
        let document = ended.document()?;
        compare(&document, &last_line(&String::from_utf8(ended.stdout)?)?)?;
        if mode != "worker" {
            // From provided buffers that the kernel chose for requests that completed many times over.
            let flows = document.flows()?;
            let sent_on =
                flows.iter().filter(|flow| flow.method == "recv+send").map(|flow| flow.payload_bytes);
            // Before Linux 6.13 also those of a request that completed once.
            let sent_on: Vec<_> = sent_on.collect();
            ensure!(matches!(*sent_on, [600, 600] | [600, 600, 600]), "sent on: {sent_on:?}");
        }
        copied_after_all(&document)?;
        relayed(&document, &s.path("relayed"))
    })
}

/// Of the sends without copying one asks for a report, and loopback makes the kernel copy.
fn copied_after_all(document: &Document) -> Result<()> {
    let flows = document.list("flows")?;
    let mut reported = flows.iter().filter(|flow| flow.get("zerocopy.sends").is_ok());
    let flow = reported.next().context("no flow has sends without copying")?;
    let mut comparison = Comparison::default();
    comparison.equal("zerocopy.sends", flow.number("zerocopy.sends")?, 1);
    comparison.equal("zerocopy.copied", flow.number("zerocopy.copied")?, 1);
    comparison.equal("payload_bytes", flow.number("payload_bytes")?, 40_000);
    comparison.equal("cpu_copied_bytes", flow.number("cpu_copied_bytes")?, 40_000);
    comparison.finish()
}

/// The reads and sends of a relay are one flow; what was copied for each is counted where hooks do.
fn relayed(document: &Document, path: &Path) -> Result<()> {
    let mut flows = document.flows_from(path)?;
    flows.retain(|flow| flow.payload_bytes > 0);
    ensure!(flows.len() == 1, "one flow from the relayed file was to be expected: {flows:?}");
    let flow = flows.pop().context("no flow")?;
    let mut comparison = Comparison::default();
    comparison.equal("method", flow.method.as_str(), "read+send");
    comparison.equal("operations", flow.operations, 16);
    comparison.equal("copy_amplification", flow.copy_amplification, Some(2.0));
    let evidence = if counts_copies(document)? { Evidence::Measured } else { Evidence::Derived };
    comparison.equal("evidence", flow.evidence.as_str(), evidence.to_string().as_str());
    figure("io_uring: copies of each byte, relay", "2.00", evidence);
    comparison.finish()
}

/// What two requests of one name receive is given to neither: that something is missing is said.
#[test]
fn namesakes() -> Outcome {
    scenario("uring/namesakes", |s| {
        require_uring()?;
        let arguments = ["namesakes".as_ref(), s.folder().as_os_str()];
        let document = Tracer::new(s)?.traced(workload!("uring"), &arguments).run()?.document()?;
        let mut comparison = Comparison::default();
        let untraced = document.number("totals.losses.untraced_submissions")?;
        comparison.equal("losses.untraced_submissions", untraced, 2);
        comparison.holds("copies are not known", document.get("totals.cpu_copied_bytes")?.is_null());
        let received = document
            .flows()?
            .iter()
            .filter(|flow| flow.method == "recv")
            .map(|flow| flow.payload_bytes)
            .sum();
        comparison.equal("payload of either", received, 0_u64);
        comparison.finish()
    })
}

#[test]
fn plain() -> Outcome {
    every_kind("plain", &[])
}

#[test]
fn by_workers() -> Outcome {
    every_kind("worker", &[])
}

#[test]
fn by_the_polling_thread() -> Outcome {
    every_kind("polling-thread", &[])
}

#[test]
fn deferred() -> Outcome {
    every_kind("deferred", &[])
}

#[test]
fn in_the_raw_form() -> Outcome {
    every_kind("plain", &["--form", "raw"])
}

/// The ring is there before tracing begins.
#[test]
fn attached() -> Outcome {
    scenario("uring/attached", |s| {
        require_uring()?;
        for mode in ["plain", "polling-thread"] {
            let folder = s.make_folder(mode)?;
            let arguments = [mode.as_ref(), folder.as_os_str()];
            let mut gate = Gate::inside(s, workload!("uring"), &arguments)?;
            let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
            gate.open()?;
            let status = gate.process().reap(STEP)?;
            ensure!(status.success(), "{status}");
            compare(&trace.end()?.document()?, &last_line(&gate.output()?)?)?;
        }
        Ok(())
    })
}

const FILE: u64 = 8 << 20;

/// fio's own account of bytes and requests is the referee.
pub(crate) fn fio(
    scenario: &Scenario,
    engine: &str,
    options: &[&str],
) -> Result<(Document, serde_json::Value)> {
    let program = require_program("fio")?;
    let report = scenario.path("fio.json");
    let file: PathBuf = scenario.file("data", usize::try_from(FILE)?)?;
    let mut arguments = vec![
        "--name=job".to_owned(),
        "--thread".to_owned(),
        format!("--filename={}", file.display()),
        format!("--size={FILE}"),
        format!("--ioengine={engine}"),
        "--iodepth=16".to_owned(),
        "--output-format=json".to_owned(),
        format!("--output={}", report.display()),
    ];
    arguments.extend(options.iter().map(|option| (*option).to_owned()));
    let document = Tracer::new(scenario)?.arg("-f").traced(program, &arguments).run()?.document()?;
    let text = std::fs::read_to_string(report)?;
    let json: serde_json::Value =
        serde_json::from_str(text.get(text.find('{').context("fio said nothing")?..).unwrap_or_default())?;
    Ok((document, json["jobs"][0].clone()))
}

pub(crate) fn compare_fio(
    document: &Document,
    job: &serde_json::Value,
    reads: &[&str],
    writes: &[&str],
) -> Result<()> {
    let requests = document.requests()?;
    let mut comparison = Comparison::default();
    for (side, names) in [("read", reads), ("write", writes)] {
        let known = || names.iter().filter_map(|name| requests.get(*name));
        let count: u64 = known().map(|request| request.count).sum();
        let bytes: u64 = known().filter_map(|request| request.bytes).sum();
        let truth = |what: &str| job[side][what].as_u64().with_context(|| format!("no {side}.{what}"));
        comparison.equal(&format!("{side} requests"), count, truth("total_ios")?);
        comparison.equal(&format!("{side} bytes"), bytes, truth("io_bytes")?);
    }
    let (from, to) = (reads.is_empty(), writes.is_empty());
    comparison.holds("both sides are named", !from && !to);
    comparison.equal(
        "losses.untraced_submissions",
        document.number("totals.losses.untraced_submissions")?,
        0,
    );
    comparison.finish()
}

#[test]
fn fio_by_io_uring() -> Outcome {
    let variants: [(&str, &[&str]); 4] = [
        ("buffered", &["--rw=randrw", "--bs=4k"]),
        ("direct", &["--rw=randrw", "--bs=16k", "--direct=1", "--fixedbufs=1", "--registerfiles=1"]),
        ("polling thread", &["--rw=randrw", "--bs=8k", "--direct=1", "--sqthread_poll=1"]),
        ("workers", &["--rw=randrw", "--bs=8k", "--force_async=1"]),
    ];
    for (name, options) in variants {
        scenario(&format!("uring/fio {name}"), |s| {
            require_uring()?;
            let (document, job) = fio(s, "io_uring", options)?;
            let reads = ["io_uring:read", "io_uring:read_fixed", "io_uring:readv"];
            let writes = ["io_uring:write", "io_uring:write_fixed", "io_uring:writev"];
            compare_fio(&document, &job, &reads, &writes)
        })?;
    }
    Ok(())
}

/// What requests have devices read is known, past the page cache or not: the kernel's own account is the referee.
#[test]
fn fetched_from_storage() -> Outcome {
    for (engine, how, option) in [
        ("io_uring", "direct", "--direct=1"),
        ("io_uring", "by the polling thread", "--sqthread_poll=1"),
        ("libaio", "direct", "--direct=1"),
    ] {
        scenario(&format!("uring/fetched from storage, {engine} {how}"), |s| {
            require_uring()?;
            require_file_system(s.folder(), "ext4", EXT4)?;
            let (document, _) = fio(s, engine, &[option, "--direct=1", "--rw=read", "--bs=16k"])?;
            let flows = document.flows_from(&s.path("data"))?;
            let mut comparison = Comparison::default();
            comparison.equal("payload_bytes", payload(&flows), FILE);
            let fetched: u64 = flows.iter().map(|flow| flow.copied("device", "user", "dma")).sum();
            let driver: u64 = flows.iter().map(|flow| flow.copied("device", "user", "cpu")).sum();
            comparison.equal("device → user", fetched + driver, FILE);
            if fetched > 0 {
                let account = document.number("totals.kernel_accounts.read_bytes")?;
                comparison.equal("totals.dma_bytes", document.number("totals.dma_bytes")?, account);
            }
            comparison.finish()
        })?;
    }
    Ok(())
}
