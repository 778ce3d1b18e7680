//! The wire between the kernel programs (`tracer-ebpf`) and the daemon (`tracer`).
//!
//! Here live the layouts that both sides share: [`record`]s of the ring buffer, [`slot`]s of traced threads,
//! [`endpoint`] identities, the [`call`] table, the opcodes of [`request`]s, [`run`]s of like calls, the [`limits`], what is [`counted`] inside calls,
//! and what a [`device`] moved. No logic lives here beyond constant tables: whatever needs a decision belongs to one of
//! the two sides.
#![no_std]

pub mod call;
pub mod counted;
pub mod device;
pub mod endpoint;
pub mod limits;
pub mod offsets;
#[cfg(feature = "user")]
mod pod;
pub mod record;
pub mod request;
pub mod run;
pub mod slot;
