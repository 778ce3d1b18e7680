//! Why what a call was made to spare was copied after all: each reason has a name that programs may rely on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{evidence::Evidence, part::Note};

/// Why bytes were copied by the CPU although the call asked for it not to be so.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// splice, sendfile: the source has no pages to give (a device, DAX), and is read into new ones.
    SourceGivesNoPages,
    /// splice, sendfile: the sink copied pages instead of taking references.
    SinkTakesNoPages,
    /// splice, sendfile into a file: its page cache takes no foreign pages.
    FileTakesNoPages,
    /// copy_file_range: the file system shared no extents.
    ExtentsNotShared,
    /// MSG_ZEROCOPY: whoever receives on the same machine makes the kernel copy.
    Loopback,
    /// MSG_ZEROCOPY: the kernel reports that it copied; why is not known.
    ReportedCopied,
    /// MSG_ZEROCOPY: the socket has no SO_ZEROCOPY.
    ZerocopyNotSet,
    /// The network device takes no packets in pieces (`ethtool -k`: scatter-gather).
    NoScatterGather,
    /// The network device computes no checksums (`ethtool -k`: tx-checksumming).
    NoChecksumOffload,
    /// sendfile, splice into a socket with TLS in the kernel, over a device that does not encrypt.
    KtlsWithoutOffload,
    /// O_DIRECT: done through the page cache, or not by a device.
    DirectDoneBuffered,
}

/// One reason, and how much was copied for it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fallback {
    /// The reason.
    pub reason: Reason,
    /// The same in words.
    pub text: String,
    /// Operations that copied for it.
    pub operations: u64,
    /// Bytes that the CPU copied for it.
    pub bytes: u64,
    /// How that is known: the weakest of its parts.
    pub evidence: Evidence,
}

impl Note {
    /// Of which reason it tells, if a copy with it was to be spared.
    pub(crate) fn reason(self) -> Option<Reason> {
        Some(match self {
            Self::CopyingSplice => Reason::SourceGivesNoPages,
            Self::FellBack => Reason::SinkTakesNoPages,
            Self::IntoFile => Reason::FileTakesNoPages,
            Self::NotReflinked => Reason::ExtentsNotShared,
            Self::LoopbackCopies | Self::LoopbackReported => Reason::Loopback,
            Self::ReportedCopied => Reason::ReportedCopied,
            Self::ZerocopyNotSet => Reason::ZerocopyNotSet,
            Self::NoScatterGather => Reason::NoScatterGather,
            Self::NoChecksumOffload => Reason::NoChecksumOffload,
            Self::EncryptedCopy => Reason::KtlsWithoutOffload,
            Self::NotDirect | Self::BufferedDespiteDirect => Reason::DirectDoneBuffered,
            Self::UnknownEndpoint
            | Self::DriverCopies
            | Self::DeviceNotKnown
            | Self::NotAccounted
            | Self::NoAccount
            | Self::WrittenBackLater
            | Self::Deferred
            | Self::DeferredDeviceNotKnown
            | Self::DeferredDriverCopies
            | Self::ReadAhead
            | Self::FetchedApart
            | Self::Transmitted
            | Self::FaultedIn
            | Self::Filled
            | Self::Discarded
            | Self::Peeked
            | Self::RouteNotKnown
            | Self::ZerocopyIfAsked
            | Self::SpecialFile
            | Self::MaybeReflinked
            | Self::Reflinked
            | Self::VmspliceCopies
            | Self::Encrypted
            | Self::EncryptedByCpu
            | Self::OnePiece
            | Self::ReportedByReference => return None,
        })
    }
}

/// What was copied by the CPU, by reason, as notes with operations, bytes and evidence; most bytes first.
pub(crate) fn list(copied: impl Iterator<Item = (Note, u64, u64, Evidence)>) -> Vec<Fallback> {
    let mut found: Vec<Fallback> = Vec::new();
    for (note, operations, bytes, evidence) in copied.filter(|(_, _, bytes, _)| *bytes > 0) {
        let Some(reason) = note.reason() else { continue };
        match found.iter_mut().find(|known| known.reason == reason) {
            Some(known) => {
                known.operations = known.operations.saturating_add(operations);
                known.bytes = known.bytes.saturating_add(bytes);
                known.evidence = known.evidence.max(evidence);
            }
            None => {
                found.push(Fallback { reason, text: note.text().to_owned(), operations, bytes, evidence });
            }
        }
    }
    found.sort_by_key(|fallback| (std::cmp::Reverse(fallback.bytes), fallback.reason));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_add_up_and_the_most_comes_first() {
        let copied = [
            (Note::LoopbackCopies, 1, 10, Evidence::Modelled),
            (Note::FellBack, 2, 50, Evidence::Measured),
            (Note::LoopbackReported, 3, 20, Evidence::Derived),
            (Note::Peeked, 9, 99, Evidence::Derived),
            (Note::NotDirect, 1, 0, Evidence::Modelled),
        ];
        let found = list(copied.into_iter());
        let figures: Vec<_> = found.iter().map(|f| (f.reason, f.operations, f.bytes, f.evidence)).collect();
        assert_eq!(
            figures,
            [
                (Reason::SinkTakesNoPages, 2, 50, Evidence::Measured),
                (Reason::Loopback, 4, 30, Evidence::Modelled),
            ]
        );
    }
}
