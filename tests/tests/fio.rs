//! fio's engines of plain calls and of mapped memory; those of io_uring and AIO are beside their own scenarios. fio's
//! report of bytes and requests is the referee.

use anyhow::{Context as _, Result};
use zc_trace_tests::{
    comparison::Comparison,
    document::{Document, Flow},
    scenario::{Outcome, require_root, scenario},
};

use crate::uring::fio;

fn truth(job: &serde_json::Value, side: &str, what: &str) -> Result<u64> {
    job[side][what].as_u64().with_context(|| format!("no {side}.{what}"))
}

fn bytes_and_operations(flows: &[Flow]) -> (u64, u64) {
    let carrying = || flows.iter().filter(|flow| flow.payload_bytes > 0);
    (carrying().map(|flow| flow.payload_bytes).sum(), carrying().map(|flow| flow.operations).sum())
}

/// Reads at random places by one engine, then writes. Not both at once: fio writes from the buffers that it reads into, and so
/// relays what it read.
fn by_calls(engine: &str, options: &[&str]) -> Outcome {
    for side in ["read", "write"] {
        scenario(&format!("fio/{engine} {side}"), |s| {
            require_root()?;
            let pattern = format!("--rw=rand{side}");
            let options: Vec<&str> = options.iter().copied().chain([pattern.as_str()]).collect();
            let (document, job) = fio(s, engine, &options)?;
            let file = s.path("data");
            let flows =
                if side == "read" { document.flows_from(&file)? } else { document.flows_to(&file)? };
            let (bytes, operations) = bytes_and_operations(&flows);
            let mut comparison = Comparison::default();
            comparison.equal("bytes", bytes, truth(&job, side, "io_bytes")?);
            comparison.equal("requests", operations, truth(&job, side, "total_ios")?);
            comparison.equal("copy_disagreements", document.number("totals.copy_disagreements")?, 0);
            let agree = document.get("totals.kernel_accounts.agree")?.as_bool().context("no truth value")?;
            comparison.holds("the kernel's accounts agree", agree);
            comparison.finish()
        })?;
    }
    Ok(())
}

#[test]
fn sync() -> Outcome {
    by_calls("sync", &["--bs=4k"])
}

#[test]
fn psync() -> Outcome {
    by_calls("psync", &["--bs=16k"])
}

#[test]
fn psync_direct() -> Outcome {
    by_calls("psync", &["--bs=16k", "--direct=1"])
}

fn faults_on(document: &Document, path: &str) -> Result<u64> {
    let of_file = |found: &&Document| found.get("file.path").is_ok_and(|found| found == path);
    let mapped = document.list("mapped_files")?;
    mapped.iter().filter(of_file).map(|found| found.number("user_faults")).sum()
}

/// No call moves these bytes: the program touches the file's pages by itself, and faults on each that is not mapped yet.
#[test]
fn mmap() -> Outcome {
    scenario("fio/mmap", |s| {
        require_root()?;
        let (document, job) = fio(s, "mmap", &["--rw=read", "--bs=4k"])?;
        let file = s.path("data");
        let mut comparison = Comparison::default();
        comparison.equal("fio read", truth(&job, "read", "io_bytes")?, 8 << 20);
        comparison.equal("payload by calls", bytes_and_operations(&document.flows_from(&file)?).0, 0);
        let faults = faults_on(&document, file.to_str().context("the path is no text")?)?;
        // One for each page of 4 KiB at most, and one for 2 MiB at least.
        comparison.between("faults on the file", 4, faults, 2048);
        comparison.finish()
    })
}
