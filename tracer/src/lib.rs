//! zc-trace: traces the user/kernel transitions and the copies behind each transfer of a running process.
//!
//! Data flows one way: kernel hooks → ring buffer → probe → model → view and export.

pub mod demo;
pub mod export;
pub mod model;
pub mod view;
