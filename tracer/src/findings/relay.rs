//! Bytes that are read into the program's memory only to be written elsewhere: sendfile(2), splice(2), copy_file_range(2).
//!
//! Not told: bytes that the program changes (reads and writes are then not joined), TLS in the kernel (the copies are the
//! encryption), datagrams (calls are messages), O_DIRECT (devices move those bytes), and special files.

use super::{AppliesTo, Figure, Finding, Saving};
use crate::model::{
    endpoint::{EndpointKind, Place},
    evidence::Evidence,
    snapshot::{Flow, FlowEnd, Mover, Snapshot},
};

/// How else to move the bytes.
struct Way {
    title: &'static str,
    advice: &'static str,
    /// Whether the copy into the sink goes as well: a file's page cache is still copied into (fs/splice.c,
    /// `iter_file_splice_write`).
    spares_sink: bool,
    /// Whether one call does what took two; between two sockets or into a file from one, splice needs a pipe between.
    halves_calls: bool,
}

pub(super) fn find(snapshot: &Snapshot) -> Vec<Finding> {
    snapshot.flows.iter().filter_map(of_flow).collect()
}

fn of_flow(flow: &Flow) -> Option<Finding> {
    if !is_relay(flow) {
        return None;
    }
    if [&flow.source, &flow.sink].into_iter().any(is_not_for_it) {
        return None;
    }
    let way = way(flow.source.kind, flow.sink.kind)?;
    // What moves inside the program (process_vm_readv) is neither in nor out.
    let into = copied(flow, |from, to| !matches!(from, Place::Device | Place::User) && to == Place::User)?;
    let out = copied(flow, |from, to| from == Place::User && to != Place::User)?;
    if into == 0 {
        return None;
    }
    let bytes = into.saturating_add(if way.spares_sink { out } else { 0 });
    let left = flow.transfers.saturating_mul(2);
    let transitions = if way.halves_calls { flow.transitions.saturating_sub(left) } else { 0 };
    Some(Finding {
        rule: "read-write-relay".to_owned(),
        title: way.title.to_owned(),
        advice: way.advice.to_owned(),
        applies_to: AppliesTo::flow(flow),
        figures: vec![
            Figure::new("payload", flow.payload_bytes, "bytes", flow.payload_evidence),
            Figure::new("copied into the program", into, "bytes", flow.evidence),
            Figure::new("copied out of it", out, "bytes", flow.evidence),
            Figure::new("transitions", flow.transitions, "transitions", Evidence::Measured),
        ],
        saving: Saving::new(bytes, transitions),
        also: Vec::new(),
    })
}

/// Whether its bytes come from a descriptor and go through the program to another.
pub(super) fn is_relay(flow: &Flow) -> bool {
    flow.method.starts_with("read+") || flow.method.starts_with("recv+")
}

fn is_not_for_it(end: &FlowEnd) -> bool {
    let address = end.address.as_deref().unwrap_or_default();
    address.contains("+tls") || address.starts_with("udp")
}

/// Bytes that the CPU copied in these steps; `None` if for one of them that is not known.
fn copied(flow: &Flow, step: impl Fn(Place, Place) -> bool) -> Option<u64> {
    let steps = flow.copies.iter().filter(|copy| step(copy.from, copy.to) && copy.mover != Some(Mover::Dma));
    steps
        .map(|copy| match copy.mover {
            Some(Mover::Cpu) => copy.bytes,
            Some(_) => Some(0),
            None => None,
        })
        .try_fold(0u64, |sum, bytes| Some(sum.saturating_add(bytes?)))
}

fn way(source: EndpointKind, sink: EndpointKind) -> Option<Way> {
    use EndpointKind::{File, Pipe, Socket};
    let (title, advice, spares_sink, halves_calls) = match (source, sink) {
        (File, Socket) => (
            "a file is read and written to a socket",
            "If the program does not need the bytes, sendfile(2) passes the pages of the file to the socket.",
            true,
            true,
        ),
        (File, File) => (
            "a file is read and written to another",
            "copy_file_range(2) copies once, inside the kernel, and not at all where the file system shares extents (XFS, \
             Btrfs). Between file systems, and into a file opened with O_APPEND, it may be refused.",
            false,
            true,
        ),
        (File | Socket, Pipe) | (Pipe, Socket | Pipe) => (
            "bytes are read and written to or from a pipe",
            "If the program does not need the bytes, splice(2) moves their pages through the pipe.",
            true,
            true,
        ),
        (Pipe, File) => (
            "a pipe is read and written to a file",
            "splice(2) takes the pages out of the pipe; the kernel still copies them into the page cache.",
            false,
            true,
        ),
        (Socket, Socket) => (
            "a socket is read and written to another",
            "If the program does not need the bytes, splice(2) through a pipe between the two moves their pages.",
            true,
            false,
        ),
        (Socket, File) => (
            "a socket is read and written to a file",
            "splice(2) through a pipe spares the copy into the program; that into the page cache stays.",
            false,
            false,
        ),
        _ => return None,
    };
    Some(Way { title, advice, spares_sink, halves_calls })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    #[test]
    fn a_file_to_a_socket_saves_both_copies_and_half_the_calls() {
        let flow = samples::relay_flow();
        let finding = of_flow(&flow).unwrap();
        assert_eq!(finding.saving, Saving::new(512 << 20, 8_192));
        assert!(finding.advice.contains("sendfile"));
        assert!(Some(finding.saving.cpu_copied_bytes) <= flow.cpu_copied_bytes);
    }

    #[test]
    fn into_a_file_one_copy_stays() {
        let mut flow = samples::relay_flow();
        flow.sink.kind = EndpointKind::File;
        flow.sink.address = None;
        assert_eq!(of_flow(&flow).unwrap().saving.cpu_copied_bytes, 256 << 20);
    }

    #[test]
    fn where_it_does_not_apply() {
        let relay = samples::relay_flow;
        let method = |method: &str| Flow { method: method.to_owned(), ..relay() };
        for not in ["read", "write", "sendfile", "copy_file_range", "mmap+write"] {
            assert_eq!(of_flow(&method(not)), None, "{not}");
        }
        for address in ["udp 10.0.0.1:1 → 10.0.0.2:2", "tcp+tls 10.0.0.1:1 → 10.0.0.2:2"] {
            let mut flow = relay();
            flow.sink.address = Some(address.to_owned());
            assert_eq!(of_flow(&flow), None, "{address}");
        }
        let mut terminal = relay();
        terminal.sink.kind = EndpointKind::Terminal;
        assert_eq!(of_flow(&terminal), None);
    }

    #[test]
    fn unknown_copies_are_not_guessed_and_direct_ones_are_not_the_cpus() {
        let mut unknown = samples::relay_flow();
        unknown.copies[1].bytes = None;
        assert_eq!(of_flow(&unknown), None);
        let mut direct = samples::relay_flow();
        direct.copies[1].from = Place::Device;
        direct.copies[1].mover = Some(Mover::Dma);
        assert_eq!(of_flow(&direct), None);
    }
}
