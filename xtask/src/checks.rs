//! `cargo xtask test`: every check, in order, each shown and timed. A failed check does not keep the others from running.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use xtask::progress::{self, Outcome, Step};
use xtask::toolchain::Toolchain;
use xtask::{capture, ebpf, privilege, setup};

use crate::bench::instructions::{self, Verdict};
use crate::tally::{self, Tally};
use crate::workspace::{self, Profile};

/// The package of the scenarios, which need root and the built binary.
const SCENARIOS: &str = "zc-trace-tests";

/// More scenarios than these do not fail by chance.
const MOST_AGAIN: usize = 3;

/// What is to be checked.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Format and lints.
    pub(crate) style: bool,
    /// Tests that need no root.
    pub(crate) unit: bool,
    /// Tests that trace real processes.
    pub(crate) scenarios: bool,
    /// Only tests whose name holds this.
    pub(crate) filter: Option<String>,
}

/// What became of the checks so far.
#[derive(Default)]
struct Report {
    failed: Vec<String>,
    tests: Tally,
    warnings: Vec<String>,
}

/// Runs the checks; whether all passed.
pub(crate) fn run(selection: &Selection) -> anyhow::Result<bool> {
    let started = Instant::now();
    let toolchain = setup::build_tools()?;
    let mut report = Report { warnings: setup::test_tools(&toolchain), ..Report::default() };
    progress::report("set-up", &Outcome::Done(toolchain.to_string()), started.elapsed());
    if selection.style {
        report.check_style(&toolchain)?;
    }
    if selection.unit {
        let arguments = ["test", "--workspace", "--exclude", SCENARIOS];
        report.perform("unit tests", with_filter(workspace::cargo(&arguments), selection))?;
    }
    if selection.unit && selection.filter.is_none() {
        report.check_instructions();
    }
    if selection.scenarios {
        report.check_scenarios(selection)?;
    }
    Ok(report.conclude(started))
}

impl Report {
    fn check_style(&mut self, toolchain: &Toolchain) -> anyhow::Result<()> {
        let manifest = "tracer-ebpf/Cargo.toml";
        self.perform("format", workspace::cargo(&["fmt", "--all", "--check"]))?;
        self.perform(
            "format of the kernel side",
            workspace::cargo(&["fmt", "--manifest-path", manifest, "--check"]),
        )?;
        let lint = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        self.perform("clippy", workspace::cargo(&lint))?;
        match ebpf::clippy_command(toolchain, &workspace::kernel_programs()?) {
            Ok(command) => _ = self.perform("clippy of the kernel side", command)?,
            Err(error) => self.warnings.push(format!("{error:#}")),
        }
        Ok(())
    }

    fn check_instructions(&mut self) {
        let name = "instruction counts";
        let step = Step::start(name);
        if !instructions::can_count() {
            step.finish(&Outcome::Skipped("there is no valgrind".to_owned()));
            return;
        }
        match instructions::check() {
            Ok(Verdict::Within(lower)) => {
                self.warnings.extend(lower);
                step.finish(&Outcome::Done("within the budget".to_owned()));
            }
            Ok(Verdict::Exceeded(sentences)) => self.fail(name, step, &sentences.join("\n")),
            Err(error) => self.fail(name, step, &format!("{error:#}")),
        }
    }

    fn check_scenarios(&mut self, selection: &Selection) -> anyhow::Result<()> {
        if !self.perform("build of zc-trace", workspace::build_command(Profile::Release))? {
            self.warnings.push("the scenarios were not run, because zc-trace was not built".to_owned());
            return Ok(());
        }
        let binary = workspace::binary(Profile::Release)?;
        if privilege::is_root() {
            self.play("scenarios", selection, || scenarios_as_root(&binary, &[]))?;
        } else if privilege::sudo_is_open() {
            self.play("scenarios, through sudo", selection, || scenarios_as_root(&binary, &[]))?;
        } else {
            self.skip_scenarios(selection)?;
        }
        Ok(())
    }

    /// Plays the scenarios. They measure a machine that others use as well: a few that fail are played once more, and are named
    /// even if they pass then.
    fn play(
        &mut self,
        name: &str,
        selection: &Selection,
        command: impl Fn() -> Command,
    ) -> anyhow::Result<()> {
        let step = Step::start(name);
        let captured = capture::run(with_filter(command(), selection))?;
        let mut tests = Tally::read(&captured.text);
        let failed = tally::failed(&captured.text);
        if captured.status.success() || failed.is_empty() || failed.len() > MOST_AGAIN {
            if captured.status.success() {
                step.finish(&Outcome::Done(tests.to_string()));
            } else {
                self.fail(name, step, &captured.text);
            }
            self.tests.add(tests);
            return Ok(());
        }
        let mut again = command();
        again.args(["--test", "scenarios", "--", "--exact"]).args(&failed);
        let second = capture::run(again)?;
        // A test of the harness itself is not among the scenarios: it is not played again, and so has not passed.
        if second.status.success() && Tally::read(&second.text).passed == failed.len() {
            eprintln!("{}", tally::failures(&captured.text));
            self.warnings.push(format!("passed only when played again: {}", failed.join(", ")));
            tests.pass(failed.len());
            step.finish(&Outcome::Done(tests.to_string()));
        } else {
            self.fail(name, step, &format!("{}\nPlayed again:\n{}", captured.text, second.text));
        }
        self.tests.add(tests);
        Ok(())
    }

