//! `relay METHOD FILE CHUNK [ADDRESS NETNS] [--gate FIFO]`: sends a file over loopback TCP to another process, chunk by chunk,
//! by `read+write`, `sendfile`, `mmap+write`, `splice` or `send(MSG_ZEROCOPY)`. The file's size is a multiple of the chunk.
//! With ADDRESS (and port) it is at that address that it listens, and the other process is in the network namespace of that
//! name; then the connection is ended in order, so that every packet of it has left before the socket is closed.
//!
//! `relay receive ADDRESS SIZE` is the other process.

use std::{
    env, fs,
    fs::File,
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::{AsRawFd as _, RawFd},
    path::Path,
    process::Command,
    ptr,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use zc_trace_tests::{
    call,
    workload::{self, Ledger},
    zerocopy,
};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let method = arguments.first().and_then(|method| method.to_str()).context("METHOD is missing")?;
    let path = workload::path(&arguments, 1, "FILE")?;
    let chunk = workload::number(&arguments, 2, "CHUNK")?;
    if method == "receive" {
        return receive(path, chunk);
    }
    let size = usize::try_from(fs::metadata(path)?.len())?;
    ensure!(chunk > 0 && size.is_multiple_of(chunk), "{size} bytes are not whole chunks of {chunk}");

    let namespace = arguments.get(4);
    let listener = match namespace {
        None => TcpListener::bind("127.0.0.1:0")?,
        Some(_) => TcpListener::bind(workload::path(&arguments, 3, "ADDRESS")?.to_str().context("ADDRESS")?)?,
    };
    let mut receiver = match namespace {
        None => Command::new(env::current_exe()?),
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec"]).arg(namespace).arg(env::current_exe()?);
            command
        }
    };
    let mut receiver =
        receiver.arg("receive").arg(listener.local_addr()?.to_string()).arg(size.to_string()).spawn()?;
    let (socket, _) = listener.accept()?;
    let file = File::open(path)?;
    // Read before the gate: the flow is from the memory of this process.
    let content = if method == ZEROCOPY { fs::read(path)? } else { Vec::new() };
    let mut ledger = Ledger::default();
    let mut more = json!({"payload_bytes": size, "chunks": size / chunk});
    let (from, to) = (file.as_raw_fd(), socket.as_raw_fd());

    workload::begin(gate.as_ref())?;
    match method {
        "read+write" => read_write(&mut ledger, from, to, size, chunk)?,
        "sendfile" => sendfile(&mut ledger, from, to, size, chunk)?,
        "mmap+write" => mmap_write(&mut ledger, from, to, size, chunk)?,
        "splice" => splice(&mut ledger, from, to, size, chunk)?,
        ZEROCOPY => {
            let reports = zerocopy::send(&mut ledger, to, &content, chunk)?;
            more["sends"] = reports.sends.into();
            more["copied"] = reports.copied.into();
            more["by_reference"] = reports.by_reference.into();
        }
        other => bail!("no method {other}"),
    }
    if namespace.is_some() {
        socket.shutdown(Shutdown::Write)?;
        ledger.moved("read", call::read(to, &mut [0; 1]), 0)?;
    }
    drop(socket);
    workload::did_well("the receiver", receiver.wait()?)?;
    ledger.report(more)
}

const ZEROCOPY: &str = "send(MSG_ZEROCOPY)";

fn receive(address: &Path, size: usize) -> Result<()> {
    let socket = TcpStream::connect(address.to_str().context("the address is no text")?)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut received = 0;
    loop {
        match call::read(socket.as_raw_fd(), &mut buffer)? {
            0 => break,
            bytes => received += bytes,
        }
    }
    ensure!(received == size, "received {received} bytes instead of {size}");
    Ok(())
}

fn read_write(ledger: &mut Ledger, from: RawFd, to: RawFd, size: usize, chunk: usize) -> Result<()> {
    let mut buffer = vec![0; chunk];
    for _ in 0..size / chunk {
        ledger.moved("read", call::read(from, &mut buffer), chunk)?;
        // A blocking stream socket takes everything.
        ledger.moved("write", call::write(to, &buffer), chunk)?;
    }
    Ok(())
}

fn sendfile(ledger: &mut Ledger, from: RawFd, to: RawFd, size: usize, chunk: usize) -> Result<()> {
    let mut left = size;
    while left > 0 {
        left -= ledger.moved_some("sendfile", call::sendfile(to, from, chunk.min(left)), left)?;
    }
    Ok(())
}

fn splice(ledger: &mut Ledger, from: RawFd, to: RawFd, size: usize, chunk: usize) -> Result<()> {
    let (reader, writer) = io::pipe()?;
    let mut left = size;
    while left > 0 {
        let mut in_pipe =
            ledger.moved_some("splice", call::splice(from, writer.as_raw_fd(), chunk.min(left), 0), left)?;
        left -= in_pipe;
        while in_pipe > 0 {
            in_pipe -=
                ledger.moved_some("splice", call::splice(reader.as_raw_fd(), to, in_pipe, 0), in_pipe)?;
        }
    }
    Ok(())
}

fn mmap_write(ledger: &mut Ledger, from: RawFd, to: RawFd, size: usize, chunk: usize) -> Result<()> {
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let address = unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_READ, libc::MAP_SHARED, from, 0) };
    ensure!(address != libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
    // SAFETY: the mapping is that long, readable, and nobody writes to the file or cuts it off.
    let bytes = unsafe { std::slice::from_raw_parts(address.cast::<u8>(), size) };
    for part in bytes.chunks(chunk) {
        ledger.moved("write", call::write(to, part), chunk)?;
    }
    Ok(())
}
