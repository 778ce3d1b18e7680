//! The form for kernels that publish no types, or take no typed programs: raw tracepoints, whose arguments are numbers
//! to the verifier, so that each member is a probe read; slot numbers in a hash map by task pointer; and threads that
//! already run are attached by the first hook that meets them. `form/typed.rs` has the same interface; nothing else
//! differs between the two objects. docs/raw-form.md says what this form costs and cannot know.

mod check;

use aya_ebpf::{helpers::generated::bpf_get_current_task, macros::map, maps::HashMap};
pub use aya_ebpf::{macros::raw_tracepoint as hook, programs::RawTracePointContext as Context};
use tracer_common::{limits::THREADS, slot::state};

use crate::{
    kernel::{Task, offset, probe},
    maps::{CONTROL, TARGETS},
    threads::{self, Claim},
};

/// Slot numbers plus one by task pointer; 0 for a task that has and gets no slot.
#[map]
static THREAD_OF_TASK: HashMap<u64, u32> = HashMap::with_max_entries(THREADS, 0);

/// `BPF_NOEXIST` (include/uapi/linux/bpf.h).
const NO_EXIST: u64 = 1;

/// A member of a structure that the verifier does not know: a probe read.
///
/// # Safety
/// None is needed, the helper checks the address; the typed form needs it.
#[inline(always)]
pub unsafe fn load<T: Copy>(base: *const u8, offset: usize) -> T {
    probe(base as u64, offset as u32)
}

/// By how much a load itself raises `task->pagefault_disabled` while it reads (mm/maccess.c, `copy_from_kernel_nofault`).
pub const FAULTS_DISABLED_BY_LOAD: i32 = 1;

/// The `struct task_struct` on this CPU.
#[inline(always)]
pub fn current() -> *const u8 {
    // SAFETY: no arguments; always returns the current task.
    unsafe { bpf_get_current_task() as *const u8 }
}

/// The `struct pt_regs` that a task left when it last entered the kernel from user mode: at the end of its kernel stack,
/// but how far from it depends on how the kernel was built (THREAD_SIZE, which KASAN doubles, less
/// TOP_OF_KERNEL_STACK_PADDING, which FRED brings; arch/x86/include/asm/processor.h, `task_pt_regs`). So user space has
/// a hook say where they are before it begins: see [`check`].
#[inline(always)]
pub fn saved_registers(task: Task) -> *const u8 {
    let at = CONTROL.get(0).map_or(0, |control| control.registers_at);
    probe::<u64>(task.0 as u64, offset!(task_stack)).wrapping_add(at as u64) as *const u8
}

/// The task's slot number plus one, if it has one.
#[inline(always)]
pub fn find(task: Task) -> Option<u32> {
    // SAFETY: copied at once. An entry is taken away only when its task will run no more.
    unsafe { THREAD_OF_TASK.get(task.0 as u64) }.copied()
}

/// Gives the task a slot number plus one, unless it has one.
#[inline(always)]
pub fn set(task: Task, number: u32) -> Claim {
    if find(task).is_some_and(|taken| taken != 0) {
        return Claim::Taken;
    }
    if THREAD_OF_TASK.insert(task.0 as u64, number, 0).is_ok() { Claim::Made } else { Claim::NoRoom }
}

/// Gives a task without a slot one if it belongs to a process to attach to. Costs every hook that meets an untraced task
/// a probe read and a look-up.
///
/// Not inlined: this is the rare way, and it would be in every hook.
#[inline(never)]
pub fn attach(task: Task) -> Option<u32> {
    if threads::has_ended() {
        return None;
    }
    let tgid = task.tgid();
    // SAFETY: only tells whether there is one.
    unsafe { TARGETS.get(tgid) }?;
    // Claims the task first: an interrupt may come in between, and its hook must not give the same task a second slot.
    // The claim stays if there is no slot, so that the loss is counted once.
    THREAD_OF_TASK.insert(task.0 as u64, 0, NO_EXIST).ok()?;
    threads::begin(task, state::ATTACHED | state::MAYBE_IN_CALL | state::PENDING, tgid, false);
    find(task)
}

/// At a thread's last switch: its pointer may be another's from now on, and after the last thread its process id too.
#[inline(always)]
pub fn forget(task: Task) {
    let _ = THREAD_OF_TASK.remove(task.0 as u64);
    let signal: u64 = probe(task.0 as u64, offset!(task_signal));
    // Threads of the process that have not begun to exit (kernel/exit.c, `do_exit`).
    if probe::<u32>(signal, offset!(signal_live)) == 0 {
        let _ = TARGETS.remove(task.tgid());
    }
}
