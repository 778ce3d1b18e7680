//! `aio FOLDER [unseen] [--gate FIFO]`: requests of Linux AIO, each with a known result. With `unseen` the first completion
//! is taken out of the shared ring without a call, as some programs do. With `mapped` the only requests are some in pages
//! of a mapped file that nothing has touched before the kernel looks at them.

use std::{
    fs::{self, File, OpenOptions},
    io, mem,
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
    path::Path,
    ptr,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use zc_trace_tests::workload::{self, Ledger};

/// `struct iocb` and `IOCB_CMD_` (linux/aio_abi.h).
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    result_fd: u32,
}

const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const PREADV: u16 = 7;
const PWRITEV: u16 = 8;

/// `struct io_event`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Event {
    data: u64,
    object: u64,
    result: i64,
    further: i64,
}

/// A context of requests.
struct Context(u64);

impl Context {
    fn new() -> Result<Self> {
        let mut id = 0_u64;
        // SAFETY: the kernel writes the context's id.
        let result = unsafe { libc::syscall(libc::SYS_io_setup, 16, &raw mut id) };
        ensure!(result == 0, "io_setup: {}", io::Error::last_os_error());
        Ok(Self(id))
    }

    fn submit(&self, requests: &mut [Iocb]) -> io::Result<usize> {
        let mut list: Vec<*mut Iocb> = requests.iter_mut().map(ptr::from_mut).collect();
        // SAFETY: the requests and their memory live until their completions have been taken.
        let taken = unsafe { libc::syscall(libc::SYS_io_submit, self.0, list.len(), list.as_mut_ptr()) };
        usize::try_from(taken).map_err(|_| io::Error::last_os_error())
    }

    fn collect(&self, count: usize) -> Result<Vec<Event>> {
        let mut events = vec![Event::default(); count];
        // SAFETY: room for as many events as the kernel is told.
        let found = unsafe {
            libc::syscall(
                libc::SYS_io_getevents,
                self.0,
                count,
                count,
                events.as_mut_ptr(),
                ptr::null_mut::<u8>(),
            )
        };
        ensure!(usize::try_from(found).is_ok_and(|found| found == count), "io_getevents: {found}");
        Ok(events)
    }

    /// Has its ring paged in.
    fn touch(&self) -> Result<()> {
        // SAFETY: the context's id is the address of its ring: id, nr, head, tail, magic …
        let magic = unsafe { (self.0 as *const u32).add(4).read_volatile() };
        ensure!(magic == 0xa10a_10a1, "no ring");
        Ok(())
    }

    /// Takes one completion as the kernel would: by moving the head of the ring (fs/aio.c, `struct aio_ring`).
    fn reap(&self) -> Result<()> {
        let ring = self.0 as *mut u32;
        // SAFETY: the context's id is the address of its ring: id, nr, head, tail, magic …
        let (head, tail, magic) = unsafe { (ring.add(2), ring.add(3).read_volatile(), ring.add(4).read()) };
        ensure!(magic == 0xa10a_10a1, "no ring");
        // SAFETY: as above.
        let at = unsafe { head.read_volatile() };
        ensure!(at != tail, "nothing has completed");
        // SAFETY: as above; only this thread takes completions.
        unsafe { head.write_volatile(at + 1) };
        Ok(())
    }
}

fn request(opcode: u16, file: &File, buffer: u64, length: usize, offset: i64) -> Iocb {
    let fd = file.as_raw_fd().cast_unsigned();
    Iocb { opcode, fd, buffer, length: length as u64, offset, ..Iocb::default() }
}

fn address<T>(memory: &mut [T]) -> u64 {
    memory.as_mut_ptr() as u64
}

/// Submits all at once; each must return so many bytes.
fn make(
    context: &Context,
    ledger: &mut Ledger,
    requests: &mut [Iocb],
    due: &[(&'static str, usize)],
) -> Result<()> {
    for (number, request) in (0_u64..).zip(requests.iter_mut()) {
        request.data = number;
    }
    ensure!(context.submit(requests)? == requests.len(), "not all were taken");
    for event in context.collect(requests.len())? {
        let (name, bytes) = *due.get(usize::try_from(event.data)?).context("an event of no request")?;
        let returned = usize::try_from(event.result)
            .map_err(|_| io::Error::from_raw_os_error(i32::try_from(-event.result).unwrap_or(0)));
        ledger.moved(name, returned, bytes)?;
    }
    Ok(())
}

/// Pages of the mapped file: the list, and a request in each of the others.
const PAGES: usize = 9;

/// Page faults that the kernel has accounted to this process.
fn faults() -> Result<i64> {
    // SAFETY: all zeros are valid accounts, and the kernel fills them in.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: room for the accounts.
    ensure!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } == 0, "getrusage");
    Ok(usage.ru_minflt + usage.ru_majflt)
}

