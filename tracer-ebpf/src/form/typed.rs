//! The form for kernels that publish their types: hooks whose arguments the verifier knows by BTF, so that members are
//! plain loads; a thread's slot number in its own task storage; and a task iterator that attaches to threads that
//! already run. `form/raw.rs` has the same interface; nothing else differs between the two objects.

mod iterator;
mod returns;
mod storage;

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_task_pt_regs};
pub use aya_ebpf::{macros::btf_tracepoint as hook, programs::BtfTracePointContext as Context};

pub use self::storage::{find, set};
use crate::kernel::Task;

/// A member of a structure whose type the verifier knows by its pointer: a plain load.
///
/// # Safety
/// `base` must be such a pointer; the verifier refuses the program otherwise.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: as above. Volatile keeps the compiler from splitting or merging loads, which BTF checks member by member.
    unsafe { core::ptr::read_volatile(base.add(offset).cast::<T>()) }
}

/// By how much a load itself raises `task->pagefault_disabled` while it reads: a plain load does not.
pub const FAULTS_DISABLED_BY_LOAD: i32 = 0;

/// The `struct task_struct` on this CPU.
#[inline(always)]
pub fn current() -> *const u8 {
    // SAFETY: no arguments; always returns the current task.
    unsafe { bpf_get_current_task_btf() }.cast()
}

/// The `struct pt_regs` that a task left when it last entered the kernel from user mode.
#[inline(always)]
pub fn saved_registers(task: Task) -> *const u8 {
    // SAFETY: the helper takes any task; since Linux 5.15.
    unsafe { bpf_task_pt_regs(task.0.cast_mut().cast()) as *const u8 }
}

/// Attaching to a task without a slot: never at a hook, the iterator has done it.
#[inline(always)]
pub fn attach(_task: Task) -> Option<u32> {
    None
}

/// At a thread's last switch: nothing to do, its storage goes with it.
#[inline(always)]
pub fn forget(_task: Task) {}
