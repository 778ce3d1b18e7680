//! Reading what the kernel side reports: records from the ring buffer, identities and counters from maps.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    os::fd::{AsRawFd, RawFd},
};

use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuHashMap, RingBuf, Stack};
use rustix::time::{ClockId, clock_gettime};
use tracer_common::{
    endpoint::Endpoint as WireEndpoint,
    limits::THREADS,
    record::{RecordKind, ThreadRecord},
    slot::{CallCounters, LossCounters, SpillCounters, SpillKey, ThreadSlot, state},
};

use super::{
    call_table::CallTable,
    counters::{self, Unflushed},
    decode::{self, Decoded},
    descriptor_calls,
    descriptors::Look,
    device_io::DeviceCounters,
    endpoints::{self, Describer},
    error::{LoadError, other},
    load::Probe,
    mappings,
    missed_runs::MissedRuns,
    serials::SerialSet,
};
use crate::model::event::{
    Counters, DeviceIo, DeviceIoOf, Event, Operation, Serial, Side, ThreadTotals, Tid,
};

/// The reading half of the probe.
pub struct Reader {
    ring: RingBuf<MapData>,
    slots: Array<MapData, ThreadSlot>,
    free_slots: Stack<MapData, u32>,
    calls: PerCpuArray<MapData, CallCounters>,
    losses: PerCpuArray<MapData, LossCounters>,
    spill: PerCpuHashMap<MapData, SpillKey, SpillCounters>,
    summed_errors: PerCpuHashMap<MapData, u64, u64>,
    new_endpoints: HashMap<MapData, u64, WireEndpoint>,
    devices: DeviceCounters,
    table: CallTable,
    describer: Describer,
    storage_known: bool,
    /// Slots of threads that live.
    live: BTreeSet<u32>,
    /// Threads that have ended since the counters were last read.
    ended: BTreeMap<(Tid, u64), ThreadTotals>,
    /// Whether one has ended at all.
    any_ended: bool,
    spill_seen: std::collections::HashMap<SpillKey, SpillCounters>,
    /// Serials whose identity has been handed on, so that each is looked up once.
    told: SerialSet,
    undecodable: u64,
    missed_runs: MissedRuns,
    ended_tracing: bool,
    /// How much had been folded when that was last looked at, and whether it was more than the time before.
    folded_before: u64,
    spill_grew: bool,
    own_serials: u64,
    /// Events and endpoints that had been lost at the last reading.
    lost_before: u64,
    /// Serials whose identity waited to be named at the last sweep.
    unnamed: HashSet<u64>,
}

/// Most identities that one sweep hands on: each may take a look into `/proc`.
const SWEPT_AT_ONCE: usize = 4096;

