//! `uring MODE FOLDER [--gate FIFO]`: every kind of io_uring request that moves payload, and some that do not, each with a
//! known result. MODE is `plain`, `worker`, `polling-thread` or `deferred`. Or it is `namesakes`: only two requests that complete
//! many times over, by one name.

use std::{
    fs::{self, File, OpenOptions},
    io::{IoSlice, IoSliceMut, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::net::{UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use io_uring::{cqueue, opcode, squeue::Flags, types};
use zc_trace_tests::{
    uring::{Due, Mode, Request, Ring, more_to_come},
    workload,
};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let mode = match arguments.first().and_then(|mode| mode.to_str()) {
        Some("plain") => Mode::Plain,
        Some("worker") => Mode::Worker,
        Some("polling-thread") => Mode::PollingThread,
        Some("deferred") => Mode::Deferred,
        Some("namesakes") => Mode::Plain,
        other => bail!("no mode {other:?}"),
    };
    let namesakes_only = arguments.first().is_some_and(|mode| mode == "namesakes");
    let folder = workload::path(&arguments, 1, "FOLDER")?;
    let mut ring = Ring::new(mode)?;
    workload::begin(gate.as_ref())?;
    if namesakes_only {
        return namesakes(ring);
    }
    read_and_write(&mut ring, folder)?;
    fixed(&mut ring, folder)?;
    network(&mut ring)?;
    splices(&mut ring, folder)?;
    linked(&mut ring, folder)?;
    relay(&mut ring, folder)?;
    provided(&mut ring, mode)?;
    nothing_moves(&mut ring)?;
    ring.report()
}

/// A file of that many bytes, and its path.
fn file(folder: &Path, name: &str, bytes: usize) -> Result<(File, PathBuf)> {
    let path = folder.join(name);
    let content: Vec<u8> = (0..bytes).map(|at| (at * 31 + at / 251) as u8).collect();
    fs::write(&path, content)?;
    Ok((OpenOptions::new().read(true).write(true).open(&path)?, path))
}

fn fd(file: &impl std::os::fd::AsRawFd) -> types::Fd {
    types::Fd(file.as_raw_fd())
}

fn length(buffer: &[u8]) -> u32 {
    u32::try_from(buffer.len()).unwrap_or(u32::MAX)
}

fn read_and_write(ring: &mut Ring, folder: &Path) -> Result<()> {
    let ((from, from_path), (to, to_path)) = (file(folder, "from", 10_000)?, file(folder, "to", 0)?);
    let mut buffer = vec![0; 4096];
    let read = |buffer: &mut [u8], offset| {
        opcode::Read::new(fd(&from), buffer.as_mut_ptr(), length(buffer)).offset(offset).build()
    };
    ring.make("io_uring:read", read(&mut buffer, 0), Due::Bytes(4096))?;
    ring.make("io_uring:read", read(&mut buffer, 8192), Due::Bytes(1808))?;
    ring.make("io_uring:read", read(&mut buffer, 10_000), Due::Bytes(0))?;
    let none = opcode::Read::new(types::Fd(987), buffer.as_mut_ptr(), 1).build();
    ring.make("io_uring:read", none, Due::Failed(libc::EBADF))?;
    let mut many = vec![vec![0_u8; 512]; 8];
    let requests = (0_u64..).zip(&mut many).map(|(number, buffer)| Request {
        name: "io_uring:read",
        entry: read(buffer, number * 512),
        due: Due::Bytes(512),
    });
    let requests = requests.collect();
    ring.make_all(requests)?;
    let (mut one, mut two) = (vec![0; 1000], vec![0; 24]);
    {
        let vector = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        let entry = opcode::Readv::new(fd(&from), vector.as_ptr().cast(), 2).offset(100).build();
        ring.make("io_uring:readv", entry, Due::Bytes(1024))?;
    }
    ring.has_read(&from_path, 4096 + 1808 + 8 * 512 + 1024);

    let own = vec![7; 5000];
    let entry = opcode::Write::new(fd(&to), own.as_ptr(), length(&own)).build();
    ring.make("io_uring:write", entry, Due::Bytes(5000))?;
    let vector = [IoSlice::new(&own[..3]), IoSlice::new(&own[..500]), IoSlice::new(&own[..1])];
    let entry = opcode::Writev::new(fd(&to), vector.as_ptr().cast(), 3).offset(5000).build();
    ring.make("io_uring:writev", entry, Due::Bytes(504))?;
    ring.has_written(&to_path, 5504);
    Ok(())
}

/// Registered buffers and registered files.
fn fixed(ring: &mut Ring, folder: &Path) -> Result<()> {
    let ((from, from_path), (to, to_path)) = (file(folder, "fixed", 9000)?, file(folder, "to-fixed", 0)?);
    let mut buffer = vec![0_u8; 8192];
    let vector = [libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }];
    // SAFETY: the buffer is unregistered below, before it goes.
    unsafe { ring.inner().submitter().register_buffers(&vector) }?;
    ring.inner().submitter().register_files(&[from.as_raw_fd(), to.as_raw_fd()])?;
    let entry = opcode::ReadFixed::new(types::Fixed(0), buffer.as_mut_ptr(), 8192, 0).build();
    ring.make("io_uring:read_fixed", entry, Due::Bytes(8192))?;
    let entry = opcode::ReadFixed::new(fd(&from), buffer.as_mut_ptr(), 100, 0).offset(8900).build();
    ring.make("io_uring:read_fixed", entry, Due::Bytes(100))?;
    buffer.fill(9);
    let entry = opcode::WriteFixed::new(types::Fixed(1), buffer.as_ptr(), 4097, 0).build();
    ring.make("io_uring:write_fixed", entry, Due::Bytes(4097))?;
    let entry = opcode::Read::new(types::Fixed(0), buffer.as_mut_ptr(), 10).build();
    ring.make("io_uring:read", entry, Due::Bytes(10))?;
    ring.has_read(&from_path, 8192 + 100 + 10);
    ring.has_written(&to_path, 4097);
    ring.inner().submitter().unregister_buffers()?;
    ring.inner().submitter().unregister_files()?;
    Ok(())
}

fn tcp_pair() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    Ok((one, listener.accept()?.0))
}

