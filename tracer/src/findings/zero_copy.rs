//! Calls that are made to spare copies, and copied after all: sendfile(2), splice(2), copy_file_range(2), MSG_ZEROCOPY, O_DIRECT.
//!
//! Told with the reason of the flow's fallback. Not told where nothing else would have spared the copy: MSG_ZEROCOPY
//! to this machine (whoever receives makes the kernel copy: Documentation/networking/msg_zerocopy.rst, "Loopback"; the note of
//! the flow says so), TLS in the kernel (the copies are the encryption), copies into files on file systems that share no
//! extents, and bytes that come from a descriptor and go through the program (that is `read-write-relay`).

use std::net::SocketAddr;

use super::{AppliesTo, Figure, Finding, Saving, relay};
use crate::model::{
    endpoint::EndpointKind,
    evidence::Evidence,
    fallback::{Fallback, Reason},
    snapshot::{Flow, FlowEnd, Snapshot},
};

/// What to say of a reason.
struct Advice {
    reason: Reason,
    title: &'static str,
    advice: &'static str,
    applies: fn(&Flow) -> bool,
}

const ADVICE: [Advice; 9] = [
    Advice {
        reason: Reason::NoScatterGather,
        title: "zero-copy sending copied after all: the card takes no packets in pieces",
        advice: "Scatter-gather is off for the card (ethtool -k), so the CPU copies every packet together. If the card has it, \
                 ethtool -K DEVICE sg on; on virtual machines it depends on what is behind the card.",
        applies: |_| true,
    },
    Advice {
        reason: Reason::NoChecksumOffload,
        title: "zero-copy sending copied after all: the card computes no checksums",
        advice: "Checksums of sending are off for the card (ethtool -k), so the CPU computes them, on copies of the pages that may \
                 change. If the card has them, ethtool -K DEVICE tx on.",
        applies: |_| true,
    },
    Advice {
        reason: Reason::DirectDoneBuffered,
        title: "O_DIRECT that no device did: through the page cache, or from holes of the file",
        advice: "Holes of a sparse file are read from nowhere, and need no advice; where programs on function exits count, they \
                 are told apart. Else the file system does not do direct I/O of this file (data journalling, encryption, \
                 compression, data kept in the inode) or not at these offsets and lengths: statx(2) tells the alignment \
                 (STATX_DIOALIGN). Without O_DIRECT it costs the same and reads ahead.",
        applies: |_| true,
    },
    Advice {
        reason: Reason::ReportedCopied,
        title: "MSG_ZEROCOPY copied after all: the kernel reports so",
        advice: "The device that the packets leave by cannot send from the program's pages, or they were looped back or captured: \
                 see scatter-gather and checksums in ethtool -k. Without such a device a plain send costs less: it pins no pages \
                 and needs no notifications.",
        applies: sends_elsewhere,
    },
    Advice {
        reason: Reason::ZerocopyNotSet,
        title: "MSG_ZEROCOPY copied after all: the socket does not heed it",
        advice: "Set SO_ZEROCOPY on the socket first; without it the flag is ignored.",
        applies: sends_elsewhere,
    },
    Advice {
        reason: Reason::SourceGivesNoPages,
        title: "splice or sendfile copied after all: the source gives no pages",
        advice: "A source that is no regular file is read into new pages first: only pages of the page cache, of sockets and of pipes \
                 are passed by reference.",
        applies: |_| true,
    },
    Advice {
        reason: Reason::SinkTakesNoPages,
        title: "splice or sendfile copied after all: the sink takes no pages",
        advice: "The pages could not be passed by reference: TCP and unix stream sockets, and pipes, can take them.",
        applies: |flow| is_in_kernel(flow),
    },
    Advice {
        reason: Reason::FileTakesNoPages,
        title: "sendfile or splice copied after all: a file takes no pages",
        advice: "Both files are on a file system that shares extents: copy_file_range(2), or ioctl FICLONE, need not copy.",
        applies: could_share,
    },
    Advice {
        reason: Reason::ExtentsNotShared,
        title: "copy_file_range copied after all: no extents were shared",
        advice: "This file system shares extents of whole blocks: offsets and lengths must be multiples of its block size, and \
                 both files of the same kind (no swap file, both with checksums or none).",
        applies: could_share,
    },
];

pub(super) fn find(snapshot: &Snapshot) -> Vec<Finding> {
    snapshot.flows.iter().filter_map(of_flow).collect()
}

fn of_flow(flow: &Flow) -> Option<Finding> {
    if relay::is_relay(flow) || [&flow.source, &flow.sink].into_iter().any(is_tls) {
        return None;
    }
    let told = |fallback: &Fallback| {
        ADVICE.iter().find(|advice| advice.reason == fallback.reason && (advice.applies)(flow))
    };
    let copied = flow.fallbacks.iter().filter_map(|fallback| Some((told(fallback)?, fallback)));
    let (Advice { title, advice, .. }, fallback) = copied.max_by_key(|(_, fallback)| fallback.bytes)?;
    let mut figures = vec![
        Figure::new("payload", flow.payload_bytes, "bytes", flow.payload_evidence),
        Figure::new("copied after all", fallback.bytes, "bytes", fallback.evidence),
        Figure::new("operations that copied", fallback.operations, "calls", fallback.evidence),
    ];
    if let Some(zerocopy) = flow.zerocopy {
        figures.push(Figure::new(
            "sends that were not copied at once",
            zerocopy.sends,
            "calls",
            Evidence::Measured,
        ));
        figures.push(Figure::new("reported as copied", zerocopy.copied, "calls", Evidence::Measured));
    }
    Some(Finding {
        rule: "zero-copy-copied".to_owned(),
        title: (*title).to_owned(),
        advice: (*advice).to_owned(),
        applies_to: AppliesTo::flow(flow),
        figures,
        saving: Saving::new(fallback.bytes, 0),
        also: Vec::new(),
    })
}

