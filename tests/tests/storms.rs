//! A thread that calls faster than can be told one by one: like calls are summed in the kernel, and every number is that of the
//! kernel's accounts and of the workload all the same.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    accounts::Accounts,
    comparison::Comparison,
    document::Document,
    gate::Gate,
    process::{STEP, patience},
    scenario::{Outcome, Scenario, last_line, require_program, scenario},
    tracer::Tracer,
    workload::reported_calls,
};

/// What is summed of a storm.
#[derive(Clone, Copy, PartialEq)]
enum Summed {
    Nothing,
    /// What comes too fast, which on an emulated machine is nothing.
    Storms,
    Everything,
}

/// The ways to follow calls.
const WAYS: &[(&str, &[&str], Summed)] = &[
    ("default", &[], Summed::Storms),
    ("each told", &["--detail", "all"], Summed::Nothing),
    ("each timed", &["--latency", "all"], Summed::Storms),
    ("none timed", &["--latency", "none"], Summed::Storms),
    ("summary", &["--summary"], Summed::Everything),
];

/// Whether calls come fast enough here for a storm.
fn is_fast() -> bool {
    patience() == 1
}

struct Traced {
    document: Document,
    done: Accounts,
    report: serde_json::Value,
}

fn traced(
    s: &Scenario,
    workload: &str,
    arguments: &[impl AsRef<std::ffi::OsStr>],
    way: &[&str],
) -> Result<Traced> {
    let mut gate = Gate::inside(s, workload, arguments)?;
    let trace = Tracer::new(s)?.args(way).pid(gate.pid()).start()?;
    let opening = Accounts::of(gate.pid())?;
    gate.open()?;
    let (closing, status) = gate.process().closing_accounts(STEP)?;
    ensure!(status.success(), "{workload}: {status}");
    let document = trace.end()?.document()?;
    Ok(Traced { document, done: closing - opening, report: last_line(&gate.output()?)? })
}

impl Traced {
    /// Bytes and calls, every operation in a flow, two transitions for each call, and whether some were summed.
    fn compare(&self, comparison: &mut Comparison, way: &str, summed: Summed) -> Result<()> {
        comparison.io(&self.document, &self.done)?;
        comparison.some_calls(&self.document, &reported_calls(&self.report)?)?;
        let flows: u64 = self.document.flows()?.iter().map(|flow| flow.operations).sum();
        let in_none = self.document.number("totals.losses.unattributed_operations")?;
        let operations = self.document.number("totals.operations")?;
        comparison.equal(&format!("{way}: operations in flows and in none"), flows + in_none, operations);
        let through = self.document.list("descriptors")?;
        let through = through.iter().map(|descriptor| descriptor.number("operations"));
        let through = through.sum::<Result<u64>>()?;
        comparison.equal(
            &format!("{way}: operations through descriptors and in no flow"),
            through + in_none,
            operations,
        );
        let sums = self.document.number("totals.summed.operations")?;
        let as_it_should_be = match summed {
            Summed::Nothing => sums == 0,
            Summed::Storms => sums > operations / 2 || !is_fast(),
            Summed::Everything => sums == operations,
        };
        comparison.holds(&format!("{way}: {sums} operations summed of {operations}"), as_it_should_be);
        // The last call does not return, and the one that waits at the gate had begun before.
        let calls = self.document.number("totals.calls")?;
        let transitions = self.document.number("totals.transitions.syscall")?;
        comparison.between(&format!("{way}: transitions by calls"), 2 * calls - 2, transitions, 2 * calls);
        Ok(())
    }
}

#[test]
fn reads() -> Outcome {
    scenario("storms/reads", |s| {
        let mut comparison = Comparison::default();
        for (way, options, summed) in WAYS {
            traced(s, workload!("storm"), &["300000"], options)?.compare(&mut comparison, way, *summed)?;
        }
        comparison.finish()
    })
}

