//! What is known of one flow besides its sums: how large and how long its operations are, which calls make them, and who.

use super::{
    calls::shown_name,
    event::{CallName, Tid},
    flow::{FlowId, Stats},
    log2::{Bucket, LogHistogram},
    served::Served,
};

/// Most threads of a flow that are told apart.
const MOST_THREADS: usize = 16;

/// One flow in detail. An operation counts in the flow that its cost is counted in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowDetail {
    /// How many bytes its operations moved, those included that moved none. Without what was folded in the kernel.
    pub chunk_bytes: Vec<Bucket>,
    /// How long they took, ns: calls from entry to return, requests from submission to completion. Without what was folded,
    /// and without what began before tracing did.
    pub latency_ns: Vec<Bucket>,
    /// The calls, most time first.
    pub calls: Vec<CallUse>,
    /// The threads that made them, most bytes first: at most 16.
    pub threads: Vec<ThreadUse>,
    /// All others together, and what was folded in the kernel.
    pub other_threads: Use,
    /// Monotonic time at which its first operation began, ns; `None` if there was none that was not folded. It may be one
    /// that turned out to serve another flow, as a read does once its bytes are sent on.
    pub first_ns: Option<u64>,
    /// Monotonic time at which its last one ended, ns.
    pub last_ns: Option<u64>,
}

/// What a call did for a flow.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CallUse {
    /// Its name; 32-bit calls end in `:32`.
    pub name: String,
    /// Operations.
    pub count: u64,
    /// Bytes that they moved, all of them if some served another flow.
    pub bytes: u64,
    /// Wall time, of requests from submission to completion, ns.
    pub time_ns: u64,
}

/// What a thread did for a flow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ThreadUse {
    /// The thread.
    pub tid: u32,
    /// What it did.
    pub done: Use,
}

/// What somebody did for a flow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Use {
    /// Operations.
    pub operations: u64,
    /// Bytes that they moved.
    pub bytes: u64,
}

