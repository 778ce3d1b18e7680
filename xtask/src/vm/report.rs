//! What a guest said: lines that begin with `@@@` part its text, and between them is what programs printed.

use std::collections::BTreeSet;

use xtask::progress::Outcome;

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It ran and held.
    Passed,
    /// It ran and did not hold, or never came to its end.
    Failed,
    /// It could not run there, for this reason.
    Skipped(String),
}

/// One test of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// As libtest names it.
    pub(super) name: String,
    /// `None` while it runs.
    pub(super) state: Option<State>,
}

/// A figure that a scenario printed: `figure: NAME = VALUE (EVIDENCE)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figure {
    /// What it is.
    pub(super) name: String,
    /// Its value and, in brackets, how it is known.
    pub(super) value: String,
}

/// One run of the scenarios.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// The file system that it ran on.
    pub(super) name: String,
    /// How many tests all guests are to run together; `None` if one does not tell, or tells another number.
    pub(super) listed: Option<usize>,
    /// In the order in which they ran.
    pub(super) tests: Vec<Test>,
    /// What they printed.
    pub(super) figures: Vec<Figure>,
    /// What libtest says of those that failed.
    pub(super) failures: Vec<String>,
    /// The exit code; `None` if it did not come to its end.
    pub(super) code: Option<i32>,
}

/// How many instructions the verifier walked through for one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verified {
    /// `typed` or `raw`.
    pub(super) form: String,
    /// The program.
    pub(super) program: String,
    /// The number.
    pub(super) instructions: u64,
}

/// All that a guest said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// The kernel that answered, once the guest is up.
    pub(super) release: Option<String>,
    /// What its set-up could not do.
    pub(super) lacks: Vec<String>,
    /// What the doctor said of the programs.
    pub(super) verified: Vec<Verified>,
    /// The runs of the scenarios.
    pub(super) runs: Vec<Run>,
    /// What the doctor said, as it was said, by form.
    doctors: Vec<(String, String)>,
    ended: bool,
}

/// The line under which the doctor lists the verifier's numbers.
const VERIFIED: &str = "Verifier:";

impl Report {
    /// Reads what was said so far.
    pub(super) fn read(said: &str) -> Self {
        let mut report = Self::default();
        let mut part = Part::Nothing;
        for line in said.lines() {
            match line.strip_prefix("@@@ ") {
                Some(mark) => part = report.mark(mark, part),
                None => report.line(line, &mut part),
            }
        }
        report
    }

    /// Takes in what another guest with the same kernel said: runs by their name. What the doctor finds is the same.
    pub(super) fn join(&mut self, other: Self) {
        for lack in other.lacks {
            if !self.lacks.contains(&lack) {
                self.lacks.push(lack);
            }
        }
        for run in other.runs {
            match self.runs.iter_mut().find(|known| known.name == run.name) {
                Some(known) => known.join(run),
                None => self.runs.push(run),
            }
        }
        self.ended &= other.ended;
    }

    /// What of these runs was not run, as ends of sentences: the tests of all guests together must be those that each listed.
    /// To be asked when all have been joined.
    pub(super) fn gaps(&self, runs: &[&str]) -> Vec<String> {
        let gap = |name: &&str| match self.runs.iter().find(|run| run.name == **name) {
            Some(run) => run.gap().map(|gap| format!("{gap} on {name}")),
            None => Some(format!("nothing ran on {name}")),
        };
        runs.iter().filter_map(gap).collect()
    }

    /// Whether the guest said that it was done.
    pub(super) fn is_complete(&self) -> bool {
        self.ended
    }

    /// How many tests have come to their end.
    pub(super) fn tests_done(&self) -> usize {
        self.runs.iter().flat_map(|run| &run.tests).filter(|test| test.state.is_some()).count()
    }

    /// The run and the test that runs, if one does.
    pub(super) fn running(&self) -> Option<String> {
        let run = self.runs.last()?;
        let last = run.tests.last()?;
        last.state.is_none().then(|| format!("{} {}", run.name, last.name))
    }

