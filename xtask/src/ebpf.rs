//! Builds and checks the kernel programs. How the compiler is called is known here and nowhere else.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::toolchain::{Core, TARGET, Toolchain};
use crate::{capture, environment};

/// The kernel programs' objects, as their package names them: typed by BTF, and raw.
pub const OBJECTS: [&str; 2] = ["zc-trace-ebpf", "zc-trace-ebpf-raw"];

/// The object with programs that do nothing, which is embedded nowhere: `cargo xtask bench overhead` measures against it.
pub const FLOOR: &str = "zc-trace-ebpf-floor";

/// Between the flags of `CARGO_ENCODED_RUSTFLAGS`: unlike the space of `RUSTFLAGS`, it occurs in no path.
const FLAG_SEPARATOR: &str = "\x1f";

/// What is built, for whom, and where it goes.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The folder of the crate.
    pub source: PathBuf,
    /// Where cargo puts what it makes; shared by the builds of all profiles, since the objects are the same for each.
    pub target_dir: PathBuf,
    /// The architecture of the kernel, as Rust names it: it decides the layout of the saved registers.
    pub arch: String,
}

impl Programs {
    /// The kernel programs of the workspace at `root`, for the machine we run on.
    pub fn of_workspace(root: &Path, target_dir: &Path) -> Self {
        Self {
            source: root.join("tracer-ebpf"),
            target_dir: target_dir.join("ebpf"),
            arch: std::env::consts::ARCH.to_owned(),
        }
    }

    /// Where an object is once it is built.
    pub fn object(&self, name: &str) -> PathBuf {
        self.target_dir.join(TARGET).join("release").join(name)
    }
}

/// Builds the kernel programs: all [`OBJECTS`]. The error of a failed build holds all that the compiler said.
pub fn build(toolchain: &Toolchain, programs: &Programs) -> anyhow::Result<()> {
    let captured = capture::run(cargo(toolchain, programs, "build"))?;
    if !captured.status.success() {
        bail!("the kernel programs do not compile with {toolchain}:\n{}", captured.text.trim_end());
    }
    for object in OBJECTS.map(|name| programs.object(name)) {
        if !object.is_file() {
            bail!("the kernel programs compiled but left no object at {}", object.display());
        }
    }
    Ok(())
}

/// The command that lints the kernel programs with warnings denied.
pub fn clippy_command(toolchain: &Toolchain, programs: &Programs) -> anyhow::Result<Command> {
    let driver = toolchain.compiler.clippy_driver();
    if !driver.is_file() {
        bail!(
            "the kernel programs cannot be linted because {} has no clippy beside it; run `cargo xtask setup`",
            toolchain.compiler
        );
    }
    let mut command = cargo(toolchain, programs, "check");
    command.env("RUSTC_WORKSPACE_WRAPPER", driver);
    // As `cargo clippy -- -D warnings` would: it cannot be called itself, because it brings the driver of another rustc.
    command.env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__");
    Ok(command)
}

fn cargo(toolchain: &Toolchain, programs: &Programs, subcommand: &str) -> Command {
    let compiler = &toolchain.compiler;
    // `build-std` is private to a cargo and its own compiler; a `core` that is there asks for no particular cargo.
    let own_cargo = Some(compiler.sysroot.join("bin/cargo")).filter(|file| file.is_file());
    let own_cargo = own_cargo.filter(|_| compiler.core == Core::FromSource);
    let mut command = environment::fresh_cargo(&own_cargo.unwrap_or_else(environment::cargo));
    command.current_dir(&programs.source);
    command.args([subcommand, "--release", "--target", TARGET, "--target-dir"]).arg(&programs.target_dir);
    if compiler.core == Core::FromSource {
        command.args(["-Z", "build-std=core"]);
    }
    command.env("RUSTC", compiler.rustc());
    // aya-ebpf needs inline assembly for BPF, which stable compilers keep behind this switch.
    command.env("RUSTC_BOOTSTRAP", "1");
    command.env("CARGO_ENCODED_RUSTFLAGS", rustc_flags(toolchain, &programs.arch).join(FLAG_SEPARATOR));
    command
}

fn rustc_flags(toolchain: &Toolchain, arch: &str) -> Vec<String> {
    vec![
        "--cfg".to_owned(),
        format!("bpf_target_arch=\"{arch}\""),
        // For every crate, `core` too: the kernel refuses a program when a function it calls has no func_info.
        "-Cdebuginfo=2".to_owned(),
        format!("-Clinker={}", toolchain.linker.path.display()),
        "-Clink-arg=--btf".to_owned(),
        // With that switch, which the linker passes on by default, LLVM calls a loop over bytes for whatever is cleared, be it
        // three words, and to copy more than 128 bytes: in the hooks on calls that was most of their time.
        "-Clink-arg=--disable-expand-memcpy-in-order".to_owned(),
    ]
}

/// Builds the kernel programs and copies the [`OBJECTS`] into `folder`.
pub fn build_into(toolchain: &Toolchain, programs: &Programs, folder: &Path) -> anyhow::Result<()> {
    build(toolchain, programs)?;
    for name in OBJECTS {
        let object = programs.object(name);
        std::fs::copy(&object, folder.join(name))
            .with_context(|| format!("cannot copy {} to {}", object.display(), folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linker::Linker;
    use crate::toolchain::Compiler;
    use crate::version::{Llvm, Release, Rustc};

    fn toolchain(core: Core) -> Toolchain {
        let llvm = Llvm { major: 22, minor: Some(1) };
        let version = Rustc { release: Release { major: 1, minor: 96, patch: 0 }, llvm };
        let compiler = Compiler { sysroot: PathBuf::from("/a folder"), version, core };
        Toolchain { compiler, linker: Linker { path: PathBuf::from("/a cache/bpf-linker"), llvm } }
    }

    fn arguments(core: Core) -> Vec<String> {
        let programs = Programs::of_workspace(Path::new("/w"), Path::new("/t"));
        let command = cargo(&toolchain(core), &programs, "build");
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn core_is_built_only_where_there_is_none() {
        assert!(!arguments(Core::Prebuilt).contains(&"build-std=core".to_owned()));
        assert!(arguments(Core::FromSource).contains(&"build-std=core".to_owned()));
    }

    #[test]
    fn paths_with_spaces_stay_one_flag() {
        let flags = rustc_flags(&toolchain(Core::Prebuilt), "aarch64");
        assert!(flags.contains(&"-Clinker=/a cache/bpf-linker".to_owned()));
        assert!(flags.contains(&"bpf_target_arch=\"aarch64\"".to_owned()));
    }

    #[test]
    fn the_objects_are_below_the_given_folder() {
        let programs = Programs::of_workspace(Path::new("/w"), Path::new("/t"));
        let object = programs.object("zc-trace-ebpf-raw");
        assert_eq!(object, Path::new("/t/ebpf/bpfel-unknown-none/release/zc-trace-ebpf-raw"));
    }
}