impl Use {
    fn add(&mut self, operations: u64, bytes: u64) {
        self.operations = self.operations.saturating_add(operations);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn subtract(&mut self, operations: u64, bytes: u64) {
        self.operations = self.operations.saturating_sub(operations);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// What a call did for a flow.
#[derive(Debug)]
struct ByCall {
    name: CallName,
    done: Use,
    time_ns: u64,
}

/// One flow in numbers. Its lists are short and grow one by one: there may be a hundred thousand flows.
#[derive(Debug, Default)]
struct Detail {
    sizes: LogHistogram,
    latencies: LogHistogram,
    calls: Vec<ByCall>,
    threads: Vec<ThreadUse>,
    others: Use,
    active: Option<(u64, u64)>,
}

/// The entry that `is` it; a new one if there is room for it among `most`.
fn entry<T>(
    list: &mut Vec<T>,
    most: usize,
    is: impl Fn(&T) -> bool,
    new: impl FnOnce() -> T,
) -> Option<&mut T> {
    let place = match list.iter().position(is) {
        Some(place) => place,
        None if list.len() >= most => return None,
        None => {
            list.reserve_exact(1);
            list.push(new());
            list.len() - 1
        }
    };
    list.get_mut(place)
}

impl Detail {
    fn call(&mut self, name: CallName) -> Option<&mut ByCall> {
        let new = || ByCall { name, done: Use::default(), time_ns: 0 };
        // There are as many as there are names of calls.
        entry(&mut self.calls, usize::MAX, |call| call.name == name, new)
    }

    fn thread(&mut self, tid: Tid) -> &mut Use {
        let new = || ThreadUse { tid, done: Use::default() };
        match entry(&mut self.threads, MOST_THREADS, |thread| thread.tid == tid, new) {
            Some(thread) => &mut thread.done,
            None => &mut self.others,
        }
    }

    fn book(&mut self, served: &Served) {
        let Served { name, tid, end_ns, duration_ns, bytes, .. } = *served;
        self.sizes.add(bytes);
        if let Some(duration) = duration_ns {
            self.latencies.add(duration);
        }
        if let Some(call) = self.call(name) {
            call.done.add(1, bytes);
            call.time_ns = call.time_ns.saturating_add(duration_ns.unwrap_or(0));
        }
        self.thread(tid).add(1, bytes);
        let (first, last) = self.active.unwrap_or((u64::MAX, 0));
        let began_ns = served.start_ns().unwrap_or(end_ns);
        self.active = Some((first.min(began_ns), last.max(end_ns)));
    }

    fn unbook(&mut self, served: &Served) {
        let Served { name, tid, duration_ns, bytes, .. } = *served;
        self.sizes.remove(bytes);
        if let Some(duration) = duration_ns {
            self.latencies.remove(duration);
        }
        if let Some(call) = self.call(name) {
            call.done.subtract(1, bytes);
            call.time_ns = call.time_ns.saturating_sub(duration_ns.unwrap_or(0));
        }
        // A thread that got an entry after others had left may have been among the others before.
        match self.threads.iter_mut().find(|thread| thread.tid == tid) {
            Some(thread) => thread.done.subtract(1, bytes),
            None => self.others.subtract(1, bytes),
        }
    }

    fn fold(&mut self, name: CallName, stats: &Stats, bytes: u64) {
        if let Some(call) = self.call(name) {
            call.done.add(stats.operations, bytes);
            call.time_ns = call.time_ns.saturating_add(stats.time_ns).saturating_add(stats.request_ns);
        }
        self.others.add(stats.operations, bytes);
    }

    fn shown(&self) -> FlowDetail {
        let Self { sizes, latencies, calls, threads, others, active } = self;
        let mut calls: Vec<_> = calls
            .iter()
            .filter(|call| call.done.operations > 0)
            .map(|call| CallUse {
                name: shown_name(call.name),
                count: call.done.operations,
                bytes: call.done.bytes,
                time_ns: call.time_ns,
            })
            .collect();
        calls.sort_by(|one, other| (other.time_ns, &one.name).cmp(&(one.time_ns, &other.name)));
        let used = threads.iter().filter(|thread| thread.done.operations > 0);
        let mut threads: Vec<_> = used.copied().collect();
        threads.sort_by_key(|thread| (std::cmp::Reverse(thread.done.bytes), thread.tid));
        FlowDetail {
            chunk_bytes: sizes.buckets(),
            latency_ns: latencies.buckets(),
            calls,
            threads,
            other_threads: *others,
            first_ns: active.map(|(first, _)| first),
            last_ns: active.map(|(_, last)| last),
        }
    }
}

/// The details of all flows, by their numbers.
#[derive(Debug)]
pub(crate) struct Details {
    on: bool,
    flows: Vec<Option<Box<Detail>>>,
}

impl Details {
    /// Keeps them, or nothing at all.
    pub(crate) fn new(on: bool) -> Self {
        Self { on, flows: Vec::new() }
    }

    fn detail(&mut self, flow: FlowId) -> Option<&mut Detail> {
        if !self.on {
            return None;
        }
        if self.flows.len() <= flow.index() {
            self.flows.resize_with(flow.index() + 1, || None);
        }
        Some(self.flows.get_mut(flow.index())?.get_or_insert_default())
    }

    /// The cost of an operation is counted in a flow.
    pub(crate) fn book(&mut self, flow: FlowId, served: &Served) {
        if let Some(detail) = self.detail(flow) {
            detail.book(served);
        }
    }

    /// It turned out to be another's.
    pub(crate) fn rebook(&mut self, from: FlowId, to: FlowId, served: &Served) {
        if let Some(detail) = self.detail(from) {
            detail.unbook(served);
        }
        self.book(to, served);
    }

    /// Operations of a flow were folded in the kernel.
    pub(crate) fn fold(&mut self, flow: FlowId, name: CallName, stats: &Stats, bytes: u64) {
        if let Some(detail) = self.detail(flow) {
            detail.fold(name, stats, bytes);
        }
    }

    /// What a thread did for each flow, most bytes first, as far as it is told apart.
    pub(crate) fn of_thread(&self, tid: Tid) -> Vec<(u64, Use)> {
        let done = |(id, detail): (u64, &Option<Box<Detail>>)| {
            let done = detail.as_ref()?.threads.iter().find(|thread| thread.tid == tid)?.done;
            (done.operations > 0).then_some((id, done))
        };
        let mut flows: Vec<(u64, Use)> = (0..).zip(&self.flows).filter_map(done).collect();
        flows.sort_by_key(|(id, done)| (std::cmp::Reverse((done.bytes, done.operations)), *id));
        flows
    }

    /// How people see one of them.
    pub(crate) fn shown(&self, flow: u64) -> Option<FlowDetail> {
        let flow = usize::try_from(flow).ok()?;
        self.flows.get(flow)?.as_ref().map(|detail| detail.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Model, ModelConfig,
        event::{Call, Event, Operation},
        testing::{FILE, SOCKET, flow, model_with, read, write},
    };

    fn detailed(operations: impl IntoIterator<Item = Operation>, method: &str) -> FlowDetail {
        let mut model = model_with(ModelConfig { record_details: true, ..ModelConfig::default() });
        model.apply(operations.into_iter().map(Event::Operation));
        let id = flow(&model.snapshot(), method).id;
        model.flow_detail(id).unwrap()
    }

    fn by(tid: Tid, end_ns: u64, operation: Operation) -> Operation {
        Operation { call: Call { tid, end_ns, ..operation.call }, ..operation }
    }

    #[test]
    fn a_relay_in_detail() {
        let found = detailed(
            [
                by(1, 5000, read(FILE, 0..4096)),
                by(2, 7000, write(SOCKET, 0..1000)),
                by(2, 9000, write(SOCKET, 1000..4096)),
            ],
            "read+write",
        );
        let bucket = |from, to, count| Bucket { from, to, count };
        assert_eq!(
            found.chunk_bytes,
            [bucket(512, 1023, 1), bucket(1024, 2047, 0), bucket(2048, 4095, 1), bucket(4096, 8191, 1)]
        );
        assert_eq!(found.latency_ns, [bucket(512, 1023, 3)]);
        let call =
            |name: &str, count, time_ns| CallUse { name: name.to_owned(), count, bytes: 4096, time_ns };
        assert_eq!(found.calls, [call("write", 2, 2000), call("read", 1, 1000)]);
        let thread = |tid, operations| ThreadUse { tid, done: Use { operations, bytes: 4096 } };
        assert_eq!(found.threads, [thread(1, 1), thread(2, 2)]);
        assert_eq!(found.other_threads, Use::default());
        assert_eq!((found.first_ns, found.last_ns), (Some(4000), Some(9000)));
    }

    #[test]
    fn threads_beyond_the_sixteenth_are_added_up() {
        let operations = (0..40).map(|tid| by(tid, 0, write(SOCKET, 0..10)));
        let found = detailed(operations, "write");
        assert_eq!(found.threads.len(), 16);
        assert_eq!(found.other_threads, Use { operations: 24, bytes: 240 });
    }

    #[test]
    fn a_thread_in_its_flows() {
        let mut model = model_with(ModelConfig { record_details: true, ..ModelConfig::default() });
        let operations =
            [by(1, 0, read(FILE, 0..10)), by(2, 0, read(FILE, 10..30)), by(2, 0, write(SOCKET, 500..600))];
        model.apply(operations.map(Event::Operation));
        let of = |tid, most| {
            let flows = model.flows_of_thread(tid, most).into_iter();
            flows.map(|(flow, done)| (flow.method, done.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(of(1, 9), [("read".to_owned(), 10)]);
        assert_eq!(of(2, 9), [("write".to_owned(), 100), ("read".to_owned(), 20)]);
        assert_eq!(of(2, 1), [("write".to_owned(), 100)]);
        assert_eq!(of(3, 9), []);
    }

    #[test]
    fn without_being_asked_nothing_is_kept() {
        let mut model = model_with(ModelConfig::default());
        model.apply([Event::Operation(read(FILE, 0..10))]);
        assert_eq!(model.flow_detail(0), None);
        let model = Model::new(ModelConfig { record_details: true, ..ModelConfig::default() });
        assert_eq!([0, u64::MAX].map(|id| model.flow_detail(id)), [None, None]);
    }
}
