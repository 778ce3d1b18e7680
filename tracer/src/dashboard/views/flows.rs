//! The flows: from where, to where, by which way, and what each byte costs.

use ratatui::text::Line;

use super::{Canvas, View};
use crate::{
    dashboard::{
        frame::Frame,
        table::{Cell, Row, names, numbers},
    },
    look::Lists,
    model::{
        flow_detail::{FlowDetail, Use},
        flow_list::FlowOrder,
        snapshot::{Flow, FlowEnd},
    },
    view::{
        format::{
            self, bytes, count, decimal, joined, known_duration, marked_bytes, marked_ratio, short_duration,
        },
        report,
    },
};

/// The view.
pub(crate) const VIEW: View = View {
    title: "Flows",
    columns: &[
        names("SOURCE", 12, 0),
        names("SINK", 12, 0),
        names("METHOD", 10, 0),
        numbers("PAYLOAD", 10, 0),
        numbers("COPIES/B", 9, 0),
        numbers("DMA/B", 6, 5),
        numbers("TRANS", 9, 3),
        numbers("/MiB", 8, 6),
        numbers("ON CPU", 8, 4),
        numbers("BLOCKED", 8, 7),
        numbers("RATE", 11, 2),
        numbers("TRANSFERS", 10, 8),
        numbers("PID", 7, 9),
    ],
    sorted: 3,
    rows: |frame, filter| {
        frame
            .look
            .snapshot
            .flows
            .iter()
            .filter(|flow| filter.matches_flow(flow))
            .map(|flow| row(flow, frame))
            .collect()
    },
    empty: "Nothing has been transferred yet.",
    open: Some(open),
    more: Some(|frame, wanted, more| {
        let mut flows = frame.look.snapshot.flows.iter();
        more.flow = flows.find(|flow| flow_key(flow) == wanted).map(|flow| flow.id);
    }),
    flows_by: Some(|column| {
        RANKED.iter().find(|(at, _)| *at == column).map_or(FlowOrder::Payload, |(_, by)| *by)
    }),
    lists: Lists::NONE,
    partly: Some("listed"),
    keep: None,
    picture: None,
};

/// Columns by which all flows can be ranked; by another, those with most payload are sorted.
const RANKED: [(usize, FlowOrder); 8] = [
    (3, FlowOrder::Payload),
    (4, FlowOrder::Amplification),
    (5, FlowOrder::DmaShare),
    (6, FlowOrder::Transitions),
    (7, FlowOrder::TransitionsPerByte),
    (8, FlowOrder::OnCpu),
    (9, FlowOrder::Blocked),
    (11, FlowOrder::Transfers),
];

/// What a flow is known by.
fn flow_key(flow: &Flow) -> u64 {
    flow.id
}

fn row(flow: &Flow, frame: &Frame) -> Row {
    let rate = frame.flow_rates.get(&flow.id);
    let shown = rate.map_or_else(|| "-".to_owned(), |rate| bytes(*rate) + "/s");
    let moved = flow.dma_bytes.filter(|_| flow.payload_bytes > 0);
    let dma = moved.map(|moved| moved as f64 / flow.payload_bytes as f64);
    Row {
        key: flow_key(flow),
        marked: false,
        cells: vec![
            Cell::Text(report::name(&flow.source)),
            Cell::Text(report::name(&flow.sink)),
            Cell::name(&flow.method),
            Cell::Bytes(Some(flow.payload_bytes)),
            Cell::Ratio(flow.copy_amplification, flow.copy_amplification_evidence),
            Cell::By(format::ratio(dma), dma),
            Cell::Count(flow.transitions),
            Cell::Decimal(flow.transitions_per_mib),
            Cell::Duration(flow.on_cpu_ns),
            Cell::Duration(flow.blocked_ns),
            Cell::By(shown, rate.map(|rate| *rate as f64)),
            Cell::Count(flow.transfers),
            Cell::Id(flow.pid),
        ],
    }
}

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| format::UNKNOWN.to_owned())
}

