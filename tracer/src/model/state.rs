//! The model: takes events apart among its parts, and puts a snapshot together.

use super::{
    calls::{self, Calls},
    descriptors::{self, Descriptors},
    endpoint::EndpointKind,
    event::{Call, CallKind, Counters, Event, Losses, Operation, Pid, Serial, Summed, Tid},
    evidence::Evidence,
    extent::Extent,
    faults::Faults,
    finished::Finished,
    flow::{Sum, transitions},
    flow_detail::{Details, FlowDetail, Use},
    flow_list::FlowList,
    hash::HashSet,
    heat::Heat,
    join::{Join, Limits},
    method::is_operation,
    recent::{Recent, RecentTransfer},
    snapshot::{
        self, CallStatistics, FlowEnd, InFlight, InFlightCall, KernelAccounts, Snapshot, Totals, Transfer,
    },
    sources::Sources,
    threads::Threads,
};

/// How the model works. The limits bound its memory: what exceeds them is added up in less detail, never left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ModelConfig {
    /// Which hooks count copies and DMA on this kernel.
    pub sources: Sources,
    /// Whether [`Model::take_transfers`] has something to take.
    pub record_transfers: bool,
    /// Most transfers that wait to be taken; further ones are dropped and counted.
    pub most_waiting_transfers: usize,
    /// Most finished transfers that [`Model::recent_transfers`] remembers; 0 for none.
    pub most_recent_transfers: usize,
    /// Whether [`Model::flow_detail`] and [`Model::heat`] have something to tell.
    pub record_details: bool,
    /// Whether requests of io_uring come as operations: else what they move is not known.
    pub traces_requests: bool,
    /// Most flows that are told apart; the rest is one flow per method, with pid 0.
    pub most_flows: usize,
    /// Most endpoints that are told apart, and most serials that are remembered.
    pub most_endpoints: usize,
    /// Most pieces of memory per process of which the origin is remembered.
    pub most_pieces_per_process: usize,
    /// Most processes whose memory is remembered.
    pub most_processes: usize,
    /// Most pipes whose content is remembered.
    pub most_pipes: usize,
    /// Most open descriptors that are followed.
    pub most_descriptors: usize,
    /// Most closed ones that are told apart; the rest is added up.
    pub most_closed_descriptors: usize,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            sources: Sources::NONE,
            record_transfers: false,
            most_recent_transfers: 0,
            record_details: false,
            traces_requests: true,
            most_waiting_transfers: 65_536,
            most_flows: 100_000,
            // As many open files as the kernel side remembers.
            most_endpoints: tracer_common::limits::FILES as usize,
            most_pieces_per_process: 4096,
            most_processes: 4096,
            most_pipes: 4096,
            most_descriptors: 262_144,
            most_closed_descriptors: 8192,
        }
    }
}

/// Most processes of which it is kept that their mappings were not seen.
const MOST_UNMAPPED: usize = 1 << 16;
/// Most calls that are named as in flight when tracing began.
const MOST_IN_FLIGHT: usize = 4096;

/// Events in, state out. Deterministic: the same events, in whatever batches, give the same snapshot.
#[derive(Debug)]
pub struct Model {
    join: Join,
    most_waiting_transfers: usize,
    /// Whether requests to block devices are traced.
    sees_requests: bool,
    /// Whether DMA through bounce buffers is.
    sees_bounces: bool,
    calls: Calls,
    traces_requests: bool,
    threads: Threads,
    descriptors: Descriptors,
    losses: Losses,
    summed: Summed,
    /// Whether calls are timed.
    timed: bool,
    faults: Faults,
    /// Mode switches by calls, as the stream has them; the counters know better.
    seen_transitions: u64,
    /// Bytes fetched from storage by I/O calls.
    storage_read_bytes: u64,
    /// Processes whose program's mappings have not been seen since they executed it.
    unmapped: HashSet<Pid>,
    in_flight_at_start: Vec<InFlightCall>,
    /// Threads that were attached and of which no call has finished yet: the first one may have been in flight.
    fresh: HashSet<Tid>,
}

