//! Every wrong request: a clear sentence with a hint, the documented exit code, nothing started, nothing left behind.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::Signal,
};
use zc_trace_tests::{
    bpf,
    document::Document,
    gate::Gate,
    namesake::Namesake,
    process::{STEP, wait_until},
    scenario::{Outcome, Scenario, require_program, require_root, scenario},
    skip,
    tracer::{Trace, Tracer, binary},
    types::with_member_at,
};

const USAGE: i32 = 2;
const TARGET: i32 = 3;
const PRIVILEGES: i32 = 4;
const KERNEL: i32 = 5;
const OUTPUT: i32 = 6;

/// Refused on the spot, with that code and a message in the promised form, and nothing written.
fn refused(scenario: &Scenario, code: i32, arguments: &[&str]) -> Result<()> {
    let ended = Tracer::new(scenario)?.args(arguments).run()?;
    ended.refused_with(code).with_context(|| format!("{arguments:?}"))?;
    ensure!(ended.json().is_some_and(|json| !json.exists()), "{arguments:?}: a document was written");
    Ok(())
}

#[test]
fn no_such_process() -> Outcome {
    scenario("bad input/no such PID", |s| {
        let mut process = s.spawn(&mut Command::new("/bin/true"))?;
        process.reap(STEP)?;
        refused(s, TARGET, &["-p", &process.pid().to_string()])
    })
}

#[test]
fn kernel_thread() -> Outcome {
    scenario("bad input/kernel thread", |s| {
        // In a container there is none.
        if fs::read_to_string("/proc/2/comm").ok().as_deref() != Some("kthreadd\n") {
            skip!("process 2 is no kernel thread here");
        }
        refused(s, TARGET, &["-p", "2"])
    })
}

#[test]
fn zombie() -> Outcome {
    scenario("bad input/zombie", |s| {
        let process = s.spawn(&mut Command::new("/bin/true"))?;
        process.wait_for_end(STEP)?;
        refused(s, TARGET, &["-p", &process.pid().to_string()])
    })
}

#[test]
fn one_of_two_targets_is_missing() -> Outcome {
    scenario("bad input/one of two targets is missing", |s| {
        let mut gone = s.spawn(&mut Command::new("/bin/true"))?;
        gone.reap(STEP)?;
        let here = Gate::before(s, workload!("gate"), "/bin/true", &[] as &[&str], Stdio::null())?;
        refused(s, TARGET, &["-p", &here.pid().to_string(), "-p", &gone.pid().to_string()])
    })
}

#[test]
fn nonsense() -> Outcome {
    scenario("bad input/nonsense", |s| {
        let me = std::process::id().to_string();
        for arguments in [
            vec!["-p", "abc"],
            vec!["-p", ""],
            vec!["-p", "-5"],
            vec!["-p", "99999999999999999999"],
            vec!["-p", &me, "--", "/bin/true"],
            vec!["-p", &me, "-d", "0"],
            vec!["-p", &me, "-d", "-1"],
            vec!["-p", &me, "-d", "soon"],
            vec!["-p", &me, "-d", "NaN"],
            vec!["-p", &me, "--interval", "0"],
            vec!["-p", &me, "--interval", "x"],
            vec!["-p", &me, "--ring-size", "0"],
            vec!["-p", &me, "--ring-size", "much"],
            vec!["-p", &me, "--no-such-option"],
        ] {
            refused(s, USAGE, &arguments)?;
        }
        for arguments in [["demo", "--size", "0"], ["demo", "--chunk", "0"], ["demo", "--size", "x"]] {
            Tracer::bare(s)?
                .args(&arguments)
                .run()?
                .refused_with(USAGE)
                .with_context(|| format!("{arguments:?}"))?;
        }
        Ok(())
    })
}

#[test]
fn commands_that_cannot_be_run() -> Outcome {
    scenario("bad input/commands that cannot be run", |s| {
        refused(s, 127, &["--", "/no/such/program"])?;
        refused(s, 127, &["--", "no-such-program-anywhere"])?;
        let file = s.file("not-executable", 10)?;
        refused(s, 126, &["--", &file.to_string_lossy()])?;
        refused(s, 126, &["--", &s.folder().to_string_lossy()])?;
        // Executable by its mode, but no program.
        let garbage = s.file("garbage", 100)?;
        fs::set_permissions(&garbage, fs::Permissions::from_mode(0o755))?;
        refused(s, 126, &["--", &garbage.to_string_lossy()])
    })
}

