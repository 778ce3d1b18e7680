//! bpf-linker: where it is, and which LLVM is inside.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::environment;
use crate::version::Llvm;

/// The version that set-up builds.
pub const VERSION: &str = "0.13.0";

/// The major versions of LLVM that [`VERSION`] can be built with.
pub const LLVMS: RangeInclusive<u32> = 21..=23;

/// A bpf-linker on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linker {
    /// The program.
    pub path: PathBuf,
    /// The LLVM inside.
    pub llvm: Llvm,
}

/// Where set-up keeps the linker that goes with `llvm`: keyed by both versions, so that every clone finds it and none
/// mistakes another's.
pub fn cached_root(llvm: &Llvm) -> anyhow::Result<PathBuf> {
    Ok(environment::cache()?.join(format!("bpf-linker-{VERSION}-llvm{}", llvm.major)))
}

/// The linker for a compiler with `llvm`, or those that were found and do not fit.
pub fn find(llvm: &Llvm) -> Result<Linker, Vec<Linker>> {
    if let Some(linker) = cached(llvm) {
        return Ok(linker);
    }
    let (mut fitting, others): (Vec<_>, Vec<_>) = in_path().partition(|linker| linker.llvm.reads(llvm));
    if fitting.is_empty() { Err(others) } else { Ok(fitting.swap_remove(0)) }
}

fn cached(llvm: &Llvm) -> Option<Linker> {
    let path = cached_root(llvm).ok()?.join("bin/bpf-linker");
    // It is run because it may have lost its LLVM library to an upgrade of the system.
    starts(&path).then_some(Linker { path, llvm: Llvm { major: llvm.major, minor: None } })
}

/// Whether the linker runs at all.
pub fn starts(path: &Path) -> bool {
    path.is_file() && Command::new(path).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn in_path() -> impl Iterator<Item = Linker> {
    let path = env::var_os("PATH").unwrap_or_default();
    let files: Vec<PathBuf> = env::split_paths(&path).map(|folder| folder.join("bpf-linker")).collect();
    files.into_iter().filter(|file| starts(file)).filter_map(|path| {
        let llvm = llvm_inside(&fs::read(&path).ok()?)?;
        Some(Linker { path, llvm })
    })
}

/// The version of LLVM that a program was linked with. No option of bpf-linker tells it, so we look for the name of the
/// shared library (`libLLVM.so.22.1`) or, where LLVM is linked in, for the producer that its bitcode writer signs with
/// (`LLVM22.1.8`).
fn llvm_inside(program: &[u8]) -> Option<Llvm> {
    const MARK: &[u8] = b"LLVM";
    let after_mark = |start: usize| {
        let rest = program.get(start + MARK.len()..)?;
        let rest = rest.strip_prefix(b".so.").or_else(|| rest.strip_prefix(b"-")).unwrap_or(rest);
        let end = rest.iter().take(12).position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        let digits = std::str::from_utf8(rest.get(..end)?).ok()?;
        Llvm::parse(digits).filter(|llvm| llvm.minor.is_some())
    };
    program
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .find_map(|(at, _)| after_mark(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_of_a_dynamic_linker_is_its_library() {
        let llvm = llvm_inside(b"\0LLVMContext\0libLLVM.so.22.1\0LLVM_22.1\0").unwrap();
        assert_eq!(llvm, Llvm { major: 22, minor: Some(1) });
    }

    #[test]
    fn the_llvm_of_a_static_linker_is_its_producer() {
        let llvm = llvm_inside(b"\0LLVM (http://llvm.org/)\0LLVM21.1.3\0").unwrap();
        assert_eq!(llvm, Llvm { major: 21, minor: Some(1) });
    }

    #[test]
    fn a_program_without_llvm_has_none() {
        assert_eq!(llvm_inside(b"\0ELF\0LLVM\0LLVM_PREFIX\0"), None);
        assert_eq!(llvm_inside(b"LLV"), None);
    }

    #[test]
    fn the_cache_is_keyed_by_both_versions() {
        let root = cached_root(&Llvm { major: 22, minor: Some(1) }).unwrap();
        assert!(root.ends_with(format!("zc-trace/bpf-linker-{VERSION}-llvm22")), "{root:?}");
    }
}
