//! Requests of Linux AIO, each with its bytes.

use anyhow::{Context as _, ensure};
use zc_trace_tests::{
    comparison::Comparison,
    document::Document,
    gate::Gate,
    process::STEP,
    scenario::{EXT4, Outcome, last_line, require_file_system, scenario},
    tracer::Tracer,
    workload::reported_calls,
};

use crate::uring::{compare, compare_fio, fio};

fn every_kind(name: &str, options: &[&str]) -> Outcome {
    scenario(name, |s| {
        let ended = Tracer::new(s)?.args(options).traced(workload!("aio"), &[s.folder()]).run()?;
        compare(&ended.document()?, &last_line(&String::from_utf8(ended.stdout)?)?)
    })
}

#[test]
fn started() -> Outcome {
    every_kind("aio/started", &[])
}

#[test]
fn in_the_raw_form() -> Outcome {
    every_kind("aio/raw", &["--form", "raw"])
}

#[test]
fn attached() -> Outcome {
    scenario("aio/attached", |s| {
        let mut gate = Gate::inside(s, workload!("aio"), &[s.folder()])?;
        let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
        gate.open()?;
        let status = gate.process().reap(STEP)?;
        ensure!(status.success(), "{status}");
        compare(&trace.end()?.document()?, &last_line(&gate.output()?)?)
    })
}

/// What a buffered request copies is counted where hooks do.
#[test]
fn copies() -> Outcome {
    scenario("aio/copies", |s| {
        let ended = Tracer::new(s)?.traced(workload!("aio"), &[s.folder()]).run()?;
        let document = ended.document()?;
        let hook = document.get("evidence")?.get("copies.page_cache_to_user").context("no such copies")?;
        let evidence = hook.get("evidence").and_then(serde_json::Value::as_str).context("no evidence")?;
        let mut flows = document.flows_from(&s.path("from"))?;
        flows.retain(|flow| flow.method == "read" && flow.payload_bytes > 0);
        let mut comparison = Comparison::default();
        comparison.holds("there are flows from the file", !flows.is_empty());
        let on_ext4 = require_file_system(s.folder(), "ext4", EXT4).is_ok();
        for flow in flows {
            comparison.equal("copied", flow.cpu_copied_bytes, Some(flow.payload_bytes));
            if on_ext4 {
                comparison.equal("evidence", flow.evidence.as_str(), evidence);
            }
        }
        comparison.finish()
    })
}

/// What completes without a call is said to be missing.
#[test]
fn taken_out_of_the_ring() -> Outcome {
    scenario("aio/taken out of the ring", |s| {
        let arguments = [s.folder().as_os_str(), "unseen".as_ref()];
        let ended = Tracer::new(s)?.traced(workload!("aio"), &arguments).run()?;
        let document = ended.document()?;
        let truth = reported_calls(&last_line(&String::from_utf8(ended.stdout)?)?)?;
        let mut comparison = Comparison::default();
        let untraced = document.number("totals.losses.untraced_submissions")?;
        comparison.equal("losses.untraced_submissions", untraced, 1);
        comparison.equal("aio:pread", document.requests()?.get("aio:pread"), truth.get("aio:pread"));
        comparison.holds("copies are not known", document.get("totals.cpu_copied_bytes")?.is_null());
        comparison.finish()
    })
}

/// zc-trace looks at a request before the kernel does, at pages that are not there yet. That look is no fault of the target.
fn looks(name: &str, options: &[&str]) -> Outcome {
    scenario(name, |s| {
        let arguments = [s.folder().as_os_str(), "mapped".as_ref()];
        let ended = Tracer::new(s)?.args(options).traced(workload!("aio"), &arguments).run()?;
        let document = ended.document()?;
        let report = last_line(&String::from_utf8(ended.stdout)?)?;
        let of = |what: &str| report["more"][what].as_u64().with_context(|| format!("no {what}"));
        let (faults, pages) = (of("faults")?, of("pages")?);
        ensure!(faults >= pages, "the pages were there before: {faults} faults");
        let path = s.path("requests");
        let of_file =
            |found: &&Document| found.get("file.path").is_ok_and(|found| found.as_str() == path.to_str());
        let mapped = document.list("mapped_files")?;
        let found = mapped.iter().find(of_file).context("no faults on the file")?;
        let mut comparison = Comparison::default();
        comparison.equal("user_faults", found.number("user_faults")?, 0);
        // As many as the kernel has accounted: each page once, and where the file system wants to know of it once more when the
        // kernel writes the request's key.
        comparison.equal("kernel_faults", found.number("kernel_faults")?, faults);
        comparison.finish()
    })
}

#[test]
fn looks_are_no_faults() -> Outcome {
    looks("aio/looks are no faults", &[])
}

#[test]
fn looks_are_no_faults_in_the_raw_form() -> Outcome {
    looks("aio/looks are no faults, raw", &["--form", "raw"])
}

#[test]
fn fio_by_aio() -> Outcome {
    let variants: [(&str, &[&str]); 2] = [
        ("buffered", &["--rw=randrw", "--bs=4k", "--iodepth_batch=8"]),
        ("direct", &["--rw=randrw", "--bs=16k", "--direct=1"]),
    ];
    for (name, options) in variants {
        scenario(&format!("aio/fio {name}"), |s| {
            let (document, job) = fio(s, "libaio", options)?;
            compare_fio(&document, &job, &["aio:pread"], &["aio:pwrite"])
        })?;
    }
    Ok(())
}
