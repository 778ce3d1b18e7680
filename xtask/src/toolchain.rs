//! Finds what builds the kernel programs: a compiler with a `core` for the target, and a linker with the same LLVM.
//!
//! Two kinds of compiler will do. Debian's packages bring a `core` built for the target; with rustup it is built from
//! `rust-src` on the way, by stable or nightly alike. Whatever does not fit is found here, where it can be said in a
//! sentence, and not at link time, where it shows as `Invalid record`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, error, fmt, fs, iter};

use crate::linker::{self, Linker};
use crate::version::{Release, Rustc};
use crate::{capture, environment};

/// The target of the kernel programs.
pub const TARGET: &str = "bpfel-unknown-none";

/// Names the one Rust installation (a folder with `bin/rustc`) to build the kernel programs with, and no other.
pub const SYSROOT_VARIABLE: &str = "ZC_TRACE_EBPF_SYSROOT";

/// How a compiler comes by `core` for the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// It was installed with it.
    Prebuilt,
    /// It is built along with the kernel programs.
    FromSource,
}

/// A compiler that can build for [`TARGET`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// Where it is installed.
    pub sysroot: PathBuf,
    /// What it says of itself.
    pub version: Rustc,
    /// Where its `core` comes from.
    pub core: Core,
}

impl Compiler {
    /// The compiler itself, not rustup's stand-in.
    pub fn rustc(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }

    /// The clippy of the same installation: no other can read this compiler's `core`.
    pub fn clippy_driver(&self) -> PathBuf {
        self.sysroot.join("bin/clippy-driver")
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {} ({}, {})", self.version.release, self.rustc().display(), self.version.llvm)
    }
}

/// All that it takes to build the kernel programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// Compiles.
    pub compiler: Compiler,
    /// Links.
    pub linker: Linker,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, bpf-linker ({}, {})", self.compiler, self.linker.path.display(), self.linker.llvm)
    }
}

/// Why the kernel programs cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No compiler for the target.
    Compiler {
        /// The newest that would do were it not too old.
        too_old: Option<Compiler>,
    },
    /// A compiler, but no linker that reads what it writes.
    Linker {
        /// The compiler that would be used.
        compiler: Compiler,
        /// Linkers that were found, with another LLVM.
        unfit: Vec<Linker>,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel programs cannot be built: ")?;
        match self {
            Self::Compiler { too_old: None } => write!(f, "no Rust compiler here has a `core` for {TARGET}")?,
            Self::Compiler { too_old: Some(compiler) } => {
                write!(f, "{compiler} is too old, they need Rust {} or newer", minimum())?;
            }
            Self::Linker { compiler, unfit } => describe_unfit(f, compiler, unfit)?,
        }
        f.write_str("; run `cargo xtask setup`, which gets what is missing")
    }
}

fn describe_unfit(f: &mut fmt::Formatter<'_>, compiler: &Compiler, unfit: &[Linker]) -> fmt::Result {
    let Some(linker) = unfit.first() else {
        return write!(f, "there is no bpf-linker for {compiler}");
    };
    let path = linker.path.display();
    write!(f, "bpf-linker at {path} is built with {} and cannot read what {compiler} writes", linker.llvm)
}

impl error::Error for Missing {}

/// The first compiler that has its linker, or what is missing for the first compiler.
pub fn find() -> Result<Toolchain, Missing> {
    let mut missing = None;
    let mut too_old = None;
    for compiler in compilers() {
        if Some(compiler.version.release) < minimum_release() {
            too_old.get_or_insert(compiler);
            continue;
        }
        match linker::find(&compiler.version.llvm) {
            Ok(linker) => return Ok(Toolchain { compiler, linker }),
            Err(unfit) => _ = missing.get_or_insert(Missing::Linker { compiler, unfit }),
        }
    }
    Err(missing.unwrap_or(Missing::Compiler { too_old }))
}

/// What the kernel programs ask for is what the workspace asks for: they share a crate.
pub fn minimum() -> &'static str {
    env!("CARGO_PKG_RUST_VERSION")
}

fn minimum_release() -> Option<Release> {
    Release::parse(minimum())
}

/// Every compiler with a `core` for the target, the one that needs the least work first. Lazy, because asking costs.
fn compilers() -> impl Iterator<Item = Compiler> {
    let chosen = env::var_os(SYSROOT_VARIABLE).map(PathBuf::from);
    let known = if chosen.is_some() { Vec::new() } else { known_sysroots() };
    let last =
        iter::once_with(|| if env::var_os(SYSROOT_VARIABLE).is_some() { None } else { active_sysroot() });
    chosen.into_iter().chain(known).chain(last.flatten()).filter_map(|sysroot| inspect(&sysroot))
}

