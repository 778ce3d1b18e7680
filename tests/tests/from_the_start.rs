//! A program traced from its first instruction, by `-p` at a gate and by `--`: every account must agree to the unit, and
//! every call by name must be in a strace log of the same run.

use std::{
    fs::{self, File},
    process::Command,
};

use anyhow::{Context as _, ensure};
use zc_trace_tests::{
    accounts::{Accounts, Io},
    comparison::Comparison,
    gate::{Gate, WAITING_CALL},
    process::STEP,
    scenario::{Outcome, last_line, scenario},
    strace,
    tracer::Tracer,
    workload::{REPORT_BYTES, reported_calls},
};

use crate::programs::{CAT, CP, DD, DD_DIRECT, GZIP, Inputs, Program, TAR, nothing};

/// By `-p`, before the exec: everything against `/proc` and the calls against strace.
fn attached(name: &str, program: &Program) -> Outcome {
    scenario(&format!("attached from the start/{name}"), |s| {
        let inputs = Inputs::new(s)?;
        let (path, arguments) = (program.path()?, (program.arguments)(&inputs));
        let (log, code) = strace::run(s, &path, &arguments, nothing(), &s.path("output"))?;
        ensure!(code == 0, "{name} failed with {code}");

        inputs.renew()?;
        let mut gate = Gate::before(s, workload!("gate"), &path, &arguments, nothing())?;
        let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
        let opening = Accounts::of(gate.pid())?;
        gate.open()?;
        let (closing, status) = gate.process().closing_accounts(STEP)?;
        ensure!(status.success(), "{name}: {status}");
        let document = trace.end()?.document()?;

        let mut comparison = Comparison::default();
        comparison.accounts(&document, &(closing - opening))?;
        let mut calls = log.by_name();
        calls.entry(WAITING_CALL.to_owned()).or_default().count += 1;
        comparison.calls(&document, &calls)?;
        let waiting = vec![(gate.pid(), WAITING_CALL.to_owned())];
        comparison.equal("in_flight.at_start", document.in_flight("at_start")?, waiting);
        comparison.equal("in_flight.at_end", document.in_flight("at_end")?, vec![]);
        comparison.finish()
    })
}

/// By `--`: the calls against strace, and the program's output untouched.
pub(crate) fn started(name: &str, program: &Program, options: &[&str]) -> Outcome {
    scenario(&format!("started/{name}"), |s| {
        let inputs = Inputs::new(s)?;
        let (path, arguments) = (program.path()?, (program.arguments)(&inputs));
        let (log, code) = strace::run(s, &path, &arguments, nothing(), &s.path("output"))?;
        ensure!(code == 0, "{name} failed with {code}");

        inputs.renew()?;
        let ended = Tracer::new(s)?.args(options).traced(&path, &arguments).run()?;
        let document = ended.document()?;
        let mut comparison = Comparison::default();
        comparison.calls(&document, &log.by_name())?;
        comparison.holds("its output passes untouched", ended.stdout == fs::read(s.path("output"))?);
        comparison.finish()
    })
}

/// By `-f -- reaper FILE`, which knows the closing accounts of the program that it ran.
fn reaped(name: &str, program: &Program) -> Outcome {
    scenario(&format!("started by a child/{name}"), |s| {
        let inputs = Inputs::new(s)?;
        let report = s.path("accounts");
        let mut arguments = vec![report.clone().into_os_string(), program.path()?.into_os_string()];
        arguments.extend((program.arguments)(&inputs));
        let document = Tracer::new(s)?.arg("-f").traced(workload!("reaper"), &arguments).run()?.document()?;
        let report = last_line(&fs::read_to_string(report)?)?;
        let pid = u32::try_from(report["pid"].as_u64().context("no pid")?)?;
        let mut comparison = Comparison::default();
        comparison.process(&document, pid, &Accounts::from_json(&report["accounts"])?)?;
        comparison.equal("its exit code", document.process(pid)?.number("exit_code")?, 0);
        comparison.equal("its name", document.process(pid)?.text("comm")?, program.name);
        comparison.finish()
    })
}

macro_rules! for_each_program {
    ($($test:ident: $name:literal, $program:expr;)*) => { $(
        mod $test {
            use super::*;

            #[test]
            fn attached_equals_proc_and_strace() -> Outcome {
                attached($name, &$program)
            }

            #[test]
            fn started_equals_strace() -> Outcome {
                started($name, &$program, &[])
            }

            #[test]
            fn started_by_a_child_equals_proc() -> Outcome {
                reaped($name, &$program)
            }
        }
    )* };
}

for_each_program! {
    dd: "dd", DD;
    dd_direct: "dd iflag=direct", DD_DIRECT;
    cat: "cat", CAT;
    cp: "cp", CP;
    tar: "tar", TAR;
    gzip: "gzip", GZIP;
}

