//! Page faults: counted in user mode, and told with their address in either mode. (Counts of minor and major faults come
//! from the task's accounts.)

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{
    record::{FaultRecord, RecordKind, flag},
    slot::{ThreadSlot, state},
};

use crate::{
    arch::Registers,
    copies, emit,
    form::{Context, hook},
    kernel::Task,
    threads::{self, slot_of},
};

#[hook]
pub fn page_fault_user(ctx: Context) -> i32 {
    let task = Task::current();
    if let Some(slot) = slot_of(task) {
        threads::activate(task, slot);
        // A fault in user mode: the thread cannot have been inside a call when it was attached.
        slot.state &= !state::MAYBE_IN_CALL;
        if slot.state & state::BEFORE_EXEC == 0 {
            slot.user_faults += 1;
            tell(task, slot, ctx.arg(0), flags(ctx.arg(2)));
        }
        slot.fault_registers = Registers(ctx.arg(1)).place();
    }
    0
}

/// The kernel touches memory of the program inside a call: copies from or to pages that are not there yet. Those that it
/// does not wait for, its own first attempts and the looks that these programs take at the target's memory, fail at once
/// and are in no account.
#[hook]
pub fn page_fault_kernel(ctx: Context) -> i32 {
    let task = Task::current();
    if let Some(slot) = copies::in_call()
        && !task.takes_no_faults()
    {
        tell(task, slot, ctx.arg(0), flags(ctx.arg(2)) | flag::FAULT_IN_KERNEL);
    }
    0
}

/// What the processor says of the fault (arch/x86/include/asm/trap_pf.h: bit 0, the page was present; bit 1, a write).
#[inline(always)]
fn flags(code: u64) -> u16 {
    let present = (code & 1) as u16 * flag::FAULT_ON_PRESENT;
    let writes = (code >> 1 & 1) as u16 * flag::FAULT_WRITES;
    present | writes
}

/// Without room in the ring buffer only the place is lost: the number is in the accounts.
#[inline(always)]
fn tell(task: Task, slot: &ThreadSlot, address: u64, flags: u16) {
    let Some(mut entry) = emit::reserve::<FaultRecord>() else { return };
    // SAFETY: time has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let record = emit::body(&mut entry);
    emit::header(&mut record.header, RecordKind::FAULT, slot, now);
    record.header.flags = flags;
    record.address = address;
    (record.minor_faults, record.major_faults) = task.faults();
    emit::submit(entry, now);
}
