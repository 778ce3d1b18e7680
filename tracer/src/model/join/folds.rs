//! Operations that were folded in the kernel: booked by their endpoints. Which read brought what which write sent on nobody saw.
//! So of what was folded as much is joined as was of the writes of the same process into the same sink that were told.

use super::{
    Act, CallKind, Counted, Delivery, EndpointId, FlowId, FlowKey, Folded, Join, Late, Method, Moved,
    Operation, Origin, Path, Pid, Sender, Stats, Tally, Tid, Way, proportion,
};
use crate::model::hash::HashMap;

/// Where writes go: what is told of them tells of those that were folded.
type Sink = (Pid, EndpointId, Delivery);

/// What brought the bytes of writes that were told, and how many.
type Told = Vec<((EndpointId, Origin), u128)>;

/// Processes of which some operations were not told.
#[derive(Debug, Default)]
pub(super) struct Untold {
    of: HashMap<Pid, Kinds>,
    /// Of those that found no room.
    rest: Kinds,
}

impl Untold {
    /// Most processes that are told apart.
    const MOST: usize = 1 << 16;

    fn kinds(&mut self, pid: Pid) -> &mut Kinds {
        let has_room = self.of.len() < Self::MOST || self.of.contains_key(&pid);
        if has_room { self.of.entry(pid).or_default() } else { &mut self.rest }
    }

    fn note(&mut self, pid: Pid, way: Way) {
        match way {
            Way::IntoMemory(_) => self.kinds(pid).reads = true,
            Way::FromMemory(_) => self.kinds(pid).writes = true,
            Way::InKernel(_) => {}
        }
    }

    /// Some bytes of an operation were in memory that its record does not tell: whether calls brought them, or sent them on,
    /// is not certain.
    pub(super) fn note_memory(&mut self, pid: Pid) {
        *self.kinds(pid) = Kinds { reads: true, writes: true };
    }

    fn of(&self, pid: Pid) -> Kinds {
        self.of.get(&pid).copied().unwrap_or(self.rest)
    }
}

/// Which operations were not told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Kinds {
    /// Some that put bytes into memory.
    pub(crate) reads: bool,
    /// Some that took bytes from memory.
    pub(crate) writes: bool,
}

/// Operations that were folded together, as far as they are in no flow yet.
struct Fold<'a> {
    folded: &'a Folded,
    moved: Moved,
    /// Whether their flow is concluded from others.
    estimated: bool,
}

/// A part of them.
struct Taken {
    /// Payload bytes.
    bytes: u64,
    tally: Tally,
    /// Bytes of the sink that it made dirty.
    dirty: u64,
}

impl<'a> Fold<'a> {
    /// By the copy table; nothing of operations that move nothing.
    fn of(join: &mut Join, folded: &'a Folded) -> Option<Self> {
        let sides = [folded.source, folded.sink];
        let path = Path::of(&mut join.endpoints, folded.kind, sides, folded.flags)?;
        let request = folded.name.is_request();
        let act = Act {
            kind: folded.kind,
            source: path.source.party,
            sink: path.sink.party,
            flags: folded.flags,
            bytes: folded.bytes,
            asked: None,
            storage_read: folded.storage_read_bytes,
            storage_written: folded.storage_written_bytes,
            pinned: None,
            counted: Some(folded.counted).filter(|counted| !request || *counted != Counted::NONE),
            is_request: request,
            sources: join.sources,
        };
        let stats = Stats {
            operations: folded.operations,
            transitions: folded.transitions,
            time_ns: if request { 0 } else { folded.duration_ns },
            request_ns: if request { folded.duration_ns } else { 0 },
            blocked_ns: folded.blocked_ns,
            preempted_ns: folded.preempted_ns,
            ..Stats::default()
        };
        let mut parts = act.parts();
        parts.made_by(folded.operations);
        // When they began is not known.
        let late = Late::of(&act, &parts, 0, None);
        let moved = Moved {
            path,
            payload: act.payload(),
            received: act.received(),
            parts,
            stats,
            late,
            is_sample: false,
        };
        Some(Self { folded, moved, estimated: false })
    }

    fn source(&self) -> Option<(EndpointId, Origin)> {
        match self.moved.path.way {
            Way::IntoMemory(origin) => Some((self.moved.path.source.id, origin)),
            _ => None,
        }
    }

    fn sink(&self) -> Option<Sink> {
        match self.moved.path.way {
            Way::FromMemory(delivery) => Some((self.folded.pid, self.moved.path.sink.id, delivery)),
            _ => None,
        }
    }