#[test]
fn commands_that_name_nothing_to_run_them() -> Outcome {
    scenario("bad input/a missing interpreter, an empty command", |s| {
        let script = s.path("script");
        fs::write(&script, "#! /nonexist/x -e\n")?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        for (command, says) in [
            (&*script.to_string_lossy(), "is a script whose interpreter /nonexist/x was not found"),
            ("", "the command is an empty string"),
        ] {
            let ended = Tracer::new(s)?.args(&["--", command]).run()?;
            ended.refused_with(127).with_context(|| format!("{command:?}"))?;
            ensure!(ended.stderr.contains(says), "{command:?}: {}", ended.stderr);
        }
        Ok(())
    })
}

/// Runs zc-trace as nobody, from a copy that nobody may read.
fn as_nobody<'s>(scenario: &'s Scenario, arguments: &[&str]) -> Result<Tracer<'s>> {
    require_root()?;
    let copy = scenario.path("zc-trace");
    fs::copy(binary()?, &copy)?;
    let mut command = Command::new(require_program("setpriv")?);
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"]);
    command.arg(copy).args(arguments);
    Ok(Tracer::of(scenario, command))
}

#[test]
fn no_privileges() -> Outcome {
    scenario("bad input/no privileges", |s| {
        let pid = std::process::id().to_string();
        as_nobody(s, &["-p", &pid])?.run()?.refused_with(PRIVILEGES)?;
        let mark = s.path("mark");
        as_nobody(s, &["--", "/bin/touch", &mark.to_string_lossy()])?.run()?.refused_with(PRIVILEGES)?;
        ensure!(!mark.exists(), "the command was run all the same");
        as_nobody(s, &["demo"])?.run()?.refused_with(PRIVILEGES)?;
        // The doctor is who tells what is missing.
        let doctor = as_nobody(s, &["doctor"])?.run()?;
        doctor.did_not_crash()?;
        ensure!(!doctor.stdout.is_empty(), "the doctor says nothing to nobody");
        Ok(())
    })
}

#[test]
fn outputs_that_cannot_be_written() -> Outcome {
    scenario("bad input/unwritable outputs", |s| {
        require_root()?;
        let mark = s.path("mark");
        let folder = s.folder().to_string_lossy().into_owned();
        let in_a_file = format!("{}/json", s.file("file", 1)?.display());
        // sysfs lets nobody make files, root neither.
        for path in ["/no/such/folder/json", folder.as_str(), in_a_file.as_str(), "/sys/kernel/zc-trace.json"]
        {
            for option in ["--json", "--ndjson"] {
                let tracer = Tracer::bare(s)?.args(&[option, path]).traced("/bin/touch", &[&mark]);
                tracer.run()?.refused_with(OUTPUT).with_context(|| format!("{option} {path}"))?;
                ensure!(!mark.exists(), "{option} {path}: the command was run all the same");
            }
        }
        Ok(())
    })
}

#[test]
fn a_full_disk() -> Outcome {
    scenario("bad input/full disk", |s| {
        require_root()?;
        for option in ["--json", "--ndjson"] {
            let ended =
                Tracer::bare(s)?.args(&[option, "/dev/full"]).traced("/bin/echo", &["through"]).run()?;
            ended.refused_with(OUTPUT).with_context(|| option.to_owned())?;
        }
        Ok(())
    })
}

/// Runs zc-trace by a shell that does this first.
fn after<'s>(scenario: &'s Scenario, first: &str, arguments: &[&str]) -> Result<Tracer<'s>> {
    require_root()?;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{first}; exec \"$@\""), "sh"]).arg(binary()?).args(arguments);
    Ok(Tracer::of(scenario, command))
}

