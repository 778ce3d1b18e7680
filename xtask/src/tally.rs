//! Reads from what test programs say how many tests passed, failed and were skipped.

use std::fmt;

/// What became of the tests of one run, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Ran and held.
    pub(crate) passed: usize,
    /// Ran and did not hold.
    pub(crate) failed: usize,
    /// `NAME: reason`, each.
    pub(crate) skipped: Vec<String>,
}

impl Tally {
    /// Reads the output of `cargo test`. A scenario that cannot run here says `skipped: NAME: reason` and passes, because
    /// libtest knows no other way out; it is not counted as passed.
    pub(crate) fn read(output: &str) -> Self {
        let mut tally = Self::default();
        for line in output.lines() {
            if let Some(skipped) = skipped(line) {
                tally.skipped.push(skipped);
            }
            tally.passed += count(line, " passed;");
            tally.failed += count(line, " failed;");
        }
        let passed_by_skipping = tally.skipped.iter().filter(|skipped| !skipped.ends_with(IGNORED)).count();
        tally.passed = tally.passed.saturating_sub(passed_by_skipping);
        tally
    }

    /// The tests of `output`, which lists them, all skipped for the same reason.
    pub(crate) fn skip_listed(output: &str, reason: &str) -> Self {
        let names = output.lines().filter_map(|line| line.strip_suffix(": test"));
        Self { skipped: names.map(|name| format!("{name}: {reason}")).collect(), ..Self::default() }
    }

    /// Adds what became of other tests.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }

    /// That many of the failed ones have passed since.
    pub(crate) fn pass(&mut self, tests: usize) {
        self.failed = self.failed.saturating_sub(tests);
        self.passed += tests;
    }

    /// Whether there was any test at all.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What libtest says about the tests that failed.
pub(crate) fn failures(output: &str) -> &str {
    output.find("\nfailures:\n").map_or("", |at| output[at..].trim())
}

/// The names of the tests that failed: libtest lists them, indented, below its last `failures:`.
pub(crate) fn failed(output: &str) -> Vec<String> {
    let Some(at) = output.rfind("\nfailures:\n") else { return Vec::new() };
    let list = output[at..].lines().skip_while(|line| !line.starts_with("    "));
    list.map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed", self.passed)?;
        if self.failed > 0 {
            write!(f, ", {} failed", self.failed)?;
        }
        if !self.skipped.is_empty() {
            write!(f, ", {} skipped", self.skipped.len())?;
        }
        Ok(())
    }
}

/// The reason that libtest's own way of leaving a test out is given.
const IGNORED: &str = ": marked #[ignore]";

fn skipped(line: &str) -> Option<String> {
    if let Some(test) = line.strip_prefix("test ")
        && let Some((name, _)) = test.split_once(" ... ignored")
    {
        return Some(format!("{name}{IGNORED}"));
    }
    // With one thread, libtest has written the beginning of its own line already.
    let (before, skipped) = line.split_once("skipped: ")?;
    (before.is_empty() || before.ends_with(" ... ")).then(|| skipped.trim_end().to_owned())
}

/// The number before `word` on libtest's last line.
fn count(line: &str, word: &str) -> usize {
    let Some(result) = line.strip_prefix("test result: ") else { return 0 };
    let before = result.split_once(word).map(|(before, _)| before);
    before.and_then(|before| before.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 4 tests\nskipped: relay: needs root\ntest relay ... ok\ntest slow ... ignored, takes long\n\
        test tui ... skipped: tui: there is no program tmux\nok\ntest sums ... ok\ntest cp ... FAILED\n\n\
        test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\n\
        test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";

    #[test]
    fn a_skipped_scenario_is_named_and_not_counted_as_passed() {
        let tally = Tally::read(OUTPUT);
        assert_eq!((tally.passed, tally.failed), (3, 1));
        assert_eq!(
            tally.skipped,
            ["relay: needs root", "slow: marked #[ignore]", "tui: there is no program tmux"]
        );
        assert_eq!(tally.to_string(), "3 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn failed_tests_are_named() {
        let output = "test a::b ... FAILED\n\nfailures:\n\n---- a::b stdout ----\nError: no\n    indented\n\n\nfailures:\n    \
            a::b\n    c\n\ntest result: FAILED. 0 passed; 2 failed; 0 ignored\n";
        assert_eq!(failed(output), ["a::b", "c"]);
        assert!(failures(output).starts_with("failures:\n\n---- a::b stdout"));
        assert!(failed(OUTPUT).is_empty());
    }

    #[test]
    fn listed_tests_are_skipped_by_name() {
        let tally =
            Tally::skip_listed("relay: test\nscenario::cp: test\n\n2 tests, 0 benchmarks\n", "needs root");
        assert_eq!(tally.skipped, ["relay: needs root", "scenario::cp: needs root"]);
    }

    #[test]
    fn other_output_is_no_test() {
        assert!(Tally::read("   Compiling x v0.1.0\nwarning: it was skipped: no\n").is_empty());
    }

    #[test]
    fn tallies_add_up() {
        let mut sum = Tally::read(OUTPUT);
        sum.add(Tally { passed: 1, failed: 0, skipped: vec!["a: b".to_owned()] });
        assert_eq!(sum.to_string(), "4 passed, 1 failed, 4 skipped");
    }
}
