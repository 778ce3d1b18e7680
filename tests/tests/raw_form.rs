//! The raw form of the kernel programs, forced here, must tell what the typed form tells: the same scenarios with the
//! same referees.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    comparison::Comparison,
    document::Document,
    process::{Process, STEP, patience, wait_until},
    scenario::{Outcome, Scenario, require_program, require_root, scenario},
    skip,
    tracer::{Tracer, binary},
};

use crate::{copies, from_the_start, midway, programs};

const RAW: &[&str] = &["--form", "raw"];

/// Where the kernel publishes its types.
const TYPES: &str = "/sys/kernel/btf/vmlinux";

#[test]
fn dd_equals_strace() -> Outcome {
    from_the_start::started("dd, raw", &programs::DD, RAW)
}

#[test]
fn threads_between_two_stops() -> Outcome {
    midway::trace_between_two_stops("raw form/between two stops", RAW)
}

#[test]
fn threads_while_they_run() -> Outcome {
    midway::trace_while_it_runs("raw form/while it runs", RAW)
}

#[test]
fn threads_after_calls_were_booked() -> Outcome {
    midway::trace_after_calls_were_booked("raw form/after calls were booked", RAW)
}

#[test]
fn blocked_when_it_was_attached() -> Outcome {
    midway::trace_blocked_at_both_ends("raw form/blocked at both ends", RAW)
}

#[test]
fn relay_copies_twice() -> Outcome {
    copies::read_and_write("raw form/read+write", RAW)
}

/// A process that does nothing but compute: its interrupts come from user mode, which the saved registers tell.
fn spinning(scenario: &Scenario) -> Result<Process> {
    require_root()?;
    let mut command = Command::new(require_program("dash")?);
    command.args(["-c", "while :; do :; done"]);
    let process = scenario.spawn(&mut command)?;
    let name = format!("/proc/{}/comm", process.pid());
    wait_until(STEP, "the shell to run", || Ok(fs::read_to_string(&name)?.trim() == "dash"))?;
    Ok(process)
}

#[test]
fn interrupts_come_from_user_mode() -> Outcome {
    scenario("raw form/interrupts", |s| {
        let process = spinning(s)?;
        let mut interrupts = Vec::new();
        for form in ["typed", "raw"] {
            let options = ["--form", form, "-d", "1"];
            let document = Tracer::new(s)?.args(&options).pid(process.pid()).run()?.document()?;
            interrupts.push(document.number("totals.transitions.interrupt")?);
        }
        let mut comparison = Comparison::default();
        // The slowest timer that kernels are built with ticks 100 times a second, but another process may have the CPU.
        comparison.holds("the typed form sees interrupts", interrupts[0] > 40);
        comparison.between("interrupts", interrupts[0] / 3, interrupts[1], interrupts[0] * 3);
        comparison.finish()
    })
}

#[test]
fn a_sleeping_thread_is_awaited() -> Outcome {
    scenario("raw form/a sleeping process", |s| {
        require_root()?;
        let mut command = Command::new(require_program("dash")?);
        // The child that ends first is another process; the shell itself sleeps on.
        command.arg("-c").arg(format!("sleep {}; exit 3", 2 * patience()));
        let process = s.spawn(&mut command)?;
        let trace = Tracer::new(s)?.args(RAW).pid(process.pid()).start()?;
        let document = trace.end()?.document()?;
        let process = document.process(process.pid())?;
        ensure!(process.number("exit_code")? == 3, "it ended before its target: {process:?}");
        Ok(())
    })
}

/// As on a kernel that publishes no types: in a mount namespace where they are covered up.
fn without_types<'s>(scenario: &'s Scenario, arguments: &[&str]) -> Result<Tracer<'s>> {
    require_root()?;
    let unshare = require_program("unshare")?;
    if fs::metadata(TYPES).is_err() {
        skip!("this kernel publishes no types to cover up");
    }
    let mut command = Command::new(unshare);
    command.args(["--mount", "/bin/sh", "-c", "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"", "sh"]);
    command.arg(binary()?).args(arguments);
    Ok(Tracer::of(scenario, command))
}

#[test]
fn without_types_it_says_what_to_do() -> Outcome {
    scenario("raw form/no types", |s| {
        let ended = without_types(s, &["--", "true"])?.run()?;
        ended.refused_with(5)?;
        ensure!(ended.stderr.contains("--btf FILE"), "the hint does not name --btf: {}", ended.stderr);
        Ok(())
    })
}

#[test]
fn types_may_come_from_a_file() -> Outcome {
    scenario("raw form/types from a file", |s| {
        let (types, json) = (s.path("types"), s.path("json"));
        fs::write(&types, fs::read(TYPES)?)?;
        let paths = [&types, &json].map(|path| path.to_str().context("a strange path"));
        let [types, json_text] = paths;
        let arguments =
            ["--btf", types?, "--json", json_text?, "--", "dd", "if=/dev/zero", "of=/dev/null", "count=7"];
        without_types(s, &arguments)?.run()?.ended_with(0)?;
        let document = Document::read(&json)?;
        document.is_coherent()?;
        let source = document.text("evidence.operations.source")?;
        ensure!(source.contains("raw_tp:sys_exit"), "the operations are known by {source}");
        let zeros = document.flows_from("/dev/zero".as_ref())?;
        let bytes: u64 = zeros.iter().map(|flow| flow.payload_bytes).sum();
        ensure!(bytes == 7 * 512, "{bytes} bytes were read");
        Ok(())
    })
}

#[test]
fn a_file_without_types_is_refused() -> Outcome {
    scenario("raw form/a file without types", |s| {
        require_root()?;
        let (text, nowhere) = (s.file("text", 10_000)?, s.path("nowhere"));
        for file in [&text, &nowhere, &binary()?] {
            Tracer::new(s)?.arg("--btf").arg(file).traced("true", &[] as &[&str]).run()?.refused_with(5)?;
        }
        Ok(())
    })
}
