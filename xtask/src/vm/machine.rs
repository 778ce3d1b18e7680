//! The machine that a kernel is booted on.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::packages::{Cache, Program};
use super::share::Share;

/// Two cards of each kind, each two on a hub that leads nowhere else. A hub hands on whole frames with their checksums, so
/// that a virtio card, which leaves gathering and checksums to what is behind it, can do neither. QEMU's vmxnet3 does both
/// by itself.
const CARDS: [&str; 2] = ["virtio-net-pci", "vmxnet3"];

/// A machine's memory, in bytes.
pub(super) const MEMORY: u64 = 2 << 30;

/// A machine's CPUs.
const CPUS: u64 = 2;

/// What runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU, which translates them: everywhere, at a tenth of the speed or less.
    Tcg,
}

impl Accelerator {
    /// The processor where it can: a KVM for paravirtual guests only (`kvm_pvm`) opens as any other and then runs no
    /// kernel of Debian's.
    pub(super) fn here() -> Self {
        let opens = OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let has_extension = cpu.split_whitespace().any(|word| word == "vmx" || word == "svm");
        if opens && has_extension && !Path::new("/sys/module/kvm_pvm").exists() {
            Self::Kvm
        } else {
            Self::Tcg
        }
    }

    /// QEMU's word. One thread for all of the guest's CPUs under emulation: with one each, kernels panic now and then
    /// when they patch their own code, which every attached program has them do.
    fn option(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=single",
        }
    }

    /// How long it may take from power on to the first sign of the guest's first process.
    pub(super) fn boot_limit(self) -> Duration {
        match self {
            Self::Kvm => Duration::from_secs(20),
            Self::Tcg => Duration::from_secs(120),
        }
    }

    /// How many CPUs of ours a machine keeps busy.
    pub(super) fn cpus(self) -> u64 {
        match self {
            Self::Kvm => CPUS,
            Self::Tcg => 1,
        }
    }

    /// By how much scenarios must be more patient than on the machine itself.
    pub(super) fn patience(self) -> u32 {
        match self {
            Self::Kvm => 2,
            Self::Tcg => 5,
        }
    }
}

/// What a machine is made of.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// QEMU.
    pub(super) qemu: Program,
    /// The kernel, unpacked.
    pub(super) kernel: PathBuf,
    /// What it starts with.
    pub(super) initramfs: PathBuf,
    /// Which scenarios it runs.
    pub(super) share: Share,
    /// The files behind its disks.
    pub(super) disks: Vec<PathBuf>,
    /// Where the console's output goes.
    pub(super) console: PathBuf,
    /// Where the second serial port's output goes.
    pub(super) results: PathBuf,
}

/// QEMU: the system's, or Debian's unpacked.
pub(super) fn qemu(cache: &Cache) -> anyhow::Result<Program> {
    cache.program("qemu-system-x86_64", "qemu-system-x86")
}

impl Machine {
    /// The command that runs it.
    pub(super) fn command(&self, accelerator: Accelerator) -> Command {
        let mut command = self.qemu.bound_command();
        if self.qemu.unpacked.is_some() {
            for folder in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
                command.arg("-L").arg(self.qemu.data(folder));
            }
        }
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.args(["-accel", accelerator.option(), "-cpu", "max"]);
        command.args(["-smp", &CPUS.to_string(), "-m", &format!("{}M", MEMORY >> 20)]);
        command.arg("-kernel").arg(&self.kernel).arg("-initrd").arg(&self.initramfs);
        command.arg("-append").arg(self.command_line(accelerator));
        for file in [&self.console, &self.results] {
            command.arg("-serial").arg(with_path("file:", file));
        }
        for (index, disk) in self.disks.iter().enumerate() {
            let drive = format!("if=none,id=disk{index},format=raw,cache=unsafe,file=");
            command.arg("-drive").arg(with_path(&drive, disk));
            command.args(["-device", &format!("virtio-blk-pci,drive=disk{index}")]);
        }
        for (hub, model) in CARDS.into_iter().enumerate() {
            for end in ["near", "far"] {
                command.args(["-netdev", &format!("hubport,id={end}{hub},hubid={hub}")]);
                command.args(["-device", &format!("{model},netdev={end}{hub},romfile=")]);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// The kernel's. What it does not know itself becomes the first process's environment (kernel-parameters.rst).
    fn command_line(&self, accelerator: Accelerator) -> String {
        // `oops=panic`: a kernel that we have damaged must not go on as if nothing were.
        // `swiotlb=force`: DMA goes through bounce buffers, as on machines whose devices do not reach all memory. virtio's
        // devices take no part, because they are told where the memory of a guest is.
        let kernel = "console=ttyS0 loglevel=5 panic=-1 oops=panic swiotlb=force";
        let Share { index, of } = self.share;
        let patience = accelerator.patience();
        format!("{kernel} SHARE_INDEX={index} SHARES={of} ZC_TRACE_TEST_PATIENCE={patience}")
    }
}

/// QEMU parts an option at its commas, and takes two for one.
fn with_path(option: &str, path: &Path) -> String {
    format!("{option}{}", path.display().to_string().replace(',', ",,"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_path_stays_in_it() {
        assert_eq!(with_path("file=", Path::new("/a,b")), "file=/a,,b");
    }

    #[test]
    fn emulation_has_one_thread() {
        assert_eq!(Accelerator::Tcg.option(), "tcg,thread=single");
    }
}
