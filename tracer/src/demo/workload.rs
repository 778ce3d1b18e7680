//! What the traced process of the demonstration does: sends a file over a connection by one method, with no other I/O, so
//! that the trace shows the method and nothing else. No call asks for more than a chunk.

use std::{fs::File, net::SocketAddr, net::TcpStream, path::PathBuf, ptr::NonNull};

use anyhow::{Context as _, ensure};
use rustix::{
    fs::sendfile,
    io::{Errno, read, retry_on_intr, write},
    mm::{MapFlags, ProtFlags, mmap, munmap},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};

use super::{Method, zerocopy};

/// What to send, where to, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// How.
    pub method: Method,
    /// Bytes to send; the file has at least as many.
    pub size_bytes: u64,
    /// Most bytes that one call is asked to move.
    pub chunk_bytes: u64,
    /// The file.
    pub file: PathBuf,
    /// Where the receiver listens.
    pub address: SocketAddr,
}

/// Sends the file once and closes the connection.
pub fn send_file(options: &Options) -> anyhow::Result<()> {
    ensure!(options.chunk_bytes > 0, "a chunk has at least 1 byte");
    let file = File::open(&options.file).context("cannot open the file to send")?;
    let socket = TcpStream::connect(options.address).context("cannot connect to the receiver")?;
    let chunk = options.chunk_bytes.min(options.size_bytes.max(1));
    let chunk = usize::try_from(chunk).context("the chunk is larger than memory")?;
    let job = Job { file, socket, size: options.size_bytes, chunk };
    match options.method {
        Method::ReadWrite => job.read_write(),
        Method::Sendfile => job.sendfile(),
        Method::MmapWrite => job.mmap_write(),
        Method::Splice => job.splice(),
        Method::Zerocopy => zerocopy::send(&job),
    }
}

/// A file on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) file: File,
    pub(super) socket: TcpStream,
    /// Bytes to send.
    pub(super) size: u64,
    /// Most bytes a call.
    pub(super) chunk: usize,
}

impl Job {
    /// What the next call is to ask for when `sent` bytes are gone; 0 when all are.
    pub(super) fn next(&self, sent: u64) -> usize {
        usize::try_from(self.size - sent).map_or(self.chunk, |missing| missing.min(self.chunk))
    }

    /// Reads the next bytes of the file.
    pub(super) fn read(&self, buffer: &mut [u8]) -> anyhow::Result<usize> {
        moved(retry_on_intr(|| read(&self.file, &mut *buffer)), "read the file")
    }

    fn write(&self, mut bytes: &[u8]) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            let written = moved(retry_on_intr(|| write(&self.socket, bytes)), "write to the socket")?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    fn read_write(&self) -> anyhow::Result<()> {
        let mut buffer = vec![0; self.chunk];
        let mut sent = 0;
        while sent < self.size {
            let length = self.read(&mut buffer[..self.next(sent)])?;
            self.write(&buffer[..length])?;
            sent += length as u64;
        }
        Ok(())
    }

    fn sendfile(&self) -> anyhow::Result<()> {
        let mut sent = 0;
        while sent < self.size {
            let result = retry_on_intr(|| sendfile(&self.socket, &self.file, None, self.next(sent)));
            sent += moved(result, "send the file")? as u64;
        }
        Ok(())
    }

    fn mmap_write(&self) -> anyhow::Result<()> {
        let mapping = Mapping::of(&self.file, usize::try_from(self.size)?)?;
        for chunk in mapping.bytes().chunks(self.chunk) {
            self.write(chunk)?;
        }
        Ok(())
    }

    fn splice(&self) -> anyhow::Result<()> {
        let (output, input) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
        // Without the right to a pipe that large (fs.pipe-max-size) it stays as it is, and each turn moves less.
        let _ = fcntl_setpipe_size(&input, self.chunk);
        let mut sent = 0;
        while sent < self.size {
            let wanted = self.next(sent);
            let result = retry_on_intr(|| splice(&self.file, None, &input, None, wanted, SpliceFlags::MOVE));
            let mut in_pipe = moved(result, "splice the file into the pipe")?;
            sent += in_pipe as u64;
            let flags =
                if sent < self.size { SpliceFlags::MOVE | SpliceFlags::MORE } else { SpliceFlags::MOVE };
            while in_pipe > 0 {
                let result = retry_on_intr(|| splice(&output, None, &self.socket, None, in_pipe, flags));
                in_pipe -= moved(result, "splice the pipe into the socket")?;
            }
        }
        Ok(())
    }
}

/// How much a call moved; nothing moved is an error, for there was something left to move.
fn moved(result: Result<usize, Errno>, what: &str) -> anyhow::Result<usize> {
    let bytes = result.with_context(|| format!("cannot {what}"))?;
    ensure!(bytes > 0, "cannot {what}: it ended early");
    Ok(bytes)
}

/// A file in memory.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    fn of(file: &File, length: usize) -> anyhow::Result<Self> {
        ensure!(file.metadata()?.len() >= length as u64, "cannot map the file: it is too short");
        // SAFETY: the kernel chooses an address that is free.
        let start = unsafe { mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, 0) };
        let start =
            NonNull::new(start.context("cannot map the file")?.cast()).context("mapped at address 0")?;
        Ok(Self { start, length })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for reading, this long, until the drop. The file is the demonstration's own: nobody else
        // writes or shortens it.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the whole of our own mapping, and no slice of it outlives us. An error leaves it mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}
