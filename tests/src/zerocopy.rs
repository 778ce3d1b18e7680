//! Sends with MSG_ZEROCOPY, and what the kernel reports of each (Documentation/networking/msg_zerocopy.rst).

use std::{io, mem, os::fd::RawFd, ptr};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::BorrowedFd,
};

use crate::{call, workload::Ledger};

/// `SO_EE_ORIGIN_ZEROCOPY` and `SO_EE_CODE_ZEROCOPY_COPIED` (linux/errqueue.h).
const ORIGIN: u8 = 5;
const COPIED: u8 = 1;

/// What became of the sends on one socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reports {
    /// Sends that succeeded.
    pub sends: u32,
    /// Of these, reported as copied after all.
    pub copied: u32,
    /// Of these, reported as not copied.
    pub by_reference: u32,
}

/// Sends all bytes, and takes the report of every send.
pub fn send(ledger: &mut Ledger, socket: RawFd, bytes: &[u8], chunk: usize) -> Result<Reports> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on))?;
    // SAFETY: the option is one int, and that is what is passed.
    let outcome = unsafe {
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY, (&raw const on).cast(), length)
    };
    ensure!(outcome == 0, "SO_ZEROCOPY: {}", io::Error::last_os_error());
    let mut reports = Reports::default();
    let mut left = bytes;
    while !left.is_empty() {
        let part = &left[..chunk.min(left.len())];
        match call::sendto(socket, part, libc::MSG_ZEROCOPY) {
            // Too much memory is pinned (net.core.optmem_max): reports set some free.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                wait_for_report(socket, &mut reports)?
            }
            sent => {
                let sent = ledger.moved_some("sendto", sent, part.len())?;
                reports.sends += 1;
                left = &left[sent..];
            }
        }
    }
    while reports.copied + reports.by_reference < reports.sends {
        wait_for_report(socket, &mut reports)?;
    }
    Ok(reports)
}

fn wait_for_report(socket: RawFd, reports: &mut Reports) -> Result<()> {
    // SAFETY: the caller's socket is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(socket) };
    // Errors are told without being asked for.
    poll(&mut [PollFd::new(&borrowed, PollFlags::empty())], None)?;
    let (first, last, copied) = take_report(socket)?;
    let sends = last.wrapping_sub(first).wrapping_add(1);
    *(if copied { &mut reports.copied } else { &mut reports.by_reference }) += sends;
    Ok(())
}

/// Takes one report: the first and the last send that it is about, and whether they were copied.
fn take_report(socket: RawFd) -> Result<(u32, u32, bool)> {
    let mut control = [0_u64; 16];
    // SAFETY: all zeros are a message header without name, buffers and control data.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the header leads to `control`, which is that long.
    let outcome = unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_ERRQUEUE) };
    ensure!(outcome >= 0, "recvmsg(MSG_ERRQUEUE): {}", io::Error::last_os_error());
    // SAFETY: the kernel has filled the control data that the header leads to.
    let heading = unsafe { libc::CMSG_FIRSTHDR(&raw const message).as_ref() };
    let heading = heading.context("a report without control data")?;
    if (heading.cmsg_level, heading.cmsg_type) != (libc::SOL_IP, libc::IP_RECVERR) {
        bail!("control data of level {} and type {}", heading.cmsg_level, heading.cmsg_type);
    }
    // SAFETY: what follows such a heading is this structure (ip(7)); it may stand at any address.
    let report: libc::sock_extended_err =
        unsafe { ptr::read_unaligned(libc::CMSG_DATA(ptr::from_ref(heading)).cast()) };
    ensure!(report.ee_origin == ORIGIN && report.ee_errno == 0, "a report of origin {}", report.ee_origin);
    Ok((report.ee_info, report.ee_data, report.ee_code & COPIED != 0))
}
