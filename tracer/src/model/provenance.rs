//! Where the bytes in a process's memory come from: which operation brought them, or which file is mapped there.

use std::ops::Range;

use super::{
    deposit::DepositId,
    endpoints::EndpointId,
    event::{Fault, Pid},
    hash::HashMap,
    interval::IntervalMap,
    mappings::Mappings,
    reach::{self, Pages, Reach},
};

/// Most mapped files that are told apart; further ones are added up.
pub(crate) const MOST_FILES: usize = 4096;

/// Bytes that an operation brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Piece {
    pub(crate) deposit: DepositId,
    /// When it did; the oldest are forgotten first. (Deposits' numbers are used anew.)
    came: u64,
    /// Whether they have been sent on once already.
    pub(crate) sent: bool,
    /// Where the sending that sent them began.
    pub(crate) sent_from: u64,
    /// The buffer that they came in, of which they may be a part.
    pub(crate) from: u64,
    /// Its end.
    pub(crate) until: u64,
    /// Whether it was the first buffer of its operation.
    pub(crate) first: bool,
    /// Whether it was the last one.
    pub(crate) last: bool,
}

impl Piece {
    /// The same after `mremap` moved its memory.
    fn relocated(self, from: u64, to: u64) -> Self {
        let shift = |address: u64| address.wrapping_sub(from).wrapping_add(to);
        Self { sent_from: shift(self.sent_from), from: shift(self.from), until: shift(self.until), ..self }
    }
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Provenance {
    /// An operation brought them.
    Brought(Piece),
    /// They are those of a mapped file.
    Mapped(EndpointId),
    /// The program made them, as far as is known.
    Own,
}

/// The memory of one process.
#[derive(Clone, Debug, Default)]
struct Memory {
    brought: IntervalMap<Piece>,
    mapped: Mappings,
    /// What of it page faults have reached.
    reached: Pages,
    /// When something last came.
    used: u64,
}

impl Memory {
    /// Forgets the older half of what was brought, if there are more than `most` pieces.
    fn limit(&mut self, most: usize) {
        if self.brought.len() > most {
            let mut ages: Vec<u64> = self.brought.values().map(|piece| piece.came).collect();
            let middle = ages.len() / 2;
            let (_, &mut limit, _) = ages.select_nth_unstable(middle);
            self.brought.retain(|piece| piece.came > limit);
        }
    }
}

/// The memories of all processes.
#[derive(Debug)]
pub(crate) struct Memories {
    memories: HashMap<Pid, Memory>,
    /// By mapped file what page faults have reached in all.
    reached: HashMap<(Pid, EndpointId), Reach>,
    most_pieces: usize,
    most_processes: usize,
    clock: u64,
}

impl Memories {
    /// Remembers at most so many pieces per process, and so many processes.
    pub(crate) fn new(most_pieces: usize, most_processes: usize) -> Self {
        Self {
            memories: HashMap::default(),
            reached: HashMap::default(),
            most_pieces: most_pieces.max(1),
            most_processes: most_processes.max(1),
            clock: 0,
        }
    }

    fn memory(&mut self, pid: Pid) -> &mut Memory {
        if self.memories.len() >= self.most_processes && !self.memories.contains_key(&pid) {
            self.forget_unused();
        }
        self.clock += 1;
        let memory = self.memories.entry(pid).or_default();
        memory.used = self.clock;
        memory
    }

    /// An operation put bytes at these addresses.
    pub(crate) fn bring(
        &mut self,
        pid: Pid,
        ranges: impl Iterator<Item = Range<u64>>,
        deposit: DepositId,
        sent: bool,
    ) {
        let most = self.most_pieces;
        let memory = self.memory(pid);
        let came = memory.used;
        let mut ranges = ranges.enumerate().peekable();
        while let Some((number, range)) = ranges.next() {
            let Range { start: from, end: until } = range;
            let (first, last) = (number == 0, ranges.peek().is_none());
            let piece = Piece { deposit, came, sent, sent_from: from, from, until, first, last };
            memory.brought.insert(range, piece);
        }
        memory.limit(most);
    }

    /// An operation overwrote these addresses with bytes of which nothing is known.
    pub(crate) fn overwrite(&mut self, pid: Pid, ranges: impl Iterator<Item = Range<u64>>) {
        if let Some(memory) = self.memories.get_mut(&pid) {
            ranges.for_each(|range| memory.brought.remove(&range));
        }
    }

