//! Debian's packages, by name.

use anyhow::bail;

use crate::capture::{self, Captured};
use crate::progress::Step;
use crate::{environment, privilege};

/// `--no-remove`: what a person installed is not ours to take away, even where it stands in a conflict.
/// The lock is waited for, since another apt (unattended upgrades, say) is no reason to fail.
const INSTALL: [&str; 6] =
    ["-o", "DPkg::Lock::Timeout=120", "install", "--yes", "--no-install-recommends", "--no-remove"];

/// Whether this system has them at all.
pub(super) fn is_here() -> bool {
    environment::find_program("apt-get").is_some()
}

/// The command a person would type.
pub(super) fn typed(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Installs `packages`. The lists of what there is are fetched only when the first try fails: they may be there.
pub(super) fn install(step: &Step, packages: &[&str]) -> anyhow::Result<()> {
    if run(step, &INSTALL, packages)?.status.success() {
        return Ok(());
    }
    // A source that cannot be reached is no reason to give up: another may have the packages.
    let update = run(step, &["update"], &[])?;
    let second = run(step, &INSTALL, packages)?;
    if second.status.success() {
        return Ok(());
    }
    let said = complaint(&second).or_else(|| complaint(&update)).unwrap_or("it gave no reason").to_owned();
    bail!("apt-get says: {said}")
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
}
