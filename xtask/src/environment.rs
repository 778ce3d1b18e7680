//! What surrounds the programs we call: where they are, and which variables they must not inherit.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Where a person says how to reach a registry, how many jobs to run and how to draw; the rest belongs to the outer cargo.
const KEPT: [&str; 8] = [
    "CARGO_HOME",
    "CARGO_NET_",
    "CARGO_HTTP_",
    "CARGO_REGISTRY_",
    "CARGO_REGISTRIES_",
    "CARGO_SOURCE_",
    "CARGO_BUILD_JOBS",
    "CARGO_TERM_",
];

/// A cargo that starts afresh: without the compiler, flags, wrappers and folders that the cargo around us (or a person)
/// set for the user-space build. Any of them would build the kernel programs wrongly, or into the wrong place.
pub fn fresh_cargo(cargo: &Path) -> Command {
    let mut command = Command::new(cargo);
    for (name, _) in env::vars_os() {
        if is_inherited(&name) {
            command.env_remove(name);
        }
    }
    command
}

/// The cargo that called us, else the one in `PATH`.
pub fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Where `program` is: in `PATH`, or in the folders of administrators' programs that a person's `PATH` often lacks.
pub fn find_program(program: &str) -> Option<PathBuf> {
    find_programs(program).next()
}

/// All places where `program` is, the first one first.
pub fn find_programs(program: &str) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let folders: Vec<PathBuf> = env::split_paths(&path).chain(sbin).collect();
    folders.into_iter().map(move |folder| folder.join(program)).filter(|file| is_executable(file))
}

/// The folder of what is expensive to get and shared by every clone.
pub fn cache() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let base = base.ok_or_else(|| {
        anyhow::anyhow!(
            "cannot tell where the cache is because neither XDG_CACHE_HOME nor HOME is set; set one of them"
        )
    })?;
    Ok(base.join("zc-trace"))
}

fn is_inherited(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let cargos = name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept));
    let compilers = name.starts_with("RUSTC") || name.starts_with("RUSTDOC") || name.starts_with("CLIPPY_");
    cargos
        || compilers
        || matches!(name, "RUSTFLAGS" | "TARGET" | "HOST" | "OUT_DIR" | "PROFILE" | "LLVM_PREFIX")
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_outer_cargo_set_is_dropped() {
        for name in
            ["CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "CARGO", "CARGO_MAKEFLAGS"]
        {
            assert!(is_inherited(OsStr::new(name)), "{name}");
        }
        for name in ["RUSTC", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "RUSTDOCFLAGS", "CLIPPY_ARGS"] {
            assert!(is_inherited(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn how_to_reach_a_registry_is_kept() {
        for name in
            ["CARGO_HOME", "CARGO_HTTP_PROXY", "CARGO_NET_OFFLINE", "CARGO_TERM_COLOR", "PATH", "RUSTUP_HOME"]
        {
            assert!(!is_inherited(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn programs_are_found_or_not() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("a-program-nobody-has"), None);
    }
}
