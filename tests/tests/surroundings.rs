//! Targets in surroundings of their own, and transfers beyond what 32 bits hold.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use zc_trace_tests::{
    accounts::is_blocked_in,
    comparison::Comparison,
    document::Document,
    process::{STEP, wait_until},
    scenario::{Outcome, require_program, require_root, scenario},
    tracer::Tracer,
};

const BYTES: u64 = 300_000;

/// What a container makes: a tmpfs that only it sees, as its own /mnt.
const PREPARE: &str = "mount -t tmpfs none /mnt && head -c 300000 /dev/zero >/mnt/inside";

fn payload_from(document: &Document, path: &str) -> Result<u64> {
    Ok(document.flows_from(Path::new(path))?.iter().map(|flow| flow.payload_bytes).sum())
}

/// Started inside: paths are those that the target sees, pids those that the host sees.
#[test]
fn a_container_started() -> Outcome {
    scenario("surroundings/container, started", |s| {
        require_root()?;
        let script = format!("{PREPARE} && cat /mnt/inside");
        let arguments = ["--pid", "--mount", "--net", "--fork", "--mount-proc", "sh", "-c", &script];
        let ended = Tracer::new(s)?.arg("-f").traced(require_program("unshare")?, &arguments).run()?;
        let document = ended.document()?;
        let mut comparison = Comparison::default();
        comparison.equal("bytes that came out", ended.stdout.len() as u64, BYTES);
        comparison.equal("payload from /mnt/inside", payload_from(&document, "/mnt/inside")?, BYTES);
        let pids: Vec<u64> =
            document.list("processes")?.iter().map(|process| process.number("pid")).collect::<Result<_>>()?;
        // Inside, the shell is process 1.
        comparison.holds("pids are the host's", pids.iter().all(|pid| *pid > 1));
        comparison.finish()
    })
}

/// Attached from outside.
#[test]
fn a_container_attached() -> Outcome {
    scenario("surroundings/container, attached", |s| {
        require_root()?;
        let (go, output) = (s.path("go"), s.path("output"));
        mknodat(CWD, &go, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        let script = format!("{PREPARE} && read line <{} && exec cat /mnt/inside", go.display());
        let mut command = Command::new(require_program("unshare")?);
        command.args(["--pid", "--mount", "--net", "--fork", "--mount-proc", "sh", "-c", &script]);
        command.stdin(Stdio::null()).stdout(fs::File::create(&output)?).stderr(Stdio::inherit());
        let mut outer = s.spawn(&mut command)?;
        let children = format!("/proc/{0}/task/{0}/children", outer.pid());
        let mut inside = None;
        wait_until(STEP, "the shell inside to wait", || {
            inside = fs::read_to_string(&children)?.trim().parse::<u32>().ok();
            // It waits for somebody to open the other end.
            Ok(inside.is_some_and(|pid| {
                fs::read_to_string(format!("/proc/{pid}/wchan")).is_ok_and(|wchan| wchan.contains("fifo"))
                    || is_blocked_in(pid, libc::SYS_openat).unwrap_or(false)
            }))
        })?;
        let inside = inside.context("no shell")?;
        let trace = Tracer::new(s)?.pid(inside).start()?;
        fs::write(&go, "go\n")?;
        outer.reap(STEP)?;
        let document = trace.end()?.document()?;
        let mut comparison = Comparison::default();
        comparison.equal("payload from /mnt/inside", payload_from(&document, "/mnt/inside")?, BYTES);
        comparison.equal("bytes that came out", fs::metadata(&output)?.len(), BYTES);
        comparison.equal("its pid", document.number("target.pid")?, u64::from(inside));
        let agree = document.get("totals.kernel_accounts.agree")?.as_bool().context("no truth value")?;
        comparison.holds("the kernel's accounts agree", agree);
        comparison.finish()
    })
}

/// 5,000 times 1 MiB: more than 32 bits count.
#[test]
fn beyond_four_gibibytes() -> Outcome {
    scenario("surroundings/beyond 4 GiB", |s| {
        require_root()?;
        let arguments = ["if=/dev/zero", "of=/dev/null", "bs=1M", "count=5000", "status=none"];
        let document = Tracer::new(s)?.traced(require_program("dd")?, &arguments).run()?.document()?;
        let total = 5000u64 << 20;
        let mut comparison = Comparison::default();
        let into: u64 =
            document.flows_to(Path::new("/dev/null"))?.iter().map(|flow| flow.payload_bytes).sum();
        comparison.equal("payload into /dev/null", into, total);
        comparison.equal("totals.written_bytes", document.number("totals.written_bytes")?, total);
        let calls = document.calls()?;
        comparison.equal("bytes of write", calls.get("write").and_then(|call| call.bytes), Some(total));
        comparison.finish()
    })
}
