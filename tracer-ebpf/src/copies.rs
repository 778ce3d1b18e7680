//! Copies that the CPU makes for a call or a request, counted where they are made.
//!
//! The functions that touch the bytes themselves (`_copy_to_iter` and its kin) cannot be hooked: all of `lib/` is built
//! without ftrace. So each hook stands one step above them, where the sum is exact.
//!
//! Which request of io_uring a thread runs no hook in between tells. So what is copied outside of operations is kept by
//! thread until the function returns that runs a request (`io_read` and its kin): it is that one's, whoever runs it.

use tracer_common::{
    call::CallClass,
    counted::Counted,
    slot::{ThreadSlot, state},
};

use crate::{
    aio, calls,
    form::{Context, hook},
    kernel::Task,
    maps::{CONTROL, REQUESTS, RUNNING},
    threads::slot_of,
};

/// Nothing, in read-only memory: on the stack it would be much of the 512 bytes.
static NOTHING: Counted = Counted::NONE;

/// The slot of the current thread if it is inside a call of its own.
#[inline(always)]
pub fn in_call() -> Option<&'static mut ThreadSlot> {
    let slot = slot_of(Task::current())?;
    (slot.state & (state::IN_CALL | state::BEFORE_EXEC) == state::IN_CALL).then_some(slot)
}

/// Where to count what is copied now, and the slot of the thread that does it.
#[inline(always)]
pub fn counted() -> Option<(&'static mut ThreadSlot, *mut Counted)> {
    counted_of(0)
}

/// The same where the kernel's own request (`struct kiocb`) is known: requests of AIO are found by it.
#[inline(always)]
pub fn counted_of(iocb: u64) -> Option<(&'static mut ThreadSlot, *mut Counted)> {
    let slot = slot_of(Task::current())?;
    if slot.state & state::BEFORE_EXEC != 0 {
        return None;
    }
    if slot.state & state::IN_CALL == 0 {
        let running = of_running(slot.tid)?;
        return Some((slot, running));
    }
    let class = calls::shape_of(slot.call).class;
    if calls::is_operation(class) {
        slot.pace.counted = 1;
        let counted: *mut Counted = &mut slot.counted;
        return Some((slot, counted));
    }
    let found = match class {
        CallClass::ENTERS_RING => of_running(slot.tid)?,
        CallClass::SUBMITS => aio::counted(slot.tgid, iocb)?,
        _ => return None,
    };
    Some((slot, found))
}

#[inline(always)]
fn of_running(tid: u32) -> Option<*mut Counted> {
    if CONTROL.get(0)?.counts_requests == 0 {
        return None;
    }
    if RUNNING.get_ptr(tid).is_none() {
        let nothing: &Counted = &NOTHING;
        let _ = RUNNING.insert(tid, nothing, 0);
    }
    RUNNING.get_ptr_mut(tid)
}

/// What was counted for the request that the thread runs is that one's: when the function returns that runs it, or when it
/// completes and will do so again.
#[inline(always)]
pub fn claim(tid: u32, request: u64) {
    let Some(running) = RUNNING.get_ptr_mut(tid) else { return };
    // SAFETY: only hooks of this thread use the entry.
    let running = unsafe { &mut *running };
    if let Some(entry) = REQUESTS.get_ptr_mut(request) {
        // SAFETY: a request is run by one thread at a time, and completes after that.
        unsafe { (*entry).counted.add(running) };
    }
    *running = Counted::NONE;
}

/// A socket's buffer to the memory of whoever receives (net/core/datagram.c, `skb_copy_datagram_iter`).
#[hook]
pub fn skb_copy_datagram_iovec(ctx: Context) -> i32 {
    if let Some((_, counted)) = counted() {
        let length: i32 = ctx.arg(1);
        // SAFETY: only hooks of this thread use it.
        unsafe { (*counted).to_user += length as u32 as u64 };
    }
    0
}
