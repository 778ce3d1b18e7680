//! Reading the kernel's structures: typed loads where the form has them, probe reads elsewhere.

use core::{ffi::c_void, mem::MaybeUninit, ptr};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use tracer_common::{
    offsets::{ABSENT, Config, Offsets},
    slot::Accounts,
};

use crate::form;

#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = Offsets::NONE;

#[unsafe(no_mangle)]
pub static CONFIG: Config = Config::NONE;

/// Reads one member offset. Volatile, or the compiler would fold in the placeholder that user space overrides.
macro_rules! offset {
    ($member:ident) => {
        $crate::kernel::constant(&$crate::kernel::OFFSETS.$member)
    };
}
pub(crate) use offset;

/// Reads one setting, likewise.
macro_rules! config {
    ($member:ident) => {
        $crate::kernel::constant(&$crate::kernel::CONFIG.$member)
    };
}
pub(crate) use config;

/// Reads a constant that user space sets before it loads the program.
#[inline(always)]
pub fn constant(value: &u32) -> u32 {
    // SAFETY: a valid reference.
    unsafe { ptr::read_volatile(value) }
}

/// A member of a structure that the verifier does not know by type; zeros if it cannot be read. No branch on success:
/// each would double the paths that the verifier walks, and the helper fills with zeros by itself when it fails
/// (kernel/trace/bpf_trace.c, `bpf_probe_read_kernel_common`).
#[inline(always)]
pub fn probe<T: Copy>(base: u64, offset: u32) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    let from = base.wrapping_add(offset as u64);
    // SAFETY: the helper checks the address and always writes the whole value; T is made of integers.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from as *const c_void);
        value.assume_init()
    }
}

/// `struct task_struct`, typed where the form is.
#[derive(Clone, Copy)]
pub struct Task(pub *const u8);

impl Task {
    /// The task on this CPU.
    #[inline(always)]
    pub fn current() -> Self {
        Self(form::current())
    }

    #[inline(always)]
    fn member<T: Copy>(self, offset: u32) -> T {
        // SAFETY: a struct task_struct; in the typed form the verifier checks that the load is one whole member.
        unsafe { form::load(self.0, offset as usize) }
    }

    #[inline(always)]
    pub fn tgid(self) -> u32 {
        self.member(offset!(task_tgid))
    }

    #[inline(always)]
    pub fn tid(self) -> u32 {
        self.member(offset!(task_pid))
    }

    #[inline(always)]
    pub fn start_ns(self) -> u64 {
        self.member(offset!(task_start))
    }

    #[inline(always)]
    pub fn state(self) -> u32 {
        self.member(offset!(task_state))
    }

    #[inline(always)]
    pub fn exit_code(self) -> u32 {
        self.member(offset!(task_exit_code))
    }

    /// Whether it is a worker or the polling thread of io_uring.
    #[inline(always)]
    pub fn is_io_worker(self) -> bool {
        /// include/linux/sched.h
        const PF_IO_WORKER: u32 = 0x10;
        self.flags() & PF_IO_WORKER != 0
    }

    /// `PF_*`.
    #[inline(always)]
    pub fn flags(self) -> u32 {
        if offset!(task_flags) == ABSENT {
            return 0;
        }
        self.member(offset!(task_flags))
    }

    #[inline(always)]
    pub fn thread_status(self) -> u32 {
        if offset!(task_status) == ABSENT {
            return 0;
        }
        self.member(offset!(task_status))
    }

    /// `task->files`, as an address: tasks with the same one share their descriptors.
    #[inline(always)]
    pub fn files(self) -> u64 {
        self.member(offset!(task_files))
    }

    /// `task->files->fdt`: how many descriptors there are, and the address of the array of open files.
    #[inline(always)]
    pub fn descriptors(self) -> (u32, u64) {
        // SAFETY: in the typed form each load is a pointer member of a structure that the verifier knows, or its end.
        unsafe {
            let files: *const u8 = form::load(self.0, offset!(task_files) as usize);
            let table: *const u8 = form::load(files, offset!(files_fdt) as usize);
            (
                form::load(table, offset!(fdtable_max) as usize),
                form::load(table, offset!(fdtable_fd) as usize),
            )
        }
    }

    /// Whether a page fault in kernel mode fails at once instead of bringing the page: then the kernel accounts none
    /// (arch/x86/mm/fault.c, `do_user_addr_fault`).
    #[inline(always)]
    pub fn takes_no_faults(self) -> bool {
        offset!(task_faults_disabled) != ABSENT
            && self.member::<i32>(offset!(task_faults_disabled)) > form::FAULTS_DISABLED_BY_LOAD
    }

    /// `task->bio_list`: not null while a block device's driver makes requests of a request.
    #[inline(always)]
    pub fn bio_list(self) -> u64 {
        self.member(offset!(task_bio_list))
    }

    /// `task->fs`, as an address.
    #[inline(always)]
    pub fn fs(self) -> u64 {
        self.member(offset!(task_fs))
    }

    #[inline(always)]
    pub fn comm(self, into: &mut [u8; 16]) {
        // A probe read: typed loads of a char array go byte by byte on older kernels.
        *into = probe(self.0 as u64, offset!(task_comm));
    }

    /// Copies the kernel's own accounts of this task.
    #[inline(always)]
    pub fn accounts(self, into: &mut Accounts) {
        self.switches_and_faults(into);
        self.io(into);
    }

    /// The part that moves on outside of system calls.
    #[inline(always)]
    pub fn switches_and_faults(self, into: &mut Accounts) {
        into.voluntary = self.member(offset!(task_voluntary));
        into.involuntary = self.member(offset!(task_involuntary));
        into.minor_faults = self.member(offset!(task_minor_faults));
        into.major_faults = self.member(offset!(task_major_faults));
    }

    /// Minor and major page faults, the low halves.
    #[inline(always)]
    pub fn faults(self) -> (u32, u32) {
        let minor: u64 = self.member(offset!(task_minor_faults));
        let major: u64 = self.member(offset!(task_major_faults));
        (minor as u32, major as u32)
    }

    /// The part that belongs to system calls. To agree with what the calls returned, it is taken only where a call
    /// begins or ends, and at the very end of a thread.
    #[inline(always)]
    pub fn io(self, into: &mut Accounts) {
        if config!(storage_accounts) == 0 {
            return;
        }
        into.read_chars = self.member(offset!(task_rchar));
        into.written_chars = self.member(offset!(task_wchar));
        into.read_calls = self.member(offset!(task_syscr));
        into.write_calls = self.member(offset!(task_syscw));
        into.storage_read_bytes = self.member(offset!(task_read_bytes));
        into.storage_written_bytes = self.member(offset!(task_write_bytes));
    }
}
