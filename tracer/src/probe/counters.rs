//! Reading the exact counters that the kernel side keeps beside the stream.

use std::collections::{BTreeMap, HashMap};

use aya::maps::{MapData, PerCpuArray, PerCpuHashMap};
use tracer_common::slot::{Accounts, CallCounters, LossCounters, SpillCounters, SpillKey, ThreadSlot, state};

use super::{
    call_table::CallTable,
    decode::{comm, side},
};
use crate::model::event::{CallName, CallTotals, Folded, Losses, Summed, ThreadTotals};

/// Sums each call's counters over the CPUs.
pub(super) fn calls(
    counters: &PerCpuArray<MapData, CallCounters>,
    unflushed: &[Unflushed],
    table: &CallTable,
) -> BTreeMap<CallName, CallTotals> {
    let mut totals = BTreeMap::new();
    for index in 0..counters.len() {
        let Ok(per_cpu) = counters.get(&index, 0) else { continue };
        let mut sum = CallTotals { kind: table.kind(index), ..CallTotals::default() };
        let rest = unflushed.iter().filter(|rest| rest.call == index).map(|rest| &rest.counters);
        for part in per_cpu.iter().chain(rest) {
            sum.count += part.count;
            sum.errors += part.errors;
            sum.unfinished += part.unfinished;
            sum.bytes += part.bytes;
            sum.duration_ns += part.duration_ns;
            sum.blocked_ns += part.blocked_ns;
            sum.preempted_ns += part.preempted_ns;
            sum.untimed += part.untimed;
        }
        if sum.count + sum.unfinished > 0 {
            add(totals.entry(table.name(index)).or_default(), &sum);
        }
    }
    totals
}

/// Errors of summed calls.
pub(super) fn errors(
    summed: &PerCpuHashMap<MapData, u64, u64>,
    unflushed: &[Unflushed],
    table: &CallTable,
) -> BTreeMap<(CallName, u16), u64> {
    let mut errors = BTreeMap::new();
    let mut add = |call: u32, errno: u32, count: u64| {
        if let Some(errno) = u16::try_from(errno).ok().filter(|_| count > 0) {
            *errors.entry((table.name(call), errno)).or_default() += count;
        }
    };
    for (key, per_cpu) in summed.iter().flatten() {
        add((key >> 32) as u32, key as u32, per_cpu.iter().sum());
    }
    for rest in unflushed {
        add(rest.call, rest.errors.0, rest.errors.1);
    }
    errors
}

/// Several indices may share a name: numbers that the table does not know.
fn add(into: &mut CallTotals, from: &CallTotals) {
    into.kind = from.kind;
    into.count += from.count;
    into.errors += from.errors;
    into.unfinished += from.unfinished;
    into.bytes += from.bytes;
    into.duration_ns += from.duration_ns;
    into.blocked_ns += from.blocked_ns;
    into.preempted_ns += from.preempted_ns;
    into.untimed += from.untimed;
}

/// Sums the losses over the CPUs, and what was summed by intent.
pub(super) fn losses(counters: &PerCpuArray<MapData, LossCounters>) -> (Losses, Summed) {
    let (mut sum, mut summed) = (Losses::default(), Summed::default());
    let Ok(per_cpu) = counters.get(&0, 0) else { return (sum, summed) };
    for cpu in per_cpu.iter() {
        sum.folded_operations += cpu.folded_operations;
        sum.unattributed_operations += cpu.unattributed_operations;
        sum.folded_calls += cpu.folded_calls;
        sum.lost_events += cpu.lost_events;
        sum.untraced_threads += cpu.untraced_threads;
        sum.unknown_endpoints += cpu.unknown_endpoints;
        sum.untraced_requests += cpu.untraced_requests;
        summed.operations += cpu.summed_operations;
        summed.calls += cpu.summed_calls;
    }
    (sum, summed)
}

/// What one slot says of its thread.
pub(super) fn thread(slot: &ThreadSlot, now_ns: u64, table: &CallTable) -> ThreadTotals {
    ThreadTotals {
        pid: slot.tgid,
        comm: comm(&slot.comm),
        ended: slot.state & state::DEAD != 0,
        calls: slot.calls,
        syscall_transitions: slot.syscall_transitions,
        user_faults: slot.user_faults,
        user_interrupts: slot.user_interrupts,
        kernel_interrupts: slot.kernel_interrupts,
        blocked_ns: slot.blocked_ns,
        preempted_ns: slot.preempted_ns,
        // Before a thread's first hook both are zero.
        accounts: difference(&slot.latest, &slot.baseline),
        exec_read_chars: slot.exec_read_chars,
        exec_read_calls: slot.exec_read_calls,
        in_call: in_call(slot, now_ns, table),
    }
}

fn in_call(slot: &ThreadSlot, now_ns: u64, table: &CallTable) -> Option<(CallName, Option<u64>)> {
    (slot.state & (state::IN_CALL | state::DEAD) == state::IN_CALL).then(|| {
        let since = (slot.call_start_ns != 0).then(|| now_ns.saturating_sub(slot.call_start_ns));
        (table.name(slot.call), since)
    })
}

