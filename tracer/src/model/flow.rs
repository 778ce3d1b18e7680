//! Flows: what goes from one endpoint to another by one method, added up.

use std::cmp::{Ordering, Reverse};

use super::{
    copies,
    endpoint::Place,
    endpoints::{EndpointId, Endpoints},
    event::{Call, Operation, Pid},
    evidence::Evidence,
    fallback::{self, Fallback},
    flow_list::{FlowList, Rank},
    hash::{HashMap, HashSet},
    method::{Delivery, Method, Origin},
    part::{Note, Part, Step, proportion},
    reach::Reach,
    snapshot::{self, Mover},
    zerocopy::Sends,
};

/// What calls cost. Sums saturate; only nonsense gets there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Stats {
    pub(crate) operations: u64,
    /// Of these, calls whose beginning was not seen: what happened inside them is in no sum below.
    pub(crate) unseen: u64,
    pub(crate) transitions: u64,
    pub(crate) time_ns: u64,
    pub(crate) blocked_ns: u64,
    pub(crate) preempted_ns: u64,
    pub(crate) voluntary: u64,
    pub(crate) involuntary: u64,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    /// From submission to completion of requests: no thread's time, and they overlap.
    pub(crate) request_ns: u64,
}

impl Stats {
    /// Whether the inside of any operation is known, or there was none: else its times are not.
    pub(crate) fn are_seen(&self) -> bool {
        self.unseen == 0 || self.unseen < self.operations
    }

    /// What one call cost. Of a call that was in flight at the attach only the return was seen.
    pub(crate) fn of(call: &Call) -> Self {
        let inside = call.inside.unwrap_or_default();
        Self {
            operations: 1,
            unseen: call.inside.is_none().into(),
            transitions: transitions(call),
            time_ns: call.duration_ns.unwrap_or(0),
            blocked_ns: inside.blocked_ns,
            preempted_ns: inside.preempted_ns,
            voluntary: inside.voluntary.into(),
            involuntary: inside.involuntary.into(),
            minor_faults: inside.minor_faults.into(),
            major_faults: inside.major_faults.into(),
            request_ns: 0,
        }
    }

    /// What one operation cost: as a call, or as a request.
    pub(crate) fn of_operation(operation: &Operation) -> Self {
        let Some(request) = operation.request else { return Self::of(&operation.call) };
        Self {
            operations: 1,
            transitions: request.transitions.into(),
            request_ns: operation.call.duration_ns.unwrap_or(0),
            ..Self::default()
        }
    }

    fn combine(&mut self, other: &Self, with: fn(u64, u64) -> u64) {
        let Self {
            operations,
            unseen,
            transitions,
            time_ns,
            blocked_ns,
            preempted_ns,
            voluntary,
            involuntary,
            minor_faults,
            major_faults,
            request_ns,
        } = other;
        self.operations = with(self.operations, *operations);
        self.unseen = with(self.unseen, *unseen);
        self.transitions = with(self.transitions, *transitions);
        self.time_ns = with(self.time_ns, *time_ns);
        self.blocked_ns = with(self.blocked_ns, *blocked_ns);
        self.preempted_ns = with(self.preempted_ns, *preempted_ns);
        self.voluntary = with(self.voluntary, *voluntary);
        self.involuntary = with(self.involuntary, *involuntary);
        self.minor_faults = with(self.minor_faults, *minor_faults);
        self.major_faults = with(self.major_faults, *major_faults);
        self.request_ns = with(self.request_ns, *request_ns);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.combine(other, u64::saturating_add);
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.combine(other, u64::saturating_sub);
    }

    /// Takes out the share of `bytes` out of `of`; the whole if that is all.
    pub(crate) fn take(&mut self, bytes: u64, of: u64) -> Self {
        let share = |amount| if bytes >= of { amount } else { proportion(amount, bytes, of) };
        let taken = Self {
            operations: share(self.operations),
            unseen: share(self.unseen),
            transitions: share(self.transitions),
            time_ns: share(self.time_ns),
            blocked_ns: share(self.blocked_ns),
            preempted_ns: share(self.preempted_ns),
            voluntary: share(self.voluntary),
            involuntary: share(self.involuntary),
            minor_faults: share(self.minor_faults),
            major_faults: share(self.major_faults),
            request_ns: share(self.request_ns),
        };
        self.subtract(&taken);
        taken
    }
}

