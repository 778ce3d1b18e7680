//! Joins operations to transfers: what one call brought and another took on is one transfer between two endpoints.
//!
//! Every operation is booked whole, once: its bytes, its copies and its cost lie in the flows that it served, and move
//! between flows without loss. A read is booked as going to the memory of the process; the first write that sends on
//! bytes of it draws them, with their part of the copies, into the flow from the read's source to the write's sink, and
//! the first drawn byte brings along what the read cost as a call. A transfer is counted per sink operation and flow.

mod folds;

use std::ops::Range;

use super::{
    copies::Act,
    deposit::{Deposit, DepositId, Deposits},
    device_io::Devices,
    endpoint::Place,
    endpoints::{EndpointId, Endpoints},
    event::{CallKind, Counted, DeviceIo, Folded, Operation, Pid, Tid, Zerocopy},
    finished::Finished,
    flow::{FlowId, FlowKey, Flows, Stats, Tally},
    flow_detail::Details,
    hash::HashSet,
    method::{Delivery, Method, Origin},
    part::{Part, Parts, proportion},
    path::{End, Path, Way},
    pipes::{Pipes, Resting},
    proof::{Claim, Sample},
    provenance::{Memories, Piece, Provenance},
    recent::{Legs, Recent},
    sent::Sender,
    served::Served,
    sources::Sources,
    zerocopy::{Sends, Waiting},
};

/// How much is remembered at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) endpoints: usize,
    pub(crate) flows: usize,
    pub(crate) pieces_per_process: usize,
    pub(crate) processes: usize,
    pub(crate) pipes: usize,
}

/// An operation by the copy table.
struct Moved {
    path: Path,
    /// Bytes that reached the sink.
    payload: u64,
    /// Bytes that were put where the call put them, to stay there or not.
    received: u64,
    parts: Parts,
    stats: Stats,
    late: Late,
    /// Whether it says something of operations that were folded.
    is_sample: bool,
}

/// What of an operation reaches its device late.
#[derive(Clone, Copy, Debug)]
struct Late {
    /// Bytes of the sink that it made dirty.
    dirty: u64,
    /// Where a network card fetches what it sent from.
    transmits: Option<Place>,
    /// Bytes of the sink that it wrote to the device although others had made them dirty.
    flushed: u64,
    /// When it began and ended, monotonic ns; it began at 0 if that is not known.
    began_ns: u64,
    ended_ns: u64,
}

impl Late {
    fn of(act: &Act, parts: &Parts, ended_ns: u64, duration_ns: Option<u64>) -> Self {
        let began_ns = duration_ns.map_or(0, |duration| ended_ns.saturating_sub(duration));
        Self {
            dirty: act.dirty(),
            transmits: act.transmits(parts),
            flushed: act.flushed(),
            began_ns,
            ended_ns,
        }
    }
}

/// What one operation adds to one flow.
#[derive(Debug)]
struct Share {
    flow: FlowId,
    /// Payload bytes of the operation that belong to the flow.
    bytes: u64,
    tally: Tally,
    /// The operations that serve it; empty unless [`Recent`] keeps any.
    legs: Legs,
}

/// The flows, and all that is remembered to join operations to them.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) endpoints: Endpoints,
    pub(crate) memories: Memories,
    pub(crate) flows: Flows,
    pub(crate) finished: Finished,
    pub(crate) recent: Recent,
    pub(crate) details: Details,
    /// All flows together, kept beside them so that totals are cheap.
    pub(crate) overall: Tally,
    /// Which hooks count copies.
    sources: Sources,
    /// Whether any read was joined to a write.
    pub(crate) joined: bool,
    /// Whether bytes that were folded may count twice, and nothing tells of how many.
    unjoined: bool,
    /// Whether reads were folded, and
    folded_reads: bool,
    /// bytes of writes of which none into the same sink was told.
    blind_bytes: u128,
    /// Threads that have not read since operations of theirs were folded: what they write may have come by one of these.
    since_folded: HashSet<Tid>,
    untold: folds::Untold,
    pub(crate) devices: Devices,
    /// Operations for which a hook counted other copies than the copy table derives.
    pub(crate) disagreements: u64,
    deposits: Deposits,
    pipes: Pipes,
    zerocopy: Waiting,
    /// Of the operation under way; the first `shared` are in use, the rest is kept for its memory.
    shares: Vec<Share>,
    shared: usize,
    segments: Vec<(Range<u64>, Provenance)>,
    resting: Vec<Resting>,
}

