//! `faults FILE PAGES [--gate FIFO]`: writes to PAGES fresh pages of memory, then reads every page of FILE through a
//! mapping, first dropped from the page cache.

use std::{fs::File, hint::black_box, io, os::fd::AsRawFd as _, ptr};

use anyhow::{Result, ensure};
use serde_json::json;
use zc_trace_tests::workload::{self, Ledger};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let file = File::open(workload::path(&arguments, 0, "FILE")?)?;
    let pages = workload::number(&arguments, 1, "PAGES")?;
    let page = rustix::param::page_size();
    let file_size = usize::try_from(file.metadata()?.len())?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;

    workload::begin(gate.as_ref())?;
    let memory =
        map(pages * page, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    // One fault per page, not per huge page.
    // SAFETY: advice on our own mapping.
    let advised = unsafe { libc::madvise(memory.cast(), pages * page, libc::MADV_NOHUGEPAGE) };
    // A kernel without huge pages refuses, which is as good.
    let _ = advised;
    for index in 0..pages {
        // SAFETY: within the mapping, which nothing else uses.
        unsafe { memory.add(index * page).write_volatile(1) };
    }
    let mapping = map(file_size, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd())?;
    let mut sum = 0_u64;
    for offset in (0..file_size).step_by(page) {
        // SAFETY: within the mapping; nobody cuts the file off.
        sum += u64::from(unsafe { mapping.add(offset).read_volatile() });
    }
    black_box(sum);
    Ledger::default().report(json!({"touched": pages, "file_pages": file_size.div_ceil(page)}))
}

fn map(length: usize, protection: i32, flags: i32, fd: i32) -> Result<*mut u8> {
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let address = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, fd, 0) };
    ensure!(address != libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
    Ok(address.cast())
}
