//! Findings: told where there is waste, with the figures of the truth, and not told where there is none.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    comparison::Comparison,
    document::Document,
    scenario::{Outcome, Scenario, require_program, scenario},
    tracer::{Ended, Tracer},
};

const MIB: usize = 1 << 20;

fn rules(document: &Document) -> Result<Vec<String>> {
    document.list("findings")?.iter().map(|finding| Ok(finding.text("rule")?.to_owned())).collect()
}

/// The only finding, which must be of that rule.
fn only(document: &Document, rule: &str) -> Result<Document> {
    let found = rules(document)?;
    ensure!(found == [rule], "findings are {found:?} instead of {rule}");
    document.list("findings")?.into_iter().next().context("no finding")
}

fn figure(finding: &Document, name: &str) -> Result<u64> {
    let figures = finding.list("figures")?;
    let named = figures.iter().find(|figure| figure.text("name").is_ok_and(|found| found == name));
    named.with_context(|| format!("no figure {name:?} in {finding:?}"))?.number("value")
}

fn traced(scenario: &Scenario, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Result<Ended> {
    Tracer::new(scenario)?.traced(program, arguments).run()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is no text")
}

#[test]
fn a_relay_is_told_to_use_sendfile() -> Outcome {
    scenario("findings/relay", |s| {
        let (size, chunk) = (8 * MIB, 64 << 10);
        let file = s.file("served", size)?;
        let chunk_text = chunk.to_string();
        let ended = traced(s, workload!("relay"), &["read+write", text(&file)?, &chunk_text])?;
        let document = ended.document()?;
        let finding = only(&document, "read-write-relay")?;
        let (bytes, calls) = (size as u64, (size / chunk) as u64 * 2);
        let mut comparison = Comparison::default();
        comparison.equal("flows", figure(&finding, "flows")?, 1);
        comparison.equal("payload", figure(&finding, "payload")?, bytes);
        comparison.equal("copied into the program", figure(&finding, "copied into the program")?, bytes);
        comparison.equal("copied out of it", figure(&finding, "copied out of it")?, bytes);
        comparison.equal("transitions", figure(&finding, "transitions")?, 2 * calls);
        comparison.equal("copies saved", finding.number("saving.cpu_copied_bytes")?, 2 * bytes);
        comparison.equal("transitions saved", finding.number("saving.transitions")?, calls);
        comparison.equal("evidence", finding.text("saving.evidence")?, "modelled");
        comparison.holds("it names sendfile", finding.text("advice")?.contains("sendfile(2)"));
        comparison.equal("source", finding.text("applies_to.source.path")?, text(&file)?);
        comparison.holds("the report tells it", ended.stderr.contains("sendfile(2)"));
        comparison.finish()
    })
}

#[test]
fn what_needs_no_advice_gets_none() -> Outcome {
    scenario("findings/none", |s| {
        let file = s.file("served", 8 * MIB)?;
        let chunk = (64 << 10).to_string();
        let copy = s.path("copy");
        for (program, arguments) in [
            (Path::new(workload!("relay")), ["sendfile", text(&file)?, &chunk]),
            (&require_program("cp")?, ["--reflink=auto", text(&file)?, text(&copy)?]),
        ] {
            let document = traced(s, program, &arguments)?.document()?;
            ensure!(document.number("totals.payload_bytes")? >= 8 << 20, "{arguments:?} moved nothing");
            let found = rules(&document)?;
            ensure!(found.is_empty(), "{}: {found:?}", program.display());
        }
        Ok(())
    })
}

#[test]
fn bytes_one_by_one_are_told() -> Outcome {
    scenario("findings/small calls", |s| {
        let bytes = 20_000;
        let (file, copy) = (s.file("in", bytes)?, s.path("out"));
        let [from, to] = [format!("if={}", text(&file)?), format!("of={}", text(&copy)?)];
        let document = Tracer::new(s)?
            .args(&["--detail", "all"])
            .traced(require_program("dd")?, &[&from, &to, "bs=1", "status=none"])
            .run()?
            .document()?;
        let found = rules(&document)?;
        ensure!(found == ["small-calls"], "{found:?}");
        let finding = document.list("findings")?.into_iter().next().context("no finding")?;
        let mut comparison = Comparison::default();
        // Of what is summed in a storm no read is joined to a write, so the relay shows only where each is told.
        // That copy_file_range would halve the calls is true as well, but they are the same calls.
        comparison.holds(
            "the relay is named",
            finding.get("also")?.get(0).is_some_and(|also| also == "read-write-relay"),
        );
        comparison.equal("payload", figure(&finding, "payload")?, bytes as u64);
        // dd reads once more, for the end.
        comparison.between("calls", 2 * bytes as u64, figure(&finding, "calls")?, 2 * bytes as u64 + 1);
        let transitions = figure(&finding, "transitions")?;
        comparison.between("saved", transitions - 10, finding.number("saving.transitions")?, transitions);
        comparison.finish()
    })
}

#[test]
fn polling_by_trial_is_told() -> Outcome {
    scenario("findings/EAGAIN storm", |s| {
        let ended = traced(s, workload!("storm"), &["5000", "again"])?;
        let finding = only(&ended.document()?, "eagain-storm")?;
        ensure!(figure(&finding, "calls that failed with EAGAIN")? == 5_000, "{finding:?}");
        // What starting a program reads.
        let useful = figure(&finding, "calls that did something")?;
        ensure!(useful < 100, "{useful} useful reads");
        ensure!(finding.number("saving.transitions")? == 2 * (5_000 - useful), "{finding:?}");
        // As many reads that do something are none.
        let document = traced(s, workload!("storm"), &["5000"])?.document()?;
        let found = rules(&document)?;
        ensure!(!found.contains(&"eagain-storm".to_owned()), "{found:?}");
        Ok(())
    })
}
