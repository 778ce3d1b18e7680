//! What transfers look like from inside.

use super::*;
use crate::model::{
    Model, ModelConfig,
    endpoint::Place::{Device, PageCache, Pipe, Socket, User},
    event::{Call, CallKind, Event, Operation},
    snapshot::Mover,
    testing::{FILE, OTHER_FILE, OTHER_SOCKET, PIPE, SOCKET, mapped, model_with, operation, read, write},
};

fn remembering(most: usize) -> Model {
    model_with(ModelConfig { most_recent_transfers: most, ..ModelConfig::default() })
}

fn after(events: impl IntoIterator<Item = Event>) -> Vec<RecentTransfer> {
    let mut model = remembering(100);
    model.apply(events);
    model.recent_transfers(100)
}

fn timed(operation: Operation, tid: u32, end_ns: u64) -> Event {
    Event::Operation(Operation { call: Call { tid, end_ns, ..operation.call }, ..operation })
}

/// Call, mode switches that count here, and what was copied.
fn steps(transfer: &RecentTransfer) -> Vec<(&str, u64, Vec<[u64; 1]>)> {
    let counted = |step: &Step| if step.shared { 0 } else { step.transitions };
    let copied = |step: &Step| step.copies.iter().filter_map(|copy| Some([copy.bytes?])).collect();
    transfer.steps.iter().map(|step| (step.call.as_str(), counted(step), copied(step))).collect()
}

#[test]
fn a_relay_is_a_read_and_a_write() {
    let found = after([timed(read(FILE, 0..100), 7, 5000), timed(write(SOCKET, 0..100), 8, 9000)]);
    let [transfer] = &found[..] else { panic!("one transfer: {found:#?}") };
    assert_eq!((transfer.number, transfer.more_steps), (0, 0));
    assert_eq!((transfer.transfer.method.as_str(), transfer.transfer.tid), ("read+write", 8));
    assert_eq!((transfer.transfer.payload_bytes, transfer.transfer.transitions), (100, 4));
    let [read, write] = &transfer.steps[..] else { panic!("two steps: {transfer:#?}") };
    assert_eq!(
        (read.call.as_str(), read.tid, read.start_ns, read.duration_ns),
        ("read", 7, Some(4000), Some(1000))
    );
    assert_eq!((write.call.as_str(), write.tid, write.start_ns), ("write", 8, Some(8000)));
    assert_eq!(
        (read.blocked_ns, read.preempted_ns, read.transitions, read.shared),
        (Some(300), Some(100), 2, false)
    );
    let ways = |step: &Step| -> Vec<_> {
        step.copies.iter().map(|copy| (copy.from, copy.to, copy.mover, copy.bytes)).collect()
    };
    assert_eq!(
        ways(read),
        [(Device, PageCache, Some(Mover::Dma), Some(0)), (PageCache, User, Some(Mover::Cpu), Some(100)),]
    );
    assert_eq!(ways(write), [(User, Socket, Some(Mover::Cpu), Some(100))]);
}

#[test]
fn what_a_call_costs_counts_once() {
    // Two writes of one read, and the first of them once more.
    let found = after([
        Event::Operation(read(FILE, 0..100)),
        Event::Operation(write(SOCKET, 0..30)),
        Event::Operation(write(SOCKET, 30..100)),
        Event::Operation(write(OTHER_SOCKET, 0..30)),
    ]);
    let [again, second, first] = &found[..] else { panic!("three transfers: {found:#?}") };
    assert_eq!(steps(first), [("read", 2, vec![[0], [30]]), ("write", 2, vec![[30]])]);
    assert_eq!(steps(second), [("read", 0, vec![[0], [70]]), ("write", 2, vec![[70]])]);
    assert_eq!(steps(again), [("read", 0, vec![]), ("write", 2, vec![[30]])]);
    assert_eq!([again.number, second.number, first.number], [2, 1, 0]);
    let both =
        Operation { buffers: [0..100, 200..250].into_iter().collect(), bytes: 150, ..write(SOCKET, 0..150) };
    let found =
        after([read(FILE, 0..100), read(OTHER_FILE, 200..250), both].into_iter().map(Event::Operation));
    let [less, more] = &found[..] else { panic!("two transfers: {found:#?}") };
    assert_eq!(steps(more), [("read", 2, vec![[0], [100]]), ("write", 2, vec![[100]])]);
    assert_eq!(steps(less), [("read", 2, vec![[0], [50]]), ("write", 0, vec![[50]])]);
}

#[test]
fn ways_past_the_memory_of_the_process() {
    let found = after([Event::Operation(operation(CallKind::Sendfile, FILE, SOCKET, 10))]);
    assert_eq!(steps(&found[0]), [("sendfile", 2, vec![[0], [10]])]);
    assert_eq!(found[0].steps[0].copies[1].mover, Some(Mover::None));
    let found = after(
        [(FILE, PIPE), (PIPE, SOCKET)]
            .map(|(from, to)| Event::Operation(operation(CallKind::Splice, from, to, 10))),
    );
    assert_eq!(found.len(), 1, "what rests in the pipe has not finished");
    assert_eq!(steps(&found[0]), [("splice", 2, vec![[0], [10]]), ("splice", 2, vec![[10]])]);
    let last = found[0].steps[1].copies.last().unwrap();
    assert_eq!((last.from, last.to), (Pipe, Socket));
    let found = after([mapped(FILE, 0..10), Event::Operation(write(SOCKET, 0..10))]);
    assert_eq!(found[0].transfer.method, "mmap+write");
    assert_eq!(steps(&found[0]).len(), 1);
}

#[test]
fn a_gathering_write_names_eight_reads_and_says_how_many_more() {
    let reads = (0..11).map(|number| read(FILE, number * 10..number * 10 + 10));
    let found = after(reads.chain([write(SOCKET, 0..110)]).map(Event::Operation));
    assert_eq!((found[0].steps.len(), found[0].more_steps), (9, 3));
    assert_eq!(found[0].transfer.transitions, 24);
    assert_eq!(found[0].steps[8].call, "write");
}

#[test]
fn a_call_that_began_before_tracing_has_no_beginning() {
    let mut late = operation(CallKind::Sendfile, FILE, SOCKET, 10);
    (late.call.duration_ns, late.call.began_before) = (None, true);
    let found = after([Event::Operation(late)]);
    assert_eq!((found[0].steps[0].start_ns, found[0].steps[0].duration_ns), (None, None));
    assert_eq!(found[0].steps[0].transitions, 1);
}

#[test]
fn the_oldest_leave_and_numbers_stay() {
    let mut model = remembering(3);
    for bytes in 1..=10 {
        model.apply([Event::Operation(operation(CallKind::Sendfile, FILE, SOCKET, bytes))]);
        // Nothing moved: no transfer.
        model.apply([Event::Operation(operation(CallKind::Sendfile, FILE, SOCKET, 0))]);
    }
    let shown = |most| -> Vec<_> {
        let found = model.recent_transfers(most);
        found.iter().map(|found| (found.number, found.transfer.payload_bytes, found.steps.len())).collect()
    };
    assert_eq!(shown(10), [(9, 10, 1), (8, 9, 1), (7, 8, 1)]);
    assert_eq!(shown(2), [(9, 10, 1), (8, 9, 1)]);
    let mut none = remembering(0);
    none.apply([Event::Operation(operation(CallKind::Sendfile, FILE, SOCKET, 1))]);
    assert_eq!(none.recent_transfers(10), []);
}
