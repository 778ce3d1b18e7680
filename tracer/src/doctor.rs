//! `zc-trace doctor`: what this kernel offers, what is missing, and what would help.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use tracer_common::offsets::ABSENT;

use crate::{
    error::Failure,
    evidence, machine,
    privileges::Capabilities,
    probe::{Detail, Form, Latency, Options, Probe, Source, hooks::HOOKS, offsets::VMLINUX},
    view::format::{count, evidence_word},
};

/// Looks at everything and describes it. The second value says why tracing does not work here, if so.
pub fn examine(source: Source) -> (String, Result<(), Failure>) {
    let mut text = String::new();
    let supported = describe_machine(&mut text, &source);
    // Tried all the same: what there is helps whoever looks for the reason.
    let works = supported.and(describe_probe(&mut text, source));
    let verdict =
        if works.is_ok() { "zc-trace works here." } else { "zc-trace does not work here: see above." };
    line(&mut text, format_args!("\n{verdict}"));
    (text, works)
}

/// Writing to a string does not fail.
fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{what}");
}

fn describe_machine(text: &mut String, source: &Source) -> Result<(), Failure> {
    let here = machine::describe();
    line(text, format_args!("kernel      {} ({}, {} CPUs)", here.kernel, here.arch, here.cpus));
    let supported = machine::check();
    if let Err(fatal) = &supported {
        line(text, format_args!("            {fatal}"));
    }
    let capabilities = Capabilities::of_self();
    let missing = capabilities.missing_to_load();
    if missing.is_empty() {
        line(text, format_args!("rights      may load kernel programs"));
    } else {
        let missing = missing.join(", ");
        line(text, format_args!("rights      missing: {missing}"));
    }
    let others = if capabilities.may_trace_others() { "yes" } else { "no (CAP_SYS_PTRACE is missing)" };
    line(text, format_args!("            may trace processes of others: {others}"));
    let btf = std::fs::metadata(VMLINUX).is_ok();
    let btf = if btf { VMLINUX } else { "missing: the kernel is built without CONFIG_DEBUG_INFO_BTF" };
    line(text, format_args!("types (BTF) {btf}"));
    if let Some(file) = &source.btf {
        line(text, format_args!("            from --btf: {}", file.display()));
    }
    supported.map_err(|fatal| fatal.failure)
}

fn describe_probe(text: &mut String, source: Source) -> Result<(), Failure> {
    let options = Options {
        follow: false,
        ring_bytes: 1 << 20,
        debug: false,
        detail: Detail::Auto,
        latency: Latency::Auto,
        source,
    };
    match Probe::load(&options).and_then(|mut probe| probe.attach().map(|()| probe)) {
        Ok(probe) => {
            describe_form(text, &probe);
            describe_start(text, &probe);
            describe_hooks(text, &probe);
            describe_members(text, &probe);
            describe_evidence(text, &probe);
            describe_programs(text, &probe);
            Ok(())
        }
        Err(error) => {
            let fatal = machine::explain(&error);
            line(text, format_args!("\nThe kernel programs do not load: {fatal}"));
            Err(fatal.failure)
        }
    }
}

fn describe_form(text: &mut String, probe: &Probe) {
    let form = match probe.form() {
        Form::Typed => "typed by BTF (tp_btf)",
        Form::Raw => "raw (raw_tp): each hook costs more, and a thread is met only at its first hook",
    };
    line(text, format_args!("programs    {form}"));
    if let Some(why) = probe.not_typed() {
        line(text, format_args!("            not typed by BTF: {why}"));
    }
}

/// Milliseconds from nothing to attached, and which part took how many.
fn describe_start(text: &mut String, probe: &Probe) {
    let milliseconds = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
    let parts = probe.phases().iter().map(|(phase, time)| format!("{phase} {}", milliseconds(*time)));
    let parts = parts.collect::<Vec<_>>().join(", ");
    let all = probe.phases().iter().map(|(_, time)| *time).sum();
    line(text, format_args!("start-up    {}: {parts}", milliseconds(all)));
}

fn describe_hooks(text: &mut String, probe: &Probe) {
    line(text, format_args!("\nHooks (each was loaded and attached for a trial)"));
    for hook in HOOKS {
        let missing = probe.missing().iter().find(|(missing, _)| missing.name == hook.name);
        let present = if probe.unneeded().contains(&hook.name) { "not needed here" } else { "ok" };
        let state = missing.map_or_else(|| present.to_owned(), |(_, why)| format!("missing: {why}"));
        line(text, format_args!("  {:<28} {:<50} {state}", hook.name, hook.gives));
    }
}

fn describe_members(text: &mut String, probe: &Probe) {
    let mut absent = Vec::new();
    probe.offsets().visit(|structure, path, offset| {
        if offset == ABSENT {
            absent.push(format!("{structure}.{path}"));
        }
    });
    if !absent.is_empty() {
        line(
            text,
            format_args!("\nMembers that this kernel's structures do not have: {}", absent.join(", ")),
        );
    }
}

fn describe_evidence(text: &mut String, probe: &Probe) {
    line(text, format_args!("\nEvidence: how each number is known on this kernel"));
    let mut improvements: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (quantity, source) in evidence::sources(probe) {
        let word = evidence_word(source.evidence);
        line(text, format_args!("  {quantity:<31} {word:<10} {}", source.source));
        if let Some(better) = source.better {
            improvements.entry(better).or_default().push(quantity);
        }
    }
    for (better, quantities) in improvements {
        line(text, format_args!("\nBetter with {better}:\n  {}", quantities.join(", ")));
    }
}

fn describe_programs(text: &mut String, probe: &Probe) {
    let numbers = probe.verified_instructions();
    if numbers.is_empty() {
        return;
    }
    line(
        text,
        format_args!("\nVerifier: instructions walked through for each program, of a million at most"),
    );
    for (program, number) in numbers {
        line(text, format_args!("  {program:<28} {:>9}", count(number.into())));
    }
}
