//! A terminal with a shell in it, as a user has one: tmux, whose screen can be read and that passes keys on.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Result, ensure};

use crate::{
    process::{STEP, wait_until},
    scenario::{Scenario, require_program},
};

/// What the shell says when it waits for a command.
const PROMPT: &str = "ready>";

/// How many terminals there have been.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A terminal. Dropped, it and what runs in it are gone.
pub struct Screen {
    tmux: PathBuf,
    socket: PathBuf,
}

impl Screen {
    /// A terminal of that size, with a shell in the scenario's folder.
    pub fn open(scenario: &Scenario, columns: u16, rows: u16) -> Result<Self> {
        let tmux = require_program("tmux")?;
        // One that was there before may not be gone yet.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let screen = Self { tmux, socket: scenario.path(&format!("tmux.{number}")) };
        let size = [columns.to_string(), rows.to_string()];
        let mut command = screen.tmux();
        command.args(["-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1], "-c"]);
        command.arg(scenario.folder());
        command.args(["env", "LC_ALL=C.UTF-8", "TERM=screen-256color", "bash", "--norc", "--noprofile"]);
        ensure!(scenario.run(&mut command)? == 0, "tmux does not start");
        screen.line(scenario, &format!("PS1='{PROMPT} '; clear"))?;
        screen.wait_for(scenario, PROMPT)?;
        Ok(screen)
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new(&self.tmux);
        command.arg("-S").arg(&self.socket);
        // Started inside another tmux, it would refuse.
        command.env_remove("TMUX");
        command
    }

    /// Presses keys, by the names that tmux gives them.
    pub fn press(&self, scenario: &Scenario, keys: &[&str]) -> Result<()> {
        let mut command = self.tmux();
        command.arg("send-keys").args(keys);
        ensure!(scenario.run(&mut command)? == 0, "tmux send-keys {keys:?}");
        Ok(())
    }

    /// Types a text.
    pub fn type_in(&self, scenario: &Scenario, text: &str) -> Result<()> {
        self.press(scenario, &["-l", text])
    }

    /// Types a line.
    pub fn line(&self, scenario: &Scenario, text: &str) -> Result<()> {
        self.type_in(scenario, text)?;
        self.press(scenario, &["Enter"])
    }

    /// Makes the terminal another size.
    pub fn resize(&self, scenario: &Scenario, columns: u16, rows: u16) -> Result<()> {
        let mut command = self.tmux();
        command.args(["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        ensure!(scenario.run(&mut command)? == 0, "tmux resize-window");
        Ok(())
    }

    /// What is on the screen now.
    pub fn text(&self) -> Result<String> {
        let output = self.tmux().args(["capture-pane", "-p"]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What is on the screen now, with the escape sequences of its colours.
    pub fn painted(&self) -> Result<String> {
        let output = self.tmux().args(["capture-pane", "-p", "-e"]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Lets tmux do something, such as `set -g set-clipboard on`; what it says.
    pub fn tell(&self, arguments: &[&str]) -> Result<String> {
        let output = self.tmux().args(arguments).output()?;
        ensure!(output.status.success(), "tmux {arguments:?}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until the screen holds this text. Returns the screen.
    pub fn wait_for(&self, scenario: &Scenario, text: &str) -> Result<String> {
        let mut screen = String::new();
        let waited = wait_until(STEP, &format!("{text:?} on the screen"), || {
            screen = self.text()?;
            Ok(screen.contains(text))
        });
        if waited.is_err() {
            scenario.note(format!("the screen:\n{screen}"));
        }
        waited.map(|()| screen)
    }

    /// Waits until the screen holds this text no more.
    pub fn wait_without(&self, text: &str) -> Result<()> {
        wait_until(STEP, &format!("{text:?} to go from the screen"), || Ok(!self.text()?.contains(text)))
    }

    /// The files in a folder that end so.
    pub fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|this| this == extension) {
                found.push(path);
            }
        }
        Ok(found)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // What cannot be ended any more has ended.
        let _ = self.tmux().arg("kill-server").output();
    }
}
