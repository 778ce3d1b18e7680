//! The probe: the only code that knows aya. Finds out what this kernel offers, loads and attaches the programs, and
//! turns what they report into the model's events.

mod btf;
pub mod call_table;
mod counters;
mod coverage;
pub mod decode;
mod descriptor_calls;
pub mod descriptors;
mod device_io;
mod diagnostics;
pub mod endpoints;
mod error;
pub mod form;
pub mod hooks;
mod load;
pub mod mappings;
mod missed_runs;
pub mod offsets;
mod pace;
mod programs;
mod reader;
mod serials;
mod sockets;

pub use diagnostics::Diagnostics;
pub use error::LoadError;
pub use form::{Form, Source};
pub use load::{Options, Probe};
pub use pace::{Detail, Latency};
pub use reader::Reader;
