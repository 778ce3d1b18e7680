//! Instruction counts under callgrind against a committed budget: a guard that a busy machine does not mislead.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use xtask::{capture, environment};

use crate::workspace;

/// By so many percent a count may differ from its budget: compilers differ by less, and a change that matters by more.
const TOLERANCE: u64 = 10;

const HEADING: &str = "# Instructions of 10,000 records decoded, or operations taken in by the model, under callgrind: case, \
    number.\n# `cargo xtask test` fails when a number is exceeded by more than 10 %. Written by `cargo xtask bench instructions \
    --accept`.\n";

/// What is to be done.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Request {
    /// Make what is counted now the budget.
    #[arg(long)]
    accept: bool,
}

type Counts = BTreeMap<String, u64>;

/// What came of the comparison.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Everything is within the budget; what could be lowered.
    Within(Vec<String>),
    /// These exceed it, or have none.
    Exceeded(Vec<String>),
}

/// Counts, shows, and compares or accepts.
pub(crate) fn run(request: &Request) -> anyhow::Result<()> {
    let counts = count()?;
    for (case, number) in &counts {
        println!("{case:<28} {number:>12}  {:>6} an operation", number / 10_000);
    }
    if request.accept {
        fs::write(budget_file(), written(&counts)).context("cannot write the budget")?;
        println!("wrote {}", budget_file().display());
        return Ok(());
    }
    match compare(&budget()?, &counts) {
        Verdict::Within(lower) => lower.iter().for_each(|sentence| println!("{sentence}")),
        Verdict::Exceeded(sentences) => bail!("{}", sentences.join("\n")),
    }
    Ok(())
}

/// Whether callgrind is here.
pub(crate) fn can_count() -> bool {
    environment::find_program("valgrind").is_some()
}

/// Counts, and compares with the budget.
pub(crate) fn check() -> anyhow::Result<Verdict> {
    Ok(compare(&budget()?, &count()?))
}

fn budget_file() -> PathBuf {
    workspace::root().join("tests/instruction-budget.txt")
}

fn budget() -> anyhow::Result<Counts> {
    let file = budget_file();
    read(&fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?)
}

/// Counts the instructions of every case.
fn count() -> anyhow::Result<Counts> {
    if !can_count() {
        bail!("instructions cannot be counted because there is no valgrind; `cargo xtask setup` brings it");
    }
    let build =
        ["build", "--release", "--quiet", "--package", "zc-trace-tests", "--features", "instructions"];
    let mut command = workspace::cargo(&build);
    command.args(["--bin", "instructions"]);
    let built = capture::run(command)?;
    if !built.status.success() {
        bail!("the program whose instructions are counted was not built:\n{}", built.text.trim_end());
    }
    let program = workspace::target_dir()?.join("release/instructions");
    let cases = capture::answer(&mut Command::new(&program)).context("the program lists no cases")?;
    cases.lines().map(|case| Ok((case.to_owned(), count_one(&program, case)?))).collect()
}

fn count_one(program: &Path, case: &str) -> anyhow::Result<u64> {
    let mut command = Command::new("valgrind");
    // Only what the function `measured` does, which comes in as many forms as it is called with.
    command.args([
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--toggle-collect=instructions::measured*",
    ]);
    command.arg(program).arg(case);
    let captured = capture::run(command)?;
    collected(&captured.text)
        .filter(|number| captured.status.success() && *number > 0)
        .with_context(|| format!("callgrind counted nothing of {case}: {}", captured.tail(3)))
}

/// `==PID== Collected : NUMBER`
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

fn compare(budget: &Counts, counts: &Counts) -> Verdict {
    let accept = "`cargo xtask bench instructions --accept` makes it the budget, if it is worth it";
    let (mut exceeded, mut lower) = (Vec::new(), Vec::new());
    for (case, number) in counts {
        let Some(allowed) = budget.get(case) else {
            exceeded.push(format!("{case} has no budget; {accept}"));
            continue;
        };
        let change = (*number as f64 / *allowed as f64 - 1.0) * 100.0;
        if *number > share(*allowed, 100 + TOLERANCE) {
            exceeded.push(format!(
                "{case} takes {number} instructions, {change:.1} % more than {allowed}; {accept}"
            ));
        } else if *number < share(*allowed, 100 - TOLERANCE) {
            lower.push(format!(
                "{case} takes {number} instructions, {:.1} % less than {allowed}; {accept}",
                -change
            ));
        }
    }
    let gone = budget.keys().filter(|case| !counts.contains_key(*case));
    exceeded.extend(gone.map(|case| format!("{case} is in the budget and is not counted; {accept}")));
    if exceeded.is_empty() { Verdict::Within(lower) } else { Verdict::Exceeded(exceeded) }
}

fn share(number: u64, percent: u64) -> u64 {
    number.saturating_mul(percent) / 100
}

fn read(text: &str) -> anyhow::Result<Counts> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let (case, number) =
                line.rsplit_once(char::is_whitespace).with_context(|| format!("{line:?} has no number"))?;
            Ok((case.trim().to_owned(), number.parse().with_context(|| format!("{line:?} has no number"))?))
        })
        .collect()
}

fn written(counts: &Counts) -> String {
    let lines = counts.iter().map(|(case, number)| format!("{case:<28} {number:>12}\n"));
    std::iter::once(HEADING.to_owned()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(entries: &[(&str, u64)]) -> Counts {
        entries.iter().map(|(case, number)| ((*case).to_owned(), *number)).collect()
    }

    #[test]
    fn more_than_the_tolerance_exceeds_the_budget() {
        let budget = counts(&[("a", 1000), ("b", 1000)]);
        assert_eq!(compare(&budget, &counts(&[("a", 1100), ("b", 900)])), Verdict::Within(Vec::new()));
        let Verdict::Exceeded(sentences) = compare(&budget, &counts(&[("a", 1101), ("b", 1)])) else {
            panic!("not exceeded");
        };
        assert!(
            sentences[0].starts_with("a takes 1101 instructions, 10.1 % more than 1000;"),
            "{sentences:?}"
        );
        assert!(
            matches!(compare(&budget, &counts(&[("a", 1), ("b", 1000)])), Verdict::Within(lower) if lower.len() == 1)
        );
    }

    #[test]
    fn what_has_no_budget_or_is_gone_is_told() {
        let verdict = compare(&counts(&[("old", 1)]), &counts(&[("new", 1)]));
        assert!(matches!(verdict, Verdict::Exceeded(sentences) if sentences.len() == 2));
    }

    #[test]
    fn the_budget_reads_as_it_was_written() {
        let counts = counts(&[("decode/operation", 5_000_000), ("model/relay with details", 1)]);
        assert_eq!(read(&written(&counts)).unwrap(), counts);
        assert!(read("nonsense").is_err());
    }

    #[test]
    fn what_callgrind_says_is_read() {
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 1234567\n==1== \n"), Some(1_234_567));
        assert_eq!(collected("==1== error"), None);
    }
}
