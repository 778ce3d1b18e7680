//! Many threads, many descriptors, a long time. `cargo xtask bench scale` plays the last one for ten minutes.

use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use zc_trace_tests::{
    accounts::Accounts,
    comparison::Comparison,
    gate::Gate,
    process::STEP,
    scenario::{Outcome, last_line, scenario},
    tracer::Tracer,
    workload::reported_calls,
};

#[test]
fn thousand_threads() -> Outcome {
    scenario("scale/1,000 threads", |s| {
        let mut gate = Gate::inside(s, workload!("threads"), &["500", "200", "10"])?;
        let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
        let opening = Accounts::of(gate.pid())?;
        gate.open()?;
        let (closing, status) = gate.process().closing_accounts(STEP)?;
        ensure!(status.success(), "threads: {status}");
        let document = trace.end()?.document()?;
        let mut comparison = Comparison::default();
        comparison.io(&document, &(closing - opening))?;
        comparison.some_calls(&document, &reported_calls(&last_line(&gate.output()?)?)?)?;
        comparison.equal("threads", document.process(gate.pid())?.number("threads")?, 1001);
        comparison.equal("untraced threads", document.number("totals.losses.untraced_threads")?, 0);
        let readers = document.list("threads")?;
        let readers =
            readers.iter().filter(|thread| thread.number("read_bytes").is_ok_and(|bytes| bytes == 2000));
        comparison.equal("threads that read 2,000 bytes", readers.count(), 1000);
        comparison.finish()
    })
}

#[test]
fn hundred_thousand_descriptors() -> Outcome {
    scenario("scale/100,000 descriptors", |s| {
        let mut gate = Gate::inside(s, workload!("crowd"), &["100000", "200000"])?;
        let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
        let opening = Accounts::of(gate.pid())?;
        gate.open()?;
        let (closing, status) = gate.process().closing_accounts(STEP)?;
        ensure!(status.success(), "crowd: {status}");
        let document = trace.end()?.document()?;
        let mut comparison = Comparison::default();
        comparison.io(&document, &(closing - opening))?;
        comparison.some_calls(&document, &reported_calls(&last_line(&gate.output()?)?)?)?;
        let flows: u64 = document.flows()?.iter().map(|flow| flow.operations).sum();
        let in_none = document.number("totals.losses.unattributed_operations")?;
        comparison.equal(
            "operations in flows and in none",
            flows + in_none,
            document.number("totals.operations")?,
        );
        comparison.finish()
    })
}

/// How much more may be resident in the second half than at the end of the first, KiB: what the allocator keeps varies.
const GROWTH_KIB: u64 = 4096;

/// Four threads (two before, two after the attach) that read as fast as they can: memory does not grow, and totals are right.
#[test]
fn storm_for_long() -> Outcome {
    scenario("scale/storm", |s| {
        let seconds = env::var("ZC_TRACE_SCALE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
        let mut gate = Gate::inside(s, workload!("threads"), &["2", "0", "1"])?;
        let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
        let opening = Accounts::of(gate.pid())?;
        gate.open()?;
        let (began, length) = (Instant::now(), Duration::from_secs(seconds));
        let (mut first_half, mut second_half) = (0, 0);
        while began.elapsed() < length {
            thread::sleep(Duration::from_millis(100));
            let half = if began.elapsed() < length / 2 { &mut first_half } else { &mut second_half };
            *half = resident_kib(trace.pid())?.max(*half);
        }
        gate.process().signal(Signal::KILL)?;
        let (closing, _) = gate.process().closing_accounts(STEP)?;
        let document = trace.end()?.document()?;
        let mut comparison = Comparison::default();
        comparison.io(&document, &(closing - opening))?;
        comparison.between(
            "resident memory in the second half, KiB",
            1,
            second_half,
            first_half + GROWTH_KIB,
        );
        s.note(format!(
            "{} operations in {seconds} s, {second_half} KiB",
            document.number("totals.operations")?
        ));
        comparison.finish()
    })
}

fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
