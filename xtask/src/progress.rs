//! Shows what is being done and for how long: a spinner on a terminal, plain lines elsewhere.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should; with what is worth saying of it, or nothing.
    Done(String),
    /// Not; the reason is shown elsewhere.
    Failed,
    /// It was not done, for this reason.
    Skipped(String),
}

/// One step of work, shown from its start to its end.
#[derive(Debug)]
pub struct Step {
    label: String,
    started: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Begins to show a step.
    pub fn start(label: impl Into<String>) -> Self {
        let label = label.into();
        let spinner = io::stderr().is_terminal().then(|| spinner(&label));
        if spinner.is_none() {
            eprintln!("  ..  {label}");
        }
        Self { label, started: Instant::now(), spinner }
    }

    /// Ends it with one line and returns how long it took.
    pub fn finish(self, outcome: &Outcome) -> Duration {
        let elapsed = self.started.elapsed();
        if let Some(spinner) = self.spinner {
            spinner.finish_and_clear();
        }
        report(&self.label, outcome, elapsed);
        elapsed
    }

    /// Says how far it is; on a terminal only, where the line is drawn anew.
    pub fn say(&self, how_far: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(format!("{}: {how_far}", self.label));
        }
    }

    /// Takes the spinner away for a while, because something else must use the terminal.
    pub fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.spinner {
            Some(spinner) => spinner.suspend(work),
            None => work(),
        }
    }
}

/// One line about work that is over.
pub fn report(label: &str, outcome: &Outcome, elapsed: Duration) {
    eprintln!("{}", last_line(label, outcome, elapsed));
}

/// A duration as a person says it.
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole >= 60 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

fn spinner(label: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(label.to_owned());
    // The template is constant; were it ever wrong, the default one would serve.
    if let Ok(style) = ProgressStyle::with_template("  {spinner}   {msg}  {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn last_line(label: &str, outcome: &Outcome, elapsed: Duration) -> String {
    let elapsed = seconds(elapsed);
    match outcome {
        Outcome::Done(detail) if detail.is_empty() => format!("  ok  {label}  {elapsed}"),
        Outcome::Done(detail) => format!("  ok  {label}: {detail}  {elapsed}"),
        Outcome::Failed => format!("FAIL  {label}  {elapsed}"),
        Outcome::Skipped(reason) => format!("skip  {label}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_said() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }

    #[test]
    fn the_last_line_says_how_it_ended() {
        let line = |outcome| last_line("clippy", &outcome, Duration::from_secs(2));
        assert_eq!(line(Outcome::Done(String::new())), "  ok  clippy  2.0 s");
        assert_eq!(line(Outcome::Done("3 passed".to_owned())), "  ok  clippy: 3 passed  2.0 s");
        assert_eq!(line(Outcome::Failed), "FAIL  clippy  2.0 s");
        assert_eq!(line(Outcome::Skipped("needs root".to_owned())), "skip  clippy: needs root");
    }
}
