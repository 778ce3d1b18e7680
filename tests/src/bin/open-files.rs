//! `open-files FOLDER [--gate FIFO]`: holds descriptors of every kind open, before the gate and after it, some never used,
//! some used anew, replaced, duplicated, closed by range, inherited by two children; then stops itself and its children
//! with SIGSTOP, so that `/proc/PID/fd` can be read beside what a tracer says. Before it stops, it prints one line:
//! `{"children": [pid, pid], "sharing": pid, "passed": fd, "reused": fd}`: the first child has forked only, the second has executed `open-files wait`. One more shares the table of the first process (CLONE_FILES).

use std::{
    env,
    fs::{self, File},
    io::{self, IoSlice, IoSliceMut, Write as _},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd as _, AsRawFd as _, IntoRawFd as _, OwnedFd, RawFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::CommandExt as _,
        },
    },
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    event::{EventfdFlags, epoll, eventfd},
    fs::{MemfdFlags, memfd_create},
    io::{FdFlags, dup, fcntl_dupfd_cloexec, fcntl_setfd},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
    pipe::{PipeFlags, pipe, pipe_with},
};
use serde_json::json;
use zc_trace_tests::{call, workload};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    if arguments.first().is_some_and(|argument| argument == "wait") {
        // After its exec: one more descriptor, then it stops.
        let _more = File::open("/dev/null")?;
        stop();
        return Ok(());
    }
    let folder = workload::path(&arguments, 0, "FOLDER")?.to_owned();
    for name in ["first", "second", "third"] {
        fs::write(folder.join(name), [b'x'; 100])?;
    }
    let mut held = kinds(&folder, "before")?;
    let reused = File::open(folder.join("first"))?;
    workload::begin(gate.as_ref())?;

    // A number that was open before stands for another file.
    let number = reused.as_raw_fd();
    read_some(number, 10)?;
    drop(reused);
    let reused = File::open(folder.join("second"))?;
    ensure!(reused.as_raw_fd() == number, "the number was not reused");
    read_some(number, 20)?;
    held.push(reused.into());
    held.extend(kinds(&folder, "after")?);
    held.push(dup(&held[0])?);
    held.push(fcntl_dupfd_cloexec(&held[0], 200)?);
    let mut replaced = OwnedFd::from(File::open(folder.join("third"))?);
    rustix::io::dup2(&held[0], &mut replaced)?;
    held.push(replaced);
    // Three in a row; the middle one is kept by way of its duplicate.
    let row: Vec<OwnedFd> = (0..3).map(|_| Ok(File::open("/dev/zero")?.into())).collect::<Result<_>>()?;
    let (first, last) = (row[0].as_raw_fd(), row[2].as_raw_fd());
    held.push(dup(&row[1])?);
    for fd in row {
        let _ = fd.into_raw_fd();
    }
    call::close_range(first, last, 0)?;
    // Kept by exec, though opened to be closed; and closed, though opened to be kept.
    fcntl_setfd(&held[0], FdFlags::empty())?;
    call::close_range(150, 250, 4)?;
    let passed = pass(&folder)?;
    let forked = child(call::fork()?, || {
        let _more = File::open("/dev/null")?;
        stop();
        Ok(())
    })?;
    let executed = child(call::fork()?, || Err(Command::new(env::current_exe()?).arg("wait").exec().into()))?;
    let sharing = child(call::clone_files()?, || {
        // In the table of both.
        let _more = File::open("/dev/full")?;
        stop();
        Ok(())
    })?;
    println!(
        "{}",
        json!({"children": [forked, executed], "sharing": sharing, "passed": passed.as_raw_fd(), "reused": number})
    );
    io::stdout().flush()?;
    stop();
    Ok(())
}

/// One of each kind, half of them closed by exec.
fn kinds(folder: &Path, name: &str) -> Result<Vec<OwnedFd>> {
    let file = File::create(folder.join(name))?;
    let (reader, writer) = pipe()?;
    let (other_reader, other_writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    let listener6 = TcpListener::bind("[::1]:0")?;
    let (one, other) = UnixStream::pair()?;
    let unix = UnixListener::bind(folder.join(format!("{name}.socket")))?;
    let epoll = epoll::create(epoll::CreateFlags::empty())?;
    Ok(vec![
        file.into(),
        reader,
        writer,
        other_reader,
        other_writer,
        listener.into(),
        client.into(),
        server.into(),
        listener6.into(),
        UdpSocket::bind("127.0.0.1:0")?.into(),
        one.into(),
        other.into(),
        unix.into(),
        epoll,
        eventfd(0, EventfdFlags::CLOEXEC)?,
        memfd_create(name, MemfdFlags::empty())?,
        File::open(folder)?.into(),
        File::open("/proc/self/status")?.into(),
    ])
}

/// Sends itself a descriptor: what arrives was made by no call that returns its number.
fn pass(folder: &Path) -> Result<OwnedFd> {
    let (one, other) = UnixStream::pair()?;
    let file = File::open(folder.join("third"))?;
    let fds = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(control.push(SendAncillaryMessage::ScmRights(&fds)), "no room for the descriptor");
    sendmsg(&one, &[IoSlice::new(b"f")], &mut control, SendFlags::empty())?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&other, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut messages = control.drain();
    match messages.next() {
        Some(RecvAncillaryMessage::ScmRights(mut fds)) => fds.next().context("no descriptor came"),
        _ => anyhow::bail!("no message with a descriptor came"),
    }
}

fn read_some(fd: RawFd, bytes: usize) -> Result<()> {
    ensure!(call::read(fd, &mut vec![0; bytes])? == bytes, "the file is too short");
    Ok(())
}

fn child(child: usize, work: impl FnOnce() -> Result<()>) -> Result<usize> {
    if child == 0 {
        // A stopped process does not heed its bound in time.
        // SAFETY: sets which signal this process gets when its parent ends.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        let done = work();
        call::exit_now(i32::from(done.is_err()));
    }
    Ok(child)
}

fn stop() {
    // SAFETY: stops this process until it is continued or killed.
    unsafe { libc::raise(libc::SIGSTOP) };
}
