//! The referees and the workloads against each other, without zc-trace: a scenario is worth what its referee is worth.

use std::process::Command;

use anyhow::{Result, ensure};
use zc_trace_tests::{
    accounts::{Accounts, Io},
    comparison::Comparison,
    gate::Gate,
    process::STEP,
    scenario::{Outcome, Scenario, last_line, scenario},
    strace,
    workload::{REPORT_BYTES, reported_calls},
};

use crate::programs::{CAT, CP, DD, DD_DIRECT, GZIP, Inputs, Program, TAR, nothing};

/// strace must find exactly the calls that the workload says it made.
fn ledger_is_what_strace_saw(scenario: &Scenario, workload: &str, arguments: &[&str]) -> Result<()> {
    let output = scenario.path("output");
    let (log, code) = strace::run(scenario, workload, arguments, nothing(), &output)?;
    ensure!(code == 0, "the workload failed with {code}");
    let logged = log.after(zc_trace_tests::call::MARK)?;
    let mut comparison = Comparison::default();
    for (name, ledger) in reported_calls(&last_line(&std::fs::read_to_string(output)?)?)? {
        let mut logged = logged.get(&name).copied().unwrap_or_default();
        // The log has no bytes for these: what they return is messages.
        if name.ends_with("mmsg") {
            logged.bytes = ledger.bytes;
        }
        comparison.equal(&format!("{name} in the ledger, against strace"), ledger, logged);
    }
    comparison.finish()
}

#[test]
fn every_call_makes_the_calls_it_tells() -> Outcome {
    scenario("referees/every-call", |s| {
        ledger_is_what_strace_saw(s, workload!("every-call"), &[&s.folder().to_string_lossy()])
    })
}

#[test]
fn relays_make_the_calls_they_tell() -> Outcome {
    for method in ["sendfile", "mmap+write", "splice"] {
        scenario(&format!("referees/relay {method}"), |s| {
            let file = s.file("payload", 1 << 20)?;
            // The receiver is another process: of its calls only `read` could be taken for the sender's.
            ledger_is_what_strace_saw(s, workload!("relay"), &[method, &file.to_string_lossy(), "65536"])
        })?;
    }
    Ok(())
}

#[test]
fn storm_makes_the_calls_it_tells() -> Outcome {
    scenario("referees/storm", |s| ledger_is_what_strace_saw(s, workload!("storm"), &["1000"]))
}

#[test]
fn threads_make_the_calls_they_tell() -> Outcome {
    scenario("referees/threads", |s| ledger_is_what_strace_saw(s, workload!("threads"), &["3", "50", "100"]))
}

/// A program of the same calls each time, or a strace log of one run could say nothing about another.
fn is_deterministic(name: &str, program: &Program) -> Outcome {
    scenario(&format!("referees/{name} is deterministic"), |s| {
        let inputs = Inputs::new(s)?;
        let mut runs = Vec::new();
        for _ in 0..2 {
            inputs.renew()?;
            let arguments = (program.arguments)(&inputs);
            let (log, code) = strace::run(s, program.path()?, &arguments, nothing(), &s.path("output"))?;
            ensure!(code == 0, "{} failed with {code}", program.name);
            runs.push(log.by_name());
        }
        ensure!(runs[0] == runs[1], "two runs differ: {runs:?}");
        Ok(())
    })
}

#[test]
fn programs_are_deterministic() -> Outcome {
    for (name, program) in
        [("dd", DD), ("dd iflag=direct", DD_DIRECT), ("cat", CAT), ("cp", CP), ("tar", TAR), ("gzip", GZIP)]
    {
        is_deterministic(name, &program)?;
    }
    Ok(())
}

#[test]
fn the_zombies_accounts_are_the_ledgers() -> Outcome {
    scenario("referees/closing accounts", |s| {
        let mut gate = Gate::inside(s, workload!("storm"), &["1000"])?;
        let opening = Accounts::of(gate.pid())?;
        gate.open()?;
        let (closing, status) = gate.process().closing_accounts(STEP)?;
        ensure!(status.success(), "{status}");
        let done = closing - opening;
        let truth = Io { rchar: 1000, wchar: REPORT_BYTES as u64, syscr: 1000, syscw: 1, ..done.io };
        ensure!(done.io == truth, "{done:?}");
        // At least the one with which it left the CPU.
        ensure!(done.switches.voluntary >= 1, "{done:?}");
        Ok(())
    })
}

#[test]
fn a_program_at_its_gate_has_done_nothing_yet() -> Outcome {
    scenario("referees/gate", |s| {
        let mut gate = Gate::before(s, workload!("gate"), "/bin/echo", &["through"], nothing())?;
        let first = Accounts::of(gate.pid())?;
        ensure!(gate.output()?.is_empty(), "it ran before the gate opened");
        ensure!(first == Accounts::of(gate.pid())?, "it does something at its gate");
        gate.open()?;
        gate.process().reap(STEP)?;
        ensure!(gate.output()? == "through\n", "{}", gate.output()?);
        Ok(())
    })
}

#[test]
fn faults_and_switches_happen() -> Outcome {
    scenario("referees/faults", |s| {
        let file = s.file("mapped", 1 << 20)?;
        let mut gate = Gate::inside(s, workload!("faults"), &[file.as_os_str(), "300".as_ref()])?;
        let opening = Accounts::of(gate.pid())?;
        gate.open()?;
        let done = gate.process().closing_accounts(STEP)?.0 - opening;
        ensure!(done.faults.minor >= 300, "{done:?}");
        ensure!(done.faults.major >= 1, "{done:?}");
        Ok(())
    })?;
    scenario("referees/switches", |s| {
        let mut gate = Gate::inside(s, workload!("switches"), &["200"])?;
        let opening = Accounts::of(gate.pid())?;
        gate.open()?;
        let done = gate.process().closing_accounts(STEP)?.0 - opening;
        ensure!(
            done.switches.voluntary + done.switches.involuntary >= 200 && done.switches.involuntary >= 1,
            "{done:?}"
        );
        Ok(())
    })
}

#[test]
fn descriptors_read_what_they_tell() -> Outcome {
    scenario("referees/descriptors", |s| {
        let stdin = s.file("stdin", 8192)?;
        let mut command = Command::new(workload!("descriptors"));
        command
            .arg(s.folder())
            .stdin(std::fs::File::open(stdin)?)
            .stdout(std::fs::File::create(s.path("output"))?);
        ensure!(s.run(&mut command)? == 0, "the workload failed");
        let report = last_line(&std::fs::read_to_string(s.path("output"))?)?;
        let read = report["more"]["read"].as_object().map_or(0, serde_json::Map::len);
        ensure!(read == 14, "{read} paths read: {report}");
        Ok(())
    })
}
