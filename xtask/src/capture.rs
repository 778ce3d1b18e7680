//! Runs a program and keeps all that it says, in the order it says it.

use std::io::{self, Read as _};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context as _;

/// What a program left.
#[derive(Debug)]
pub struct Captured {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output and standard error, interleaved as they came.
    pub text: String,
}

impl Captured {
    /// The last lines, for a message that must stay short.
    pub fn tail(&self, lines: usize) -> String {
        let all: Vec<&str> = self.text.trim_end().lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// Runs `command` to its end, without an input.
pub fn run(mut command: Command) -> anyhow::Result<Captured> {
    let program = command.get_program().to_string_lossy().into_owned();
    let (mut reader, writer) = io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    // The command holds the pipe's other ends: while they are open, reading never ends.
    drop(command);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).with_context(|| format!("cannot read what {program} says"))?;
    let status = child.wait().with_context(|| format!("cannot wait for {program}"))?;
    Ok(Captured { status, text: String::from_utf8_lossy(&bytes).into_owned() })
}

/// The standard output of a program that answers a question, or nothing when it fails.
pub fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_are_kept_in_order() {
        let captured = run(shell("echo one; echo two >&2; echo three; exit 3")).unwrap();
        assert_eq!(captured.text, "one\ntwo\nthree\n");
        assert_eq!(captured.status.code(), Some(3));
        assert_eq!(captured.tail(2), "two\nthree");
    }

    #[test]
    fn a_failed_question_has_no_answer() {
        assert_eq!(answer(&mut shell("echo yes")), Some("yes\n".to_owned()));
        assert_eq!(answer(&mut shell("echo no; exit 1")), None);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(Command::new("a-program-nobody-has")).unwrap_err();
        assert_eq!(error.to_string(), "cannot start a-program-nobody-has");
    }
}
