//! The same transfer as zero-copy I/O would do it: what its source and sink allow, by the copy table. Nothing of it was
//! measured: it says what another call would copy, not how long that would take.

use super::{
    endpoint::{EndpointKind, Place},
    evidence::Evidence,
    part::Note,
    recent::{RecentTransfer, Step},
    snapshot::{Copy, FlowEnd, Mover, Transfer},
    traits::may_share_extents,
};

/// Most bytes that one call moves (include/linux/fs.h: `MAX_RW_COUNT`).
const MOST_PER_CALL: u64 = 0x7fff_f000;
/// What a pipe holds unless `F_SETPIPE_SZ` makes it larger (include/linux/pipe_fs_i.h: `PIPE_DEF_BUFFERS` pages), bytes.
const PIPE_BYTES: u64 = 65_536;
/// From this size on MSG_ZEROCOPY is worth its price (Documentation/networking/msg_zerocopy.rst: "generally only effective
/// at writes over around 10 KB"), bytes.
pub const ZEROCOPY_WORTHWHILE_BYTES: u64 = 10_240;

/// A way that copies less.
#[derive(Clone, Debug, PartialEq)]
pub struct Ideal {
    /// How, as flows name it: `sendfile`, `splice`, `copy_file_range`, `send(MSG_ZEROCOPY)`.
    pub method: &'static str,
    /// The calls, in order. What they copy is modelled. Their times are not known: `duration_ns` is `None`, and the other
    /// times mean nothing.
    pub steps: Vec<Step>,
    /// Why it copies less, and what it asks for.
    pub why: &'static str,
}

/// The way of a transfer that copies least; `None` if it is a zero-copy call already or copies nothing, if its ends do
/// not allow one that copies less, or if what it copied is not known.
pub fn ideal(recent: &RecentTransfer) -> Option<Ideal> {
    let transfer = &recent.transfer;
    let copied = transfer.cpu_copied_bytes.filter(|bytes| *bytes > 0)?;
    if is_in_kernel(&transfer.method) {
        return None;
    }
    let ideal = by_ends(transfer)?;
    let copies = || ideal.steps.iter().flat_map(|step| &step.copies);
    let would_copy: u64 =
        copies().filter(|copy| copy.mover == Some(Mover::Cpu)).filter_map(|copy| copy.bytes).sum();
    (would_copy < copied).then_some(ideal)
}

/// Whether a method goes past the memory of the process already: what it copies all the same, the kernel had to.
fn is_in_kernel(method: &str) -> bool {
    let calls =
        ["sendfile", "splice", "tee", "copy_file_range", "process_vm_readv", "process_vm_writev", "vmsplice"];
    calls.contains(&method)
}

/// What kind of end it is, as far as that decides which calls take it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    User,
    File,
    BlockDevice,
    Pipe,
    /// TCP and AF_UNIX: streams of which pages are taken, and given, by reference.
    Stream,
    /// UDP.
    Datagram,
}

impl End {
    fn of(end: &FlowEnd) -> Option<Self> {
        match end.kind {
            EndpointKind::User => Some(Self::User),
            EndpointKind::File => Some(Self::File),
            EndpointKind::BlockDevice => Some(Self::BlockDevice),
            EndpointKind::Pipe => Some(Self::Pipe),
            // With TLS on top the CPU encrypts into pages of its own whatever the call.
            EndpointKind::Socket => match end.address.as_deref()?.split(' ').next()? {
                "tcp" | "unix" => Some(Self::Stream),
                "udp" => Some(Self::Datagram),
                _ => None,
            },
            EndpointKind::Directory
            | EndpointKind::PseudoFile
            | EndpointKind::Terminal
            | EndpointKind::CharDevice
            | EndpointKind::Anonymous
            | EndpointKind::Unknown => None,
        }
    }

    /// Where its bytes rest.
    fn place(self) -> Place {
        match self {
            Self::User => Place::User,
            Self::File | Self::BlockDevice => Place::PageCache,
            Self::Pipe => Place::Pipe,
            Self::Stream | Self::Datagram => Place::Socket,
        }
    }
}

