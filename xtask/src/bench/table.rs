//! What was measured, as tables: for the terminal, and as Markdown.

use std::fs;
use std::process::Command;

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets};
use xtask::capture;

use super::Measured;
use super::ratios::Spread;
use super::runs::Series;

const HEAD: [&str; 7] =
    ["under", "× CPU time", "× wall time", "tool's CPU", "tool's memory", "attached in", "lost"];

/// One workload, with what was left out.
pub(crate) fn for_terminal(measured: &Measured) -> String {
    let mut text = format!(
        "{}: {}{}\n{}",
        measured.workload.name,
        measured.workload.what,
        untraced(measured),
        rows(measured, presets::NOTHING)
    );
    for reason in &measured.left_out {
        text.push_str(&format!("\nleft out: {reason}"));
    }
    text
}

/// The same as Markdown.
pub(crate) fn as_markdown(measured: &Measured) -> String {
    let mut text = format!(
        "**{}**: {}{}.\n\n{}\n",
        measured.workload.name,
        measured.workload.what,
        untraced(measured),
        rows(measured, presets::ASCII_MARKDOWN)
    );
    if !measured.left_out.is_empty() {
        text.push_str(&format!("\nLeft out: {}.\n", measured.left_out.join("; ")));
    }
    text
}

/// What an operation takes untraced.
fn untraced(measured: &Measured) -> String {
    let all = measured.series.iter().flat_map(Series::untraced_ns);
    Spread::of(all)
        .map_or_else(String::new, |spread| format!("; untraced {} of CPU time each", duration(spread.median)))
}

/// Nanoseconds as a person says them.
fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        small if small < 1e4 => format!("{small:.0} ns"),
        medium if medium < 1e7 => format!("{:.1} µs", medium / 1e3),
        large => format!("{:.0} ms", large / 1e6),
    }
}

fn rows(measured: &Measured, preset: &str) -> String {
    let mut table = Table::new();
    table.load_preset(preset).set_header(HEAD);
    for series in &measured.series {
        table.add_row(row(series));
    }
    align(&mut table);
    trimmed(&table)
}

fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn row(series: &Series) -> [String; 7] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    [
        series.name().to_owned(),
        or_none(cpu(series)),
        or_none(series.wall().map(spread)),
        or_none(series.cpu_share().map(|share| format!("{:.1} %", share.median * 100.0))),
        or_none(series.memory_bytes().map(|bytes| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)))),
        or_none(series.start().map(|seconds| format!("{:.0} ms", seconds.median * 1e3))),
        or_none(series.losses()),
    ]
}

/// The CPU time, and whether that is no difference that can be told.
fn cpu(series: &Series) -> Option<String> {
    let noise = if series.is_noise() == Some(true) { "≈ " } else { "" };
    series.cpu().map(|cpu| format!("{noise}{}", spread(cpu)))
}

/// The median, and the quartiles.
fn spread(spread: Spread) -> String {
    let Spread { median, lower, upper } = spread;
    if median < 10.0 {
        format!("{median:.2} ({lower:.2}–{upper:.2})")
    } else {
        format!("{median:.0} ({lower:.0}–{upper:.0})")
    }
}

/// All workloads beside each other: CPU time, or wall time of those whose CPU time does not tell.
pub(crate) fn overview(all: &[Measured]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let names = all.iter().map(|measured| measured.workload.name);
    table.set_header(std::iter::once("× CPU time of the target").chain(names));
    let mut tools: Vec<&str> = Vec::new();
    for series in all.iter().flat_map(|measured| &measured.series) {
        if !tools.contains(&series.name()) {
            tools.push(series.name());
        }
    }
    for tool in tools {
        let cell = |measured: &Measured| {
            let series = measured.series.iter().find(|series| series.name() == tool);
            series.and_then(cpu).unwrap_or_else(|| "–".to_owned())
        };
        table.add_row(std::iter::once(tool.to_owned()).chain(all.iter().map(cell)));
    }
    align(&mut table);
    trimmed(&table)
}

/// When, where and how it was measured.
pub(crate) fn caption(pairs: u32) -> anyhow::Result<String> {
    let date = capture::answer(Command::new("date").args(["-u", "+%F"])).context("there is no `date`")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([':', '\t', ' ']);
    Ok(format!(
        "Measured on {} with Linux {} on {cpus} CPUs ({}), load average {load} at the end: medians of {pairs} pairs, with quartiles. \
         ≈: by a sign test (5 %, six pairs or more) it cannot be told from no difference.",
        date.trim(),
        kernel.trim(),
        if model.is_empty() { std::env::consts::ARCH } else { model }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_ratios_are_not_told_to_the_hundredth() {
        assert_eq!(spread(Spread { median: 1.4, lower: 1.384, upper: 1.5 }), "1.40 (1.38–1.50)");
        assert_eq!(spread(Spread { median: 68.2, lower: 16.4, upper: 177.0 }), "68 (16–177)");
    }
}
