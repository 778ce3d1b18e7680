//! Interrupts that arrive while a traced thread is on the CPU: those from user mode are transitions, others are not.
//!
//! Which it was, no tracepoint tells. It follows from the user registers that the kernel saved last: an entry by
//! interrupt or fault leaves no call number in them, and while a fault is being handled they still are those that the
//! fault was reported with.

use tracer_common::slot::{ThreadSlot, state};

use crate::{
    arch::Registers,
    form::{Context, hook},
    kernel::Task,
    threads::{self, slot_of},
};

/// A device's interrupt.
#[hook]
pub fn irq_handler_entry(_ctx: Context) -> i32 {
    interrupted()
}

/// The local timer (x86).
#[hook]
pub fn local_timer_entry(_ctx: Context) -> i32 {
    interrupted()
}

/// Another CPU asks to reschedule (x86).
#[hook]
pub fn reschedule_entry(_ctx: Context) -> i32 {
    interrupted()
}

/// Another CPU asks to call functions (x86).
#[hook]
pub fn call_function_entry(_ctx: Context) -> i32 {
    interrupted()
}

/// Another CPU asks to call one function (x86).
#[hook]
pub fn call_function_single_entry(_ctx: Context) -> i32 {
    interrupted()
}

#[inline(always)]
fn interrupted() -> i32 {
    let task = Task::current();
    if let Some(slot) = slot_of(task) {
        if slot.state & (state::BEFORE_EXEC | state::EXITING) != 0 {
            return 0;
        }
        threads::activate(task, slot);
        if in_user_mode(task, slot) {
            slot.user_interrupts += 1;
        } else {
            slot.kernel_interrupts += 1;
            slot.call_interrupts += 1;
        }
    }
    0
}

#[inline(always)]
fn in_user_mode(task: Task, slot: &ThreadSlot) -> bool {
    if slot.state & state::IN_CALL != 0 {
        return false;
    }
    let registers = Registers::of(task);
    registers.call_number() < 0 && registers.place() != slot.fault_registers
}