fn by_ends(transfer: &Transfer) -> Option<Ideal> {
    let (source, sink) = (End::of(&transfer.source)?, End::of(&transfer.sink)?);
    match (source, sink) {
        (End::File | End::BlockDevice, End::Stream) => Some(Ideal {
            method: "sendfile",
            steps: vec![one(transfer, "sendfile", source, sink, MOST_PER_CALL)],
            why: "sendfile hands the pages of the page cache to the socket: nothing passes through the program",
        }),
        (End::File, End::File) if same_device(transfer) => Some(Ideal {
            method: "copy_file_range",
            steps: vec![copy_file_range(transfer)],
            why: "copy_file_range copies once, inside the kernel, or not at all where the file system shares extents",
        }),
        (End::File | End::BlockDevice, End::File | End::BlockDevice) => Some(Ideal {
            method: "sendfile",
            steps: vec![one(transfer, "sendfile", source, sink, MOST_PER_CALL)],
            why: "sendfile copies once, inside the kernel; copy_file_range is for files of one file system",
        }),
        (End::Pipe, End::Pipe | End::Stream | End::File | End::BlockDevice)
        | (End::Stream | End::File | End::BlockDevice, End::Pipe) => Some(Ideal {
            method: "splice",
            steps: vec![one(transfer, "splice", source, sink, PIPE_BYTES)],
            why: "splice moves pages into a pipe or out of it by reference; into a file it copies once",
        }),
        (End::Stream, End::Stream | End::File | End::BlockDevice) => Some(Ideal {
            method: "splice",
            steps: through_a_pipe(transfer, source, sink),
            why: "splice moves pages through a pipe by reference, 64 KiB a time unless F_SETPIPE_SZ makes it larger; \
                  into a file it copies once",
        }),
        (End::User, End::Stream | End::Datagram) => zerocopy_send(transfer),
        // Nothing takes a program's memory by reference that it may write again, and no splice reads datagrams.
        (_, End::User) | (End::User | End::Datagram, _) | (_, End::Datagram) => None,
    }
}

/// Whether both files are on one file system: `major:minor:inode` begins with its number.
fn same_device(transfer: &Transfer) -> bool {
    let device = |end: &FlowEnd| Some(end.id.as_deref()?.rsplit_once(':')?.0.to_owned());
    device(&transfer.source).is_some_and(|source| Some(source) == device(&transfer.sink))
}

/// One call from end to end.
fn one(transfer: &Transfer, call: &str, source: End, sink: End, most: u64) -> Step {
    let mut copies = fetched(transfer, source.place());
    copies.push(handed_on(transfer, source, sink));
    copies.extend(sent(transfer, by_reference(source, sink)));
    step(transfer, call, most, copies)
}

/// fs/read_write.c, vfs_copy_file_range: shares extents where the file system can, else splices.
fn copy_file_range(transfer: &Transfer) -> Step {
    let may_share = |end: &FlowEnd| may_share_extents(end.file_system.as_deref());
    let mut step = one(transfer, "copy_file_range", End::File, End::File, MOST_PER_CALL);
    if may_share(&transfer.source) || may_share(&transfer.sink) {
        let cache = Place::PageCache;
        for copy in step.copies.iter_mut().filter(|copy| (copy.from, copy.to) == (cache, cache)) {
            let note = Some(Note::MaybeReflinked.text().to_owned());
            *copy = Copy {
                mover: None,
                bytes: None,
                evidence: Evidence::Unknown,
                note,
                ..moved(transfer, cache, cache, Mover::None)
            };
        }
    }
    step
}