/// Mode switches of one call.
pub(crate) fn transitions(call: &Call) -> u64 {
    if call.began_before { 1 } else { 2 }
}

/// A sum of copied bytes, as far as it is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sum {
    pub(crate) at_least: u64,
    /// `None` if some part is not known.
    pub(crate) bytes: Option<u64>,
    /// The weakest of the parts.
    pub(crate) evidence: Evidence,
}

/// Payload, what it cost, and what was moved for it. Bytes are kept in 128 bits so that no sum of 64-bit ones overflows
/// and what was added can always be taken out again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) transfers: u64,
    pub(crate) folded: u64,
    /// Of the folded operations, those that were given to this flow in the proportions of others.
    pub(crate) estimated: u64,
    pub(crate) payload: u128,
    /// The part of it that says nothing of what else was folded: that itself, and writes of what a folded read may have brought.
    pub(crate) not_sampled: u128,
    pub(crate) stats: Stats,
    /// Bytes made dirty that were not seen to be written.
    pub(crate) dirty: u128,
    /// Sends with MSG_ZEROCOPY.
    pub(crate) zerocopy: Sends,
    /// Payload from a mapped file that page faults had reached.
    pub(crate) reached: Reach,
    parts: Vec<(Step, Amount)>,
    /// The known part of what the CPU copied: the sum over `parts`, kept so that a hundred thousand flows are ranked fast.
    copied: u128,
}

/// Whether a step is a copy by the CPU of which the bytes are known.
fn is_known_copy(step: &Step) -> bool {
    step.is_known() && step.mover == Some(Mover::Cpu)
}

/// How many bytes a step moved, and how many the copy table expected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Amount {
    pub(crate) bytes: u128,
    pub(crate) expected: u128,
    /// Operations that took it.
    pub(crate) operations: u64,
}

impl Amount {
    fn of(part: &Part) -> Self {
        let Part { step: _, amount, expected, operations } = *part;
        Self { bytes: amount.into(), expected: expected.into(), operations }
    }

    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.expected = self.expected.saturating_add(other.expected);
        self.operations = self.operations.saturating_add(other.operations);
    }

    fn subtract(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.expected = self.expected.saturating_sub(other.expected);
        self.operations = self.operations.saturating_sub(other.operations);
    }
}

impl Tally {
    /// Empties it and keeps its memory.
    pub(crate) fn clear(&mut self) {
        let mut parts = std::mem::take(&mut self.parts);
        parts.clear();
        *self = Self { parts, ..Self::default() };
    }

    /// Adds a part.
    pub(crate) fn put(&mut self, part: &Part) {
        self.put_wide(part.step, Amount::of(part));
    }

    fn put_wide(&mut self, step: Step, amount: Amount) {
        if is_known_copy(&step) {
            self.copied = self.copied.saturating_add(amount.bytes);
        }
        match self.parts.iter_mut().find(|(known, _)| *known == step) {
            Some((_, sum)) => sum.add(amount),
            None => self.parts.push((step, amount)),
        }
    }

    /// Takes out what was put in.
    pub(crate) fn remove(&mut self, part: &Part) {
        if let Some((step, sum)) = self.parts.iter_mut().find(|(known, _)| *known == part.step) {
            let before = sum.bytes;
            sum.subtract(Amount::of(part));
            if is_known_copy(step) {
                self.copied = self.copied.saturating_sub(before - sum.bytes);
            }
        }
    }

    /// Takes out what turned out to be otherwise, and with its last byte the step itself.
    pub(crate) fn retract(&mut self, part: &Part) {
        self.remove(part);
        self.parts.retain(|(step, amount)| *step != part.step || (amount.bytes, amount.expected) != (0, 0));
    }

    /// Moves payload to another, with its share of the copies; how much was moved. What it cost in calls stays.
    pub(crate) fn pass_on(&mut self, bytes: u128, to: &mut Self) -> u128 {
        let (of, bytes) = (self.payload, bytes.min(self.payload));
        let share = |amount: u128| match amount.checked_mul(bytes) {
            _ if bytes == of => amount,
            Some(product) => product / of,
            None => amount / of.max(1) * bytes,
        };
        for (step, sum) in &mut self.parts {
            // Which operations took a step of 0 bytes is not divided.
            let taken = Amount { bytes: share(sum.bytes), expected: share(sum.expected), operations: 0 };
            sum.subtract(taken);
            if is_known_copy(step) {
                self.copied = self.copied.saturating_sub(taken.bytes);
            }
            to.put_wide(*step, taken);
        }
        self.payload -= bytes;
        self.not_sampled = self.not_sampled.min(self.payload);
        bytes
    }

