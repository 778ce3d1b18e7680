//! Tables of descriptors, call by call.

use super::*;
use crate::model::{
    Model, ModelConfig,
    event::{CallKind, DescriptorSeen, DescriptorsSeen, Event, Folded, Operation, Side},
    snapshot::Snapshot,
    testing::{self, FILE, OTHER_FILE, PID, PIPE, SOCKET},
};

/// A call of [`PID`] that took one nanosecond and ended then.
fn change(time_ns: u64, change: DescriptorChange) -> Event {
    change_by(PID, PID, time_ns, change)
}

fn change_by(pid: Pid, tid: Tid, time_ns: u64, change: DescriptorChange) -> Event {
    Event::Descriptors(DescriptorEvent { pid, tid, began_ns: time_ns - 1, time_ns, change })
}

fn open(time_ns: u64, fd: i32, serial: u64) -> Event {
    let made = [Some((fd, Serial(serial))), None];
    change(time_ns, DescriptorChange::Opened { made, close_on_exec: Some(false) })
}

fn close(time_ns: u64, fd: u32) -> Event {
    change(time_ns, DescriptorChange::Closed { first: fd, last: fd, unshared: false })
}

/// A read of ten bytes by [`PID`] that took one nanosecond and ended then.
fn read(time_ns: u64, fd: i32, serial: u64) -> Event {
    read_by(PID, time_ns, 1, fd, serial)
}

fn read_by(pid: Pid, time_ns: u64, duration_ns: u64, fd: i32, serial: u64) -> Event {
    let mut operation = testing::operation(CallKind::Read, serial, 0, 10);
    operation.source = Some(Side { fd, serial: Serial(serial), flags: 0 });
    (operation.call.pid, operation.call.tid) = (pid, pid);
    (operation.call.end_ns, operation.call.duration_ns) = (time_ns, Some(duration_ns));
    Event::Operation(operation)
}

fn seen(time_ns: u64, at_begin: bool, descriptors: &[(i32, u64)]) -> Event {
    let seen = |(fd, serial): &(i32, u64)| DescriptorSeen {
        fd: *fd,
        serial: Serial(*serial),
        identified: true,
        flags: Some(2),
        close_on_exec: Some(*fd == 9),
        position_bytes: Some(7),
    };
    let descriptors = descriptors.iter().map(seen).collect();
    Event::DescriptorsSeen(DescriptorsSeen { pid: PID, time_ns, at_begin, complete: true, descriptors })
}

fn started(pid: Pid, tid: Tid, parent: Pid, shares_descriptors: bool) -> Event {
    let comm = String::new();
    Event::ThreadStarted(ThreadStarted {
        pid,
        tid,
        parent,
        attached: false,
        start_ns: 0,
        shares_descriptors,
        time_ns: 50,
        comm,
    })
}

fn after(events: impl IntoIterator<Item = Event>) -> Snapshot {
    let mut model = testing::model();
    model.apply(events);
    model.snapshot()
}

/// Number, inode, whether open, bytes read: of a process, by number.
fn table(snapshot: &Snapshot, pid: Pid) -> Vec<(i32, &str, Option<bool>, u64)> {
    let mut table: Vec<_> = snapshot
        .descriptors
        .iter()
        .filter(|known| known.pid == pid)
        .map(|known| {
            let id = known.endpoint.id.as_deref().and_then(|id| id.strip_prefix("8:1:")).unwrap_or("?");
            (known.fd, id, known.open, known.read_bytes)
        })
        .collect();
    table.sort_unstable();
    table
}

#[test]
fn a_number_that_is_used_anew_is_two_entries() {
    let snapshot = after([
        open(10, 3, FILE),
        read(20, 3, FILE),
        close(30, 3),
        open(40, 3, OTHER_FILE),
        read(50, 3, OTHER_FILE),
        read(60, 3, OTHER_FILE),
    ]);
    assert_eq!(table(&snapshot, PID), [(3, "1", Some(false), 10), (3, "4", Some(true), 20)]);
    let summary = snapshot.descriptor_summary;
    assert_eq!((summary.open, summary.closed, summary.corrected), (1, 1, 0));
    assert_eq!((summary.all.operations, summary.all.read_bytes), (3, 30));
}