#[test]
fn text_that_cannot_be_written() -> Outcome {
    scenario("bad input/text into a full disk", |s| {
        // Nobody can be told when it is standard error that is full.
        after(s, "exec 2>/dev/full", &["--", "/bin/true"])?.run()?.ended_with(OUTPUT)?;
        for arguments in
            [&["doctor"][..], &["-p", &std::process::id().to_string(), "-d", "0.1", "-i", "1000"]]
        {
            let ended = after(s, "exec >/dev/full", arguments)?.run()?;
            ended.refused_with(OUTPUT).with_context(|| format!("{arguments:?}"))?;
            ensure!(ended.stderr.contains("cannot write to standard output: No space"), "{}", ended.stderr);
        }
        // The live lines are what fails; the document is written all the same.
        let json = s.path("json").to_string_lossy().into_owned();
        let me = std::process::id().to_string();
        let live = ["-p", &me, "-d", "0.5", "-i", "0.1", "--json", &json];
        after(s, "exec >/dev/full", &live)?.run()?.refused_with(OUTPUT)?;
        Document::read(Path::new(&json))?.is_coherent()
    })
}

#[test]
fn closed_streams() -> Outcome {
    scenario("bad input/closed streams", |s| {
        let mark = s.path("mark").to_string_lossy().into_owned();
        let me = std::process::id().to_string();
        let command = ["--", "/bin/touch", &mark];
        for arguments in [
            &[&["--json", "-"][..], &command].concat()[..],
            &[&["--ndjson", "/dev/stdout"][..], &command].concat(),
            &["-p", &me, "-d", "0.1"],
            &["doctor"],
            &["demo"],
        ] {
            let ended = after(s, "exec >&-", arguments)?.run()?;
            ended.refused_with(OUTPUT).with_context(|| format!("{arguments:?}"))?;
            ensure!(!Path::new(&mark).exists(), "{arguments:?}: the command was run all the same");
        }
        after(s, "exec 2>&-", &command)?.run()?.ended_with(OUTPUT)?;
        ensure!(!Path::new(&mark).exists(), "the command was run all the same");
        // What needs no stream does not mind.
        after(s, "exec >&- 2>&- <&-", &[&["-q"][..], &command].concat())?.run()?.ended_with(0)?;
        ensure!(Path::new(&mark).exists(), "the command was not run");
        // Open, but not for writing, shows only when it is written to.
        after(s, "exec >/dev/null 2>&1 1</dev/null", &["-p", &me, "-d", "0.1"])?.run()?.ended_with(OUTPUT)
    })
}

#[test]
fn a_stream_that_cannot_begin() -> Outcome {
    scenario("bad input/a stream that cannot begin", |s| {
        require_root()?;
        let pid = s.path("pid");
        let script = format!("echo $$ > '{}'; exec sleep 60", pid.display());
        let tracer = Tracer::bare(s)?.args(&["--ndjson", "/dev/full"]).traced("/bin/sh", &["-c", &script]);
        tracer.run()?.refused_with(OUTPUT)?;
        let left = fs::read_to_string(&pid).is_ok_and(|pid| Path::new("/proc").join(pid.trim()).exists());
        ensure!(!left, "it leaves the command running");
        Ok(())
    })
}

#[test]
fn a_limit_of_file_sizes() -> Outcome {
    scenario("bad input/ulimit -f", |s| {
        let folder = s.make_folder("out")?;
        for option in ["--json", "--ndjson"] {
            let path = folder.join("out").to_string_lossy().into_owned();
            let tracer = after(s, "ulimit -f 1", &["-q", option, &path, "--", "/bin/true"])?;
            let ended = tracer.run()?;
            ended.refused_with(OUTPUT).with_context(|| option.to_owned())?;
            ensure!(ended.stderr.contains("ulimit -f"), "no word of the limit: {}", ended.stderr);
            let left: Vec<_> =
                fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect();
            // A stream has its whole lines, of which the first is longer than that.
            ensure!(left.is_empty() || option == "--ndjson", "{option} leaves {left:?}");
        }
        let tracer = after(s, "ulimit -f 100", &["demo"])?;
        let ended = tracer.environment("TMPDIR", s.make_folder("tmp")?).run()?;
        ended.refused_with(OUTPUT)?;
        ensure!(fs::read_dir(s.path("tmp"))?.count() == 0, "the demo leaves its file");
        Ok(())
    })
}