    /// Adds all of another.
    pub(crate) fn add(&mut self, other: &Self) {
        self.transfers = self.transfers.saturating_add(other.transfers);
        self.folded = self.folded.saturating_add(other.folded);
        self.estimated = self.estimated.saturating_add(other.estimated);
        self.payload = self.payload.saturating_add(other.payload);
        self.not_sampled = self.not_sampled.saturating_add(other.not_sampled);
        self.stats.add(&other.stats);
        self.dirty = self.dirty.saturating_add(other.dirty);
        self.zerocopy.add(&other.zerocopy);
        self.reached.add(&other.reached);
        other.parts.iter().for_each(|&(step, amount)| self.put_wide(step, amount));
    }

    /// Bytes that are to go to a device late; `None` if none can, or if it is not seen when they do.
    pub(crate) fn not_written_back(&self) -> Option<u64> {
        let not_seen = self.telling().any(|(step, _)| *step == copies::NOT_SEEN);
        let followed = self.telling().any(|(step, _)| step.note.is_some_and(Note::is_deferred));
        (followed && !not_seen).then(|| narrow(self.dirty))
    }

    /// Payload in bytes.
    pub(crate) fn payload_bytes(&self) -> u64 {
        narrow(self.payload)
    }

    /// The parts that say something: a part of 0 bytes does only beside payload, an unknown one never.
    fn telling(&self) -> impl Iterator<Item = &(Step, Amount)> {
        let any = |amount: &Amount| amount.bytes > 0 || amount.expected > 0;
        self.parts.iter().filter(move |(step, amount)| any(amount) || (step.is_known() && self.payload > 0))
    }

    fn moved_anything(&self) -> bool {
        self.payload > 0 || self.parts.iter().any(|(_, amount)| amount.bytes > 0)
    }

    /// Whether there is anything to say of the flow.
    fn is_used(&self) -> bool {
        self.stats.operations > 0 || self.moved_anything()
    }

    fn sum(&self, mover: Mover, claims: impl Fn(Option<Mover>) -> bool) -> Sum {
        let relevant = || self.telling().filter(|(step, _)| claims(step.mover));
        let known = relevant()
            .filter(|(step, _)| step.is_known() && step.mover == Some(mover))
            .fold(0u128, |sum, (_, amount)| sum.saturating_add(amount.bytes));
        let complete = relevant().all(|(step, _)| step.is_known());
        Sum {
            at_least: narrow(known),
            bytes: complete.then_some(narrow(known)),
            // That there is nothing to move follows from what the endpoints are.
            evidence: relevant().map(|(step, _)| step.evidence).max().unwrap_or(Evidence::Derived),
        }
    }

    /// The known part of what the CPU copied.
    pub(crate) fn copied_at_least(&self) -> u64 {
        narrow(self.copied)
    }

    /// What the CPU copied. That pages were passed by reference is a claim on this as well.
    pub(crate) fn by_cpu(&self) -> Sum {
        self.sum(Mover::Cpu, |mover| mover != Some(Mover::Dma))
    }

    /// What devices copied.
    pub(crate) fn by_dma(&self) -> Sum {
        self.sum(Mover::Dma, |mover| matches!(mover, Some(Mover::Dma) | None))
    }

    /// Each copy and move, in the order in which the bytes pass. What was fetched of a file outside of calls went to one of
    /// its flows: where there are several, that it was this one is a model's word.
    pub(crate) fn copies(&self, shares_source: bool) -> Vec<snapshot::Copy> {
        let mut parts: Vec<_> = self.telling().copied().collect();
        parts.sort_by_key(|(step, _)| (rank(step), *step));
        let shown = |(step, amount): (Step, Amount)| {
            let mut copy = step.with_bytes(narrow(amount.bytes), narrow(amount.expected));
            if shares_source && step.note == Some(Note::FetchedApart) {
                copy.evidence = copy.evidence.max(Evidence::Modelled);
            }
            copy
        };
        parts.into_iter().map(shown).collect()
    }