fn header(vector: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: all zeros are a message header without name and control data.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = vector.as_mut_ptr();
    header.msg_iovlen = vector.len();
    header
}

fn piece(buffer: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }
}

fn network(ring: &mut Ring) -> Result<()> {
    let (one, two) = tcp_pair()?;
    let (mut out, mut back) = (vec![3; 3000], vec![0; 8192]);
    let entry = opcode::Send::new(fd(&one), out.as_ptr(), length(&out)).build();
    ring.make("io_uring:send", entry, Due::Bytes(3000))?;
    let entry = opcode::Recv::new(fd(&two), back.as_mut_ptr(), length(&back)).build();
    ring.make("io_uring:recv", entry, Due::Bytes(3000))?;
    {
        let (left, right) = out.split_at_mut(1000);
        let mut vector = [piece(left), piece(right)];
        let message = header(&mut vector);
        ring.make("io_uring:sendmsg", opcode::SendMsg::new(fd(&one), &message).build(), Due::Bytes(3000))?;
        let (left, right) = back.split_at_mut(10);
        let mut vector = [piece(left), piece(right)];
        let mut message = header(&mut vector);
        ring.make(
            "io_uring:recvmsg",
            opcode::RecvMsg::new(fd(&two), &mut message).build(),
            Due::Bytes(3000),
        )?;
    }
    // Each completes twice: the second time when the kernel is done with the memory.
    let large = vec![5; 20_000];
    // IORING_SEND_ZC_REPORT_USAGE: the notification is to say whether the kernel copied after all.
    let entry = opcode::SendZc::new(fd(&one), large.as_ptr(), length(&large)).zc_flags(1 << 3).build();
    let flags = ring.make("io_uring:send_zc", entry, Due::Bytes(20_000))?;
    receive_all(&two, 20_000)?;
    notified(ring, flags)?;
    let mut again = large;
    let mut vector = [piece(&mut again)];
    let message = header(&mut vector);
    let entry = opcode::SendMsgZc::new(fd(&one), &message).build();
    let flags = ring.make("io_uring:sendmsg_zc", entry, Due::Bytes(20_000))?;
    receive_all(&two, 20_000)?;
    notified(ring, flags)?;
    // What nobody has sent yet: it waits, and is run when there is something.
    let entry = opcode::Recv::new(fd(&two), back.as_mut_ptr(), length(&back)).build();
    ring.push(&entry)?;
    ring.inner().submit()?;
    (&one).write_all(&out[..777])?;
    let done = ring.wait()?;
    ring.settle("io_uring:recv", Due::Bytes(777), done.result())
}

fn receive_all(mut socket: &TcpStream, bytes: usize) -> Result<()> {
    let mut buffer = vec![0; bytes];
    Ok(socket.read_exact(&mut buffer)?)
}

fn notified(ring: &mut Ring, flags: u32) -> Result<()> {
    more_to_come(flags)?;
    let done = ring.wait()?;
    ensure!(cqueue::notif(done.flags()), "no notification");
    Ok(())
}

fn pipe() -> Result<[File; 2]> {
    let (read, write) = rustix::pipe::pipe()?;
    Ok([read.into(), write.into()])
}