impl Model {
    /// A model that has seen nothing.
    pub fn new(config: ModelConfig) -> Self {
        let limits = Limits {
            endpoints: config.most_endpoints,
            flows: config.most_flows,
            pieces_per_process: config.most_pieces_per_process,
            processes: config.most_processes,
            pipes: config.most_pipes,
        };
        let waiting = if config.record_transfers { config.most_waiting_transfers } else { 0 };
        Self {
            join: Join::new(
                limits,
                config.sources,
                Finished::new(waiting),
                Recent::new(config.most_recent_transfers),
                Details::new(config.record_details),
            ),
            most_waiting_transfers: config.most_waiting_transfers,
            sees_requests: config.sources.block,
            sees_bounces: config.sources.bounces,
            calls: Calls::new(config.record_details),
            traces_requests: config.traces_requests,
            threads: Threads::default(),
            descriptors: Descriptors::new(descriptors::Limits {
                open: config.most_descriptors,
                closed: config.most_closed_descriptors,
                // A table without descriptors takes little.
                tables: config.most_descriptors,
            }),
            losses: Losses::default(),
            summed: Summed::default(),
            timed: config.sources.entries,
            faults: Faults::default(),
            seen_transitions: 0,
            storage_read_bytes: 0,
            unmapped: HashSet::default(),
            in_flight_at_start: Vec::new(),
            fresh: HashSet::default(),
        }
    }

    /// Takes in what happened, in order.
    pub fn apply(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            // Most are one of these, and large: they are not moved once more.
            match &event {
                Event::Operation(operation) => self.operation(operation),
                Event::Call(call) => self.call(call, None, 0),
                _ => self.event(event),
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Operation(_) | Event::Call(_) => {}
            Event::Endpoint(serial, endpoint) => self.join.endpoints.learn(serial, &endpoint),
            Event::Notified { socket, number, copied } => {
                let (socket, _) = self.join.endpoints.resolve(socket);
                self.join.reported(socket, number, number.wrapping_add(1), copied);
            }
            Event::Mapped(mapping) => {
                let (file, _) = self.join.endpoints.resolve(mapping.serial);
                self.join.memories.map(mapping.pid, mapping.range, file, mapping.fresh);
            }
            Event::MappingsKnown { pid } => {
                self.unmapped.remove(&pid);
                self.faults.know(pid);
            }
            Event::Unmapped { pid, range } => self.join.memories.unmap(pid, &range),
            Event::Remapped { pid, from, to } => self.join.memories.remap(pid, &from, &to),
            Event::ThreadStarted(thread) => {
                // A thread that ran before has its mappings reported; one that is the first of its process has a
                // copy of its parent's.
                if !thread.attached && thread.parent != thread.pid {
                    self.join.memories.fork(thread.parent, thread.pid);
                    self.faults.fork(thread.parent, thread.pid);
                }
                if thread.attached {
                    self.fresh.insert(thread.tid);
                }
                self.descriptors.started(&thread);
                self.threads.started(thread);
            }
            Event::ThreadEnded { pid, tid, start_ns, exit_code, time_ns } => {
                self.join.thread_ended(tid);
                self.fresh.remove(&tid);
                self.faults.ended(tid);
                let last = self.threads.ended(pid, (tid, start_ns), exit_code);
                if last {
                    self.faults.forget(pid);
                    self.join.memories.forget(pid);
                }
                self.descriptors.ended(pid, tid, last, time_ns);
            }
            Event::Executed { pid, tid, start_ns, comm, time_ns } => {
                self.join.memories.forget(pid);
                if self.unmapped.len() < MOST_UNMAPPED {
                    self.unmapped.insert(pid);
                }
                self.faults.forget(pid);
                self.descriptors.executed(pid, time_ns);
                self.threads.executed(pid, (tid, start_ns), comm);
            }
            Event::Fault(fault) => self.faults.count(&mut self.join.memories, &fault),
            Event::Folded(folded) => {
                self.join.folded(&folded);
                for folded in &folded {
                    self.fetched(folded.storage_read_bytes);
                    if is_operation(folded.kind) {
                        self.descriptors.folded(folded, &mut self.join.endpoints);
                    }
                }
            }
            Event::DeviceIo(io) => self.join.device_io(&io),
            Event::Descriptors(event) => {
                let alone = self.threads.is_alone(event.pid);
                self.descriptors.changed(&event, alone, &mut self.join.endpoints);
            }
            Event::DescriptorsSeen(seen) => self.descriptors.seen(&seen, &mut self.join.endpoints),
            Event::Counters(counters) => {
                let Counters { calls, threads, losses, summed, summed_errors, time_ns: _ } = *counters;
                self.calls.replace(calls, summed_errors);
                self.threads.update(threads);
                self.losses = losses;
                self.summed = summed;
            }
        }
    }

    fn operation(&mut self, operation: &Operation) {
        self.call(&operation.call, Some(operation.kind), operation.bytes);
        if is_operation(operation.kind) {
            self.fetched(operation.storage_read_bytes);
            self.join.operation(operation);
            self.descriptors.operation(operation, &mut self.join.endpoints);
        }
    }

