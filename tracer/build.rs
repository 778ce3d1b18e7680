//! Builds the kernel programs, which the daemon carries inside itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use xtask::ebpf::{self, Programs};
use xtask::toolchain;

/// What the objects are made from, seen from this package.
const SOURCES: [&str; 6] = [
    "../tracer-ebpf/src",
    "../tracer-ebpf/Cargo.toml",
    "../tracer-ebpf/Cargo.lock",
    "../tracer-common/src",
    "../tracer-common/Cargo.toml",
    "../Cargo.toml",
];

fn main() -> ExitCode {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-env-changed={}", toolchain::SYSROOT_VARIABLE);
    let toolchain = match toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(missing) => {
            // Cargo shows this as one line; a failing exit code would bury it under all that this script printed.
            println!("cargo::error={missing}");
            return ExitCode::SUCCESS;
        }
    };
    match embed(&toolchain) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn embed(toolchain: &toolchain::Toolchain) -> anyhow::Result<()> {
    let variable = |name: &str| env::var_os(name).with_context(|| format!("cargo did not set {name}"));
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let root = package.parent().context("the package is not in a workspace")?;
    let arch = variable("CARGO_CFG_TARGET_ARCH")?.to_string_lossy().into_owned();
    let programs = Programs { arch, ..Programs::of_workspace(root, target_dir(&out)) };
    ebpf::build_into(toolchain, &programs, &out)
}

/// Cargo's target folder, seen from `TARGET/PROFILE/build/PACKAGE/out`, so that debug, release and clippy builds share one
/// eBPF build. Should cargo lay its folders out otherwise, they share less.
fn target_dir(out: &Path) -> &Path {
    out.ancestors().nth(4).unwrap_or(out)
}