#[test]
fn a_limit_of_open_files() -> Outcome {
    scenario("bad input/ulimit -n", |s| {
        let me = std::process::id().to_string();
        let json = s.path("json").to_string_lossy().into_owned();
        let mut refusals = 0;
        // From too few to begin with, past the first that suffice.
        for limit in [4, 6, 8, 12, 20, 35, 45, 48, 50, 51, 52, 53, 54, 56, 60] {
            for subject in [&["-p", &me, "-d", "0.1"][..], &["--", "/bin/true"]] {
                let arguments = [&["-q", "--json", &json][..], subject].concat();
                let ended = after(s, &format!("ulimit -n {limit}"), &arguments)?.run()?;
                if ended.code == 0 {
                    Document::read(Path::new(&json))?.is_coherent()?;
                    continue;
                }
                refusals += 1;
                ended.refused_with(PRIVILEGES).with_context(|| format!("with {limit}: {arguments:?}"))?;
                ensure!(ended.stderr.contains("ulimit -n"), "with {limit}: {}", ended.stderr);
            }
        }
        ensure!(refusals >= 10, "only {refusals} refusals");
        for (limit, arguments) in [(4, &["demo"][..]), (20, &["demo", "--size", "1M"])] {
            let folder = s.make_folder("tmp")?;
            let tracer = after(s, &format!("ulimit -n {limit}"), arguments)?;
            tracer.environment("TMPDIR", &folder).run()?.refused_with(PRIVILEGES)?;
            ensure!(fs::read_dir(folder)?.count() == 0, "with {limit} the demo leaves its folder");
        }
        let doctor = after(s, "ulimit -n 20", &["doctor"])?.run()?;
        doctor.ended_with(PRIVILEGES)?;
        ensure!(String::from_utf8_lossy(&doctor.stdout).contains("ulimit -n"), "the doctor does not know");
        Ok(())
    })
}

#[test]
fn a_hang_up_that_is_ignored() -> Outcome {
    scenario("bad input/nohup", |s| {
        let gate = Gate::before(s, workload!("gate"), "/bin/true", &[] as &[&str], Stdio::null())?;
        let tracer = after(s, "trap '' HUP", &[])?.pid(gate.pid());
        let trace = tracer.start()?;
        trace.signal(Signal::HUP)?;
        ensure!(!trace.ends_within(Duration::from_millis(500))?, "SIGHUP ended it all the same");
        trace.stop()?.ended_with(0)
    })
}

/// What a program is started with: signals ignored and blocked, and descriptors.
const STATE: &str = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd";

#[test]
fn a_command_starts_as_without_zc_trace() -> Outcome {
    scenario("bad input/what a command inherits", |s| {
        let env = require_program("env")?;
        for options in [
            &[][..],
            &["--ignore-signal=HUP"],
            &["--ignore-signal=PIPE,XFSZ,INT,TERM,HUP,USR1"],
            &["--block-signal=USR2,TERM", "--ignore-signal=QUIT"],
        ] {
            for streams in ["", "exec <&-"] {
                let prepared = |words: &[&str]| {
                    let mut command = Command::new("/bin/sh");
                    command.args(["-c", &format!("{streams}\nexec \"$@\""), "sh"]).arg(&env);
                    command.args(options).args(words);
                    command
                };
                let alone = prepared(&["/bin/sh", "-c", STATE]).stdin(Stdio::null()).output()?;
                let binary = binary()?;
                let binary = binary.to_str().context("a strange path")?;
                let traced = prepared(&[binary, "-q", "--", "/bin/sh", "-c", STATE]);
                let traced = Tracer::of(s, traced).run()?;
                traced.ended_with(0)?;
                let [alone, traced] =
                    [alone.stdout, traced.stdout].map(|text| String::from_utf8_lossy(&text).into_owned());
                ensure!(alone.contains("SigIgn"), "{alone}");
                ensure!(alone == traced, "{options:?} {streams}: {traced} instead of {alone}");
            }
        }
        Ok(())
    })
}