fn inspect(sysroot: &Path) -> Option<Compiler> {
    let core = core_in(sysroot)?;
    let said = capture::answer(Command::new(sysroot.join("bin/rustc")).arg("-vV"))?;
    Some(Compiler { sysroot: sysroot.to_path_buf(), version: Rustc::parse(&said)?, core })
}

fn core_in(sysroot: &Path) -> Option<Core> {
    let rustlib = sysroot.join("lib/rustlib");
    let is_core = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore-");
    if fs::read_dir(rustlib.join(TARGET).join("lib"))
        .is_ok_and(|mut files| files.any(|file| file.is_ok_and(is_core)))
    {
        return Some(Core::Prebuilt);
    }
    rustlib.join("src/rust/library/core/Cargo.toml").is_file().then_some(Core::FromSource)
}

/// The system's, then rustup's: first the toolchain in use, then the rest by name.
fn known_sysroots() -> Vec<PathBuf> {
    let mut sysroots = vec![PathBuf::from("/usr")];
    let Some(toolchains) = rustup_toolchains() else { return sysroots };
    sysroots.extend(env::var_os("RUSTUP_TOOLCHAIN").map(|name| toolchains.join(name)));
    let mut rest: Vec<PathBuf> =
        fs::read_dir(&toolchains).into_iter().flatten().flatten().map(|e| e.path()).collect();
    rest.sort();
    rest.retain(|path| !sysroots.contains(path));
    sysroots.append(&mut rest);
    sysroots
}

fn rustup_toolchains() -> Option<PathBuf> {
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".rustup"));
    Some(env::var_os("RUSTUP_HOME").map(PathBuf::from).or(home)?.join("toolchains"))
}

/// Where the `rustc` in `PATH` is installed, for those that neither Debian nor rustup brought.
fn active_sysroot() -> Option<PathBuf> {
    let rustc = environment::find_program("rustc")?;
    let sysroot = capture::answer(Command::new(rustc).args(["--print", "sysroot"]))?;
    Some(PathBuf::from(sysroot.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Llvm;

    fn compiler(release: &str, llvm: &str) -> Compiler {
        let version = Rustc { release: Release::parse(release).unwrap(), llvm: Llvm::parse(llvm).unwrap() };
        Compiler { sysroot: PathBuf::from("/usr"), version, core: Core::Prebuilt }
    }

    #[test]
    fn a_missing_compiler_is_one_sentence_with_a_way_out() {
        assert_eq!(
            Missing::Compiler { too_old: None }.to_string(),
            "the kernel programs cannot be built: no Rust compiler here has a `core` for bpfel-unknown-none; \
             run `cargo xtask setup`, which gets what is missing"
        );
    }

    #[test]
    fn an_old_compiler_is_named_with_what_is_needed() {
        let text = Missing::Compiler { too_old: Some(compiler("1.85.0", "19.1.7")) }.to_string();
        assert!(
            text.contains("rustc 1.85.0 (/usr/bin/rustc, LLVM 19.1) is too old, they need Rust 1.95"),
            "{text}"
        );
    }

    #[test]
    fn a_mismatch_names_both_sides() {
        let unfit =
            vec![Linker { path: PathBuf::from("/opt/bpf-linker"), llvm: Llvm::parse("21.1.0").unwrap() }];
        let text = Missing::Linker { compiler: compiler("1.96.0", "22.1.8"), unfit }.to_string();
        assert_eq!(
            text,
            "the kernel programs cannot be built: bpf-linker at /opt/bpf-linker is built with LLVM 21.1 and cannot read \
             what rustc 1.96.0 (/usr/bin/rustc, LLVM 22.1) writes; run `cargo xtask setup`, which gets what is missing"
        );
    }

    #[test]
    fn a_missing_linker_names_the_compiler_it_is_for() {
        let text = Missing::Linker { compiler: compiler("1.96.0", "22.1.8"), unfit: Vec::new() }.to_string();
        assert!(text.contains("no bpf-linker for rustc 1.96.0"), "{text}");
    }

    #[test]
    fn an_empty_folder_is_no_compiler() {
        assert_eq!(core_in(Path::new("/proc")), None);
        assert_eq!(inspect(Path::new("/proc")), None);
    }
}
