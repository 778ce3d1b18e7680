//! Totals against the kernel's accounts where it is hard: faults, switches, children, many threads, a ring that is full.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    accounts::Accounts,
    comparison::Comparison,
    document::Document,
    gate::Gate,
    process::STEP,
    scenario::{Outcome, Scenario, last_line, scenario},
    tracer::Tracer,
    workload::reported_calls,
};

/// A workload traced through its own gate.
struct Traced {
    document: Document,
    done: Accounts,
    report: serde_json::Value,
    pid: u32,
}

fn traced(
    scenario: &Scenario,
    workload: &str,
    arguments: &[impl AsRef<std::ffi::OsStr>],
    options: &[&str],
) -> Result<Traced> {
    let mut gate = Gate::inside(scenario, workload, arguments)?;
    let trace = Tracer::new(scenario)?.args(options).pid(gate.pid()).start()?;
    let opening = Accounts::of(gate.pid())?;
    gate.open()?;
    let (closing, status) = gate.process().closing_accounts(STEP)?;
    ensure!(status.success(), "{workload}: {status}");
    let document = trace.end()?.document()?;
    let report = last_line(&gate.output()?)?;
    Ok(Traced { document, done: closing - opening, report, pid: gate.pid() })
}

#[test]
fn page_faults() -> Outcome {
    scenario("kernel accounts/page faults", |s| {
        let file = s.file("mapped", 1 << 20)?;
        let traced = traced(s, workload!("faults"), &[file.as_os_str(), "500".as_ref()], &[])?;
        let mut comparison = Comparison::default();
        comparison.accounts(&traced.document, &traced.done)?;
        comparison.holds(
            "each touched page is a fault",
            traced.document.number("totals.page_faults.minor")? >= 500,
        );
        // A fault in user mode enters and leaves the kernel.
        comparison.holds(
            "each touched page is two transitions",
            traced.document.number("totals.transitions.exception")? >= 1000,
        );
        comparison.finish()
    })
}

#[test]
fn context_switches() -> Outcome {
    scenario("kernel accounts/context switches", |s| {
        let traced = traced(s, workload!("switches"), &["500"], &[])?;
        let mut comparison = Comparison::default();
        comparison.switches(&traced.document, &traced.done)?;
        // Whoever is woken may take the CPU at once: then it was preemption, not waiting, that made the turn.
        let switches = traced.done.switches;
        comparison.holds("it lost the CPU every round", switches.voluntary + switches.involuntary >= 500);
        comparison.holds("it waited", switches.voluntary >= 2);
        comparison.holds("it was preempted", traced.done.switches.involuntary >= 1);
        comparison.finish()
    })
}

#[test]
fn threads_old_and_new() -> Outcome {
    scenario("kernel accounts/threads", |s| {
        let traced = traced(s, workload!("threads"), &["4", "1000", "100"], &[])?;
        let mut comparison = Comparison::default();
        comparison.io(&traced.document, &traced.done)?;
        comparison.faults(&traced.document, &traced.done)?;
        let process = traced.document.process(traced.pid)?;
        // The main thread, four from the beginning, four later.
        comparison.equal("threads of the process", process.number("threads")?, 9);
        let readers = traced.document.list("threads")?;
        let readers =
            readers.iter().filter(|thread| thread.number("read_bytes").is_ok_and(|bytes| bytes == 100_000));
        comparison.equal("threads that read 100,000 bytes", readers.count(), 8);
        comparison.some_calls(&traced.document, &reported_calls(&traced.report)?)?;
        comparison.finish()
    })
}

/// The kernel adds the I/O of a child that was reaped to its parent's: with `-f` the parent's accounts are the whole.
#[test]
fn children_with_follow() -> Outcome {
    scenario("kernel accounts/children with -f", |s| {
        let traced = traced(s, workload!("forker"), &[] as &[&str], &["-f"])?;
        let mut comparison = Comparison::default();
        comparison.io(&traced.document, &traced.done)?;
        let children = traced.report["more"]["children"].as_array().context("no children")?;
        for child in children {
            let (pid, mut accounts) = (pid_of(child)?, Accounts::from_json(&child["accounts"])?);
            if child["how"] == "fork twice" {
                accounts.io.rchar -=
                    traced.report["more"]["grandchild_reads"].as_u64().context("no grandchild")?;
            }
            comparison.process(&traced.document, pid, &accounts)?;
        }
        let processes = traced.document.list("processes")?;
        comparison.equal("processes (parent, children, grandchild)", processes.len(), children.len() + 2);
        let grandchild =
            processes.iter().find(|process| process.number("read_bytes").is_ok_and(|bytes| bytes == 5000));
        comparison.holds("the grandchild read 5000 bytes", grandchild.is_some());
        comparison.finish()
    })
}

#[test]
fn children_without_follow() -> Outcome {
    scenario("kernel accounts/children without -f", |s| {
        let traced = traced(s, workload!("forker"), &[] as &[&str], &[])?;
        let mut truth = traced.done;
        for child in traced.report["more"]["children"].as_array().context("no children")? {
            let child = Accounts::from_json(&child["accounts"])?;
            truth.io = truth.io - child.io;
        }
        let mut comparison = Comparison::default();
        comparison.accounts(&traced.document, &truth)?;
        comparison.equal("processes", traced.document.list("processes")?.len(), 1);
        comparison.finish()
    })
}

fn pid_of(child: &serde_json::Value) -> Result<u32> {
    Ok(u32::try_from(child["pid"].as_u64().context("no pid")?)?)
}

/// More operations than a small ring holds: detail may be folded, totals may not.
fn full_ring(name: &str, workload: &str, arguments: &[&str]) -> Outcome {
    scenario(&format!("kernel accounts/full ring, {name}"), |s| {
        let traced = traced(s, workload, arguments, &["--ring-size", "64K"])?;
        let document = &traced.document;
        let mut comparison = Comparison::default();
        comparison.io(document, &traced.done)?;
        let calls = reported_calls(&traced.report)?;
        comparison.some_calls(document, &calls)?;
        // Each read is in a flow, joined or folded, or is counted as in none.
        let reads = calls.get("read").context("no reads")?.count;
        let flows = document.flows_from(Path::new("/dev/zero"))?;
        let in_flows: u64 = flows.iter().map(|flow| flow.operations).sum();
        let in_none = document.number("totals.losses.unattributed_operations")?;
        comparison.between(
            "operations from /dev/zero, in flows or in none",
            reads,
            in_flows + in_none,
            reads + in_none,
        );
        let payload: u64 = flows.iter().map(|flow| flow.payload_bytes).sum();
        comparison.holds(
            "without unattributed operations every byte is in a flow",
            in_none > 0 || payload == calls["read"].bytes.unwrap_or(0),
        );
        comparison.finish()
    })
}

#[test]
fn storm_on_a_full_ring() -> Outcome {
    full_ring("one thread", workload!("storm"), &["300000"])
}

#[test]
fn threads_on_a_full_ring() -> Outcome {
    full_ring("eight threads", workload!("threads"), &["4", "40000", "10"])
}