    /// What was to be spared and was copied after all, by reason, most bytes first.
    pub(crate) fn fallbacks(&self) -> Vec<Fallback> {
        let by_cpu = self.telling().filter(|(step, _)| step.is_known() && step.mover == Some(Mover::Cpu));
        fallback::list(by_cpu.filter_map(|(step, amount)| {
            let note = step.note?;
            Some((note, amount.operations, narrow(amount.bytes), step.evidence))
        }))
    }

    /// CPU-copied bytes ÷ payload bytes.
    pub(crate) fn amplification(&self) -> Option<f64> {
        let copied = self.by_cpu().bytes?;
        (self.payload > 0).then(|| copied as f64 / self.payload as f64)
    }
}

#[cfg(test)]
impl Tally {
    /// All parts, for tests that add them up.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Step, Amount)> {
        self.parts.iter().copied()
    }
}

#[cfg(test)]
impl Flows {
    /// All tallies, for tests that add them up.
    pub(crate) fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.flows.iter().map(|(_, tally)| tally)
    }
}

/// How far along the way from a source device to a sink device a step is.
fn rank(step: &Step) -> u8 {
    match (step.from, step.to) {
        (Place::Device, _) => 0,
        (_, Place::Device) => 5,
        // Decrypted as it is received; put into one piece when it leaves.
        (Place::Socket, Place::Socket) if step.note == Some(Note::Encrypted) => 0,
        (Place::Socket, Place::Socket) => 4,
        (_, Place::User) => 1,
        (Place::User, _) => 3,
        _ => 2,
    }
}

fn narrow(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// What a flow is told apart by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(crate) struct FlowKey {
    pub(crate) pid: Pid,
    pub(crate) source: EndpointId,
    pub(crate) sink: EndpointId,
    pub(crate) method: Method,
}

/// Number of a flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FlowId(u32);

