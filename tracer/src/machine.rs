//! The machine that is traced on, and what its kernel must have.

use std::{fs, os::unix::fs::MetadataExt as _};

use crate::{
    error::{Failure, Fatal, MORE_DESCRIPTORS},
    export::document::Machine,
    privileges,
    probe::LoadError,
};

/// The oldest kernel that is supported: `bpf_task_pt_regs` came with it.
const OLDEST: (u32, u32) = (5, 15);

/// Where the kernel says whether it is locked down.
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// The PID namespace that zc-trace runs in.
const PID_NAMESPACE: &str = "/proc/self/ns/pid";

/// That of its children: another one after `unshare(CLONE_NEWPID)`, and none before the first of them.
const PID_NAMESPACE_OF_CHILDREN: &str = "/proc/self/ns/pid_for_children";

/// The inode of the first PID namespace, the only one whose numbers the kernel side knows (include/linux/proc_ns.h,
/// `PROC_PID_INIT_INO`).
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// What the document says of this machine.
pub fn describe() -> Machine {
    let names = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(1));
    Machine {
        kernel: names.release().to_string_lossy().into_owned(),
        arch: names.machine().to_string_lossy().into_owned(),
        cpus,
    }
}

/// What decides whether a kernel can be traced on at all, read in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    /// As `uname -r` shows it.
    release: String,
    /// What `/sys/kernel/security/lockdown` says; empty if there is none.
    lockdown: String,
    /// The inode of the PID namespace, or of that of its children if it is another one, 0 if they have none yet; none if it
    /// cannot be read.
    pid_namespace: Option<u64>,
}

fn pid_namespace() -> Option<u64> {
    let inode = |path| fs::metadata(path).ok().map(|namespace| namespace.ino());
    let own = inode(PID_NAMESPACE)?;
    if own == FIRST_PID_NAMESPACE { Some(inode(PID_NAMESPACE_OF_CHILDREN).unwrap_or(0)) } else { Some(own) }
}

impl Facts {
    fn read() -> Self {
        Self {
            release: describe().kernel,
            // Without securityfs, or without the lockdown module, nothing is locked down.
            lockdown: fs::read_to_string(LOCKDOWN).unwrap_or_default(),
            pid_namespace: pid_namespace(),
        }
    }

    fn check(&self) -> Result<(), Fatal> {
        let Self { release, lockdown, pid_namespace } = self;
        if version(release).is_some_and(|version| version < OLDEST) {
            return Err(Fatal::new(
                Failure::Kernel,
                format!("this kernel ({release}) is older than 5.15, the oldest that zc-trace supports"),
                "boot a newer kernel",
            ));
        }
        if mode(lockdown) == Some("confidentiality") {
            return Err(Fatal::new(
                Failure::Kernel,
                "the kernel is locked down for confidentiality and lets no program read its memory",
                "boot without lockdown=confidentiality (see kernel_lockdown(7))",
            ));
        }
        if pid_namespace.is_some_and(|namespace| namespace != FIRST_PID_NAMESPACE) {
            return Err(Fatal::new(
                Failure::Kernel,
                "zc-trace runs in a PID namespace of its own, as in a container, where process numbers are not \
                 the kernel's",
                "run it on the host, with the host's process numbers, or in a container that shares them \
                 (--pid=host)",
            ));
        }
        Ok(())
    }
}

/// Checks what can be known before anything is loaded.
///
/// # Errors
/// If the kernel is too old or locked down, or numbers processes otherwise than this namespace does.
pub fn check() -> Result<(), Fatal> {
    Facts::read().check()
}

