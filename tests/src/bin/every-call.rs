//! `every-call FOLDER [--gate FIFO]`: each I/O call at least once, on each kind of endpoint it is for, with known bytes;
//! calls of nothing, calls that fail, vectors longer than a tracer records.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::net::{UnixDatagram, UnixStream},
    },
    path::Path,
};

use anyhow::{Context as _, Result};
use zc_trace_tests::{
    call,
    workload::{self, Ledger},
};

/// Descriptors, all made before the first call that counts.
struct World {
    file: File,
    out: File,
    zero: File,
    null: File,
    pipe: (PipeReader, PipeWriter),
    other_pipe: (PipeReader, PipeWriter),
    tcp: (TcpStream, TcpStream),
    unix: (UnixStream, UnixStream),
    datagrams: (UnixDatagram, UnixDatagram),
    /// Nothing is ever in it, and reading it does not wait.
    silent: (UnixStream, UnixStream),
}

impl World {
    fn new(folder: &Path) -> Result<Self> {
        let source = folder.join("every-call.source");
        fs::write(&source, vec![b'a'; 64 * 1024])?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        let silent = UnixStream::pair()?;
        silent.0.set_nonblocking(true)?;
        Ok(Self {
            file: File::open(source)?,
            out: OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(folder.join("every-call.sink"))?,
            zero: File::open("/dev/zero")?,
            null: OpenOptions::new().write(true).open("/dev/null")?,
            pipe: io::pipe()?,
            other_pipe: io::pipe()?,
            tcp: (client, server),
            unix: UnixStream::pair()?,
            datagrams: UnixDatagram::pair()?,
            silent,
        })
    }
}

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let folder = workload::path(&arguments, 0, "FOLDER")?;
    let world = World::new(folder)?;
    let mut ledger = Ledger::default();

    workload::begin(gate.as_ref())?;
    plain(&mut ledger, &world)?;
    vectors(&mut ledger, &world)?;
    inside_the_kernel(&mut ledger, &world)?;
    pipes(&mut ledger, &world)?;
    sockets(&mut ledger, &world)?;
    memory(&mut ledger)?;
    nothing(&mut ledger, &world)?;
    failures(&mut ledger, &world)?;

    // The last read, whose own bytes the accounts it returns do not yet hold.
    let accounts = File::open("/proc/self/io")?;
    let mut text = vec![0; 1024];
    let length = call::read(accounts.as_raw_fd(), &mut text)?;
    ledger.moved("read", Ok(length), length)?;
    text.truncate(length);
    let text = String::from_utf8(text).context("/proc/self/io is no text")?;
    ledger.report(serde_json::json!({"io": text, "io_bytes": length}))
}

fn plain(ledger: &mut Ledger, world: &World) -> Result<()> {
    let mut buffer = vec![0; 8192];
    let (file, out) = (world.file.as_raw_fd(), world.out.as_raw_fd());
    let (reader, writer) = (world.pipe.0.as_raw_fd(), world.pipe.1.as_raw_fd());
    ledger.moved("read", call::read(file, &mut buffer[..4097]), 4097)?;
    ledger.moved("write", call::write(out, &buffer[..4097]), 4097)?;
    ledger.moved("read", call::read(world.zero.as_raw_fd(), &mut buffer[..77]), 77)?;
    ledger.moved("write", call::write(world.null.as_raw_fd(), &buffer[..78]), 78)?;
    ledger.moved("write", call::write(writer, &buffer[..1000]), 1000)?;
    ledger.moved("read", call::read(reader, &mut buffer), 1000)?;
    for (a, b) in [
        (world.tcp.0.as_raw_fd(), world.tcp.1.as_raw_fd()),
        (world.unix.0.as_raw_fd(), world.unix.1.as_raw_fd()),
        (world.datagrams.0.as_raw_fd(), world.datagrams.1.as_raw_fd()),
    ] {
        ledger.moved("write", call::write(a, &buffer[..1234]), 1234)?;
        ledger.moved("read", call::read(b, &mut buffer), 1234)?;
    }
    ledger.moved("pread64", call::pread64(file, &mut buffer[..101], 5000), 101)?;
    // Over the end of the file: a short read.
    ledger.moved("pread64", call::pread64(file, &mut buffer, 64 * 1024 - 3), 3)?;
    ledger.moved("pwrite64", call::pwrite64(out, &buffer[..102], 9000), 102)
}

