//! Debian's packages, by name.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::capture::{self, Captured};
use crate::progress::Step;
use crate::{environment, privilege};

/// `--no-remove`: what a person installed is not ours to take away, even where it stands in a conflict.
/// The lock is waited for, since another apt (unattended upgrades, say) is no reason to fail.
const INSTALL: [&str; 6] =
    ["-o", "DPkg::Lock::Timeout=120", "install", "--yes", "--no-install-recommends", "--no-remove"];

/// Whether this system has them at all.
pub fn is_here() -> bool {
    environment::find_program("apt-get").is_some()
}

/// The command a person would type.
pub fn typed(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Installs `packages`. The lists of what there is are fetched only when the first try fails: they may be there.
pub fn install(step: &Step, packages: &[&str]) -> anyhow::Result<()> {
    if run(step, &INSTALL, packages)?.status.success() {
        return Ok(());
    }
    // A source that cannot be reached is no reason to give up: another may have the packages.
    let update = update(step)?;
    let second = run(step, &INSTALL, packages)?;
    if second.status.success() {
        return Ok(());
    }
    let said = complaint(&second).or_else(|| complaint(&update)).unwrap_or("it gave no reason").to_owned();
    bail!("apt-get says: {said}")
}

/// Fetches the lists of what there is.
pub fn update(step: &Step) -> anyhow::Result<Captured> {
    run(step, &["update"], &[])
}

/// Fetches `packages` into `folder` as files; installs nothing, and so needs no root.
pub fn download(folder: &Path, packages: &[String]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command.current_dir(folder).args(["download", "--quiet"]).args(packages);
    said_yes(&capture::run(command)?)
}

/// Unpacks every package file in `from` below `to`; installs nothing.
pub fn unpack(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in from.read_dir().with_context(|| format!("cannot read {}", from.display()))? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            let mut command = Command::new("dpkg-deb");
            command.arg("--extract").arg(&file).arg(to);
            let captured = capture::run(command)?;
            if !captured.status.success() {
                bail!("cannot unpack {}: {}", file.display(), captured.tail(1));
            }
        }
    }
    Ok(())
}

/// What installing `package` would bring here: itself, and what it needs that is not installed.
pub fn closure(package: &str) -> anyhow::Result<Vec<String>> {
    let mut command = Command::new("apt-get");
    command.args(["install", "--simulate", "--no-install-recommends", package]);
    let captured = capture::run(command)?;
    said_yes(&captured)?;
    Ok(to_be_installed(&captured.text))
}

/// The names of the packages to be had that match `pattern`, a regular expression.
pub fn named(pattern: &str) -> Vec<String> {
    let mut command = Command::new("apt-cache");
    let said = capture::answer(command.args(["search", "--names-only", pattern])).unwrap_or_default();
    said.lines().filter_map(|line| line.split_once(" - ")).map(|(name, _)| name.to_owned()).collect()
}

/// The packages that `package` itself names as needed.
pub fn depends(package: &str) -> Vec<String> {
    let mut command = Command::new("apt-cache");
    let said = capture::answer(command.args(["depends", "--important", package])).unwrap_or_default();
    said.lines()
        .filter_map(|line| line.trim_start_matches([' ', '|']).strip_prefix("Depends: "))
        .map(str::to_owned)
        .collect()
}

fn said_yes(captured: &Captured) -> anyhow::Result<()> {
    if captured.status.success() {
        return Ok(());
    }
    bail!("apt-get says: {}", complaint(captured).unwrap_or("nothing, but it failed"))
}

fn to_be_installed(simulation: &str) -> Vec<String> {
    let installs = simulation.lines().filter_map(|line| line.strip_prefix("Inst "));
    installs.filter_map(|rest| rest.split(' ').next()).map(str::to_owned).collect()
}

fn run(step: &Step, arguments: &[&str], packages: &[&str]) -> anyhow::Result<Captured> {
    let mut command = step.suspend(|| privilege::command("env"))?;
    command.arg("DEBIAN_FRONTEND=noninteractive").arg("apt-get").args(arguments).args(packages);
    capture::run(command)
}

/// apt's own reason: the first of its lines that begin with `E:`.
fn complaint(captured: &Captured) -> Option<&str> {
    captured.text.lines().find_map(|line| line.strip_prefix("E: "))
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn the_reason_is_the_first_error_line() {
        let text = "Reading package lists...\nE: Unable to locate package x\nE: Second\n".to_owned();
        let captured = Captured { status: ExitStatus::default(), text };
        assert_eq!(complaint(&captured), Some("Unable to locate package x"));
    }

    #[test]
    fn what_is_typed_can_be_pasted() {
        assert_eq!(typed(&["jq", "tmux"]), "sudo apt-get install --no-install-recommends jq tmux");
    }
    #[test]
    fn what_would_be_installed_is_read_from_the_simulation() {
        let text = "Remv busybox [1:1.35]\nInst libinih1 (55-1 Debian:12 [amd64])\n\
            Inst xfsprogs [6.0] (6.1.0-1 Debian:12 [amd64])\nConf libinih1 (55-1)\n";
        assert_eq!(to_be_installed(text), ["libinih1", "xfsprogs"]);
    }
}