/// The mode in brackets, as in `none integrity [confidentiality]` (security/lockdown/lockdown.c, `lockdown_read`).
fn mode(lockdown: &str) -> Option<&str> {
    let (_, rest) = lockdown.split_once('[')?;
    rest.split_once(']').map(|(mode, _)| mode)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Says why the kernel side did not come up, and what to do.
pub fn explain(error: &LoadError) -> Fatal {
    let (failure, hint) = match error {
        LoadError::NoBtf(_) => (
            Failure::Kernel,
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (distribution kernels since 2021 are), \
             and mount sysfs; or give a file with this kernel's types: --btf FILE",
        ),
        LoadError::NoTypes { .. } | LoadError::OtherTypes(_) => (
            Failure::Kernel,
            "give raw BTF of the very kernel that runs (uname -r), such as pahole \
             --btf_encode_detached=FILE makes from its vmlinux with debug information, or BTFHub keeps",
        ),
        LoadError::NotPermitted(_) => (Failure::Privileges, privileges::HINT),
        LoadError::TooFewDescriptors(_) => (Failure::Privileges, MORE_DESCRIPTORS),
        LoadError::NoTracepoint(_) | LoadError::NoFunction(_) | LoadError::NoMember(..) => {
            (Failure::Kernel, "zc-trace doctor lists what this kernel has; a newer kernel may have it")
        }
        LoadError::Refused { .. } => {
            (Failure::Kernel, "please report it with the log and the output of zc-trace doctor")
        }
        LoadError::Interrupted(_) => (Failure::Internal, "nothing was traced: start it again"),
        LoadError::NotAttached { .. } | LoadError::Other(_) => {
            (Failure::Kernel, "zc-trace doctor shows what this kernel offers")
        }
    };
    Fatal::new(failure, error.to_string(), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(release: &str, lockdown: &str) -> Result<(), Fatal> {
        let pid_namespace = Some(FIRST_PID_NAMESPACE);
        Facts { release: release.to_owned(), lockdown: lockdown.to_owned(), pid_namespace }.check()
    }

    #[test]
    fn only_the_first_pid_namespace_has_the_numbers_of_the_kernel() {
        let check = |pid_namespace| {
            Facts { release: "6.18.0".to_owned(), lockdown: String::new(), pid_namespace }.check()
        };
        assert!(check(Some(0)).is_err(), "children would be in one that does not exist yet");
        let fatal = check(Some(4_026_532_281)).unwrap_err();
        assert_eq!(fatal.failure, Failure::Kernel);
        assert!(fatal.what.contains("PID namespace") && fatal.hint.contains("host"), "{fatal}");
        // One that cannot be read is no reason not to try.
        for namespace in [Some(4_026_531_836), None] {
            assert_eq!(check(namespace).map_err(|fatal| fatal.what), Ok(()), "{namespace:?}");
        }
    }

    #[test]
    fn kernels_before_5_15_are_refused() {
        for release in ["2.6.78-fc-v657", "4.19.0", "5.4.0-150-generic", "5.14.21-default", "5.9-rc1"] {
            let fatal = check(release, "").unwrap_err();
            assert_eq!(fatal.failure, Failure::Kernel);
            assert!(fatal.what.contains(release), "{fatal}");
        }
        // One whose name says nothing is tried.
        for release in ["5.15.0", "5.15", "6.1.0-18-cloud-amd64", "10.0", "next", ""] {
            assert_eq!(check(release, "").map_err(|fatal| fatal.what), Ok(()), "{release}");
        }
    }

    #[test]
    fn only_confidentiality_keeps_programs_from_reading() {
        let fatal = check("6.18.0", "none integrity [confidentiality]\n").unwrap_err();
        assert_eq!(fatal.failure, Failure::Kernel);
        assert!(fatal.hint.contains("lockdown=confidentiality"), "{fatal}");
        for lockdown in
            ["none [integrity] confidentiality\n", "[none] integrity confidentiality\n", "", "[", "]["]
        {
            assert_eq!(check("6.18.0", lockdown).map_err(|fatal| fatal.what), Ok(()), "{lockdown}");
        }
    }

    #[test]
    fn releases_of_distributions_are_read() {
        assert_eq!(version("6.1.0-18-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("5.15.0"), Some((5, 15)));
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("next"), None);
    }
}
