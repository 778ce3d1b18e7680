//! Many small calls where few larger ones would do.
//!
//! Told only where the program chooses how much a call moves: between files, or between a file and its memory. What comes from
//! a socket or pipe is as large as its sender made it. Not told where files are read or written here and there (pread, lseek).

use super::{AppliesTo, Figure, Finding, Saving};
use crate::model::{
    endpoint::EndpointKind,
    evidence::Evidence,
    snapshot::{Flow, Snapshot},
};

/// Below this the cost of the call shows beside that of the copy.
const SMALL_BYTES: u64 = 16 << 10;
/// What the saving is reckoned with: beyond, larger calls save little (cp and cat of coreutils use 128 KiB and more).
const BETTER_BYTES: u64 = 64 << 10;

pub(super) fn find(snapshot: &Snapshot) -> Vec<Finding> {
    let positioned = |name: &str| name == "lseek" || name.starts_with("pread") || name.starts_with("pwrite");
    let calls = snapshot.calls.iter().filter(|call| positioned(&call.name));
    let here_and_there = calls.map(|call| call.count).fold(0, u64::saturating_add);
    let flows = snapshot.flows.iter().filter(|flow| here_and_there < flow.operations / 2);
    flows.filter_map(of_flow).collect()
}

fn of_flow(flow: &Flow) -> Option<Finding> {
    use EndpointKind::{File, User};
    if !matches!((flow.source.kind, flow.sink.kind), (File, File | User) | (User, File)) {
        return None;
    }
    let chunk =
        flow.payload_bytes.checked_div(flow.transfers).filter(|chunk| (1..SMALL_BYTES).contains(chunk))?;
    let left = u128::from(flow.transitions) * u128::from(chunk) / u128::from(BETTER_BYTES);
    let saved = flow.transitions.saturating_sub(u64::try_from(left).unwrap_or(u64::MAX));
    Some(Finding {
        rule: "small-calls".to_owned(),
        title: "many small calls".to_owned(),
        advice: "A larger buffer makes fewer calls of the same bytes: 64 KiB or more a call.".to_owned(),
        applies_to: AppliesTo::flow(flow),
        figures: vec![
            Figure::new("payload", flow.payload_bytes, "bytes", flow.payload_evidence),
            Figure::new("calls", flow.operations, "calls", Evidence::Measured),
            Figure::new("transitions", flow.transitions, "transitions", Evidence::Measured),
        ],
        saving: Saving::new(0, saved),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    fn flow(chunk: u64) -> Flow {
        let mut flow = samples::relay_flow();
        flow.sink = flow.source.clone();
        flow.payload_bytes = flow.transfers * chunk;
        flow
    }

    #[test]
    fn small_is_below_a_threshold() {
        assert_eq!(of_flow(&flow(SMALL_BYTES)), None);
        assert!(of_flow(&flow(SMALL_BYTES - 1)).is_some());
        assert_eq!(of_flow(&flow(1)).unwrap().saving, Saving::new(0, 16_384));
        assert_eq!(of_flow(&flow(8 << 10)).unwrap().saving.transitions, 16_384 - 2_048);
    }

    #[test]
    fn messages_and_reads_here_and_there_are_left_alone() {
        let mut socket = samples::relay_flow();
        socket.payload_bytes = 4_096;
        assert_eq!(of_flow(&socket), None);
        let mut snapshot = Snapshot { flows: vec![flow(1)], ..Snapshot::default() };
        assert_eq!(find(&snapshot).len(), 1);
        let mut call = samples::busy().snapshot.calls.remove(0);
        call.name = "pread64".to_owned();
        snapshot.calls = vec![call];
        assert_eq!(find(&snapshot), []);
    }
}
