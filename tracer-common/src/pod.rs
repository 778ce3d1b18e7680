//! These layouts may be copied to and from the kernel as bytes: `repr(C)`, integers only, no implicit padding.

use aya::Pod;

use crate::{
    call::{CallShape, SocketCall},
    device::{DeviceBytes, DeviceKey},
    endpoint::Endpoint,
    offsets::{Check, Config, Control, Offsets},
    slot::{CallCounters, LossCounters, SpillCounters, SpillKey, ThreadSlot},
};

// SAFETY: see the head of this file; sizes are asserted where the types are defined.
unsafe impl Pod for CallShape {}
// SAFETY: likewise.
unsafe impl Pod for SocketCall {}
// SAFETY: likewise.
unsafe impl Pod for DeviceBytes {}
// SAFETY: likewise.
unsafe impl Pod for DeviceKey {}
// SAFETY: likewise.
unsafe impl Pod for Endpoint {}
// SAFETY: likewise.
unsafe impl Pod for Check {}
// SAFETY: likewise.
unsafe impl Pod for Config {}
// SAFETY: likewise.
unsafe impl Pod for Control {}
// SAFETY: likewise.
unsafe impl Pod for Offsets {}
// SAFETY: likewise.
unsafe impl Pod for CallCounters {}
// SAFETY: likewise.
unsafe impl Pod for LossCounters {}
// SAFETY: likewise.
unsafe impl Pod for SpillCounters {}
// SAFETY: likewise.
unsafe impl Pod for SpillKey {}
// SAFETY: likewise.
unsafe impl Pod for ThreadSlot {}