/// A splice into a pipe and one out of it.
fn through_a_pipe(transfer: &Transfer, source: End, sink: End) -> Vec<Step> {
    let mut brought = fetched(transfer, source.place());
    brought.push(handed_on(transfer, source, End::Pipe));
    let mut taken = vec![handed_on(transfer, End::Pipe, sink)];
    taken.extend(sent(transfer, by_reference(source, sink)));
    vec![step(transfer, "splice", PIPE_BYTES, brought), step(transfer, "splice", PIPE_BYTES, taken)]
}

/// A send that takes the program's pages, and the call that hears when it may use them again.
fn zerocopy_send(transfer: &Transfer) -> Option<Ideal> {
    // What stays on the machine is copied after all (net/core/skbuff.c, skb_orphan_frags_rx).
    let by_card = |copy: &Copy| copy.to == Place::Device && copy.mover == Some(Mover::Dma);
    let already = transfer.method.contains("MSG_ZEROCOPY");
    if already || transfer.payload_bytes < ZEROCOPY_WORTHWHILE_BYTES || !transfer.copies.iter().any(by_card) {
        return None;
    }
    let mut copies = vec![moved(transfer, Place::User, Place::Socket, Mover::None)];
    copies.extend(sent(transfer, Place::User));
    Some(Ideal {
        method: "send(MSG_ZEROCOPY)",
        steps: vec![
            step(transfer, "send", MOST_PER_CALL, copies),
            Step { transitions: 2, ..step(transfer, "recvmsg(MSG_ERRQUEUE)", MOST_PER_CALL, Vec::new()) },
        ],
        why: "MSG_ZEROCOPY lets the card fetch the program's own pages, if it gathers and SO_ZEROCOPY is set; the buffer \
              may be used again once the error queue says so, one notification for many sends",
    })
}

/// Where a card fetches from what was handed on from `source` to `sink`.
fn by_reference(source: End, sink: End) -> Place {
    match (source, sink) {
        (_, End::File | End::BlockDevice) => Place::PageCache,
        (End::File | End::BlockDevice, _) => Place::PageCache,
        _ => Place::Socket,
    }
}

/// From end to end inside the kernel (fs/splice.c): by reference, except into a file (iter_file_splice_write).
fn handed_on(transfer: &Transfer, source: End, sink: End) -> Copy {
    let mover = if matches!(sink, End::File | End::BlockDevice) { Mover::Cpu } else { Mover::None };
    moved(transfer, source.place(), sink.place(), mover)
}

fn moved(transfer: &Transfer, from: Place, to: Place, mover: Mover) -> Copy {
    Copy {
        from,
        to,
        mover: Some(mover),
        bytes: Some(transfer.payload_bytes),
        evidence: Evidence::Modelled,
        derived_bytes: None,
        note: None,
    }
}

/// What devices bring, and whoever moves it: the same as now, to where the source's bytes rest.
fn fetched(transfer: &Transfer, to: Place) -> Vec<Copy> {
    let from_device = transfer.copies.iter().filter(|copy| copy.from == Place::Device);
    from_device
        .map(|copy| {
            // Why it was fetched (a page fault, read-ahead) may be another then.
            let plain = copy.mover == Some(Mover::Dma) && copy.bytes.is_some();
            let note = copy.note.clone().filter(|_| !plain);
            Copy { to, note, ..as_now(copy) }
        })
        .collect()
}

/// What goes to devices: the same as now, from where it then rests. For a card that takes packets in one piece only, the CPU
/// puts them together whatever the call.
fn sent(transfer: &Transfer, from: Place) -> Vec<Copy> {
    let in_socket = |copy: &&Copy| (copy.from, copy.to) == (Place::Socket, Place::Socket);
    let mut copies: Vec<Copy> = transfer.copies.iter().filter(in_socket).map(as_now).collect();
    let from = if copies.is_empty() { from } else { Place::Socket };
    let to_device = transfer.copies.iter().filter(|copy| copy.to == Place::Device);
    copies.extend(to_device.map(|copy| Copy { from, ..as_now(copy) }));
    copies
}

fn as_now(copy: &Copy) -> Copy {
    Copy { evidence: copy.evidence.max(Evidence::Modelled), derived_bytes: None, ..copy.clone() }
}

