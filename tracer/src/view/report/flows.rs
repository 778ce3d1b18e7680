//! The report's flows: who sent what to whom, and what that cost.

use super::heading;
use crate::{
    model::{
        endpoint::{EndpointKind, Place},
        evidence::Evidence,
        snapshot::{Copy, Flow, FlowEnd, Mover, Reached},
    },
    view::{
        format::{
            UNKNOWN, bytes, count, counted, decimal, escape, joined, known_duration, marked_bytes,
            marked_ratio, payload, truncate_middle, width,
        },
        layout::{Page, Table, right},
        style::Paint,
    },
};

/// Most flows shown.
const SHOWN: usize = 20;
/// Between the ends of a flow; not the arrow that stands inside a socket's address.
const ARROW: &str = " ──► ";

pub(super) fn write(page: &mut Page, flows: &[&Flow], filtered: bool) {
    let mut carrying: Vec<&Flow> = flows.iter().copied().filter(|flow| flow.payload_bytes > 0).collect();
    // What is not known may be the most: it comes first.
    carrying.sort_by_key(|flow| {
        std::cmp::Reverse((flow.cpu_copied_bytes.unwrap_or(u64::MAX), flow.payload_bytes))
    });
    heading(page, "FLOWS, most CPU-copied bytes first");
    if carrying.is_empty() {
        let none = if filtered {
            "  none with payload that the filter lets through"
        } else {
            "  no payload was moved"
        };
        page.line(Paint::Plain, none);
    } else {
        write_shown(page, &carrying[..carrying.len().min(SHOWN)]);
    }
    if let Some(hidden) = carrying.get(SHOWN..).filter(|hidden| !hidden.is_empty()) {
        let payload = hidden.iter().map(|flow| flow.payload_bytes).fold(0, u64::saturating_add);
        let flows = counted(hidden.len() as u64, "more flow");
        page.wrapped(
            Paint::Faint,
            2,
            &format!("  {flows} with {} of payload (--json has all)", bytes(payload)),
        );
    }
    write_silent(page, flows);
}

fn write_silent(page: &mut Page, flows: &[&Flow]) {
    let silent: Vec<&&Flow> = flows.iter().filter(|flow| flow.payload_bytes == 0).collect();
    if !silent.is_empty() {
        let calls = silent.iter().map(|flow| flow.operations).fold(0, u64::saturating_add);
        let text = format!(
            "  not shown: {} without payload, holding {}",
            counted(silent.len() as u64, "flow"),
            counted(calls, "call")
        );
        page.wrapped(Paint::Faint, 2, &text);
    }
}

fn write_shown(page: &mut Page, flows: &[&Flow]) {
    let several = flows.iter().any(|flow| flow.pid != flows[0].pid);
    let lines = figures(flows).lines(2, page.columns());
    page.line(Paint::Heading, lines.head);
    for (flow, figures) in flows.iter().zip(lines.rows) {
        let pid = if several { Some(flow.pid) } else { None };
        page.line(Paint::Heading, title(flow, pid, page.columns()));
        page.line(Paint::Plain, figures);
        let path = path(&flow.copies);
        if !path.is_empty() {
            page.wrapped(Paint::Faint, 4, &format!("  {path}"));
        }
        if let Some(reached) = flow.reached {
            page.wrapped(Paint::Faint, 4, &format!("  {}", by_faults(&reached)));
        }
        for note in flow.copies.iter().filter_map(|copy| copy.note.as_ref()) {
            page.wrapped(Paint::Faint, 4, &format!("  note: {}", escape(note)));
        }
        if flow.folded_operations > 0 {
            let folded = counted(flow.folded_operations, "operation");
            let joined = joined(flow);
            page.wrapped(Paint::Warning, 4, &format!("  of this, {folded} folded: {joined}"));
        }
    }
}

/// What page faults made reachable of a mapped file.
fn by_faults(reached: &Reached) -> String {
    let Reached { bytes: usual, evidence, at_least_bytes, at_most_bytes } = *reached;
    let most = at_most_bytes.map_or_else(|| UNKNOWN.to_owned(), bytes);
    let usual = marked_bytes(usual, evidence);
    format!("reached by page faults: {usual}, at least {}, at most {most}", bytes(at_least_bytes))
}