/// Ends as a trace or as a refusal, but as one of them.
fn traced_or_refused(tracer: Tracer<'_>, gate: &mut Gate) -> Result<()> {
    let trace = tracer.start_unready()?;
    gate.open()?;
    gate.process().reap(STEP)?;
    let ended = trace.end()?;
    if ended.code == 0 {
        ended.document()?;
        return Ok(());
    }
    ended.refused_with(TARGET)
}

#[test]
fn target_ends_or_execs_during_attach() -> Outcome {
    for (name, script) in [
        ("ends", "exit 0"),
        ("execs", "exec /bin/sh -c 'exec /bin/true'"),
        ("execs from a second thread's program", "exec /bin/sh -c 'exec /bin/cat /proc/self/status'"),
    ] {
        scenario(&format!("bad input/target {name} during attach"), |s| {
            // At a different moment each time, as the machine will have it.
            for _ in 0..5 {
                let mut gate = Gate::before(s, workload!("gate"), "/bin/sh", &["-c", script], Stdio::null())?;
                let tracer = Tracer::new(s)?.arg("-p").arg(gate.pid().to_string());
                traced_or_refused(tracer, &mut gate)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// zc-trace, stopped after it has found that target and before it attaches to it: it loads its programs, which takes
/// some hundred milliseconds.
fn stopped_before_it_attaches(scenario: &Scenario, pid: u32) -> Result<Trace> {
    let trace = Tracer::new(scenario)?.arg("-p").arg(pid.to_string()).start_unready()?;
    // The first thing that it makes in the kernel asks what programs may use, once: what comes next is its own.
    wait_until(STEP, "its maps", || Ok(bpf::held_by(trace.pid())?.len() > 2))?;
    trace.signal(Signal::STOP)?;
    let status = format!("/proc/{}/status", trace.pid());
    wait_until(STEP, "zc-trace to stop", || Ok(fs::read_to_string(&status)?.contains("State:\tT")))?;
    ensure!(trace.said()?.is_empty(), "it was faster: {}", trace.said()?);
    Ok(trace)
}

/// Each stop interrupts the kernel's verifier: that is no refusal, and costs no program.
#[test]
fn stops_before_it_attaches() -> Outcome {
    scenario("bad input/stops before the attach", |s| {
        require_root()?;
        let target = s.spawn(Command::new("/bin/sleep").arg("100"))?;
        let undisturbed = Tracer::new(s)?.pid(target.pid()).start()?.stop()?.document()?;
        let trace = stopped_before_it_attaches(s, target.pid())?;
        for _ in 0..30 {
            trace.signal(Signal::CONT)?;
            // As long as it must run to be in the verifier again.
            thread::sleep(Duration::from_millis(5));
            trace.signal(Signal::STOP)?;
        }
        trace.signal(Signal::CONT)?;
        trace.wait_for_line("zc-trace: attached")?;
        let (stopped, undisturbed) = (trace.stop()?.document()?, undisturbed.get("evidence")?.clone());
        ensure!(
            *stopped.get("evidence")? == undisturbed,
            "{:#}, not {undisturbed:#}",
            stopped.get("evidence")?
        );
        Ok(())
    })
}

#[test]
fn a_target_that_ended_before_it_was_attached_to() -> Outcome {
    scenario("bad input/target ended before the attach", |s| {
        require_root()?;
        for has_namesake in [false, true] {
            let mut target = s.spawn(Command::new("/bin/sleep").arg("100"))?;
            let pid = target.pid();
            let trace = stopped_before_it_attaches(s, pid)?;
            target.signal(Signal::KILL)?;
            target.reap(STEP)?;
            let namesake = has_namesake.then(|| Namesake::start(pid)).transpose()?;
            trace.signal(Signal::CONT)?;
            let ended = trace.end()?;
            ended.refused_with(TARGET).with_context(|| format!("with a namesake: {has_namesake}"))?;
            let sentence = format!("process {pid} ended while zc-trace attached to it");
            ensure!(ended.stderr.contains(&sentence), "{}", ended.stderr);
            ensure!(ended.json().is_some_and(|json| !json.exists()), "the namesake was traced");
            drop(namesake);
        }
        Ok(())
    })
}

#[test]
fn a_target_that_became_another_program_before_it_was_attached_to() -> Outcome {
    scenario("bad input/target execs before the attach", |s| {
        // The other program ends when it is told to: how long it takes to attach depends on the machine.
        let fifo = s.path("end");
        mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR)?;
        let mut gate = Gate::before(s, workload!("gate"), "/bin/cat", &[&fifo], Stdio::null())?;
        let pid = gate.pid();
        let trace = stopped_before_it_attaches(s, pid)?;
        gate.open()?;
        let comm = format!("/proc/{pid}/comm");
        wait_until(STEP, "the other program", || Ok(fs::read_to_string(&comm)? == "cat\n"))?;
        trace.signal(Signal::CONT)?;
        trace.wait_for_line("zc-trace: attached")?;
        fs::write(&fifo, "")?;
        gate.process().reap(STEP)?;
        let document = trace.end()?.document()?;
        ensure!(document.text("target.comm")? == "cat", "{document:?}");
        ensure!(document.process(pid)?.number("exit_code")? == 0, "{document:?}");
        Ok(())
    })
}

/// As on another kernel.
fn on_a_kernel(scenario: &Scenario, prepared: &[&str], says: &str) -> Result<()> {
    require_root()?;
    let mark = scenario.path("mark");
    let started = |arguments: &[&str]| -> Result<Tracer<'_>> {
        let mut command = Command::new(require_program(prepared[0])?);
        command.args(&prepared[1..]).arg(binary()?).args(arguments);
        Ok(Tracer::of(scenario, command))
    };
    let ended = started(&["--", "/bin/touch", &mark.to_string_lossy()])?.run()?;
    ended.refused_with(KERNEL)?;
    ensure!(ended.stderr.contains(says), "{}", ended.stderr);
    ensure!(!mark.exists(), "the command was run all the same");
    let doctor = started(&["doctor"])?.run()?;
    doctor.ended_with(KERNEL)?;
    ensure!(String::from_utf8_lossy(&doctor.stdout).contains(says), "the doctor does not say so");
    Ok(())
}

#[test]
fn a_kernel_that_is_too_old() -> Outcome {
    scenario("bad input/old kernel", |s| {
        on_a_kernel(s, &["setarch", "x86_64", "--uname-2.6"], "is older than 5.15")
    })
}

#[test]
fn a_kernel_that_is_locked_down() -> Outcome {
    scenario("bad input/lockdown", |s| {
        let cover = "mount -t tmpfs none /sys/kernel/security &&
            echo 'none integrity [confidentiality]' > /sys/kernel/security/lockdown && exec \"$@\"";
        on_a_kernel(
            s,
            &["unshare", "--mount", "/bin/sh", "-c", cover, "sh"],
            "locked down for confidentiality",
        )
    })
}

#[test]
fn a_pid_namespace_of_its_own() -> Outcome {
    scenario("bad input/PID namespace", |s| {
        let unshared = ["unshare", "--pid", "--fork", "--mount-proc"];
        on_a_kernel(s, &unshared, "runs in a PID namespace of its own")?;
        // Not as its first process either.
        let second = [&unshared[..], &["/bin/sh", "-c", "\"$@\"; exit $?", "sh"]].concat();
        on_a_kernel(s, &second, "runs in a PID namespace of its own")?;
        // Only its children would be in one: the kernel then refuses it threads, once it has one.
        on_a_kernel(s, &["unshare", "--pid"], "runs in a PID namespace of its own")
    })
}

#[test]
fn a_program_that_the_verifier_refuses() -> Outcome {
    scenario("bad input/verifier", |s| {
        require_root()?;
        let (types, folder) = (s.path("types"), s.make_folder("tmp")?);
        // The programs are then told to read behind the end of the structure, which the verifier knows.
        fs::write(&types, with_member_at("task_struct", "nvcsw", 1_000_000)?)?;
        let tracer = Tracer::new(s)?.args(&["--form", "typed", "--btf"]).arg(&types);
        let ended = tracer.environment("TMPDIR", &folder).traced("/bin/true", &[] as &[&str]).run()?;
        ended.refused_with(KERNEL)?;
        let (_, rest) = ended.stderr.split_once("its log is in ").context("no log is named")?;
        let path = rest.lines().next().context("no path")?;
        ensure!(Path::new(path).starts_with(&folder), "the log is in {path}");
        let log = fs::read_to_string(path)?;
        ensure!(log.contains("access beyond struct task_struct"), "the log says {log}");
        ensure!(fs::read_dir(&folder)?.count() == 1, "there is more than one log");
        Ok(())
    })
}

#[test]
fn target_execs_in_mid_trace() -> Outcome {
    scenario("bad input/target execs", |s| {
        let file = s.file("file", 50_000)?;
        let script = format!("exec /bin/cat '{}'", file.display());
        let mut gate = Gate::before(s, workload!("gate"), "/bin/sh", &["-c", &script], Stdio::null())?;
        let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
        gate.open()?;
        gate.process().reap(STEP)?;
        let document = trace.end()?.document()?;
        let process = document.process(gate.pid())?;
        ensure!(process.text("comm")? == "cat", "{process:?}");
        let calls = document.calls()?;
        ensure!(calls.get("execve").is_some_and(|call| call.count == 2), "{calls:?}");
        let read: u64 = document.flows_from(&file)?.iter().map(|flow| flow.payload_bytes).sum();
        ensure!(read == 50_000, "{read} bytes after the exec");
        Ok(())
    })
}

#[test]
fn nothing_to_do() -> Outcome {
    scenario("bad input/nothing to do", |s| {
        let ended = Tracer::bare(s)?.run()?;
        ended.ended_with(USAGE)?;
        let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &ended.stderr;
        ensure!(
            said.contains("zc-trace -p") || said.contains("--pid"),
            "it does not say how to use it: {said}"
        );
        Ok(())
    })
}

/// A reader that has seen enough is no error.
fn reads_one_line_of(scenario: &Scenario, tracer: Tracer<'_>) -> Result<()> {
    require_root()?;
    let mut trace = tracer.start_piped()?;
    let mut stdout = trace.process().child().stdout.take().context("no pipe")?;
    let mut byte = [0];
    io::Read::read(&mut stdout, &mut byte)?;
    drop(stdout);
    let ended = trace.end()?;
    scenario.note(ended.stderr.clone());
    ended.ended_with(0)?;
    ensure!(!ended.stderr.to_lowercase().contains("broken pipe"), "it complains: {}", ended.stderr);
    Ok(())
}

#[test]
fn closed_pipe() -> Outcome {
    scenario("bad input/closed pipe", |s| {
        let idle = Path::new("/bin/true");
        reads_one_line_of(s, Tracer::bare(s)?.arg("--help"))?;
        reads_one_line_of(s, Tracer::bare(s)?.arg("doctor"))?;
        reads_one_line_of(s, Tracer::bare(s)?.args(&["--json", "-"]).traced(idle, &[] as &[&str]))?;
        // A command that does not write to the same pipe itself.
        let quiet = ["if=/dev/zero", "of=/dev/null", "bs=1", "count=20000", "status=none"];
        reads_one_line_of(s, Tracer::bare(s)?.args(&["--ndjson", "-"]).traced(Path::new("/bin/dd"), &quiet))
    })
}

#[test]
fn filters_that_cannot_be_read() -> Outcome {
    scenario("bad input/filter", |s| {
        for (filter, where_and_what) in [
            ("path=/srv bytes>=lots", "bytes>=lots is not a size (at character 18)"),
            ("colour=red", "there is no term colour= (at character 1)"),
            ("path=\"/srv", "a quote is opened and not closed (at character 6)"),
            ("\u{1b}[2J=1", "(at character 1)"),
        ] {
            let mark = s.path("ran");
            let tracer = Tracer::new(s)?.args(&["--filter", filter]);
            let ended = tracer.traced("/bin/touch", &[&mark]).run()?;
            ended.refused_with(USAGE)?;
            ensure!(ended.stderr.contains(where_and_what), "{filter:?}: {}", ended.stderr);
            ensure!(!ended.stderr.contains('\u{1b}'), "an escape sequence came through: {:?}", ended.stderr);
            ensure!(!mark.exists() && ended.json().is_some_and(|json| !json.exists()), "it ran all the same");
        }
        Ok(())
    })
}
