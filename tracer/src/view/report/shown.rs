//! What of a trace the report lists.

use crate::{
    export::document::Document,
    filter::Filter,
    findings::Finding,
    model::snapshot::{CallStatistics, Descriptor, Flow, RequestStatistics},
    view::{
        format::{count, counted, escape},
        layout::Page,
        style::Paint,
    },
};

/// The rows that a filter lets through.
pub(super) struct Shown<'a> {
    pub(super) flows: Vec<&'a Flow>,
    pub(super) findings: Vec<&'a Finding>,
    pub(super) calls: Vec<&'a CallStatistics>,
    pub(super) requests: Vec<&'a RequestStatistics>,
    pub(super) descriptors: Vec<&'a Descriptor>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(document: &'a Document, filter: &Filter) -> Self {
        let snapshot = &document.snapshot;
        Self {
            flows: rows(&snapshot.flows, |flow| filter.matches_flow(flow)),
            findings: rows(&document.findings, |finding| filter.matches_finding(finding)),
            calls: rows(&snapshot.calls, |call| filter.matches_call(call)),
            requests: rows(&snapshot.requests, |request| filter.matches_request(request)),
            descriptors: rows(&snapshot.descriptors, |descriptor| filter.matches_descriptor(descriptor)),
        }
    }

    /// Says how much is listed, if that is not everything.
    pub(super) fn write(&self, page: &mut Page, document: &Document, filter: &Filter) {
        if filter.is_empty() {
            return;
        }
        let of = |shown: usize, all: usize, noun: &str| {
            format!("{} of {}", count(shown as u64), counted(all as u64, noun))
        };
        let snapshot = &document.snapshot;
        let mut lists = vec![
            of(self.flows.len(), snapshot.flows.len(), "flow"),
            of(self.findings.len(), document.findings.len(), "finding"),
            of(self.calls.len(), snapshot.calls.len(), "system call"),
        ];
        if !snapshot.requests.is_empty() {
            lists.push(of(self.requests.len(), snapshot.requests.len(), "opcode"));
        }
        lists.push(of(self.descriptors.len(), snapshot.descriptors.len(), "descriptor"));
        let text = format!(
            "listed below, --filter {}: {} (totals are of everything)",
            escape(&filter.to_string()),
            lists.join(", ")
        );
        page.blank();
        page.wrapped(Paint::Warning, 2, &text);
    }
}

fn rows<T>(all: &[T], shown: impl Fn(&T) -> bool) -> Vec<&T> {
    all.iter().filter(|row| shown(row)).collect()
}