fn vectors(ledger: &mut Ledger, world: &World) -> Result<()> {
    let (file, out) = (world.file.as_raw_fd(), world.out.as_raw_fd());
    let bytes = vec![b'v'; 4096];
    // Twelve: more than fit a record.
    let twelve =
        |length: usize| -> Vec<IoSlice<'_>> { bytes.chunks(length).take(12).map(IoSlice::new).collect() };
    let mut buffer = vec![0; 4096];
    let mut into = |length: usize, work: &mut dyn FnMut(&mut [IoSliceMut<'_>]) -> Result<()>| {
        let mut slices: Vec<IoSliceMut<'_>> =
            buffer.chunks_mut(length).take(12).map(IoSliceMut::new).collect();
        work(&mut slices)
    };
    into(11, &mut |slices| ledger.moved("readv", call::readv(file, slices), 132))?;
    into(12, &mut |slices| ledger.moved("readv", call::readv(world.zero.as_raw_fd(), slices), 144))?;
    into(13, &mut |slices| ledger.moved("preadv", call::preadv(file, slices, 100), 156))?;
    into(14, &mut |slices| ledger.moved("preadv2", call::preadv2(file, slices, 200, 0), 168))?;
    // At the file's own position, which moves on.
    into(15, &mut |slices| ledger.moved("preadv2", call::preadv2(file, slices, -1, 0), 180))?;
    ledger.moved("writev", call::writev(out, &twelve(21)), 252)?;
    ledger.moved("writev", call::writev(world.pipe.1.as_raw_fd(), &twelve(22)), 264)?;
    into(99, &mut |slices| ledger.moved("readv", call::readv(world.pipe.0.as_raw_fd(), slices), 264))?;
    ledger.moved("pwritev", call::pwritev(out, &twelve(23), 300), 276)?;
    ledger.moved("pwritev2", call::pwritev2(out, &twelve(24), 400, 0), 288)?;
    ledger.moved("pwritev2", call::pwritev2(out, &twelve(25), -1, 0), 300)
}

fn inside_the_kernel(ledger: &mut Ledger, world: &World) -> Result<()> {
    let (file, out) = (world.file.as_raw_fd(), world.out.as_raw_fd());
    let mut buffer = vec![0; 8192];
    let mut offset = 1000;
    ledger.moved("sendfile", call::sendfile_at(world.tcp.0.as_raw_fd(), file, &mut offset, 3000), 3000)?;
    ledger.moved(
        "recvfrom",
        call::recvfrom(world.tcp.1.as_raw_fd(), &mut buffer[..3000], libc::MSG_WAITALL),
        3000,
    )?;
    ledger.moved("sendfile", call::sendfile(out, file, 5001), 5001)?;
    ledger.moved("sendfile", call::sendfile(world.pipe.1.as_raw_fd(), file, 501), 501)?;
    ledger.moved("read", call::read(world.pipe.0.as_raw_fd(), &mut buffer), 501)?;
    let (mut from, mut to) = (10, 20_000);
    ledger.moved("copy_file_range", call::copy_file_range(file, &mut from, out, &mut to, 7001), 7001)
}

fn pipes(ledger: &mut Ledger, world: &World) -> Result<()> {
    let (file, out) = (world.file.as_raw_fd(), world.out.as_raw_fd());
    let (reader, writer) = (world.pipe.0.as_raw_fd(), world.pipe.1.as_raw_fd());
    let (other_reader, other_writer) = (world.other_pipe.0.as_raw_fd(), world.other_pipe.1.as_raw_fd());
    let (sender, receiver) = (world.tcp.0.as_raw_fd(), world.tcp.1.as_raw_fd());
    let mut buffer = vec![0; 8192];
    ledger.moved("splice", call::splice(file, writer, 2000, 0), 2000)?;
    ledger.moved("tee", call::tee(reader, other_writer, 700, 0), 700)?;
    ledger.moved("splice", call::splice(reader, sender, 2000, 0), 2000)?;
    ledger.moved("splice", call::splice(receiver, writer, 2000, 0), 2000)?;
    ledger.moved("splice", call::splice(reader, out, 1500, 0), 1500)?;
    ledger.moved("splice", call::splice(reader, other_writer, 500, 0), 500)?;
    ledger.moved("read", call::read(other_reader, &mut buffer), 1200)?;
    let bytes = vec![b's'; 4096];
    let slices = [IoSlice::new(&bytes[..300]), IoSlice::new(&bytes[..301])];
    ledger.moved("vmsplice", call::vmsplice(writer, &slices, 0), 601)?;
    ledger.moved("vmsplice", call::vmsplice_out(reader, &mut [IoSliceMut::new(&mut buffer[..601])], 0), 601)
}

fn sockets(ledger: &mut Ledger, world: &World) -> Result<()> {
    let mut buffer = vec![0; 4096];
    let bytes = vec![b'n'; 4096];
    for (a, b) in [
        (world.tcp.0.as_raw_fd(), world.tcp.1.as_raw_fd()),
        (world.unix.0.as_raw_fd(), world.unix.1.as_raw_fd()),
        (world.datagrams.0.as_raw_fd(), world.datagrams.1.as_raw_fd()),
    ] {
        ledger.moved("sendto", call::sendto(a, &bytes[..801], 0), 801)?;
        ledger.moved("recvfrom", call::recvfrom(b, &mut buffer[..801], libc::MSG_WAITALL), 801)?;
        let slices: Vec<IoSlice<'_>> = bytes.chunks(31).take(10).map(IoSlice::new).collect();
        ledger.moved("sendmsg", call::sendmsg(a, &slices, 0), 310)?;
        let mut slices: Vec<IoSliceMut<'_>> = buffer.chunks_mut(31).take(10).map(IoSliceMut::new).collect();
        ledger.moved("recvmsg", call::recvmsg(b, &mut slices, libc::MSG_WAITALL), 310)?;
    }
    let (a, b) = (world.datagrams.0.as_raw_fd(), world.datagrams.1.as_raw_fd());
    ledger.messages(
        "sendmmsg",
        call::sendmmsg(a, &[&bytes[..10], &bytes[..20], &bytes[..30]], 0),
        &[10, 20, 30],
    )?;
    let (first, rest) = buffer.split_at_mut(100);
    let (second, third) = rest.split_at_mut(100);
    ledger.messages("recvmmsg", call::recvmmsg(b, &mut [first, second, third], 0), &[10, 20, 30])
}

fn memory(ledger: &mut Ledger) -> Result<()> {
    let me = std::process::id();
    let remote = vec![b'r'; 1000];
    let mut local = vec![0; 600];
    let slices = [IoSlice::new(&remote[..200]), IoSlice::new(&remote[500..901])];
    ledger.moved("process_vm_readv", call::process_vm_readv(me, &mut local, &slices), 600)?;
    let mut remote = vec![0; 1000];
    let (a, b) = remote.split_at_mut(500);
    let mut slices = [IoSliceMut::new(&mut a[..250]), IoSliceMut::new(b)];
    ledger.moved("process_vm_writev", call::process_vm_writev(me, &local, &mut slices), 600)
}

/// Calls that ask for nothing, or are told of the end.
fn nothing(ledger: &mut Ledger, world: &World) -> Result<()> {
    let (file, out) = (world.file.as_raw_fd(), world.out.as_raw_fd());
    let mut buffer = [0; 16];
    ledger.moved("read", call::read(file, &mut buffer[..0]), 0)?;
    ledger.moved("write", call::write(out, &[]), 0)?;
    ledger.moved("readv", call::readv(file, &mut []), 0)?;
    ledger.moved("writev", call::writev(out, &[]), 0)?;
    ledger.moved("pread64", call::pread64(file, &mut buffer, 1 << 30), 0)?;
    ledger.moved("sendto", call::sendto(world.unix.0.as_raw_fd(), &[], 0), 0)?;
    ledger.moved("splice", call::splice(file, world.pipe.1.as_raw_fd(), 0, 0), 0)?;
    let mut offset = 1 << 20;
    ledger.moved("sendfile", call::sendfile_at(out, file, &mut offset, 100), 0)
}

fn failures(ledger: &mut Ledger, world: &World) -> Result<()> {
    /// Never open.
    const BAD: RawFd = 1_000_000;
    let (file, out) = (world.file.as_raw_fd(), world.out.as_raw_fd());
    let silent = world.silent.0.as_raw_fd();
    let (reader, writer) = (world.pipe.0.as_raw_fd(), world.pipe.1.as_raw_fd());
    let mut buffer = [0; 64];
    ledger.failed("read", call::read(BAD, &mut buffer), libc::EBADF)?;
    ledger.failed("write", call::write(BAD, &buffer), libc::EBADF)?;
    ledger.failed("read", call::read(world.null.as_raw_fd(), &mut buffer), libc::EBADF)?;
    ledger.failed("write", call::write(file, &buffer), libc::EBADF)?;
    ledger.failed("readv", call::readv(BAD, &mut [IoSliceMut::new(&mut buffer)]), libc::EBADF)?;
    ledger.failed("pwritev", call::pwritev(BAD, &[IoSlice::new(&buffer)], 0), libc::EBADF)?;
    ledger.failed("preadv", call::preadv(file, &mut [IoSliceMut::new(&mut buffer)], -1), libc::EINVAL)?;
    ledger.failed("sendfile", call::sendfile(BAD, file, 10), libc::EBADF)?;
    ledger.failed("splice", call::splice(file, out, 10, 0), libc::EINVAL)?;
    ledger.failed("splice", call::splice(reader, out, 10, libc::SPLICE_F_NONBLOCK), libc::EAGAIN)?;
    ledger.failed(
        "tee",
        call::tee(reader, world.other_pipe.1.as_raw_fd(), 10, libc::SPLICE_F_NONBLOCK),
        libc::EAGAIN,
    )?;
    ledger.failed("vmsplice", call::vmsplice(file, &[IoSlice::new(&buffer)], 0), libc::EBADF)?;
    ledger.failed("copy_file_range", call::copy_file_range(BAD, &mut 0, out, &mut 0, 10), libc::EBADF)?;
    ledger.failed("read", call::read(silent, &mut buffer), libc::EAGAIN)?;
    ledger.failed("recvfrom", call::recvfrom(silent, &mut buffer, 0), libc::EAGAIN)?;
    ledger.failed("recvmsg", call::recvmsg(silent, &mut [IoSliceMut::new(&mut buffer)], 0), libc::EAGAIN)?;
    let mut message = [0; 16];
    ledger.failed("recvmmsg", call::recvmmsg(silent, &mut [&mut message], 0), libc::EAGAIN)?;
    ledger.failed("sendto", call::sendto(file, &buffer, 0), libc::ENOTSOCK)?;
    ledger.failed("sendmsg", call::sendmsg(BAD, &[IoSlice::new(&buffer)], 0), libc::EBADF)?;
    ledger.failed("sendmmsg", call::sendmmsg(BAD, &[&buffer], 0), libc::EBADF)?;
    ledger.failed("read", call::read_to_nowhere(file, 100), libc::EFAULT)?;
    ledger.failed("write", call::write_from_nowhere(writer, 100), libc::EFAULT)?;
    ledger.failed("pread64", call::pread64(reader, &mut buffer, 0), libc::ESPIPE)?;
    let nobody = [IoSlice::new(&buffer)];
    ledger.failed("process_vm_readv", call::process_vm_readv(0x3fff_ffff, &mut [0; 16], &nobody), libc::ESRCH)
}