fn open(frame: &Frame, wanted: u64, canvas: &Canvas<'_>) -> Option<Vec<Line<'static>>> {
    let flow = frame.look.snapshot.flows.iter().find(|flow| flow_key(flow) == wanted)?;
    let end = |end: &FlowEnd| format!("{}: {}", report::kind_word(end.kind), report::name(end));
    let served = format!(
        "{} in {} by {}",
        format::payload(flow.payload_bytes, flow.payload_evidence),
        format::counted(flow.transfers, "transfer"),
        format::counted(flow.operations, "operation")
    );
    let (switches, faults) = (flow.context_switches, flow.page_faults);
    let mut lines = vec![
        canvas.heading(&format!("Flow by {}", flow.method)),
        canvas.fact("from", &end(&flow.source)),
        canvas.fact("to", &end(&flow.sink)),
        canvas.fact("process", &flow.pid.to_string()),
        canvas.fact("payload", &served),
        canvas.fact(
            "copies per byte",
            &marked_ratio(flow.copy_amplification, flow.copy_amplification_evidence),
        ),
        canvas.fact("copied by the CPU", &marked_bytes(flow.cpu_copied_bytes, flow.evidence)),
        canvas.fact("moved by DMA", &format::maybe_bytes(flow.dma_bytes)),
        canvas.fact(
            "transitions",
            &format!("{} ({} per MiB)", count(flow.transitions), decimal(flow.transitions_per_mib)),
        ),
        canvas.fact("time in calls", &time(flow)),
        canvas.fact(
            "context switches",
            &known(switches.map(|switches| {
                format!(
                    "{} voluntary, {} involuntary",
                    count(switches.voluntary),
                    count(switches.involuntary)
                )
            })),
        ),
        canvas.fact(
            "page faults",
            &known(
                faults.map(|faults| format!("{} minor, {} major", count(faults.minor), count(faults.major))),
            ),
        ),
    ];
    if flow.unseen_operations > 0 {
        let unseen = format!("{} of its operations", count(flow.unseen_operations));
        lines.push(canvas.fact("beginning not seen", &unseen));
    }
    if flow.folded_operations > 0 {
        let folded = format!("{} ({})", count(flow.folded_operations), joined(flow));
        lines.push(canvas.fact("folded operations", &folded));
    }
    if let Some(left) = flow.not_written_back_bytes.filter(|left| *left > 0) {
        lines.push(canvas.fact("not written back yet", &bytes(left)));
    }
    if let Some(sends) = flow.zerocopy {
        let told = format!(
            "{} sends: {} copied, {} by reference, {} not reported",
            count(sends.sends),
            count(sends.copied),
            count(sends.by_reference),
            count(sends.not_reported)
        );
        lines.push(canvas.fact("MSG_ZEROCOPY", &told));
    }
    lines.push(Line::default());
    lines.push(canvas.heading("The way of the bytes"));
    lines.extend(flow.copies.iter().flat_map(|copy| canvas.copy(copy, flow.payload_bytes)));
    if let Some((_, detail)) = frame.look.flow.as_ref().filter(|(id, _)| *id == flow.id) {
        lines.extend(served_by(canvas, detail));
    }
    Some(lines)
}

fn served_by(canvas: &Canvas<'_>, detail: &FlowDetail) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default(), canvas.heading("Calls")];
    lines.extend(detail.calls.iter().map(|call| {
        let what =
            format!("{} moved {} in {}", count(call.count), bytes(call.bytes), short_duration(call.time_ns));
        canvas.fact(&format::escape(&call.name), &what)
    }));
    lines.push(canvas.heading("Threads"));
    let done =
        |done: &Use| format!("{} moved {}", format::counted(done.operations, "operation"), bytes(done.bytes));
    lines.extend(
        detail.threads.iter().map(|thread| canvas.fact(&thread.tid.to_string(), &done(&thread.done))),
    );
    if detail.other_threads.operations > 0 {
        lines.push(canvas.fact("others, folded", &done(&detail.other_threads)));
    }
    lines.push(canvas.heading("Bytes of an operation"));
    lines.extend(canvas.histogram(&detail.chunk_bytes, bytes));
    lines.push(canvas.heading("Time of an operation"));
    lines.extend(canvas.histogram(&detail.latency_ns, short_duration));
    lines
}

fn time(flow: &Flow) -> String {
    format!(
        "{}: on CPU {}, blocked {}, preempted {}",
        known_duration(flow.time_ns),
        known_duration(flow.on_cpu_ns),
        known_duration(flow.blocked_ns),
        known_duration(flow.preempted_ns)
    )
}