impl Reader {
    pub(super) fn new(
        probe: &mut Probe,
        ring: RingBuf<MapData>,
        free_slots: Stack<MapData, u32>,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            ring,
            slots: Array::try_from(probe.take("SLOTS")?).map_err(other)?,
            free_slots,
            calls: PerCpuArray::try_from(probe.take("CALL_COUNTERS")?).map_err(other)?,
            losses: PerCpuArray::try_from(probe.take("LOSSES")?).map_err(other)?,
            spill: PerCpuHashMap::try_from(probe.take("SPILL")?).map_err(other)?,
            summed_errors: PerCpuHashMap::try_from(probe.take("SUMMED_ERRORS")?).map_err(other)?,
            new_endpoints: HashMap::try_from(probe.take("NEW_ENDPOINTS")?).map_err(other)?,
            devices: DeviceCounters::new(PerCpuHashMap::try_from(probe.take("DEVICE_IO")?).map_err(other)?),
            table: CallTable::native(),
            describer: Describer::default(),
            storage_known: probe.storage_accounts(),
            live: BTreeSet::new(),
            ended: BTreeMap::new(),
            any_ended: false,
            spill_seen: std::collections::HashMap::new(),
            told: SerialSet::default(),
            undecodable: 0,
            missed_runs: MissedRuns::default(),
            ended_tracing: false,
            folded_before: 0,
            spill_grew: false,
            own_serials: 0,
            lost_before: 0,
            unnamed: HashSet::new(),
        })
    }

    /// Reads at most `limit` records into `events`; returns how many there were.
    pub fn drain(&mut self, limit: usize, events: &mut Vec<Event>) -> usize {
        let mut records = 0;
        while records < limit {
            let Some(item) = self.ring.next() else { break };
            let decoded = decode::decode(&item, &self.table);
            let change = match decoded {
                Decoded::Changing(_) => decode::change(&item, &self.table),
                _ => None,
            };
            drop(item);
            records += 1;
            match decoded {
                Decoded::Call(event) | Decoded::Changing(event) => {
                    self.tell_endpoints(&event, events);
                    events.push(event);
                    if let Some(change) = change {
                        self.tell_endpoints(&change, events);
                        events.push(change);
                    }
                }
                Decoded::Thread(kind, record) => self.thread(kind, &record, events),
                Decoded::Unknown => self.undecodable += 1,
            }
        }
        records
    }

    /// Files that a process had mapped before tracing began.
    pub fn mappings_of(&mut self, pid: u32) -> Vec<Event> {
        mappings::of_process(pid, &mut self.describer, &mut self.own_serials)
    }

    /// Whoever looks at `/proc/PID/fd` next: the serials that it gives out are its own.
    pub fn look(&mut self) -> Look {
        /// More than one look finds.
        const SERIALS: u64 = 1 << 32;
        self.own_serials += SERIALS;
        Look::new(self.own_serials)
    }

    /// Processes with a traced thread that lives.
    pub fn living_processes(&self) -> BTreeSet<u32> {
        let slots = self.live.iter().filter_map(|number| self.slots.get(number, 0).ok());
        slots
            .filter(|slot| slot.state & (state::LIVE | state::DEAD) == state::LIVE)
            .map(|slot| slot.tgid)
            .collect()
    }

    /// Whether there were traced threads and all of them have ended, as far as is known.
    pub fn all_ended(&self) -> bool {
        self.live.is_empty() && self.any_ended
    }

    /// The exact counters as they stand, what was folded, and what devices moved, since the last time.
    pub fn counters(&mut self, events: &mut Vec<Event>) {
        let (losses, _) = counters::losses(&self.losses);
        let lost = losses.lost_events.wrapping_add(losses.unknown_endpoints);
        let lost_more = std::mem::replace(&mut self.lost_before, lost) != lost;
        if lost_more || lost > 0 && self.ended_tracing {
            self.find_slots();
        }
        let unflushed = self.unflushed();
        let folded = if self.spill_may_have_grown() {
            counters::folded(&self.spill, &mut self.spill_seen, &unflushed, &self.table, self.storage_known)
        } else {
            Vec::new()
        };
        if !folded.is_empty() {
            for sides in folded.iter().map(|folded| [serial(&folded.source), serial(&folded.sink)]) {
                self.tell_serials(sides, events);
            }
            events.push(Event::Folded(folded));
        }
        for event in self.devices.moved(&mut self.describer) {
            self.tell_endpoints(&event, events);
            events.push(event);
        }
        if lost_more || !self.unnamed.is_empty() {
            self.sweep_endpoints(events);
        }
        events.push(Event::Counters(Box::new(self.read_counters(&unflushed))));
    }

    /// Where the record was lost that would have named it, an identity would keep its room in the kernel side's table for ever.
    /// What waits since the last sweep is handed on unasked.
    fn sweep_endpoints(&mut self, events: &mut Vec<Event>) {
        let waiting: HashSet<u64> = self.new_endpoints.keys().flatten().collect();
        for serial in waiting.intersection(&self.unnamed).copied().take(SWEPT_AT_ONCE).collect::<Vec<_>>() {
            self.tell_serials([Some(Serial(serial)), None], events);
        }
        self.unnamed = waiting;
    }

    /// Whether anything was folded since the last time. There may be many thousand entries, and each takes two calls to read.
    fn spill_may_have_grown(&mut self) -> bool {
        // Not what is read for the totals afterwards: an operation that is folded between the two would be taken for seen.
        let (losses, summed) = counters::losses(&self.losses);
        let folded = losses.folded_operations.wrapping_add(summed.operations);
        let grew = std::mem::replace(&mut self.folded_before, folded) != folded;
        // An operation may have been counted the last time and be in its entry only now.
        let grew_before = std::mem::replace(&mut self.spill_grew, grew);
        grew || grew_before || self.ended_tracing
    }

    fn read_counters(&mut self, unflushed: &[Unflushed]) -> Counters {
        let time_ns = now_ns();
        let (losses, mut summed) = counters::losses(&self.losses);
        for rest in unflushed {
            rest.add_to(&mut summed);
        }
        let mut threads = std::mem::take(&mut self.ended);
        for number in &self.live {
            if let Ok(slot) = self.slots.get(number, 0) {
                let totals = counters::thread(&slot, time_ns, &self.table);
                threads.insert((slot.tid, slot.start_ns), totals);
            }
        }
        Counters {
            time_ns,
            calls: counters::calls(&self.calls, unflushed, &self.table),
            threads,
            losses: crate::model::event::Losses {
                undecodable_records: self.undecodable,
                missed_runs: self.missed_runs.sum(),
                ..losses
            },
            summed,
            summed_errors: counters::errors(&self.summed_errors, unflushed, &self.table),
        }
    }

    /// No more is counted from now on: what threads have summed and not yet added to the counters is taken along.
    pub fn has_ended(&mut self) {
        self.ended_tracing = true;
    }

    /// What threads have summed and not yet added to the counters. While tracing goes on it may be added at any moment, and
    /// would be counted twice.
    fn unflushed(&self) -> Vec<Unflushed> {
        if !self.ended_tracing {
            return Vec::new();
        }
        let slots = self.live.iter().filter_map(|number| self.slots.get(number, 0).ok());
        slots.flat_map(|slot| counters::unflushed(&slot).collect::<Vec<_>>()).collect()
    }

    /// After thread records were lost: looks at every slot for threads not heard of, and for deaths.
    fn find_slots(&mut self) {
        for number in 0..THREADS {
            let Ok(slot) = self.slots.get(&number, 0) else { continue };
            if slot.state & state::LIVE == 0 {
                continue;
            }
            if slot.state & state::DEAD != 0 {
                self.retire(number, &slot);
            } else {
                self.live.insert(number);
            }
        }
    }

    fn thread(&mut self, kind: RecordKind, record: &ThreadRecord, events: &mut Vec<Event>) {
        match kind {
            RecordKind::THREAD_START => {
                // One that was found dead after a loss has been retired before its record is read.
                let slot = self.slots.get(&record.slot, 0).ok();
                let slot = slot.filter(|slot| slot.start_ns == record.start_ns);
                if slot.is_some() {
                    self.live.insert(record.slot);
                }
                let attached = slot.is_some_and(|slot| slot.state & state::ATTACHED != 0);
                events.push(decode::started(record, attached));
            }
            RecordKind::THREAD_END => {
                if let Ok(slot) = self.slots.get(&record.slot, 0)
                    && slot.start_ns == record.start_ns
                {
                    self.retire(record.slot, &slot);
                }
                events.push(Event::ThreadEnded {
                    pid: record.header.tgid,
                    tid: record.header.tid,
                    start_ns: record.start_ns,
                    time_ns: record.header.time_ns,
                    exit_code: record.exit_code,
                });
            }
            _ => {
                events.push(Event::Executed {
                    pid: record.header.tgid,
                    tid: record.parent,
                    start_ns: record.start_ns,
                    comm: decode::comm(&record.comm),
                    time_ns: record.header.time_ns,
                });
                // The program and its loader were mapped by no call. What has been mapped since is told once more by the
                // records that follow.
                events.extend(self.mappings_of(record.header.tgid));
            }
        }
    }

    /// Keeps what a dead thread's slot says and gives the slot back. The kernel side writes to it no more.
    fn retire(&mut self, number: u32, slot: &ThreadSlot) {
        let totals = counters::thread(slot, 0, &self.table);
        self.ended.insert((slot.tid, slot.start_ns), totals);
        self.any_ended = true;
        self.live.remove(&number);
        let _ = self.slots.set(number, ThreadSlot::default(), 0);
        let _ = self.free_slots.push(number, 0);
    }

    /// Hands on the identity of serials that are met for the first time.
    fn tell_endpoints(&mut self, event: &Event, events: &mut Vec<Event>) {
        let sides: [Option<Serial>; 2] = match event {
            Event::Operation(Operation { source, sink, .. }) => [serial(source), serial(sink)],
            Event::Mapped(mapping) => [Some(mapping.serial), None],
            Event::DeviceIo(DeviceIo {
                of: DeviceIoOf::File(serial) | DeviceIoOf::Socket(serial), ..
            }) => [Some(*serial), None],
            Event::Descriptors(event) => descriptor_calls::serials(event),
            _ => return,
        };
        self.tell_serials(sides, events);
    }

    fn tell_serials(&mut self, sides: [Option<Serial>; 2], events: &mut Vec<Event>) {
        for found in sides.into_iter().flatten() {
            if found.0 == 0 || mappings::is_own(found) || !self.told.insert(found.0) {
                continue;
            }
            let endpoint = match self.new_endpoints.get(&found.0, 0) {
                Ok(identity) => {
                    let _ = self.new_endpoints.remove(&found.0);
                    self.describer.describe(&identity)
                }
                Err(_) => endpoints::unknown(),
            };
            events.push(Event::Endpoint(found, endpoint));
        }
    }
}

fn serial(side: &Option<Side>) -> Option<Serial> {
    side.map(|side| side.serial)
}

impl AsRawFd for Reader {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

/// The clock that the kernel side stamps records with (`bpf_ktime_get_ns`), ns.
pub(super) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}
