//! What one operation moves, step by step, and how that is divided when its payload goes several ways.

use super::{
    endpoint::Place,
    evidence::Evidence,
    snapshot::{Copy, Mover},
};

/// Why a step is what it is, where that is not plain.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(crate) enum Note {
    /// The endpoint has no identity.
    UnknownEndpoint,
    /// Loop, ram and zram disks.
    DriverCopies,
    /// Bytes from storage, but not known by what kind of device.
    DeviceNotKnown,
    /// The storage accounts do not cover this file system.
    NotAccounted,
    /// There is no storage account of the call or request.
    NoAccount,
    /// Buffered writes.
    WrittenBackLater,
    /// Writeback that was seen when it happened.
    Deferred,
    /// The same, on a device of which it is not known.
    DeferredDeviceNotKnown,
    /// The same, on a disk without DMA.
    DeferredDriverCopies,
    /// Fetched although the call did not ask for it.
    ReadAhead,
    /// Fetched for the file outside of the flow's calls.
    FetchedApart,
    /// Packets that a network card fetched.
    Transmitted,
    /// What a direct call did not move directly.
    NotDirect,
    /// O_DIRECT that fetched nothing.
    BufferedDespiteDirect,
    /// Storage read while user memory was being read.
    FaultedIn,
    /// `/dev/zero` and the like.
    Filled,
    /// `/dev/null` and the like, and MSG_TRUNC.
    Discarded,
    /// MSG_PEEK.
    Peeked,
    /// The route of a socket is not known.
    RouteNotKnown,
    /// MSG_ZEROCOPY over loopback.
    LoopbackCopies,
    /// MSG_ZEROCOPY over a card.
    ZerocopyIfAsked,
    /// splice without a by-reference path.
    CopyingSplice,
    /// A driver or a made-up file answers.
    SpecialFile,
    /// sendfile or splice into a file.
    IntoFile,
    /// copy_file_range that copies: no extents are shared.
    NotReflinked,
    /// copy_file_range on a file system that shares extents.
    MaybeReflinked,
    /// copy_file_range that shared extents.
    Reflinked,
    /// vmsplice out of a pipe.
    VmspliceCopies,
    /// TLS in the kernel, over a device that may encrypt by itself.
    Encrypted,
    /// TLS in the kernel, over a device that does not.
    EncryptedByCpu,
    /// Pages that were passed to such a socket by reference.
    EncryptedCopy,
    /// What the CPU put together for a device that takes packets in one piece only.
    OnePiece,
    /// The same, of what was to be sent from where it lies.
    NoScatterGather,
    /// Pages that others may change, sent over a device that computes no checksums.
    NoChecksumOffload,
    /// What should have been passed by reference was copied.
    FellBack,
    /// MSG_ZEROCOPY over loopback, of which the kernel reported that it copied.
    LoopbackReported,
    /// MSG_ZEROCOPY of which the kernel reported that it copied.
    ReportedCopied,
    /// MSG_ZEROCOPY of which it reported that it did not.
    ReportedByReference,
    /// MSG_ZEROCOPY on a socket without SO_ZEROCOPY.
    ZerocopyNotSet,
}

impl Note {
    /// Whether it marks what reaches its device after the call.
    pub(crate) fn is_deferred(self) -> bool {
        matches!(self, Self::Deferred | Self::DeferredDeviceNotKnown | Self::DeferredDriverCopies)
    }

