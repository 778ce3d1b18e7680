//! The report's head: target and totals.

use super::heading;
use crate::{
    export::document::Document,
    model::{
        evidence::Evidence,
        snapshot::{KernelAccounts, Totals},
    },
    view::{
        format::{
            bytes, count, counted, duration, escape, evidence_word, mark, marked_bytes, payload, ratio, width,
        },
        layout::Page,
        style::Paint,
    },
};

/// Where the figures begin.
const FIGURES: usize = 22;
/// Where the remarks on them begin.
const REMARKS: usize = 34;

pub(super) fn write(page: &mut Page, document: &Document) {
    write_target(page, document);
    let totals = &document.snapshot.totals;
    heading(page, "TOTALS");
    write_copies(page, totals);
    write_crossings(page, totals);
    write_accounts(page, totals);
}

fn write_target(page: &mut Page, document: &Document) {
    let target = &document.target;
    let more = match target.pids.len() {
        0 | 1 => String::new(),
        pids => format!(" and {} more", pids - 1),
    };
    let user = target.user.as_ref().map_or_else(String::new, |user| format!(", user {}", escape(user)));
    let title = format!(
        "{} {}: {}, pid {}{more}{user}, traced for {}",
        document.tool.name,
        document.tool.version,
        escape(&target.comm),
        target.pid,
        duration(document.duration_ns),
    );
    page.wrapped(Paint::Heading, 2, &title);
    if !target.args.is_empty() {
        page.line(Paint::Plain, command_line(&target.args));
    }
    let machine = &document.machine;
    let cpus = counted(machine.cpus.into(), "CPU");
    let mut facts = format!("Linux {} on {}, {cpus}", escape(&machine.kernel), escape(&machine.arch));
    if let Some(code) = target.exit_code {
        facts.push_str(&format!("; exit code {code}"));
    }
    page.wrapped(Paint::Plain, 2, &facts);
}

/// The arguments, escaped; one that is empty or has a space is quoted so that arguments can be told apart.
fn command_line(args: &[String]) -> String {
    let quoted = args.iter().map(|arg| match escape(arg) {
        arg if arg.is_empty() || arg.contains([' ', '\'', '"']) => {
            format!("\"{}\"", arg.replace('"', "\\\""))
        }
        arg => arg.into_owned(),
    });
    quoted.collect::<Vec<String>>().join(" ")
}

fn write_copies(page: &mut Page, totals: &Totals) {
    let amplification = match totals.copy_amplification {
        Some(_) => {
            format!("{} {}", ratio(totals.copy_amplification), mark(totals.copy_amplification_evidence))
        }
        None if totals.payload_bytes_at_most == 0 => "none".to_owned(),
        None => "unknown".to_owned(),
    };
    figure(
        page,
        "payload",
        &payload(totals.payload_bytes_at_most, totals.payload_evidence),
        "bytes that reached their sink",
    );
    let copied = (totals.cpu_copied_bytes, totals.cpu_copied_evidence, totals.cpu_copied_bytes_at_least);
    moved(page, "copied by the CPU", copied);
    moved(page, "moved by DMA", (totals.dma_bytes, totals.dma_evidence, totals.dma_bytes_at_least));
    if let Some(left @ 1..) = totals.not_written_back_bytes {
        let why = "at most: made dirty, not seen on its way to the device";
        figure(page, "not yet written", &bytes(left), why);
    }
    figure(page, "copy amplification", &amplification, "CPU-copied bytes ÷ payload bytes");
}

fn moved(page: &mut Page, name: &str, (value, evidence, at_least): (Option<u64>, Evidence, u64)) {
    match value {
        Some(_) => figure(page, name, &marked_bytes(value, evidence), evidence_word(evidence)),
        None => figure(page, name, "unknown", &format!("at least {}", bytes(at_least))),
    }
}

fn write_crossings(page: &mut Page, totals: &Totals) {
    let transitions = totals.transitions;
    let switches = totals.context_switches;
    let faults = totals.page_faults;
    figure(
        page,
        "operations",
        &count(totals.operations),
        &format!("of {} system calls", count(totals.calls)),
    );
    figure(
        page,
        "transitions",
        &count(
            transitions.syscall.saturating_add(transitions.exception).saturating_add(transitions.interrupt),
        ),
        &format!(
            "{} syscall, {} exception, {} interrupt",
            count(transitions.syscall),
            count(transitions.exception),
            count(transitions.interrupt)
        ),
    );
    figure(
        page,
        "context switches",
        &count(switches.voluntary.saturating_add(switches.involuntary)),
        &format!("{} voluntary, {} involuntary", count(switches.voluntary), count(switches.involuntary)),
    );
    figure(
        page,
        "page faults",
        &count(faults.minor.saturating_add(faults.major)),
        &format!("{} minor, {} major", count(faults.minor), count(faults.major)),
    );
}

fn write_accounts(page: &mut Page, totals: &Totals) {
    let verdict = match &totals.kernel_accounts {
        None => "the kernel's own accounts are not known",
        Some(accounts) if accounts.agree != Some(false) => "agrees with the kernel's own accounts",
        Some(_) => "DIFFERS from the kernel's own accounts",
    };
    figure(page, "read (rchar)", &exact(totals.read_bytes), verdict);
    figure(page, "written (wchar)", &exact(totals.written_bytes), verdict);
    if let Some(accounts) = totals.kernel_accounts.filter(|accounts| accounts.agree == Some(false)) {
        page.wrapped(Paint::Warning, 4, &difference(totals, &accounts));
    }
}

fn exact(bytes: u64) -> String {
    format!("{} B", count(bytes))
}

fn difference(totals: &Totals, accounts: &KernelAccounts) -> String {
    let compare = |name: &str, kernel: u64, own: u64| match kernel.cmp(&own) {
        std::cmp::Ordering::Equal => format!("{name} agrees"),
        std::cmp::Ordering::Greater => {
            format!("{name} is {} there, {} more", exact(kernel), exact(kernel - own))
        }
        std::cmp::Ordering::Less => {
            format!("{name} is {} there, {} less", exact(kernel), exact(own - kernel))
        }
    };
    format!(
        "  the kernel's own accounts differ: {}; {}",
        compare("rchar", accounts.rchar, totals.read_bytes),
        compare("wchar", accounts.wchar, totals.written_bytes)
    )
}

fn figure(page: &mut Page, name: &str, value: &str, remark: &str) {
    let mut line = pad(format!("  {name}"), FIGURES);
    line.push_str(value);
    let line = pad(line, REMARKS);
    page.wrapped(Paint::Plain, REMARKS.min(page.columns() / 2), &format!("{line}{remark}"));
}

/// Fills up to a column, with at least one space.
fn pad(mut text: String, column: usize) -> String {
    text.push_str(&" ".repeat(column.saturating_sub(width(&text)).max(1)));
    text
}