/// A call that moves at most `most` bytes, made as often as the transfer needs.
fn step(transfer: &Transfer, call: &str, most: u64, copies: Vec<Copy>) -> Step {
    Step {
        call: call.to_owned(),
        tid: transfer.tid,
        start_ns: None,
        duration_ns: None,
        blocked_ns: None,
        preempted_ns: None,
        transitions: 2 * transfer.payload_bytes.div_ceil(most),
        shared: false,
        copies,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Model, ModelConfig,
        endpoint::Offloads,
        endpoint::Place::{Device, PageCache, Pipe, Socket, User},
        event::{CallKind, Event, Operation, Serial},
        testing::{
            FILE, OTHER_FILE, OTHER_SOCKET, PIPE, SOCKET, file, model_with, operation, read, socket, write,
        },
    };

    const CARD: u64 = 20;
    const TLS: u64 = 21;

    fn model() -> Model {
        let mut model = model_with(ModelConfig { most_recent_transfers: 10, ..ModelConfig::default() });
        model.apply([
            Event::Endpoint(Serial(CARD), socket(20, "inet", "tcp", Some(false), Some(true))),
            Event::Endpoint(Serial(TLS), socket(21, "inet", "tcp+tls", Some(true), None)),
        ]);
        model
    }

    /// The newest transfer of these operations, and its ideal.
    fn of(operations: impl IntoIterator<Item = Operation>) -> (Transfer, Option<Ideal>) {
        let mut model = model();
        model.apply(operations.into_iter().map(Event::Operation));
        let found = model.recent_transfers(1).remove(0);
        (found.transfer.clone(), ideal(&found))
    }

    /// Calls, mode switches, and what each moves.
    #[expect(clippy::type_complexity, reason = "a table for the eye of whoever reads the test")]
    fn told(ideal: &Ideal) -> Vec<(&str, u64, Vec<(Place, Place, Option<Mover>, Option<u64>)>)> {
        let copies = |step: &Step| -> Vec<_> {
            step.copies.iter().map(|copy| (copy.from, copy.to, copy.mover, copy.bytes)).collect()
        };
        ideal.steps.iter().map(|step| (step.call.as_str(), step.transitions, copies(step))).collect()
    }

    #[test]
    fn a_file_to_a_socket() {
        let fetched = Operation { storage_read_bytes: Some(4096), ..read(FILE, 0..100) };
        let (transfer, found) = of([fetched, write(CARD, 0..100)]);
        let found = found.unwrap();
        assert_eq!((transfer.cpu_copied_bytes, found.method), (Some(200), "sendfile"));
        let (none, dma) = (Some(Mover::None), Some(Mover::Dma));
        assert_eq!(
            told(&found),
            [(
                "sendfile",
                2,
                vec![
                    (Device, PageCache, dma, Some(4096)),
                    (PageCache, Socket, none, Some(100)),
                    (PageCache, Device, dma, Some(100)),
                ]
            )]
        );
        let evidence = found.steps[0].copies.iter().map(|copy| copy.evidence);
        assert!(evidence.eq([Evidence::Modelled; 3]));
    }

    #[test]
    fn sockets_and_pipes() {
        let (none, cpu) = (Some(Mover::None), Some(Mover::Cpu));
        let (_, found) = of([read(SOCKET, 0..100_000), write(OTHER_SOCKET, 0..100_000)]);
        let size = Some(100_000);
        assert_eq!(
            told(&found.unwrap()),
            [
                ("splice", 4, vec![(Socket, Pipe, none, size)]),
                ("splice", 4, vec![(Pipe, Socket, none, size)])
            ]
        );
        let (_, found) = of([read(SOCKET, 0..10), write(FILE, 0..10)]);
        let found = found.unwrap();
        assert_eq!(told(&found)[1].2[0], (Pipe, PageCache, cpu, Some(10)));
        let (_, found) = of([read(FILE, 0..10), write(PIPE, 0..10)]);
        let found = found.unwrap();
        assert_eq!((found.method, found.steps.len()), ("splice", 1));
        assert_eq!(told(&found)[0].2.last(), Some(&(PageCache, Pipe, none, Some(10))));
    }

    #[test]
    fn files_to_files() {
        let (_, found) = of([read(FILE, 0..10), write(OTHER_FILE, 0..10)]);
        let found = found.unwrap();
        assert_eq!(found.method, "copy_file_range");
        assert!(told(&found)[0].2.contains(&(PageCache, PageCache, Some(Mover::Cpu), Some(10))));
    }

    #[test]
    fn where_extents_may_be_shared_the_copy_is_not_known() {
        let mut model = model();
        model.apply([Event::Endpoint(Serial(22), file(22, "xfs", Some(true)))]);
        model.apply([read(22, 0..10), write(22, 0..10)].map(Event::Operation));
        let found = ideal(&model.recent_transfers(1)[0]).unwrap();
        assert_eq!(found.method, "copy_file_range");
        assert!(told(&found)[0].2.contains(&(PageCache, PageCache, None, None)));
    }

    #[test]
    fn own_memory_to_a_card_if_it_is_worth_it() {
        let bytes = ZEROCOPY_WORTHWHILE_BYTES;
        let (_, found) = of([write(CARD, 0..bytes)]);
        let found = found.unwrap();
        assert_eq!(found.method, "send(MSG_ZEROCOPY)");
        assert_eq!(
            told(&found)[0].2,
            [(User, Socket, Some(Mover::None), Some(bytes)), (User, Device, Some(Mover::Dma), Some(bytes))]
        );
        assert_eq!(of([write(CARD, 0..bytes - 1)]).1, None, "too small");
        assert_eq!(of([write(SOCKET, 0..bytes)]).1, None, "loopback copies after all");
        let zerocopy = Operation { kind: CallKind::Send, flags: 0x400_0000, ..write(SOCKET, 0..bytes) };
        assert_eq!(of([zerocopy]).1, None, "it is asked for already");
    }

    #[test]
    fn packets_in_one_piece_are_put_together_whatever_the_call() {
        let mut endpoint = socket(23, "inet", "tcp", Some(false), Some(true));
        let offloads = Offloads { gathers: false, checksums: true, encrypts: false };
        endpoint.socket.as_mut().unwrap().offloads = Some(offloads);
        let mut model = model();
        model.apply([Event::Endpoint(Serial(23), endpoint)]);
        model.apply([read(FILE, 0..100), write(23, 0..100)].map(Event::Operation));
        let found = model.recent_transfers(1).remove(0);
        assert_eq!(found.transfer.cpu_copied_bytes, Some(300));
        let found = ideal(&found).unwrap();
        let copies = &told(&found)[0].2;
        assert!(copies.contains(&(Socket, Socket, Some(Mover::Cpu), Some(100))), "{copies:?}");
        assert!(copies.contains(&(Socket, Device, Some(Mover::Dma), Some(100))), "{copies:?}");
    }

    #[test]
    fn where_nothing_copies_less_there_is_no_advice() {
        assert_eq!(of([operation(CallKind::Sendfile, FILE, SOCKET, 10)]).1, None);
        assert_eq!(of([operation(CallKind::CopyFileRange, FILE, OTHER_FILE, 10)]).1, None);
        assert_eq!(
            of([operation(CallKind::Splice, SOCKET, PIPE, 9), operation(CallKind::Splice, PIPE, FILE, 9)]).1,
            None
        );
        assert_eq!(of([read(FILE, 0..10), write(TLS, 0..10)]).1, None, "TLS encrypts by CPU");
        assert_eq!(of([write(FILE, 0..10)]).1, None);
        assert_eq!(of([write(PIPE, 0..10)]).1, None);
        assert_eq!(of([read(FILE, 0..10), write(99, 0..10)]).1, None, "an unknown end");
    }
}
