//! Findings: what could cost less, worst first.

use ratatui::text::Line;

use super::{Canvas, View};
use crate::{
    dashboard::{
        frame::Frame,
        table::{Cell, Row, key, names, numbers},
    },
    findings::{Figure, Finding},
    look::Lists,
    view::{
        format::{self, bytes, count, evidence_word},
        report,
    },
};

/// The view.
pub(crate) const VIEW: View = View {
    title: "Findings",
    columns: &[
        names("FINDING", 24, 0),
        names("WHERE", 12, 2),
        numbers("COPIES SAVED", 13, 0),
        numbers("TRANS SAVED", 12, 0),
        numbers("PID", 7, 3),
    ],
    sorted: 2,
    rows: |frame, filter| {
        frame.look.findings.iter().filter(|finding| filter.matches_finding(finding)).map(row).collect()
    },
    empty: "Nothing that would be worth a change.",
    open: Some(open),
    more: None,
    flows_by: None,
    lists: Lists::NONE,
    partly: Some("looked at: those with most bytes copied"),
    keep: None,
    picture: None,
};

fn finding_key(finding: &Finding) -> u64 {
    let about = &finding.applies_to;
    key((&finding.rule, about.pid, &about.method, &about.source, &about.sink))
}

fn whereabouts(finding: &Finding) -> String {
    let about = &finding.applies_to;
    let ends: Vec<String> = [&about.source, &about.sink].into_iter().flatten().map(report::name).collect();
    ends.join(" → ")
}

fn row(finding: &Finding) -> Row {
    let pid = finding.applies_to.pid;
    Row {
        key: finding_key(finding),
        marked: false,
        cells: vec![
            Cell::name(&finding.title),
            Cell::Text(whereabouts(finding)),
            Cell::Bytes(Some(finding.saving.cpu_copied_bytes)),
            Cell::Count(finding.saving.transitions),
            Cell::Id(pid),
        ],
    }
}

fn open(frame: &Frame, wanted: u64, canvas: &Canvas<'_>) -> Option<Vec<Line<'static>>> {
    let finding = frame.look.findings.iter().find(|finding| finding_key(finding) == wanted)?;
    let about = &finding.applies_to;
    let mut lines = vec![canvas.heading(&format::escape(&finding.title))];
    lines.extend(about.method.iter().map(|method| canvas.fact("method", &format::escape(method))));
    lines.extend(about.source.iter().map(|end| canvas.fact("from", &report::name(end))));
    lines.extend(about.sink.iter().map(|end| canvas.fact("to", &report::name(end))));
    lines.push(canvas.fact("process", &about.pid.to_string()));
    lines.push(Line::default());
    lines.extend(canvas.wrapped(1, &format::escape(&finding.advice)));
    lines.push(Line::default());
    lines.push(canvas.heading("Figures"));
    let figure = |figure: &Figure| canvas.fact(&format::escape(&figure.name), &shown(figure));
    lines.extend(finding.figures.iter().map(figure));
    let saving = format!(
        "{} copied by the CPU, {} transitions ({})",
        bytes(finding.saving.cpu_copied_bytes),
        count(finding.saving.transitions),
        evidence_word(finding.saving.evidence)
    );
    lines.push(canvas.fact("would save", &saving));
    if !finding.also.is_empty() {
        let also = format!("{} (would save part of the same)", finding.also.join(", "));
        lines.push(canvas.fact("also found there", &format::escape(&also)));
    }
    Some(lines)
}

fn shown(figure: &Figure) -> String {
    let Some(value) = figure.value else { return format::UNKNOWN.to_owned() };
    let number = match figure.unit.as_str() {
        "bytes" => bytes(value),
        unit => format::counted(value, unit.strip_suffix('s').unwrap_or(unit)),
    };
    format!("{number} ({})", evidence_word(figure.evidence))
}
