//! The files that zc-trace writes, and what it leaves behind when it is ended in the middle.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use zc_trace_tests::{
    accounts::{Io, threads},
    bpf,
    document::Document,
    process::{Process, STEP, wait_until},
    scenario::{Outcome, Scenario, require_root, scenario},
    tracer::{Trace, Tracer},
};

/// Reads without end.
fn busy(scenario: &Scenario) -> Result<Process> {
    require_root()?;
    let mut command = Command::new(workload!("threads"));
    command.args(["1", "0", "100"]).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let process = scenario.spawn(&mut command)?;
    wait_until(STEP, "its threads", || Ok(threads(process.pid())?.len() == 3))?;
    Ok(process)
}

fn reads_on(process: &Process, reads: u64) -> Result<()> {
    let start = Io::of(process.pid())?.syscr;
    wait_until(STEP, "more reads", || Ok(Io::of(process.pid())?.syscr >= start + reads))
}

/// Every whole line is a JSON object; how many there are.
fn whole_lines(path: &Path) -> Result<usize> {
    let text = fs::read_to_string(path)?;
    let mut lines = 0;
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let value: serde_json::Value =
            serde_json::from_str(line).with_context(|| format!("line {}: {line}", lines + 1))?;
        ensure!(value.is_object(), "line {} is no object: {line}", lines + 1);
        lines += 1;
    }
    Ok(lines)
}

fn bpf_objects(trace: &mut Trace) -> Result<Vec<bpf::Object>> {
    let held = bpf::held_by(trace.process().pid())?;
    ensure!(
        held.iter().any(|object| matches!(object, bpf::Object::Program(_))),
        "it holds no programs: {held:?}"
    );
    ensure!(held.iter().any(|object| matches!(object, bpf::Object::Map(_))), "it holds no maps: {held:?}");
    for object in &held {
        ensure!(bpf::exists(*object)?, "{object:?} does not exist");
    }
    Ok(held)
}

