//! `mover KIND FOLDER [--gate FIFO]`: moves a known number of bytes in one way, for the ground truth of copies.
//!
//! In FOLDER there is a file `in` of that many bytes; what is written goes to `out`. Reports the bytes moved, or why this
//! kernel cannot.

use std::{
    fs::{File, OpenOptions},
    io::{self, IoSlice, IoSliceMut},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd},
        unix::{fs::OpenOptionsExt as _, net::UnixStream},
    },
    path::Path,
    ptr,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use zc_trace_tests::{
    call,
    ktls::{self, Version},
    scenario::pattern,
    workload::{self, Ledger},
};

const SIZE: usize = 1 << 20;
const CHUNK: usize = 32 << 10;
/// `FS_EXTENT_FL` (linux/fs.h)
const EXTENTS: u32 = 0x0008_0000;
/// A datagram over loopback holds no more than 64 KiB.
const DATAGRAM: usize = 8 << 10;

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let kind = arguments.first().and_then(|kind| kind.to_str()).context("KIND is missing")?;
    let folder = workload::path(&arguments, 1, "FOLDER")?;
    let mut ledger = Ledger::default();
    workload::begin(gate.as_ref())?;
    let moved = match kind {
        "unix" => unix(&mut ledger)?,
        "passing" => passing(&mut ledger, folder)?,
        "tcp" => tcp(&mut ledger)?,
        "udp" => udp(&mut ledger)?,
        "pipe" => pipe(&mut ledger)?,
        "file_read" => file_read(&mut ledger, folder, 0)?,
        "file_write" => file_write(&mut ledger, folder, 0)?,
        "direct_read" => file_read(&mut ledger, folder, libc::O_DIRECT)?,
        "direct_write" => file_write(&mut ledger, folder, libc::O_DIRECT)?,
        "direct_read_of_a_hole" => direct_read_of_a_hole(&mut ledger, folder)?,
        "direct_write_to_a_hole" => direct_write_to_a_hole(&mut ledger, folder)?,
        "sendfile_to_file" => sendfile_to_file(&mut ledger, folder)?,
        "copy_file_range" => copy_file_range(&mut ledger, folder)?,
        "sendfile_from_zero" => sendfile_from_zero(&mut ledger)?,
        "chain" => chain(&mut ledger, folder)?,
        "tls12" => through_tls(&mut ledger, Version::Tls12, None)?,
        "tls13" => through_tls(&mut ledger, Version::Tls13, None)?,
        "tls_sendfile" => through_tls(&mut ledger, Version::Tls12, Some(input(folder, 0)?))?,
        other => bail!("no kind {other}"),
    };
    let moved = moved.map_or_else(|why| json!({"cannot": why}), |bytes| json!({"bytes": bytes}));
    ledger.report(moved)
}

/// Bytes moved, or why not.
type Moved = std::result::Result<usize, String>;

/// Pages of its own, so that O_DIRECT takes them; filled with what no two of these have in common.
struct Buffer {
    address: *mut libc::c_void,
    length: usize,
}

impl Buffer {
    fn new(length: usize, seed: u8) -> Result<Self> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping, at an address of the kernel's choice.
        let address = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        ensure!(address != libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
        let mut buffer = Self { address, length };
        for (index, byte) in buffer.bytes().iter_mut().enumerate() {
            *byte = seed.wrapping_add((index / 8) as u8).wrapping_mul(31);
        }
        Ok(buffer)
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is that long, writable, and only borrowed through `self`.
        unsafe { std::slice::from_raw_parts_mut(self.address.cast::<u8>(), self.length) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; nothing borrows it any more.
        unsafe { libc::munmap(self.address, self.length) };
    }
}

fn unix(ledger: &mut Ledger) -> Result<Moved> {
    let (one, other) = UnixStream::pair()?;
    through_socket(ledger, one.as_raw_fd(), other.as_raw_fd())
}

/// Bytes that a descriptor is read of that came by a message.
const PROBE: usize = 16;

/// With each message goes a descriptor of the file, which is read from once by the number that it has then.
fn passing(ledger: &mut Ledger, folder: &Path) -> Result<Moved> {
    let (one, other) = UnixStream::pair()?;
    let (mut out, mut back) = (Buffer::new(CHUNK, 1)?, Buffer::new(CHUNK, 2)?);
    let mut probe = [0; PROBE];
    for _ in 0..SIZE / CHUNK {
        let file = input(folder, 0)?;
        let (head, rest) = out.bytes().split_at(CHUNK / 3);
        let buffers = [IoSlice::new(head), IoSlice::new(rest)];
        let sent = call::sendmsg_passing(one.as_raw_fd(), &buffers, file.as_raw_fd());
        ledger.moved("sendmsg", sent, CHUNK)?;
        drop(file);
        let mut left = CHUNK;
        while left > 0 {
            let (first, second) = back.bytes()[..left].split_at_mut(left / 4);
            let mut buffers = [IoSliceMut::new(first), IoSliceMut::new(second)];
            let (bytes, passed) = call::recvmsg_passed(other.as_raw_fd(), &mut buffers)?;
            left -= ledger.moved_some("recvmsg", Ok(bytes), left)?;
            if let Some(passed) = passed {
                // SAFETY: the kernel has just made it for this process.
                let passed = unsafe { OwnedFd::from_raw_fd(passed) };
                ledger.moved("read", call::read(passed.as_raw_fd(), &mut probe), PROBE)?;
            }
        }
    }
    Ok(Ok(SIZE))
}

/// A loopback connection within this process.
fn connection() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    Ok((one, other))
}

