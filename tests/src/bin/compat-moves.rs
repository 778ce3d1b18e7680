//! `compat-moves FOLDER [--gate FIFO]`: 32-bit calls that move the files `in` and `aio` of FOLDER, 64 KiB each, by what is laid out
//! differently for 32-bit programs: vectors, messages, arguments in memory, requests of AIO. Each way goes to a place of its
//! own.

use anyhow::Result;

#[cfg(target_arch = "x86_64")]
fn main() -> Result<()> {
    moves::main()
}

#[cfg(not(target_arch = "x86_64"))]
fn main() -> Result<()> {
    anyhow::bail!("this machine has no int 0x80")
}

#[cfg(target_arch = "x86_64")]
mod moves {
    use std::{
        fs::File,
        io,
        os::{fd::AsRawFd, unix::net::UnixStream},
        path::{Path, PathBuf},
    };

    use anyhow::{Result, ensure};
    use serde_json::json;
    use zc_trace_tests::{
        compat::{Arena, address, call},
        workload::{self, Ledger},
    };

    /// arch/x86/entry/syscalls/syscall_32.tbl.
    const MMAP: u64 = 90;
    const SOCKETCALL: u64 = 102;
    const READV: u64 = 145;
    const WRITEV: u64 = 146;
    const IO_SETUP: u64 = 245;
    const IO_GETEVENTS: u64 = 247;
    const IO_SUBMIT: u64 = 248;
    const PREADV: u64 = 333;
    const RECVMMSG: u64 = 337;
    const SENDMMSG: u64 = 345;
    const SENDMSG: u64 = 370;
    const RECVMSG: u64 = 372;
    /// include/uapi/linux/net.h: first arguments of `socketcall`.
    const SYS_SEND: u64 = 9;
    const SYS_RECVFROM: u64 = 12;
    const SYS_RECVMSG: u64 = 17;
    /// include/uapi/linux/aio_abi.h.
    const IOCB_CMD_PREADV: u16 = 7;

    const SIZE: usize = 64 << 10;
    const CHUNK: usize = 8 << 10;

    fn descriptor(file: &impl AsRawFd) -> u64 {
        file.as_raw_fd().cast_unsigned().into()
    }

    /// Two buffers that are no neighbours, together a chunk.
    fn two(arena: &mut Arena) -> Result<[(u64, usize); 2]> {
        let first = (address(arena.bytes(CHUNK / 4)?), CHUNK / 4);
        arena.bytes(64)?;
        Ok([first, (address(arena.bytes(CHUNK - CHUNK / 4)?), CHUNK - CHUNK / 4)])
    }

    pub(super) fn main() -> Result<()> {
        workload::bound();
        let (arguments, gate) = workload::arguments()?;
        let folder = workload::path(&arguments, 0, "FOLDER")?;
        let mut arena = Arena::new(1 << 20)?;
        let mut ledger = Ledger::default();
        workload::begin(gate.as_ref())?;
        let written = by_vectors(&mut arena, &mut ledger, folder)?;
        by_messages(&mut arena, &mut ledger, folder)?;
        by_socketcall(&mut arena, &mut ledger)?;
        by_several_messages(&mut arena, &mut ledger)?;
        let mapped = by_mapping(&mut arena, &mut ledger, folder)?;
        by_aio(&mut arena, &mut ledger, folder)?;
        ledger.report(json!({"written": written, "mapped": mapped}))
    }

    /// `readv` and `preadv`, each sent on by `writev`.
    fn by_vectors(arena: &mut Arena, ledger: &mut Ledger, folder: &Path) -> Result<PathBuf> {
        let (from, to) = (File::open(folder.join("in"))?, folder.join("vectors"));
        let into = File::create(&to)?;
        let buffers = two(arena)?;
        let vector = arena.vector(&buffers)?;
        for offset in (0..SIZE).step_by(2 * CHUNK) {
            ledger.moved("readv:32", call(READV, [descriptor(&from), vector, 2, 0, 0]), CHUNK)?;
            ledger.moved("writev:32", call(WRITEV, [descriptor(&into), vector, 2, 0, 0]), CHUNK)?;
            let at = (offset + CHUNK) as u64;
            ledger.moved("preadv:32", call(PREADV, [descriptor(&from), vector, 2, at, 0]), CHUNK)?;
            ledger.moved("writev:32", call(WRITEV, [descriptor(&into), vector, 2, 0, 0]), CHUNK)?;
            // preadv leaves the file's position alone.
            rustix::fs::seek(&from, rustix::fs::SeekFrom::Current(CHUNK as i64))?;
        }
        Ok(to)
    }

    /// `readv`, sent on by `sendmsg`, received by `recvmsg` into two other buffers.
    fn by_messages(arena: &mut Arena, ledger: &mut Ledger, folder: &Path) -> Result<()> {
        let from = File::open(folder.join("in"))?;
        let (one, other) = UnixStream::pair()?;
        let (out, back) = (two(arena)?, two(arena)?);
        let (vector, message, answer) = (arena.vector(&out)?, arena.message(&out)?, arena.message(&back)?);
        for _ in 0..SIZE / CHUNK {
            ledger.moved("readv:32", call(READV, [descriptor(&from), vector, 2, 0, 0]), CHUNK)?;
            ledger.moved("sendmsg:32", call(SENDMSG, [descriptor(&one), message, 0, 0, 0]), CHUNK)?;
            ledger.moved("recvmsg:32", call(RECVMSG, [descriptor(&other), answer, 0, 0, 0]), CHUNK)?;
        }
        Ok(())
    }