fn splices(ring: &mut Ring, folder: &Path) -> Result<()> {
    let ((from, from_path), (to, to_path)) =
        (file(folder, "spliced", 10_000)?, file(folder, "to-spliced", 0)?);
    let ([out, into], [second_out, second_into]) = (pipe()?, pipe()?);
    let entry = opcode::Splice::new(fd(&from), 0, fd(&into), -1, 10_000).build();
    ring.make("io_uring:splice", entry, Due::Bytes(10_000))?;
    ring.make("io_uring:tee", opcode::Tee::new(fd(&out), fd(&second_into), 3000).build(), Due::Bytes(3000))?;
    let entry = opcode::Splice::new(fd(&out), -1, fd(&to), 0, 10_000).build();
    ring.make("io_uring:splice", entry, Due::Bytes(10_000))?;
    ring.inner().submitter().register_files(&[from.as_raw_fd()])?;
    let entry = opcode::Splice::new(types::Fixed(0), 0, fd(&into), -1, 1234).build();
    ring.make("io_uring:splice", entry, Due::Bytes(1234))?;
    ring.inner().submitter().unregister_files()?;
    let entry = opcode::Splice::new(fd(&out), -1, fd(&to), 10_000, 1234).build();
    ring.make("io_uring:splice", entry, Due::Bytes(1234))?;
    ring.has_read(&from_path, 10_000 + 1234);
    ring.has_written(&to_path, 10_000 + 1234);
    let mut duplicate = vec![0; 3000];
    Ok((&second_out).read_exact(&mut duplicate)?)
}

fn linked(ring: &mut Ring, folder: &Path) -> Result<()> {
    let (file, path) = file(folder, "linked", 0)?;
    let own = vec![1; 2000];
    let mut back = vec![0; 2000];
    let write = opcode::Write::new(fd(&file), own.as_ptr(), length(&own)).build().flags(Flags::IO_LINK);
    let sync = opcode::Fsync::new(fd(&file)).build().flags(Flags::IO_LINK);
    let read = opcode::Read::new(fd(&file), back.as_mut_ptr(), length(&back)).build();
    ring.make_all(vec![
        Request { name: "io_uring:write", entry: write, due: Due::Bytes(2000) },
        Request { name: "io_uring:fsync", entry: sync, due: Due::Done },
        Request { name: "io_uring:read", entry: read.clone(), due: Due::Bytes(2000) },
    ])?;
    ring.has_written(&path, 2000);
    ring.has_read(&path, 2000);
    // The first fails, so the second is cancelled.
    let wrong = opcode::Write::new(types::Fd(987), own.as_ptr(), 1).build().flags(Flags::IO_LINK);
    ring.make_all(vec![
        Request { name: "io_uring:write", entry: wrong, due: Due::Failed(libc::EBADF) },
        Request { name: "io_uring:read", entry: read, due: Due::Failed(libc::ECANCELED) },
    ])?;
    Ok(())
}

/// From a file to a socket.
fn relay(ring: &mut Ring, folder: &Path) -> Result<()> {
    let (file, path) = file(folder, "relayed", 32_768)?;
    let (one, two) = tcp_pair()?;
    let mut buffer = vec![0; 4096];
    for number in 0..8 {
        let read = opcode::Read::new(fd(&file), buffer.as_mut_ptr(), 4096).offset(number * 4096).build();
        ring.make("io_uring:read", read, Due::Bytes(4096))?;
        let send = opcode::Send::new(fd(&one), buffer.as_ptr(), 4096).build();
        ring.make("io_uring:send", send, Due::Bytes(4096))?;
    }
    ring.has_read(&path, 32_768);
    receive_all(&two, 32_768)
}

const GROUP: u16 = 1;
const ROOM: usize = 4096;

