//! How much of what is known a view holds: making all lists takes longer than who looks ten times a second wants to wait.

use super::flow_list::FlowList;

/// What a view holds besides totals and calls.
#[derive(Clone, Copy, Debug)]
pub struct Extent<'a> {
    /// Which flows.
    pub flows: FlowList<'a>,
    /// Whether processes, threads, and the calls that they are inside of.
    pub threads: bool,
    /// Whether descriptors.
    pub descriptors: bool,
    /// Whether mapped files.
    pub mapped_files: bool,
}

impl<'a> Extent<'a> {
    /// Everything, with these flows.
    pub fn with(flows: FlowList<'a>) -> Self {
        Self { flows, threads: true, descriptors: true, mapped_files: true }
    }

    /// These flows alone.
    pub fn only(flows: FlowList<'a>) -> Self {
        Self { flows, threads: false, descriptors: false, mapped_files: false }
    }
}
