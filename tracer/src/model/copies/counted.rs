//! What hooks on the copying functions counted takes the place of what the copy table derived, wherever there is such a
//! hook. The derived figure stays beside it: where the two differ, the table or the hook is wrong, or the kernel did
//! something that the return value does not tell.

use super::{
    Act, CallKind, Counted, Derived, EndpointKind, Measured, Mover, Note, Parts, Place, Protocol, Storage,
    asks_zerocopy,
};
use crate::model::part::{Part, Step};

impl Act {
    /// Puts the counted figures in.
    pub(super) fn settle(&self, parts: &mut Parts) {
        let Some(counted) = self.counted else { return };
        let mut fell_back = None;
        for part in parts.iter_mut() {
            match (part.step.from, part.step.to, part.step.mover) {
                (Place::PageCache | Place::Socket | Place::Pipe, Place::User, Some(Mover::Cpu)) => {
                    match (part.step.note, self.copied_to_user(&counted, part.expected)) {
                        (Some(Note::NotDirect), Some(0)) => fill(part),
                        (_, copied) => replace(part, copied),
                    }
                }
                (Place::User, Place::Socket, _) if self.is_zerocopy() => self.settle_zerocopy(part, &counted),
                (Place::User, Place::PageCache | Place::Socket | Place::Pipe, Some(Mover::Cpu)) => {
                    replace(part, self.copied_from_user(&counted));
                }
                (_, Place::Socket | Place::Pipe, Some(Mover::Cpu))
                    if part.step.note == Some(Note::CopyingSplice) =>
                {
                    replace(part, self.sources.splice_copy.then_some(counted.to_pipe));
                }
                (Place::PageCache | Place::Socket | Place::Pipe, Place::PageCache, Some(Mover::Cpu)) => {
                    replace(part, self.copied_to_file(counted.to_file));
                }
                (Place::PageCache, Place::PageCache, None)
                    if part.step.note == Some(Note::MaybeReflinked) =>
                {
                    fell_back = self.settle_reflink(part, counted.to_file);
                }
                (_, Place::Socket, Some(Mover::None))
                    if self.sources.tcp_send && self.sink.traits.protocol == Protocol::Tcp =>
                {
                    fell_back = self.split_by_reference(part, counted.to_socket);
                }
                (Place::PageCache, Place::Pipe, Some(Mover::None)) if self.sources.splice_copy => {
                    fell_back = self.split_by_reference(part, counted.to_pipe);
                }
                _ => {}
            }
        }
        if let Some(part) = fell_back {
            parts.push_part(part);
        }
    }

    /// Into user memory: by the hook that stands on the way from such a source.
    fn copied_to_user(&self, counted: &Counted, expected: u64) -> Option<u64> {
        let Counted { to_user, .. } = *counted;
        let traits = self.source.traits;
        let stands = match (traits.kind, traits.storage, traits.protocol) {
            (EndpointKind::File, Storage::Memory, _) => self.sources.tmpfs_read,
            (
                EndpointKind::File | EndpointKind::BlockDevice,
                Storage::Block | Storage::ReflinkingIomap,
                _,
            ) => self.sources.file_read,
            (EndpointKind::File, ..) => self.sources.file_read,
            (EndpointKind::Socket, _, Protocol::Tcp | Protocol::Unix) => self.sources.socket_receive,
            // `decrypt` has it.
            (EndpointKind::Socket, _, Protocol::Tls) => false,
            // Where the kernel verifies a checksum while it copies, it goes round the hook (net/core/datagram.c,
            // `skb_copy_and_csum_datagram_msg`).
            (EndpointKind::Socket, ..) => self.sources.socket_receive && to_user >= expected,
            (EndpointKind::Pipe, ..) => self.sources.pipe_read && self.kind == CallKind::Read,
            _ => false,
        };
        stands.then_some(to_user)
    }

    fn copied_from_user(&self, counted: &Counted) -> Option<u64> {
        let Counted { from_user, .. } = *counted;
        let traits = self.sink.traits;
        let stands = match (traits.kind, traits.protocol) {
            (EndpointKind::File | EndpointKind::BlockDevice, _) => return self.copied_to_file(from_user),
            (EndpointKind::Socket, Protocol::Tcp) => self.sources.tcp_send,
            (EndpointKind::Socket, Protocol::Unix) => self.sources.unix_send,
            (EndpointKind::Socket, Protocol::Ip) => self.sources.udp_send,
            (EndpointKind::Pipe, _) => self.sources.pipe_write && self.kind == CallKind::Write,
            _ => false,
        };
        stands.then_some(from_user)
    }