impl FlowId {
    /// As a place in a list.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// All flows.
#[derive(Debug)]
pub(crate) struct Flows {
    flows: Vec<(FlowKey, Tally)>,
    by_key: HashMap<FlowKey, FlowId>,
    /// The newest flow from each source.
    by_source: HashMap<EndpointId, FlowId>,
    /// Sources of more than one flow.
    shared_sources: HashSet<EndpointId>,
    most: usize,
}

impl Flows {
    /// Tells at most `most` flows apart; the rest is one per method, with pid 0.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            flows: Vec::new(),
            by_key: HashMap::default(),
            by_source: HashMap::default(),
            shared_sources: HashSet::default(),
            most: most.max(1),
        }
    }

    /// The flow with this key.
    pub(crate) fn open(&mut self, key: FlowKey) -> FlowId {
        if let Some(&id) = self.by_key.get(&key) {
            return id;
        }
        let others = FlowKey { pid: 0, source: EndpointId::OTHERS, sink: EndpointId::OTHERS, ..key };
        if self.flows.len() >= self.most && key != others {
            return self.open(others);
        }
        // `most` bounds it far below 2^32.
        let id = FlowId(u32::try_from(self.flows.len()).unwrap_or(u32::MAX));
        self.flows.push((key, Tally::default()));
        self.by_key.insert(key, id);
        if self.by_source.insert(key.source, id).is_some() {
            self.shared_sources.insert(key.source);
        }
        id
    }

    /// Whether there are bytes that were read into memory and stayed there, and bytes that were written from it without having
    /// come there by a read: they may be the same, changed or copied on the way, and would then be one payload and not two.
    pub(crate) fn may_be_the_same(&self) -> bool {
        let moved = |of: fn(Method) -> bool| {
            self.flows.iter().any(|(key, tally)| tally.payload > 0 && of(key.method))
        };
        moved(|method| matches!(method, Method::Relay(from, Delivery::Stays) if from != Origin::Memory))
            && moved(|method| matches!(method, Method::Relay(Origin::Memory, to) if to != Delivery::Stays))
    }

    /// The flow with this key, if there is one.
    pub(crate) fn find(&self, key: &FlowKey) -> Option<FlowId> {
        self.by_key.get(key).copied()
    }

    /// Tells the payload of each flow that what was folded is divided like.
    pub(crate) fn samples(&self, mut tell: impl FnMut(&FlowKey, u128)) {
        for (key, tally) in &self.flows {
            let told = tally.payload.saturating_sub(tally.not_sampled);
            if told > 0 {
                tell(key, told);
            }
        }
    }

    /// The newest flow from a source.
    pub(crate) fn newest_from(&self, source: EndpointId) -> Option<FlowId> {
        self.by_source.get(&source).copied()
    }

    /// What a flow has added up.
    pub(crate) fn tally(&mut self, id: FlowId) -> Option<&mut Tally> {
        self.flows.get_mut(id.0 as usize).map(|(_, tally)| tally)
    }

    /// What a flow is.
    pub(crate) fn key(&self, id: FlowId) -> Option<FlowKey> {
        self.flows.get(id.0 as usize).map(|(key, _)| *key)
    }

    /// How many [`Self::snapshot`] has without a limit.
    pub(crate) fn count(&self) -> usize {
        self.flows.iter().filter(|(_, tally)| tally.is_used()).count()
    }

    /// How people see those that are wanted, in the order that is wanted. Those beyond the limit cost little more than to
    /// find out that they are beyond it.
    ///
    /// `faults_told`: whether it is known of every page fault where it was taken.
    pub(crate) fn snapshot(
        &self,
        wanted: &FlowList<'_>,
        endpoints: &Endpoints,
        faults_told: bool,
    ) -> Vec<snapshot::Flow> {
        let used = (0u32..).zip(&self.flows).filter(|(_, (_, tally))| tally.is_used());
        let mut ranked: Vec<Ranked> = used.map(|(id, (_, tally))| (wanted.rank(tally), id)).collect();
        let most = wanted.most.unwrap_or(usize::MAX);
        if wanted.passes.is_none() && most < ranked.len() {
            ranked.select_nth_unstable_by(most, |one, other| self.order(*one, *other));
            ranked.truncate(most);
        }
        ranked.sort_unstable_by(|one, other| self.order(*one, *other));
        let flows = ranked.into_iter().filter_map(|(_, id)| self.shown(id.into(), endpoints, faults_told));
        flows.filter(|flow| wanted.passes.is_none_or(|passes| passes(flow))).take(most).collect()
    }

    /// How people see the flow with that number.
    pub(crate) fn shown(&self, id: u64, endpoints: &Endpoints, faults_told: bool) -> Option<snapshot::Flow> {
        let (key, tally) = self.flows.get(usize::try_from(id).ok()?)?;
        let reached = tally.reached.shown(faults_told, tally.payload_bytes());
        Some(snapshot::Flow {
            reached: key.method.is_from_mapping().then_some(reached),
            copies: tally.copies(self.shared_sources.contains(&key.source)),
            ..shown(id, *key, tally, endpoints)
        })
    }

    /// The lower rank comes first; of equal ones, that with more bytes.
    fn order(&self, one: Ranked, other: Ranked) -> Ordering {
        one.0.cmp(&other.0).then_with(|| {
            let most = |(_, id): Ranked| {
                let flow = self.flows.get(id as usize);
                flow.map(|(key, tally)| {
                    (Reverse((tally.copied_at_least(), tally.payload, tally.stats.operations)), *key)
                })
            };
            most(one).cmp(&most(other))
        })
    }
}

/// A flow's rank and number.
type Ranked = (Rank, u32);

fn zerocopy(counts: &Sends) -> snapshot::Zerocopy {
    let Sends { sends, copied, by_reference } = *counts;
    let reported = copied.saturating_add(by_reference);
    snapshot::Zerocopy { sends, copied, by_reference, not_reported: sends.saturating_sub(reported) }
}

