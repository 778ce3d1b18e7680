//! Gets what the build and the tests need, and does nothing where it is there already.

pub mod apt;
mod build_linker;
mod llvm;
mod rustup;

use anyhow::bail;

use crate::linker;
use crate::progress::{Outcome, Step};
use crate::toolchain::{self, Compiler, Missing, TARGET, Toolchain};
use crate::{environment, linker::LLVMS};

/// Debian's compiler with a `core` for the target, and the clippy that can read it.
const COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev-bpf", "rust-web-clippy"];

/// The programs that scenarios trace or compare with, and the packages they come in.
const TEST_PROGRAMS: [(&str, &str); 14] = [
    ("strace", "strace"),
    ("curl", "curl"),
    ("tmux", "tmux"),
    ("jq", "jq"),
    ("unshare", "util-linux"),
    ("timeout", "coreutils"),
    ("ps", "procps"),
    ("python3", "python3"),
    ("mkfs.ext4", "e2fsprogs"),
    ("fio", "fio"),
    ("nginx", "nginx-light"),
    ("socat", "socat"),
    ("rsync", "rsync"),
    ("valgrind", "valgrind"),
];

/// Gets what it takes to build the kernel programs.
pub fn build_tools() -> anyhow::Result<Toolchain> {
    // Each round gets one missing thing; a third one would only repeat the second.
    for _ in 0..2 {
        match toolchain::find() {
            Ok(toolchain) => return Ok(toolchain),
            Err(Missing::Compiler { .. }) => get_compiler()?,
            Err(Missing::Linker { compiler, .. }) => get_linker(&compiler)?,
        }
    }
    Ok(toolchain::find()?)
}

/// Gets what only the checks need: the kernel side's clippy and the programs of the scenarios. What cannot be had is
/// returned as one sentence each; the checks that need it are skipped.
pub fn test_tools(toolchain: &Toolchain) -> Vec<String> {
    let mut packages = missing_packages(|program| environment::find_program(program).is_some());
    if toolchain.compiler.sysroot == std::path::Path::new("/usr")
        && !toolchain.compiler.clippy_driver().is_file()
    {
        packages.push("rust-web-clippy");
    }
    if packages.is_empty() {
        return Vec::new();
    }
    let needed = packages.join(", ");
    if !apt::is_here() {
        return vec![format!("what needs {needed} is skipped; install them to have it run")];
    }
    let failure = install("Debian's packages for the tests", &packages).err();
    let sentence = |error| {
        format!("what needs {needed} is skipped ({error:#}); `{}` would bring them", apt::typed(&packages))
    };
    failure.map(sentence).into_iter().collect()
}

fn missing_packages(is_here: impl Fn(&str) -> bool) -> Vec<&'static str> {
    TEST_PROGRAMS.iter().filter(|(program, _)| !is_here(program)).map(|(_, package)| *package).collect()
}

fn get_compiler() -> anyhow::Result<()> {
    if let Some(sysroot) = std::env::var_os(toolchain::SYSROOT_VARIABLE) {
        bail!(
            "{} names {}, which has no Rust {} or newer with a `core` for {TARGET}; unset it, or name another",
            toolchain::SYSROOT_VARIABLE,
            sysroot.display(),
            toolchain::minimum()
        );
    }
    let mut refusals = Vec::new();
    for (is_here, get) in
        [(apt::is_here(), apt_compiler as fn() -> anyhow::Result<()>), (rustup::is_here(), rustup_source)]
    {
        if !is_here {
            continue;
        }
        match get() {
            Ok(()) if !matches!(toolchain::find(), Err(Missing::Compiler { .. })) => return Ok(()),
            Ok(()) => refusals.push("what came has no `core` for the target or is too old".to_owned()),
            Err(error) => refusals.push(format!("{error:#}")),
        }
    }
    if refusals.is_empty() {
        refusals.push("neither apt-get nor rustup is here to get one".to_owned());
    }
    bail!(
        "could not get a compiler for the kernel programs ({}); with network, `rustup component add rust-src` or `{}` \
         would bring one",
        refusals.join("; "),
        apt::typed(&COMPILER_PACKAGES)
    )
}

fn apt_compiler() -> anyhow::Result<()> {
    install("Debian's Rust for the kernel programs", &COMPILER_PACKAGES)
}

fn rustup_source() -> anyhow::Result<()> {
    rustup::add_source()
}

fn get_linker(compiler: &Compiler) -> anyhow::Result<()> {
    let llvm = compiler.version.llvm;
    if !LLVMS.contains(&llvm.major) {
        bail!(
            "could not get a linker for {compiler}: bpf-linker {} goes with LLVM {} to {} only; name another Rust \
             installation in {}",
            linker::VERSION,
            LLVMS.start(),
            LLVMS.end(),
            toolchain::SYSROOT_VARIABLE
        );
    }
    let prefix = match llvm::find(&llvm) {
        Some(prefix) => prefix,
        None => get_llvm(compiler)?,
    };
    build_linker::build(&llvm, &prefix)
}

fn get_llvm(compiler: &Compiler) -> anyhow::Result<std::path::PathBuf> {
    let llvm = compiler.version.llvm;
    let package = format!("llvm-{}-dev", llvm.major);
    let reason = match apt::is_here() {
        true => install(&format!("LLVM {} for the linker", llvm.major), &[&package])
            .err()
            .map(|e| format!("{e:#}")),
        false => Some("there is no apt-get here to get it".to_owned()),
    };
    if let Some(prefix) = llvm::find(&llvm) {
        return Ok(prefix);
    }
    bail!(
        "could not get a linker for {compiler} because the development files of LLVM {} are missing ({}); `{}` would bring \
         them, or install them your system's way, name their folder in LLVM_PREFIX, and run `cargo xtask setup` again",
        llvm.major,
        reason.unwrap_or_else(|| format!("{package} came without them")),
        apt::typed(&[&package])
    )
}

fn install(what: &str, packages: &[&str]) -> anyhow::Result<()> {
    let step = Step::start(format!("installing {what} ({})", packages.join(" ")));
    let result = apt::install(&step, packages);
    step.finish(&if result.is_ok() { Outcome::Done(String::new()) } else { Outcome::Failed });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_packages_of_absent_programs_are_asked_for() {
        assert_eq!(missing_packages(|_| true), Vec::<&str>::new());
        assert_eq!(
            missing_packages(|program| program != "ps" && program != "mkfs.ext4"),
            ["procps", "e2fsprogs"]
        );
    }
}
