//! What people see: reads snapshots and documents, returns text. Nothing here writes anywhere or knows an event.

pub mod demo;
pub mod format;
mod layout;
pub mod live;
pub mod parting;
pub mod report;
pub mod style;