/// The kernel frees them a moment after their last user is gone.
fn all_gone(objects: &[bpf::Object]) -> Result<()> {
    wait_until(STEP, "the kernel to free programs and maps", || {
        for object in objects {
            if bpf::exists(*object)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

#[test]
fn ended_by_signals() -> Outcome {
    for signal in [Signal::INT, Signal::TERM] {
        scenario(&format!("outputs/ended by {signal:?}"), |s| {
            let target = busy(s)?;
            let ndjson = s.path("stream.ndjson");
            let mut trace = Tracer::new(s)?.arg("--ndjson").arg(&ndjson).pid(target.pid()).start()?;
            let objects = bpf_objects(&mut trace)?;
            reads_on(&target, 5000)?;
            let document = trace.stop_by(signal)?.document()?;
            ensure!(document.number("totals.read_bytes")? > 0, "nothing was traced");
            ensure!(whole_lines(&ndjson)? > 0, "the stream is empty");
            ensure!(fs::read_to_string(&ndjson)?.ends_with('\n'), "the stream's last line is cut off");
            all_gone(&objects)?;
            ensure!(!target.has_ended()?, "the target ended too");
            reads_on(&target, 1000)
        })?;
    }
    Ok(())
}

#[test]
fn ended_before_it_began() -> Outcome {
    scenario("outputs/ended while it loads", |s| {
        let target = busy(s)?;
        let mut trace = Tracer::new(s)?.arg("-p").arg(target.pid().to_string()).start_unready()?;
        let pid = trace.process().pid();
        wait_until(STEP, "its first map", || Ok(!bpf::held_by(pid)?.is_empty()))?;
        let ended = trace.stop_by(Signal::INT)?;
        ended.ended_with(130)?;
        ensure!(ended.stderr == "zc-trace: ended by SIGINT before tracing began\n", "{}", ended.stderr);
        ensure!(ended.json().is_some_and(|json| !json.exists()), "there is a document");
        Ok(())
    })
}

#[test]
fn killed() -> Outcome {
    scenario("outputs/killed", |s| {
        let target = busy(s)?;
        let ndjson = s.path("stream.ndjson");
        let old = s.path("zc-trace-0.json");
        fs::write(&old, "{\"old\": true}\n")?;
        let mut trace = Tracer::new(s)?.arg("--ndjson").arg(&ndjson).pid(target.pid()).start()?;
        let objects = bpf_objects(&mut trace)?;
        wait_until(STEP, "lines in the stream", || {
            Ok(fs::metadata(&ndjson).is_ok_and(|file| file.len() > 100_000))
        })?;
        let ended = trace.stop_by(Signal::KILL)?;
        ensure!(ended.code == 137, "{ended:?}");
        ensure!(whole_lines(&ndjson)? > 0, "no whole line was left");
        ensure!(ended.json() == Some(&*old), "the old document is not in the way: {:?}", ended.json());
        ensure!(fs::read_to_string(&old)? == "{\"old\": true}\n", "the old document is spoilt");
        all_gone(&objects)?;
        reads_on(&target, 1000)
    })
}

#[test]
fn a_command_ends_with_its_tracer() -> Outcome {
    scenario("outputs/command and SIGTERM", |s| {
        let pid_file = s.path("pid");
        let script =
            format!("echo $$ > '{}.new'; mv '{0}.new' '{0}'; exec /bin/sleep 100", pid_file.display());
        let trace = Tracer::new(s)?.traced("/bin/sh", &["-c", &script]).start()?;
        wait_until(STEP, "the command to run", || Ok(pid_file.exists()))?;
        let pid: u32 = fs::read_to_string(&pid_file)?.trim().parse()?;
        let started =
            || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains("(sleep)"));
        wait_until(STEP, "sleep", || Ok(started()))?;
        let ended = trace.stop_by(Signal::TERM)?;
        ended.did_not_crash()?;
        wait_until(STEP, "the command to end with its tracer", || Ok(!started()))?;
        let json = ended.json().context("no json")?;
        Document::read(json)?.is_coherent()
    })
}

#[test]
fn a_document_replaces_the_old_one() -> Outcome {
    scenario("outputs/replaced", |s| {
        require_root()?;
        let json = s.path("document.json");
        fs::write(&json, "x".repeat(1_000_000))?;
        Tracer::bare(s)?.arg("--json").arg(&json).traced("/bin/true", &[] as &[&str]).run()?.ended_with(0)?;
        let document = Document::read(&json)?;
        document.is_coherent()?;
        ensure!(document.number("schema_version")? >= 1, "{document:?}");
        ensure!(document.text("tool.name")? == "zc-trace", "{document:?}");
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        ensure!(document.text("machine.kernel")?.contains(&release), "{document:?}");
        ensure!(document.number("machine.cpus")? >= 1, "{document:?}");
        ensure!(document.get("evidence")?.is_object(), "{document:?}");
        ensure!(document.get("target")?.is_object(), "{document:?}");
        let left: Vec<_> = fs::read_dir(s.folder())?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()?;
        let left = left.iter().filter(|name| name.to_string_lossy().contains("document")).count();
        ensure!(left == 1, "a half-written file was left");
        Ok(())
    })
}

#[test]
fn the_document_on_standard_output() -> Outcome {
    scenario("outputs/standard output", |s| {
        let target = busy(s)?;
        let trace = Tracer::bare(s)?.args(&["--json", "-"]).pid(target.pid()).start()?;
        reads_on(&target, 1000)?;
        let ended = trace.stop()?;
        ended.ended_with(0)?;
        // Nothing but the document, so that it can be piped on.
        Document::parse(std::str::from_utf8(&ended.stdout)?)?.is_coherent()
    })
}

#[test]
fn files_belong_to_who_called_sudo() -> Outcome {
    scenario("outputs/sudo", |s| {
        require_root()?;
        let (json, ndjson) = (s.path("a.json"), s.path("a.ndjson"));
        let tracer = Tracer::bare(s)?.environment("SUDO_UID", "65534").environment("SUDO_GID", "65534");
        let tracer = tracer.arg("--json").arg(&json).arg("--ndjson").arg(&ndjson);
        tracer.traced("/bin/true", &[] as &[&str]).run()?.ended_with(0)?;
        for path in [json, ndjson] {
            let owner = fs::metadata(&path)?;
            ensure!((owner.uid(), owner.gid()) == (65534, 65534), "{}: {}", path.display(), owner.uid());
        }
        Ok(())
    })
}

#[test]
fn the_stream_and_the_document_agree() -> Outcome {
    scenario("outputs/stream", |s| {
        let ndjson = s.path("stream.ndjson");
        let tracer = Tracer::new(s)?.arg("--ndjson").arg(&ndjson);
        let ended = tracer.traced(workload!("storm"), &["2000"]).run()?;
        let document = ended.document()?;
        let lines = whole_lines(&ndjson)? as u64;
        let folded = document.number("totals.losses.folded_operations")?;
        let operations = document.number("totals.operations")?;
        ensure!(operations >= 2000, "{operations} operations");
        ensure!(
            lines + folded >= operations,
            "{lines} lines and {folded} folded for {operations} operations"
        );
        Ok(())
    })
}

#[test]
fn live_lines_and_a_report() -> Outcome {
    scenario("outputs/summary", |s| {
        let target = busy(s)?;
        let trace =
            Tracer::bare(s)?.args(&["--lines", "--interval", "0.1", "-d", "1"]).pid(target.pid()).start()?;
        ensure!(trace.ends_within(Duration::from_secs(20))?, "-d 1 did not end it");
        let ended = trace.end()?;
        ended.ended_with(0)?;
        let text = String::from_utf8(ended.stdout)? + &ended.stderr;
        for word in ["read", "/dev/zero", "transitions"] {
            ensure!(text.contains(word), "the report does not speak of {word}: {text}");
        }
        ensure!(text.lines().count() >= 8, "no live lines: {text}");
        Ok(())
    })
}

/// The time given holds for what the command leaves behind too, whether the command ends by itself or is ended.
#[test]
fn the_time_given_ends_a_trace_of_descendants() -> Outcome {
    for (name, then, code) in [("ends before", "exit 0", 0), ("is ended", "exec sleep 60", 143)] {
        scenario(&format!("outputs/-d when the command {name}"), |s| {
            require_root()?;
            let pid = s.path("pid");
            let script = format!("sleep 60 >/dev/null 2>&1 & echo $! >'{}'; {then}", pid.display());
            let tracer = Tracer::new(s)?.args(&["-q", "-f", "-d", "1"]);
            let trace = tracer.traced("/bin/sh", &["-c", &script]).start_unready()?;
            let in_time = trace.ends_within(Duration::from_secs(20));
            let left = fs::read_to_string(&pid)?;
            let killed = s.run(Command::new("/bin/sh").args(["-c", &format!("kill -KILL {left}")]))?;
            ensure!(in_time?, "-d 1 did not end it");
            ensure!(killed == 0, "it ended the descendant");
            let document = trace.end()?.document_after(code)?;
            ensure!(document.number("duration_ns")? < 10_000_000_000, "{document:?}");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_filter_limits_lists_and_lines_and_no_number() -> Outcome {
    scenario("outputs/filter", |s| {
        require_root()?;
        let [wanted, other] = [s.file("wanted file", 300_000)?, s.file("other", 200_000)?];
        let ndjson = s.path("stream.ndjson");
        let script = "cat \"$1\" >/dev/null; cat \"$2\" >/dev/null";
        let arguments = ["-c".into(), script.into(), "sh".into(), wanted.clone(), other.clone()];
        let filter = "path=\"*/wanted file\" bytes>=1K";
        let tracer = Tracer::new(s)?.args(&["-f", "--filter", filter, "--ndjson"]).arg(&ndjson);
        let ended = tracer.traced("/bin/sh", &arguments).run()?;

        // The document has everything.
        let document = ended.document()?;
        for (path, bytes) in [(&wanted, 300_000), (&other, 200_000)] {
            let payload: u64 = document.flows_from(path)?.iter().map(|flow| flow.payload_bytes).sum();
            ensure!(payload == bytes, "{payload} bytes from {}", path.display());
        }
        let text = &ended.stderr;
        ensure!(
            text.contains("listed below, --filter path="),
            "the report does not say that it is filtered: {text}"
        );
        let (head, lists) = text.split_once("FLOWS").context("the report has no flows")?;
        ensure!(lists.contains("wanted file") && !lists.contains("/other"), "{lists}");
        ensure!(head.contains("copied by the CPU"), "the totals are missing: {head}");

        let lines = fs::read_to_string(&ndjson)?;
        let lines: Vec<Document> = lines.lines().map(Document::parse).collect::<Result<_>>()?;
        ensure!(
            lines.first().context("no header")?.text("filter")? == filter,
            "the header does not name the filter"
        );
        let operations = lines.iter().filter(|line| line.text("type").is_ok_and(|kind| kind == "operation"));
        let mut bytes = 0;
        for operation in operations {
            ensure!(operation.text("source.endpoint.path")?.ends_with("/wanted file"), "{operation:?}");
            bytes += operation.number("bytes")?;
        }
        ensure!(bytes == 300_000, "operations with {bytes} bytes have lines");
        ensure!(
            lines.last().is_some_and(|line| line.text("type").is_ok_and(|kind| kind == "summary")),
            "no summary"
        );
        Ok(())
    })
}
