//! The final report: what was traced, the totals, the flows, the system calls, and what is missing.

mod calls;
mod descriptors;
mod findings;
mod flows;
mod gaps;
mod header;
mod shown;

use shown::Shown;

pub(crate) use flows::{kind_word, name, place_word};

use super::{
    format::LEGEND,
    layout::Page,
    style::{Paint, Style},
};
use crate::{export::document::Document, filter::Filter};

/// The report of a trace, no line wider than the style's columns, with a line break at its end. Lists have the rows that the
/// filter lets through; totals are of everything.
pub fn report(document: &Document, filter: &Filter, style: Style) -> String {
    let mut page = Page::new(style);
    header::write(&mut page, document);
    let shown = Shown::of(document, filter);
    shown.write(&mut page, document, filter);
    flows::write(&mut page, &shown.flows, !filter.is_empty());
    findings::write(&mut page, &shown.findings);
    calls::write(&mut page, &shown.calls, &document.snapshot.calls);
    calls::write_requests(&mut page, &shown.requests);
    descriptors::write(&mut page, &shown.descriptors, &document.snapshot.descriptor_summary);
    calls::write_processes(&mut page, &document.snapshot.processes);
    gaps::write_summed(&mut page, &document.snapshot);
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
        report(document, &Filter::default(), Style::plain())
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
        insta::assert_snapshot!(report(
            &samples::busy(),
            &Filter::default(),
            Style { columns: 120, color: false }
        ));
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
                let text = report(&document, &Filter::default(), Style { columns, color: false });
                for line in text.lines() {
                    assert!(width(line) <= columns, "{columns}: {line}");
                }
            }
        }
    }

    #[test]
    fn colours_change_nothing_but_the_colours() {
        let painted = report(&samples::lossy(), &Filter::default(), Style { color: true, ..Style::plain() });
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

    #[test]
    fn a_filter_limits_the_lists_and_says_so() {
        let filter = Filter::parse("path=/srv/www bytes>=2M !call=write").unwrap();
        insta::assert_snapshot!(report(&samples::busy(), &filter, Style::plain()));
    }

    #[test]
    fn a_filter_that_hides_everything_says_so() {
        let filter = Filter::parse("\"no \u{1b}[2Jsuch\" bytes>=1G").unwrap();
        let text = report(&samples::busy(), &filter, Style::plain());
        assert!(text.contains("0 of 4 flows") && !text.contains("no payload was moved"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
