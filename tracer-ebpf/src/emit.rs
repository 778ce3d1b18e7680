//! Putting records into the ring buffer, and waking the reader no more often than needed.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    maps::ring_buf::RingBufEntry,
};
use tracer_common::{
    record::{Header, RecordKind},
    slot::ThreadSlot,
};

use crate::{
    kernel::config,
    maps::{LAST_WAKE, RING},
};

/// A wake-up costs some 9 µs of interrupt work: at most one per CPU in this time, ns. The reader polls besides.
const WAKE_INTERVAL_NS: u64 = 1_000_000;

/// Room for one record; `None` when the ring buffer is full.
#[inline(always)]
pub fn reserve<T: 'static>() -> Option<RingBufEntry<T>> {
    RING.reserve::<T>(0)
}

/// The record's memory. Every field must be written before it is submitted: the buffer holds old data.
#[inline(always)]
pub fn body<T: 'static>(entry: &mut RingBufEntry<T>) -> &mut T {
    // SAFETY: the records are plain integers, for which any bytes are a value.
    unsafe { &mut *entry.as_mut_ptr() }
}

/// Fills the head of a record.
#[inline(always)]
pub fn header(header: &mut Header, kind: RecordKind, slot: &ThreadSlot, now: u64) {
    header.kind = kind.0;
    header.flags = 0;
    header.call = slot.call;
    header.tgid = slot.tgid;
    header.tid = slot.tid;
    header.time_ns = now;
}

/// Hands the record over.
#[inline(always)]
pub fn submit<T: 'static>(entry: RingBufEntry<T>, now: u64) {
    entry.submit(wake_flag(now));
}

#[inline(always)]
fn wake_flag(now: u64) -> u64 {
    if RING.query(BPF_RB_AVAIL_DATA as u64) < config!(wake_bytes) as u64 {
        return BPF_RB_NO_WAKEUP as u64;
    }
    let Some(last) = LAST_WAKE.get_ptr_mut(0) else { return BPF_RB_NO_WAKEUP as u64 };
    // SAFETY: this CPU's own entry.
    let last = unsafe { &mut *last };
    if now.wrapping_sub(*last) < WAKE_INTERVAL_NS {
        return BPF_RB_NO_WAKEUP as u64;
    }
    *last = now;
    BPF_RB_FORCE_WAKEUP as u64
}