    /// The words that people see.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::UnknownEndpoint => "the endpoint could not be identified",
            Self::DriverCopies => "this disk's driver copies by CPU: no DMA",
            Self::DeviceNotKnown => "whether the device behind it does DMA is not known",
            Self::NoAccount => "the kernel keeps no account of what this was fetched from storage for",
            Self::NotAccounted => "the kernel's storage accounts do not cover this file system",
            Self::WrittenBackLater => "written back later: not seen here",
            Self::Deferred => "deferred: written back after the call, by whomever",
            Self::DeferredDeviceNotKnown => {
                "deferred: written back after the call; whether the device behind it does DMA is not known"
            }
            Self::DeferredDriverCopies => {
                "deferred: written back after the call; this disk's driver copies by CPU: no DMA"
            }
            Self::ReadAhead => "read ahead: more than the call had asked for, at least so much",
            Self::FetchedApart => {
                "fetched outside of the flow's calls: by page faults or read-ahead of the file"
            }
            Self::Transmitted => "packets of the socket, with headers, acknowledgements and retransmissions",
            Self::NotDirect => "O_DIRECT, but no device moved it: holes are filled, the rest is copied",
            Self::BufferedDespiteDirect => {
                "O_DIRECT, but nothing was fetched from storage: the file system served it by copying"
            }
            Self::FaultedIn => "fetched by page faults on the memory that the call read",
            Self::Filled => "the kernel fills the memory: no payload is copied",
            Self::Discarded => "the bytes are dropped: nothing is copied",
            Self::Peeked => "MSG_PEEK: copied, but still in the socket",
            Self::RouteNotKnown => "the route of the socket is not known",
            Self::LoopbackCopies => "MSG_ZEROCOPY: loopback copies after all",
            Self::ZerocopyIfAsked => "MSG_ZEROCOPY: if SO_ZEROCOPY is set and the driver can",
            Self::CopyingSplice => "falls back to a copying splice",
            Self::SpecialFile => "as its driver is expected to do",
            Self::IntoFile => "a file takes no pages by reference: the CPU copies them into its page cache",
            Self::NotReflinked => "copied after all: no extents were shared between the two files",
            Self::MaybeReflinked => "this file system may share the extents instead of copying",
            Self::Reflinked => "the file system shared the extents: nothing was copied",
            Self::VmspliceCopies => "vmsplice out of a pipe copies",
            Self::Encrypted => "kTLS: the CPU encrypts or decrypts on the way, unless the card does it",
            Self::EncryptedByCpu => "kTLS: the CPU encrypts on the way; the card does not do it",
            Self::EncryptedCopy => "kTLS without offload: the CPU encrypts the pages into others",
            Self::OnePiece => {
                "the card takes no packets in pieces (scatter-gather is off): the CPU copies each together once more"
            }
            Self::NoScatterGather => {
                "copied after all: the card takes no packets in pieces (scatter-gather is off)"
            }
            Self::NoChecksumOffload => {
                "copied after all: the card computes no checksums, and those of pages that may change are computed on a copy"
            }
            Self::FellBack => "should have been passed by reference, but was copied",
            Self::LoopbackReported => {
                "MSG_ZEROCOPY: the kernel reports that it copied after all: loopback does"
            }
            Self::ReportedCopied => "MSG_ZEROCOPY: the kernel reports that it copied after all",
            Self::ReportedByReference => "MSG_ZEROCOPY: the kernel reports that it did not copy",
            Self::ZerocopyNotSet => "MSG_ZEROCOPY: copied at once, as without SO_ZEROCOPY",
        }
    }
}

/// What moves from where to where, by whom: what flows add bytes up by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(crate) struct Step {
    pub(crate) from: Place,
    pub(crate) to: Place,
    /// `None`: not known.
    pub(crate) mover: Option<Mover>,
    /// `Unknown` if and only if the number of bytes is not known.
    pub(crate) evidence: Evidence,
    pub(crate) note: Option<Note>,
}

impl Step {
    /// Whether the bytes are known.
    pub(crate) fn is_known(self) -> bool {
        self.evidence != Evidence::Unknown
    }

    /// Whether a hook counted the bytes of a copy that the copy table tells as well.
    pub(crate) fn is_counted(self) -> bool {
        self.evidence == Evidence::Measured && matches!(self.mover, Some(Mover::Cpu | Mover::None))
    }

    /// As people see it, with that many bytes, and those that the copy table expected.
    pub(crate) fn with_bytes(self, bytes: u64, expected: u64) -> Copy {
        Copy {
            from: self.from,
            to: self.to,
            mover: self.mover,
            bytes: self.is_known().then_some(bytes),
            evidence: self.evidence,
            derived_bytes: self.is_counted().then_some(expected),
            note: self.note.map(|note| note.text().to_owned()),
        }
    }
}

/// A step and how much of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Part {
    pub(crate) step: Step,
    /// Bytes moved; where that is not known, the payload bytes for which it is not, so that an unknown part can be
    /// divided and add up like a known one.
    pub(crate) amount: u64,
    /// What the copy table makes of the return value: the same, unless a hook counted otherwise.
    pub(crate) expected: u64,
    /// Operations that made this step: one, but for those that were folded; divided with the bytes, so that each counts once.
    pub(crate) operations: u64,
}

impl Part {
    /// A step of one operation.
    pub(super) fn of(step: Step, amount: u64, expected: u64) -> Self {
        Self { step, amount, expected, operations: 1 }
    }