    /// These bytes have been sent on.
    pub(crate) fn mark_sent(&mut self, pid: Pid, range: Range<u64>, piece: Piece) {
        if let Some(memory) = self.memories.get_mut(&pid) {
            let sent_from = range.start;
            memory.brought.insert(range, Piece { sent: true, sent_from, ..piece });
            memory.limit(self.most_pieces);
        }
    }

    /// Tells where the bytes of `range` come from, piece by piece. What an operation brought lies above what is
    /// mapped: a later mapping removes it.
    pub(crate) fn walk(&self, pid: Pid, range: &Range<u64>, mut each: impl FnMut(Range<u64>, Provenance)) {
        let Some(memory) = self.memories.get(&pid) else {
            if !range.is_empty() {
                each(range.clone(), Provenance::Own);
            }
            return;
        };
        memory.brought.walk(range, |range, piece| match piece {
            Some(piece) => each(range, Provenance::Brought(piece)),
            None => memory.mapped.walk(&range, |range, file| {
                each(range, file.map_or(Provenance::Own, Provenance::Mapped));
            }),
        });
    }

    /// What brought the byte at an address, if an operation did.
    pub(crate) fn brought_at(&self, pid: Pid, address: u64) -> Option<Piece> {
        let mut found = None;
        let memory = self.memories.get(&pid)?;
        memory.brought.walk(&(address..address.saturating_add(1)), |_, piece| found = piece);
        found
    }

    /// A file was mapped.
    pub(crate) fn map(&mut self, pid: Pid, range: Range<u64>, file: EndpointId, fresh: bool) {
        let memory = self.memory(pid);
        memory.brought.remove(&range);
        memory.reached.forget(&range);
        if fresh {
            memory.reached.begin(range.clone());
        }
        memory.mapped.map(range, file);
    }

    /// Something else, or nothing, is there now.
    pub(crate) fn unmap(&mut self, pid: Pid, range: &Range<u64>) {
        if let Some(memory) = self.memories.get_mut(&pid) {
            memory.brought.remove(range);
            memory.reached.forget(range);
            memory.mapped.unmap(range);
        }
    }

    /// `mremap`.
    pub(crate) fn remap(&mut self, pid: Pid, from: &Range<u64>, to: &Range<u64>) {
        if let Some(memory) = self.memories.get_mut(&pid) {
            memory.brought.relocate(from, to, |piece: Piece| piece.relocated(from.start, to.start));
            memory.mapped.remap(from, to);
            // The kernel moves the pages along; what they are is told anew if they are touched.
            memory.reached.forget(from);
            memory.reached.forget(to);
        }
    }

    /// A page fault: on which file, and what it reached that none has before. `None` if no file is mapped there.
    pub(crate) fn fault(&mut self, fault: &Fault) -> Option<EndpointId> {
        let memory = self.memories.get_mut(&fault.pid)?;
        let address = fault.address;
        let start = address - address % reach::HUGE;
        let mut found = None;
        memory.mapped.walk(&(start..start.saturating_add(reach::HUGE)), |range, file| {
            if let Some(file) = file
                && range.contains(&address)
            {
                found = Some((file, range));
            }
        });
        let (file, mapping) = found?;
        let reached = if fault.present {
            Reach::default()
        } else {
            memory.reached.fault(address, &mapping, fault.writes)
        };
        self.add_reached(fault.pid, file, &reached);
        Some(file)
    }

    /// A call has taken a range out of a mapped file: what of it page faults have reached.
    pub(crate) fn taken(&mut self, pid: Pid, file: EndpointId, range: &Range<u64>) -> Reach {
        let Some(memory) = self.memories.get_mut(&pid) else { return Reach::default() };
        let added = memory.reached.taken(range);
        let reached = memory.reached.of(range);
        self.add_reached(pid, file, &added);
        reached
    }

    fn add_reached(&mut self, pid: Pid, file: EndpointId, reached: &Reach) {
        let known = self.reached.contains_key(&(pid, file)) || self.reached.len() < MOST_FILES;
        let key = if known { (pid, file) } else { (0, EndpointId::OTHERS) };
        self.reached.entry(key).or_default().add(reached);
    }

    /// What of a file page faults have reached in a process.
    pub(crate) fn reached(&self, pid: Pid, file: EndpointId) -> Reach {
        self.reached.get(&(pid, file)).copied().unwrap_or_default()
    }

    /// The child of a fork has a copy of its parent's mappings. What the parent read into its memory is the child's own from
    /// now on: transfers are joined within a process, and a write there, joined to a read that the parent pays for, would
    /// show half of what the relay costs.
    pub(crate) fn fork(&mut self, parent: Pid, child: Pid) {
        self.forget(child);
        if let Some(memory) = self.memories.get(&parent) {
            let mapped = memory.mapped.clone();
            self.memory(child).mapped = mapped;
        }
    }

