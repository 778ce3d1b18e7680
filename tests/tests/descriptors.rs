//! The table of descriptors beside `/proc/PID/fd`: what is open is in it, what is in it is open, and each number stands for
//! what the kernel says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use zc_trace_tests::{
    accounts::state,
    comparison::Comparison,
    document::Document,
    gate::Gate,
    process::{STEP, wait_until},
    scenario::{Outcome, Scenario, last_line, scenario},
    tracer::Tracer,
};

/// `O_CLOEXEC` in fdinfo.
const O_CLOEXEC: u32 = 0o2_000_000;

/// A descriptor as `/proc` has it.
#[derive(Debug)]
struct Referee {
    link: String,
    close_on_exec: bool,
}

fn referee(pid: u32) -> Result<BTreeMap<i64, Referee>> {
    let mut table = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let fd = entry.file_name().to_string_lossy().parse::<i64>()?;
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}"))?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).context("no flags")?;
        let close_on_exec = u32::from_str_radix(flags.trim(), 8)? & O_CLOEXEC != 0;
        let link = fs::read_link(entry.path())?.to_string_lossy().into_owned();
        table.insert(fd, Referee { link, close_on_exec });
    }
    Ok(table)
}

/// Local ports of internet sockets by inode, of this network namespace.
fn ports() -> Result<BTreeMap<String, u16>> {
    let mut ports = BTreeMap::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        for line in fs::read_to_string(format!("/proc/net/{table}"))?.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(inode)) = (fields.get(1), fields.get(9)) else { continue };
            let (_, port) = local.rsplit_once(':').context("no port")?;
            ports.insert((*inode).to_owned(), u16::from_str_radix(port, 16)?);
        }
    }
    Ok(ports)
}

fn entries(document: &Document, pid: u32) -> Result<Vec<Document>> {
    let all = document.list("descriptors")?.into_iter();
    Ok(all.filter(|entry| entry.number("pid").is_ok_and(|found| found == u64::from(pid))).collect())
}

/// Every open descriptor is in the table and stands for the same; nothing else is.
fn compare(
    comparison: &mut Comparison,
    document: &Document,
    pid: u32,
    truth: &BTreeMap<i64, Referee>,
    ports: &BTreeMap<String, u16>,
) -> Result<()> {
    let entries = entries(document, pid)?;
    let open: Vec<&Document> =
        entries.iter().filter(|entry| entry.get("open").ok() != Some(&Value::Bool(false))).collect();
    let numbers = |open: &[&Document]| -> Result<BTreeSet<i64>> {
        open.iter().map(|entry| entry.get("fd")?.as_i64().context("no number")).collect()
    };
    comparison.equal(&format!("{pid}: open"), numbers(&open)?, truth.keys().copied().collect());
    comparison.equal(&format!("{pid}: one entry for each"), open.len(), truth.len());
    for entry in open {
        let fd = entry.get("fd")?.as_i64().context("no number")?;
        let Some(truth) = truth.get(&fd) else { continue };
        let what = format!("{pid}: {fd} ({})", truth.link);
        comparison.equal(&format!("{what}: open"), entry.get("open")?, &Value::Bool(true));
        let close_on_exec = entry.get("close_on_exec")?.as_bool();
        comparison.equal(&format!("{what}: close_on_exec"), close_on_exec, Some(truth.close_on_exec));
        let id = entry.text("endpoint.id").unwrap_or_default();
        let inode = id.rsplit(':').next().unwrap_or_default();
        if let Some(rest) = truth.link.strip_prefix("socket:[") {
            comparison.equal(&format!("{what}: inode"), inode, rest.trim_end_matches(']'));
            if let Some(port) = ports.get(inode) {
                let address = entry.text("endpoint.address").unwrap_or_default();
                let shown = address.contains(&format!(":{port} ")) || address.ends_with(&format!(":{port}"));
                comparison.holds(&format!("{what}: {address} has port {port}"), shown);
            }
        } else {
            let path = entry.text("endpoint.path").unwrap_or_default();
            comparison.equal(&format!("{what}: path"), path, truth.link.trim_end_matches(" (deleted)"));
        }
    }
    Ok(())
}

/// The workload at its second stop, attached at its first: its process ids and what it said.
fn stopped(s: &Scenario, gate: &Gate) -> Result<(Vec<u32>, Value)> {
    wait_until(STEP, "the workload to stop", || Ok(state(gate.pid())? == 'T'))?;
    let said = last_line(&gate.output()?)?;
    let children = said["children"].as_array().context("no children")?;
    let mut pids = vec![gate.pid()];
    for child in children {
        pids.push(u32::try_from(child.as_u64().context("no pid")?)?);
    }
    let sharing = u32::try_from(said["sharing"].as_u64().context("no pid")?)?;
    for pid in pids.iter().chain([&sharing]) {
        wait_until(STEP, "its children to stop", || Ok(state(*pid)? == 'T'))?;
    }
    s.note(said.to_string());
    Ok((pids, said))
}

