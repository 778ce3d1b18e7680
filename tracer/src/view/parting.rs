//! The line that stays in the terminal when the dashboard is left: what the trace came to, and how to keep more of it.

use super::format::{self, count, marked_ratio};
use crate::{export::document::Document, model::snapshot::Losses};

/// One line, and a hint.
pub fn line(document: &Document) -> String {
    let totals = &document.snapshot.totals;
    let target = &document.target;
    let lost = if totals.losses != Losses::default() { "; detail was lost, totals are exact" } else { "" };
    format!(
        "zc-trace: {} ({}) for {}: {} operations, {} payload, {} copies per byte{lost}\n\
         zc-trace: --lines ends with a report, --json FILE keeps the whole trace\n",
        format::escape(&target.comm),
        target.pid,
        format::minutes_and_seconds(document.duration_ns),
        count(totals.operations),
        format::payload(totals.payload_bytes_at_most, totals.payload_evidence),
        marked_ratio(totals.copy_amplification, totals.copy_amplification_evidence),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    #[test]
    fn names_are_harmless_and_losses_are_told() {
        for document in samples::documents() {
            let line = line(&document);
            assert_eq!(line.lines().count(), 2, "{line}");
            assert!(!line.contains('\x1b'), "{line}");
        }
        assert!(line(&samples::lossy()).contains("detail was lost"));
        assert!(!line(&samples::busy()).contains("detail was lost"));
    }
}