    /// What 32-bit C libraries make of `send`, `recv` and `recvmsg`: what is received by two of them is sent by the first.
    fn by_socketcall(arena: &mut Arena, ledger: &mut Ledger) -> Result<()> {
        let (one, other) = UnixStream::pair()?;
        let (out, back) = (arena.bytes(CHUNK)?, two(arena)?);
        out.fill(7);
        let answer = arena.message(&back)?;
        let (one, other, length) = (descriptor(&one), descriptor(&other), CHUNK as u64);
        let send = arena.words(&[one, address(out), length, 0])?;
        let receive = arena.words(&[other, back[1].0, CHUNK as u64 / 2, 0, 0, 0])?;
        let receive_message = arena.words(&[other, answer, 0])?;
        for _ in 0..SIZE / CHUNK {
            ledger.moved("sendto:32", call(SOCKETCALL, [SYS_SEND, send, 0, 0, 0]), CHUNK)?;
            let received = call(SOCKETCALL, [SYS_RECVFROM, receive, 0, 0, 0]);
            ledger.moved("recvfrom:32", received, CHUNK / 2)?;
            let received = call(SOCKETCALL, [SYS_RECVMSG, receive_message, 0, 0, 0]);
            ledger.moved("recvmsg:32", received, CHUNK / 2)?;
        }
        // One that there is not.
        ledger.failed("socketcall:32", call(SOCKETCALL, [99, send, 0, 0, 0]), libc::EINVAL)
    }

    /// Two messages by one call, and their lengths as the kernel tells them.
    fn by_several_messages(arena: &mut Arena, ledger: &mut Ledger) -> Result<()> {
        let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
        let buffers = two(arena)?;
        let mut words = Vec::new();
        for buffer in &buffers {
            words.extend([0, 0, arena.vector(&[*buffer])?, 1, 0, 0, 0, 0]);
        }
        let messages = arena.words(&words)?;
        let due = buffers.map(|(_, length)| length as u32);
        for (name, number, socket) in [("sendmmsg:32", SENDMMSG, &one), ("recvmmsg:32", RECVMMSG, &other)] {
            let moved = call(number, [descriptor(socket), messages, 2, 0, 0])?;
            let lengths = vec![arena.word(messages + 28)?, arena.word(messages + 60)?];
            ledger.messages(name, Ok((moved, lengths)), &due)?;
        }
        Ok(())
    }

    /// `mmap` as i386 has it first: its arguments in memory. What is mapped is written.
    fn by_mapping(arena: &mut Arena, ledger: &mut Ledger, folder: &Path) -> Result<PathBuf> {
        let (from, to) = (File::open(folder.join("in"))?, folder.join("mapping"));
        let into = File::create(&to)?;
        let (length, protection, flags) = (SIZE as u64, libc::PROT_READ as u64, libc::MAP_PRIVATE as u64);
        let arguments = arena.words(&[0, length, protection, flags, descriptor(&from), 0])?;
        let start = raw(MMAP, arguments)?;
        let vector = arena.vector(&[(start, SIZE)])?;
        ledger.moved("writev:32", call(WRITEV, [descriptor(&into), vector, 1, 0, 0]), SIZE)?;
        Ok(to)
    }

    /// A call that returns an address, of which the upper half may be in use.
    fn raw(number: u64, argument: u64) -> Result<u64> {
        let low = match call(number, [argument, 0, 0, 0, 0]) {
            Ok(address) => address as u64,
            Err(error) => {
                let code = error.raw_os_error().unwrap_or(0);
                ensure!(code > 4095, "{error}");
                u64::from(code.cast_unsigned().wrapping_neg())
            }
        };
        Ok(low)
    }

    /// A request with a 32-bit vector, in a 32-bit list.
    fn by_aio(arena: &mut Arena, ledger: &mut Ledger, folder: &Path) -> Result<()> {
        let from = File::open(folder.join("aio"))?;
        let context = arena.words(&[0])?;
        call(IO_SETUP, [8, context, 0, 0, 0])?;
        let id = arena.word(context)?.into();
        let buffers = two(arena)?;
        let vector = arena.vector(&buffers)?;
        let request = arena.bytes(64)?;
        request[16..18].copy_from_slice(&IOCB_CMD_PREADV.to_ne_bytes());
        request[20..24].copy_from_slice(&from.as_raw_fd().to_ne_bytes());
        request[24..32].copy_from_slice(&vector.to_ne_bytes());
        request[32..40].copy_from_slice(&2_u64.to_ne_bytes());
        let list = arena.words(&[address(request)])?;
        let events = arena.bytes(32)?;
        for _ in 0..4 {
            ensure!(call(IO_SUBMIT, [id, 1, list, 0, 0])? == 1, "not taken");
            ensure!(call(IO_GETEVENTS, [id, 1, 1, address(events), 0])? == 1, "nothing has completed");
            let result = events[16..24].try_into().map(i64::from_ne_bytes)?;
            let moved = usize::try_from(result).map_err(|_| io::Error::other("it failed"));
            ledger.moved("aio:preadv", moved, CHUNK)?;
        }
        Ok(())
    }
}
