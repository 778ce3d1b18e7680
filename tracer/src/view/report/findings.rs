//! The report's findings: what could cost less.

use super::{flows::name, heading};
use crate::{
    findings::{Finding, alike::FLOWS},
    view::{
        format::{bytes, count, counted},
        layout::Page,
        style::Paint,
    },
};

/// Most findings shown.
const SHOWN: usize = 5;

pub(super) fn write(page: &mut Page, findings: &[&Finding]) {
    if findings.is_empty() {
        return;
    }
    heading(page, "FINDINGS, what would save most first");
    for finding in findings.iter().take(SHOWN) {
        page.wrapped(Paint::Heading, 4, &format!("  {}", finding.title));
        let about = &finding.applies_to;
        let ends: Vec<String> = [&about.source, &about.sink].into_iter().flatten().map(name).collect();
        let flows =
            finding.figures.iter().find(|figure| figure.name == FLOWS).and_then(|figure| figure.value);
        let alike = flows.filter(|flows| *flows > 1);
        let alike = alike.map_or_else(String::new, |flows| format!(" ({} flows alike)", count(flows)));
        let ends = if ends.is_empty() { String::new() } else { format!(": {}", ends.join(" ──► ")) };
        page.wrapped(Paint::Plain, 4, &format!("  pid {}{ends}{alike}", about.pid));
        let saving = finding.saving;
        let saved = match saving.cpu_copied_bytes {
            0 => String::new(),
            copied => format!("{} of CPU copies and ", bytes(copied)),
        };
        let transitions = counted(saving.transitions, "transition");
        page.wrapped(Paint::Plain, 4, &format!("  would save {saved}{transitions} ~"));
        page.wrapped(Paint::Faint, 4, &format!("  {}", finding.advice));
        if !finding.also.is_empty() {
            page.wrapped(Paint::Faint, 4, &format!("  also found there: {}", finding.also.join(", ")));
        }
    }
    if let Some(hidden) = findings.len().checked_sub(SHOWN).filter(|hidden| *hidden > 0) {
        page.line(Paint::Faint, format!("  and {} more (--json has all)", count(hidden as u64)));
    }
}
