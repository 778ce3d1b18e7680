//! Deposits: payload that an operation brought somewhere (memory, a pipe) from where another may take it on.

use super::{
    endpoints::EndpointId,
    flow::{FlowId, Stats},
    method::Origin,
    part::Parts,
    proof::Sample,
    served::Served,
};

/// What one operation brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deposit {
    /// The flow in which what has not been sent on is booked.
    pub(crate) flow: FlowId,
    /// Where the bytes come from.
    pub(crate) source: EndpointId,
    /// How they came.
    pub(crate) origin: Origin,
    /// Payload bytes that have not been sent on.
    pub(crate) unsent: u64,
    /// What was moved for these.
    pub(crate) parts: Parts,
    /// What the operation cost, until it moves, whole, to the first flow that sends bytes of it on.
    pub(crate) stats: Option<Stats>,
    /// How it begins and ends, if that is known.
    pub(crate) sample: Sample,
    /// The operation.
    pub(crate) served: Served,
}

/// Number of a deposit, valid while something that rests refers to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) struct DepositId(u32);

/// All deposits that something refers to, and some that nothing does any more: whoever holds the references marks
/// them from time to time, and the rest is used anew.
#[derive(Debug)]
pub(crate) struct Deposits {
    slots: Vec<Deposit>,
    free: Vec<u32>,
    threshold: usize,
}

/// Before this many there is nothing to collect.
const FEW: usize = 1024;

impl Deposits {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), threshold: FEW }
    }

    /// Whether [`Self::keep_only`] should run before the next deposit.
    pub(crate) fn should_collect(&self) -> bool {
        self.free.is_empty() && self.slots.len() >= self.threshold
    }

    /// Keeps those that are referred to. The threshold grows with them, so that the work per deposit stays constant.
    pub(crate) fn keep_only(&mut self, referred: impl Iterator<Item = DepositId>) {
        let mut marked = vec![false; self.slots.len()];
        for id in referred {
            if let Some(mark) = marked.get_mut(id.0 as usize) {
                *mark = true;
            }
        }
        self.free.clear();
        self.free.extend((0u32..).zip(&marked).filter(|(_, marked)| !**marked).map(|(slot, _)| slot));
        self.threshold = FEW.max(2 * (self.slots.len() - self.free.len()));
    }

    /// Adds one.
    pub(crate) fn insert(&mut self, deposit: Deposit) -> DepositId {
        if let Some(slot) = self.free.pop()
            && let Some(place) = self.slots.get_mut(slot as usize)
        {
            *place = deposit;
            return DepositId(slot);
        }
        // What may refer to deposits is bounded far below 2^32.
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(deposit);
        DepositId(slot)
    }

    /// One of them.
    pub(crate) fn get(&self, id: DepositId) -> Option<&Deposit> {
        self.slots.get(id.0 as usize)
    }

    /// One of them.
    pub(crate) fn get_mut(&mut self, id: DepositId) -> Option<&mut Deposit> {
        self.slots.get_mut(id.0 as usize)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}
