//! Findings on flows that are alike become one: a server has a flow for each connection, each too small to be told.

use super::{Figure, Finding};
use crate::model::{endpoint::EndpointKind, evidence::Evidence, snapshot::FlowEnd};

/// The figure that says how many flows a finding is about.
pub(crate) const FLOWS: &str = "flows";

/// Makes one of all findings of the same rule and title, process, method and kinds of ends. Figures and savings are added up.
/// What is about no flow stays as it is.
pub(super) fn together(found: Vec<Finding>) -> Vec<Finding> {
    let mut together: Vec<Finding> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for mut finding in found {
        let Some(key) = key(&finding) else {
            together.push(finding);
            continue;
        };
        finding.figures.insert(0, Figure::new(FLOWS, 1, "flows", Evidence::Measured));
        let place = *places.entry(key).or_insert(together.len());
        match together.get_mut(place) {
            Some(first) => add(first, finding),
            None => together.push(finding),
        }
    }
    together
}

type Key = (String, String, u32, String, Option<EndpointKind>, Option<EndpointKind>);

fn key(finding: &Finding) -> Option<Key> {
    let about = &finding.applies_to;
    let kind = |end: &Option<FlowEnd>| end.as_ref().map(|end| end.kind);
    let method = about.method.clone()?;
    Some((
        finding.rule.clone(),
        finding.title.clone(),
        about.pid,
        method,
        kind(&about.source),
        kind(&about.sink),
    ))
}

fn add(first: &mut Finding, other: Finding) {
    for (end, other) in [
        (&mut first.applies_to.source, other.applies_to.source),
        (&mut first.applies_to.sink, other.applies_to.sink),
    ] {
        if let Some(end) = end.as_mut().filter(|end| Some(&**end) != other.as_ref()) {
            *end = any(end.kind);
        }
    }
    for figure in other.figures {
        match first.figures.iter_mut().find(|known| known.name == figure.name && known.unit == figure.unit) {
            Some(known) => {
                known.value = known.value.zip(figure.value).map(|(sum, value)| sum.saturating_add(value));
                known.evidence = known.evidence.max(figure.evidence);
            }
            None => first.figures.push(figure),
        }
    }
    first.also.extend(other.also);
    first.also.sort_unstable();
    first.also.dedup();
    let (sum, more) = (&mut first.saving, other.saving);
    sum.cpu_copied_bytes = sum.cpu_copied_bytes.saturating_add(more.cpu_copied_bytes);
    sum.transitions = sum.transitions.saturating_add(more.transitions);
}

