//! The workspace we belong to: its folders, and how its user-space packages are built.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use xtask::ebpf::Programs;
use xtask::environment;

/// How the binary is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build.
    Dev,
    /// Quick to run.
    Release,
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Where cargo puts what it builds. We were built there ourselves, which spares asking cargo for its configuration.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where this program is")?;
    let target =
        own.parent().and_then(Path::parent).context("this program is not in a target folder of cargo")?;
    Ok(target.to_path_buf())
}

/// The kernel programs.
pub(crate) fn kernel_programs() -> anyhow::Result<Programs> {
    Ok(Programs::of_workspace(root(), &target_dir()?))
}

/// `cargo ARGUMENTS` at the root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(environment::cargo());
    command.current_dir(root()).args(arguments);
    command
}

/// The command that builds zc-trace.
pub(crate) fn build_command(profile: Profile) -> Command {
    let mut command = cargo(&["build", "--package", "zc-trace"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    command
}

/// Where the binary is once it is built.
pub(crate) fn binary(profile: Profile) -> anyhow::Result<PathBuf> {
    let folder = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    Ok(target_dir()?.join(folder).join("zc-trace"))
}

/// Builds zc-trace, with cargo's own progress, and returns the binary.
pub(crate) fn build(profile: Profile) -> anyhow::Result<PathBuf> {
    let status = build_command(profile).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("zc-trace was not built; what cargo says above is why");
    }
    binary(profile)
}