    /// Of a send with MSG_ZEROCOPY, now that of its `of` messages `copied` were reported as copied after all. That a
    /// message was not copied is certain of all its bytes; that it was is certain of one of its packets only (net/core/skbuff.c,
    /// `__msg_zerocopy_callback`: one that copied decides for all). A reason that is known stays.
    pub(super) fn judged(&self, copied: u32, of: u32) -> [Self; 2] {
        let by_cpu = proportion(self.amount, copied.into(), u64::from(of.max(copied)) + u64::from(of == 0));
        let part = |mover, evidence, note, amount, all: bool| {
            let step = Step { mover: Some(mover), evidence, note: Some(note), ..self.step };
            let operations = if all { self.operations } else { 0 };
            Self { step, amount, expected: amount, operations }
        };
        let by_cpu = if copied == of { self.amount } else { by_cpu };
        let why = match self.step.note {
            Some(known @ (Note::NoScatterGather | Note::NoChecksumOffload)) => known,
            Some(Note::LoopbackCopies) => Note::LoopbackReported,
            _ => Note::ReportedCopied,
        };
        [
            part(Mover::Cpu, Evidence::Modelled, why, by_cpu, copied > 0),
            part(
                Mover::None,
                Evidence::Derived,
                Note::ReportedByReference,
                self.amount - by_cpu,
                copied == 0,
            ),
        ]
    }
}

/// The most parts that one operation has: fetch, read ahead, bounce, pass on directly, copy, copy after all, put into one
/// piece, write back.
const PARTS: usize = 8;

/// The parts of one operation, in the order in which the bytes pass. No allocation: there is one per operation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    parts: [Option<Part>; PARTS],
}

impl Parts {
    /// Adds one. The table never makes more than there is room for; its tests go through all of it.
    pub(crate) fn push(&mut self, step: Step, amount: u64) {
        self.push_part(Part::of(step, amount, amount));
    }

    /// Adds one of which the amounts differ.
    pub(super) fn push_part(&mut self, part: Part) {
        let room = self.parts.iter_mut().find(|part| part.is_none());
        debug_assert!(room.is_some(), "an operation has at most {PARTS} parts");
        if let Some(room) = room {
            *room = Some(part);
        }
    }

    /// Adds one to the part of the same step, if there is such.
    pub(super) fn add(&mut self, part: Part) {
        match self.parts.iter_mut().flatten().find(|known| known.step == part.step) {
            Some(known) => {
                known.amount = known.amount.saturating_add(part.amount);
                known.expected = known.expected.saturating_add(part.expected);
                known.operations = known.operations.saturating_add(part.operations);
            }
            None => self.push_part(part),
        }
    }

    /// Says that it was so many operations that made them, all alike.
    pub(super) fn made_by(&mut self, operations: u64) {
        self.iter_mut().for_each(|part| part.operations = operations);
    }

    /// The parts, to be settled by what was counted.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        self.parts.iter_mut().flatten()
    }

    /// The parts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().flatten()
    }

    /// Takes the share of `bytes` out of `of` payload bytes that are left, and gives each taken part to `take`. Taking
    /// all that is left takes every amount whole, so nothing is lost to rounding.
    pub(crate) fn take(&mut self, bytes: u64, of: u64, mut take: impl FnMut(Part)) {
        for part in self.parts.iter_mut().flatten() {
            let share = |amount| if bytes >= of { amount } else { proportion(amount, bytes, of) };
            let Part { step, amount, expected, operations } = *part;
            let taken = Part {
                step,
                amount: share(amount),
                expected: share(expected),
                operations: share(operations),
            };
            part.amount -= taken.amount;
            part.expected -= taken.expected;
            part.operations -= taken.operations;
            take(taken);
        }
    }
}

/// `amount × bytes ÷ of`, rounded down; never more than `amount` as `bytes` < `of`.
pub(crate) fn proportion(amount: u64, bytes: u64, of: u64) -> u64 {
    let share = u128::from(amount) * u128::from(bytes) / u128::from(of.max(1));
    u64::try_from(share).unwrap_or(amount).min(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Step = Step {
        from: Place::PageCache,
        to: Place::User,
        mover: Some(Mover::Cpu),
        evidence: Evidence::Derived,
        note: None,
    };

    #[test]
    fn taking_piece_by_piece_takes_all() {
        let mut parts = Parts::default();
        parts.push(STEP, 1000);
        parts.push(Step { mover: Some(Mover::Dma), ..STEP }, u64::MAX);
        let (mut cpu, mut dma) = (0u64, 0u64);
        let mut left = 7;
        for bytes in [1, 2, 4] {
            parts.take(bytes, left, |part| match part.step.mover {
                Some(Mover::Cpu) => cpu += part.amount,
                _ => dma += part.amount,
            });
            left -= bytes;
        }
        assert_eq!((cpu, dma), (1000, u64::MAX));
        assert!(parts.iter().all(|part| part.amount == 0));
    }

    #[test]
    fn an_unknown_part_shows_no_bytes() {
        let unknown = Step { evidence: Evidence::Unknown, note: Some(Note::UnknownEndpoint), ..STEP };
        assert_eq!(unknown.with_bytes(5, 5).bytes, None);
        assert_eq!(STEP.with_bytes(5, 5).bytes, Some(5));
    }
}
