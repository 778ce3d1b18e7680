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
            tell(slot, ctx.arg(0), 0);
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
    if let Some(slot) = copies::in_call()
        && !Task::current().takes_no_faults()
    {
        tell(slot, ctx.arg(0), flag::FAULT_IN_KERNEL);
    }
    0
}

/// Without room in the ring buffer only the place is lost: the number is in the accounts.
#[inline(always)]
fn tell(slot: &ThreadSlot, address: u64, flags: u16) {
    let Some(mut entry) = emit::reserve::<FaultRecord>() else { return };
    // SAFETY: time has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    let record = emit::body(&mut entry);
    emit::header(&mut record.header, RecordKind::FAULT, slot, now);
    record.header.flags = flags;
    record.address = address;
    emit::submit(entry, now);
}