    /// The process has ended, or its memory is that of another program.
    pub(crate) fn forget(&mut self, pid: Pid) {
        self.memories.remove(&pid);
    }

    /// Something was read to addresses that are not known: of what was read before, nothing is certain.
    pub(crate) fn forget_brought(&mut self, pid: Pid) {
        if let Some(memory) = self.memories.get_mut(&pid) {
            memory.brought.clear();
        }
    }

    /// All deposits that some memory refers to.
    pub(crate) fn deposits(&self) -> impl Iterator<Item = DepositId> {
        self.memories.values().flat_map(|memory| memory.brought.values().map(|piece| piece.deposit))
    }

    /// Drops the half of the processes that did nothing for longest.
    fn forget_unused(&mut self) {
        let mut ages: Vec<u64> = self.memories.values().map(|memory| memory.used).collect();
        let middle = ages.len() / 2;
        let (_, &mut limit, _) = ages.select_nth_unstable(middle);
        self.memories.retain(|_, memory| memory.used > limit);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::proof::Sample, *};
    use crate::model::{
        deposit::{Deposit, Deposits},
        flow::Flows,
        method::{Method, Origin},
        part::Parts,
    };

    fn deposits(count: usize) -> Vec<DepositId> {
        let key = crate::model::flow::FlowKey {
            pid: 1,
            source: EndpointId::UNKNOWN,
            sink: EndpointId::USER,
            method: Method::Splice,
        };
        let deposit = Deposit {
            flow: Flows::new(1).open(key),
            source: EndpointId::UNKNOWN,
            origin: Origin::Read,
            unsent: 1,
            parts: Parts::default(),
            stats: None,
            sample: Sample::default(),
            served: crate::model::served::Served::of(
                &crate::model::testing::read(1, 0..1),
                &crate::model::flow::Stats::default(),
            ),
        };
        let mut deposits = Deposits::new();
        (0..count).map(|_| deposits.insert(deposit)).collect()
    }

    fn walked(memories: &Memories, range: Range<u64>) -> Vec<(Range<u64>, &'static str)> {
        let mut found = Vec::new();
        memories.walk(1, &range, |range, from| {
            found.push((
                range,
                match from {
                    Provenance::Brought(Piece { sent: false, .. }) => "brought",
                    Provenance::Brought(_) => "sent",
                    Provenance::Mapped(_) => "mapped",
                    Provenance::Own => "own",
                },
            ));
        });
        found
    }

    #[test]
    fn the_later_of_reading_and_mapping_counts() {
        let mut memories = Memories::new(16, 16);
        memories.map(1, 0..100, EndpointId::UNKNOWN, false);
        memories.bring(1, std::iter::once(10..20), deposits(1)[0], false);
        assert_eq!(walked(&memories, 0..30), [(0..10, "mapped"), (10..20, "brought"), (20..30, "mapped")]);
        memories.map(1, 15..100, EndpointId::UNKNOWN, false);
        assert_eq!(walked(&memories, 10..101)[1..], [(15..100, "mapped"), (100..101, "own")]);
        memories.unmap(1, &(0..12));
        assert_eq!(walked(&memories, 0..15), [(0..12, "own"), (12..15, "brought")]);
        memories.remap(1, &(12..15), &(200..203));
        assert_eq!(walked(&memories, 200..203), [(200..203, "brought")]);
    }

    #[test]
    fn a_child_has_its_parents_mappings_until_it_executes() {
        let mut memories = Memories::new(16, 16);
        memories.map(7, 0..10, EndpointId::UNKNOWN, false);
        memories.bring(7, std::iter::once(10..20), deposits(1)[0], false);
        memories.fork(7, 1);
        assert_eq!(walked(&memories, 0..20), [(0..10, "mapped"), (10..20, "own")]);
        memories.forget(1);
        assert_eq!(walked(&memories, 0..20), [(0..20, "own")]);
    }

    #[test]
    fn the_oldest_pieces_are_forgotten() {
        let mut memories = Memories::new(8, 2);
        for (at, deposit) in (0u64..).zip(deposits(100)) {
            memories.bring(1, std::iter::once(at * 2..at * 2 + 1), deposit, false);
        }
        assert!(memories.deposits().count() <= 8);
        assert_eq!(walked(&memories, 198..199), [(198..199, "brought")]);
        for pid in 0..100 {
            memories.bring(pid, std::iter::once(0..1), deposits(1)[0], false);
        }
        assert!(memories.memories.len() <= 2);
    }
}
