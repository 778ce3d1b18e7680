//! MSG_ZEROCOPY: what the kernel itself reports of each send.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use zc_trace_tests::{
    comparison::Comparison,
    document::Document,
    scenario::{Outcome, require_root, scenario},
    tracer::binary,
};

/// Whoever receives on the same machine makes the kernel copy: every send is reported as copied.
#[test]
fn loopback_copies_after_all() -> Outcome {
    scenario("zerocopy/loopback", |s| {
        require_root()?;
        let json = s.path("demo.json");
        let mut command = std::process::Command::new(binary()?);
        command.args(["demo", "--size", "8M", "--chunk", "64K", "--json"]).arg(&json).stdout(Stdio::null());
        ensure!(s.run(&mut command)? == 0, "the demonstration failed");
        let all = Document::read(&json)?;
        let documents = all.list("demo")?;
        let zerocopy = documents
            .iter()
            .find(|document| document.text("method").is_ok_and(|method| method.contains("MSG_ZEROCOPY")));
        let zerocopy = zerocopy.context("the demonstration has no such method")?;
        let flows = zerocopy.list("flows")?;
        let flow = flows.iter().find(|flow| flow.get("zerocopy").is_ok());
        let flow = flow.context("no flow tells of such sends")?;
        let mut comparison = Comparison::default();
        // 8 MiB in chunks of 64 KiB; a send that does not take its whole chunk makes one more.
        let sends = flow.number("zerocopy.sends")?;
        ensure!((128..=256).contains(&sends), "{sends} sends");
        comparison.equal("copied", flow.number("zerocopy.copied")?, sends);
        comparison.equal("by_reference", flow.number("zerocopy.by_reference")?, 0);
        comparison.equal("not_reported", flow.number("zerocopy.not_reported")?, 0);
        comparison.equal("cpu_copied_bytes", flow.number("cpu_copied_bytes")?, 2 * 8 * 1024 * 1024);
        comparison.equal("payload_bytes", flow.number("payload_bytes")?, 8 * 1024 * 1024);
        let fallbacks = flow.list("fallbacks")?;
        ensure!(fallbacks.len() == 1, "one reason was to be expected: {fallbacks:?}");
        let fallback = fallbacks.first().context("no reason")?;
        comparison.equal("reason", fallback.text("reason")?, "loopback");
        comparison.equal("bytes that fell back", fallback.number("bytes")?, 8 * 1024 * 1024);
        comparison.equal("sends that fell back", fallback.number("operations")?, sends);
        comparison.finish()
    })
}
