//! Sending with `MSG_ZEROCOPY`: the kernel keeps references to the pages of the buffer and reports on the socket's error
//! queue when it is done with them; only then may the buffer be filled anew (Documentation/networking/msg_zerocopy.rst).

use std::{collections::VecDeque, mem, os::fd::AsRawFd as _};

use anyhow::{Context as _, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, retry_on_intr},
};

use super::workload::Job;

/// Buffers on the way at one time.
const BUFFERS: usize = 8;
const PAGE_BYTES: usize = 4096;
/// Room for one control message with `sock_extended_err` and an address.
const CONTROL_WORDS: usize = 16;

/// Sends the whole file and waits until the kernel is done with every buffer.
pub(super) fn send(job: &Job) -> anyhow::Result<()> {
    enable(job)?;
    let mut sender = Sender { job, next_id: 0, completed: 0 };
    let mut buffers: VecDeque<Buffer> = (0..BUFFERS).map(|_| Buffer::new(job.chunk)).collect();
    let mut sent = 0;
    while sent < job.size {
        let Some(mut buffer) = buffers.pop_front() else { bail!("there are no buffers") };
        sender.wait_for(buffer.free_after)?;
        let bytes = buffer.bytes(job.next(sent));
        let length = job.read(bytes)?;
        sender.send(&bytes[..length])?;
        sent += length as u64;
        buffer.free_after = sender.next_id;
        buffers.push_back(buffer);
    }
    sender.wait_for(sender.next_id)
}

fn enable(job: &Job) -> anyhow::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option is one int, and that is what is passed.
    let result = unsafe {
        libc::setsockopt(
            job.socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ZEROCOPY,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    ensure!(result == 0, "cannot set SO_ZEROCOPY (needs Linux 4.14): {}", std::io::Error::last_os_error());
    Ok(())
}

/// Memory that begins with a page, so that a chunk touches as few pages as it can.
struct Buffer {
    memory: Vec<u8>,
    start: usize,
    /// Free once the kernel has reported this many sends.
    free_after: u64,
}

impl Buffer {
    fn new(length: usize) -> Self {
        let memory = vec![0; length + PAGE_BYTES];
        let start = memory.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        Self { memory, start, free_after: 0 }
    }

    fn bytes(&mut self, length: usize) -> &mut [u8] {
        &mut self.memory[self.start..][..length]
    }
}

struct Sender<'job> {
    job: &'job Job,
    /// Sends that succeeded: the kernel numbers them from 0, per socket.
    next_id: u64,
    /// All sends before this one are reported done.
    completed: u64,
}

impl Sender<'_> {
    fn send(&mut self, mut bytes: &[u8]) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            match retry_on_intr(|| self.send_once(bytes)) {
                Ok(0) => bail!("cannot send: nothing was taken"),
                Ok(sent) => {
                    bytes = &bytes[sent..];
                    self.next_id += 1;
                }
                // The account of pending reports is full (net.core.optmem_max): some must be taken first.
                Err(Errno::NOBUFS) if self.completed < self.next_id => self.wait_for(self.completed + 1)?,
                Err(Errno::NOBUFS) => bail!(
                    "cannot send with MSG_ZEROCOPY: the limit on locked memory or net.core.optmem_max is too low for one chunk. Hint: use a smaller --chunk"
                ),
                Err(error) => return Err(error).context("cannot send with MSG_ZEROCOPY"),
            }
        }
        Ok(())
    }

    fn send_once(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let flags = libc::MSG_ZEROCOPY | libc::MSG_NOSIGNAL;
        // SAFETY: the slice is valid for this call; its memory lives and is not written to until the kernel reports
        // that it is done, which `send` waits for. Were it freed earlier (after an error, when this process ends), the
        // kernel's own references would keep the pages.
        let sent =
            unsafe { libc::send(self.job.socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
        usize::try_from(sent).map_err(|_| last_error())
    }

    /// Takes reports until `sends` sends are done. TCP reports in order.
    fn wait_for(&mut self, sends: u64) -> anyhow::Result<()> {
        while self.completed < sends {
            match retry_on_intr(|| self.take_report()) {
                Ok(Some(last)) => self.complete(last),
                Ok(None) => {}
                Err(Errno::AGAIN) => self.wait_for_report()?,
                Err(error) => return Err(error).context("cannot read the kernel's report on a send"),
            }
        }
        Ok(())
    }

    fn wait_for_report(&self) -> anyhow::Result<()> {
        // An error queue that is not empty shows as POLLERR, which need not be asked for.
        let mut descriptors = [PollFd::new(&self.job.socket, PollFlags::empty())];
        retry_on_intr(|| poll(&mut descriptors, None))
            .context("cannot wait for the kernel's report on a send")?;
        if descriptors[0].revents().contains(PollFlags::HUP) {
            let error = self.job.socket.take_error().context("cannot read the socket's error")?;
            error.map_or(Ok(()), |error| Err(error).context("the receiver went away"))?;
        }
        Ok(())
    }

    /// The kernel's number has 32 bits: it is the nearest send that ends in them.
    fn complete(&mut self, last: u32) {
        let ahead = last.wrapping_add(1).wrapping_sub(self.completed as u32);
        if u64::from(ahead) <= self.next_id - self.completed {
            self.completed += u64::from(ahead);
        }
    }

    /// The number of the last send that one report covers; `None` for a report of another kind.
    fn take_report(&self) -> Result<Option<u32>, Errno> {
        let mut control = [0_u64; CONTROL_WORDS];
        // SAFETY: all zeroes is a valid msghdr: no address, no vectors, no control buffer.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: the message names the control buffer above, with its size, and nothing else.
        let result = unsafe { libc::recvmsg(self.job.socket.as_raw_fd(), &mut message, flags) };
        if result < 0 {
            return Err(last_error());
        }
        Ok(last_send(&message))
    }
}

fn last_send(message: &libc::msghdr) -> Option<u32> {
    // SAFETY: recvmsg has filled in a control buffer that is still alive, and its length.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so it points to a whole header inside the control buffer.
        let kind = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if kind == (libc::SOL_IP, libc::IP_RECVERR) || kind == (libc::SOL_IPV6, libc::IPV6_RECVERR) {
            // SAFETY: the data of a control message of this kind is a sock_extended_err (ip(7)).
            let report: libc::sock_extended_err =
                unsafe { libc::CMSG_DATA(header).cast::<libc::sock_extended_err>().read_unaligned() };
            // linux/errqueue.h: SO_EE_ORIGIN_ZEROCOPY
            if report.ee_origin == 5 {
                return Some(report.ee_data);
            }
        }
        // SAFETY: as for the first header.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
