//! Page faults taken in user mode. (Counts of minor and major faults, in either mode, come from the task's accounts.)

use tracer_common::slot::state;

use crate::{
    arch::Registers,
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
        }
        slot.fault_registers = Registers(ctx.arg(1)).place();
    }
    0
}
