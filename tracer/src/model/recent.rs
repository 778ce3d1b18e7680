//! The last finished transfers, each with its anatomy: the operations that served it, in order, and what each copied.
//!
//! They are kept in a ring, by numbers alone, and made into words when somebody looks. The memory of a transfer that
//! leaves the ring goes to the next that comes, so that under load nothing is allocated.

use super::{
    calls::shown_name,
    deposit::DepositId,
    endpoints::Endpoints,
    event::Call,
    finished,
    flow::{FlowKey, Tally},
    part::{Part, Parts},
    served::Served,
    snapshot::{Copy, Transfer},
};

/// Most operations that brought bytes of one transfer and are shown.
const MOST_BROUGHT: usize = 8;

/// A finished transfer and what served it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecentTransfer {
    /// Its running number: it never changes, and a later one is greater.
    pub number: u64,
    /// As the stream has it.
    pub transfer: Transfer,
    /// The operations that served it, in order: the last one brought its bytes to the sink. Where that drew on more than
    /// eight others, the first eight of them.
    pub steps: Vec<Step>,
    /// How many operations are not among `steps`. Their copies are in the transfer's.
    pub more_steps: u64,
}

/// One operation that served a transfer.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The call, or the opcode of a request; 32-bit calls end in `:32`.
    pub call: String,
    /// The thread.
    pub tid: u32,
    /// Monotonic time of its beginning, ns; `None` if that was not seen.
    pub start_ns: Option<u64>,
    /// Wall time, of a request from submission to completion, ns; `None` if its beginning was not seen.
    pub duration_ns: Option<u64>,
    /// Of that, blocked; `None` likewise, and of requests.
    pub blocked_ns: Option<u64>,
    /// Of that, preempted.
    pub preempted_ns: Option<u64>,
    /// Mode switches.
    pub transitions: u64,
    /// Whether it served another transfer as well, to which its times and mode switches are counted: they are not in this
    /// transfer's sums. (A read that is sent on in two writes; a write that sends on what two reads brought.)
    pub shared: bool,
    /// What it copied for this transfer.
    pub copies: Vec<Copy>,
}

/// An operation's part in one transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    served: Served,
    /// What it left; `None` of the operation that finished the transfer.
    deposit: Option<DepositId>,
    shared: bool,
    parts: Parts,
}

impl Leg {
    /// It copied this for the transfer.
    pub(crate) fn put(&mut self, part: Part) {
        self.parts.add(part);
    }

    /// Its cost is counted to this transfer.
    pub(crate) fn charge(&mut self) {
        self.shared = false;
    }

    fn shown(&self) -> Step {
        let Self { served, deposit: _, shared, parts } = self;
        let telling = |part: &&Part| part.amount > 0 || part.expected > 0 || part.step.is_known();
        Step {
            call: shown_name(served.name),
            tid: served.tid,
            start_ns: served.start_ns(),
            duration_ns: served.duration_ns,
            blocked_ns: served.blocked_ns,
            preempted_ns: served.preempted_ns,
            transitions: served.transitions,
            shared: *shared,
            copies: parts
                .iter()
                .filter(telling)
                .map(|part| part.step.with_bytes(part.amount, part.expected))
                .collect(),
        }
    }
}

/// The parts of all operations in one transfer.
#[derive(Debug, Default)]
pub(crate) struct Legs {
    legs: Vec<Leg>,
    /// Deposits for which there is no room among `legs`, some perhaps more than once.
    more: Vec<DepositId>,
}

impl Legs {
    /// Empties it and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.legs.clear();
        self.more.clear();
    }

    /// The part of the operation that left a deposit; `None` if there is no room for it. Until it is charged its cost is
    /// another transfer's.
    pub(crate) fn brought(&mut self, deposit: DepositId, served: &Served) -> Option<&mut Leg> {
        let known = self.legs.iter().position(|leg| leg.deposit == Some(deposit));
        let place = match known {
            Some(place) => place,
            None if self.legs.len() >= MOST_BROUGHT => {
                if self.more.last() != Some(&deposit) {
                    self.more.push(deposit);
                }
                return None;
            }
            None => {
                let (deposit, parts) = (Some(deposit), Parts::default());
                self.legs.push(Leg { served: *served, deposit, shared: true, parts });
                self.legs.len() - 1
            }
        };
        self.legs.get_mut(place)
    }

    /// The operation that finishes the transfer.
    pub(crate) fn finish(&mut self, served: Served, parts: Parts, shared: bool) {
        self.legs.push(Leg { served, deposit: None, shared, parts });
    }

    /// How many operations found no room.
    fn count_more(&mut self) -> u64 {
        self.more.sort_unstable();
        self.more.dedup();
        self.more.len() as u64
    }
}

/// One transfer in the ring.
#[derive(Debug)]
struct Slot {
    pid: u32,
    tid: u32,
    time_ns: u64,
    key: FlowKey,
    tally: Tally,
    legs: Vec<Leg>,
    more: u64,
}

/// The last finished transfers.
#[derive(Debug)]
pub(crate) struct Recent {
    slots: Vec<Slot>,
    most: usize,
    /// How many there have been.
    finished: u64,
}

impl Recent {
    /// Keeps the last `most`; 0 keeps none, and then nothing of this costs anything.
    pub(crate) fn new(most: usize) -> Self {
        Self { slots: Vec::new(), most, finished: 0 }
    }

    /// Whether any are kept.
    pub(crate) fn is_on(&self) -> bool {
        self.most > 0
    }

    /// A transfer finished by `call`. It takes `tally` and the legs out and leaves others in their place, for their memory.
    pub(crate) fn push(&mut self, call: &Call, key: FlowKey, tally: &mut Tally, legs: &mut Legs) {
        if self.most == 0 || tally.payload == 0 {
            return;
        }
        if self.slots.len() < self.most {
            let (tally, legs) = (Tally::default(), Vec::new());
            self.slots.push(Slot { pid: 0, tid: 0, time_ns: 0, key, tally, legs, more: 0 });
        }
        let place = self.place(self.finished);
        let Some(slot) = self.slots.get_mut(place) else { return };
        (slot.pid, slot.tid, slot.time_ns, slot.key) = (call.pid, call.tid, call.end_ns, key);
        slot.more = legs.count_more();
        std::mem::swap(&mut slot.tally, tally);
        std::mem::swap(&mut slot.legs, &mut legs.legs);
        self.finished = self.finished.wrapping_add(1);
    }

    fn place(&self, number: u64) -> usize {
        // The remainder is less than a `usize`.
        usize::try_from(number % self.most.max(1) as u64).unwrap_or(0)
    }

    /// The newest ones, newest first.
    pub(crate) fn shown(&self, most: usize, endpoints: &Endpoints) -> Vec<RecentTransfer> {
        let kept = self.slots.len().min(most) as u64;
        (self.finished.saturating_sub(kept)..self.finished)
            .rev()
            .filter_map(|number| Some((number, self.slots.get(self.place(number))?)))
            .map(|(number, slot)| {
                let Slot { pid, tid, time_ns, key, tally, legs, more } = slot;
                RecentTransfer {
                    number,
                    transfer: finished::shown([*pid, *tid], *time_ns, *key, tally, endpoints),
                    steps: legs.iter().map(Leg::shown).collect(),
                    more_steps: *more,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