    /// Takes out what belongs to `bytes` of the payload that is left.
    fn take(&mut self, bytes: u64) -> Taken {
        let Moved { payload: left, parts, stats, late, .. } = &mut self.moved;
        let bytes = bytes.min(*left);
        let stats = stats.take(bytes, *left);
        let mut tally = Tally::default();
        tally.folded = stats.operations;
        tally.estimated = if self.estimated { stats.operations } else { 0 };
        tally.transfers = if bytes > 0 { stats.operations } else { 0 };
        (tally.payload, tally.not_sampled) = (bytes.into(), bytes.into());
        tally.stats = stats;
        parts.take(bytes, *left, |part| tally.put(&part));
        let dirty = if bytes == *left { late.dirty } else { proportion(late.dirty, bytes, *left) };
        late.dirty -= dirty;
        *left -= bytes;
        Taken { bytes, tally, dirty }
    }
}

impl Join {
    /// Books what was folded in the kernel between two collections.
    pub(crate) fn folded(&mut self, all: &[Folded]) {
        let mut folds: Vec<Fold> = all.iter().filter_map(|folded| Fold::of(self, folded)).collect();
        for Fold { folded, moved, .. } in &folds {
            let transfers = if moved.payload > 0 { folded.operations } else { 0 };
            self.count_overall(moved, transfers);
            if moved.payload > 0 {
                self.untold.note(folded.pid, moved.path.way);
            }
            self.forget_under_way(folded, moved);
        }
        self.send_on_as_told(&mut folds);
        for fold in &mut folds {
            self.book_rest(fold);
            let Moved { path, late, .. } = &fold.moved;
            self.devices.flush(&mut self.flows, &mut self.overall, path.sink, late.flushed, late.ended_ns);
        }
    }

    /// Whether bytes may count twice, as read and as written, and nothing tells of how many: more than a hundredth.
    pub(crate) fn is_blind(&self) -> bool {
        let many = self.blind_bytes.saturating_mul(100) > self.overall.payload;
        self.unjoined || self.folded_reads && many
    }

    /// Which operations of a process were not told.
    pub(crate) fn untold(&self, pid: Pid) -> Kinds {
        self.untold.of(pid)
    }

    /// Whether an operation says something of those that were folded.
    pub(super) fn is_sample(&mut self, operation: &Operation, way: Way) -> bool {
        let tid = operation.call.tid;
        if operation.after_untold {
            self.since_folded.insert(tid);
        }
        if self.since_folded.is_empty() {
            return true;
        }
        match way {
            Way::IntoMemory(_) if operation.bytes > 0 => {
                self.since_folded.remove(&tid);
                true
            }
            _ => !self.since_folded.contains(&tid),
        }
    }

    /// It writes nothing any more.
    pub(crate) fn thread_ended(&mut self, tid: Tid) {
        self.since_folded.remove(&tid);
    }

    /// What waits in memory and in pipes is not what was put there last.
    fn forget_under_way(&mut self, folded: &Folded, moved: &Moved) {
        let Path { source, sink, way } = moved.path;
        if matches!(way, Way::IntoMemory(_)) || folded.kind == CallKind::ProcessVmRead {
            // It is not known which memory they overwrote.
            self.memories.forget_brought(folded.pid);
        }
        if let Some(pipe) = source.pipe()
            && folded.kind != CallKind::Tee
        {
            self.pipes.pop(pipe, moved.received, |_| {});
        }
        self.rest_opaque(sink, moved.payload);
        let halves = [source, sink].iter().any(|end| end.pipe().is_some());
        self.unjoined |= halves && matches!(way, Way::InKernel(_)) && moved.payload > 0;
    }

    /// Writes go on with what reads brought, in the proportions of those that were told.
    fn send_on_as_told(&mut self, folds: &mut [Fold]) {
        let moves = |fold: &Fold| fold.moved.payload > 0;
        self.folded_reads |= folds.iter().any(|fold| moves(fold) && fold.source().is_some());
        let sinks = folds.iter().filter(|fold| moves(fold)).filter_map(Fold::sink);
        let mut told: HashMap<Sink, Told> = sinks.map(|sink| (sink, Told::new())).collect();
        if told.is_empty() {
            return;
        }
        self.flows.samples(|key, bytes| {
            if let Method::Relay(origin, delivery) = key.method
                && let Some(into) = told.get_mut(&(key.pid, key.sink, delivery))
            {
                into.push(((key.source, origin), bytes));
            }
        });
        // The writes stand after the reads, so that each of them finds all reads behind it.
        folds.sort_by_key(|fold| fold.sink().is_some());
        let first = folds.partition_point(|fold| fold.sink().is_none());
        let (reads, writes) = folds.split_at_mut(first);
        for write in writes.iter_mut().filter(|fold| moves(fold)) {
            let Some((sink, into)) = write.sink().and_then(|sink| Some((sink, told.get(&sink)?))) else {
                continue;
            };
            let brought = |read: &Fold| read.folded.pid == sink.0 && read.source().is_some() && moves(read);
            let any_brought = reads.iter().any(brought);
            if into.is_empty() {
                // It may be what was read, and then counts twice.
                self.blind_bytes = self.blind_bytes.saturating_add(write.moved.payload.into());
                self.joined |= self.folded_reads;
                continue;
            }
            write.estimated = any_brought || into.iter().any(|((_, origin), _)| *origin != Origin::Memory);
            reads.iter_mut().filter(|read| brought(read)).for_each(|read| read.estimated = true);
            self.send_on_estimated(write, sink, into, reads);
        }
    }

