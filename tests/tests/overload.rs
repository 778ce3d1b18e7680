//! More than the reader can take: a small ring buffer, and a reader that is stopped while the target goes on. Detail may be folded,
//! and is counted then; totals are exact.

use std::{path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use zc_trace_tests::{
    accounts::{self, Accounts},
    comparison::Comparison,
    document::Document,
    gate::Gate,
    process::{STEP, wait_until},
    scenario::{Outcome, Scenario, last_line, scenario},
    tracer::Tracer,
    workload::reported_calls,
};

/// For how long the reader is stopped at least.
const STOPPED: Duration = Duration::from_secs(2);

/// What came of it.
struct Overloaded {
    document: Document,
    report: serde_json::Value,
    done: Accounts,
    /// The report that a person reads.
    text: String,
}

/// Stops zc-trace while the whole workload runs.
fn overload(s: &Scenario, workload: &str, arguments: &[&str]) -> Result<Overloaded> {
    let mut gate = Gate::inside(s, workload, arguments)?;
    let trace = Tracer::new(s)?.args(&["--ring-size", "64K"]).pid(gate.pid()).start()?;
    let opening = Accounts::of(gate.pid())?;
    trace.signal(Signal::STOP)?;
    wait_until(STEP, "zc-trace to stop", || Ok(accounts::state(trace.pid())? == 'T'))?;
    gate.open()?;
    let (closing, status) = gate.process().closing_accounts(STEP)?;
    ensure!(status.success(), "{workload}: {status}");
    thread::sleep(STOPPED);
    trace.signal(Signal::CONT)?;
    let ended = trace.end()?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    Ok(Overloaded {
        document: ended.document()?,
        report: last_line(&gate.output()?)?,
        done: closing - opening,
        text,
    })
}

impl Overloaded {
    /// Totals and calls against the kernel's accounts and the workload's own, and every read in a flow or in none.
    fn compare(&self, comparison: &mut Comparison) -> Result<()> {
        comparison.io(&self.document, &self.done)?;
        let calls = reported_calls(&self.report)?;
        comparison.some_calls(&self.document, &calls)?;
        let reads = calls.get("read").context("the workload reads nothing")?;
        let flows = self.document.flows()?;
        let in_flows: u64 = flows.iter().map(|flow| flow.operations).sum();
        let operations = self.document.number("totals.operations")?;
        let in_none = self.document.number("totals.losses.unattributed_operations")?;
        comparison.equal("operations in flows and in none", in_flows + in_none, operations);
        comparison.holds("the reads are among the operations", operations >= reads.count);
        Ok(())
    }
}

/// Reads of which no two after each other are alike need a record each, and the ring holds some hundred.
#[test]
fn reader_stopped_while_files_are_read_in_turn() -> Outcome {
    scenario("overload/reader stopped, many files", |s| {
        let overloaded = overload(s, workload!("crowd"), &["64", "1000000"])?;
        let mut comparison = Comparison::default();
        overloaded.compare(&mut comparison)?;
        let folded = overloaded.document.number("totals.losses.folded_operations")?;
        comparison.between("folded operations", 500_000, folded, 1_000_000);
        comparison.holds("the report says so", overloaded.text.contains("folded"));
        comparison.finish()
    })
}

/// Reads that are alike: there may be no need to fold any.
#[test]
fn reader_stopped_during_a_storm() -> Outcome {
    scenario("overload/reader stopped, storm", |s| {
        let overloaded = overload(s, workload!("storm"), &["1000000"])?;
        let mut comparison = Comparison::default();
        overloaded.compare(&mut comparison)?;
        let from_zero: u64 =
            overloaded.document.flows_from(Path::new("/dev/zero"))?.iter().map(|flow| flow.operations).sum();
        let in_none = overloaded.document.number("totals.losses.unattributed_operations")?;
        comparison.equal("reads from /dev/zero, or in no flow", from_zero + in_none, 1_000_000);
        comparison.finish()
    })
}
