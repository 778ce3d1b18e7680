//! Builds bpf-linker into the cache.

use std::path::Path;
use std::{fs, process};

use anyhow::{Context as _, bail};

use crate::progress::{Outcome, Step};
use crate::version::Llvm;
use crate::{capture, environment, linker};

/// Builds the linker with the LLVM at `prefix`. It is built beside its place and then moved there, so that nobody finds
/// half of it and two set-ups at once do no harm.
pub(super) fn build(llvm: &Llvm, prefix: &Path) -> anyhow::Result<()> {
    let root = linker::cached_root(llvm)?;
    let partial = environment::cache()?.join(format!("partial-{}", process::id()));
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    let step = Step::start(format!("building bpf-linker {} with {llvm} (about a minute)", linker::VERSION));
    let result = install(llvm, prefix, &partial).and_then(|()| put_in_place(&partial, &root));
    step.finish(&if result.is_ok() { Outcome::Done(root.display().to_string()) } else { Outcome::Failed });
    // Whatever happened, nothing half-made stays; after success there is mostly nothing left to remove.
    let removed = fs::remove_dir_all(&partial).or_else(ignore_absence);
    result.and(removed.with_context(|| format!("cannot remove {}", partial.display())))
}

fn install(llvm: &Llvm, prefix: &Path, root: &Path) -> anyhow::Result<()> {
    let mut command = environment::fresh_cargo(&environment::cargo());
    // Out of the workspace, whose `.cargo/config.toml` is for its own packages.
    command.current_dir(root);
    command.args(["install", "bpf-linker", "--locked", "--no-default-features", "--no-track"]);
    command.arg(format!("--version={}", linker::VERSION)).arg(format!("--features=llvm-{}", llvm.major));
    command.arg("--root").arg(root).arg("--target-dir").arg(root.join("target"));
    command.env("LLVM_PREFIX", prefix);
    let captured = capture::run(command)?;
    if !captured.status.success() {
        bail!(
            "could not build bpf-linker {}; cargo's last words were:\n{}",
            linker::VERSION,
            captured.tail(15)
        );
    }
    let built = root.join("bin/bpf-linker");
    if !linker::starts(&built) {
        bail!(
            "bpf-linker {} was built with the LLVM at {} but does not start",
            linker::VERSION,
            prefix.display()
        );
    }
    fs::remove_dir_all(root.join("target")).or_else(ignore_absence)?;
    Ok(())
}

fn put_in_place(partial: &Path, root: &Path) -> anyhow::Result<()> {
    if linker::starts(&root.join("bin/bpf-linker")) {
        // Another set-up was faster; who found its linker may be using it.
        return Ok(());
    }
    fs::remove_dir_all(root)
        .or_else(ignore_absence)
        .with_context(|| format!("cannot replace {}", root.display()))?;
    fs::rename(partial, root)
        .with_context(|| format!("cannot move {} to {}", partial.display(), root.display()))
}

fn ignore_absence(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