impl Join {
    pub(crate) fn new(
        limits: Limits,
        sources: Sources,
        finished: Finished,
        recent: Recent,
        details: Details,
    ) -> Self {
        Self {
            endpoints: Endpoints::new(limits.endpoints),
            memories: Memories::new(limits.pieces_per_process, limits.processes),
            flows: Flows::new(limits.flows),
            finished,
            recent,
            details,
            overall: Tally::default(),
            sources,
            joined: false,
            unjoined: false,
            folded_reads: false,
            blind_bytes: 0,
            since_folded: HashSet::default(),
            untold: folds::Untold::default(),
            devices: Devices::new(limits.endpoints),
            disagreements: 0,
            deposits: Deposits::new(),
            pipes: Pipes::new(limits.pipes),
            zerocopy: Waiting::default(),
            shares: Vec::new(),
            shared: 0,
            segments: Vec::new(),
            resting: Vec::new(),
        }
    }

    /// Books an operation.
    pub(crate) fn operation(&mut self, operation: &Operation) {
        let Operation { kind, source, sink, flags, .. } = operation;
        let Some(path) = Path::of(&mut self.endpoints, *kind, [*source, *sink], *flags) else { return };
        let act = Act {
            kind: *kind,
            source: path.source.party,
            sink: path.sink.party,
            flags: *flags,
            bytes: operation.bytes,
            asked: operation.asked_bytes,
            storage_read: operation.storage_read_bytes,
            storage_written: operation.storage_written_bytes,
            pinned: match operation.zerocopy {
                Some(Zerocopy::Sent { first, end }) => Some(first != end),
                _ => None,
            },
            counted: operation.counted,
            is_request: operation.request.is_some(),
            sources: self.sources,
        };
        let parts = act.parts();
        let moved = Moved {
            path,
            payload: act.payload(),
            received: act.received(),
            parts,
            stats: Stats::of_operation(operation),
            late: Late::of(&act, &parts, operation.call.end_ns, operation.call.duration_ns),
            is_sample: self.is_sample(operation, path.way),
        };
        self.count_overall(&moved, u64::from(moved.payload > 0));
        match path.way {
            Way::IntoMemory(origin) => self.bring(operation, &moved, origin),
            Way::FromMemory(delivery) => self.deliver(operation, &moved, delivery),
            Way::InKernel(method) => self.pass(operation, &moved, method),
        }
        if let Some(Zerocopy::Done { first, end, copied }) = operation.zerocopy {
            self.reported(path.source.id, first, end, copied);
        }
    }

    /// The kernel is done with sends of a socket: what was modelled of them is known now.
    pub(crate) fn reported(&mut self, socket: EndpointId, first: u32, end: u32, copied: bool) {
        let (flows, overall) = (&mut self.flows, &mut self.overall);
        self.zerocopy.done(socket, first, end, copied, |sent| {
            let (copied, of) = sent.verdict();
            for (number, (flow, part)) in sent.parts.iter().enumerate() {
                let Some(tally) = flows.tally(*flow) else { continue };
                let sends = Sends {
                    copied: u64::from(number == 0 && copied > 0),
                    by_reference: u64::from(number == 0 && copied == 0),
                    sends: 0,
                };
                for tally in [tally, &mut *overall] {
                    tally.zerocopy.add(&sends);
                    tally.retract(part);
                    part.judged(copied, of)
                        .iter()
                        .filter(|part| part.amount > 0)
                        .for_each(|part| tally.put(part));
                }
            }
        });
    }

    /// Books what block devices moved apart from operations.
    pub(crate) fn device_io(&mut self, io: &DeviceIo) {
        self.devices.moved(&mut self.endpoints, &mut self.flows, &mut self.overall, io);
    }

    fn count_overall(&mut self, moved: &Moved, transfers: u64) {
        book(&mut self.overall, moved, transfers);
        let disagrees = |part: &Part| part.step.is_counted() && part.amount != part.expected;
        if moved.parts.iter().any(disagrees) {
            self.disagreements = self.disagreements.saturating_add(1);
        }
    }

