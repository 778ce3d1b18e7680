//! 32-bit calls: counted apart from the 64-bit ones whose numbers they share, and followed like these.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    accounts::Accounts,
    comparison::Comparison,
    document::Document,
    gate::Gate,
    process::STEP,
    scenario::{Outcome, Scenario, last_line, scenario},
    skip,
    tracer::Tracer,
    workload::reported_calls,
};

const SIZE: usize = 64 << 10;

/// Skips where the kernel, or the machine, takes no 32-bit calls.
fn require_32_bit_calls(scenario: &Scenario) -> Result<()> {
    let mut untraced = Command::new(workload!("compat"));
    untraced.arg("1").stdout(Stdio::null()).stderr(Stdio::null());
    if scenario.run(&mut untraced)? != 0 {
        skip!("this kernel takes no 32-bit calls");
    }
    Ok(())
}

#[test]
fn numbers() -> Outcome {
    scenario("32-bit/numbers", |s| {
        require_32_bit_calls(s)?;
        let mut gate = Gate::inside(s, workload!("compat"), &["500"])?;
        let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
        let opening = Accounts::of(gate.pid())?;
        gate.open()?;
        let (closing, status) = gate.process().closing_accounts(STEP)?;
        ensure!(status.success(), "{status}");
        let document = trace.end()?.document()?;
        let mut comparison = Comparison::default();
        comparison.io(&document, &(closing - opening))?;
        comparison.some_calls(&document, &reported_calls(&last_line(&gate.output()?)?)?)?;
        let calls = document.calls()?;
        // What the 32-bit numbers would be if they were taken for 64-bit ones.
        comparison.holds("no writev", !calls.contains_key("writev"));
        comparison.between("closes", 0, calls.get("close").map_or(0, |call| call.count), 20);
        comparison.finish()
    })
}

/// Vectors, messages, mappings and requests of AIO are read as 32-bit programs lay them out: what is read by one and sent on
/// by another is one flow, as it is of a 64-bit program.
fn moves(name: &str, options: &[&str]) -> Outcome {
    scenario(name, |s| {
        require_32_bit_calls(s)?;
        let (input, requests) = (s.file("in", SIZE)?, s.file("aio", SIZE)?);
        let ended = Tracer::new(s)?.args(options).traced(workload!("compat-moves"), &[s.folder()]).run()?;
        let document = ended.document()?;
        let mut calls = reported_calls(&last_line(&String::from_utf8(ended.stdout)?)?)?;
        let of_aio = calls.remove("aio:preadv").context("no requests")?;
        let mut comparison = Comparison::default();
        comparison.some_calls(&document, &calls)?;
        comparison.equal("aio:preadv", document.requests()?.get("aio:preadv"), Some(&of_aio));
        let untraced = document.number("totals.losses.untraced_submissions")?;
        comparison.equal("losses.untraced_submissions", untraced, 0);
        let mut flows: Vec<_> = document
            .flows_from(&input)?
            .into_iter()
            .map(|flow| (flow.method, flow.sink.kind, flow.payload_bytes, flow.cpu_copied_bytes))
            .collect();
        flows.sort();
        let flow = |method: &str, sink: &str, copies: u64| {
            (method.to_owned(), sink.to_owned(), SIZE as u64, Some(copies * SIZE as u64))
        };
        let truth = vec![
            flow("mmap+write", "file", 1),
            flow("read+send", "socket", 2),
            flow("read+write", "file", 2),
        ];
        comparison.equal("flows from the file", flows, truth);
        let read: u64 = document.flows_from(&requests)?.iter().map(|flow| flow.payload_bytes).sum();
        comparison.equal("read by requests", Some(read), of_aio.bytes);
        comparison.finish()
    })
}

#[test]
fn moved() -> Outcome {
    moves("32-bit/moves", &[])
}

#[test]
fn moved_in_the_raw_form() -> Outcome {
    moves("32-bit/moves, raw", &["--form", "raw"])
}

/// The buffers of each operation are those of the program.
#[test]
fn vectors() -> Outcome {
    scenario("32-bit/vectors", |s| {
        require_32_bit_calls(s)?;
        s.file("in", SIZE)?;
        s.file("aio", SIZE)?;
        let lines = s.path("lines");
        let output = ["--ndjson".as_ref(), lines.as_os_str()];
        let ended = Tracer::new(s)?.args(&output).traced(workload!("compat-moves"), &[s.folder()]).run()?;
        ended.document()?;
        let mut asked = std::collections::BTreeMap::<String, u64>::new();
        for line in std::fs::read_to_string(&lines)?.lines() {
            let line = Document::parse(line)?;
            if line.text("type")? == "operation" && line.text("name")?.contains("v:32") {
                *asked.entry(line.text("name")?.to_owned()).or_default() += line.number("asked_bytes")?;
            }
        }
        let mut comparison = Comparison::default();
        for (call, bytes) in [("readv:32", 12 << 13), ("preadv:32", 4 << 13), ("writev:32", 2 << 16)] {
            comparison.equal(call, asked.get(call).copied(), Some(bytes));
        }
        comparison.finish()
    })
}
