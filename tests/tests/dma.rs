//! What devices move: block I/O in the context of calls, and late.

use std::{fs::File, os::fd::AsRawFd as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    comparison::Comparison,
    document::{Document, Flow},
    scenario::{EXT4, Outcome, Scenario, require_file_system, require_program, scenario},
    tracer::Tracer,
};

const SIZE: usize = 8 << 20;

/// A file on a real disk with nothing of it in the page cache.
fn cold_file(scenario: &Scenario, bytes: usize) -> Result<std::path::PathBuf> {
    require_file_system(scenario.folder(), "ext4", EXT4)?;
    let path = scenario.file("from", bytes)?;
    let file = File::open(&path)?;
    // SAFETY: an advice on a descriptor that is open.
    let outcome = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    ensure!(outcome == 0, "posix_fadvise: {}", std::io::Error::from_raw_os_error(outcome));
    Ok(path)
}

/// The one flow that carries payload.
fn only(mut flows: Vec<Flow>) -> Result<Flow> {
    flows.retain(|flow| flow.payload_bytes > 0);
    ensure!(flows.len() == 1, "one flow was to be expected: {flows:?}");
    flows.pop().context("no flow")
}

fn dd(scenario: &Scenario, from: &Path, to: &Path, more: &[&str]) -> Result<Document> {
    let operands = [format!("if={}", from.display()), format!("of={}", to.display())];
    let mut arguments: Vec<&str> = operands.iter().map(String::as_str).collect();
    arguments.extend(["status=none"]);
    arguments.extend(more);
    Tracer::new(scenario)?.traced(require_program("dd")?, &arguments).run()?.document()
}

#[test]
fn a_cold_file_is_read_by_dma_once() -> Outcome {
    scenario("dma/cold and warm read", |s| {
        let file = cold_file(s, SIZE)?;
        let mut comparison = Comparison::default();
        for (what, expected) in [("cold", SIZE as u64), ("warm", 0)] {
            let document = dd(s, &file, Path::new("/dev/null"), &["bs=64K"])?;
            let flow = only(document.flows_from(&file)?)?;
            comparison.equal(&format!("{what}: payload"), flow.payload_bytes, SIZE as u64);
            comparison.equal(
                &format!("{what}: device → page cache"),
                flow.copied("device", "page_cache", "dma"),
                expected,
            );
        }
        comparison.finish()
    })
}
