//! From where to where an operation goes, by its kind and its descriptors.

use super::{
    copies::{self, Party},
    endpoint::EndpointKind,
    endpoints::{EndpointId, Endpoints},
    event::{CallKind, Serial, Side},
    method::{Delivery, Method, Origin},
};

/// One side of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) id: EndpointId,
    pub(crate) party: Party,
}

impl End {
    pub(crate) const USER: Self = Self { id: EndpointId::USER, party: Party::USER };

    fn of(endpoints: &mut Endpoints, side: Option<Side>) -> Self {
        let Side { serial, flags, .. } = side.unwrap_or(Side { fd: -1, serial: Serial(0), flags: 0 });
        let (id, traits) = endpoints.resolve(serial);
        Self { id, party: Party { traits, flags } }
    }

    /// The pipe that it is; many that are not told apart have no common content.
    pub(crate) fn pipe(self) -> Option<EndpointId> {
        (self.party.traits.kind == EndpointKind::Pipe && self.id != EndpointId::OTHERS).then_some(self.id)
    }
}

/// Which way an operation goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    IntoMemory(Origin),
    FromMemory(Delivery),
    InKernel(Method),
}

/// From where to where, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) source: End,
    pub(crate) sink: End,
    pub(crate) way: Way,
}

impl Path {
    /// From where to where an operation goes; `None` if it is not one.
    pub(crate) fn of(
        endpoints: &mut Endpoints,
        kind: CallKind,
        [source, sink]: [Option<Side>; 2],
        flags: u32,
    ) -> Option<Self> {
        let mut end = |side| End::of(endpoints, side);
        let path = |source, sink, way| Some(Self { source, sink, way });
        match kind {
            CallKind::Read => path(end(source), End::USER, Way::IntoMemory(Origin::Read)),
            CallKind::Receive => path(end(source), End::USER, Way::IntoMemory(Origin::Receive)),
            CallKind::Write => path(End::USER, end(sink), Way::FromMemory(Delivery::Write)),
            CallKind::Send => {
                let zerocopy = copies::asks_zerocopy(flags);
                let delivery = if zerocopy { Delivery::SendZerocopy } else { Delivery::Send };
                path(End::USER, end(sink), Way::FromMemory(delivery))
            }
            CallKind::Vmsplice => {
                let pipe = end(sink.or(source));
                if copies::vmsplice_writes(pipe.party.flags) {
                    path(End::USER, pipe, Way::FromMemory(Delivery::Vmsplice))
                } else {
                    path(pipe, End::USER, Way::IntoMemory(Origin::Vmsplice))
                }
            }
            CallKind::ProcessVmRead | CallKind::ProcessVmWrite => {
                path(End::USER, End::USER, Way::InKernel(Method::in_kernel(kind)?))
            }
            _ => path(end(source), end(sink), Way::InKernel(Method::in_kernel(kind)?)),
        }
    }
}