fn tcp(ledger: &mut Ledger) -> Result<Moved> {
    let (one, other) = connection()?;
    through_socket(ledger, one.as_raw_fd(), other.as_raw_fd())
}

/// Sent by sendmsg from two buffers, received by recvmsg into three.
fn through_socket(ledger: &mut Ledger, from: RawFd, to: RawFd) -> Result<Moved> {
    let (mut out, mut back) = (Buffer::new(CHUNK, 1)?, Buffer::new(CHUNK, 2)?);
    for _ in 0..SIZE / CHUNK {
        let (head, rest) = out.bytes().split_at(CHUNK / 3);
        ledger.moved("sendmsg", call::sendmsg(from, &[IoSlice::new(head), IoSlice::new(rest)], 0), CHUNK)?;
        let mut left = CHUNK;
        while left > 0 {
            let (first, rest) = back.bytes()[..left].split_at_mut(left / 4);
            let (second, third) = rest.split_at_mut(rest.len() / 2);
            let mut buffers = [IoSliceMut::new(first), IoSliceMut::new(second), IoSliceMut::new(third)];
            left -= ledger.moved_some("recvmsg", call::recvmsg(to, &mut buffers, 0), left)?;
        }
    }
    Ok(Ok(SIZE))
}

fn udp(ledger: &mut Ledger) -> Result<Moved> {
    let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    one.connect(other.local_addr()?)?;
    let (mut out, mut back) = (Buffer::new(DATAGRAM, 1)?, Buffer::new(DATAGRAM, 2)?);
    for _ in 0..SIZE / DATAGRAM {
        ledger.moved("sendto", call::sendto(one.as_raw_fd(), out.bytes(), 0), DATAGRAM)?;
        ledger.moved("recvfrom", call::recvfrom(other.as_raw_fd(), back.bytes(), 0), DATAGRAM)?;
    }
    Ok(Ok(SIZE))
}

fn pipe(ledger: &mut Ledger) -> Result<Moved> {
    let (reader, writer) = io::pipe()?;
    let (mut out, mut back) = (Buffer::new(CHUNK, 1)?, Buffer::new(CHUNK, 2)?);
    for _ in 0..SIZE / CHUNK {
        ledger.moved("write", call::write(writer.as_raw_fd(), out.bytes()), CHUNK)?;
        ledger.moved("read", call::read(reader.as_raw_fd(), back.bytes()), CHUNK)?;
    }
    Ok(Ok(SIZE))
}

fn input(folder: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags).open(folder.join("in"))
}

fn output(folder: &Path, flags: i32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(flags).open(folder.join("out"))
}

/// EINVAL is how a file system says that it does not do O_DIRECT.
fn or_cannot(file: io::Result<File>) -> Result<std::result::Result<File, String>> {
    match file {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Err(error.to_string())),
        file => Ok(Ok(file?)),
    }
}

fn file_read(ledger: &mut Ledger, folder: &Path, flags: i32) -> Result<Moved> {
    let file = match or_cannot(input(folder, flags))? {
        Ok(file) => file,
        Err(why) => return Ok(Err(why)),
    };
    let mut buffer = Buffer::new(CHUNK, 1)?;
    for _ in 0..SIZE / CHUNK {
        ledger.moved("read", call::read(file.as_raw_fd(), buffer.bytes()), CHUNK)?;
    }
    Ok(Ok(SIZE))
}

fn file_write(ledger: &mut Ledger, folder: &Path, flags: i32) -> Result<Moved> {
    let file = match or_cannot(output(folder, flags))? {
        Ok(file) => file,
        Err(why) => return Ok(Err(why)),
    };
    let mut buffer = Buffer::new(CHUNK, 1)?;
    for _ in 0..SIZE / CHUNK {
        ledger.moved("write", call::write(file.as_raw_fd(), buffer.bytes()), CHUNK)?;
    }
    Ok(Ok(SIZE))
}

/// O_DIRECT into the hole of an ext4 file that is kept without extents (chattr(1), `e`): such holes are filled through the page
/// cache (fs/ext4/inode.c, `ext4_iomap_alloc`).
fn direct_write_to_a_hole(ledger: &mut Ledger, folder: &Path) -> Result<Moved> {
    let path = folder.join("out");
    let file = File::create(&path)?;
    let set = rustix::fs::ioctl_getflags(&file).and_then(|flags| {
        rustix::fs::ioctl_setflags(&file, flags & !rustix::fs::IFlags::from_bits_retain(EXTENTS))
    });
    if let Err(error) = set {
        return Ok(Err(format!("the file system keeps no file without extents: {error}")));
    }
    file.set_len(SIZE as u64)?;
    drop(file);
    let file = match or_cannot(OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path))? {
        Ok(file) => file,
        Err(why) => return Ok(Err(why)),
    };
    let mut buffer = Buffer::new(CHUNK, 1)?;
    for _ in 0..SIZE / CHUNK {
        ledger.moved("write", call::write(file.as_raw_fd(), buffer.bytes()), CHUNK)?;
    }
    Ok(Ok(SIZE))
}

