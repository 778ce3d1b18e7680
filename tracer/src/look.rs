//! What the dashboard asks of the model, and what it is told: where things stand at one moment, as far as anybody sees it.

use std::time::{Duration, Instant};

use crate::{
    filter::Filter,
    findings::{self, Finding},
    model::{
        Model,
        event::Pid,
        extent::Extent,
        flow_detail::{FlowDetail, Use},
        flow_list::{FlowList, FlowOrder},
        heat::Heat,
        recent::RecentTransfer,
        snapshot::{Flow, Snapshot},
    },
};

/// For how many times as long as the last answer took there is a rest from questions like it: with very many flows pictures
/// come less often rather than that records wait.
pub(crate) const RESTS: u32 = 4;

/// Most flows of a thread.
const THREAD_FLOWS: usize = 50;

/// A list of so many is short.
const SHORT: usize = 100;

/// Flows that findings are made of while tracing goes on: those with most bytes copied by the CPU.
const FINDING_FLOWS: usize = 2_000;

/// Lists that take longer than to be made ten times a second when nobody sees them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Lists {
    /// Processes, threads, and the calls that they are inside of.
    pub(crate) threads: bool,
    /// Descriptors.
    pub(crate) descriptors: bool,
    /// The last transfers.
    pub(crate) transfers: bool,
    /// Findings.
    pub(crate) findings: bool,
}

impl Lists {
    /// None.
    pub(crate) const NONE: Self =
        Self { threads: false, descriptors: false, transfers: false, findings: false };
    /// All.
    pub(crate) const ALL: Self = Self { threads: true, descriptors: true, transfers: true, findings: true };
}

/// What the dashboard wants to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Which lists.
    pub(crate) lists: Lists,
    /// All of them, and with the counters of this moment: for a document, or for a picture that is to stand.
    pub(crate) whole: bool,
    /// The process that is called the target.
    pub(crate) target: Pid,
    /// Most flows; all if that is not said.
    pub(crate) most_flows: Option<usize>,
    /// What the flows are ranked by.
    pub(crate) flows_by: FlowOrder,
    /// Whether those with least of it come first.
    pub(crate) least_first: bool,
    /// Which flows; with an empty filter any.
    pub(crate) flow_filter: Filter,
    /// More of the flow with this id.
    pub(crate) flow: Option<u64>,
    /// The flows of the thread with this id.
    pub(crate) thread: Option<u32>,
    /// More of the call with this name.
    pub(crate) call: Option<String>,
}

/// Where things stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    /// Which lists are new in it.
    pub(crate) lists: Lists,
    /// Whether all is in it, as it was at one moment.
    pub(crate) whole: bool,
    /// What the target is called.
    pub(crate) comm: Option<String>,
    /// Threads that live.
    pub(crate) living_threads: u64,
    /// What could cost less, worst first.
    pub(crate) findings: Vec<Finding>,
    /// How many flows were looked at for it.
    pub(crate) finding_flows: usize,
    /// How long it took to find all of this out.
    pub(crate) took: Duration,
    /// What is known.
    pub(crate) snapshot: Snapshot,
    /// The last transfers, newest first.
    pub(crate) transfers: Vec<RecentTransfer>,
    /// Flows in all.
    pub(crate) flow_count: usize,
    /// More of the flow that was asked about, with its id.
    pub(crate) flow: Option<(u64, FlowDetail)>,
    /// The flows of the thread that was asked about, with its id.
    pub(crate) thread: Option<(u32, Vec<(Flow, Use)>)>,
    /// Latencies over time of the call that was asked about, with its name.
    pub(crate) heat: Option<(String, Heat)>,
}

impl Look {
    /// At the model as it is now.
    pub(crate) fn at(model: &Model, wanted: Wanted) -> Self {
        let began = Instant::now();
        let Wanted {
            lists: asked,
            whole,
            target,
            most_flows: most,
            flows_by: by,
            least_first,
            flow_filter,
            flow,
            thread,
            call,
        } = wanted;
        let passes = |flow: &Flow| flow_filter.matches_flow(flow);
        let flow_count = model.flow_count();
        let has_all = most.is_none_or(|most| flow_count <= most);
        let list = if has_all {
            FlowList::default()
        } else {
            let passes = (!flow_filter.is_empty()).then_some(&passes as &dyn Fn(&Flow) -> bool);
            FlowList { most, by, least_first, passes }
        };
        // Short lists are there in any case: whoever turns to another view finds it filled.
        let asked = if whole { Lists::ALL } else { asked };
        let lists = Lists {
            threads: asked.threads || model.thread_count() <= SHORT,
            descriptors: asked.descriptors || model.descriptor_count() <= SHORT,
            ..asked
        };
        let most_transfers = if asked.transfers { usize::MAX } else { SHORT };
        let extent = Extent {
            flows: list,
            threads: lists.threads,
            descriptors: lists.descriptors,
            mapped_files: whole,
        };
        let findings = if lists.findings {
            findings::findings(&model.view(&Extent::with(FlowList::first(FINDING_FLOWS))))
        } else {
            Vec::new()
        };
        Self {
            lists,
            whole,
            comm: model.comm(target).map(str::to_owned),
            living_threads: model.living_threads(),
            findings,
            finding_flows: flow_count.min(FINDING_FLOWS),
            snapshot: model.view(&extent),
            transfers: model.recent_transfers(most_transfers),
            flow_count,
            flow: flow.and_then(|id| Some((id, model.flow_detail(id)?))),
            thread: thread.map(|tid| (tid, model.flows_of_thread(tid, THREAD_FLOWS))),
            heat: call.and_then(|name| model.heat(&name).map(|heat| (name, heat))),
            took: began.elapsed(),
        }
    }

    /// Keeps what was known before and not asked for again.
    pub(crate) fn keep(&mut self, before: &mut Self) {
        let (now, then) = (&mut self.snapshot, &mut before.snapshot);
        if !self.lists.threads {
            now.processes = std::mem::take(&mut then.processes);
            now.threads = std::mem::take(&mut then.threads);
            now.in_flight.at_end = std::mem::take(&mut then.in_flight.at_end);
        }
        if !self.lists.descriptors {
            now.descriptors = std::mem::take(&mut then.descriptors);
            now.descriptor_summary = then.descriptor_summary;
        }
        if !self.lists.findings {
            self.findings = std::mem::take(&mut before.findings);
            self.finding_flows = before.finding_flows;
        }
    }
}
