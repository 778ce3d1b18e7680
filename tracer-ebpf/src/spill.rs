//! Sums of like operations that are not told one by one.

use tracer_common::{
    counted::Counted,
    slot::{SpillCounters, SpillKey},
};

use crate::maps::SPILL;

/// In read-only memory: on the stack it would be one more of the 512 bytes that all functions on the way share.
static NOTHING: SpillCounters = SpillCounters {
    operations: 0,
    errors: 0,
    bytes: 0,
    duration_ns: 0,
    blocked_ns: 0,
    preempted_ns: 0,
    storage_read_bytes: 0,
    storage_written_bytes: 0,
    storage_unknown: 0,
    counted: Counted::NONE,
    transitions: 0,
};

/// This CPU's sum of like operations, made if need be; `None` if there is no room.
#[inline(always)]
pub fn entry(key: &SpillKey) -> Option<&'static mut SpillCounters> {
    if SPILL.get_ptr_mut(key).is_none() {
        let nothing: &SpillCounters = &NOTHING;
        let _ = SPILL.insert(key, nothing, 0);
    }
    // SAFETY: this CPU's own entry; user space only reads it.
    SPILL.get_ptr_mut(key).map(|counters| unsafe { &mut *counters })
}