    /// As [`Join::send_on`], of many writes at once.
    fn send_on_estimated(&mut self, write: &mut Fold, sink: Sink, into: &Told, reads: &mut [Fold]) {
        let (pid, sink, delivery) = sink;
        let mut of: u128 = into.iter().map(|(_, bytes)| bytes).sum();
        for ((source, origin), bytes) in into.iter().filter(|((_, origin), _)| *origin != Origin::Memory) {
            let left = write.moved.payload;
            let share = u128::from(left).saturating_mul(*bytes).checked_div(of).unwrap_or(0);
            of -= bytes;
            let taken = write.take(u64::try_from(share).unwrap_or(left));
            if taken.bytes == 0 {
                continue;
            }
            self.joined = true;
            let flow = self.open(pid, *source, sink, Method::Relay(*origin, delivery));
            self.book_fold(flow, write, &taken);
            let mut missing = taken.bytes;
            let from = |read: &Fold| read.folded.pid == pid && read.source() == Some((*source, *origin));
            for read in reads.iter_mut().filter(|read| from(read)) {
                let mut drawn = read.take(missing);
                missing -= drawn.bytes;
                self.overall.payload = self.overall.payload.saturating_sub(drawn.bytes.into());
                // The write has counted these bytes, and the transfers.
                (drawn.tally.payload, drawn.tally.not_sampled, drawn.tally.transfers) = (0, 0, 0);
                self.book_fold(flow, read, &drawn);
            }
            if missing > 0 {
                let read = FlowKey {
                    pid,
                    source: *source,
                    sink: EndpointId::USER,
                    method: Method::Relay(*origin, Delivery::Stays),
                };
                self.pass_on(read, flow, missing);
            }
        }
    }

    /// What reads brought that were told, and no write took that was, is what the others took.
    fn pass_on(&mut self, read: FlowKey, flow: FlowId, bytes: u64) {
        // A read that is drawn on here must not be drawn on once more.
        self.memories.forget_brought(read.pid);
        let mut passed = Tally::default();
        let Some(from) = self.flows.find(&read).and_then(|id| self.flows.tally(id)) else { return };
        let bytes = from.pass_on(bytes.into(), &mut passed);
        self.overall.payload = self.overall.payload.saturating_sub(bytes);
        if let Some(flow) = self.flows.tally(flow) {
            flow.add(&passed);
        }
    }

    /// What nothing is known of goes into memory, or comes from there.
    fn book_rest(&mut self, fold: &mut Fold) {
        let Path { source, sink, way } = fold.moved.path;
        let rest = fold.take(fold.moved.payload);
        if rest.bytes == 0 && rest.tally.stats == Stats::default() {
            return;
        }
        let method = match way {
            Way::IntoMemory(origin) => Method::Relay(origin, Delivery::Stays),
            Way::FromMemory(delivery) => Method::Relay(Origin::Memory, delivery),
            Way::InKernel(method) => method,
        };
        let flow = self.open(fold.folded.pid, source.id, sink.id, method);
        self.book_fold(flow, fold, &rest);
    }

    fn book_fold(&mut self, flow: FlowId, fold: &Fold, taken: &Taken) {
        let Taken { bytes, tally, dirty } = taken;
        self.details.fold(flow, fold.folded.name, &tally.stats, *bytes);
        if let Some(flow) = self.flows.tally(flow) {
            flow.add(tally);
        }
        let Moved { path, late, .. } = &fold.moved;
        let (flows, overall) = (&mut self.flows, &mut self.overall);
        self.devices.dirty(flows, overall, path.sink, flow, *dirty, late.began_ns);
        if let Some(from) = late.transmits {
            self.devices.send(flows, overall, path.sink, Sender { flow, from }, *bytes);
        }
    }
}
