//! The machine that is traced on, and what its kernel must have.

use std::fs;

use crate::{
    error::{Failure, Fatal},
    export::document::Machine,
    privileges,
    probe::LoadError,
};

/// The oldest kernel that is supported: `bpf_task_pt_regs` came with it.
const OLDEST: (u32, u32) = (5, 15);

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

/// Checks what can be known before anything is loaded.
///
/// # Errors
/// If the kernel is too old or locked down.
pub fn check() -> Result<(), Fatal> {
    let release = describe().kernel;
    if version(&release).is_some_and(|version| version < OLDEST) {
        return Err(Fatal::new(
            Failure::Kernel,
            format!("this kernel ({release}) is older than 5.15, the oldest that zc-trace supports"),
            "boot a newer kernel",
        ));
    }
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if lockdown.contains("[confidentiality]") {
        return Err(Fatal::new(
            Failure::Kernel,
            "the kernel is locked down for confidentiality and lets no program read its memory",
            "boot without lockdown=confidentiality (see kernel_lockdown(7))",
        ));
    }
    Ok(())
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
        LoadError::NoTracepoint(_) | LoadError::NoFunction(_) | LoadError::NoMember(..) => {
            (Failure::Kernel, "zc-trace doctor lists what this kernel has; a newer kernel may have it")
        }
        LoadError::Refused { .. } => {
            (Failure::Kernel, "please report it with the log and the output of zc-trace doctor")
        }
        LoadError::NotAttached { .. } | LoadError::Other(_) => {
            (Failure::Kernel, "zc-trace doctor shows what this kernel offers")
        }
    };
    Fatal::new(failure, error.to_string(), hint)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn releases_of_distributions_are_read() {
        assert_eq!(version("6.1.0-18-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("5.15.0"), Some((5, 15)));
        assert_eq!(version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version("next"), None);
    }
}
