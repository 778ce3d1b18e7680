//! Copies that the CPU makes for a call, counted where they are made.
//!
//! The functions that touch the bytes themselves (`_copy_to_iter` and its kin) cannot be hooked: all of `lib/` is built
//! without ftrace. So each hook stands one step above them, where the sum is exact.

use tracer_common::slot::{ThreadSlot, state};

use crate::{
    form::{Context, hook},
    kernel::Task,
    threads::slot_of,
};

/// The slot of the current thread if it is inside a call of its own.
#[inline(always)]
pub fn in_call() -> Option<&'static mut ThreadSlot> {
    let slot = slot_of(Task::current())?;
    (slot.state & (state::IN_CALL | state::BEFORE_EXEC) == state::IN_CALL).then_some(slot)
}

/// Likewise, to count inside that call.
#[inline(always)]
pub fn counting() -> Option<&'static mut ThreadSlot> {
    let slot = in_call()?;
    slot.pace.counted = 1;
    Some(slot)
}

/// A socket's buffer to the memory of whoever receives (net/core/datagram.c, `skb_copy_datagram_iter`).
#[hook]
pub fn skb_copy_datagram_iovec(ctx: Context) -> i32 {
    if let Some(slot) = counting() {
        let length: i32 = ctx.arg(1);
        slot.counted.to_user += length as u32 as u64;
    }
    0
}