    /// What the doctor found missing and why, for a person to read.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = (&str, Outcome)> {
        self.doctors.iter().map(|(form, text)| {
            let works = text.contains("zc-trace works here.");
            (form.as_str(), if works { Outcome::Done(String::new()) } else { Outcome::Failed })
        })
    }

    fn mark(&mut self, mark: &str, before: Part) -> Part {
        let (word, rest) = mark.split_once(' ').unwrap_or((mark, ""));
        match word {
            "up" => self.release = Some(rest.to_owned()),
            "cannot:" => self.lacks.push(rest.to_owned()),
            "end" => self.ended = true,
            "late" => self.lacks.push("come to its end in time".to_owned()),
            "doctor" => {
                self.doctors.push((rest.to_owned(), String::new()));
                return Part::Doctor { in_list: false };
            }
            "run" => {
                self.runs.push(Run { name: rest.to_owned(), ..Run::default() });
                return Part::Tests { in_failures: false };
            }
            "listed" => {
                if let Some(run) = self.runs.last_mut() {
                    run.listed = rest.trim().parse().ok();
                }
                return before;
            }
            "code" => {
                if let Some(run) = self.runs.last_mut() {
                    run.code = rest.parse().ok();
                }
            }
            // What a scenario prints is its own affair.
            _ => return before,
        }
        Part::Nothing
    }

    fn line(&mut self, line: &str, part: &mut Part) {
        match part {
            Part::Nothing => {}
            Part::Doctor { in_list } => {
                let Some((form, text)) = self.doctors.last_mut() else { return };
                text.push_str(line);
                text.push('\n');
                if line.starts_with(VERIFIED) {
                    *in_list = true;
                } else if line.trim().is_empty() {
                    *in_list = false;
                } else if *in_list {
                    self.verified.extend(verified(form, line));
                }
            }
            Part::Tests { in_failures } => {
                let Some(run) = self.runs.last_mut() else { return };
                *in_failures |= line == "failures:";
                if *in_failures { run.failures.push(line.to_owned()) } else { run.line(line) }
            }
        }
    }
}

/// Where in the text we are.
enum Part {
    Nothing,
    Doctor { in_list: bool },
    Tests { in_failures: bool },
}

impl Run {
    /// Takes in another guest's scenarios, in the order of their names, as libtest has them.
    fn join(&mut self, other: Self) {
        self.listed = self.listed.filter(|listed| other.listed == Some(*listed));
        self.tests.extend(other.tests);
        self.tests.sort_by(|one, other| one.name.cmp(&other.name));
        self.figures.extend(other.figures);
        self.failures.extend(other.failures);
        // One that failed, or did not come to its end, speaks for all.
        if self.code == Some(0) {
            self.code = other.code;
        }
    }

    fn gap(&self) -> Option<String> {
        let Some(listed) = self.listed else {
            return Some("the scenarios were not listed, or not alike in all guests,".to_owned());
        };
        let names: BTreeSet<&str> = self.tests.iter().map(|test| test.name.as_str()).collect();
        if names.len() != self.tests.len() {
            return Some("a scenario ran in more than one guest".to_owned());
        }
        (names.len() != listed).then(|| format!("{} of {listed} scenarios ran", names.len()))
    }

    fn line(&mut self, line: &str) {
        let mut rest = line;
        if let Some((name, after)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... ")) {
            self.tests.push(Test { name: name.to_owned(), state: None });
            rest = after;
        }
        self.figures.extend(figure(rest));
        let Some(test) = self.tests.last_mut() else { return };
        match rest.trim_end() {
            // One of its scenarios may have been skipped: the test says so by its first reason.
            "ok" => _ = test.state.get_or_insert(State::Passed),
            "FAILED" => test.state = Some(State::Failed),
            other => {
                if let Some(reason) = other.strip_prefix("skipped: ") {
                    // The scenario's own name comes first, which says no more than the test's.
                    let reason = reason.split_once(": ").map_or(reason, |(_, reason)| reason);
                    test.state.get_or_insert(State::Skipped(reason.to_owned()));
                } else if other.starts_with("ignored") {
                    test.state = Some(State::Skipped("marked #[ignore]".to_owned()));
                }
            }
        }
    }
}

/// `figure: NAME = VALUE (EVIDENCE)`.
fn figure(line: &str) -> Option<Figure> {
    let (name, value) = line.strip_prefix("figure: ")?.split_once(" = ")?;
    Some(Figure { name: name.to_owned(), value: value.trim_end().to_owned() })
}