/// O_DIRECT from a file that is all hole.
fn direct_read_of_a_hole(ledger: &mut Ledger, folder: &Path) -> Result<Moved> {
    let file = File::create(folder.join("in"))?;
    file.set_len(SIZE as u64)?;
    drop(file);
    file_read(ledger, folder, libc::O_DIRECT)
}

fn sendfile_to_file(ledger: &mut Ledger, folder: &Path) -> Result<Moved> {
    let (from, to) = (input(folder, 0)?, output(folder, 0)?);
    let mut left = SIZE;
    while left > 0 {
        let moved = call::sendfile(to.as_raw_fd(), from.as_raw_fd(), CHUNK.min(left));
        left -= ledger.moved_some("sendfile", moved, left)?;
    }
    Ok(Ok(SIZE))
}

fn copy_file_range(ledger: &mut Ledger, folder: &Path) -> Result<Moved> {
    let (from, to) = (input(folder, 0)?, output(folder, 0)?);
    let (mut left, mut read_at, mut write_at) = (SIZE, 0, 0);
    while left > 0 {
        let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
        let moved = call::copy_file_range(from, &mut read_at, to, &mut write_at, CHUNK.min(left));
        left -= ledger.moved_some("copy_file_range", moved, left)?;
    }
    Ok(Ok(SIZE))
}

/// Since Linux 6.5 by a copying splice; EINVAL before.
fn sendfile_from_zero(ledger: &mut Ledger) -> Result<Moved> {
    let zero = File::open("/dev/zero")?;
    let (one, other) = connection()?;
    let mut back = Buffer::new(CHUNK, 2)?;
    for _ in 0..SIZE / CHUNK {
        let mut left = CHUNK;
        while left > 0 {
            let moved = call::sendfile(one.as_raw_fd(), zero.as_raw_fd(), left);
            if let Err(error) = &moved
                && error.raw_os_error() == Some(libc::EINVAL)
            {
                return Ok(Err(error.to_string()));
            }
            left -= ledger.moved_some("sendfile", moved, left)?;
        }
        let mut left = CHUNK;
        while left > 0 {
            left -=
                ledger.moved_some("read", call::read(other.as_raw_fd(), &mut back.bytes()[..left]), left)?;
        }
    }
    Ok(Ok(SIZE))
}

/// vmsplice into a pipe, tee into another one, splice from the first to a file, read from the second.
fn chain(ledger: &mut Ledger, folder: &Path) -> Result<Moved> {
    let ((reader, writer), (copied_reader, copied_writer)) = (io::pipe()?, io::pipe()?);
    let out = output(folder, 0)?;
    let (mut from, mut back) = (Buffer::new(CHUNK, 1)?, Buffer::new(CHUNK, 2)?);
    for _ in 0..SIZE / CHUNK {
        let gift = [IoSlice::new(from.bytes())];
        ledger.moved("vmsplice", call::vmsplice(writer.as_raw_fd(), &gift, 0), CHUNK)?;
        ledger.moved("tee", call::tee(reader.as_raw_fd(), copied_writer.as_raw_fd(), CHUNK, 0), CHUNK)?;
        ledger.moved("splice", call::splice(reader.as_raw_fd(), out.as_raw_fd(), CHUNK, 0), CHUNK)?;
        ledger.moved("read", call::read(copied_reader.as_raw_fd(), back.bytes()), CHUNK)?;
    }
    Ok(Ok(SIZE))
}

/// Over TLS in the kernel, a record at a time: from memory by write, or from a file by sendfile.
fn through_tls(ledger: &mut Ledger, version: Version, file: Option<File>) -> Result<Moved> {
    let (one, other) = match ktls::connection(version)? {
        Ok(both) => both,
        Err(why) => return Ok(Err(why)),
    };
    let (mut out, mut back) = (Buffer::new(ktls::RECORD, 1)?, Buffer::new(ktls::RECORD, 2)?);
    for number in 0..SIZE as u64 / ktls::RECORD as u64 {
        match &file {
            None => ledger.moved("write", call::write(one.as_raw_fd(), out.bytes()), ktls::RECORD)?,
            Some(file) => {
                let sent = call::sendfile(one.as_raw_fd(), file.as_raw_fd(), ktls::RECORD);
                ledger.moved("sendfile", sent, ktls::RECORD)?;
            }
        }
        ledger.moved("read", call::read(other.as_raw_fd(), back.bytes()), ktls::RECORD)?;
        let came = back.bytes();
        let as_sent = match &file {
            None => came == out.bytes(),
            Some(_) => {
                (0..).zip(came.iter()).all(|(at, byte)| *byte == pattern(number * ktls::RECORD as u64 + at))
            }
        };
        ensure!(as_sent, "what came is not what was sent");
    }
    Ok(Ok(SIZE))
}
