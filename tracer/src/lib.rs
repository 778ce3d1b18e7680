//! zc-trace: traces the user/kernel transitions and the copies behind each transfer of a running process.
//!
//! Data flows one way: kernel hooks → ring buffer → probe → model → view and export.

pub mod error;
pub mod model;
pub mod probe;