#[test]
fn every_open_descriptor() -> Outcome {
    scenario("descriptors/beside /proc", |s| {
        let gate = Gate::inside(s, workload!("open-files"), &[s.folder()])?;
        let trace = Tracer::new(s)?.arg("-f").pid(gate.pid()).start()?;
        let before = referee(gate.pid())?;
        gate.open()?;
        let (pids, said) = stopped(s, &gate)?;
        let truth: Vec<_> = pids.iter().map(|pid| referee(*pid)).collect::<Result<_>>()?;
        let ports = ports()?;
        let document = trace.stop()?.document()?;
        let mut comparison = Comparison::default();
        for (pid, truth) in pids.iter().zip(&truth) {
            compare(&mut comparison, &document, *pid, truth, &ports)?;
        }
        let open: usize = truth.iter().map(BTreeMap::len).sum();
        comparison.equal("descriptor_summary.open", document.number("descriptor_summary.open")?, open as u64);
        let sharing = said["sharing"].as_u64().context("no pid")?;
        comparison.equal(
            "entries of the process that shares",
            entries(&document, u32::try_from(sharing)?)?.len(),
            0,
        );
        for entry in entries(&document, gate.pid())? {
            let expected =
                if entry.get("open")? == &Value::Bool(true) { vec![Value::from(sharing)] } else { vec![] };
            comparison.equal("shared_with", entry.get("shared_with")?.as_array(), Some(&expected));
        }
        // A descriptor that is passed by a message is made by no call that returns its number: nobody but /proc tells of
        // it, in the process that got it and in its child. All else was right before.
        comparison.equal("descriptor_summary.corrected", document.number("descriptor_summary.corrected")?, 2);
        let entries = entries(&document, gate.pid())?;
        let of = |fd: i64| entries.iter().filter(move |entry| entry.get("fd").ok() == Some(&Value::from(fd)));
        let passed = said["passed"].as_i64().context("no number")?;
        let opened: Vec<&str> = of(passed).map(|entry| entry.text("opened")).collect::<Result<_>>()?;
        comparison.equal("passed: opened", opened, vec!["not_seen"]);
        // A number that is used anew is two entries.
        let reused = said["reused"].as_i64().context("no number")?;
        let mut lives = Vec::new();
        for entry in of(reused) {
            let name = entry.text("endpoint.path")?.rsplit('/').next().unwrap_or_default().to_owned();
            let open = entry.get("open")?.as_bool();
            lives.push((name, open, entry.text("opened")?.to_owned(), entry.number("read_bytes")?));
        }
        lives.sort();
        let first = ("first".to_owned(), Some(false), "before_attach".to_owned(), 10);
        let second = ("second".to_owned(), Some(true), "traced".to_owned(), 20);
        comparison.equal("the number that is used anew", lives, vec![first, second]);
        // What was open at the gate and still is came from before.
        for (fd, earlier) in &before {
            let now = truth.first().and_then(|truth| truth.get(fd));
            if now.is_some_and(|now| now.link == earlier.link) {
                let opened =
                    of(*fd).any(|entry| entry.text("opened").is_ok_and(|how| how == "before_attach"));
                comparison.holds(&format!("{fd} was open before"), opened);
            }
        }
        comparison.finish()
    })
}

#[test]
fn open_and_idle() -> Outcome {
    scenario("descriptors/idle", |s| {
        let gate = Gate::inside(s, workload!("open-files"), &[s.folder()])?;
        let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
        let truth = referee(gate.pid())?;
        let ports = ports()?;
        let document = trace.stop()?.document()?;
        let mut comparison = Comparison::default();
        compare(&mut comparison, &document, gate.pid(), &truth, &ports)?;
        comparison.equal("descriptor_summary.corrected", document.number("descriptor_summary.corrected")?, 0);
        for entry in entries(&document, gate.pid())? {
            comparison.equal("opened", entry.text("opened")?, "before_attach");
            comparison.equal("operations", entry.number("operations")?, 0);
        }
        comparison.finish()
    })
}

#[test]
fn by_path_from_the_start() -> Outcome {
    scenario("descriptors/started", |s| {
        let stdin = s.file("stdin", 8192)?;
        let tracer = Tracer::new(s)?.arg("-f").stdin(File::open(&stdin)?);
        let ended = tracer.traced(workload!("descriptors"), &[s.folder()]).run()?;
        let document = ended.document()?;
        let report = last_line(&String::from_utf8(ended.stdout)?)?;
        let mut comparison = Comparison::default();
        for (which, field) in [("read", "read_bytes"), ("written", "written_bytes")] {
            let truth = report["more"][which].as_object().with_context(|| format!("no {which}"))?;
            for (path, bytes) in truth {
                let mut sum = 0;
                for entry in document.list("descriptors")? {
                    if entry.get("endpoint.path")?.as_str() == Some(path) {
                        sum += entry.number(field)?;
                    }
                }
                comparison.equal(&format!("{which}: {path}"), sum, bytes.as_u64().context("no number")?);
            }
        }
        let pid = u32::try_from(document.number("target.pid")?)?;
        let entries = entries(&document, pid)?;
        let stdin =
            entries.iter().find(|entry| entry.number("fd").is_ok_and(|fd| fd == 0)).context("no stdin")?;
        comparison.equal("standard input: opened", stdin.text("opened")?, "before_attach");
        comparison.equal("standard input: read_bytes", stdin.number("read_bytes")?, 1000);
        comparison.equal("descriptor_summary.open", document.number("descriptor_summary.open")?, 0);
        // The one that was passed by a message.
        comparison.equal("descriptor_summary.corrected", document.number("descriptor_summary.corrected")?, 1);
        let operations = document.number("descriptor_summary.all.operations")?;
        ensure!(operations > 0, "no operation went through a descriptor");
        comparison.finish()
    })
}
