//! Totals counted from a moment on: what came between two readings.

use crate::model::snapshot::{ContextSwitches, Losses, PageFaults, Summed, Totals, Transitions};

/// What came since. What is known of neither a part nor the whole stays unknown; evidence is that of the whole.
pub(super) fn totals(now: &Totals, before: &Totals) -> Totals {
    let less = |now: u64, before: u64| now.saturating_sub(before);
    let both = |now: Option<u64>, before: Option<u64>| Some(less(now?, before?));
    let payload = less(now.payload_bytes_at_most, before.payload_bytes_at_most);
    let cpu_copied_bytes = both(now.cpu_copied_bytes, before.cpu_copied_bytes);
    // Whether it is known, the whole tells: losses, for one, make it unknown.
    let known = now.copy_amplification.and(cpu_copied_bytes);
    Totals {
        operations: less(now.operations, before.operations),
        calls: less(now.calls, before.calls),
        read_bytes: less(now.read_bytes, before.read_bytes),
        written_bytes: less(now.written_bytes, before.written_bytes),
        payload_bytes: now.payload_bytes.map(|_| payload),
        payload_bytes_at_most: payload,
        cpu_copied_bytes,
        cpu_copied_bytes_at_least: less(now.cpu_copied_bytes_at_least, before.cpu_copied_bytes_at_least),
        dma_bytes: both(now.dma_bytes, before.dma_bytes),
        dma_bytes_at_least: less(now.dma_bytes_at_least, before.dma_bytes_at_least),
        copy_amplification: known.filter(|_| payload > 0).map(|copied| copied as f64 / payload as f64),
        transitions: transitions(now.transitions, before.transitions),
        context_switches: switches(now.context_switches, before.context_switches),
        page_faults: faults(now.page_faults, before.page_faults),
        losses: losses(now.losses, before.losses),
        summed: Summed {
            operations: less(now.summed.operations, before.summed.operations),
            calls: less(now.summed.calls, before.summed.calls),
        },
        ..now.clone()
    }
}

fn transitions(now: Transitions, before: Transitions) -> Transitions {
    let Transitions { syscall, exception, interrupt } = now;
    Transitions {
        syscall: syscall.saturating_sub(before.syscall),
        exception: exception.saturating_sub(before.exception),
        interrupt: interrupt.saturating_sub(before.interrupt),
    }
}

fn switches(now: ContextSwitches, before: ContextSwitches) -> ContextSwitches {
    let ContextSwitches { voluntary, involuntary } = now;
    ContextSwitches {
        voluntary: voluntary.saturating_sub(before.voluntary),
        involuntary: involuntary.saturating_sub(before.involuntary),
    }
}

fn faults(now: PageFaults, before: PageFaults) -> PageFaults {
    let PageFaults { minor, major } = now;
    PageFaults { minor: minor.saturating_sub(before.minor), major: major.saturating_sub(before.major) }
}

fn losses(now: Losses, before: Losses) -> Losses {
    let Losses {
        folded_operations,
        unattributed_operations,
        folded_calls,
        lost_events,
        untraced_threads,
        unknown_endpoints,
        undecodable_records,
        untraced_submissions,
        missed_runs,
    } = now;
    Losses {
        folded_operations: folded_operations.saturating_sub(before.folded_operations),
        unattributed_operations: unattributed_operations.saturating_sub(before.unattributed_operations),
        folded_calls: folded_calls.saturating_sub(before.folded_calls),
        lost_events: lost_events.saturating_sub(before.lost_events),
        untraced_threads: untraced_threads.saturating_sub(before.untraced_threads),
        unknown_endpoints: unknown_endpoints.saturating_sub(before.unknown_endpoints),
        undecodable_records: undecodable_records.saturating_sub(before.undecodable_records),
        untraced_submissions: untraced_submissions.saturating_sub(before.untraced_submissions),
        missed_runs: missed_runs.saturating_sub(before.missed_runs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    #[test]
    fn what_came_since() {
        let now = samples::busy().snapshot.totals;
        let nothing = totals(&now, &now);
        assert_eq!((nothing.calls, nothing.payload_bytes_at_most, nothing.copy_amplification), (0, 0, None));
        let before = Totals {
            payload_bytes_at_most: now.payload_bytes_at_most / 2,
            cpu_copied_bytes: now.cpu_copied_bytes,
            ..Totals::default()
        };
        let half = totals(&now, &before);
        assert_eq!(half.calls, now.calls);
        assert_eq!(half.copy_amplification, Some(0.0), "all was copied before");
        let unknown = Totals { cpu_copied_bytes: None, copy_amplification: None, ..now };
        assert_eq!(totals(&unknown, &before).copy_amplification, None);
        assert_eq!(totals(&unknown, &before).cpu_copied_bytes, None);
    }
}