    fn open(&mut self, pid: Pid, source: EndpointId, sink: EndpointId, method: Method) -> FlowId {
        let flow = self.flows.open(FlowKey { pid, source, sink, method });
        self.devices.claim_fetched(&mut self.flows, &mut self.overall, source, flow);
        flow
    }

    /// A read: what it brought stays in memory until something sends it on.
    fn bring(&mut self, operation: &Operation, moved: &Moved, origin: Origin) {
        let pid = operation.call.pid;
        let source = moved.path.source;
        let flow = self.open(pid, source.id, EndpointId::USER, Method::Relay(origin, Delivery::Stays));
        if let Some(tally) = self.flows.tally(flow) {
            book(tally, moved, u64::from(moved.payload > 0));
        }
        self.details.book(flow, &Served::of(operation, &moved.stats));
        let peeked = moved.payload == 0;
        if let (Some(pipe), false) = (source.pipe(), peeked) {
            self.pipes.pop(pipe, moved.received, |_| {});
        }
        if !operation.buffers_complete && moved.received > room(&operation.buffers) {
            // It is not known which memory the rest overwrote.
            self.memories.forget_brought(pid);
            self.untold.note_memory(pid);
        }
        if moved.received == 0 || room(&operation.buffers) == 0 {
            return;
        }
        let deposit = self.deposit(operation, flow, moved, origin, Sample::of(operation, moved.received));
        // What was only peeked at was delivered to nobody: sending it on delivers it by that write alone.
        self.memories.bring(pid, first_bytes(&operation.buffers, moved.received), deposit, peeked);
    }

    fn deposit(
        &mut self,
        operation: &Operation,
        flow: FlowId,
        moved: &Moved,
        origin: Origin,
        sample: Sample,
    ) -> DepositId {
        if self.deposits.should_collect() {
            self.deposits.keep_only(self.memories.deposits().chain(self.pipes.deposits()));
        }
        self.deposits.insert(Deposit {
            flow,
            source: moved.path.source.id,
            origin,
            unsent: moved.payload,
            parts: moved.parts,
            stats: (moved.payload > 0).then_some(moved.stats),
            sample,
            served: Served::of(operation, &moved.stats),
        })
    }

    /// Memory that was read into once, but does not hold these bytes any more, is the program's own.
    fn forget_overwritten(&mut self, operation: &Operation, moved: &Moved) {
        let written = Sample::of(operation, moved.payload);
        if moved.payload == 0 || !written.is_known() {
            return;
        }
        let pid = operation.call.pid;
        let mut buffers = first_bytes(&operation.buffers, moved.payload).enumerate().peekable();
        while let Some((number, buffer)) = buffers.next() {
            let last = buffers.peek().is_none();
            let begin = self.memories.brought_at(pid, buffer.start);
            let rest = self.forget_unproven_inside(pid, &buffer, begin.as_ref(), last.then_some(&written));
            let Some(piece) = begin else { continue };
            let before = buffer.start.checked_sub(1).and_then(|at| self.memories.brought_at(pid, at));
            let continues = before.is_some_and(|before| before.deposit == piece.deposit && before.sent);
            let short = operation.buffers.get(number).is_some_and(|asked| asked.end > buffer.end);
            let claim =
                Claim { buffer: &buffer, first: number == 0, last, piece: &piece, continues, short, rest };
            let brought = self.deposits.get(piece.deposit).map(|deposit| deposit.sample).unwrap_or_default();
            if !claim.holds(&brought, &written) {
                self.memories.overwrite(pid, std::iter::once(buffer));
            }
        }
    }

