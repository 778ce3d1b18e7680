//! Many small calls where few larger ones would do.
//!
//! Told only where the program chooses how much a call moves: between files, or between a file and its memory. What comes from
//! a socket or pipe is as large as its sender made it. Not told where files are read or written here and there (pread, lseek),
//! nor where each write is to reach the disk before the next (O_SYNC, O_DSYNC, fsync after every few): a log for which that is
//! the point, as a database's. Which file an fsync was for is not known; all of them are held against each flow.

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
    let syncs = snapshot.calls.iter().filter(|call| SYNCS.contains(&call.name.as_str()));
    let syncs = syncs.map(|call| call.count).fold(0, u64::saturating_add);
    let flows = snapshot.flows.iter().filter(|flow| here_and_there < flow.operations / 2);
    let flows = flows.filter(|flow| !is_kept_in_step(snapshot, flow, syncs));
    flows.filter_map(of_flow).collect()
}

const SYNCS: [&str; 7] =
    ["fsync", "fdatasync", "sync_file_range", "syncfs", "sync", "fsync:32", "fdatasync:32"];
/// More writes than these between two fsyncs could be one.
const WRITES_A_SYNC: u64 = 8;
/// `O_DSYNC`; `O_SYNC` contains it (asm-generic/fcntl.h; the same number on x86-64 and aarch64).
const O_DSYNC: u32 = 0o10000;

/// Whether the writes of a flow go to the disk one by one, or a few at a time.
fn is_kept_in_step(snapshot: &Snapshot, flow: &Flow, syncs: u64) -> bool {
    if flow.sink.kind != EndpointKind::File {
        return false;
    }
    let opened = snapshot.descriptors.iter().filter(|descriptor| descriptor.endpoint == flow.sink);
    let synchronous = opened.filter_map(|descriptor| descriptor.open_flags).any(|flags| flags & O_DSYNC != 0);
    synchronous || syncs.saturating_mul(WRITES_A_SYNC) >= flow.transfers
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
        also: Vec::new(),
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

    #[test]
    fn a_log_that_is_synced_is_left_alone() {
        let log = flow(100);
        let mut snapshot = Snapshot { flows: vec![log.clone()], ..Snapshot::default() };
        assert_eq!(find(&snapshot).len(), 1);
        let mut call = samples::busy().snapshot.calls.remove(0);
        (call.name, call.count) = ("fdatasync".to_owned(), log.transfers / 8);
        snapshot.calls = vec![call];
        assert_eq!(find(&snapshot), []);
        snapshot.calls[0].count -= 1;
        assert_eq!(find(&snapshot).len(), 1, "more than eight writes for each");
        let mut descriptor = samples::busy().snapshot.descriptors.remove(0);
        (descriptor.endpoint, descriptor.open_flags) = (log.sink, Some(0o4010001));
        snapshot.descriptors = vec![descriptor];
        assert_eq!(find(&snapshot), [], "O_SYNC");
    }
}