    fn fetched(&mut self, bytes: Option<u64>) {
        self.storage_read_bytes = self.storage_read_bytes.saturating_add(bytes.unwrap_or(0));
    }

    fn call(&mut self, call: &Call, kind: Option<CallKind>, bytes: u64) {
        self.calls.observe(call, kind, bytes);
        if call.name.is_request() {
            // No call: the mode switches are those of the calls that submitted it.
            return;
        }
        self.seen_transitions = self.seen_transitions.saturating_add(transitions(call));
        // A later call without a known start was refused before its entry was seen (seccomp).
        let first = self.fresh.remove(&call.tid);
        if first && call.began_before && self.in_flight_at_start.len() < MOST_IN_FLIGHT {
            let Call { pid, tid, name, .. } = *call;
            self.in_flight_at_start.push(InFlightCall {
                pid,
                tid,
                name: calls::shown_name(name),
                time_ns: None,
            });
        }
    }

    /// Everything that is known now.
    pub fn snapshot(&self) -> Snapshot {
        self.view(&Extent::with(FlowList::default()))
    }

    fn calls(&self) -> Vec<CallStatistics> {
        let mut calls = self.calls.snapshot();
        for call in calls.iter_mut().filter(|_| !self.timed) {
            (call.time_ns, call.blocked_ns, call.preempted_ns) = (None, None, None);
        }
        calls
    }

    fn flows(&self, wanted: &FlowList<'_>, faults_told: bool) -> Vec<snapshot::Flow> {
        let mut flows = self.join.flows.snapshot(wanted, &self.join.endpoints, faults_told);
        for flow in &mut flows {
            self.leave_out_times(flow);
            self.doubt_ends(flow);
        }
        flows
    }

    /// What was not timed took a time that is not known.
    fn leave_out_times(&self, flow: &mut snapshot::Flow) {
        if !self.timed {
            (flow.time_ns, flow.on_cpu_ns, flow.blocked_ns, flow.preempted_ns) = (None, None, None, None);
        }
    }

    /// That no call brought what was written, or sent on what was read, is not certain where some calls were not told. What a
    /// process had mapped that ended before anybody looked may be what it wrote.
    fn doubt_ends(&self, flow: &mut snapshot::Flow) {
        let is_memory = |end: &FlowEnd| end.kind == EndpointKind::User;
        let untold = self.join.untold(flow.pid);
        let may_be_mapped = self.unmapped.contains(&flow.pid);
        if is_memory(&flow.source) && (untold.reads || may_be_mapped)
            || is_memory(&flow.sink) && untold.writes
        {
            flow.payload_evidence = flow.payload_evidence.max(Evidence::Modelled);
            flow.copy_amplification_evidence = flow.copy_amplification_evidence.max(Evidence::Modelled);
        }
    }

    /// How many flows [`Model::snapshot`] has.
    pub fn flow_count(&self) -> usize {
        self.join.flows.count()
    }

    /// How many threads and processes [`Model::snapshot`] has, roughly.
    pub fn thread_count(&self) -> usize {
        self.threads.count()
    }

    /// How many descriptors are told apart.
    pub fn descriptor_count(&self) -> usize {
        self.descriptors.count()
    }

    /// How many threads live.
    pub fn living_threads(&self) -> u64 {
        self.threads.living()
    }

    /// The exit code of a process that has ended, as a shell shows it (128 + signal if killed).
    pub fn exit_code(&self, pid: Pid) -> Option<u32> {
        self.threads.exit_code(pid)
    }

    /// What a process is called.
    pub fn comm(&self, pid: Pid) -> Option<&str> {
        self.threads.comm(pid)
    }

    /// The same with what is wanted: what it costs hardly grows with the rest.
    pub fn view(&self, extent: &Extent<'_>) -> Snapshot {
        let (descriptors, descriptor_summary) = if extent.descriptors {
            self.descriptors.snapshot(&self.join.endpoints)
        } else {
            Default::default()
        };
        let totals = self.totals();
        let faults_told = totals.page_fault_places.not_told == 0;
        Snapshot {
            totals,
            descriptors,
            descriptor_summary,
            calls: self.calls(),
            requests: self.calls.requests(),
            flows: self.flows(&extent.flows, faults_told),
            mapped_files: if extent.mapped_files {
                self.faults.files(&self.join.endpoints, &self.join.memories, faults_told)
            } else {
                Vec::new()
            },
            processes: if extent.threads { self.threads.processes() } else { Vec::new() },
            threads: if extent.threads { self.threads.threads() } else { Vec::new() },
            in_flight: InFlight {
                at_start: self.in_flight_at_start.clone(),
                at_end: if extent.threads { self.threads.in_flight() } else { Vec::new() },
            },
        }
    }

