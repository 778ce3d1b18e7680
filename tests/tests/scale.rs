//! Many threads, many descriptors, a long time. `cargo xtask bench scale` plays the last one for ten minutes.

use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Signal, getrlimit};
use zc_trace_tests::{
    accounts::Accounts,
    comparison::Comparison,
    gate::Gate,
    process::STEP,
    scenario::{Outcome, last_line, scenario},
    skip,
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

const DESCRIPTORS: u64 = 100_000;

/// In one process, or where it may not have so many, in several: as many as the limit that it may not raise allows.
#[test]
fn hundred_thousand_descriptors() -> Outcome {
    scenario("scale/100,000 descriptors", |s| {
        let most = descriptors_of_one_process();
        let processes = DESCRIPTORS.div_ceil(most);
        if processes > 16 {
            skip!("a process may have only {most} descriptors here");
        }
        let each = DESCRIPTORS.div_ceil(processes);
        let arguments = [each.to_string(), (2 * each).to_string()];
        let start = |_| Gate::inside(s, workload!("crowd"), &arguments);
        let mut gates = (0..processes).map(start).collect::<Result<Vec<_>>>()?;
        let tracer = gates.iter().fold(Tracer::new(s)?, |tracer, gate| tracer.pid(gate.pid()));
        let trace = tracer.start()?;
        let opening = gates.iter().map(|gate| Accounts::of(gate.pid())).collect::<Result<Vec<_>>>()?;
        gates.iter().try_for_each(Gate::open)?;
        let mut done = Vec::new();
        for (gate, opening) in gates.iter_mut().zip(opening) {
            let (closing, status) = gate.process().closing_accounts(STEP)?;
            ensure!(status.success(), "crowd: {status}");
            done.push((gate.pid(), closing - opening));
        }
        let document = trace.end()?.document()?;
        let mut comparison = Comparison::default();
        for (pid, done) in &done {
            comparison.process(&document, *pid, done)?;
        }
        let read = document.calls()?.get("read").map_or(0, |call| call.count);
        comparison.equal("reads", read, done.iter().map(|(_, done)| done.io.syscr).sum());
        comparison.holds("each descriptor was read twice", read >= 2 * DESCRIPTORS);
        let flows: u64 = document.flows()?.iter().map(|flow| flow.operations).sum();
        let in_none = document.number("totals.losses.unattributed_operations")?;
        let operations = document.number("totals.operations")?;
        comparison.equal("operations in flows and in none", flows + in_none, operations);
        comparison.finish()
    })
}

/// As many as it may open, whether it can raise its limit or not.
fn descriptors_of_one_process() -> u64 {
    /// For the standard streams and the gate.
    const OTHERS: u64 = 64;
    getrlimit(Resource::Nofile)
        .maximum
        .map_or(DESCRIPTORS, |most| most.saturating_sub(OTHERS).clamp(1, DESCRIPTORS))
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
