//! The demonstration as people see it: all methods side by side, then the anatomy of one classical transfer.

mod anatomy;
mod figures;

use self::figures::Figures;
use super::{
    format::{LEGEND, bytes, count, counted, decimal, escape, marked_bytes, ratio},
    layout::{Page, Table, left, right},
    style::{Paint, Style},
};
use crate::{
    export::document::{DemoDocument, DemoRun},
    model::snapshot::PageFaults,
};

/// The demonstration's result, no line wider than the style's columns, with a line break at its end.
pub fn demo(document: &DemoDocument, style: Style) -> String {
    let mut page = Page::new(style);
    if let Some(run) = document.demo.first() {
        page.wrapped(Paint::Heading, 2, &title(run));
    }
    page.blank();
    page.table(table(&document.demo).lines(0, style.columns));
    page.blank();
    page.wrapped(Paint::Plain, 0, EXPLANATION);
    anatomy::write(&mut page, &document.demo);
    page.blank();
    for line in LEGEND {
        page.wrapped(Paint::Faint, 2, line);
    }
    page.render()
}

/// The exception: Documentation/networking/msg_zerocopy.rst, "Loopback".
const EXPLANATION: &str = "Each row is the same file on its way to the same receiver; transitions and copies are those of the file's and the \
     connection's own calls, faults and CPU seconds those of the whole program. With read+write every chunk enters \
     the kernel twice and is copied twice by the CPU, only to be handed on unchanged. The methods below avoid copies, \
     calls or both, and what that saves shows in the CPU seconds; all but MSG_ZEROCOPY, which saves its copy only on a \
     real network card: on loopback the kernel copies after all.";

fn title(run: &DemoRun) -> String {
    let machine = &run.document.machine;
    format!(
        "One file of {} over a loopback TCP connection, {} a call, on Linux {} {}, {}",
        bytes(run.size_bytes),
        bytes(run.chunk_bytes),
        escape(&machine.kernel),
        escape(&machine.arch),
        counted(machine.cpus.into(), "CPU")
    )
}

fn table(runs: &[DemoRun]) -> Table {
    let mut table = Table::new(&[
        left("method"),
        right("transitions"),
        right("CPU-copied"),
        right("ampl."),
        right("faults"),
        right("DMA"),
        right("CPU s"),
        right("GB/s"),
    ]);
    for run in runs {
        table.row(row(run));
    }
    table
}

fn row(run: &DemoRun) -> [String; 8] {
    let PageFaults { minor, major } = run.document.snapshot.totals.page_faults;
    let figures = Figures::of(run);
    let known = |number: fn(&Figures) -> String| figures.as_ref().map_or_else(|| decimal(None), number);
    [
        label(&run.method),
        known(|figures| count(figures.transitions)),
        known(|figures| marked_bytes(figures.cpu_copied_bytes, figures.cpu_copied_evidence)),
        known(|figures| ratio(figures.amplification())),
        count(minor.saturating_add(major)),
        known(|figures| marked_bytes(figures.dma_bytes, figures.dma_evidence)),
        format!("{:.3}", run.cpu_seconds),
        run.bytes_per_second.map_or_else(|| decimal(None), |rate| format!("{:.2}", rate / 1e9)),
    ]
}

/// The method, without what all sending has in common: `MSG_ZEROCOPY`.
fn label(method: &str) -> String {
    let inner = method.strip_prefix("send(").and_then(|rest| rest.strip_suffix(')'));
    escape(inner.unwrap_or(method)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{export::samples, view::format::width};

    #[test]
    fn all_methods_and_the_anatomy() {
        insta::assert_snapshot!(demo(&samples::demo(), Style::plain()));
    }

    #[test]
    fn what_was_not_measured_is_unknown() {
        let mut document = samples::demo();
        document.demo.truncate(1);
        document.demo[0].bytes_per_second = None;
        let snapshot = &mut document.demo[0].document.snapshot;
        snapshot.totals.dma_bytes = None;
        snapshot.flows[0].dma_bytes = None;
        snapshot.flows[0].copies.clear();
        snapshot.calls.clear();
        insta::assert_snapshot!(demo(&document, Style::plain()));
    }

    #[test]
    fn a_demo_without_the_classical_method_has_no_anatomy() {
        let mut document = samples::demo();
        document.demo.remove(0);
        assert!(!demo(&document, Style::plain()).contains("ANATOMY"));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in [40, 60, 80, 120] {
            let text = demo(&samples::demo(), Style { columns, color: false });
            assert!(text.lines().all(|line| width(line) <= columns), "{columns}:\n{text}");
        }
    }
}