    /// Whether transfers are kept for [`Self::take_transfers`] from now on.
    pub fn record_transfers(&mut self, wanted: bool) {
        self.join.finished.keep(if wanted { self.most_waiting_transfers } else { 0 });
    }

    /// How people see the endpoint that a serial stands for, if it is known.
    pub fn end_of(&self, serial: Serial) -> Option<FlowEnd> {
        self.join.endpoints.end_of(serial)
    }

    /// The transfers that finished since they were last taken, if [`ModelConfig::record_transfers`]. What was read and
    /// not sent on, or spliced into a pipe and not out of it, has not finished.
    pub fn take_transfers(&mut self) -> Vec<Transfer> {
        self.join.finished.take()
    }

    /// How many transfers found no room because they were not taken in time.
    pub fn dropped_transfers(&self) -> u64 {
        self.join.finished.dropped()
    }

    /// The last finished transfers with the operations that served them, newest first: at most `most`, and as many as
    /// [`ModelConfig::most_recent_transfers`] says. What is reported of a transfer later (MSG_ZEROCOPY) is not in it.
    pub fn recent_transfers(&self, most: usize) -> Vec<RecentTransfer> {
        self.join.recent.shown(most, &self.join.endpoints)
    }

    /// More of the flow with this [`snapshot::Flow::id`], if [`ModelConfig::record_details`].
    pub fn flow_detail(&self, id: u64) -> Option<FlowDetail> {
        self.join.details.shown(id)
    }

    /// The flows that a thread served, with what it did for them, most bytes first, if [`ModelConfig::record_details`]: of
    /// each flow only the first sixteen threads are told apart.
    pub fn flows_of_thread(&self, tid: Tid, most: usize) -> Vec<(snapshot::Flow, Use)> {
        let faults_told = self.totals().page_fault_places.not_told == 0;
        let flows = self.join.details.of_thread(tid).into_iter().take(most);
        flows
            .filter_map(|(id, done)| {
                let mut flow = self.join.flows.shown(id, &self.join.endpoints, faults_told)?;
                self.leave_out_times(&mut flow);
                Some((flow, done))
            })
            .collect()
    }

    /// The latencies over time of the call, or request, that [`snapshot::CallStatistics::name`] names, if
    /// [`ModelConfig::record_details`]; `None` also if no call was seen from start to end.
    pub fn heat(&self, name: &str) -> Option<Heat> {
        self.calls.heat(name)
    }

    /// What devices moved in no flow: as requests tell, or else as far as the kernel's accounts do.
    fn apart(&self, accounts: Option<KernelAccounts>) -> Apart {
        if self.sees_requests {
            let (outside, metadata) = (self.join.devices.outside(), self.join.devices.metadata());
            return Apart {
                outside: Some(outside.bytes),
                metadata: Some(metadata.bytes),
                evidence: outside.evidence().max(metadata.evidence()),
            };
        }
        let outside = accounts.map(|accounts| accounts.read_bytes.saturating_sub(self.storage_read_bytes));
        // The kernel counted the bytes, but not which device they came from.
        Apart { outside, metadata: None, evidence: Evidence::Modelled }
    }

