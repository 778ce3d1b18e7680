//! `cargo xtask screenshots`: the pictures of the README, made by the harness of the scenarios.

use std::path::Path;

use anyhow::{Context as _, bail};
use xtask::privilege;

use crate::{checks, workspace};

/// Makes them anew, with this binary.
pub(crate) fn make(binary: &Path) -> anyhow::Result<()> {
    let folder = workspace::root().join("docs/screenshots");
    let mut command =
        workspace::cargo(&["run", "--quiet", "--package", "zc-trace-tests", "--bin", "screenshots"]);
    if privilege::is_root() {
        command.env("ZC_TRACE", binary);
    } else {
        command.arg("--config").arg(checks::sudo_runner(binary, &[]));
    }
    command.arg("--").arg(&folder);
    if !command.status().context("cannot start cargo")?.success() {
        bail!("the pictures were not made; what is said above is why");
    }
    eprintln!("pictures in {}", folder.display());
    Ok(())
}
