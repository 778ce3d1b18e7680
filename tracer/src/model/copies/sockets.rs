//! The rows of the copy table for sockets: what is sent and received, on its way between the program and the wire.

use super::{
    Act, CallKind, EndpointKind, Mover, Note, Offloads, Parts, Party, Place, Protocol, Route, Step, Traits,
    asks_zerocopy, transmitted,
};
use super::{Derived, Measured, Modelled};

impl Act {
    /// Packets that came in.
    pub(super) fn wire_in(&self, parts: &mut Parts, socket: Party) {
        match socket.traits.route {
            Route::Local | Route::Virtual => {}
            Route::Card => self.put(parts, Place::Device, Place::Socket, Mover::Dma, Modelled, None),
            Route::Unknown => {
                self.unknown(parts, Place::Device, Place::Socket, Some(Mover::Dma), Note::RouteNotKnown);
            }
        }
    }

    /// Packets that go out from where they rest.
    pub(super) fn wire_out(&self, parts: &mut Parts, from: Place, socket: Party) {
        match socket.traits.route {
            Route::Local | Route::Virtual => {}
            // They are counted when they go.
            Route::Card | Route::Unknown if self.sources.network => {
                if self.bytes > 0 {
                    parts.push(transmitted(from), 0);
                }
            }
            Route::Card => self.put(parts, from, Place::Device, Mover::Dma, Modelled, None),
            Route::Unknown => self.unknown(parts, from, Place::Device, Some(Mover::Dma), Note::RouteNotKnown),
        }
    }

    /// Where packets that it sent are fetched from by a card, if they may be and that is seen.
    pub(crate) fn transmits(&self, parts: &Parts) -> Option<Place> {
        let Traits { kind, route, .. } = self.sink.traits;
        let by_card = self.sources.network && matches!(route, Route::Card | Route::Unknown);
        if kind != EndpointKind::Socket || !by_card {
            return None;
        }
        let sent = parts.iter().find(|part| part.step.note == Some(Note::Transmitted));
        Some(sent.map_or(Place::Socket, |part| part.step.from))
    }

    /// TCP hands pages on as if every device gathered and computed checksums (net/core/sock.c, `sk_setup_caps`), and what a device
    /// cannot is made up for by a copy of each packet on its way (net/core/dev.c, `validate_xmit_skb`; net/core/skbuff.c,
    /// `skb_segment`): of any, if the device does not gather; of pages that others may change (`SKBFL_SHARED_FRAG`), if it computes
    /// no checksums. Returns where the device fetches from, of bytes that rest in `from`.
    pub(super) fn put_together(&self, parts: &mut Parts, from: Place, by_reference: bool) -> Place {
        let Traits { protocol, offloads, .. } = self.sink.traits;
        let note = match offloads {
            _ if !matches!(protocol, Protocol::Tcp | Protocol::Tls) => return from,
            Some(Offloads { gathers: false, .. }) if by_reference => Note::NoScatterGather,
            Some(Offloads { gathers: false, .. }) => Note::OnePiece,
            Some(Offloads { checksums: false, .. }) if by_reference => Note::NoChecksumOffload,
            Some(_) | None => return from,
        };
        self.put(parts, Place::Socket, Place::Socket, Mover::Cpu, Modelled, Some(note));
        Place::Socket
    }

    /// UDP asks the device first, and copies at once for one that cannot (net/ipv4/ip_output.c, `__ip_append_data`).
    fn refuses_pages(&self) -> Option<Note> {
        match self.sink.traits.offloads? {
            _ if self.sink.traits.protocol != Protocol::Ip => None,
            Offloads { gathers: false, .. } => Some(Note::NoScatterGather),
            Offloads { checksums: false, .. } => Some(Note::NoChecksumOffload),
            Offloads { .. } => None,
        }
    }

    /// What TLS in the kernel does on the way out, where the device's part in it is known.
    pub(super) fn encryption(&self, by_reference: bool) -> Note {
        match self.sink.traits.offloads {
            Some(Offloads { encrypts: false, .. }) if by_reference => Note::EncryptedCopy,
            Some(Offloads { encrypts: false, .. }) => Note::EncryptedByCpu,
            Some(_) | None => Note::Encrypted,
        }
    }

