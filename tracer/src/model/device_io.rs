//! Books what devices move apart from operations: late, or for no operation at all.

use super::{
    copies,
    deferred::{Deferred, Dirtied},
    endpoint::Place,
    endpoints::{EndpointId, Endpoints},
    event::{DeviceIo, DeviceIoOf},
    evidence::Evidence,
    flow::{FlowId, Flows, Tally},
    hash::HashMap,
    part::{Part, Step},
    path::End,
    sent::{Sender, Sent},
    traits::Traits,
};

/// What is known of the devices behind some bytes, and how many there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Moved {
    /// Bytes moved by devices that do DMA, or may.
    pub(crate) bytes: u64,
    /// Whether it is not known of some.
    pub(crate) uncertain: bool,
}

impl Moved {
    fn add(&mut self, bytes: u64, dma: Option<bool>) {
        if dma != Some(false) {
            self.bytes = self.bytes.saturating_add(bytes);
            self.uncertain |= dma.is_none() && bytes > 0;
        }
    }

    /// How it is known.
    pub(crate) fn evidence(self) -> Evidence {
        if self.uncertain { Evidence::Modelled } else { Evidence::Measured }
    }
}

/// Bytes of files that no flow has asked for (yet).
#[derive(Clone, Copy, Debug)]
struct Fetched {
    bytes: u64,
    traits: Traits,
}

/// What devices moved, and what they still have to.
#[derive(Debug)]
pub(crate) struct Devices {
    deferred: Deferred,
    sent: Sent,
    fetched: HashMap<EndpointId, Fetched>,
    /// Contents of files that are in no flow.
    others: Moved,
    /// What file systems keep for themselves.
    metadata: Moved,
    /// What went through bounce buffers, on the whole machine.
    bounced: u64,
}

impl Devices {
    /// Follows at most `most` files.
    pub(crate) fn new(most: usize) -> Self {
        let (others, metadata) = (Moved::default(), Moved::default());
        Self {
            deferred: Deferred::new(most),
            sent: Sent::default(),
            fetched: HashMap::default(),
            others,
            metadata,
            bounced: 0,
        }
    }

    /// Contents of files that were moved for the target, but for none of its flows.
    pub(crate) fn outside(&self) -> Moved {
        let mut sum = self.others;
        self.fetched.values().for_each(|fetched| sum.add(fetched.bytes, fetched.traits.dma));
        sum.add(self.sent.unclaimed(), Some(true));
        sum
    }

    /// What file systems and memory management moved for themselves in the target's context.
    pub(crate) fn metadata(&self) -> Moved {
        self.metadata
    }

    /// Bytes that the CPU copied through bounce buffers, on the whole machine.
    pub(crate) fn bounced(&self) -> u64 {
        self.bounced
    }

    /// Bytes written to files that the target used, of which it is not known that a flow of it made them dirty.
    pub(crate) fn unclaimed(&self) -> u64 {
        self.deferred.unclaimed()
    }

    /// An operation of a flow made bytes of its sink dirty.
    pub(crate) fn dirty(
        &mut self,
        flows: &mut Flows,
        overall: &mut Tally,
        sink: End,
        flow: FlowId,
        bytes: u64,
        began_ns: u64,
    ) {
        let Dirtied { written, waiting, lost } = self.deferred.dirty(sink.id, flow, bytes, began_ns);
        for tally in [Some(overall), flows.tally(flow)].into_iter().flatten() {
            tally.dirty = tally.dirty.saturating_add(waiting.into());
            put(tally, copies::deferred(sink.party.traits), written);
            put(tally, copies::NOT_SEEN, lost);
        }
    }

    /// An operation wrote bytes of its sink that had been dirty before.
    pub(crate) fn flush(
        &mut self,
        flows: &mut Flows,
        overall: &mut Tally,
        sink: End,
        bytes: u64,
        time_ns: u64,
    ) {
        if bytes > 0 {
            self.written(flows, overall, sink.id, copies::deferred(sink.party.traits), bytes, time_ns);
        }
    }

    /// An operation of a flow sends bytes to a socket.
    pub(crate) fn send(
        &mut self,
        flows: &mut Flows,
        overall: &mut Tally,
        sink: End,
        sender: Sender,
        bytes: u64,
    ) {
        let fetched = self.sent.send(sink.id, sender, bytes);
        for tally in [Some(overall), flows.tally(sender.flow)].into_iter().flatten() {
            put(tally, copies::transmitted(sender.from), fetched);
        }
    }

    /// Devices moved something.
    pub(crate) fn moved(
        &mut self,
        endpoints: &mut Endpoints,
        flows: &mut Flows,
        overall: &mut Tally,
        io: &DeviceIo,
    ) {
        let DeviceIo { of, time_ns, read_bytes, written_bytes } = *io;
        match of {
            DeviceIoOf::File(serial) => {
                let (id, traits) = endpoints.resolve(serial);
                if read_bytes > 0 {
                    let fetched = self.fetched.entry(id).or_insert(Fetched { bytes: 0, traits });
                    fetched.bytes = fetched.bytes.saturating_add(read_bytes);
                    if let Some(flow) = flows.newest_from(id) {
                        self.claim_fetched(flows, overall, id, flow);
                    }
                }
                if written_bytes > 0 {
                    self.written(flows, overall, id, copies::deferred(traits), written_bytes, time_ns);
                }
            }
            DeviceIoOf::Socket(serial) => {
                let (id, _) = endpoints.resolve(serial);
                let receiver = flows.newest_from(id).filter(|_| id > EndpointId::OTHERS);
                let receiver = receiver.map(|flow| Sender { flow, from: Place::Socket });
                self.sent.fetched(id, written_bytes, receiver, |Sender { flow, from }, bytes| {
                    for tally in [Some(&mut *overall), flows.tally(flow)].into_iter().flatten() {
                        put(tally, copies::transmitted(from), bytes);
                    }
                });
            }
            DeviceIoOf::Bounced => self.bounced = self.bounced.saturating_add(written_bytes),
            DeviceIoOf::OtherFile { dma } => {
                self.others.add(read_bytes, dma);
                self.others.add(written_bytes, dma);
            }
            DeviceIoOf::Metadata { dma } => {
                self.metadata.add(read_bytes, dma);
                self.metadata.add(written_bytes, dma);
            }
        }
    }

    fn written(
        &mut self,
        flows: &mut Flows,
        overall: &mut Tally,
        id: EndpointId,
        step: Step,
        bytes: u64,
        time_ns: u64,
    ) {
        self.deferred.write(id, bytes, time_ns, |flow, bytes| {
            for tally in [Some(&mut *overall), flows.tally(flow)].into_iter().flatten() {
                tally.dirty = tally.dirty.saturating_sub(bytes.into());
                put(tally, step, bytes);
            }
        });
    }

    /// What was fetched for a file belongs to a flow from it. What cannot be told apart stays outside.
    pub(crate) fn claim_fetched(
        &mut self,
        flows: &mut Flows,
        overall: &mut Tally,
        id: EndpointId,
        flow: FlowId,
    ) {
        if self.fetched.is_empty() || id <= EndpointId::OTHERS {
            return;
        }
        if let Some(Fetched { bytes, traits }) = self.fetched.remove(&id) {
            for tally in [Some(overall), flows.tally(flow)].into_iter().flatten() {
                put(tally, copies::fetched_apart(traits), bytes);
            }
        }
    }
}

/// Adds a step, if anything was moved.
fn put(tally: &mut Tally, step: Step, bytes: u64) {
    if bytes > 0 {
        tally.put(&Part { operations: 0, ..Part::of(step, bytes, bytes) });
    }
}
