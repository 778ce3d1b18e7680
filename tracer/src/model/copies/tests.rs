//! Each row of the table as docs/evidence.md has it ("Places, and the copy table").

use super::*;
use crate::model::{endpoint::Endpoint, testing};

const N: u64 = 65_536;
/// What a step looks like: from, to, mover, bytes, evidence.
type Row = (Place, Place, Option<Mover>, Option<u64>, Evidence);

const CPU: Option<Mover> = Some(Mover::Cpu);
const DMA: Option<Mover> = Some(Mover::Dma);
const BY_REFERENCE: Option<Mover> = Some(Mover::None);
use Place::{Device, PageCache, Pipe, Socket, User};

fn party(endpoint: &Endpoint, flags: u32) -> Party {
    Party { traits: Traits::of(endpoint), flags }
}

fn disk() -> Party {
    party(&testing::file(1, "ext4", Some(true)), 0)
}

fn tmpfs() -> Party {
    party(&testing::file(2, "tmpfs", None), 0)
}

fn pipe() -> Party {
    party(&testing::endpoint(EndpointKind::Pipe, 3), 0)
}

fn loopback() -> Party {
    party(&testing::loopback(4), 0)
}

fn card() -> Party {
    party(&testing::socket(5, "inet", "tcp", Some(false), Some(true)), 0)
}

fn device(minor: u32) -> Party {
    party(&testing::memory_device(minor), 0)
}

fn direct(party: Party) -> Party {
    Party { flags: O_DIRECT, ..party }
}

fn unknown() -> Party {
    Party { traits: Traits::UNKNOWN, flags: 0 }
}

