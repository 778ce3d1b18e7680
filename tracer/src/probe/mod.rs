//! The probe: the only code that knows aya. Finds out what this kernel offers, loads and attaches the programs, and
//! turns what they report into the model's events.

pub mod call_table;
mod counters;
mod decode;
mod diagnostics;
pub mod endpoints;
pub mod hooks;
mod load;
pub mod mappings;
pub mod offsets;
mod reader;
mod serials;

pub use diagnostics::Diagnostics;
pub use load::{LoadError, Options, Probe};
pub use reader::Reader;