/// Which write sent on what which read had brought is concluded from those that are told: for dd whichever of the two a
/// window of told calls begins with.
#[test]
fn what_is_read_and_written() -> Outcome {
    scenario("storms/relay", |s| {
        const BYTES: u64 = 400_000 * 512;
        let mut comparison = Comparison::default();
        for skip in ["skip=0", "skip=1"] {
            let arguments = ["if=/dev/zero", "of=/dev/null", "bs=512", "count=400000", skip, "status=none"];
            let document = Tracer::new(s)?.traced(require_program("dd")?, &arguments).run()?.document()?;
            let relayed = document.flows()?.into_iter().filter(|flow| flow.method == "read+write");
            let relayed: u64 = relayed.map(|flow| flow.payload_bytes).sum();
            comparison.between("relayed", BYTES - BYTES / 50, relayed, BYTES + BYTES / 50);
            let payload = document.number("totals.payload_bytes")?;
            comparison.between("payload", BYTES, payload, BYTES + BYTES / 50);
            comparison.equal("how it is known", document.text("totals.payload_evidence")?, "modelled");
        }
        comparison.finish()
    })
}

/// Failing calls are summed too, as errors.
#[test]
fn reads_that_fail() -> Outcome {
    scenario("storms/EAGAIN", |s| {
        let mut comparison = Comparison::default();
        for (way, options, summed) in WAYS {
            let traced = traced(s, workload!("storm"), &["300000", "again"], options)?;
            traced.compare(&mut comparison, way, *summed)?;
            let calls = traced.document.calls()?;
            let errors = calls.get("read").map_or(0, |read| read.errors);
            comparison.equal(&format!("{way}: errors"), errors, 300_000);
            let calls = traced.document.list("calls")?;
            let read = calls.iter().find(|call| call.text("name").is_ok_and(|name| name == "read"));
            let kinds = read.context("no read in calls")?.list("errors_by_name")?;
            let again = kinds.iter().find(|kind| kind.text("name").is_ok_and(|name| name == "EAGAIN"));
            let again = again.map_or(Ok(0), |kind| kind.number("count"))?;
            // Of calls summed one by one (--summary, before they are a run) only the number is kept.
            // So it is with what a slow reader left no room for in the ring buffer.
            let folded = traced.document.number("totals.losses.folded_operations")?
                + traced.document.number("totals.losses.folded_calls")?;
            comparison.between(
                &format!("{way}: of these EAGAIN"),
                297_000u64.saturating_sub(folded),
                again,
                300_000,
            );
        }
        comparison.finish()
    })
}

/// Times are known, estimated, or null, and say so.
#[test]
fn times() -> Outcome {
    scenario("storms/times", |s| {
        let mut comparison = Comparison::default();
        for (way, options, _) in WAYS {
            let document = traced(s, workload!("storm"), &["300000"], options)?.document;
            let calls = document.list("calls")?;
            let read = calls.iter().find(|call| call.text("name").is_ok_and(|name| name == "read"));
            let read = read.context("no read in calls")?;
            let untimed = read.number("untimed")?;
            let known = !read.get("time_ns")?.is_null();
            let as_it_should_be = match *way {
                "default" => known && (untimed > 150_000 || !is_fast()),
                "each told" | "each timed" => known && untimed <= 1,
                _ => !known && untimed == read.number("count")?,
            };
            comparison.holds(&format!("{way}: untimed {untimed}, time known: {known}"), as_it_should_be);
        }
        comparison.finish()
    })
}

/// What a descriptor stands for changes amid a storm on it: each read is its file's.
#[test]
fn descriptor_that_changes() -> Outcome {
    scenario("storms/descriptor that changes", |s| {
        let (a, b) = (s.folder().join("a"), s.folder().join("b"));
        fs::write(&a, "a")?;
        fs::write(&b, "b")?;
        let mut comparison = Comparison::default();
        for (way, options, _) in WAYS {
            let arguments = ["40".as_ref(), "5000".as_ref(), a.as_os_str(), b.as_os_str()];
            let traced = traced(s, workload!("swap"), &arguments, options)?;
            comparison.io(&traced.document, &traced.done)?;
            for (name, path) in [("a", &a), ("b", &b)] {
                let reads: u64 = traced.document.flows_from(path)?.iter().map(|flow| flow.operations).sum();
                let more = traced.report.get("more").and_then(|more| more.get(name));
                let expected =
                    more.and_then(serde_json::Value::as_u64).context("the report names no reads")?;
                comparison.equal(&format!("{way}: reads of {name}"), reads, expected);
            }
        }
        comparison.finish()
    })
}
