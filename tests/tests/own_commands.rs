//! `zc-trace demo`, `doctor` and `--help`.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use zc_trace_tests::{
    comparison::Comparison,
    document::Document,
    scenario::{Outcome, require_root, scenario},
    tracer::Tracer,
};

#[test]
fn demo() -> Outcome {
    scenario("own commands/demo", |s| {
        require_root()?;
        let json = s.path("demo.json");
        let ended =
            Tracer::bare(s)?.args(&["demo", "--size", "8M", "--chunk", "64K", "--json"]).arg(&json).run()?;
        ended.ended_with(0)?;
        ensure!(!ended.stdout.is_empty(), "it prints nothing");
        let demo = Document::read(&json)?.list("demo")?;
        let mut comparison = Comparison::default();
        let mut methods = BTreeMap::new();
        for document in &demo {
            document.is_coherent().with_context(|| format!("{:?}", document.text("method")))?;
            methods.insert(document.text("method")?.to_owned(), document.clone());
        }
        comparison.equal("methods", demo.len(), 5);
        comparison.equal("different methods", methods.len(), 5);
        let size = 8 << 20;
        for (method, amplification) in
            [("read+write", 2.0), ("sendfile", 0.0), ("mmap+write", 1.0), ("splice", 0.0)]
        {
            let document =
                methods.get(method).with_context(|| format!("no {method} among {:?}", methods.keys()))?;
            let flows = document.flows()?;
            let flow = flows.iter().find(|flow| {
                flow.method == method && flow.source.kind == "file" && flow.sink.kind == "socket"
            });
            let flow =
                flow.with_context(|| format!("{method} has no flow from a file to a socket: {flows:?}"))?;
            comparison.equal(&format!("payload by {method}"), flow.payload_bytes, size);
            comparison.equal(
                &format!("amplification of {method}"),
                flow.copy_amplification,
                Some(amplification),
            );
        }
        let zero_copy = methods.keys().find(|method| method.contains("MSG_ZEROCOPY"));
        comparison.holds("MSG_ZEROCOPY is the fifth", zero_copy.is_some());
        comparison.finish()
    })
}

#[test]
fn doctor() -> Outcome {
    scenario("own commands/doctor", |s| {
        require_root()?;
        let ended = Tracer::bare(s)?.arg("doctor").run()?;
        ended.ended_with(0)?;
        let text = String::from_utf8(ended.stdout)?;
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        ensure!(text.contains(&release), "it does not tell the kernel's release {release}: {text}");
        for word in ["BTF", "measured"] {
            ensure!(text.contains(word), "it does not speak of {word}: {text}");
        }
        Ok(())
    })
}

#[test]
fn help_and_version() -> Outcome {
    scenario("own commands/help", |s| {
        let ended = Tracer::bare(s)?.arg("--help").run()?;
        ended.ended_with(0)?;
        let text = String::from_utf8(ended.stdout)?;
        for option in [
            "--pid",
            "--follow",
            "--json",
            "--ndjson",
            "--summary",
            "--interval",
            "--ring-size",
            "demo",
            "doctor",
        ] {
            ensure!(text.contains(option), "--help does not name {option}: {text}");
        }
        let ended = Tracer::bare(s)?.arg("--version").run()?;
        ended.ended_with(0)?;
        ensure!(ended.stdout.starts_with(b"zc-trace "), "{}", String::from_utf8_lossy(&ended.stdout));
        Ok(())
    })
}