    /// The sums alone: their cost does not grow with the flows.
    pub fn totals(&self) -> Totals {
        let mut calls = self.calls.sums(self.traces_requests);
        calls.untraced_submissions = calls.untraced_submissions.saturating_add(self.losses.untraced_requests);
        let threads = self.threads.sums();
        let overall = &self.join.overall;
        let (cpu, dma) = (overall.by_cpu(), overall.by_dma());
        let exec_read_chars = threads.map_or(0, |threads| threads.exec_read_chars);
        let read_bytes = calls.read_bytes.saturating_add(exec_read_chars);
        let written_bytes = calls.written_bytes;
        let accounts = threads
            .map(|threads| threads.accounts)
            // All zero after something was read or written: this kernel keeps none (CONFIG_TASK_XACCT).
            .filter(|accounts| {
                let KernelAccounts { rchar, wchar, syscr, syscw, .. } = *accounts;
                [rchar, wchar, syscr, syscw] != [0; 4] || read_bytes == 0 && written_bytes == 0
            })
            .map(|accounts| KernelAccounts {
                agree: Some(
                    accounts.rchar == read_bytes
                        && accounts.wchar == written_bytes
                        && self.losses.untraced_threads == 0,
                ),
                ..accounts
            });
        let apart = self.apart(accounts);
        let untraced = calls.untraced_submissions.saturating_add(self.losses.missed_runs);
        let (cpu, dma) = whole(cpu, dma, &apart, untraced);
        let payload_evidence = if self.join.is_blind() || self.losses.unattributed_operations > 0 {
            // Bytes that were read and then written may count twice.
            Evidence::Unknown
        } else if self.join.joined || self.join.flows.may_be_the_same() {
            Evidence::Modelled
        } else {
            Evidence::Derived
        };
        let page_faults = threads.map(|threads| threads.faults).unwrap_or_default();
        let stream = snapshot::Transitions { syscall: self.seen_transitions, ..Default::default() };
        Totals {
            operations: calls.operations,
            calls: calls.calls,
            read_bytes,
            written_bytes,
            read_calls: accounts.map(|accounts| accounts.syscr),
            write_calls: accounts.map(|accounts| accounts.syscw),
            payload_bytes: Some(overall.payload_bytes()).filter(|_| payload_evidence != Evidence::Unknown),
            // Operations without room in any sum are in the exact counters all the same.
            payload_bytes_at_most: if self.losses.unattributed_operations > 0 {
                overall.payload_bytes().max(calls.moved_bytes)
            } else {
                overall.payload_bytes()
            },
            payload_evidence,
            cpu_copied_bytes: cpu.bytes,
            cpu_copied_evidence: cpu.evidence,
            cpu_copied_bytes_at_least: cpu.at_least,
            dma_bytes: dma.bytes,
            dma_evidence: dma.evidence,
            dma_bytes_at_least: dma.at_least,
            dma_bytes_outside_operations: apart.outside,
            dma_metadata_bytes: apart.metadata,
            not_written_back_bytes: self.sees_requests.then(|| overall.not_written_back()).flatten(),
            swiotlb_bounced_bytes: self.sees_bounces.then(|| self.join.devices.bounced()),
            written_back_for_others_bytes: self.sees_requests.then(|| self.join.devices.unclaimed()),
            copy_amplification: overall
                .amplification()
                .filter(|_| cpu.bytes.is_some() && payload_evidence != Evidence::Unknown),
            copy_amplification_evidence: cpu.evidence.max(payload_evidence),
            transitions: threads.map_or(stream, |threads| threads.transitions),
            context_switches: threads.map(|threads| threads.switches).unwrap_or_default(),
            page_faults,
            page_fault_places: self.faults.places(
                page_faults.minor.saturating_add(page_faults.major),
                threads.map_or(0, |threads| threads.transitions.exception / 2),
            ),
            copy_disagreements: self.join.disagreements,
            losses: losses(self.losses, calls.untraced_submissions),
            summed: snapshot::Summed { operations: self.summed.operations, calls: self.summed.calls },
            kernel_accounts: accounts,
        }
    }
}

#[cfg(test)]
impl Model {
    /// The joins, for tests that look inside.
    pub(crate) fn join(&self) -> &Join {
        &self.join
    }
}

/// DMA in no flow, bytes.
struct Apart {
    outside: Option<u64>,
    metadata: Option<u64>,
    evidence: Evidence,
}

/// What the flows' sums lack: DMA in no flow, and requests that are not traced.
fn whole(mut cpu: Sum, mut dma: Sum, apart: &Apart, untraced: u64) -> (Sum, Sum) {
    let bytes = apart.outside.unwrap_or(0).saturating_add(apart.metadata.unwrap_or(0));
    if bytes > 0 {
        dma.at_least = dma.at_least.saturating_add(bytes);
        dma.bytes = dma.bytes.map(|known| known.saturating_add(bytes));
        dma.evidence = dma.evidence.max(apart.evidence);
    }
    if untraced > 0 {
        for sum in [&mut cpu, &mut dma] {
            (sum.bytes, sum.evidence) = (None, Evidence::Unknown);
        }
    }
    (cpu, dma)
}

fn losses(losses: Losses, untraced_submissions: u64) -> snapshot::Losses {
    let Losses {
        folded_operations,
        unattributed_operations,
        folded_calls,
        lost_events,
        untraced_threads,
        unknown_endpoints,
        undecodable_records,
        untraced_requests: _,
        missed_runs,
    } = losses;
    snapshot::Losses {
        folded_operations,
        unattributed_operations,
        folded_calls,
        lost_events,
        untraced_threads,
        unknown_endpoints,
        undecodable_records,
        untraced_submissions,
        missed_runs,
    }
}

#[cfg(test)]
mod tests;
