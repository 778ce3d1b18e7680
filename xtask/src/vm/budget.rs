//! The file that keeps how many instructions each kernel's verifier walks through for each program. It is tracked, so that
//! growth shows in a diff: a kernel refuses a program beyond a million.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use anyhow::{Context as _, bail};

use super::report::Verified;

/// Below the root of the workspace.
pub(super) const FILE: &str = "tests/verifier-budget.txt";

const HEAD: &str = "# Instructions that the verifier walks through: kernel, form, program, number. A kernel refuses more than\n\
    # a million. Written by `cargo xtask test --vm`; a diff shows what grew.\n";

type Key = (Series, String, String);

/// A series of kernels, such as 6.12, which comes after 6.1 and 6.9.
type Series = (u32, u32);

/// The numbers by kernel, form and program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Budget(BTreeMap<Key, u64>);

impl Budget {
    /// Reads the file; without one there is nothing in it.
    pub(super) fn load(root: &Path) -> anyhow::Result<Self> {
        match fs::read_to_string(root.join(FILE)) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context(format!("cannot read {FILE}")),
        }
    }

    /// Writes the file if it would change.
    pub(super) fn store(&self, root: &Path) -> anyhow::Result<()> {
        if Self::load(root).is_ok_and(|old| old == *self) {
            return Ok(());
        }
        fs::write(root.join(FILE), self.text()).with_context(|| format!("cannot write {FILE}"))
    }

    /// Takes in what a kernel's verifier said, in place of what it said before; what changed, a line each.
    pub(super) fn take(&mut self, series: &str, verified: &[Verified]) -> Vec<String> {
        let Some(series) = parse_series(series) else { return Vec::new() };
        if verified.is_empty() {
            return Vec::new();
        }
        let before = self.clone();
        self.0.retain(|(of, ..), _| *of != series);
        for Verified { form, program, instructions } in verified {
            self.0.insert((series, form.clone(), program.clone()), *instructions);
        }
        let changed = self.0.iter().filter_map(|(key, now)| {
            let was = *before.0.get(key)?;
            (was != *now).then(|| {
                let ((major, minor), form, program) = key;
                let percent = (*now as f64 / was.max(1) as f64 - 1.0) * 100.0;
                format!("{program} ({form}) on {major}.{minor}: {was} → {now} instructions ({percent:+.1} %)")
            })
        });
        changed.collect()
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut budget = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let parsed = match words[..] {
                [series, form, program, number] => parse_series(series)
                    .zip(number.parse().ok())
                    .map(|(series, number)| ((series, form.to_owned(), program.to_owned()), number)),
                _ => None,
            };
            let Some((key, number)) = parsed else { bail!("{FILE} has a line that is none: {line}") };
            budget.0.insert(key, number);
        }
        Ok(budget)
    }

    fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (((major, minor), form, program), number) in &self.0 {
            text += &format!("{:<6} {form:<6} {program:<28} {number:>8}\n", format!("{major}.{minor}"));
        }
        text
    }
}

fn parse_series(text: &str) -> Option<Series> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(program: &str, instructions: u64) -> Verified {
        Verified { form: "typed".to_owned(), program: program.to_owned(), instructions }
    }

    #[test]
    fn a_kernel_is_replaced_and_growth_is_told() {
        let mut budget = Budget::default();
        assert_eq!(budget.take("6.12", &[verified("a", 100), verified("gone", 5)]), Vec::<String>::new());
        budget.take("6.1", &[verified("a", 50)]);
        let changed = budget.take("6.12", &[verified("a", 150), verified("new", 7)]);
        assert_eq!(changed, ["a (typed) on 6.12: 100 → 150 instructions (+50.0 %)"]);
        assert_eq!(budget.0.len(), 3);
    }

    #[test]
    fn a_kernel_that_said_nothing_changes_nothing() {
        let mut budget = Budget::default();
        budget.take("6.1", &[verified("a", 50)]);
        let before = budget.clone();
        budget.take("6.1", &[]);
        assert_eq!(budget, before);
    }

    #[test]
    fn what_is_written_is_read_and_series_go_by_number() {
        let mut budget = Budget::default();
        for series in ["6.12", "6.1", "6.9"] {
            budget.take(series, &[verified("sys_enter", 12345)]);
        }
        let text = budget.text();
        let series: Vec<_> = text.lines().skip(2).filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(series, ["6.1", "6.9", "6.12"]);
        assert_eq!(Budget::parse(&text).unwrap(), budget);
        assert!(Budget::parse("6.1 typed x\n").is_err());
    }
}
