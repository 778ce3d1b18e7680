//! The model: events in, state out. Pure and deterministic: no I/O, no clock, no root.
//!
//! [`event`] is what it is fed, [`snapshot`] what it knows. In between: `copies` says what one operation moves where,
//! `provenance` and `pipes` remember where bytes rest, `join` makes transfers of operations, `flow` adds them up.

pub mod endpoint;
pub mod event;
pub mod evidence;
pub mod extent;
pub mod fallback;
pub mod flow_detail;
pub mod flow_list;
pub mod heat;
pub mod ideal;
pub mod log2;
pub mod recent;
pub mod snapshot;
pub mod sources;

mod calls;
mod copies;
mod deferred;
mod deposit;
mod descriptors;
mod device_io;
mod endpoints;
pub(crate) mod errno;
mod faults;
mod finished;
mod flow;
mod hash;
mod interval;
mod join;
mod mappings;
mod method;
pub(crate) mod part;
mod path;
mod pipes;
mod proof;
mod provenance;
mod reach;
mod sent;
mod served;
mod state;
mod threads;
mod traits;
mod zerocopy;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;

pub use state::{Model, ModelConfig};
