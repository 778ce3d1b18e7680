//! `zc-trace demo`, `doctor` and `--help`.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use zc_trace_tests::{
    comparison::Comparison,
    document::Document,
    process::{STEP, wait_until},
    scenario::{Outcome, Scenario, require_root, scenario},
    tracer::{Trace, Tracer},
};

#[test]
fn demo() -> Outcome {
    scenario("own commands/demo", |s| {
        require_root()?;
        let json = s.path("demo.json");
        let ended =
            Tracer::bare(s)?.args(&["demo", "--size", "8M", "--chunk", "64K", "--json"]).arg(&json).run()?;
        ended.ended_with(0)?;
        ensure!(!ended.stdout.is_empty(), "it prints nothing");
        let demo = Document::read(&json)?.list("demo")?;
        let mut comparison = Comparison::default();
        let mut methods = BTreeMap::new();
        for document in &demo {
            document.is_coherent().with_context(|| format!("{:?}", document.text("method")))?;
            methods.insert(document.text("method")?.to_owned(), document.clone());
        }
        comparison.equal("methods", demo.len(), 5);
        comparison.equal("different methods", methods.len(), 5);
        let size = 8 << 20;
        for (method, amplification) in
            [("read+write", 2.0), ("sendfile", 0.0), ("mmap+write", 1.0), ("splice", 0.0)]
        {
            let document =
                methods.get(method).with_context(|| format!("no {method} among {:?}", methods.keys()))?;
            let flows = document.flows()?;
            let flow = flows.iter().find(|flow| {
                flow.method == method && flow.source.kind == "file" && flow.sink.kind == "socket"
            });
            let flow =
                flow.with_context(|| format!("{method} has no flow from a file to a socket: {flows:?}"))?;
            comparison.equal(&format!("payload by {method}"), flow.payload_bytes, size);
            comparison.equal(
                &format!("amplification of {method}"),
                flow.copy_amplification,
                Some(amplification),
            );
        }
        let zero_copy = methods.keys().find(|method| method.contains("MSG_ZEROCOPY"));
        comparison.holds("MSG_ZEROCOPY is the fifth", zero_copy.is_some());
        comparison.finish()
    })
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended since it was listed.
        let Ok(text) = fs::read_to_string(thread?.path().join("children")) else { continue };
        children.extend(text.split_whitespace().flat_map(str::parse::<u32>));
    }
    Ok(children)
}

fn has_its_file(pid: u32) -> Result<bool> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        if fs::read_link(entry?.path()).is_ok_and(|link| link.to_string_lossy().contains("payload.bin")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends a demonstration at a moment for which `wait` waits: it says at most one sentence and leaves nothing.
fn interrupted(s: &Scenario, signal: Signal, wait: impl FnOnce(&Trace) -> Result<()>) -> Result<()> {
    require_root()?;
    let folder = s.make_folder("tmp")?;
    let json = s.path("demo.json");
    let tracer = Tracer::bare(s)?.environment("TMPDIR", &folder).args(&["demo", "--size", "256M", "--json"]);
    let mut trace = tracer.arg(&json).start_unready()?;
    let pid = trace.process().pid();
    wait(&trace)?;
    let running = children(pid)?;
    let ended = trace.stop_by(signal)?;
    ended.ended_with(128 + signal.as_raw())?;
    let said: Vec<&str> = ended.stderr.lines().filter(|line| !line.contains(": tracing ")).collect();
    ensure!(said.len() <= 1 && said.iter().all(|line| line.contains("ended by SIG")), "it says {said:?}");
    ensure!(ended.stdout.is_empty() && !json.exists(), "it shows the half of a demonstration");
    let left: Vec<_> = fs::read_dir(&folder)?.collect();
    ensure!(left.is_empty(), "it leaves {left:?}");
    wait_until(Duration::from_secs(2), "its children to end", || {
        Ok(running.iter().all(|child| !Path::new(&format!("/proc/{child}")).exists()))
    })
}

#[test]
fn demo_interrupted() -> Outcome {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        scenario(&format!("own commands/demo ended by {signal:?} as it makes its file"), |s| {
            interrupted(s, signal, |trace| wait_until(STEP, "its file", || has_its_file(trace.pid())))
        })?;
        scenario(&format!("own commands/demo ended by {signal:?} as it loads"), |s| {
            interrupted(s, signal, |trace| trace.wait_for_line("zc-trace: tracing mmap+write"))
        })?;
        scenario(&format!("own commands/demo ended by {signal:?} as it traces"), |s| {
            interrupted(s, signal, |trace| {
                trace.wait_for_line("zc-trace: tracing read+write")?;
                wait_until(STEP, "a child", || Ok(!children(trace.pid())?.is_empty()))
            })
        })?;
    }
    Ok(())
}

/// What no signal handler helps against.
#[test]
fn demo_killed() -> Outcome {
    scenario("own commands/demo killed", |s| {
        require_root()?;
        let folder = s.make_folder("tmp")?;
        let tracer = Tracer::bare(s)?.environment("TMPDIR", &folder).args(&["demo", "--size", "256M"]);
        let trace = tracer.start_unready()?;
        trace.wait_for_line("zc-trace: tracing sendfile")?;
        trace.stop_by(Signal::KILL)?;
        let left: Vec<_> = fs::read_dir(&folder)?.collect();
        ensure!(left.is_empty(), "it leaves {left:?}");
        Ok(())
    })
}

#[test]
fn doctor() -> Outcome {
    scenario("own commands/doctor", |s| {
        require_root()?;
        let ended = Tracer::bare(s)?.arg("doctor").run()?;
        ended.ended_with(0)?;
        let text = String::from_utf8(ended.stdout)?;
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        ensure!(text.contains(&release), "it does not tell the kernel's release {release}: {text}");
        for word in ["BTF", "measured"] {
            ensure!(text.contains(word), "it does not speak of {word}: {text}");
        }
        Ok(())
    })
}

#[test]
fn help_and_version() -> Outcome {
    scenario("own commands/help", |s| {
        let ended = Tracer::bare(s)?.arg("--help").run()?;
        ended.ended_with(0)?;
        let text = String::from_utf8(ended.stdout)?;
        for option in [
            "--pid",
            "--follow",
            "--json",
            "--ndjson",
            "--lines",
            "--interval",
            "--ring-size",
            "--filter",
            "demo",
            "doctor",
        ] {
            ensure!(text.contains(option), "--help does not name {option}: {text}");
        }
        let ended = Tracer::bare(s)?.arg("--version").run()?;
        ended.ended_with(0)?;
        ensure!(ended.stdout.starts_with(b"zc-trace "), "{}", String::from_utf8_lossy(&ended.stdout));
        Ok(())
    })
}