fn is_in_kernel(flow: &Flow) -> bool {
    matches!(flow.method.as_str(), "sendfile" | "splice" | "copy_file_range")
}

fn is_tls(end: &FlowEnd) -> bool {
    end.address.as_deref().is_some_and(|address| address.contains("+tls"))
}

/// Whether it is known that the packets leave this machine, as far as addresses tell.
fn sends_elsewhere(flow: &Flow) -> bool {
    let ends = flow.sink.address.as_deref().and_then(|address| address.split_once(" → "));
    let Some((local, remote)) = ends else { return false };
    let local = local.rsplit(' ').next().and_then(|local| local.parse::<SocketAddr>().ok());
    let (Some(local), Ok(remote)) = (local, remote.parse::<SocketAddr>()) else { return false };
    let [local, remote] = [local, remote].map(|end| end.ip().to_canonical());
    !remote.is_loopback() && local != remote
}

/// Whether both are files of one file system that shares extents (`remap_file_range` of fs/xfs, fs/btrfs, fs/bcachefs).
fn could_share(flow: &Flow) -> bool {
    let files = [&flow.source, &flow.sink].map(|end| (end.kind == EndpointKind::File).then_some(end));
    let [Some(source), Some(sink)] = files else { return false };
    let shares = |end: &FlowEnd| matches!(end.file_system.as_deref(), Some("xfs" | "btrfs" | "bcachefs"));
    let device = |end: &FlowEnd| Some(end.id.as_deref()?.rsplit_once(':')?.0.to_owned());
    shares(source) && shares(sink) && device(source).is_some() && device(source) == device(sink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{export::samples, model::snapshot::Zerocopy};

    fn flow(method: &str, reason: Reason, sink: Option<&str>) -> Flow {
        let mut flow = Flow { method: method.to_owned(), ..samples::relay_flow() };
        let text = String::new();
        flow.fallbacks =
            vec![Fallback { reason, text, operations: 10, bytes: 256 << 20, evidence: Evidence::Measured }];
        match sink {
            Some(address) => flow.sink.address = Some(address.to_owned()),
            None => flow.sink = samples::file("/srv/copy"),
        }
        flow
    }

    const ELSEWHERE: &str = "tcp 10.0.0.1:80 → 10.0.0.2:4242";

    #[test]
    fn msg_zerocopy_to_another_machine() {
        let zerocopy = Zerocopy { sends: 10, copied: 9, by_reference: 1, not_reported: 0 };
        let flow = Flow {
            zerocopy: Some(zerocopy),
            ..flow("send(MSG_ZEROCOPY)", Reason::ReportedCopied, Some(ELSEWHERE))
        };
        let finding = of_flow(&flow).unwrap();
        assert_eq!(finding.saving, Saving::new(256 << 20, 0));
        assert!(finding.figures.iter().any(|figure| figure.value == Some(9)));
    }

    #[test]
    fn loopback_is_left_to_its_note() {
        for address in [
            "tcp 127.0.0.1:80 → 127.0.0.1:4242",
            "tcp [::1]:80 → [::1]:4242",
            "tcp 10.0.0.1:80 → 10.0.0.1:4242",
            "tcp [::ffff:127.0.0.1]:80 → [::ffff:127.0.0.1]:4242",
            "udp 10.0.0.1:80 (unconnected)",
            "tcp",
        ] {
            for reason in [Reason::ReportedCopied, Reason::ZerocopyNotSet, Reason::Loopback] {
                assert_eq!(of_flow(&flow("send(MSG_ZEROCOPY)", reason, Some(address))), None, "{address}");
            }
        }
    }

    #[test]
    fn pages_that_could_not_be_passed() {
        for reason in [Reason::SourceGivesNoPages, Reason::SinkTakesNoPages, Reason::NoScatterGather] {
            assert!(of_flow(&flow("splice", reason, Some(ELSEWHERE))).is_some(), "{reason:?}");
            assert_eq!(of_flow(&flow("splice", reason, Some("tcp+tls 10.0.0.1:1 → 10.0.0.2:2"))), None);
            assert_eq!(of_flow(&flow("read+write", reason, Some(ELSEWHERE))), None, "that is a relay");
        }
    }

    #[test]
    fn copies_into_files_are_told_where_extents_could_be_shared() {
        for (method, reason) in
            [("copy_file_range", Reason::ExtentsNotShared), ("sendfile", Reason::FileTakesNoPages)]
        {
            let mut flow = flow(method, reason, None);
            assert_eq!(of_flow(&flow), None, "ext4 shares nothing");
            flow.source.file_system = Some("xfs".to_owned());
            flow.sink.file_system = Some("xfs".to_owned());
            assert!(of_flow(&flow).is_some());
            flow.sink.id = Some("254:1:1234".to_owned());
            assert_eq!(of_flow(&flow), None, "another file system");
        }
    }

    #[test]
    fn the_reason_that_copied_most_is_told() {
        let mut flow = flow("send(MSG_ZEROCOPY)", Reason::ReportedCopied, Some(ELSEWHERE));
        let less = flow.fallbacks[0].clone();
        flow.fallbacks.push(Fallback { reason: Reason::NoScatterGather, bytes: 300 << 20, ..less });
        let finding = of_flow(&flow).unwrap();
        assert!(finding.title.contains("takes no packets in pieces"), "{}", finding.title);
        assert_eq!(finding.saving, Saving::new(300 << 20, 0));
        flow.fallbacks.clear();
        assert_eq!(of_flow(&flow), None);
    }
}