#[test]
fn the_same_again_and_again_is_one_closed_entry() {
    let again = (0..5).flat_map(|turn| {
        [open(turn * 10 + 1, 3, FILE), read(turn * 10 + 3, 3, FILE), close(turn * 10 + 5, 3)]
    });
    let snapshot = after(again);
    assert_eq!(table(&snapshot, PID), [(3, "1", Some(false), 50)]);
    assert_eq!((snapshot.descriptors[0].openings, snapshot.descriptors[0].operations), (5, 5));
}

#[test]
fn duplicates_and_replacements() {
    let duplicated = |from, to| DescriptorChange::Duplicated { from, to, close_on_exec: false };
    let snapshot = after([
        open(10, 3, FILE),
        open(11, 4, OTHER_FILE),
        change(20, duplicated(3, 9)),
        change(30, duplicated(3, 4)),
        close(40, 3),
        // What was never seen.
        change(50, duplicated(7, 8)),
    ]);
    let expected = [
        (3, "1", Some(false), 0),
        (4, "1", Some(true), 0),
        (4, "4", Some(false), 0),
        (8, "?", Some(true), 0),
        (9, "1", Some(true), 0),
    ];
    assert_eq!(table(&snapshot, PID), expected);
}

#[test]
fn ranges_and_exec() {
    let range = |first, last, unshared| DescriptorChange::Closed { first, last, unshared };
    let mark =
        DescriptorChange::CloseOnExec { first: 5, last: u32::MAX, close_on_exec: true, unshared: false };
    let made = [Some((8, Serial(PIPE))), None];
    let mut model = testing::model();
    model.apply((3..7).map(|fd| open(10, fd, FILE)));
    model.apply([change(20, range(3, 4, false)), change(30, mark)]);
    model.apply([change(31, DescriptorChange::Opened { made, close_on_exec: None }), open(32, 7, SOCKET)]);
    model.apply([Event::Executed { pid: PID, tid: PID, start_ns: 0, comm: String::new(), time_ns: 40 }]);
    let snapshot = model.snapshot();
    let open = |snapshot: &Snapshot| -> Vec<(i32, Option<bool>)> {
        let there = snapshot.descriptors.iter().filter(|known| known.open != Some(false));
        let mut there: Vec<_> = there.map(|known| (known.fd, known.open)).collect();
        there.sort_unstable();
        there
    };
    assert_eq!(open(&snapshot), [(7, Some(true)), (8, None)], "of 8 it is not known whether exec closed it");
    model.apply([read(50, 8, PIPE)]);
    assert_eq!(open(&model.snapshot()), [(7, Some(true)), (8, Some(true))]);
}

#[test]
fn a_call_that_began_before_means_what_was_there_before() {
    // Another thread's close and open come between begin and end of this read, and the close returns last.
    let late_close = Event::Descriptors(DescriptorEvent {
        pid: PID,
        tid: 101,
        began_ns: 25,
        time_ns: 45,
        change: DescriptorChange::Closed { first: 3, last: 3, unshared: false },
    });
    let snapshot = after([
        open(10, 3, FILE),
        open(40, 3, OTHER_FILE),
        late_close,
        read_by(PID, 50, 30, 3, FILE),
        read_by(PID, 60, 5, 3, OTHER_FILE),
    ]);
    assert_eq!(table(&snapshot, PID), [(3, "1", Some(false), 10), (3, "4", Some(true), 10)]);
    assert_eq!(snapshot.descriptor_summary.corrected, 0);
}

#[test]
fn an_operation_puts_the_table_right() {
    let snapshot = after([open(10, 3, FILE), read(20, 3, OTHER_FILE), read(30, 5, SOCKET)]);
    let expected = [(3, "1", Some(false), 0), (3, "4", Some(true), 10), (5, "2", Some(true), 10)];
    assert_eq!(table(&snapshot, PID), expected);
    assert_eq!(snapshot.descriptor_summary.corrected, 2);
    let origins = snapshot.descriptors.iter().filter(|known| known.opened == DescriptorOrigin::NotSeen);
    assert_eq!(origins.count(), 2);
}

