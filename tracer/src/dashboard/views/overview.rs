//! The overview: what the program pays, at a glance.

use ratatui::text::{Line, Span};

use super::{Canvas, View, pieces};
use crate::{
    dashboard::{frame::ProgramCost, history::Sample, state::State, theme::Role},
    look::Lists,
    model::{
        evidence::Evidence,
        snapshot::{Flow, Losses, Mover, Summed, Totals},
    },
    view::{
        format::{self, bytes, count, marked_ratio, truncate_middle},
        report,
    },
};

/// The view.
pub(crate) const VIEW: View = View {
    title: "Overview",
    columns: &[],
    sorted: 0,
    rows: |_, _| Vec::new(),
    empty: "",
    open: None,
    more: None,
    flows_by: None,
    lists: Lists::NONE,
    partly: None,
    keep: None,
    picture: Some(picture),
};

/// Columns of a name before a graph, and of the rate behind it.
const NAME: usize = 12;
const RATE: usize = 14;
/// Most findings: the rest is a key away.
const FINDINGS: usize = 3;

fn picture(state: &State, canvas: &Canvas<'_>) -> Vec<Line<'static>> {
    let snapshot = &state.frame.look.snapshot;
    let mut lines = vec![headline(state, canvas)];
    lines.extend(graphs(state, canvas));
    lines.extend(facts(state, canvas));
    let found = &state.frame.look.findings;
    let heads = 1 + usize::from(!found.is_empty());
    let left = canvas.height.saturating_sub(lines.len() + heads);
    let told = found.len().min(FINDINGS).min(left / 2);
    let flows = format::counted(state.frame.look.flow_count as u64, "flow");
    // What was cleared are the sums alone.
    let since = if state.cleared.is_some() { ", since tracing began" } else { "" };
    lines.push(canvas.heading(&format!("Top of {flows}, by payload and bytes copied{since}")));
    let mut flows: Vec<&Flow> = snapshot.flows.iter().collect();
    // What moves most is to be seen also where nothing of it is copied.
    flows.sort_by_key(|flow| std::cmp::Reverse(flow.payload_bytes.saturating_add(copied_at_least(flow))));
    lines.extend(flows.into_iter().take(left - told).map(|flow| flow_line(canvas, flow)));
    if told > 0 {
        lines.push(canvas.heading("Top findings, worst first"));
    }
    for finding in found.iter().take(told) {
        let saving = match finding.saving.cpu_copied_bytes {
            0 => format!("would save {} transitions", count(finding.saving.transitions)),
            copied => format!("would save {} of copies", bytes(copied)),
        };
        let room = canvas.width.saturating_sub(format::width(&saving) + 5);
        let title = canvas.theme.spell(&finding.title);
        let about = &finding.applies_to;
        let ends: Vec<String> =
            [&about.source, &about.sink].into_iter().flatten().map(report::name).collect();
        let arrow = canvas.theme.pick(" → ", " > ");
        let ends = ends.join(arrow);
        let left = room.saturating_sub(format::width(&title) + 2);
        let place = truncate_middle(&ends, left);
        // Less than that says nothing.
        let title = if ends.is_empty() || left < 24 { title } else { format!("{title}: {place}") };
        lines.push(Line::from(vec![
            Span::raw(format!("  {:<room$}  ", format::truncate_end(&title, room))),
            Span::styled(saving, canvas.theme.style(Role::Cpu)),
        ]));
    }
    lines
}

/// The known part of what the CPU copied for a flow.
fn copied_at_least(flow: &Flow) -> u64 {
    let by_cpu = flow.copies.iter().filter(|copy| copy.mover == Some(Mover::Cpu));
    by_cpu.filter_map(|copy| copy.bytes).fold(0, u64::saturating_add)
}

fn headline(state: &State, canvas: &Canvas<'_>) -> Line<'static> {
    let theme = canvas.theme;
    let totals = state.totals();
    if state.frame.elapsed_ns == 0 {
        return Line::styled(" waiting for the first numbers", theme.style(Role::Faint));
    }
    let transitions = totals.transitions;
    let all = transitions.syscall + transitions.exception + transitions.interrupt;
    let per_mib = (totals.payload_bytes_at_most > 0)
        .then(|| all as f64 * 1_048_576.0 / totals.payload_bytes_at_most as f64);
    // Payload that is known only as a bound from above bounds it from below.
    let at_least = if per_mib.is_some() && totals.payload_bytes.is_none() { ">" } else { "" };
    let strong = |role| theme.style(Role::Heading).patch(theme.style(role));
    let amplification = marked_ratio(totals.copy_amplification, totals.copy_amplification_evidence);
    let payload = format::payload(totals.payload_bytes_at_most, totals.payload_evidence);
    Line::from(vec![
        Span::raw(" copy amplification "),
        Span::styled(amplification, strong(Role::Cpu)),
        Span::raw("   transitions per MiB "),
        Span::styled(format!("{at_least}{}", format::decimal(per_mib)), strong(Role::Transitions)),
        Span::raw("   payload "),
        Span::styled(payload, strong(Role::Payload)),
    ])
}

/// What a graph shows: its name, its role, the amount of an interval, and how a rate is written.
type Quantity = (&'static str, Role, fn(&Sample) -> u64, fn(u64) -> String);

const QUANTITIES: [Quantity; 6] = [
    ("calls", Role::Transitions, |sample| sample.calls, |rate| count(rate) + "/s"),
    ("transitions", Role::Transitions, |sample| sample.transitions, |rate| count(rate) + "/s"),
    ("payload", Role::Payload, |sample| sample.payload_bytes, |rate| bytes(rate) + "/s"),
    ("CPU-copied", Role::Cpu, |sample| sample.cpu_copied_bytes, |rate| bytes(rate) + "/s"),
    ("DMA", Role::Dma, |sample| sample.dma_bytes, |rate| bytes(rate) + "/s"),
    ("CPU in calls", Role::Text, |sample| sample.on_cpu_ns, percent),
];

/// Time on the CPU per second, ns, as a share of one CPU.
fn percent(ns_per_second: u64) -> String {
    format!("{:.1} %", ns_per_second as f64 / 1e7)
}

fn graphs(state: &State, canvas: &Canvas<'_>) -> Vec<Line<'static>> {
    let columns = canvas.width.saturating_sub(NAME + RATE + 4);
    let Totals { payload_bytes, cpu_copied_bytes, dma_bytes, .. } = state.frame.look.snapshot.totals;
    let line = |(name, role, of, shown): &Quantity| {
        let rates = state.history.rates(columns, of);
        let rate = state.history.latest().map(|sample| sample.per_second(of(&sample)));
        // What is not known as a whole is shown as the part that is known, payload as what it is at most.
        let bound = match *name {
            "payload" if payload_bytes.is_none() && rate != Some(0) => "<",
            "CPU-copied" if cpu_copied_bytes.is_none() => ">",
            "DMA" if dma_bytes.is_none() => ">",
            _ => "",
        };
        // Times are lost with the detail; sums of what is left would say too much or too little.
        let timed = *name != "CPU in calls" || pieces::losses(&state.frame.look.snapshot) == 0;
        let now = rate
            .filter(|_| timed)
            .map(|rate| format!("{bound}{}", shown(rate)))
            .unwrap_or_else(|| if timed { "-" } else { format::UNKNOWN }.to_owned());
        let graph = canvas.spark(&rates);
        let gap = " ".repeat(columns.saturating_sub(rates.len()));
        Line::from(vec![
            Span::raw(format!(" {name:<NAME$} {gap}")),
            Span::styled(graph, canvas.theme.style(*role)),
            Span::styled(format!(" {now:>RATE$}"), canvas.theme.style(Role::Heading)),
        ])
    };
    QUANTITIES.iter().map(line).collect()
}

fn facts(state: &State, canvas: &Canvas<'_>) -> Vec<Line<'static>> {
    let totals = state.totals();
    let (transitions, switches, faults) = (totals.transitions, totals.context_switches, totals.page_faults);
    let by_cause = format!(
        "calls {}, faults {}, interrupts {}",
        count(transitions.syscall),
        count(transitions.exception),
        count(transitions.interrupt)
    );
    let switched = format!(
        "{} voluntary, {} involuntary; page faults {} minor, {} major",
        count(switches.voluntary),
        count(switches.involuntary),
        count(faults.minor),
        count(faults.major)
    );
    let moved = format!(
        "{} by the CPU, {} by DMA",
        known(totals.cpu_copied_bytes, totals.cpu_copied_bytes_at_least, totals.cpu_copied_evidence),
        known(totals.dma_bytes, totals.dma_bytes_at_least, totals.dma_evidence)
    );
    let mut lines = vec![
        canvas.fact("transitions by cause", &by_cause),
        canvas.fact("context switches", &switched),
        canvas.fact("moved in all", &moved),
        losses(canvas, totals.losses, totals.summed),
        canvas.fact("zc-trace itself", &own_cost(state)),
    ];
    let disagree =
        totals.kernel_accounts.filter(|accounts| state.ended.is_some() && accounts.agree == Some(false));
    if let Some(accounts) = disagree {
        let text = format!(
            " ! the kernel accounts {} read, {} written",
            bytes(accounts.rchar),
            bytes(accounts.wchar)
        );
        lines.push(Line::styled(text, canvas.theme.style(Role::Warning)));
    }
    lines
}

fn known(all: Option<u64>, least: u64, evidence: Evidence) -> String {
    match all {
        Some(_) => format::marked_bytes(all, evidence),
        None => format!("at least {}", bytes(least)),
    }
}

fn losses(canvas: &Canvas<'_>, losses: Losses, summed: Summed) -> Line<'static> {
    let lost: Vec<String> = pieces::lost(losses)
        .iter()
        .filter(|(_, lost)| *lost > 0)
        .map(|(name, lost)| format!("{} {name}", count(*lost)))
        .collect();
    if lost.is_empty() {
        // Not lost, but not told one by one either: a storm is summed in the kernel.
        return match summed.operations.saturating_add(summed.calls) {
            0 => canvas.fact("detail lost", "none"),
            sum => canvas
                .fact("detail lost", &format!("none; {} calls summed in the kernel (storm)", count(sum))),
        };
    }
    let text = format!(" ! detail lost (totals are exact): {}", lost.join(", "));
    Line::styled(format::truncate_end(&text, canvas.width).into_owned(), canvas.theme.style(Role::Warning))
}

fn own_cost(state: &State) -> String {
    let cost = state.frame.cost;
    let own = |sample: &Sample| sample.own_cpu_ns.map(|own| percent(sample.per_second(own)));
    let cpu = state.history.latest().as_ref().and_then(own).unwrap_or_else(|| "-".to_owned());
    let memory = cost.resident_bytes.map_or_else(|| format::UNKNOWN.to_owned(), bytes);
    let programs = match cost.programs {
        Some(ProgramCost { time_ns, runs }) if runs > 0 => format!("{} ns a run", time_ns / runs),
        _ => "? (kernel.bpf_stats_enabled=0)".to_owned(),
    };
    let pace = state.history.pace().map_or_else(|| "-".to_owned(), |pace| format!("{pace:.1}"));
    let drawn = format::short_duration(u64::try_from(state.drawn_in.as_nanos()).unwrap_or(u64::MAX));
    let drawn = if state.drawn_in.is_zero() { "-".to_owned() } else { drawn };
    format!("{cpu} CPU, {memory}; programs {programs}; {pace} pictures/s in {drawn} each")
}

fn flow_line(canvas: &Canvas<'_>, flow: &Flow) -> Line<'static> {
    let amplification = marked_ratio(flow.copy_amplification, flow.copy_amplification_evidence);
    let figures = format!("{:>10}  {amplification:>7} copies/B", bytes(flow.payload_bytes));
    let method = canvas.theme.spell(&flow.method);
    let room = canvas.width.saturating_sub(format::width(&figures) + 4);
    let ends = room.saturating_sub(format::width(&method) + 5);
    let (source, sink) = (report::name(&flow.source), report::name(&flow.sink));
    // The shorter of the two leaves its room to the other.
    let half = (ends / 2).max(ends.saturating_sub(format::width(&sink))).min(format::width(&source));
    let arrow = canvas.theme.pick("→", ">");
    let text = format!(
        "{} {arrow} {}  {method}",
        truncate_middle(&source, half),
        truncate_middle(&sink, ends.saturating_sub(half))
    );
    let gap = " ".repeat(room.saturating_sub(format::width(&text)));
    Line::from(vec![
        Span::raw(format!("  {}{gap}", canvas.theme.spell_if_ours(&text))),
        Span::styled(format!(" {figures}"), canvas.theme.style(Role::Cpu)),
    ])
}
