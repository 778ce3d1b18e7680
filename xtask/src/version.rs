//! Versions of Rust and LLVM: how they are read and how they compare.

use std::fmt;

/// A release of Rust, such as 1.96.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// Always 1, so far.
    pub major: u32,
    /// What a release is known by.
    pub minor: u32,
    /// Zero where it was not said.
    pub patch: u32,
}

impl Release {
    /// Reads `1.96.0`, `1.95` and `1.98.0-nightly`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor, patch) = numbers(text)?;
        Some(Self { major, minor, patch })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A version of LLVM. The patch level is left out: it changes nothing in the bitcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Llvm {
    /// The number Debian's packages and bpf-linker's features are named by.
    pub major: u32,
    /// `None` where only the major number is known.
    pub minor: Option<u32>,
}

impl Llvm {
    /// Reads `22.1.8`, `22.1.8-rust-1.96.0-stable` and `22`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((major, minor, _)) = numbers(text) {
            return Some(Self { major, minor: Some(minor) });
        }
        Some(Self { major: text.trim().parse().ok()?, minor: None })
    }

    /// Whether a linker with this LLVM reads the bitcode of a compiler with `compiler`'s: the same major number, and not
    /// older. An unknown minor number is taken to fit, since within a major one the format hardly moves.
    pub fn reads(&self, compiler: &Self) -> bool {
        let not_older = match (self.minor, compiler.minor) {
            (Some(own), Some(other)) => own >= other,
            _ => true,
        };
        self.major == compiler.major && not_older
    }
}

impl fmt::Display for Llvm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            Some(minor) => write!(f, "LLVM {}.{minor}", self.major),
            None => write!(f, "LLVM {}", self.major),
        }
    }
}

/// What `rustc -vV` says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rustc {
    /// Its own version.
    pub release: Release,
    /// The version of the LLVM inside.
    pub llvm: Llvm,
}

impl Rustc {
    /// Reads the output of `rustc -vV`.
    pub fn parse(verbose: &str) -> Option<Self> {
        Some(Self {
            release: Release::parse(field(verbose, "release: ")?)?,
            llvm: Llvm::parse(field(verbose, "LLVM version: ")?)?,
        })
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// The leading `major.minor[.patch]` of a version, whatever follows it.
fn numbers(text: &str) -> Option<(u32, u32, u32)> {
    let end = text.trim().find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.trim().len());
    let mut parts = text.trim()[..end].split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    let patch = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    Some((major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\nbinary: rustc\n\
        commit-hash: ac68faa20c58cbccd01ee7208bf3b6e93a7d7f96\ncommit-date: 2026-05-25\n\
        host: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n";

    #[test]
    fn rustc_is_read() {
        let rustc = Rustc::parse(DEBIAN).unwrap();
        assert_eq!(rustc.release, Release { major: 1, minor: 96, patch: 0 });
        assert_eq!(rustc.llvm, Llvm { major: 22, minor: Some(1) });
    }

    #[test]
    fn a_nightly_is_read() {
        let rustc = Rustc::parse("rustc\nrelease: 1.98.0-nightly\nLLVM version: 23.1.0\n").unwrap();
        assert_eq!(rustc.release.to_string(), "1.98.0");
        assert_eq!(rustc.llvm.to_string(), "LLVM 23.1");
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Rustc::parse("error: no such toolchain"), None);
        assert_eq!(Rustc::parse("release: 1.96.0\n"), None);
        assert_eq!(Llvm::parse("llvm"), None);
        assert_eq!(Release::parse(""), None);
    }

    #[test]
    fn releases_compare_by_number_not_by_text() {
        assert!(Release::parse("1.100.0") > Release::parse("1.95.2"));
        assert_eq!(Release::parse("1.95"), Release::parse("1.95.0"));
    }

    #[test]
    fn a_linker_reads_its_own_major_version_and_nothing_newer() {
        let llvm = |text| Llvm::parse(text).unwrap();
        assert!(llvm("22.1.8").reads(&llvm("22.1.2")));
        assert!(llvm("22.2.0").reads(&llvm("22.1.2")));
        assert!(llvm("22").reads(&llvm("22.1.2")));
        assert!(!llvm("22.0.0").reads(&llvm("22.1.2")));
        assert!(!llvm("21.1.0").reads(&llvm("22.1.2")));
        assert!(!llvm("23.1.0").reads(&llvm("22.1.2")));
    }
}
