//! Finds the development files of an LLVM of a given major version.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::version::Llvm;
use crate::{capture, environment};

/// The prefix of an installed LLVM that reads what a compiler with `wanted` writes.
pub(super) fn find(wanted: &Llvm) -> Option<PathBuf> {
    candidates(wanted).into_iter().find(|prefix| fits(prefix, wanted))
}

/// What a person named, then where distributions put it, then what is in `PATH`.
fn candidates(wanted: &Llvm) -> Vec<PathBuf> {
    let major = wanted.major;
    let named = env::var_os("LLVM_PREFIX").map(PathBuf::from);
    let usual = [
        format!("/usr/lib/llvm-{major}"),
        format!("/usr/lib64/llvm{major}"),
        format!("/usr/lib/llvm{major}"),
    ];
    let in_path = [format!("llvm-config-{major}"), "llvm-config".to_owned()]
        .into_iter()
        .filter_map(|name| prefix(&name));
    named.into_iter().chain(usual.map(PathBuf::from)).chain(in_path).collect()
}

fn prefix(llvm_config: &str) -> Option<PathBuf> {
    let said = capture::answer(Command::new(environment::find_program(llvm_config)?).arg("--prefix"))?;
    Some(PathBuf::from(said.trim_end()))
}

fn fits(prefix: &Path, wanted: &Llvm) -> bool {
    let version = capture::answer(Command::new(prefix.join("bin/llvm-config")).arg("--version"));
    let reads = version.and_then(|text| Llvm::parse(&text)).is_some_and(|llvm| llvm.reads(wanted));
    reads && has_library(prefix)
}

/// The name without a version, which only the development package brings, is what the linker asks for.
fn has_library(prefix: &Path) -> bool {
    ["lib", "lib64"].iter().any(|folder| fs::exists(prefix.join(folder).join("libLLVM.so")).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_llvm_does_not_fit() {
        assert!(!fits(Path::new("/proc"), &Llvm { major: 22, minor: Some(1) }));
    }

    #[test]
    fn debians_folder_is_looked_at() {
        let wanted = Llvm { major: 22, minor: Some(1) };
        assert!(candidates(&wanted).contains(&PathBuf::from("/usr/lib/llvm-22")));
    }
}