fn act(kind: CallKind, source: Party, sink: Party) -> Act {
    Act {
        kind,
        source,
        sink,
        flags: 0,
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

fn reading(source: Party) -> Act {
    act(CallKind::Read, source, Party::USER)
}

fn receiving(source: Party, flags: u32) -> Act {
    Act { flags, ..act(CallKind::Receive, source, Party::USER) }
}

fn writing(sink: Party) -> Act {
    act(CallKind::Write, Party::USER, sink)
}

fn sending(sink: Party, flags: u32) -> Act {
    Act { flags, ..act(CallKind::Send, Party::USER, sink) }
}

fn rows(act: Act) -> Vec<Row> {
    act.parts()
        .iter()
        .map(|part| {
            let copy = part.step.with_bytes(part.amount, part.expected);
            (copy.from, copy.to, copy.mover, copy.bytes, copy.evidence)
        })
        .collect()
}

#[track_caller]
fn check(act: Act, expected: &[Row]) {
    assert_eq!(rows(act), expected, "{act:?}");
}

#[test]
fn flags_are_those_of_the_kernel() {
    // include/linux/socket.h, the same on every architecture that this runs on.
    assert_eq!([MSG_PEEK, MSG_TRUNC, MSG_ZEROCOPY], [0x2, 0x20, 0x400_0000]);
    // include/uapi/asm-generic/fcntl.h; arch/arm64/include/uapi/asm/fcntl.h.
    assert_eq!(O_DIRECT, if cfg!(target_arch = "aarch64") { 0o200_000 } else { 0o40_000 });
    assert_eq!(O_ACCMODE, 3);
}

#[test]
fn read_of_a_file() {
    let copy = (PageCache, User, CPU, Some(N), Derived);
    let with = |source, storage_read| Act { storage_read, ..reading(source) };
    check(with(disk(), Some(0)), &[(Device, PageCache, DMA, Some(0), Measured), copy]);
    check(with(disk(), Some(131_072)), &[(Device, PageCache, DMA, Some(131_072), Measured), copy]);
    check(with(disk(), None), &[(Device, PageCache, DMA, None, Unknown), copy]);
    let not_known = party(&testing::file(9, "ext4", None), 0);
    check(with(not_known, Some(4096)), &[(Device, PageCache, DMA, Some(4096), Modelled), copy]);
    check(with(not_known, Some(0)), &[(Device, PageCache, DMA, Some(0), Measured), copy]);
    let ram_disk = party(&testing::file(9, "ext4", Some(false)), 0);
    check(with(ram_disk, Some(4096)), &[(Device, PageCache, CPU, Some(4096), Modelled), copy]);
    check(with(ram_disk, Some(0)), &[copy]);
    check(with(tmpfs(), Some(0)), &[copy]);
    check(with(tmpfs(), None), &[copy]);
    let remote = party(&testing::file(9, "nfs", None), 0);
    check(with(remote, Some(0)), &[(Device, PageCache, DMA, None, Unknown), copy]);
}

#[test]
fn write_of_a_file() {
    let copy = (User, PageCache, CPU, Some(N), Derived);
    let later = (PageCache, Device, DMA, None, Unknown);
    check(writing(disk()), &[copy, later]);
    let partial_page = Act { storage_read: Some(4096), ..writing(disk()) };
    check(partial_page, &[(Device, PageCache, DMA, Some(4096), Measured), copy, later]);
    check(writing(tmpfs()), &[copy]);
    check(writing(party(&testing::file(9, "ext4", Some(false)), 0)), &[copy]);
}

#[test]
fn direct_io() {
    let with = |storage_read| Act { storage_read, ..reading(direct(disk())) };
    check(with(Some(N)), &[(Device, User, DMA, Some(N), Measured)]);
    check(with(Some(N + 512)), &[(Device, User, DMA, Some(N), Derived)]);
    check(with(None), &[(Device, User, DMA, Some(N), Derived)]);
    check(with(Some(4096)), &[(Device, User, DMA, Some(N), Modelled)]);
    check(with(Some(0)), &[(PageCache, User, CPU, Some(N), Modelled)]);
    check(writing(direct(disk())), &[(User, Device, DMA, Some(N), Derived)]);
    let block =
        party(&Endpoint { dma: Some(true), ..testing::endpoint(EndpointKind::BlockDevice, 9) }, O_DIRECT);
    check(writing(block), &[(User, Device, DMA, Some(N), Derived)]);
    // Accepted and without effect on tmpfs; packet mode on a pipe.
    check(reading(direct(tmpfs())), &[(PageCache, User, CPU, Some(N), Derived)]);
    check(writing(direct(pipe())), &[(User, Pipe, CPU, Some(N), Derived)]);
    let ram_disk = party(&testing::file(9, "ext4", Some(false)), O_DIRECT);
    check(writing(ram_disk), &[(User, Device, CPU, Some(N), Modelled)]);
    check(Act { storage_read: Some(N), ..reading(ram_disk) }, &[(Device, User, CPU, Some(N), Modelled)]);
}

/// What hooks on block devices and network cards say of an operation.
fn counting(act: Act, read: u64, written: u64) -> Act {
    let counted = Counted { device_read: read, device_written: written, ..Counted::NONE };
    Act {
        counted: Some(counted),
        sources: Sources { block: true, network: true, ..Sources::NONE },
        storage_written: Some(N),
        ..act
    }
}

/// A request of io_uring or AIO: nobody kept an account for it.
#[test]
fn what_a_request_had_fetched_is_told_by_file() {
    let copy = (PageCache, User, CPU, Some(N), Derived);
    let request = Act { storage_read: None, ..reading(disk()) };
    check(request, &[(Device, PageCache, DMA, None, Unknown), copy]);
    check(Act { counted: None, ..counting(request, 0, 0) }, &[copy]);
    let direct = Act { storage_read: None, counted: None, ..counting(reading(direct(disk())), 0, 0) };
    check(direct, &[(Device, User, DMA, Some(N), Derived)]);
}

#[test]
fn what_requests_tell_goes_before_the_accounts() {
    let copy = (PageCache, User, CPU, Some(N), Derived);
    let read = |source, read| counting(Act { storage_read: Some(4096), ..reading(source) }, read, 0);
    check(read(disk(), 0), &[(Device, PageCache, DMA, Some(0), Measured), copy]);
    check(read(disk(), N), &[(Device, PageCache, DMA, Some(N), Measured), copy]);
    // A range of N bytes that begins and ends within pages touches one more than N bytes fill.
    let (touched, ahead) = (N + 4096, 131_072 - N - 4096);
    check(
        read(disk(), 131_072),
        &[
            (Device, PageCache, DMA, Some(touched), Measured),
            (Device, PageCache, DMA, Some(ahead), Measured),
            copy,
        ],
    );
    check(
        Act { asked: None, ..read(disk(), 131_072) },
        &[(Device, PageCache, DMA, Some(131_072), Measured), copy],
    );
    check(read(direct(disk()), N), &[(Device, User, DMA, Some(N), Measured)]);
    // The last block of the file is read whole.
    check(read(direct(disk()), N + 512), &[(Device, User, DMA, Some(N + 512), Measured)]);
    // A hole is filled.
    check(
        read(direct(disk()), 4096),
        &[(Device, User, DMA, Some(4096), Measured), (PageCache, User, CPU, Some(N - 4096), Modelled)],
    );
    // What page faults fetch while user memory is read is told by file.
    check(
        counting(Act { storage_read: Some(N), ..writing(loopback()) }, 0, 0),
        &[(User, Socket, CPU, Some(N), Derived)],
    );
}

#[test]
fn what_is_written_back_is_seen_when_it_is() {
    let copy = (User, PageCache, CPU, Some(N), Derived);
    let later = (PageCache, Device, DMA, Some(0), Measured);
    let write = counting(writing(disk()), 0, 0);
    check(write, &[copy, later]);
    assert_eq!((write.dirty(), write.flushed()), (N, 0));
    assert!(write.parts().iter().any(|part| part.step.note == Some(Note::Deferred)));
    // O_SYNC writes at once, and what others had made dirty with it.
    let synchronous = counting(writing(disk()), 0, N + 4096);
    check(synchronous, &[copy, (PageCache, Device, DMA, Some(N), Measured)]);
    assert_eq!((synchronous.dirty(), synchronous.flushed()), (0, 4096));
    let ram_disk = party(&testing::file(9, "ext4", Some(false)), 0);
    check(counting(writing(ram_disk), 0, 0), &[copy, (PageCache, Device, CPU, Some(0), Modelled)]);
    check(counting(writing(tmpfs()), 0, 0), &[copy]);
    assert_eq!(counting(writing(tmpfs()), 0, 0).dirty(), 0);
    // Where other pages than the file's are written, it is not seen.
    for file_system in ["btrfs", "overlay", "nfs", "f2fs"] {
        let opaque = counting(writing(party(&testing::file(9, file_system, Some(true)), 0)), 0, 0);
        check(opaque, &[copy, (PageCache, Device, DMA, None, Unknown)]);
        assert_eq!(opaque.dirty(), 0, "{file_system}");
    }
    let straight = counting(writing(direct(disk())), 0, N);
    check(straight, &[(User, Device, DMA, Some(N), Measured)]);
    assert_eq!((straight.dirty(), straight.flushed()), (0, 0));
    // Part of it could not be written directly.
    let partly = counting(writing(direct(disk())), 0, N - 4096);
    check(
        partly,
        &[(User, Device, DMA, Some(N - 4096), Measured), (User, PageCache, CPU, Some(4096), Modelled), later],
    );
    assert_eq!((partly.dirty(), partly.flushed()), (4096, 0));
    let spliced = counting(act(CallKind::Splice, pipe(), direct(disk())), 0, N);
    check(spliced, &[(Pipe, Device, DMA, Some(N), Measured)]);
}

#[test]
fn packets_are_seen_when_they_go() {
    let sent = (User, Socket, CPU, Some(N), Derived);
    let send = |sink| counting(sending(sink, 0), 0, 0);
    let transmits = |act: Act| act.transmits(&act.parts());
    check(send(card()), &[sent, (Socket, Device, DMA, Some(0), Measured)]);
    assert_eq!(transmits(send(card())), Some(Socket));
    let unrouted = party(&testing::socket(9, "inet6", "tcp", None, None), 0);
    check(send(unrouted), &[sent, (Socket, Device, DMA, Some(0), Measured)]);
    check(send(loopback()), &[sent]);
    assert_eq!(transmits(send(loopback())), None);
    let mapped = counting(act(CallKind::Sendfile, disk(), card()), 0, 0);
    assert_eq!(transmits(mapped), Some(PageCache));
    let zerocopy = counting(sending(card(), MSG_ZEROCOPY), 0, 0);
    assert_eq!(transmits(zerocopy), Some(User));
}

#[test]
fn sockets() {
    let received = (Socket, User, CPU, Some(N), Derived);
    let sent = (User, Socket, CPU, Some(N), Derived);
    for local in [
        loopback(),
        party(&testing::socket(9, "unix", "0", None, None), 0),
        party(&testing::socket(9, "netlink", "0", None, None), 0),
        party(&testing::socket(9, "inet", "tcp", Some(false), Some(false)), 0),
    ] {
        check(reading(local), &[received]);
        check(receiving(local, 0), &[received]);
        check(writing(local), &[sent]);
        check(sending(local, 0), &[sent]);
    }
    check(receiving(card(), 0), &[(Device, Socket, DMA, Some(N), Modelled), received]);
    check(sending(card(), 0), &[sent, (Socket, Device, DMA, Some(N), Modelled)]);
    for loopback in [None, Some(false)] {
        let unrouted = party(&testing::socket(9, "inet6", "tcp", loopback, None), 0);
        check(receiving(unrouted, 0), &[(Device, Socket, DMA, None, Unknown), received]);
        check(sending(unrouted, 0), &[sent, (Socket, Device, DMA, None, Unknown)]);
    }
}

#[test]
fn zerocopy_sends() {
    let zerocopy = |sink| sending(sink, MSG_ZEROCOPY);
    // On loopback 128 of 128 sends were reported as copied.
    check(zerocopy(loopback()), &[(User, Socket, CPU, Some(N), Modelled)]);
    check(
        zerocopy(card()),
        &[(User, Socket, BY_REFERENCE, Some(N), Modelled), (User, Device, DMA, Some(N), Modelled)],
    );
    let unrouted = party(&testing::socket(9, "inet", "tcp", None, Some(true)), 0);
    check(zerocopy(unrouted), &[(User, Socket, None, None, Unknown)]);
    // AF_UNIX has no zero-copy send.
    let unix = party(&testing::socket(9, "unix", "0", None, None), 0);
    check(zerocopy(unix), &[(User, Socket, CPU, Some(N), Derived)]);
    // The same bit means something else to other calls.
    check(
        Act { flags: MSG_ZEROCOPY, ..writing(card()) },
        &[(User, Socket, CPU, Some(N), Derived), (Socket, Device, DMA, Some(N), Modelled)],
    );
}

#[test]
fn peeking_and_discarding() {
    let peek = receiving(card(), MSG_PEEK);
    check(peek, &[(Socket, User, CPU, Some(N), Derived)]);
    assert_eq!((peek.payload(), peek.received()), (0, N));
    let discard = receiving(loopback(), MSG_TRUNC);
    check(discard, &[(Socket, User, BY_REFERENCE, Some(0), Modelled)]);
    assert_eq!((discard.payload(), discard.received()), (0, 0));
    let udp = party(&testing::socket(9, "inet", "udp", Some(true), None), 0);
    let cut = Act { asked: Some(100), ..receiving(udp, MSG_TRUNC) };
    check(cut, &[(Socket, User, CPU, Some(100), Derived)]);
    assert_eq!((cut.payload(), cut.received()), (100, 100));
}

#[test]
fn pipes() {
    check(reading(pipe()), &[(Pipe, User, CPU, Some(N), Derived)]);
    check(writing(pipe()), &[(User, Pipe, CPU, Some(N), Derived)]);
    check(act(CallKind::Tee, pipe(), pipe()), &[(Pipe, Pipe, BY_REFERENCE, Some(N), Derived)]);
    let into = act(CallKind::Vmsplice, Party::USER, Party { flags: 1, ..pipe() });
    check(into, &[(User, Pipe, BY_REFERENCE, Some(N), Derived)]);
    check(act(CallKind::Vmsplice, pipe(), Party::USER), &[(Pipe, User, CPU, Some(N), Derived)]);
    assert_eq!([0, 1, 2].map(vmsplice_writes), [false, true, true]);
}

#[test]
fn tls_in_the_kernel_copies_whatever_the_call() {
    let tls = party(&testing::socket(9, "inet", "tcp+tls", Some(true), Some(false)), 0);
    let out = [(User, Socket, CPU, Some(N), Modelled)];
    check(sending(tls, 0), &out);
    check(sending(tls, MSG_ZEROCOPY), &out);
    check(receiving(tls, 0), &[(Socket, User, CPU, Some(N), Modelled)]);
    let fetched = (Device, PageCache, DMA, Some(0), Measured);
    let encrypted = (PageCache, Socket, CPU, Some(N), Modelled);
    check(act(CallKind::Sendfile, disk(), tls), &[fetched, encrypted]);
}

#[test]
fn sendfile_to_a_socket_copies_nothing() {
    let cold = Act { storage_read: Some(N), ..act(CallKind::Sendfile, disk(), loopback()) };
    let fetched = (Device, PageCache, DMA, Some(N), Measured);
    let moved = (PageCache, Socket, BY_REFERENCE, Some(N), Derived);
    check(cold, &[fetched, moved]);
    let out = (PageCache, Device, DMA, Some(N), Modelled);
    check(Act { sink: card(), ..cold }, &[fetched, moved, out]);
    let udp = party(&testing::socket(9, "inet", "udp", Some(true), None), 0);
    check(act(CallKind::Sendfile, tmpfs(), udp), &[(PageCache, Socket, BY_REFERENCE, Some(N), Modelled)]);
    // sendfile of /dev/zero to TCP works, where it does, by a copy of all bytes.
    check(act(CallKind::Sendfile, device(5), loopback()), &[(Device, Socket, CPU, Some(N), Modelled)]);
}

#[test]
fn file_to_file_is_not_zero_copy() {
    let fetched = (Device, PageCache, DMA, Some(0), Measured);
    let copy = (PageCache, PageCache, CPU, Some(N), Modelled);
    let later = (PageCache, Device, DMA, None, Unknown);
    for kind in [CallKind::Sendfile, CallKind::CopyFileRange] {
        check(act(kind, disk(), disk()), &[fetched, copy, later]);
        check(act(kind, tmpfs(), tmpfs()), &[copy]);
    }
    for file_system in ["xfs", "btrfs", "nfs"] {
        let shares = party(&testing::file(9, file_system, Some(true)), 0);
        check(act(CallKind::CopyFileRange, shares, shares), &[(PageCache, PageCache, None, None, Unknown)]);
        let elsewhere = Party { traits: Traits { device: 1, ..shares.traits }, ..shares };
        assert!(rows(act(CallKind::CopyFileRange, shares, elsewhere)).contains(&copy), "{file_system}");
    }
}

#[test]
fn splices() {
    let splice = |source, sink| act(CallKind::Splice, source, sink);
    let fetched = (Device, PageCache, DMA, Some(0), Measured);
    check(splice(disk(), pipe()), &[fetched, (PageCache, Pipe, BY_REFERENCE, Some(N), Derived)]);
    check(splice(pipe(), loopback()), &[(Pipe, Socket, BY_REFERENCE, Some(N), Derived)]);
    check(splice(pipe(), pipe()), &[(Pipe, Pipe, BY_REFERENCE, Some(N), Derived)]);
    check(
        splice(pipe(), disk()),
        &[(Pipe, PageCache, CPU, Some(N), Modelled), (PageCache, Device, DMA, None, Unknown)],
    );
    check(splice(pipe(), direct(disk())), &[(Pipe, Device, DMA, Some(N), Modelled)]);
    check(splice(loopback(), pipe()), &[(Socket, Pipe, BY_REFERENCE, Some(N), Modelled)]);
    // What has no pages to give is copied after all, and the note says so.
    let special = party(&testing::endpoint(EndpointKind::PseudoFile, 9), 0);
    for source in [special, device(5), party(&testing::endpoint(EndpointKind::Terminal, 9), 0)] {
        check(splice(source, pipe()), &[(Device, Pipe, CPU, Some(N), Modelled)]);
    }
    let notes = splice(special, pipe()).parts();
    assert!(notes.iter().any(|part| part.step.note == Some(Note::CopyingSplice)));
    check(splice(pipe(), device(3)), &[(Pipe, Device, BY_REFERENCE, Some(0), Derived)]);
}

/// fs/splice.c, copy_splice_read reads into new pages: what O_DIRECT reads the device puts there itself, past the page cache.
#[test]
fn direct_files_in_the_kernel() {
    let moved = (Device, Pipe, DMA, Some(N), Measured);
    let between = |kind, source, sink| counting(act(kind, source, sink), N, 0);
    check(between(CallKind::Splice, direct(disk()), pipe()), &[moved]);
    let given = (Pipe, Socket, BY_REFERENCE, Some(N), Derived);
    check(between(CallKind::Sendfile, direct(disk()), loopback()), &[moved, given]);
    // Misaligned, it is done through the page cache after all.
    check(
        counting(act(CallKind::Splice, direct(disk()), pipe()), 0, 0),
        &[(PageCache, Pipe, CPU, Some(N), Modelled)],
    );
    for kind in [CallKind::Sendfile, CallKind::CopyFileRange] {
        let both = counting(act(kind, direct(disk()), direct(disk())), N, N);
        check(both, &[moved, (Pipe, Device, DMA, Some(N), Measured)]);
        let fetched = (Device, PageCache, DMA, Some(N), Measured);
        let into = counting(act(kind, disk(), direct(disk())), N, N);
        check(into, &[fetched, (PageCache, Device, DMA, Some(N), Measured)]);
    }
    let xfs = direct(party(&testing::file(9, "xfs", Some(true)), 0));
    let shared = counting(act(CallKind::CopyFileRange, xfs, xfs), 0, 0);
    check(shared, &[(PageCache, PageCache, None, None, Unknown)]);
    let copied = counting(act(CallKind::CopyFileRange, xfs, xfs), N, N);
    check(copied, &[moved, (Pipe, Device, DMA, Some(N), Measured)]);
}

#[test]
fn other_memory() {
    for kind in [CallKind::ProcessVmRead, CallKind::ProcessVmWrite] {
        check(act(kind, Party::USER, Party::USER), &[(User, User, CPU, Some(N), Derived)]);
    }
    // A write of mapped pages that were not there: the copy loop faults them in.
    let faulting = Act { storage_read: Some(N), ..writing(loopback()) };
    check(faulting, &[(Device, PageCache, DMA, Some(N), Modelled), (User, Socket, CPU, Some(N), Derived)]);
}

#[test]
fn devices_that_move_nothing() {
    check(writing(device(3)), &[(User, Device, BY_REFERENCE, Some(0), Derived)]);
    check(writing(device(5)), &[(User, Device, BY_REFERENCE, Some(0), Derived)]);
    check(reading(device(5)), &[(Device, User, BY_REFERENCE, Some(0), Derived)]);
    check(reading(device(7)), &[(Device, User, BY_REFERENCE, Some(0), Derived)]);
    // /dev/urandom computes and copies.
    check(reading(device(9)), &[(Device, User, CPU, Some(N), Modelled)]);
    let terminal = party(&testing::endpoint(EndpointKind::Terminal, 9), 0);
    check(writing(terminal), &[(User, Device, CPU, Some(N), Modelled)]);
}

#[test]
fn an_unknown_endpoint_gives_no_number() {
    let no_number = [None];
    let bytes = |act| rows(act).iter().map(|row| row.3).collect::<Vec<_>>();
    assert_eq!(bytes(reading(unknown())), no_number);
    assert_eq!(bytes(writing(unknown())), no_number);
    for (source, sink) in [(unknown(), loopback()), (disk(), unknown()), (unknown(), unknown())] {
        assert_eq!(bytes(act(CallKind::Sendfile, source, sink)), no_number);
        assert_eq!(bytes(act(CallKind::Splice, source, sink)), no_number);
    }
    assert_eq!(bytes(act(CallKind::CopyFileRange, unknown(), disk())), no_number);
    assert_eq!(bytes(act(CallKind::Vmsplice, Party::USER, unknown())), no_number);
}

fn all_rows_are_sane(act: Act) {
    for (from, to, _, copied, evidence) in rows(act) {
        // Requests are for whole blocks.
        let by_request = from == Device || to == Device;
        assert!(by_request || copied.is_none_or(|copied| copied <= act.bytes), "{act:?}");
        assert!(by_request || act.bytes > 0, "{act:?}");
        assert_eq!(copied.is_none(), evidence == Unknown, "{act:?}");
    }
}

/// Every combination: there is room for its parts, a call that moved nothing copied nothing, and no step claims more
/// bytes than the call moved, storage aside.
#[test]
fn all_of_the_table_is_sane() {
    let mut parties =
        vec![Party::USER, unknown(), pipe(), loopback(), card(), device(3), device(5), device(9)];
    for kind in [EndpointKind::Directory, EndpointKind::PseudoFile, EndpointKind::Anonymous] {
        parties.push(party(&testing::endpoint(kind, 9), 0));
    }
    for dma in [None, Some(true), Some(false)] {
        for file_system in ["ext4", "tmpfs", "xfs", "nfs"] {
            parties.push(party(&testing::file(9, file_system, dma), 0));
            parties.push(direct(parties[parties.len() - 1]));
        }
        for (family, protocol) in
            [("inet", "tcp"), ("inet", "udp"), ("unix", "0"), ("packet", "3"), ("inet", "tcp+tls")]
        {
            for loopback in [None, Some(true), Some(false)] {
                parties.push(party(&testing::socket(9, family, protocol, loopback, dma), 0));
            }
        }
    }
    let kinds = [
        CallKind::Read,
        CallKind::Write,
        CallKind::Receive,
        CallKind::Send,
        CallKind::Sendfile,
        CallKind::Splice,
        CallKind::Tee,
        CallKind::Vmsplice,
        CallKind::CopyFileRange,
        CallKind::ProcessVmRead,
        CallKind::ProcessVmWrite,
        CallKind::Descriptor,
    ];
    for kind in kinds {
        for &source in &parties {
            for &sink in &parties {
                for flags in [0, MSG_PEEK, MSG_TRUNC, MSG_ZEROCOPY, u32::MAX] {
                    for storage_read in [None, Some(0), Some(4096), Some(u64::MAX)] {
                        for bytes in [0, 1, N, u64::MAX] {
                            let act = Act { storage_read, flags, bytes, ..act(kind, source, sink) };
                            let read = storage_read.unwrap_or(0);
                            for act in [act, counting(act, read, 0), counting(act, 0, read)] {
                                all_rows_are_sane(act);
                            }
                        }
                    }
                }
            }
        }
    }
}