    /// Without root the scenarios are built and listed, so that each is missed by name.
    fn skip_scenarios(&mut self, selection: &Selection) -> anyhow::Result<()> {
        let mut command = with_filter(workspace::cargo(&["test", "--package", SCENARIOS]), selection);
        command.args(["--", "--list"]);
        let step = Step::start("scenarios");
        let captured = capture::run(command)?;
        if !captured.status.success() {
            self.fail("scenarios", step, &captured.text);
            return Ok(());
        }
        step.finish(&Outcome::Skipped(
            "they need root, and sudo asks for a password; run `sudo -v` first".to_owned(),
        ));
        self.tests.add(Tally::skip_listed(&captured.text, "needs root"));
        Ok(())
    }

    /// Runs one check to its end; whether it passed. Its output is of interest only if not.
    fn perform(&mut self, name: &str, command: Command) -> anyhow::Result<bool> {
        let step = Step::start(name);
        let captured = capture::run(command)?;
        let tests = Tally::read(&captured.text);
        let passed = captured.status.success();
        if passed {
            let detail = if tests.is_empty() { String::new() } else { tests.to_string() };
            step.finish(&Outcome::Done(detail));
        } else {
            self.fail(name, step, &captured.text);
        }
        self.tests.add(tests);
        Ok(passed)
    }

    fn fail(&mut self, name: &str, step: Step, output: &str) {
        step.finish(&Outcome::Failed);
        eprintln!("{}", output.trim_end());
        self.failed.push(name.to_owned());
    }

    fn conclude(&self, started: Instant) -> bool {
        for skipped in &self.tests.skipped {
            eprintln!("skipped: {skipped}");
        }
        for warning in &self.warnings {
            eprintln!("warning: {warning}");
        }
        eprintln!("{}", self.last_line(&progress::seconds(started.elapsed())));
        self.failed.is_empty()
    }

    fn last_line(&self, elapsed: &str) -> String {
        let verdict = if self.failed.is_empty() {
            "all checks passed".to_owned()
        } else {
            format!("failed: {}", self.failed.join(", "))
        };
        let tests =
            if self.tests.is_empty() { "no tests ran".to_owned() } else { format!("tests: {}", self.tests) };
        format!("{verdict}; {tests}; {elapsed}")
    }
}

fn with_filter(mut command: Command, selection: &Selection) -> Command {
    command.args(&selection.filter);
    command
}

/// The command that runs the scenarios as root, with variables in their environment. Needs root, or a sudo that does not ask.
pub(crate) fn scenarios_as_root(binary: &Path, variables: &[(&str, String)]) -> Command {
    let mut command = workspace::cargo(&["test", "--package", SCENARIOS]);
    if privilege::is_root() {
        command.env("ZC_TRACE", binary).envs(variables.iter().map(|(name, value)| (name, value)));
    } else {
        command.arg("--config").arg(sudo_runner(binary, variables));
    }
    command
}

/// Cargo's setting that starts test programs as root, while cargo itself builds as the person who called it.
pub(crate) fn sudo_runner(binary: &Path, variables: &[(&str, String)]) -> String {
    // sudo drops most variables; `env` sets those that matter, whatever sudo's policy.
    let variables = variables.iter().map(|(name, value)| format!(", {:?}", format!("{name}={value}")));
    let variable = format!("ZC_TRACE={}", binary.display());
    let more: String = variables.collect();
    format!("target.'cfg(all())'.runner = [\"sudo\", \"-n\", \"--\", \"env\", {variable:?}{more}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_names_what_failed() {
        let mut report = Report::default();
        assert_eq!(report.last_line("1.0 s"), "all checks passed; no tests ran; 1.0 s");
        report.failed.push("clippy".to_owned());
        report.tests.passed = 3;
        assert_eq!(report.last_line("1.0 s"), "failed: clippy; tests: 3 passed; 1.0 s");
    }

    #[test]
    fn the_runner_keeps_a_path_with_spaces_whole() {
        let runner = sudo_runner(Path::new("/a folder/zc-trace"), &[]);
        assert_eq!(
            runner,
            r#"target.'cfg(all())'.runner = ["sudo", "-n", "--", "env", "ZC_TRACE=/a folder/zc-trace"]"#
        );
    }
}
