//! Requests of Linux AIO, each with its bytes.

use anyhow::ensure;
use zc_trace_tests::{
    comparison::Comparison,
    gate::Gate,
    process::STEP,
    scenario::{Outcome, last_line, scenario},
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
