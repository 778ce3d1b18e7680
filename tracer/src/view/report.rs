//! The final report: what was traced, the totals, the flows, the system calls, and what is missing.

mod calls;
mod descriptors;
mod findings;
mod flows;
mod gaps;
mod header;

pub(crate) use flows::{kind_word, name, place_word};

use super::{
    format::LEGEND,
    layout::Page,
    style::{Paint, Style},
};
use crate::export::document::Document;

/// The report of a trace, no line wider than the style's columns, with a line break at its end.
pub fn report(document: &Document, style: Style) -> String {
    let mut page = Page::new(style);
    header::write(&mut page, document);
    flows::write(&mut page, &document.snapshot.flows);
    findings::write(&mut page, &document.findings);
    calls::write(&mut page, &document.snapshot.calls);
    calls::write_requests(&mut page, &document.snapshot.requests);
    descriptors::write(&mut page, &document.snapshot);
    calls::write_processes(&mut page, &document.snapshot.processes);
    gaps::write_losses(&mut page, &document.snapshot.totals.losses);
    gaps::write_in_flight(&mut page, &document.snapshot.in_flight);
    page.blank();
    for line in LEGEND {
        page.wrapped(Paint::Faint, 2, line);
    }
    page.render()
}

fn heading(page: &mut Page, text: &str) {
    page.blank();
    page.wrapped(Paint::Heading, 2, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{export::samples, view::format::width};

    fn plain(document: &Document) -> String {
        report(document, Style::plain())
    }

    #[test]
    fn an_empty_trace() {
        insta::assert_snapshot!(plain(&samples::empty()));
    }

    #[test]
    fn a_busy_trace() {
        insta::assert_snapshot!(plain(&samples::busy()));
    }

    #[test]
    fn a_busy_trace_on_a_wide_terminal() {
        insta::assert_snapshot!(report(&samples::busy(), Style { columns: 120, color: false }));
    }

    #[test]
    fn a_trace_with_losses() {
        insta::assert_snapshot!(plain(&samples::lossy()));
    }

    #[test]
    fn a_hostile_target() {
        insta::assert_snapshot!(plain(&samples::hostile()));
    }

    #[test]
    fn nothing_that_the_target_chose_reaches_the_terminal_raw() {
        let text = plain(&samples::hostile());
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()));
        assert!(!text.contains(['\u{202e}', '\u{200b}']));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for document in samples::documents() {
            for columns in [40, 60, 79, 80, 100, 132] {
                let text = report(&document, Style { columns, color: false });
                for line in text.lines() {
                    assert!(width(line) <= columns, "{columns}: {line}");
                }
            }
        }
    }

    #[test]
    fn colours_change_nothing_but_the_colours() {
        let painted = report(&samples::lossy(), Style { color: true, ..Style::plain() });
        let bare = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[1;33m"]
            .iter()
            .fold(painted, |text, code| text.replace(code, ""));
        assert_eq!(bare, plain(&samples::lossy()));
    }

    #[test]
    fn flows_beyond_the_first_twenty_are_counted() {
        let mut document = samples::busy();
        document.snapshot.flows = vec![samples::relay_flow(); 23];
        let text = plain(&document);
        assert_eq!(text.matches("read+write").count(), 20);
        assert!(text.contains("3 more flows"), "{text}");
    }
}
