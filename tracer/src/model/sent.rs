//! Whose the packets are that network cards fetch from sockets: per socket, what its flows sent stands in a queue, and
//! each byte that a card fetched takes one out. Cards fetch more than was sent: headers, acknowledgements and
//! retransmissions; these belong to the flow that was served last.

use std::collections::VecDeque;

use super::{endpoint::Place, endpoints::EndpointId, flow::FlowId, hash::HashMap};

/// Most portions in the queue of one socket; what is beyond is told to the last one.
const MOST_PORTIONS: usize = 1024;

/// A flow, and where the card fetches its bytes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sender {
    pub(crate) flow: FlowId,
    pub(crate) from: Place,
}

/// One socket.
#[derive(Debug, Default)]
struct Socket {
    waiting: VecDeque<(Sender, u64)>,
    last: Option<Sender>,
    /// Bytes that were fetched before any flow was known to send.
    ahead: u64,
}

/// All sockets.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    sockets: HashMap<EndpointId, Socket>,
}

impl Sent {
    /// Bytes fetched of which it is not known which flow sent them.
    pub(crate) fn unclaimed(&self) -> u64 {
        self.sockets.values().fold(0, |sum, socket| sum.saturating_add(socket.ahead))
    }

    /// A flow sends bytes to a socket; returns how many are fetched already.
    pub(crate) fn send(&mut self, id: EndpointId, sender: Sender, bytes: u64) -> u64 {
        let socket = self.sockets.entry(id).or_default();
        let is_full = socket.waiting.len() >= MOST_PORTIONS;
        match socket.waiting.back_mut() {
            Some((last, waiting)) if *last == sender || is_full => *waiting = waiting.saturating_add(bytes),
            _ => socket.waiting.push_back((sender, bytes)),
        }
        let fetched = std::mem::take(&mut socket.ahead);
        self.fetched(id, fetched, None, |_, _| {});
        fetched
    }

    /// A card fetched bytes from a socket: gives each to who sent it. A socket that only receives sends acknowledgements:
    /// these are `receiver`'s, if there is one.
    pub(crate) fn fetched(
        &mut self,
        id: EndpointId,
        bytes: u64,
        receiver: Option<Sender>,
        mut claim: impl FnMut(Sender, u64),
    ) {
        let socket = self.sockets.entry(id).or_default();
        let mut left = bytes;
        while left > 0
            && let Some((sender, waiting)) = socket.waiting.front_mut()
        {
            let taken = left.min(*waiting);
            (left, *waiting) = (left - taken, *waiting - taken);
            socket.last = Some(*sender);
            claim(*sender, taken);
            if *waiting == 0 {
                socket.waiting.pop_front();
            }
        }
        match socket.last.or(receiver) {
            Some(last) if left > 0 => claim(last, left),
            Some(_) => {}
            None => socket.ahead = socket.ahead.saturating_add(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{
        flow::{FlowKey, Flows},
        method::Method,
    };

    const SOCKET: EndpointId = EndpointId::OTHERS;

    fn senders<const N: usize>() -> [Sender; N] {
        let mut flows = Flows::new(N);
        std::array::from_fn(|pid| {
            let pid = u32::try_from(pid).unwrap_or(0);
            let key = FlowKey { pid, source: EndpointId::USER, sink: SOCKET, method: Method::Tee };
            Sender { flow: flows.open(key), from: Place::Socket }
        })
    }

    fn fetched(sent: &mut Sent, bytes: u64) -> Vec<(Sender, u64)> {
        let mut claims = Vec::new();
        sent.fetched(SOCKET, bytes, None, |sender, bytes| claims.push((sender, bytes)));
        claims
    }

    #[test]
    fn packets_belong_to_who_sent_first_and_headers_to_who_sent_last() {
        let [one, two] = senders();
        let mut sent = Sent::default();
        assert_eq!(fetched(&mut sent, 66), []);
        assert_eq!(sent.unclaimed(), 66);
        assert_eq!(sent.send(SOCKET, one, 1000), 66);
        assert_eq!(sent.unclaimed(), 0);
        assert_eq!(sent.send(SOCKET, two, 100), 0);
        assert_eq!(fetched(&mut sent, 1000), [(one, 934), (two, 66)]);
        assert_eq!(fetched(&mut sent, 166), [(two, 34), (two, 132)]);
    }

    #[test]
    fn acknowledgements_belong_to_who_receives() {
        let [receiver, sender] = senders();
        let mut sent = Sent::default();
        let mut claims = Vec::new();
        sent.fetched(SOCKET, 66, Some(receiver), |sender, bytes| claims.push((sender, bytes)));
        sent.send(SOCKET, sender, 1);
        sent.fetched(SOCKET, 67, Some(receiver), |sender, bytes| claims.push((sender, bytes)));
        assert_eq!(claims, [(receiver, 66), (sender, 1), (sender, 66)]);
    }

    proptest! {
        #[test]
        fn bytes_are_conserved(steps in prop::collection::vec((0usize..3, any::<bool>(), 0u64..5000), 0..200)) {
            let all: [Sender; 3] = senders();
            let mut sent = Sent::default();
            let (mut claimed, mut put) = (0, 0);
            for (number, sends, bytes) in steps {
                if sends {
                    claimed += sent.send(SOCKET, all[number], bytes);
                } else {
                    put += bytes;
                    sent.fetched(SOCKET, bytes, None, |_, bytes| claimed += bytes);
                }
                prop_assert_eq!(claimed + sent.unclaimed(), put);
            }
        }
    }
}
