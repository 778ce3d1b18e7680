//! The saved user registers, per architecture: the only place that knows their layout.

#[cfg(bpf_target_arch = "aarch64")]
pub use tracer_common::run::SPREAD_AARCH64 as SPREAD;
#[cfg(bpf_target_arch = "x86_64")]
pub use tracer_common::run::SPREAD_X86_64 as SPREAD;

use crate::{form, kernel};

/// The user registers that the kernel saved on entry (`struct pt_regs`).
#[derive(Clone, Copy)]
pub struct Registers(pub *const u8);

/// x86-64 (arch/x86/include/asm/ptrace.h, `struct pt_regs`; part of the ptrace ABI, so it does not change).
#[cfg(bpf_target_arch = "x86_64")]
mod layout {
    pub const BP: usize = 32;
    pub const BX: usize = 40;
    pub const R10: usize = 56;
    pub const R9: usize = 64;
    pub const R8: usize = 72;
    pub const CX: usize = 88;
    pub const DX: usize = 96;
    pub const SI: usize = 104;
    pub const DI: usize = 112;
    pub const ORIG_AX: usize = 120;
    pub const IP: usize = 128;
    pub const SP: usize = 152;
    /// arch/x86/include/asm/thread_info.h: a 32-bit system call is running.
    pub const TS_COMPAT: u32 = 2;
}

#[cfg(bpf_target_arch = "x86_64")]
impl Registers {
    /// The six arguments of a system call.
    #[inline(always)]
    pub fn arguments(self, compat: bool, into: &mut [u64; 8]) {
        use layout::*;
        // Spelt out: a loop would index the registers by a variable, which the verifier refuses for typed pointers.
        if compat {
            into[0] = self.at(BX);
            into[1] = self.at(CX);
            into[2] = self.at(DX);
            into[3] = self.at(SI);
            into[4] = self.at(DI);
            into[5] = self.at(BP);
        } else {
            into[0] = self.at(DI);
            into[1] = self.at(SI);
            into[2] = self.at(DX);
            into[3] = self.at(R10);
            into[4] = self.at(R8);
            into[5] = self.at(R9);
        }
    }

    /// The first argument of a system call.
    #[inline(always)]
    pub fn first(self, compat: bool) -> u64 {
        self.at(if compat { layout::BX } else { layout::DI })
    }

    /// The argument that holds a call's flags, by its place: the third, the fourth or the sixth.
    #[inline(always)]
    pub fn flags(self, compat: bool, place: u32) -> u32 {
        use layout::*;
        let value = match (place, compat) {
            (2, _) => self.at(DX),
            (3, false) => self.at(R10),
            (3, true) => self.at(SI),
            (_, false) => self.at(R9),
            (_, true) => self.at(BP),
        };
        value as u32
    }

    /// The number of the system call that entered the kernel; negative if something else did (an interrupt or a fault:
    /// arch/x86/entry/entry_64.S, `idtentry_body` stores -1).
    #[inline(always)]
    pub fn call_number(self) -> i64 {
        self.at(layout::ORIG_AX) as i64
    }

    /// Where the program was: instruction pointer, stack pointer, and the count register of string instructions, which
    /// moves while `rep movs` stays at one address.
    #[inline(always)]
    pub fn place(self) -> [u64; 3] {
        [self.at(layout::IP), self.at(layout::SP), self.at(layout::CX)]
    }
}

/// arch/x86 uses include/uapi/asm-generic/fcntl.h.
#[cfg(bpf_target_arch = "x86_64")]
pub const O_DIRECT: u32 = 0o40_000;

/// The call that ends a signal handler. At its return the saved registers are those of the interrupted program, and say
/// that no call is under way (arch/x86/kernel/signal_64.c, `restore_sigcontext`).
#[cfg(bpf_target_arch = "x86_64")]
pub const RT_SIGRETURN: u32 = 15;

/// Whether the task is in a system call of the 32-bit ABI.
#[cfg(bpf_target_arch = "x86_64")]
#[inline(always)]
pub fn compat(task: kernel::Task) -> bool {
    task.thread_status() & layout::TS_COMPAT != 0
}

impl Registers {
    /// Those of a task, as it last entered the kernel from user mode.
    #[inline(always)]
    pub fn of(task: kernel::Task) -> Self {
        Self(form::saved_registers(task))
    }

    #[inline(always)]
    fn at(self, offset: usize) -> u64 {
        // SAFETY: a struct pt_regs; in the typed form the verifier checks offset and size.
        unsafe { form::load::<u64>(self.0, offset) }
    }
}