/// Buffers that the kernel chooses from, by requests that complete once or many times over.
fn provided(ring: &mut Ring, mode: Mode) -> Result<()> {
    let mut buffers = vec![0_u8; ROOM * 16];
    let entry = opcode::ProvideBuffers::new(buffers.as_mut_ptr(), i32::try_from(ROOM)?, 16, GROUP, 0).build();
    ring.make("io_uring:provide_buffers", entry, Due::Done)?;
    let (one, mut two) = UnixStream::pair()?;
    two.write_all(&[8; 600])?;
    let entry = opcode::Recv::new(fd(&one), std::ptr::null_mut(), 600).buf_group(GROUP).build();
    let flags = ring.make("io_uring:recv", entry.flags(Flags::BUFFER_SELECT), Due::Bytes(600))?;
    let chosen = usize::from(cqueue::buffer_select(flags).context("no buffer")?);
    // From the chosen buffer to another socket: a relay.
    let (out, _kept) = tcp_pair()?;
    let send = opcode::Send::new(fd(&out), buffers[chosen * ROOM..].as_ptr(), 600).build();
    ring.make("io_uring:send", send, Due::Bytes(600))?;
    if mode == Mode::Worker {
        // A worker does not run requests that complete many times over.
        return Ok(());
    }
    let (one, two) = UnixDatagram::pair()?;
    let entry = opcode::RecvMulti::new(fd(&one), GROUP).build();
    many(ring, "io_uring:recv", &entry, &two, 0, |ring, chosen| {
        let send = opcode::Send::new(fd(&out), buffers[chosen * ROOM..].as_ptr(), 600).build();
        ring.make("io_uring:send", send, Due::Bytes(600)).map(drop)
    })?;
    let (one, two) = UnixDatagram::pair()?;
    // SAFETY: all zeros are a message header; only the room for names counts.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_namelen = 28;
    let entry = opcode::RecvMsgMulti::new(fd(&one), &message, GROUP).build();
    many(ring, "io_uring:recvmsg", &entry, &two, 16 + 28, |ring, chosen| {
        let send = opcode::Send::new(fd(&out), buffers[chosen * ROOM + 16 + 28..].as_ptr(), 600).build();
        ring.make("io_uring:send", send, Due::Bytes(600)).map(drop)
    })
}

/// One request that completes with each datagram, until it is cancelled. The kernel puts a heading before each. The second
/// is sent on from the buffer that the kernel chose.
fn many(
    ring: &mut Ring,
    name: &'static str,
    entry: &io_uring::squeue::Entry,
    peer: &UnixDatagram,
    heading: usize,
    mut send_on: impl FnMut(&mut Ring, usize) -> Result<()>,
) -> Result<()> {
    const NUMBER: u64 = 4711;
    ring.push(&entry.clone().user_data(NUMBER))?;
    ring.inner().submit()?;
    for (number, bytes) in (1..).zip([100, 600, 1, 777]) {
        peer.send(&vec![number; bytes])?;
        let done = ring.wait()?;
        ensure!(usize::try_from(done.result()).ok() == Some(bytes + heading), "{}", done.result());
        more_to_come(done.flags())?;
        ring.ledger().moved(name, Ok(bytes), bytes)?;
        if bytes == 600 {
            let chosen = cqueue::buffer_select(done.flags()).context("no buffer")?;
            send_on(ring, usize::from(chosen))?;
        }
    }
    ring.push(&opcode::AsyncCancel::new(NUMBER).build().user_data(1))?;
    for _ in 0..2 {
        let done = ring.wait()?;
        match done.user_data() {
            NUMBER => ring.settle(name, Due::Failed(libc::ECANCELED), done.result())?,
            _ => ring.settle("io_uring:async_cancel", Due::Done, done.result())?,
        }
    }
    Ok(())
}

/// Two requests of the same user data: the kernel does not say which of them completes with each datagram.
fn namesakes(mut ring: Ring) -> Result<()> {
    let mut buffers = vec![0_u8; ROOM * 16];
    let entry = opcode::ProvideBuffers::new(buffers.as_mut_ptr(), i32::try_from(ROOM)?, 16, GROUP, 0).build();
    ring.make("io_uring:provide_buffers", entry, Due::Done)?;
    let pairs = [UnixDatagram::pair()?, UnixDatagram::pair()?];
    for (one, _) in &pairs {
        ring.push(&opcode::RecvMulti::new(fd(one), GROUP).build().user_data(4711))?;
    }
    ring.inner().submit()?;
    for (_, peer) in &pairs {
        peer.send(&[1; 300])?;
        let done = ring.wait()?;
        ensure!(done.result() == 300, "{}", done.result());
        more_to_come(done.flags())?;
    }
    ring.report()
}

fn nothing_moves(ring: &mut Ring) -> Result<()> {
    ring.make("io_uring:nop", opcode::Nop::new().build(), Due::Done)?;
    let soon = types::Timespec::new().nsec(1000);
    ring.make("io_uring:timeout", opcode::Timeout::new(&soon).build(), Due::Failed(libc::ETIME))?;
    let [_, into] = pipe()?;
    let events = u32::try_from(libc::POLLOUT)?;
    ring.make("io_uring:poll_add", opcode::PollAdd::new(fd(&into), events).build(), Due::Done)?;
    let open: RawFd = rustix::fd::IntoRawFd::into_raw_fd(rustix::io::dup(&into)?);
    ring.make("io_uring:close", opcode::Close::new(types::Fd(open)).build(), Due::Done)?;
    Ok(())
}
