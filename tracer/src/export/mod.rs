//! What zc-trace writes: for other programs the JSON document, the NDJSON stream, their schema and their files; for people
//! text on the standard streams.
//!
//! Reads snapshots and finished operations; knows nothing of events on the wire nor of how things are shown.

pub mod document;
mod escaped;
pub mod file;
pub mod json;
pub mod ndjson;
#[cfg(test)]
pub(crate) mod samples;
pub mod schema;
pub mod text;