    /// Into the page cache, of which `counted` bytes were seen.
    fn copied_to_file(&self, counted: u64) -> Option<u64> {
        let stands = match self.sink.traits.storage {
            Storage::Memory | Storage::Block => self.sources.file_write,
            Storage::ReflinkingIomap => self.sources.iomap_write,
            // Some have write paths of their own (btrfs, network file systems).
            Storage::Reflinking | Storage::Remote => {
                (self.sources.file_write || self.sources.iomap_write) && counted > 0
            }
        };
        stands.then_some(counted)
    }

    fn is_zerocopy(&self) -> bool {
        self.kind == CallKind::Send && asks_zerocopy(self.flags)
    }

    /// MSG_ZEROCOPY: what was copied at once was not asked for by SO_ZEROCOPY, or could not be pinned. That nothing was
    /// does not tell whether it is copied later.
    fn settle_zerocopy(&self, part: &mut Part, counted: &Counted) {
        let stands = self.sink.traits.protocol == Protocol::Tcp && self.sources.tcp_send;
        if stands && counted.from_user >= self.bytes {
            part.step = Step { mover: Some(Mover::Cpu), note: Some(Note::ZerocopyNotSet), ..part.step };
            replace(part, Some(counted.from_user));
        }
    }

    /// copy_file_range on a file system that may share extents: what did not arrive as a copy was shared.
    fn settle_reflink(&self, part: &mut Part, copied: u64) -> Option<Part> {
        if self.sink.is_direct() && !self.sees_requests() {
            // A copy would pass by this hook.
            return None;
        }
        let copied = self.copied_to_file(copied)?.min(part.amount);
        let counted = Step { evidence: Measured, note: None, ..part.step };
        part.step = Step { mover: Some(Mover::None), note: Some(Note::Reflinked), ..counted };
        part.amount -= copied;
        // The table does not say which of the two it is: neither figure disagrees.
        part.expected = part.amount;
        let step = Step { mover: Some(Mover::Cpu), note: Some(Note::NotReflinked), ..counted };
        (copied > 0).then_some(Part::of(step, copied, copied))
    }

    /// What should have been taken by reference: less what was copied after all.
    fn split_by_reference(&self, part: &mut Part, copied: u64) -> Option<Part> {
        if !matches!(self.kind, CallKind::Sendfile | CallKind::Splice) {
            return None;
        }
        let copied = copied.min(part.amount);
        part.step.evidence = Measured;
        part.amount -= copied;
        let step = Step { mover: Some(Mover::Cpu), note: Some(Note::FellBack), ..part.step };
        (copied > 0).then_some(Part::of(step, copied, 0))
    }
}

/// What neither a device moved nor the page cache gave to a direct read are holes of the file (fs/iomap/direct-io.c,
/// `iomap_dio_hole_iter`).
fn fill(part: &mut Part) {
    let filled =
        Step { from: Place::Device, mover: Some(Mover::None), note: Some(Note::Filled), ..part.step };
    *part = Part::of(Step { evidence: Derived, ..filled }, 0, 0);
}