    /// What was brought to addresses further in: nothing was sampled where it begins. Only where one piece after the other, each
    /// from its beginning, ends where the write does and as it does, are they what was read: a payload behind a header, or
    /// several that were read into one buffer. Whether they are; none if nothing was brought there.
    fn forget_unproven_inside(
        &mut self,
        pid: Pid,
        buffer: &Range<u64>,
        begin: Option<&Piece>,
        ends: Option<&Sample>,
    ) -> Option<bool> {
        let mut inside: Vec<(Range<u64>, Piece)> = Vec::new();
        self.memories.walk(pid, buffer, |range, from| {
            // What is left of the piece at the beginning stands or falls with it.
            if let Provenance::Brought(piece) = from
                && range.start > buffer.start
                && begin.is_none_or(|begin| begin.deposit != piece.deposit)
            {
                inside.push((range, piece));
            }
        });
        let (_, last) = inside.last()?;
        let brought = self.deposits.get(last.deposit).map(|deposit| deposit.sample).unwrap_or_default();
        let end = |(range, _): &(Range<u64>, Piece)| range.end;
        let in_a_row =
            inside.windows(2).all(|two| two.first().map(end) == two.get(1).map(|(range, _)| range.start));
        let whole = inside.iter().all(|(range, piece)| (range.start, range.end) == (piece.from, piece.until));
        let agree = last.last && ends.is_some_and(|written| brought.tails_agree(written));
        let proven = in_a_row && whole && inside.last().map(end) == Some(buffer.end) && agree;
        if !proven {
            self.memories.overwrite(pid, inside.into_iter().map(|(range, _)| range));
        }
        Some(proven)
    }

    /// A write: its bytes belong to the flows of those who brought them.
    fn deliver(&mut self, operation: &Operation, moved: &Moved, delivery: Delivery) {
        let pid = operation.call.pid;
        let sink = moved.path.sink;
        self.forget_overwritten(operation, moved);
        let mut left = moved.payload;
        for range in first_bytes(&operation.buffers, moved.payload) {
            // One buffer after the other: the same bytes may be in it twice, and are sent on for the first time once.
            let mut segments = std::mem::take(&mut self.segments);
            self.memories.walk(pid, &range, |range, from| segments.push((range, from)));
            for (range, from) in segments.drain(..) {
                let bytes = range.end - range.start;
                left = left.saturating_sub(bytes);
                self.send_on(pid, sink.id, delivery, range, from);
            }
            self.segments = segments;
        }
        if left > 0 && !operation.buffers_complete {
            self.untold.note_memory(pid);
        }
        if left > 0 || moved.payload == 0 {
            let method = Method::Relay(Origin::Memory, delivery);
            self.share(pid, EndpointId::USER, sink.id, method, left);
        }
        self.settle(operation, moved, true);
        self.rest_opaque(sink, moved.payload);
    }

    /// Bytes of memory go to `sink`.
    fn send_on(
        &mut self,
        pid: Pid,
        sink: EndpointId,
        delivery: Delivery,
        range: Range<u64>,
        from: Provenance,
    ) {
        let bytes = range.end - range.start;
        let (source, origin) = match from {
            Provenance::Own => (EndpointId::USER, Origin::Memory),
            Provenance::Mapped(file) => (file, Origin::Mapped),
            Provenance::Brought(piece) => self
                .deposits
                .get(piece.deposit)
                .map_or((EndpointId::USER, Origin::Memory), |deposit| (deposit.source, deposit.origin)),
        };
        let share = self.share(pid, source, sink, Method::Relay(origin, delivery), bytes);
        match from {
            Provenance::Brought(piece) if piece.sent => self.retrace(piece.deposit, share),
            Provenance::Brought(piece) => {
                self.draw(piece.deposit, bytes, share);
                self.joined = true;
                self.memories.mark_sent(pid, range, piece);
            }
            Provenance::Mapped(file) => {
                let reached = self.memories.taken(pid, file, &range);
                if let Some(share) = self.shares.get_mut(share) {
                    share.tally.reached.add(&reached);
                }
            }
            Provenance::Own => {}
        }
    }

