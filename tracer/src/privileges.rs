//! Whether this process may trace, told before anything is loaded.

use crate::error::{Failure, Fatal};

/// include/uapi/linux/capability.h
const CAP_SYS_PTRACE: u64 = 1 << 19;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

/// The capabilities in effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Capabilities(u64);

impl Capabilities {
    /// Those of this process; none if they cannot be read. Asked by capget(2), which needs no descriptor.
    pub(crate) fn of_self() -> Self {
        Self(rustix::thread::capabilities(None).map_or(0, |sets| sets.effective.bits()))
    }

    /// Names of those that are missing for loading programs.
    pub(crate) fn missing_to_load(self) -> Vec<&'static str> {
        if self.0 & CAP_SYS_ADMIN != 0 {
            return Vec::new();
        }
        [(CAP_BPF, "CAP_BPF"), (CAP_PERFMON, "CAP_PERFMON")]
            .into_iter()
            .filter(|(bit, _)| self.0 & bit == 0)
            .map(|(_, name)| name)
            .collect()
    }

    /// Whether processes of others may be traced.
    pub(crate) fn may_trace_others(self) -> bool {
        self.0 & CAP_SYS_PTRACE != 0
    }
}

/// What to do about missing rights.
pub(crate) const HINT: &str = "run it with sudo, or give the binary the rights: \
     sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace=ep $(command -v zc-trace)";

/// Checks the rights to load kernel programs.
///
/// # Errors
/// Names what is missing.
pub(crate) fn check() -> Result<(), Fatal> {
    let missing = Capabilities::of_self().missing_to_load();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!("zc-trace may not load kernel programs: {} missing", missing.join(" and "));
    Err(Fatal::new(Failure::Privileges, what, HINT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_two_capabilities_suffice() {
        assert!(Capabilities(0x0000_01ff_ffff_ffff).missing_to_load().is_empty());
        assert!(Capabilities(0x0000_00c0_0000_0000).missing_to_load().is_empty());
        assert_eq!(Capabilities(0).missing_to_load(), ["CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(Capabilities(0x0000_0080_0000_0000).missing_to_load(), ["CAP_PERFMON"]);
        assert!(!Capabilities(0x0000_00c0_0000_0000).may_trace_others());
    }

    #[test]
    fn they_are_those_that_proc_shows() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let shown = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        assert_eq!(Capabilities::of_self().0, u64::from_str_radix(shown.trim(), 16).unwrap());
    }
}