#[test]
fn what_was_open_before() {
    let mut model = testing::model();
    // What returned before the reading is in it already.
    model.apply([
        seen(100, true, &[(0, FILE), (3, SOCKET), (9, PIPE)]),
        close(90, 3),
        close(110, 0),
        read(120, 3, SOCKET),
    ]);
    let snapshot = model.snapshot();
    let expected = [(0, "1", Some(false), 0), (3, "2", Some(true), 10), (9, "3", Some(true), 0)];
    assert_eq!(table(&snapshot, PID), expected);
    let pipe = snapshot.descriptors.iter().find(|known| known.fd == 9).unwrap();
    assert_eq!(
        (pipe.opened, pipe.close_on_exec, pipe.opened_ns),
        (DescriptorOrigin::BeforeAttach, Some(true), None)
    );
    assert_eq!((pipe.open_flags, pipe.position_bytes), (Some(2), Some(7)));
    assert_eq!(snapshot.descriptor_summary.corrected, 0);
    // At the end: 3 is something else, 5 came by an unknown way, 9 is gone; 6 and 7 changed after the reading.
    model.apply([open(130, 6, FILE), open(230, 7, FILE), close(240, 6)]);
    model.apply([seen(200, false, &[(3, FILE), (5, SOCKET), (6, FILE)])]);
    let snapshot = model.snapshot();
    let there: Vec<_> = table(&snapshot, PID).into_iter().filter(|known| known.2 == Some(true)).collect();
    assert_eq!(there, [(3, "1", Some(true), 0), (5, "2", Some(true), 0), (7, "1", Some(true), 0)]);
    assert_eq!(snapshot.descriptor_summary.corrected, 3);
}

#[test]
fn a_fork_copies_and_clone_files_shares() {
    let copied =
        after([open(10, 3, FILE), started(200, 200, PID, false), close(60, 3), read_by(200, 70, 1, 3, FILE)]);
    assert_eq!(table(&copied, PID), [(3, "1", Some(false), 0)]);
    assert_eq!(table(&copied, 200), [(3, "1", Some(true), 10)]);
    let shared = after([
        open(10, 3, FILE),
        started(200, 200, PID, true),
        read_by(200, 70, 1, 3, FILE),
        close(80, 3),
        open(90, 4, SOCKET),
    ]);
    assert_eq!(table(&shared, PID), [(3, "1", Some(false), 10), (4, "2", Some(true), 0)]);
    assert_eq!(shared.descriptors.iter().find(|known| known.fd == 4).unwrap().shared_with, [200]);
    assert!(table(&shared, 200).is_empty());
}

#[test]
fn sharing_ends_with_exec_and_unshare() {
    let shared = [started(PID, PID, 1, false), open(10, 3, FILE), started(200, 200, PID, true)];
    let executed = Event::Executed { pid: 200, tid: 200, start_ns: 0, comm: String::new(), time_ns: 60 };
    let unshared = change_by(200, 200, 60, DescriptorChange::Unshared);
    let all = DescriptorChange::Closed { first: 0, last: u32::MAX, unshared: true };
    for parting in [vec![executed, close(70, 3)], vec![unshared, close(70, 3)], vec![change(70, all)]] {
        let snapshot = after(shared.clone().into_iter().chain(parting));
        assert_eq!(table(&snapshot, PID), [(3, "1", Some(false), 0)]);
        assert_eq!(table(&snapshot, 200), [(3, "1", Some(true), 0)]);
        assert!(snapshot.descriptors.iter().all(|known| known.shared_with.is_empty()));
    }
}

#[test]
fn a_thread_with_a_table_of_its_own() {
    let one = [started(PID, PID, 1, false), started(PID, 101, PID, true), open(10, 3, FILE)];
    let unshared = change_by(PID, 101, 60, DescriptorChange::Unshared);
    let closed = change_by(PID, 101, 70, DescriptorChange::Closed { first: 3, last: 3, unshared: false });
    let snapshot = after(one.into_iter().chain([unshared, closed]));
    let entries: Vec<_> = snapshot.descriptors.iter().map(|known| (known.tid, known.open)).collect();
    assert_eq!(entries, [(None, Some(true)), (Some(101), Some(false))]);
}

#[test]
fn with_a_process_its_descriptors_end() {
    let ended = |tid, time_ns| Event::ThreadEnded { pid: PID, tid, start_ns: 0, time_ns, exit_code: 0 };
    let mut model = testing::model();
    model.apply([
        started(PID, PID, 1, false),
        started(PID, 101, PID, true),
        open(10, 3, FILE),
        ended(PID, 60),
    ]);
    assert_eq!(model.snapshot().descriptor_summary.open, 1);
    model.apply([ended(101, 70)]);
    let summary = model.snapshot().descriptor_summary;
    assert_eq!((summary.open, summary.closed), (0, 1));
}