    /// Decrypts what TLS in the kernel received: right into user memory, or first into pages of its own, which are then copied
    /// (net/tls/tls_sw.c, `tls_sw_recvmsg`: of TLS 1.3, or where not the whole record is asked for). The copy is counted.
    pub(super) fn decrypt(&self, parts: &mut Parts) {
        let (socket, user) = (Place::Socket, Place::User);
        let counted = self.counted.filter(|_| self.sources.socket_receive);
        let copied = counted.map_or(0, |counted| counted.to_user.min(self.received()));
        let step = Step {
            from: socket,
            to: user,
            mover: Some(Mover::Cpu),
            evidence: Modelled,
            note: Some(Note::Encrypted),
        };
        if copied < self.received() {
            parts.push(step, self.received() - copied);
        }
        if copied > 0 {
            parts.push(Step { to: socket, ..step }, copied);
            parts.push(Step { evidence: Measured, note: None, ..step }, copied);
        }
    }

    pub(super) fn send(&self, parts: &mut Parts) {
        let (user, socket) = (Place::User, Place::Socket);
        let Traits { protocol, route, .. } = self.sink.traits;
        // Without SO_ZEROCOPY support the flag is ignored (net/ipv4/tcp.c, tcp_sendmsg_locked; af_unix has none).
        let zerocopy = self.kind == CallKind::Send
            && asks_zerocopy(self.flags)
            && self.pinned != Some(false)
            && matches!(protocol, Protocol::Tcp | Protocol::Ip);
        let note = (self.pinned == Some(false)).then_some(Note::ZerocopyNotSet);
        let refused = self.refuses_pages();
        match (zerocopy, route) {
            _ if protocol == Protocol::Tls => {
                // net/tls/tls_sw.c, tls_sw_sendmsg_locked: from user memory into records of its own, encrypted.
                self.put(parts, user, socket, Mover::Cpu, Modelled, Some(self.encryption(false)));
                let rests = self.put_together(parts, socket, false);
                self.wire_out(parts, rests, self.sink);
            }
            (false, _) => {
                self.put(parts, user, socket, Mover::Cpu, Derived, note);
                let rests = self.put_together(parts, socket, false);
                self.wire_out(parts, rests, self.sink);
            }
            // net/core/skbuff.c, skb_orphan_frags_rx: whoever receives on this machine makes it copy.
            (true, Route::Local) => {
                self.put(parts, user, socket, Mover::Cpu, Modelled, Some(Note::LoopbackCopies));
            }
            (true, Route::Card) if refused.is_some() => {
                self.put(parts, user, socket, Mover::Cpu, Modelled, refused);
                self.wire_out(parts, socket, self.sink);
            }
            (true, Route::Card) => {
                self.put(parts, user, socket, Mover::None, Modelled, Some(Note::ZerocopyIfAsked));
                let rests = self.put_together(parts, user, true);
                self.wire_out(parts, rests, self.sink);
            }
            (true, Route::Virtual | Route::Unknown) => {
                self.unknown(parts, user, socket, None, Note::RouteNotKnown);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sources;
    use super::*;
    use crate::model::{event::Counted, testing};

    const N: u64 = 65_536;
    const ALL: Offloads = Offloads { gathers: true, checksums: true, encrypts: true };
    const NO_GATHERING: Offloads = Offloads { gathers: false, ..ALL };
    const NO_CHECKSUMS: Offloads = Offloads { checksums: false, ..ALL };
    const NO_ENCRYPTION: Offloads = Offloads { encrypts: false, ..ALL };

    /// A socket whose packets leave by a card.
    fn card(protocol: &str, offloads: Option<Offloads>) -> Party {
        let mut endpoint = testing::socket(5, "inet", protocol, Some(false), Some(true));
        if let Some(socket) = &mut endpoint.socket {
            socket.offloads = offloads;
        }
        Party { traits: Traits::of(&endpoint), flags: 0 }
    }

    fn disk() -> Party {
        Party { traits: Traits::of(&testing::file(1, "ext4", Some(true))), flags: 0 }
    }

    fn act(kind: CallKind, source: Party, sink: Party, flags: u32) -> Act {
        Act {
            kind,
            source,
            sink,
            flags,
            bytes: N,
            asked: Some(N),
            storage_read: Some(0),
            storage_written: Some(0),
            pinned: None,
            counted: None,
            is_request: false,
            sources: Sources::NONE,
        }
    }

    fn send(sink: Party, flags: u32) -> Act {
        act(CallKind::Send, Party::USER, sink, flags)
    }

    /// From, to, bytes and why, of what the CPU copies.
    fn copied(act: Act) -> Vec<(Place, Place, u64, Option<Note>)> {
        let parts = act.parts();
        let by_cpu = parts.iter().filter(|part| part.step.mover == Some(Mover::Cpu));
        by_cpu.map(|part| (part.step.from, part.step.to, part.amount, part.step.note)).collect()
    }

    #[test]
    fn a_card_that_does_not_gather_gets_everything_in_one_piece() {
        let (user, socket) = (Place::User, Place::Socket);
        let tcp = card("tcp", Some(NO_GATHERING));
        let sent = (user, socket, N, None);
        assert_eq!(copied(send(tcp, 0)), [sent, (socket, socket, N, Some(Note::OnePiece))]);
        let together = (socket, socket, N, Some(Note::NoScatterGather));
        assert_eq!(copied(send(tcp, super::super::MSG_ZEROCOPY)), [together]);
        let sendfile = act(CallKind::Sendfile, disk(), tcp, 0);
        assert_eq!(copied(sendfile), [together]);
        let seen = Act { sources: Sources::ALL, counted: Some(Counted::NONE), ..sendfile };
        assert_eq!(seen.transmits(&seen.parts()), Some(socket), "the card fetches the copy");
        for offloads in [None, Some(ALL)] {
            assert_eq!(copied(send(card("tcp", offloads), 0)), [sent]);
            assert_eq!(copied(act(CallKind::Sendfile, disk(), card("tcp", offloads), 0)), []);
        }
    }

    #[test]
    fn checksums_of_foreign_pages_are_computed_on_a_copy() {
        let tcp = card("tcp", Some(NO_CHECKSUMS));
        let sent = (Place::User, Place::Socket, N, None);
        assert_eq!(copied(send(tcp, 0)), [sent], "nobody else changes what was copied");
        let copy = (Place::Socket, Place::Socket, N, Some(Note::NoChecksumOffload));
        assert_eq!(copied(send(tcp, super::super::MSG_ZEROCOPY)), [copy]);
        assert_eq!(copied(act(CallKind::Splice, disk(), tcp, 0)), [copy]);
    }

    #[test]
    fn udp_asks_the_card_first() {
        let flags = super::super::MSG_ZEROCOPY;
        for (offloads, why) in
            [(NO_GATHERING, Note::NoScatterGather), (NO_CHECKSUMS, Note::NoChecksumOffload)]
        {
            let copy = (Place::User, Place::Socket, N, Some(why));
            assert_eq!(copied(send(card("udp", Some(offloads)), flags)), [copy]);
        }
        assert_eq!(copied(send(card("udp", Some(ALL)), flags)), []);
        let plain = (Place::User, Place::Socket, N, None);
        assert_eq!(copied(send(card("udp", Some(NO_GATHERING)), 0)), [plain]);
    }

    #[test]
    fn who_encrypts() {
        for (offloads, written, passed) in [
            (Some(NO_ENCRYPTION), Note::EncryptedByCpu, Note::EncryptedCopy),
            (Some(ALL), Note::Encrypted, Note::Encrypted),
            (None, Note::Encrypted, Note::Encrypted),
        ] {
            let tls = card("tcp+tls", offloads);
            assert_eq!(copied(send(tls, 0)), [(Place::User, Place::Socket, N, Some(written))]);
            let sendfile = act(CallKind::Sendfile, disk(), tls, 0);
            assert_eq!(copied(sendfile), [(Place::PageCache, Place::Socket, N, Some(passed))]);
        }
    }

    #[test]
    fn what_is_decrypted_apart_is_copied_as_well() {
        let (socket, user) = (Place::Socket, Place::User);
        let read = act(CallKind::Read, card("tcp+tls", None), Party::USER, 0);
        let decrypted = |to, bytes| (socket, to, bytes, Some(Note::Encrypted));
        assert_eq!(copied(read), [decrypted(user, N)]);
        let counting = |to_user| Act {
            sources: Sources::ALL,
            counted: Some(Counted { to_user, ..Counted::NONE }),
            ..read
        };
        assert_eq!(copied(counting(0)), [decrypted(user, N)], "right into user memory");
        let copy = |bytes| (socket, user, bytes, None);
        assert_eq!(copied(counting(N)), [decrypted(socket, N), copy(N)]);
        let in_part = [decrypted(user, N - 100), decrypted(socket, 100), copy(100)];
        assert_eq!(copied(counting(100)), in_part);
        let evidence: Vec<_> = counting(N).parts().iter().map(|part| part.step.evidence).collect();
        assert!(evidence.contains(&Measured) && evidence.contains(&Modelled));
    }
}
