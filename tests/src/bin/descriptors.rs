//! `descriptors FOLDER [--gate FIFO]`: reads and writes files through descriptors that were duplicated, replaced, reused,
//! inherited, closed by exec and by range, passed and taken. Tells how many bytes were read from and written to each
//! path, whatever the number of the descriptor was. Standard input is a file opened before (`stdin`).
//!
//! `descriptors after-exec FOLDER KEPT CLOSED` is the program after its exec.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
    process::{Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, waitpid},
};
use serde_json::json;
use zc_trace_tests::{
    call,
    workload::{self, Ledger},
};

/// The names of the files, each of [`FILE_BYTES`].
const NAMES: [&str; 15] = [
    "duplicated",
    "replaced",
    "first",
    "second",
    "forked",
    "kept",
    "closed",
    "reopened",
    "low",
    "high",
    "ranged",
    "passed",
    "taken",
    "written",
    "appended",
];
const FILE_BYTES: usize = 8192;

/// What is written. Nothing is ever read to there, so that no write could be taken for sending on what was read.
static WRITTEN: [u8; 2048] = [b'w'; 2048];

/// Bytes per path.
#[derive(Default)]
struct Truth {
    folder: PathBuf,
    read: BTreeMap<String, usize>,
    written: BTreeMap<String, usize>,
}

impl Truth {
    fn open(&self, name: &str) -> Result<File> {
        File::open(self.folder.join(name)).with_context(|| name.to_owned())
    }

    /// Reads through this descriptor what must come from the file of that name.
    fn reads(&mut self, name: &str, fd: RawFd, bytes: usize) -> Result<()> {
        read_exactly(fd, bytes).with_context(|| name.to_owned())?;
        self.expects(name, bytes);
        Ok(())
    }

    fn expects(&mut self, name: &str, bytes: usize) {
        *self.read.entry(self.key(name)).or_default() += bytes;
    }

    fn writes(&mut self, name: &str, fd: RawFd, bytes: usize) -> Result<()> {
        ensure!(call::write(fd, &WRITTEN[..bytes])? == bytes, "{name}: not everything was written");
        *self.written.entry(self.key(name)).or_default() += bytes;
        Ok(())
    }

    fn key(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }
}

fn read_exactly(fd: RawFd, bytes: usize) -> Result<()> {
    let read = call::read(fd, &mut vec![0; bytes])?;
    ensure!(read == bytes, "descriptor {fd} gave {read} bytes instead of {bytes}");
    Ok(())
}

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    if arguments.first().is_some_and(|argument| argument == "after-exec") {
        return after_exec(&arguments);
    }
    let mut truth = Truth { folder: workload::path(&arguments, 0, "FOLDER")?.to_owned(), ..Truth::default() };
    for name in NAMES {
        fs::write(truth.folder.join(name), vec![b'd'; FILE_BYTES])?;
        *truth.written.entry(truth.key(name)).or_default() += FILE_BYTES;
    }
    workload::begin(gate.as_ref())?;
    // Open since before the gate, by nobody's call that a tracer saw.
    truth.reads("stdin", io::stdin().as_raw_fd(), 1000)?;
    duplicated(&mut truth)?;
    reused(&mut truth)?;
    forked(&mut truth)?;
    executed(&mut truth)?;
    ranged(&mut truth)?;
    passed(&mut truth)?;
    taken(&mut truth)?;
    written(&mut truth)?;
    Ledger::default().report(json!({"read": truth.read, "written": truth.written}))
}

fn duplicated(truth: &mut Truth) -> Result<()> {
    let file = truth.open("duplicated")?;
    let duplicate = rustix::io::dup(&file)?;
    let high = fcntl_dupfd_cloexec(&file, 100)?;
    ensure!(high.as_raw_fd() >= 100, "fcntl(F_DUPFD) gave a low number");
    drop(file);
    truth.reads("duplicated", duplicate.as_raw_fd(), 100)?;
    truth.reads("duplicated", high.as_raw_fd(), 10)?;
    let mut replaced = OwnedFd::from(truth.open("replaced")?);
    truth.reads("replaced", replaced.as_raw_fd(), 20)?;
    rustix::io::dup2(&duplicate, &mut replaced)?;
    truth.reads("duplicated", replaced.as_raw_fd(), 200)
}

fn reused(truth: &mut Truth) -> Result<()> {
    let first = truth.open("first")?;
    let number = first.as_raw_fd();
    truth.reads("first", number, 300)?;
    drop(first);
    let second = truth.open("second")?;
    ensure!(second.as_raw_fd() == number, "the number was not reused");
    truth.reads("second", number, 400)
}