fn shown(id: u64, key: FlowKey, tally: &Tally, endpoints: &Endpoints) -> snapshot::Flow {
    const MIB: f64 = 1_048_576.0;
    let Stats {
        operations,
        unseen,
        transitions,
        time_ns,
        blocked_ns,
        preempted_ns,
        voluntary,
        involuntary,
        minor_faults,
        major_faults,
        request_ns,
    } = tally.stats;
    let is_seen = tally.stats.are_seen();
    // Of what was folded the sums hold times, but no switches and no faults.
    let untold = unseen.saturating_add(tally.folded);
    let is_told = untold == 0 || untold < operations;
    let cpu = tally.by_cpu();
    let estimated = if tally.estimated > 0 { Evidence::Modelled } else { Evidence::Derived };
    let payload_evidence = key.method.payload_evidence().max(estimated);
    snapshot::Flow {
        id,
        pid: key.pid,
        source: endpoints.end(key.source),
        sink: endpoints.end(key.sink),
        method: key.method.name().to_owned(),
        transfers: tally.transfers,
        operations,
        payload_bytes: tally.payload_bytes(),
        payload_evidence,
        cpu_copied_bytes: cpu.bytes,
        dma_bytes: tally.by_dma().bytes,
        copy_amplification: tally.amplification(),
        copy_amplification_evidence: cpu.evidence.max(payload_evidence),
        transitions,
        transitions_per_mib: (tally.payload > 0).then(|| transitions as f64 / (tally.payload as f64 / MIB)),
        unseen_operations: unseen,
        context_switches: is_told.then_some(snapshot::ContextSwitches { voluntary, involuntary }),
        page_faults: is_told.then_some(snapshot::PageFaults { minor: minor_faults, major: major_faults }),
        time_ns: is_seen.then_some(time_ns),
        on_cpu_ns: is_seen.then_some(time_ns.saturating_sub(blocked_ns).saturating_sub(preempted_ns)),
        blocked_ns: is_seen.then_some(blocked_ns),
        preempted_ns: is_seen.then_some(preempted_ns),
        request_time_ns: request_ns,
        folded_operations: tally.folded,
        estimated_operations: tally.estimated,
        not_written_back_bytes: tally.not_written_back(),
        zerocopy: (tally.zerocopy.sends > 0).then(|| zerocopy(&tally.zerocopy)),
        reached: None,
        copies: Vec::new(),
        fallbacks: tally.fallbacks(),
        evidence: cpu.evidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(mover: Option<Mover>, evidence: Evidence, amount: u64) -> Part {
        let step = Step { from: Place::User, to: Place::Socket, mover, evidence, note: None };
        Part::of(step, amount, amount)
    }

    #[test]
    fn a_sum_is_no_better_than_its_weakest_part() {
        let mut tally = Tally { payload: 10, ..Tally::default() };
        tally.put(&part(Some(Mover::Cpu), Evidence::Measured, 10));
        tally.put(&part(Some(Mover::Dma), Evidence::Modelled, 10));
        assert_eq!(tally.by_cpu(), Sum { at_least: 10, bytes: Some(10), evidence: Evidence::Measured });
        tally.put(&part(Some(Mover::None), Evidence::Derived, 10));
        assert_eq!(tally.by_cpu().evidence, Evidence::Derived);
        assert_eq!(tally.amplification(), Some(1.0));
        tally.put(&part(None, Evidence::Unknown, 1));
        assert_eq!(tally.by_cpu(), Sum { at_least: 10, bytes: None, evidence: Evidence::Unknown });
        assert_eq!(tally.by_dma(), Sum { at_least: 10, bytes: None, evidence: Evidence::Unknown });
        assert_eq!(tally.amplification(), None);
    }

    #[test]
    fn an_unknown_part_that_moved_away_is_gone() {
        let mut tally = Tally { payload: 10, ..Tally::default() };
        let unknown = part(None, Evidence::Unknown, 10);
        tally.put(&unknown);
        tally.remove(&unknown);
        assert_eq!(tally.by_cpu().bytes, Some(0));
        assert_eq!(tally.copies(false), []);
    }

    #[test]
    fn too_many_flows_fold_into_one_per_method() {
        let mut flows = Flows::new(4);
        let key = |pid, method| FlowKey { pid, source: EndpointId::USER, sink: EndpointId::UNKNOWN, method };
        let ids: Vec<_> = (0..10).map(|pid| flows.open(key(pid, Method::Splice))).collect();
        assert_eq!(ids[4], ids[9]);
        assert_ne!(ids[3], ids[4]);
        assert_ne!(flows.open(key(10, Method::Tee)), ids[4]);
        assert_eq!(flows.key(ids[9]).map(|key| key.pid), Some(0));
        assert_eq!(flows.flows.len(), 6);
    }
}
