//! One guest from power on to its end, within limits.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::machine::{Accelerator, Machine};
use super::report::Report;

/// A guest that says nothing for so long hangs: it is more than one scenario may take.
const SILENCE: Duration = Duration::from_secs(8 * 60);

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It said that it was done.
    Done,
    /// Its kernel panicked, with these words.
    Panicked(String),
    /// It said nothing any more and was ended.
    Hung,
    /// QEMU ended without a reason that we know; with its words.
    Left(String),
}

impl Fate {
    /// As the end of a sentence about the guest.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Done => "it ended as it should".to_owned(),
            Self::Panicked(words) => format!("its kernel panicked: {words}"),
            Self::Hung => "it hung".to_owned(),
            Self::Left(words) if words.is_empty() => "it ended without a word".to_owned(),
            Self::Left(words) => format!("it ended: {words}"),
        }
    }
}

/// A running guest; ended at the latest when this is dropped.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots the machine and waits for its end. `progress` is told what it has said so far, whenever that has grown.
pub(super) fn boot(
    machine: &Machine,
    accelerator: Accelerator,
    mut progress: impl FnMut(&Report),
) -> anyhow::Result<(Fate, Report)> {
    for file in [&machine.console, &machine.results] {
        fs::write(file, "").with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut guest = start(machine.command(accelerator))?;
    let mut heard = Instant::now();
    let (mut length, mut report) = (0, Report::default());
    loop {
        let ended = guest.0.try_wait()?.is_some();
        let said = said(&machine.results);
        if said.len() > length {
            (length, heard, report) = (said.len(), Instant::now(), Report::read(&said));
            progress(&report);
        }
        if report.is_complete() {
            return Ok((Fate::Done, report));
        }
        if ended {
            return Ok((fate(&mut guest, &machine.console), report));
        }
        let limit = if report.release.is_some() { SILENCE } else { accelerator.boot_limit() };
        if heard.elapsed() > limit {
            return Ok((Fate::Hung, report));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn start(mut command: Command) -> anyhow::Result<Guest> {
    Ok(Guest(command.spawn().context("cannot start QEMU")?))
}

/// What a guest has said so far: text, whatever a dying one sends.
fn said(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', "")).unwrap_or_default()
}

fn fate(guest: &mut Guest, console: &Path) -> Fate {
    if let Some(words) = panic_words(&said(console)) {
        return Fate::Panicked(words);
    }
    let mut words = String::new();
    if let Some(mut stderr) = guest.0.stderr.take() {
        let _ = std::io::Read::read_to_string(&mut stderr, &mut words);
    }
    Fate::Left(words.lines().last().unwrap_or_default().to_owned())
}

fn panic_words(console: &str) -> Option<String> {
    let words = console.lines().find_map(|line| line.split_once("Kernel panic - not syncing: "))?.1;
    Some(words.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_found_on_the_console() {
        let console = "[    1.0] x\n[    2.5] Kernel panic - not syncing: Fatal exception\n[    2.6] y\n";
        assert_eq!(panic_words(console).as_deref(), Some("Fatal exception"));
        assert_eq!(panic_words("[    1.0] all is well\n"), None);
    }
}
