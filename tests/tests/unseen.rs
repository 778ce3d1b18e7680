//! What no hook saw is null or the truth, never 0: with hooks on returns alone, and of calls in flight when tracing began.

use std::{
    fs::{self, File},
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use zc_trace_tests::{
    accounts::is_blocked_in,
    comparison::Comparison,
    document::Document,
    process::{STEP, wait_until},
    scenario::{Outcome, Scenario, require_program, require_root, scenario},
    tracer::Tracer,
};

use crate::dma::{SIZE, cold_file};

/// Ways to follow calls, and whether their entries are seen.
const WAYS: [(&[&str], bool); 4] =
    [(&[], true), (&["--latency", "all"], true), (&["--latency", "none"], false), (&["--summary"], false)];

fn python(s: &Scenario, way: &[&str], script: &str, arguments: &[&std::path::Path]) -> Result<Document> {
    let mut all = vec!["-c".as_ref(), script.as_ref()];
    all.extend(arguments.iter().map(|path| path.as_os_str()));
    Tracer::new(s)?.args(way).traced(require_program("python3")?, &all).run()?.document()
}

const BLOCK: u64 = 64 * 1024;
const BLOCKS: u64 = SIZE / BLOCK;

/// Between two reads of a cold file the program touches memory for the first time: that page fault may have fetched what
/// came from the device, where nobody saw the read begin.
#[test]
fn device_reads_beside_page_faults() -> Outcome {
    for (way, sees_entries) in WAYS {
        scenario(&format!("unseen/device reads beside page faults {}", way.join(" ")), |s| {
            let cold = cold_file(s)?;
            let script = format!(
                "import mmap, os, sys\n\
                 memory = mmap.mmap(-1, {BLOCKS} * 4096)\n\
                 f = os.open(sys.argv[1], os.O_RDONLY)\n\
                 os.posix_fadvise(f, 0, 0, os.POSIX_FADV_RANDOM)\n\
                 for i in range({BLOCKS}):\n\
                 \x20memory[i * 4096] = 1\n\
                 \x20os.pread(f, {BLOCK}, i * {BLOCK})\n"
            );
            let document = python(s, way, &script, &[&cold])?;
            let flows = document.list("flows")?;
            let flow = flows
                .iter()
                .find(|flow| flow.text("source.path").is_ok_and(|path| path == cold.to_string_lossy()))
                .context("no flow from the file")?;
            let mut comparison = Comparison::default();
            comparison.equal("payload", flow.number("payload_bytes")?, BLOCKS * BLOCK);
            let truth = if sees_entries { Value::from(BLOCKS * BLOCK) } else { Value::Null };
            let dma = flow.get("dma_bytes")?;
            comparison.holds(
                &format!("DMA is {dma}, not {truth}"),
                *dma == truth || dma.as_u64() == Some(BLOCKS * BLOCK),
            );
            comparison.finish()
        })?;
    }
    Ok(())
}

/// A read that blocks: for how long, and with how many switches, only its entry tells.
#[test]
fn time_inside_calls() -> Outcome {
    for (way, sees_entries) in [(&[] as &[&str], true), (&["--latency", "none"], false)] {
        scenario(&format!("unseen/time inside calls {}", way.join(" ")), |s| {
            let lines = s.path("lines");
            let mut arguments = way.to_vec();
            let ndjson = lines.to_string_lossy().into_owned();
            arguments.extend(["--ndjson", &ndjson]);
            let script = "import os, time\n\
                 r, w = os.pipe()\n\
                 if os.fork() == 0:\n\
                 \x20for i in range(10):\n\
                 \x20\x20time.sleep(0.02)\n\
                 \x20\x20os.write(w, b'x' * 100)\n\
                 \x20os._exit(0)\n\
                 for i in range(10): os.read(r, 100)\n";
            let document = python(s, &arguments, script, &[])?;
            let mut comparison = Comparison::default();
            let flows = document.list("flows")?;
            let from_pipe =
                flows.iter().find(|flow| flow.text("source.kind").is_ok_and(|kind| kind == "pipe"));
            let flow = from_pipe.context("no flow from the pipe")?;
            let unseen = if sees_entries { 0 } else { 10 };
            comparison.equal("operations", flow.number("operations")?, 10);
            comparison.equal("unseen operations", flow.number("unseen_operations")?, unseen);
            if sees_entries {
                comparison.holds("it blocked", flow.number("blocked_ns")? > 0);
                comparison.holds("it switched", flow.number("context_switches.voluntary")? > 0);
            } else {
                comparison.equal("switches", flow.get("context_switches")?, &Value::Null);
                comparison.equal("faults", flow.get("page_faults")?, &Value::Null);
                comparison.equal("time", flow.get("time_ns")?, &Value::Null);
            }
            let text = fs::read_to_string(&lines)?;
            let mut reads = 0;
            for line in text.lines() {
                let line = Document::parse(line)?;
                let of_pipe = line.text("source.endpoint.kind").is_ok_and(|kind| kind == "pipe");
                if of_pipe && line.text("name").is_ok_and(|name| name == "read") {
                    reads += 1;
                    for member in
                        ["blocked_ns", "preempted_ns", "context_switches", "page_faults", "interrupts"]
                    {
                        let is_null = line.get(member)?.is_null();
                        comparison.holds(&format!("{member} is null: {is_null}"), is_null != sees_entries);
                    }
                }
            }
            comparison.equal("reads in the stream", reads, 10);
            comparison.finish()
        })?;
    }
    Ok(())
}

/// The read was under way when tracing began.
#[test]
fn in_flight_at_the_attach() -> Outcome {
    scenario("unseen/in flight at the attach", |s| {
        require_root()?;
        let mut command = Command::new(require_program("cat")?);
        command.stdin(Stdio::piped()).stdout(File::create(s.path("out"))?);
        let mut process = s.spawn(&mut command)?;
        wait_until(STEP, "cat to wait for input", || is_blocked_in(process.pid(), libc::SYS_read))?;
        let lines = s.path("lines");
        let trace = Tracer::new(s)?.arg("--ndjson").arg(&lines).pid(process.pid()).start()?;
        let mut stdin = process.child().stdin.take().context("no stdin")?;
        stdin.write_all(b"first")?;
        drop(stdin);
        process.reap(STEP)?;
        let document = trace.end()?.document()?;
        let flows = document.list("flows")?;
        let mut comparison = Comparison::default();
        let unseen: u64 = flows.iter().filter_map(|flow| flow.number("unseen_operations").ok()).sum();
        comparison.equal("operations whose beginning was not seen", unseen, 1);
        let lines = fs::read_to_string(&lines)?;
        let lines: Vec<_> = lines.lines().map(Document::parse).collect::<Result<_>>()?;
        let brought = lines.iter().filter(|line| {
            line.text("name").is_ok_and(|name| name == "read")
                && line.number("bytes").is_ok_and(|bytes| bytes == 5)
        });
        let brought: Vec<_> = brought.collect();
        comparison.equal("reads that brought it", brought.len(), 1);
        for line in brought {
            for member in ["duration_ns", "blocked_ns", "context_switches", "interrupts"] {
                comparison.equal(member, line.get(member)?, &Value::Null);
            }
        }
        comparison.finish()
    })
}

/// The return from a signal handler has no number: its registers are those of the interrupted program.
#[test]
fn returns_from_signal_handlers() -> Outcome {
    for (way, _) in WAYS {
        scenario(&format!("unseen/returns from signal handlers {}", way.join(" ")), |s| {
            let script = "import os, signal\n\
                signal.signal(signal.SIGUSR1, lambda *_: None)\n\
                for i in range(50): os.kill(os.getpid(), signal.SIGUSR1)\n";
            let document = python(s, way, script, &[])?;
            let calls = document.calls()?;
            let mut comparison = Comparison::default();
            let returns = calls.get("rt_sigreturn").map_or(0, |call| call.count);
            comparison.equal("rt_sigreturn", returns, 50);
            comparison.holds("no call is unknown", !calls.contains_key("unknown"));
            comparison.finish()
        })?;
    }
    Ok(())
}

/// seccomp refuses before the hook on entries. The program has entered the kernel and returned all the same.
#[test]
fn refused_by_seccomp() -> Outcome {
    for (way, _) in WAYS {
        scenario(&format!("unseen/refused by seccomp {}", way.join(" ")), |s| {
            let file = s.path("file");
            // Loads the number of the call; if it is this one, fails with EPERM; else lets it pass (include/uapi/linux/seccomp.h).
            let script = format!(
                "import ctypes, os, struct, sys\n\
                 f = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n\
                 os.pwrite(f, b'x' * 100, 0)\n\
                 code = ((0x20, 0, 0, 0), (0x15, 0, 1, {}), (6, 0, 0, 0x50001), (6, 0, 0, 0x7fff0000))\n\
                 code = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *one) for one in code))\n\
                 program = ctypes.create_string_buffer(struct.pack('@HP', 4, ctypes.addressof(code)))\n\
                 libc = ctypes.CDLL(None)\n\
                 assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0\n\
                 for i in range(10):\n\
                 \x20try: os.pwrite(f, b'x' * 100, 0)\n\
                 \x20except PermissionError: pass\n\
                 \x20else: sys.exit(1)\n",
                libc::SYS_pwrite64
            );
            let document = python(s, way, &script, &[&file])?;
            let flows = document.flows_to(&file)?;
            let mut comparison = Comparison::default();
            comparison.equal("operations", flows.iter().map(|flow| flow.operations).sum(), 11u64);
            comparison.equal("their transitions", flows.iter().map(|flow| flow.transitions).sum(), 22u64);
            let refused = document.calls()?.get("pwrite64").map_or(0, |call| call.errors);
            comparison.equal("errors", refused, 10);
            comparison.finish()
        })?;
    }
    Ok(())
}

/// Each call crosses twice, the last one, which ends the program, once: whichever hooks tell of it.
#[test]
fn transitions_are_the_same() -> Outcome {
    scenario("unseen/transitions", |s| {
        let mut comparison = Comparison::default();
        for (way, _) in WAYS {
            let tracer = Tracer::new(s)?.args(way).traced(require_program("true")?, &[] as &[&str]);
            let document = tracer.run()?.document()?;
            let transitions = document.number("totals.transitions.syscall")?;
            let calls: u64 = document.calls()?.values().map(|call| call.count).sum();
            comparison.equal(&format!("transitions {}", way.join(" ")), transitions, 2 * calls - 1);
        }
        comparison.finish()
    })
}

/// Which numbers the socket gives to sends only their entries show; without them nobody can say whether it copied.
#[test]
fn zerocopy_sends() -> Outcome {
    for (way, sees_entries) in [(&[] as &[&str], true), (&["--latency", "none"], false)] {
        scenario(&format!("unseen/MSG_ZEROCOPY {}", way.join(" ")), |s| {
            // The constants are of include/uapi/asm-generic/socket.h and include/linux/socket.h.
            let script = "import socket, threading\n\
                listener = socket.create_server(('127.0.0.1', 0))\n\
                out = socket.create_connection(listener.getsockname())\n\
                into, _ = listener.accept()\n\
                out.setsockopt(socket.SOL_SOCKET, 60, 1)\n\
                data = b'z' * 20000\n\
                for i in range(20):\n\
                \x20out.sendall(data, 0x4000000)\n\
                \x20left = len(data)\n\
                \x20while left: left -= len(into.recv(left))\n";
            let document = python(s, way, script, &[])?;
            let flows = document.list("flows")?;
            let sent = flows
                .iter()
                .find(|flow| flow.text("method").is_ok_and(|method| method == "send(MSG_ZEROCOPY)"))
                .context("no such flow")?;
            let mut comparison = Comparison::default();
            comparison.equal("payload", sent.number("payload_bytes")?, 400_000);
            if sees_entries {
                comparison.equal("sends", sent.number("zerocopy.sends")?, 20);
            } else {
                comparison.holds("nothing is said of sends", sent.get("zerocopy").is_err());
                let evidence = sent.text("evidence")?;
                comparison.holds("nor that they were copied", matches!(evidence, "modelled" | "unknown"));
            }
            comparison.finish()
        })?;
    }
    Ok(())
}
