//! Which flows a view lists, and in which order: there may be a hundred thousand, and nobody reads more than a few.

use super::{flow::Tally, snapshot::Flow};

/// What flows are ranked by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FlowOrder {
    /// Bytes copied by the CPU, as far as they are known.
    #[default]
    CpuCopied,
    /// Payload bytes.
    Payload,
    /// CPU-copied bytes ÷ payload bytes.
    Amplification,
    /// Bytes moved by DMA ÷ payload bytes.
    DmaShare,
    /// Mode switches.
    Transitions,
    /// Mode switches ÷ payload bytes.
    TransitionsPerByte,
    /// Time on the CPU inside its calls.
    OnCpu,
    /// Time blocked inside its calls.
    Blocked,
    /// Transfers.
    Transfers,
}

/// The flows of a view.
#[derive(Clone, Copy, Default)]
pub struct FlowList<'a> {
    /// How many; all if that is not said.
    pub most: Option<usize>,
    /// Which come first: those with most of it.
    pub by: FlowOrder,
    /// Rather those with least of it. Where it is not known, a flow comes last either way.
    pub least_first: bool,
    /// Only those of which this is true. All are then looked at until there are as many as are wanted.
    pub passes: Option<&'a dyn Fn(&Flow) -> bool>,
}

impl std::fmt::Debug for FlowList<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { most, by, least_first, passes } = self;
        let mut shown = f.debug_struct("FlowList");
        shown.field("most", most).field("by", by).field("least_first", least_first);
        shown.field("passes", &passes.is_some()).finish()
    }
}

/// Whether it is not known how much a flow has, and where it comes among those of which it is.
pub(crate) type Rank = (bool, u64);

impl FlowList<'_> {
    /// The first so many, most CPU-copied bytes first.
    pub fn first(most: usize) -> Self {
        Self { most: Some(most), ..Self::default() }
    }

    /// Whether no flow is left out for one that costs less: of those left out none had more bytes copied by the CPU.
    pub fn is_costliest(&self) -> bool {
        self.by == FlowOrder::CpuCopied && !self.least_first && self.passes.is_none()
    }

    /// Where a flow comes: the least first.
    pub(crate) fn rank(&self, tally: &Tally) -> Rank {
        match (self.by.measure(tally), self.least_first) {
            (None, _) => (true, 0),
            (Some(measure), true) => (false, measure),
            (Some(measure), false) => (false, u64::MAX - measure),
        }
    }
}

impl FlowOrder {
    /// How much of it a flow has, as a number that is greater where there is more.
    fn measure(self, tally: &Tally) -> Option<u64> {
        let stats = &tally.stats;
        let per_byte = |amount: u64| (tally.payload > 0).then(|| amount as f64 / tally.payload as f64);
        Some(match self {
            Self::CpuCopied => tally.copied_at_least(),
            Self::Payload => tally.payload_bytes(),
            Self::Amplification => ordered(tally.amplification()?),
            Self::DmaShare => ordered(per_byte(tally.by_dma().bytes?)?),
            Self::Transitions => stats.transitions,
            Self::TransitionsPerByte => ordered(per_byte(stats.transitions)?),
            Self::OnCpu | Self::Blocked if !stats.are_seen() => 0,
            Self::OnCpu => stats.time_ns.saturating_sub(stats.blocked_ns).saturating_sub(stats.preempted_ns),
            Self::Blocked => stats.blocked_ns,
            Self::Transfers => tally.transfers,
        })
    }
}

/// The bits of numbers from 0 on are in the order of the numbers (IEEE 754).
fn ordered(number: f64) -> u64 {
    number.max(0.0).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_comes_last_either_way() {
        let tally = |payload, transitions| {
            let mut tally = Tally::default();
            tally.payload = payload;
            tally.stats.transitions = transitions;
            tally
        };
        let tallies = [tally(0, 7), tally(10, 2), tally(10, 40), tally(5, 3)];
        let sorted = |least_first| {
            let list = FlowList { by: FlowOrder::TransitionsPerByte, least_first, ..FlowList::default() };
            let mut sorted: Vec<usize> = (0..tallies.len()).collect();
            sorted.sort_by_key(|at| list.rank(&tallies[*at]));
            sorted
        };
        assert_eq!(sorted(false), [2, 3, 1, 0]);
        assert_eq!(sorted(true), [1, 3, 2, 0]);
    }
}
