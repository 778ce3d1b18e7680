//! The model: events in, state out. Pure and deterministic: no I/O, no clock, no root.

pub mod endpoint;
pub mod event;
pub mod evidence;
pub mod snapshot;