#[test]
fn every_call_attached() -> Outcome {
    scenario("attached from the start/every-call", |s| {
        let mut gate = Gate::inside(s, workload!("every-call"), &[s.folder()])?;
        let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
        let opening = Accounts::of(gate.pid())?;
        gate.open()?;
        let (closing, status) = gate.process().closing_accounts(STEP)?;
        ensure!(status.success(), "{status}");
        let document = trace.end()?.document()?;
        let mut comparison = Comparison::default();
        comparison.accounts(&document, &(closing - opening))?;
        // The ledger knows the bytes of sendmmsg and recvmmsg too.
        comparison.some_calls(&document, &reported_calls(&last_line(&gate.output()?)?)?)?;
        comparison.finish()
    })
}

#[test]
fn every_call_started() -> Outcome {
    scenario("started/every-call", |s| {
        let arguments = [s.folder()];
        let (log, _) = strace::run(s, workload!("every-call"), &arguments, nothing(), &s.path("output"))?;
        let logged = last_line(&fs::read_to_string(s.path("output"))?)?;
        let ended = Tracer::new(s)?.traced(workload!("every-call"), &arguments).run()?;
        let document = ended.document()?;
        let report = last_line(&String::from_utf8(ended.stdout)?)?;
        let io = Io::parse(report["more"]["io"].as_str().context("no io")?)?;
        let io_bytes = report["more"]["io_bytes"].as_u64().context("no io_bytes")?;
        // After it read its accounts, it wrote its report. All else it read and wrote is in the accounts: also what its
        // process did before the exec, which is for zc-trace to keep free of reads and writes.
        let truth = Io {
            rchar: io.rchar + io_bytes,
            syscr: io.syscr + 1,
            wchar: io.wchar + REPORT_BYTES as u64,
            syscw: io.syscw + 1,
            ..io
        };
        let mut comparison = Comparison::default();
        comparison.io(&document, &Accounts { io: truth, ..Accounts::default() })?;
        // The text of /proc/self/io has not the same length in every run.
        let mut calls = log.by_name();
        let logged_bytes = logged["more"]["io_bytes"].as_u64().context("no io_bytes in the logged run")?;
        let reads =
            calls.get_mut("read").and_then(|read| read.bytes.as_mut()).context("no read in the log")?;
        *reads = *reads - logged_bytes + io_bytes;
        comparison.calls(&document, &calls)?;
        comparison.finish()
    })
}

#[test]
fn exit_codes_are_passed_on() -> Outcome {
    scenario("started/exit codes", |s| {
        for (script, code) in
            [("exit 0", 0), ("exit 3", 3), ("exit 127", 127), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
        {
            let document = Tracer::new(s)?.traced("/bin/sh", &["-c", script]).run()?.document_after(code)?;
            let process = document.list("processes")?.into_iter().next().context("no process")?;
            ensure!(process.number("exit_code")? == u64::try_from(code)?, "{script}: {process:?}");
        }
        Ok(())
    })
}

#[test]
fn a_command_is_found_by_path_variable() -> Outcome {
    scenario("started/by PATH", |s| {
        let ended = Tracer::new(s)?.traced("echo", &["found"]).run()?;
        ended.document()?;
        ensure!(ended.stdout == b"found\n", "{}", String::from_utf8_lossy(&ended.stdout));
        Ok(())
    })
}

#[test]
fn standard_input_passes_untouched() -> Outcome {
    scenario("started/stdin", |s| {
        let file = s.file("input", 300_000)?;
        let ended = Tracer::new(s)?.stdin(File::open(&file)?).traced("/bin/cat", &[] as &[&str]).run()?;
        let document = ended.document()?;
        ensure!(ended.stdout == fs::read(&file)?, "standard output is not standard input");
        let read: u64 = document.flows_from(&file)?.iter().map(|flow| flow.payload_bytes).sum();
        ensure!(read == 300_000, "the flows from standard input carry {read} bytes");
        Ok(())
    })
}

#[test]
fn the_environment_and_folder_are_the_callers() -> Outcome {
    scenario("started/environment", |s| {
        let script = "echo $ZC_TRACE_TEST; pwd";
        let untraced = Command::new("/bin/sh").args(["-c", script]).env("ZC_TRACE_TEST", "kept").output()?;
        let ended =
            Tracer::new(s)?.environment("ZC_TRACE_TEST", "kept").traced("/bin/sh", &["-c", script]).run()?;
        ended.ended_with(0)?;
        ensure!(ended.stdout == untraced.stdout, "{}", String::from_utf8_lossy(&ended.stdout));
        Ok(())
    })
}