/// Submits requests that lie in a mapped file, a page for each, and the list of them in a page before. The page faults that
/// the kernel accounted for that.
fn submit_mapped(context: &Context, folder: &Path, ledger: &mut Ledger, one: Iocb) -> Result<i64> {
    let page = rustix::param::page_size();
    let path = folder.join("requests");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    file.set_len((PAGES * page) as u64)?;
    let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), PAGES * page, protection, libc::MAP_SHARED, fd, 0) };
    ensure!(start != libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
    // Each page is faulted in by itself.
    // SAFETY: advice on our own mapping.
    unsafe { libc::madvise(start, PAGES * page, libc::MADV_RANDOM) };
    for number in 1..PAGES {
        let at = start as u64 + (number * page) as u64;
        file.write_all_at(&at.to_ne_bytes(), ((number - 1) * 8) as u64)?;
        // SAFETY: a plain structure without padding.
        let bytes: [u8; 64] = unsafe { mem::transmute(one) };
        file.write_all_at(&bytes, (number * page) as u64)?;
    }
    // The first time the function itself may have to be found and paged in. And the kernel finds the context by looking at its
    // ring in the program's memory (fs/aio.c, `lookup_ioctx`), which is mapped by io_setup and touched by nobody yet.
    faults()?;
    context.touch()?;
    let before = faults()?;
    // SAFETY: the list, the requests and their memory live until their completions have been taken.
    let taken = unsafe { libc::syscall(libc::SYS_io_submit, context.0, PAGES - 1, start) };
    let accounted = faults()? - before;
    ensure!(taken == (PAGES - 1) as i64, "io_submit took {taken}");
    for event in context.collect(PAGES - 1)? {
        ledger.moved("aio:pread", Ok(usize::try_from(event.result)?), 100)?;
    }
    Ok(accounted)
}

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let folder = workload::path(&arguments, 0, "FOLDER")?;
    let mapped = arguments.get(1).is_some_and(|argument| argument == "mapped");
    let unseen = arguments.get(1).is_some_and(|argument| argument == "unseen");
    let (from_path, to_path) = (folder.join("from"), folder.join("to"));
    fs::write(&from_path, vec![7; 10_000])?;
    let from = File::open(&from_path)?;
    let to = OpenOptions::new().write(true).create(true).truncate(true).open(&to_path)?;
    let context = Context::new()?;
    let mut ledger = Ledger::default();
    workload::begin(gate.as_ref())?;

    // Not zeros: those would be pages that are not there yet.
    let mut buffer = vec![1_u8; 4096];
    let memory = address(&mut buffer);
    if mapped {
        let faults = submit_mapped(&context, folder, &mut ledger, request(PREAD, &from, memory, 100, 0))?;
        return ledger.report(json!({"faults": faults, "pages": PAGES}));
    }
    let mut one = [request(PREAD, &from, memory, 4096, 0)];
    if unseen {
        ensure!(context.submit(&mut one)? == 1, "not taken");
        context.reap()?;
    }
    make(&context, &mut ledger, &mut one, &[("aio:pread", 4096)])?;
    make(
        &context,
        &mut ledger,
        &mut [
            request(PREAD, &from, memory, 4096, 8192),
            request(PREAD, &from, memory, 4096, 10_000),
            request(PWRITE, &to, memory, 3000, 0),
        ],
        &[("aio:pread", 1808), ("aio:pread", 0), ("aio:pwrite", 3000)],
    )?;
    let (mut left, mut right) = (vec![0_u8; 100], vec![0_u8; 28]);
    let mut vector = [(address(&mut left), 100_u64), (address(&mut right), 28)];
    let vector = address(&mut vector);
    make(
        &context,
        &mut ledger,
        &mut [request(PREADV, &from, vector, 2, 50), request(PWRITEV, &to, vector, 2, 3000)],
        &[("aio:preadv", 128), ("aio:pwritev", 128)],
    )?;
    // The first is taken, the second is not: its descriptor is none.
    let mut two = [request(PREAD, &from, memory, 10, 0), request(PREAD, &from, memory, 10, 0)];
    two[1].fd = 987;
    ensure!(context.submit(&mut two)? == 1, "the second was taken");
    ensure!(context.collect(1)?.iter().all(|event| event.result == 10), "the first did not read");
    ledger.moved("aio:pread", Ok(10), 10)?;
    two[1].fd = from.as_raw_fd().cast_unsigned();
    make(&context, &mut ledger, &mut two[1..], &[("aio:pread", 10)])?;

    let read = 4096 + 1808 + 128 + 20;
    ledger.report(json!({
        "read": {from_path.to_string_lossy(): read},
        "written": {to_path.to_string_lossy(): 3128},
    }))
}