fn forked(truth: &mut Truth) -> Result<()> {
    let file = truth.open("forked")?;
    in_child(|| read_exactly(file.as_raw_fd(), 500))?;
    truth.expects("forked", 500);
    truth.reads("forked", file.as_raw_fd(), 50)
}

fn executed(truth: &mut Truth) -> Result<()> {
    let kept = truth.open("kept")?;
    let closed = truth.open("closed")?;
    truth.reads("closed", closed.as_raw_fd(), 30)?;
    fcntl_setfd(&kept, FdFlags::empty())?;
    in_child(|| {
        let mut program = Command::new(env::current_exe()?);
        program.arg("after-exec").arg(&truth.folder);
        program.args([kept.as_raw_fd().to_string(), closed.as_raw_fd().to_string()]);
        Err(program.exec().into())
    })?;
    truth.expects("kept", 600);
    truth.expects("reopened", 700);
    Ok(())
}

fn after_exec(arguments: &[OsString]) -> Result<()> {
    let truth = Truth { folder: workload::path(arguments, 1, "FOLDER")?.to_owned(), ..Truth::default() };
    let kept = RawFd::try_from(workload::number(arguments, 2, "KEPT")?)?;
    let closed = RawFd::try_from(workload::number(arguments, 3, "CLOSED")?)?;
    read_exactly(kept, 600)?;
    let reopened = truth.open("reopened")?;
    ensure!(reopened.as_raw_fd() == closed, "exec did not close {closed}");
    read_exactly(closed, 700)
}

fn ranged(truth: &mut Truth) -> Result<()> {
    let low = OwnedFd::from(truth.open("low")?);
    let high = OwnedFd::from(truth.open("high")?);
    let (first, last) = (low.as_raw_fd(), high.as_raw_fd());
    ensure!(last == first + 1, "the numbers are no range");
    truth.reads("low", first, 40)?;
    truth.reads("high", last, 41)?;
    // Closed behind the back of their owners, which must forget them.
    std::mem::forget((low, high));
    call::close_range(first, last, 0)?;
    let ranged = truth.open("ranged")?;
    ensure!(ranged.as_raw_fd() == first, "close_range did not close {first}");
    truth.reads("ranged", first, 800)
}

fn passed(truth: &mut Truth) -> Result<()> {
    let (mine, theirs) = UnixStream::pair()?;
    let file = truth.open("passed")?;
    let child = call::fork()?;
    if child == 0 {
        workload::bound();
        drop(file);
        exit_with(receive(&theirs).and_then(|received| read_exactly(received.as_raw_fd(), 900)));
    }
    let fds = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(control.push(SendAncillaryMessage::ScmRights(&fds)), "no room for the descriptor");
    sendmsg(&mine, &[IoSlice::new(b"f")], &mut control, SendFlags::empty())?;
    await_child(child)?;
    truth.expects("passed", 900);
    Ok(())
}

fn receive(socket: &UnixStream) -> Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message {
            return fds.next().context("no descriptor came");
        }
    }
    bail!("no message with a descriptor came")
}

fn taken(truth: &mut Truth) -> Result<()> {
    let file = truth.open("taken")?;
    let parent = pidfd_open(getpid(), PidfdFlags::empty())?;
    let number = file.as_raw_fd();
    in_child(|| {
        // Its own copy goes first: what it reads through came from its parent.
        call::close_range(number, number, 0)?;
        let taken = call::pidfd_getfd(parent.as_raw_fd(), number)?;
        // SAFETY: the kernel just made this descriptor for us.
        let taken = unsafe { OwnedFd::from_raw_fd(taken) };
        read_exactly(taken.as_raw_fd(), 1100)
    })?;
    truth.expects("taken", 1100);
    Ok(())
}

fn written(truth: &mut Truth) -> Result<()> {
    let written = OpenOptions::new().write(true).open(truth.folder.join("written"))?;
    let duplicate = rustix::io::dup(&written)?;
    truth.writes("written", duplicate.as_raw_fd(), 1200)?;
    let appended = OpenOptions::new().append(true).open(truth.folder.join("appended"))?;
    truth.writes("appended", appended.as_raw_fd(), 1300)
}

/// Does it in a forked child.
fn in_child(work: impl FnOnce() -> Result<()>) -> Result<()> {
    let child = call::fork()?;
    if child == 0 {
        workload::bound();
        exit_with(work());
    }
    await_child(child)
}

fn exit_with(result: Result<()>) -> ! {
    if let Err(error) = result {
        eprintln!("child: {error:#}");
        call::exit_now(1);
    }
    call::exit_now(0)
}

fn await_child(child: usize) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(child)?).context("no child")?;
    let ended = waitpid(Some(pid), WaitOptions::empty())?;
    ensure!(ended.is_some_and(|(_, status)| status.exit_status() == Some(0)), "a child failed");
    Ok(())
}
