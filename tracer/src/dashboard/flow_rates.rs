//! How fast flows move: differences of their payload over the last second or two.

use std::collections::HashMap;

use crate::model::snapshot::Flow;

/// What a rate is taken over at least, where frames come that often, ns.
const SPAN_NS: u64 = 1_000_000_000;

/// Payload of flows at a moment.
#[derive(Clone, Debug, Default)]
struct Moment {
    elapsed_ns: u64,
    payloads: HashMap<u64, u64>,
}

/// Payload of flows at two moments, which are at least a second apart: rates are taken from the older one.
#[derive(Clone, Debug, Default)]
pub(super) struct FlowRates {
    older: Moment,
    newer: Moment,
}

impl FlowRates {
    /// Bytes per second of each flow that was there at the older moment, by its number.
    pub(super) fn take(&mut self, elapsed_ns: u64, flows: &[Flow]) -> HashMap<u64, u64> {
        if elapsed_ns.saturating_sub(self.newer.elapsed_ns) >= SPAN_NS {
            let payloads = flows.iter().map(|flow| (flow.id, flow.payload_bytes)).collect();
            self.older = std::mem::replace(&mut self.newer, Moment { elapsed_ns, payloads });
        }
        let interval = u128::from(elapsed_ns.saturating_sub(self.older.elapsed_ns).max(1));
        let rate = |flow: &Flow| {
            let before = self.older.payloads.get(&flow.id)?;
            let moved = u128::from(flow.payload_bytes.saturating_sub(*before));
            Some((flow.id, u64::try_from(moved * 1_000_000_000 / interval).unwrap_or(u64::MAX)))
        };
        flows.iter().filter_map(rate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    #[test]
    fn rates_are_those_of_the_last_second_or_two() {
        let mut rates = FlowRates::default();
        let flow = |payload_bytes| [Flow { id: 7, payload_bytes, ..samples::relay_flow() }];
        let mut at = |tenths: u64, payload| rates.take(tenths * 100_000_000, &flow(payload)).get(&7).copied();
        assert_eq!(at(10, 1_000), None, "nothing to compare with");
        for tenths in 11..20 {
            assert_eq!(at(tenths, 1_000), None);
        }
        // 500 bytes in each second.
        assert_eq!(at(20, 1_500), Some(500));
        assert_eq!(at(25, 1_750), Some(500));
        assert_eq!(at(30, 2_000), Some(500));
        assert_eq!(at(31, 2_000), Some(454), "less than that in 1.1 s");
    }
}