fn difference(now: &Accounts, then: &Accounts) -> Accounts {
    Accounts {
        voluntary: now.voluntary.saturating_sub(then.voluntary),
        involuntary: now.involuntary.saturating_sub(then.involuntary),
        minor_faults: now.minor_faults.saturating_sub(then.minor_faults),
        major_faults: now.major_faults.saturating_sub(then.major_faults),
        read_chars: now.read_chars.saturating_sub(then.read_chars),
        written_chars: now.written_chars.saturating_sub(then.written_chars),
        read_calls: now.read_calls.saturating_sub(then.read_calls),
        write_calls: now.write_calls.saturating_sub(then.write_calls),
        storage_read_bytes: now.storage_read_bytes.saturating_sub(then.storage_read_bytes),
        storage_written_bytes: now.storage_written_bytes.saturating_sub(then.storage_written_bytes),
    }
}

/// Folded operations since the last collection. The entries stay: the kernel side adds to them without a lock, so one
/// that is taken away could take an addition with it. `seen` keeps what was collected before.
pub(super) fn folded(
    spill: &PerCpuHashMap<MapData, SpillKey, SpillCounters>,
    seen: &mut HashMap<SpillKey, SpillCounters>,
    unflushed: &[Unflushed],
    table: &CallTable,
    storage_known: bool,
) -> Vec<Folded> {
    let mut folded = Vec::new();
    let mut sums: HashMap<SpillKey, SpillCounters> = HashMap::new();
    for (key, per_cpu) in spill.iter().flatten() {
        let sum = sums.entry(key).or_default();
        for cpu in per_cpu.iter() {
            add_spilled(sum, cpu);
        }
    }
    for Unflushed { spilled, .. } in unflushed {
        if let Some((key, counters)) = spilled {
            add_spilled(sums.entry(*key).or_default(), counters);
        }
    }
    for (key, sum) in sums {
        let before = seen.insert(key, sum).unwrap_or_default();
        let Some(kind) = table.kind(key.call) else { continue };
        if sum == before {
            continue;
        }
        // The kernel side adds one member after the other: what is not there yet is there the next time, maybe with no
        // operation beside it.
        let mut counted = sum.counted;
        counted.subtract(&before.counted);
        let name = table.name(key.call);
        let operations = sum.operations.saturating_sub(before.operations);
        let request = name.is_request();
        let knows_storage = storage_known && !request && sum.storage_unknown == before.storage_unknown;
        folded.push(Folded {
            pid: key.tgid,
            name,
            kind,
            source: side(key.source_fd, key.source, key.source_flags),
            sink: side(key.sink_fd, key.sink, key.sink_flags),
            flags: key.call_flags | table.implied_flags(key.call),
            operations,
            errors: sum.errors.saturating_sub(before.errors),
            transitions: sum.transitions.saturating_sub(before.transitions),
            bytes: sum.bytes.saturating_sub(before.bytes),
            duration_ns: sum.duration_ns.saturating_sub(before.duration_ns),
            blocked_ns: sum.blocked_ns.saturating_sub(before.blocked_ns),
            preempted_ns: sum.preempted_ns.saturating_sub(before.preempted_ns),
            storage_read_bytes: knows_storage
                .then(|| sum.storage_read_bytes.saturating_sub(before.storage_read_bytes)),
            storage_written_bytes: knows_storage
                .then(|| sum.storage_written_bytes.saturating_sub(before.storage_written_bytes)),
            counted,
        });
    }
    folded
}

fn add_spilled(sum: &mut SpillCounters, more: &SpillCounters) {
    sum.operations += more.operations;
    sum.errors += more.errors;
    sum.bytes += more.bytes;
    sum.duration_ns += more.duration_ns;
    sum.blocked_ns += more.blocked_ns;
    sum.preempted_ns += more.preempted_ns;
    sum.storage_read_bytes += more.storage_read_bytes;
    sum.storage_written_bytes += more.storage_written_bytes;
    sum.storage_unknown += more.storage_unknown;
    sum.counted.add(&more.counted);
    sum.transitions += more.transitions;
}

/// What a thread has summed and not yet added to the counters: at the end of the trace, and that of a thread that sleeps.
pub(super) struct Unflushed {
    /// Table index of the call.
    call: u32,
    counters: CallCounters,
    /// Errno, and how many calls returned it.
    errors: (u32, u64),
    /// Of operations: by what they are folded.
    spilled: Option<(SpillKey, SpillCounters)>,
}

impl Unflushed {
    /// Adds it to what was summed.
    pub(super) fn add_to(&self, summed: &mut Summed) {
        let sum = if self.spilled.is_some() { &mut summed.operations } else { &mut summed.calls };
        *sum += self.counters.count;
    }
}

/// Likewise of each run of a thread.
pub(super) fn unflushed(slot: &ThreadSlot) -> impl Iterator<Item = Unflushed> + '_ {
    slot.runs.iter().filter(|run| run.calls > 0).map(|run| {
        let duration_ns = run.duration_ns();
        let (mut counters, mut spilled) = (CallCounters::default(), SpillCounters::default());
        run.count(duration_ns, &mut counters);
        run.spill(duration_ns, &mut spilled);
        let key = run.key(slot.tgid);
        let errors = (run.errno, run.named_errors);
        let spilled = (run.bytes_mask != 0).then_some((key, spilled));
        Unflushed { call: key.call, counters, errors, spilled }
    })
}
