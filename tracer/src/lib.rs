//! zc-trace: traces the user/kernel transitions and the copies behind each transfer of a running process.
//!
//! Data flows one way: kernel hooks → ring buffer → probe → model → view and export.

pub mod cli;
mod dashboard;
pub mod demo;
pub mod demonstration;
pub mod doctor;
mod ending;
mod entry;
pub mod error;
pub mod evidence;
pub mod export;
pub mod filter;
pub mod findings;
mod look;
pub mod machine;
pub mod model;
mod model_room;
pub mod options;
mod privileges;
pub mod probe;
mod pump;
pub mod session;
pub mod signals;
pub mod size;
mod spawn;
mod target;
pub mod view;
mod watching;

#[doc(hidden)]
pub use dashboard::rehearsal::Rehearsal;
