//! 32-bit calls whose arguments lie in the program's memory.

use tracer_common::{call::CallShape, slot::ThreadSlot};

use crate::{calls, maps::SOCKET_CALLS, payload};

/// How many arguments there are at most.
const ARGUMENTS: u32 = 6;

/// Takes the arguments from where they are; of `socketcall`, by which 32-bit C libraries make the calls of sockets, as
/// those of the call that it stands for (net/compat.c).
#[inline(never)]
pub fn unfold(slot: &mut ThreadSlot) {
    let shape = calls::shape_of(slot.call);
    if shape.arguments_at == CallShape::AT_FIRST {
        arguments(slot, slot.args[0], ARGUMENTS);
    }
    if shape.arguments_at == CallShape::AT_SECOND
        && let Some(known) = SOCKET_CALLS.get(slot.args[0] as u32)
        // The kernel refuses others.
        && known.call != 0
    {
        slot.call = known.call;
        arguments(slot, slot.args[1], known.arguments);
    }
}

/// One by one: the last one may end where the memory does. Those beyond the `count` are 0.
#[inline(always)]
fn arguments(slot: &mut ThreadSlot, at: u64, count: u32) {
    for (index, argument) in (0..ARGUMENTS).zip(slot.args.iter_mut()) {
        let value = payload::word(at.wrapping_add(index as u64 * 4), true);
        *argument = if index < count { value } else { 0 };
    }
}