/// `  sys_enter  12,345`.
fn verified(form: &str, line: &str) -> Option<Verified> {
    let mut words = line.split_whitespace();
    let program = words.next()?.to_owned();
    let instructions = words.next()?.replace(',', "").parse().ok()?;
    Some(Verified { form: form.to_owned(), program, instructions })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "@@@ cannot: mount -t xfs /dev/vdb /disk/xfs\n@@@ up 6.12.1\n@@@ doctor typed\nkernel 6.12.1\n\n\
        Verifier: instructions\n  sys_enter   12,345\n  sys_exit   7\n\nzc-trace works here.\n@@@ doctor raw\nno\n@@@ run ext4\n\n\
        running 3 tests\ntest a::b ... ok\n\
        test c ... skipped: c: there is no tmux\nok\ntest d ... figure: x per byte = 2.00 (derived)\nFAILED\ntest e ... \n";

    #[test]
    fn what_was_said_is_read() {
        let report = Report::read(SAID);
        assert_eq!(report.release.as_deref(), Some("6.12.1"));
        assert_eq!(report.lacks, ["mount -t xfs /dev/vdb /disk/xfs"]);
        assert_eq!(report.verified.len(), 2);
        assert_eq!(
            (report.verified[0].program.as_str(), report.verified[0].instructions),
            ("sys_enter", 12345)
        );
        assert_eq!(report.verdicts().filter(|(_, outcome)| *outcome == Outcome::Failed).count(), 1);
        let run = &report.runs[0];
        let states: Vec<_> = run.tests.iter().map(|test| (test.name.as_str(), test.state.clone())).collect();
        let skipped = State::Skipped("there is no tmux".to_owned());
        assert_eq!(
            states,
            [("a::b", Some(State::Passed)), ("c", Some(skipped)), ("d", Some(State::Failed)), ("e", None)]
        );
        assert_eq!(
            run.figures,
            [Figure { name: "x per byte".to_owned(), value: "2.00 (derived)".to_owned() }]
        );
        assert_eq!(
            (report.running(), report.tests_done(), report.is_complete()),
            (Some("ext4 e".to_owned()), 3, false)
        );
    }

    #[test]
    fn guests_of_one_kernel_are_one_report() {
        let mut one =
            Report::read("@@@ up 6.1\n@@@ run ext4\ntest a ... ok\ntest c ... ok\n@@@ code 0\n@@@ end\n");
        let other = "@@@ up 6.1\n@@@ run ext4\ntest b ... FAILED\n@@@ code 101\n@@@ run xfs\n@@@ code 0\n";
        one.join(Report::read(other));
        let names: Vec<_> = one.runs[0].tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let codes: Vec<_> = one.runs.iter().map(|run| (run.name.as_str(), run.code)).collect();
        assert_eq!(codes, [("ext4", Some(101)), ("xfs", Some(0))]);
        assert!(!one.is_complete(), "one of them has not ended");
    }

    #[test]
    fn all_that_was_listed_must_have_run() {
        let gaps = |guests: &[&str], runs: &[&str]| {
            let mut joined = Report::read(guests[0]);
            guests[1..].iter().for_each(|said| joined.join(Report::read(said)));
            joined.gaps(runs)
        };
        let one = "@@@ run ext4\n@@@ listed 3\n\nrunning 2 tests\ntest a ... ok\ntest c ... ok\n@@@ code 0\n@@@ end\n";
        let other = "@@@ run ext4\n@@@ listed 3\ntest b ... ok\n@@@ code 0\n@@@ end\n";
        assert_eq!(gaps(&[one, other], &["ext4"]), [""; 0]);
        assert_eq!(gaps(&[one], &["ext4"]), ["2 of 3 scenarios ran on ext4"]);
        assert_eq!(gaps(&[one, other], &["ext4", "xfs"]), ["nothing ran on xfs"]);
        assert_eq!(gaps(&[one, one], &["ext4"]), ["a scenario ran in more than one guest on ext4"]);
        let disagreement = ["the scenarios were not listed, or not alike in all guests, on ext4"];
        let could_not_list = "@@@ run ext4\n@@@ code 127\n@@@ end\n";
        assert_eq!(gaps(&[one, could_not_list], &["ext4"]), disagreement);
        assert_eq!(gaps(&[one, &other.replace("listed 3", "listed 4")], &["ext4"]), disagreement);
        // A filter may match nothing, and a guest have no share in a short list.
        let none = "@@@ run ext4\n@@@ listed 0\n@@@ code 0\n";
        assert_eq!(gaps(&[none, none], &["ext4"]), [""; 0]);
        let no_share = "@@@ run ext4\n@@@ listed 1\n@@@ code 0\n";
        assert_eq!(
            gaps(&[no_share, "@@@ run ext4\n@@@ listed 1\ntest a ... ok\n@@@ code 0\n"], &["ext4"]),
            [""; 0]
        );
    }

    #[test]
    fn the_end_and_the_failures_are_read() {
        let said = format!("{SAID}\nfailures:\n\n---- d stdout ----\ntest f ... ok\n@@@ code 101\n@@@ end\n");
        let report = Report::read(&said);
        assert!(report.is_complete());
        assert_eq!(report.runs[0].code, Some(101));
        assert_eq!(report.runs[0].tests.len(), 4);
        assert_eq!(report.runs[0].failures[2], "---- d stdout ----");
    }
}