    /// sendfile, splice and the like: a transfer by itself, or the two halves of one through a pipe.
    fn pass(&mut self, operation: &Operation, moved: &Moved, method: Method) {
        let pid = operation.call.pid;
        let Path { source, sink, .. } = moved.path;
        let mut resting = std::mem::take(&mut self.resting);
        resting.clear();
        match (source.pipe(), method) {
            (Some(pipe), Method::Tee) => self.pipes.peek(pipe, moved.payload, |found| resting.push(found)),
            (Some(pipe), _) => self.pipes.pop(pipe, moved.payload, |found| resting.push(found)),
            (None, _) => {}
        }
        let mut left = moved.payload;
        if method == Method::Splice && sink.pipe().is_none() {
            for found in &resting {
                let known = found.deposit.and_then(|id| Some((id, self.deposits.get(id)?.source)));
                let Some((deposit, brought_from)) = known else { continue };
                left = left.saturating_sub(found.bytes);
                let share = self.share(pid, brought_from, sink.id, method, found.bytes);
                if found.duplicate {
                    self.retrace(deposit, share);
                } else {
                    self.draw(deposit, found.bytes, share);
                }
            }
        }
        if left > 0 || moved.payload == 0 {
            self.share(pid, source.id, sink.id, method, left);
        }
        let flow = self.shares.first().map(|share| share.flow);
        // What goes into a pipe by reference is under way: it is finished when it comes out.
        let rests = sink.pipe().is_some() && source.pipe().is_none();
        self.settle(operation, moved, !rests);
        if let (Some(pipe), Some(flow)) = (sink.pipe(), flow) {
            if source.pipe().is_some() {
                resting.drain(..).for_each(|found| self.pipes.push(pipe, found));
            } else if moved.payload > 0 {
                let deposit = Some(self.deposit(operation, flow, moved, Origin::Memory, Sample::default()));
                self.pipes.push(pipe, Resting { bytes: moved.payload, deposit, duplicate: false });
            }
        }
        if method == Method::ProcessVmRead {
            self.memories.overwrite(pid, first_bytes(&operation.buffers, moved.received));
        }
        resting.clear();
        self.resting = resting;
    }

    /// Bytes that nobody can tell apart went into a pipe.
    fn rest_opaque(&mut self, sink: End, bytes: u64) {
        if let Some(pipe) = sink.pipe() {
            self.pipes.push(pipe, Resting { bytes, deposit: None, duplicate: false });
        }
    }

    /// Gives `bytes` of the operation under way to a flow; returns the number of its share.
    fn share(&mut self, pid: Pid, source: EndpointId, sink: EndpointId, method: Method, bytes: u64) -> usize {
        let flow = self.open(pid, source, sink, method);
        let used = self.shares.iter_mut().take(self.shared);
        if let Some((number, share)) = used.enumerate().find(|(_, share)| share.flow == flow) {
            share.bytes = share.bytes.saturating_add(bytes);
            return number;
        }
        match self.shares.get_mut(self.shared) {
            Some(share) => {
                share.tally.clear();
                share.legs.clear();
                (share.flow, share.bytes) = (flow, bytes);
            }
            None => self.shares.push(Share { flow, bytes, tally: Tally::default(), legs: Legs::default() }),
        }
        self.shared += 1;
        self.shared - 1
    }

    /// Moves bytes that an operation brought, what was copied for them and, the first time, what it cost, from where
    /// they were booked to a share of the operation that sends them on.
    fn draw(&mut self, id: DepositId, bytes: u64, share: usize) {
        if bytes == 0 {
            return;
        }
        let Some(deposit) = self.deposits.get_mut(id) else { return };
        let (Some(from), Some(share)) = (self.flows.tally(deposit.flow), self.shares.get_mut(share)) else {
            return;
        };
        let mut leg = if self.recent.is_on() { share.legs.brought(id, &deposit.served) } else { None };
        let bytes = bytes.min(deposit.unsent);
        if bytes == 0 {
            return;
        }
        deposit.parts.take(bytes, deposit.unsent, |part| {
            from.remove(&part);
            share.tally.put(&part);
            if let Some(leg) = &mut leg {
                leg.put(part);
            }
        });
        if let Some(stats) = deposit.stats.take() {
            from.stats.subtract(&stats);
            share.tally.stats.add(&stats);
            self.details.rebook(deposit.flow, share.flow, &deposit.served);
            if let Some(leg) = leg {
                leg.charge();
            }
        }
        deposit.unsent -= bytes;
        from.payload = from.payload.saturating_sub(bytes.into());
        self.overall.payload = self.overall.payload.saturating_sub(bytes.into());
        if deposit.unsent == 0 {
            from.transfers = from.transfers.saturating_sub(1);
        }
    }

    /// Bytes that were delivered before are delivered again: who brought them has a part in this transfer too.
    fn retrace(&mut self, id: DepositId, share: usize) {
        if self.recent.is_on()
            && let (Some(deposit), Some(share)) = (self.deposits.get(id), self.shares.get_mut(share))
        {
            share.legs.brought(id, &deposit.served);
        }
    }

