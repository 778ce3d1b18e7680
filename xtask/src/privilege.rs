//! Root, and the way to it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::environment;

/// Whether we are root: `/proc/self` belongs to the effective user.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Whether sudo lets us through without asking.
pub fn sudo_is_open() -> bool {
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sudo.status().is_ok_and(|status| status.success())
}

/// `program` as root. May ask for a password on the terminal, hence must be called while no spinner turns.
pub fn command(program: impl AsRef<OsStr>) -> anyhow::Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    open_sudo()?;
    let mut command = Command::new("sudo");
    command.args(["-n", "--"]).arg(program);
    Ok(command)
}

fn open_sudo() -> anyhow::Result<()> {
    if environment::find_program("sudo").is_none() {
        bail!("it needs root, and there is no sudo here");
    }
    if sudo_is_open() {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        bail!("it needs root, and sudo cannot ask for a password without a terminal");
    }
    let status = Command::new("sudo").arg("--validate").status().context("cannot start sudo")?;
    if !status.success() {
        bail!("it needs root, and sudo refused");
    }
    Ok(())
}