/// The counted figure, if there is one. A hook that saw nothing of a copy does not stand on its way: file systems have
/// read and write paths of their own (DAX, hugetlbfs, passthrough). That nothing was copied is not what it says.
fn replace(part: &mut Part, counted: Option<u64>) {
    if let Some(counted) = counted.filter(|counted| *counted > 0) {
        part.amount = counted;
        part.step.evidence = Measured;
        if part.step.note == Some(Note::NotDirect) {
            // Of what no device moved, the table cannot tell what was copied from holes that were filled.
            part.expected = counted;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Evidence, Party, Sources, Traits};
    use super::*;
    use crate::model::testing;

    const N: u64 = 65_536;

    fn file() -> Party {
        Party { traits: Traits::of(&testing::file(1, "ext4", Some(true))), flags: 0 }
    }

    fn tcp() -> Party {
        Party { traits: Traits::of(&testing::loopback(2)), flags: 0 }
    }

    fn act(kind: CallKind, source: Party, sink: Party, counted: Counted) -> Act {
        let counted = Some(counted);
        let asked = Some(N);
        Act {
            kind,
            source,
            sink,
            flags: 0,
            bytes: N,
            asked,
            storage_read: Some(0),
            storage_written: Some(0),
            pinned: None,
            counted,
            is_request: false,
            sources: Sources::ALL,
        }
    }

    /// From, to, mover, bytes, expected by the table, evidence.
    fn cpu_rows(act: Act) -> Vec<(Place, Place, Option<Mover>, u64, u64, Evidence)> {
        let parts = act.parts();
        let rows = parts.iter().filter(|part| part.step.mover != Some(Mover::Dma));
        rows.map(|part| {
            let Step { from, to, mover, evidence, .. } = part.step;
            (from, to, mover, part.amount, part.expected, evidence)
        })
        .collect()
    }

    #[test]
    fn a_counted_copy_is_measured() {
        let counted = Counted { to_user: N, ..Counted::NONE };
        let rows = cpu_rows(act(CallKind::Read, file(), Party::USER, counted));
        assert_eq!(rows, [(Place::PageCache, Place::User, Some(Mover::Cpu), N, N, Measured)]);
    }

    #[test]
    fn without_a_hook_it_stays_derived() {
        let counted = Counted { to_user: N, ..Counted::NONE };
        let act = Act { sources: Sources::NONE, ..act(CallKind::Read, file(), Party::USER, counted) };
        assert_eq!(cpu_rows(act)[0].5, Derived);
        let in_flight = Act { counted: None, sources: Sources::ALL, ..act };
        assert_eq!(cpu_rows(in_flight)[0].5, Derived);
    }

    #[test]
    fn of_a_request_only_the_copies_are_counted() {
        let plain = Act {
            is_request: true,
            counted: None,
            ..act(CallKind::Read, file(), Party::USER, Counted::NONE)
        };
        let counted = Act { counted: Some(Counted { to_user: N, ..Counted::NONE }), ..plain };
        assert_eq!(cpu_rows(plain)[0].5, Derived);
        assert_eq!(cpu_rows(counted)[0].5, Measured);
        let by_devices = |act: Act| {
            let parts = act.parts();
            parts.iter().filter(|part| part.step.mover == Some(Mover::Dma)).copied().collect::<Vec<_>>()
        };
        assert_eq!(by_devices(counted), by_devices(plain), "what devices move its counts do not hold");
    }

    #[test]
    fn both_figures_stay_where_they_differ() {
        let counted = Counted { from_user: N - 100, ..Counted::NONE };
        let rows = cpu_rows(act(CallKind::Write, Party::USER, tcp(), counted));
        assert_eq!(rows, [(Place::User, Place::Socket, Some(Mover::Cpu), N - 100, N, Measured)]);
    }

    #[test]
    fn a_sendfile_that_copied_after_all() {
        let none = cpu_rows(act(CallKind::Sendfile, file(), tcp(), Counted::NONE));
        assert_eq!(none, [(Place::PageCache, Place::Socket, Some(Mover::None), N, N, Measured)]);
        let counted = Counted { to_socket: 1000, ..Counted::NONE };
        let rows = cpu_rows(act(CallKind::Sendfile, file(), tcp(), counted));
        let cpu = (Place::PageCache, Place::Socket, Some(Mover::Cpu), 1000, 0, Measured);
        assert_eq!(rows, [(Place::PageCache, Place::Socket, Some(Mover::None), N - 1000, N, Measured), cpu]);
    }

    #[test]
    fn a_direct_read_of_a_hole_copies_nothing() {
        let direct = Party { flags: super::super::O_DIRECT, ..file() };
        let read = |to_user| act(CallKind::Read, direct, Party::USER, Counted { to_user, ..Counted::NONE });
        let filled = (Place::Device, Place::User, Some(Mover::None), 0, 0, Derived);
        assert_eq!(cpu_rows(read(0)), [filled]);
        let copied = (Place::PageCache, Place::User, Some(Mover::Cpu), N, N, Measured);
        assert_eq!(cpu_rows(read(N)), [copied]);
        let no_hook = Act { sources: Sources { file_read: false, ..Sources::ALL }, ..read(0) };
        assert_eq!(cpu_rows(no_hook)[0].5, Evidence::Modelled, "a hole, or a copy");
    }

    #[test]
    fn zerocopy_without_the_socket_option() {
        let flags = super::super::MSG_ZEROCOPY;
        let counted = Counted { from_user: N, ..Counted::NONE };
        let at_once = Act { flags, ..act(CallKind::Send, Party::USER, tcp(), counted) };
        assert_eq!(cpu_rows(at_once), [(Place::User, Place::Socket, Some(Mover::Cpu), N, N, Measured)]);
        let pinned = Act { counted: Some(Counted::NONE), ..at_once };
        assert_eq!(cpu_rows(pinned)[0].5, Evidence::Modelled, "what happens later is not seen here");
    }

    #[test]
    fn copies_between_files() {
        let counted = Counted { to_file: N, ..Counted::NONE };
        let rows = cpu_rows(act(CallKind::CopyFileRange, file(), file(), counted));
        assert_eq!(rows, [(Place::PageCache, Place::PageCache, Some(Mover::Cpu), N, N, Measured)]);
    }

    #[test]
    fn what_copies_after_all_says_why() {
        let why = |act: Act| {
            let parts = act.parts();
            parts.iter().find(|part| part.step.mover == Some(Mover::Cpu)).and_then(|part| part.step.note)
        };
        let counted = Counted { to_file: N, to_socket: N, ..Counted::NONE };
        let xfs = Party { traits: Traits::of(&testing::file(1, "xfs", Some(true))), flags: 0 };
        for (kind, source, sink, note) in [
            (CallKind::Sendfile, file(), file(), Note::IntoFile),
            (CallKind::Splice, file(), file(), Note::IntoFile),
            (CallKind::CopyFileRange, file(), file(), Note::NotReflinked),
            (CallKind::CopyFileRange, xfs, xfs, Note::NotReflinked),
            (CallKind::Sendfile, file(), tcp(), Note::FellBack),
        ] {
            assert_eq!(why(act(kind, source, sink, counted)), Some(note), "{kind:?}");
        }
        let derived =
            Act { sources: Sources::NONE, ..act(CallKind::Sendfile, file(), file(), Counted::NONE) };
        assert_eq!(why(derived), Some(Note::IntoFile), "also where no hook counts");
        assert_eq!(why(act(CallKind::Sendfile, file(), tcp(), Counted::NONE)), None);
    }

    #[test]
    fn copy_file_range_that_shares_extents() {
        let xfs = Party { traits: Traits::of(&testing::file(1, "xfs", Some(true))), flags: 0 };
        let (cache, none, cpu) = (Place::PageCache, Some(Mover::None), Some(Mover::Cpu));
        let shared = act(CallKind::CopyFileRange, xfs, xfs, Counted::NONE);
        assert_eq!(cpu_rows(shared), [(cache, cache, none, N, N, Measured)]);
        let copied = act(CallKind::CopyFileRange, xfs, xfs, Counted { to_file: N, ..Counted::NONE });
        assert_eq!(
            cpu_rows(copied),
            [(cache, cache, none, 0, 0, Measured), (cache, cache, cpu, N, N, Measured)]
        );
        let unknown = Act { sources: Sources::NONE, ..copied };
        assert_eq!(cpu_rows(unknown)[0].5, Evidence::Unknown);
    }

    #[test]
    fn a_hook_that_a_path_goes_round_counts_nothing() {
        let udp = testing::socket(3, "inet", "udp", Some(true), Some(false));
        let udp = Party { traits: Traits::of(&udp), flags: 0 };
        let cpu = Some(Mover::Cpu);
        let rows = cpu_rows(act(CallKind::Receive, udp, Party::USER, Counted::NONE));
        assert_eq!(rows, [(Place::Socket, Place::User, cpu, N, N, Derived)]);
        // A file on DAX does not pass filemap_read.
        let rows = cpu_rows(act(CallKind::Read, file(), Party::USER, Counted::NONE));
        assert_eq!(rows, [(Place::PageCache, Place::User, cpu, N, N, Derived)]);
    }
}