    /// Divides the operation among its shares by their bytes, and books them. What it cost as a call is not divided:
    /// it goes to the largest.
    fn settle(&mut self, operation: &Operation, moved: &Moved, finished: bool) {
        let shares = self.shares.get_mut(..self.shared).unwrap_or_default();
        let largest = shares.iter().map(|share| share.bytes).max().unwrap_or(0);
        let main = shares.iter().position(|share| share.bytes == largest);
        let served = Served::of(operation, &moved.stats);
        let mut parts = moved.parts;
        let mut left = moved.payload;
        let mut dirty = moved.late.dirty;
        let sink = moved.path.sink;
        let numbers = match operation.zerocopy {
            Some(Zerocopy::Sent { first, end }) if first != end && left > 0 => Some((first, end)),
            _ => None,
        };
        let mut waiting = Vec::new();
        for (number, share) in shares.iter_mut().enumerate() {
            let tally = &mut share.tally;
            let mut its_parts = Parts::default();
            parts.take(share.bytes, left, |part| {
                tally.put(&part);
                its_parts.push_part(part);
                if numbers.is_some() && (part.step.from, part.step.to) == (Place::User, Place::Socket) {
                    waiting.push((share.flow, part));
                }
            });
            let its_dirty = if share.bytes >= left { dirty } else { proportion(dirty, share.bytes, left) };
            dirty -= its_dirty;
            left = left.saturating_sub(share.bytes);
            tally.payload = share.bytes.into();
            if !moved.is_sample && !self.flows.key(share.flow).is_some_and(|key| key.method.is_from_mapping())
            {
                tally.not_sampled = share.bytes.into();
            }
            tally.transfers = u64::from(share.bytes > 0);
            if main == Some(number) {
                tally.stats.add(&moved.stats);
                tally.zerocopy.sends = u64::from(numbers.is_some());
                self.details.book(share.flow, &served);
            }
            if let Some(flow) = self.flows.tally(share.flow) {
                flow.add(tally);
            }
            let (flows, overall) = (&mut self.flows, &mut self.overall);
            self.devices.dirty(flows, overall, sink, share.flow, its_dirty, moved.late.began_ns);
            if let Some(from) = moved.late.transmits {
                self.devices.send(flows, overall, sink, Sender { flow: share.flow, from }, share.bytes);
            }
            if finished && let Some(key) = self.flows.key(share.flow) {
                self.finished.push(&operation.call, key, tally, &self.endpoints);
                if self.recent.is_on() {
                    share.legs.finish(served, its_parts, main != Some(number));
                    self.recent.push(&operation.call, key, tally, &mut share.legs);
                }
            }
        }
        let Late { flushed, ended_ns, .. } = moved.late;
        self.devices.flush(&mut self.flows, &mut self.overall, sink, flushed, ended_ns);
        self.shared = 0;
        if let Some((first, end)) = numbers {
            self.overall.zerocopy.sends = self.overall.zerocopy.sends.saturating_add(1);
            self.zerocopy.sent(moved.path.sink.id, first, end, waiting);
        }
    }
}

/// Adds an operation to a tally.
fn book(tally: &mut Tally, moved: &Moved, transfers: u64) {
    tally.transfers = tally.transfers.saturating_add(transfers);
    tally.payload = tally.payload.saturating_add(moved.payload.into());
    tally.stats.add(&moved.stats);
    moved.parts.iter().for_each(|part| tally.put(part));
}

/// The first `bytes` bytes of a vector of buffers: what a call that returned so many has used of them.
fn first_bytes(buffers: &[Range<u64>], bytes: u64) -> impl Iterator<Item = Range<u64>> {
    buffers.iter().scan(bytes, |left, buffer| {
        let used = buffer.end.saturating_sub(buffer.start).min(*left);
        let filled = buffer.start..buffer.start.saturating_add(used);
        (*left > 0).then(|| {
            *left -= used;
            filled
        })
    })
}

/// How many bytes the buffers hold.
fn room(buffers: &[Range<u64>]) -> u64 {
    let lengths = buffers.iter().map(|buffer| buffer.end.saturating_sub(buffer.start));
    lengths.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