#[test]
fn nothing_is_open_where_the_kernel_says_ebadf() {
    let bad = |fd, serial| match read(20, fd, serial) {
        Event::Operation(operation) => {
            let call = crate::model::event::Call { result: -9, ..operation.call };
            Event::Operation(Operation { bytes: 0, call, ..operation })
        }
        other => other,
    };
    // A descriptor that is open for writing only is there all the same.
    let snapshot = after([open(10, 3, FILE), open(10, 4, OTHER_FILE), bad(3, FILE), bad(4, 0), bad(77, 0)]);
    assert_eq!(table(&snapshot, PID), [(3, "1", Some(true), 0), (4, "4", Some(false), 0)]);
    let summary = snapshot.descriptor_summary;
    assert_eq!((summary.all.errors, summary.without_descriptor.errors), (3, 2));
}

#[test]
fn what_the_kernel_folded_went_through_descriptors_too() {
    let folded = |fd, serial| {
        let source = Some(Side { fd, serial: Serial(serial), flags: 2 });
        Event::Folded(vec![Folded {
            source,
            errors: 1,
            ..testing::folded(CallKind::Read, serial, 0, 10, 1000)
        }])
    };
    let snapshot = after([
        open(10, 3, FILE),
        read(20, 3, FILE),
        folded(3, FILE),
        // It was told of only when the number stood for something else.
        close(30, 3),
        open(40, 3, OTHER_FILE),
        folded(3, FILE),
        // Whatever put that there was not seen.
        folded(7, SOCKET),
        folded(-1, FILE),
    ]);
    let told = [(3, "1", Some(false), 2010), (3, "4", Some(true), 0), (7, "2", Some(true), 1000)];
    assert_eq!(table(&snapshot, PID), told);
    let summary = snapshot.descriptor_summary;
    assert_eq!((summary.all.operations, summary.all.read_bytes, summary.all.errors), (41, 4010, 4));
    assert_eq!((summary.without_descriptor.operations, summary.corrected), (10, 1));
    let when: Vec<_> = snapshot.descriptors.iter().map(|known| (known.fd, known.last_use_ns)).collect();
    assert!(when.contains(&(3, Some(20))) && when.contains(&(7, None)), "{when:?}");
}

/// What a process has summed is collected after its end: nothing is open any more.
#[test]
fn what_was_folded_before_the_end() {
    let source = Some(Side { fd: 3, serial: Serial(FILE), flags: 2 });
    let folded = Event::Folded(vec![Folded { source, ..testing::folded(CallKind::Read, FILE, 0, 10, 1000) }]);
    let ended = Event::ThreadEnded { pid: PID, tid: PID, start_ns: 0, time_ns: 40, exit_code: 0 };
    let snapshot = after([started(PID, PID, 1, false), open(10, 3, FILE), read(20, 3, FILE), ended, folded]);
    assert_eq!(table(&snapshot, PID), [(3, "1", Some(false), 1010)]);
    assert_eq!((snapshot.descriptor_summary.open, snapshot.descriptor_summary.corrected), (0, 0));
}

#[test]
fn memory_is_bounded_and_nothing_is_left_out() {
    let limits = ModelConfig { most_descriptors: 8, most_closed_descriptors: 4, ..ModelConfig::default() };
    let mut model = Model::new(limits);
    for inode in 1..100 {
        model.apply([Event::Endpoint(Serial(inode), testing::file(inode, "ext4", None))]);
        let fd = i32::try_from(inode).unwrap();
        model.apply([open(inode * 10, fd, inode), read(inode * 10 + 5, fd, inode)]);
        if inode % 3 == 0 {
            model.apply([change(
                inode * 10 + 8,
                DescriptorChange::Closed { first: 0, last: 999, unshared: false },
            )]);
        }
    }
    let snapshot = model.snapshot();
    assert!(snapshot.descriptors.len() <= 12);
    let summary = snapshot.descriptor_summary;
    let listed: u64 = snapshot.descriptors.iter().map(|known| known.operations).sum();
    assert_eq!(listed + summary.not_listed_use.operations + summary.without_descriptor.operations, 99);
    assert_eq!(summary.all.operations, 99);
}