fn figures(flows: &[&Flow]) -> Table {
    let mut table = Table::new(&[
        right("payload"),
        right("CPU copies"),
        right("DMA"),
        right("ampl."),
        right("transitions"),
        right("per MiB"),
        right("on CPU"),
        right("blocked"),
    ]);
    for flow in flows {
        table.row([
            payload(flow.payload_bytes, flow.payload_evidence),
            marked_bytes(flow.cpu_copied_bytes, flow.evidence),
            marked_bytes(flow.dma_bytes, dma_evidence(flow)),
            marked_ratio(flow.copy_amplification, flow.copy_amplification_evidence),
            count(flow.transitions),
            decimal(flow.transitions_per_mib),
            known_duration(flow.on_cpu_ns),
            known_duration(flow.blocked_ns),
        ]);
    }
    table
}

/// The weakest evidence among what devices moved; that nothing was is as well known as the CPU's copies.
fn dma_evidence(flow: &Flow) -> Evidence {
    let moved = flow.copies.iter().filter(|copy| copy.mover == Some(Mover::Dma));
    moved.map(|copy| copy.evidence).max().unwrap_or(flow.evidence)
}

/// Method and ends in one line, the ends sharing the room that is there.
fn title(flow: &Flow, pid: Option<u32>, columns: usize) -> String {
    let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let method = format!("{}{pid}: ", escape(&flow.method));
    let (source, sink) = (name(&flow.source), name(&flow.sink));
    let room = columns.saturating_sub(width(&method) + width(ARROW));
    let half = room / 2;
    let source_room = room.saturating_sub(width(&sink).min(room - half));
    let source = truncate_middle(&source, source_room);
    let sink = truncate_middle(&sink, room - width(&source));
    format!("{method}{source}{ARROW}{sink}")
}

/// What an end is called, escaped.
pub(crate) fn name(end: &FlowEnd) -> String {
    let name = end.address.as_ref().or(end.path.as_ref()).filter(|name| !name.is_empty());
    match (name, &end.id) {
        (Some(name), _) => escape(name).into_owned(),
        (None, _) if end.kind == EndpointKind::User => "user memory".to_owned(),
        (None, Some(id)) => format!("{} {}", kind_word(end.kind), escape(id)),
        (None, None) => kind_word(end.kind).to_owned(),
    }
}

/// The word for a kind of endpoint.
pub(crate) fn kind_word(kind: EndpointKind) -> &'static str {
    match kind {
        EndpointKind::File => "file",
        EndpointKind::Directory => "directory",
        EndpointKind::PseudoFile => "pseudo file",
        EndpointKind::Socket => "socket",
        EndpointKind::Pipe => "pipe",
        EndpointKind::Terminal => "terminal",
        EndpointKind::CharDevice => "character device",
        EndpointKind::BlockDevice => "block device",
        EndpointKind::Anonymous => "anonymous inode",
        EndpointKind::User => "user memory",
        EndpointKind::Unknown => "unknown endpoint",
    }
}

/// The way of the bytes: `page cache ─CPU→ user ─CPU→ socket`. A device that had nothing to move is left out.
fn path(copies: &[Copy]) -> String {
    let mut path = String::new();
    let mut at = None;
    for copy in copies.iter().filter(|copy| (copy.mover, copy.bytes) != (Some(Mover::Dma), Some(0))) {
        if at != Some(copy.from) {
            path.push_str(if at.is_some() { "; " } else { "" });
            path.push_str(place_word(copy.from));
        }
        path.push_str(&format!(" ─{}→ {}", mover_word(copy), place_word(copy.to)));
        at = Some(copy.to);
    }
    path
}

/// The word for a place.
pub(crate) fn place_word(place: Place) -> &'static str {
    match place {
        Place::Device => "device",
        Place::PageCache => "page cache",
        Place::User => "user",
        Place::Socket => "socket",
        Place::Pipe => "pipe",
    }
}

fn mover_word(copy: &Copy) -> &'static str {
    match copy.mover {
        Some(Mover::Cpu) => "CPU",
        Some(Mover::Dma) => "DMA",
        Some(Mover::None) if copy.bytes == Some(0) => "nothing",
        Some(Mover::None) => "reference",
        None => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_faults_reached_has_its_bounds() {
        let mut reached = Reached {
            bytes: Some(1 << 20),
            evidence: Evidence::Modelled,
            at_least_bytes: 64 << 10,
            at_most_bytes: Some(8 << 20),
        };
        assert_eq!(
            by_faults(&reached),
            "reached by page faults: 1.0 MiB ~, at least 64.0 KiB, at most 8.0 MiB"
        );
        (reached.bytes, reached.evidence, reached.at_most_bytes) = (None, Evidence::Unknown, None);
        assert_eq!(by_faults(&reached), "reached by page faults: ?, at least 64.0 KiB, at most ?");
    }
}