/// An end that stands for several of its kind.
fn any(kind: EndpointKind) -> FlowEnd {
    FlowEnd { kind, path: None, address: None, id: None, generation: None, file_system: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{RULES, findings};
    use crate::{
        export::samples,
        findings::Saving,
        model::{
            endpoint::{EndpointKind, Place},
            evidence::Evidence,
            part::Note,
            snapshot::{Copy, Flow, Mover, Snapshot},
        },
    };

    #[test]
    fn many_small_connections_are_seen_together() {
        let mut snapshot = Snapshot::default();
        for port in 0..100 {
            let mut flow = samples::relay_flow();
            flow.sink.address = Some(format!("tcp 127.0.0.1:8080 → 127.0.0.1:{}", 40_000 + port));
            (flow.payload_bytes, flow.transfers, flow.operations, flow.transitions) = (1 << 20, 16, 32, 64);
            flow.copies.remove(0);
            for copy in &mut flow.copies {
                copy.bytes = Some(1 << 20);
            }
            snapshot.flows.push(flow);
        }
        let one = Snapshot { flows: vec![snapshot.flows[0].clone()], ..Snapshot::default() };
        assert_eq!(findings(&one), [], "2 MiB are too little");
        let found = findings(&snapshot);
        let [relay] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(relay.saving, Saving::new(200 << 20, 100 * 32));
        let figure = |name: &str| relay.figures.iter().find(|figure| figure.name == name).unwrap().value;
        assert_eq!(
            (figure("flows"), figure("payload"), figure("transitions")),
            (Some(100), Some(100 << 20), Some(6_400))
        );
        let about = &relay.applies_to;
        assert_eq!(about.source, Some(samples::file("/srv/www/big.bin")), "the same in all");
        assert_eq!(about.sink.as_ref().unwrap().address, None, "each another");
    }

    fn kind() -> impl Strategy<Value = EndpointKind> {
        use EndpointKind::*;
        prop::sample::select(vec![File, Socket, Pipe, User, Terminal, Unknown])
    }

    fn copy() -> impl Strategy<Value = Copy> {
        let place = || {
            use Place::*;
            prop::sample::select(vec![Device, PageCache, User, Socket, Pipe])
        };
        let mover = prop::option::of(prop::sample::select(vec![Mover::Cpu, Mover::Dma, Mover::None]));
        let notes = [
            Note::ReportedCopied,
            Note::ZerocopyNotSet,
            Note::CopyingSplice,
            Note::FellBack,
            Note::IntoFile,
            Note::NotReflinked,
            Note::LoopbackCopies,
        ];
        let note = prop::option::of(prop::sample::select(notes.to_vec()));
        let bytes = prop::option::weighted(0.9, 0..1u64 << 34);
        (place(), place(), mover, bytes, note).prop_map(|(from, to, mover, bytes, note)| Copy {
            from,
            to,
            mover,
            bytes,
            evidence: if bytes.is_some() { Evidence::Derived } else { Evidence::Unknown },
            derived_bytes: None,
            note: note.map(|note| note.text().to_owned()),
        })
    }

    fn flow() -> impl Strategy<Value = Flow> {
        let methods = [
            "read",
            "write",
            "read+write",
            "recv+send",
            "sendfile",
            "splice",
            "copy_file_range",
            "send(MSG_ZEROCOPY)",
            "read+send(MSG_ZEROCOPY)",
        ];
        let ends = (kind(), kind(), prop::sample::select(vec!["ext4", "xfs"]));
        let counts = (0..1u64 << 34, 0..1u64 << 20, 0..1u64 << 21);
        (1..3u32, prop::sample::select(methods.to_vec()), ends, counts, prop::collection::vec(copy(), 0..5))
            .prop_map(
                |(
                    pid,
                    method,
                    (source, sink, file_system),
                    (payload_bytes, transfers, transitions),
                    copies,
                )| {
                    let mut flow = samples::relay_flow();
                    (flow.source.kind, flow.sink.kind) = (source, sink);
                    for end in [&mut flow.source, &mut flow.sink] {
                        (end.id, end.file_system) = (Some("8:1:7".to_owned()), Some(file_system.to_owned()));
                        end.address = (end.kind == EndpointKind::Socket)
                            .then(|| "tcp 10.0.0.1:1 → 10.0.0.2:2".to_owned());
                    }
                    Flow {
                        pid,
                        method: method.to_owned(),
                        payload_bytes,
                        transfers,
                        operations: transitions / 2,
                        transitions,
                        copies,
                        ..flow
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn no_more_is_saved_than_was_copied(flows in prop::collection::vec(flow(), 0..12)) {
            let copied = |flow: &Flow| -> u64 {
                let by_cpu = flow.copies.iter().filter(|copy| copy.mover == Some(Mover::Cpu));
                by_cpu.filter_map(|copy| copy.bytes).sum()
            };
            for flow in &flows {
                let one = Snapshot { flows: vec![flow.clone()], ..Snapshot::default() };
                let found: Vec<_> = RULES.iter().flat_map(|rule| rule(&one)).collect();
                let saved: u64 = found.iter().map(|finding| finding.saving.cpu_copied_bytes).sum();
                prop_assert!(saved <= copied(flow), "{saved} of {} by {found:?}", copied(flow));
                for finding in &found {
                    prop_assert!(finding.saving.transitions <= flow.transitions, "{finding:?}");
                }
            }
            let snapshot = Snapshot { flows, ..Snapshot::default() };
            let saved: u64 = findings(&snapshot).iter().map(|finding| finding.saving.cpu_copied_bytes).sum();
            let all: u64 = snapshot.flows.iter().map(copied).sum();
            prop_assert!(saved <= all, "{saved} of {all}");
        }
    }
}
