//! What devices move: block I/O in the context of calls, and late.

use std::{
    fs::{self, File},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::Command,
    ptr,
};

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    comparison::Comparison,
    document::{Document, Flow},
    process::{STEP, wait_until},
    scenario::{EXT4, Outcome, Scenario, require_file_system, require_program, scenario},
    tracer::Tracer,
};

pub(crate) const SIZE: u64 = 8 << 20;
const PAGE: u64 = 4096;
const NULL: &str = "/dev/null";
const ZERO: &str = "/dev/zero";

/// Skips where there is no disk below the scenario's folder.
fn require_disk(scenario: &Scenario) -> Result<()> {
    require_file_system(scenario.folder(), "ext4", EXT4)
}

/// A file of which nothing is in the page cache.
pub(crate) fn cold_file(scenario: &Scenario) -> Result<PathBuf> {
    require_disk(scenario)?;
    let path = scenario.file("from", usize::try_from(SIZE)?)?;
    let file = File::open(&path)?;
    // Pages that somebody looks at just then stay.
    wait_until(STEP, "the file to leave the page cache", || {
        // SAFETY: an advice on a descriptor that is open.
        let outcome = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        ensure!(outcome == 0, "posix_fadvise: {}", std::io::Error::from_raw_os_error(outcome));
        Ok(pages_in_cache(&file)? == 0)
    })?;
    Ok(path)
}

/// How many pages of a file of [`SIZE`] are in the page cache.
fn pages_in_cache(file: &File) -> Result<usize> {
    let size = usize::try_from(SIZE)?;
    let mut pages = vec![0u8; size / usize::try_from(PAGE)?];
    // SAFETY: a new mapping of an open file, at an address of the kernel's choice, that is never touched.
    let address =
        unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    ensure!(address != libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
    // SAFETY: the mapping is that long, and the vector has a byte for each of its pages.
    let outcome = unsafe { libc::mincore(address, size, pages.as_mut_ptr()) };
    let error = std::io::Error::last_os_error();
    // SAFETY: nothing refers to the mapping.
    unsafe { libc::munmap(address, size) };
    ensure!(outcome == 0, "mincore: {error}");
    Ok(pages.iter().filter(|page| **page & 1 != 0).count())
}

/// The one flow that carries payload.
fn only(mut flows: Vec<Flow>) -> Result<Flow> {
    flows.retain(|flow| flow.payload_bytes > 0);
    ensure!(flows.len() == 1, "one flow was to be expected: {flows:?}");
    flows.pop().context("no flow")
}

fn dd(
    scenario: &Scenario,
    options: &[&str],
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
    more: &[&str],
) -> Result<Document> {
    let operands = [format!("if={}", from.as_ref().display()), format!("of={}", to.as_ref().display())];
    let mut arguments: Vec<&str> = operands.iter().map(String::as_str).collect();
    arguments.push("status=none");
    arguments.extend(more);
    Tracer::new(scenario)?.args(options).traced(require_program("dd")?, &arguments).run()?.document()
}

/// Bytes that this disk has read and written since it was found, by /sys/dev/block/…/stat (512 bytes a sector).
fn disk_totals(folder: &Path) -> Result<[u64; 2]> {
    let device = std::os::unix::fs::MetadataExt::dev(&fs::metadata(folder)?);
    let path = format!("/sys/dev/block/{}:{}/stat", libc::major(device), libc::minor(device));
    let text = fs::read_to_string(path)?;
    let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    // Documentation/block/stat.rst: the third and the seventh.
    Ok([2, 6].map(|at| numbers.get(at).copied().unwrap_or(0) * 512))
}

/// A cold file comes from the device once, to the byte; a warm one does not.
fn reads(name: &str, options: &[&str]) -> Outcome {
    scenario(name, |s| {
        let file = cold_file(s)?;
        let mut comparison = Comparison::default();
        for (what, expected) in [("cold", SIZE), ("warm", 0)] {
            let before = disk_totals(s.folder())?;
            let document = dd(s, options, &file, NULL, &["bs=64K"])?;
            let [read, _] = disk_totals(s.folder())?;
            let flow = only(document.flows_from(&file)?)?;
            comparison.equal(&format!("{what}: payload"), flow.payload_bytes, SIZE);
            let fetched = flow.copied("device", "page_cache", "dma");
            comparison.equal(&format!("{what}: device → page cache"), fetched, expected);
            comparison.holds(
                &format!("{what}: the disk has read as much"),
                read.saturating_sub(before[0]) >= expected,
            );
            // What else the kernel has accounted is that of the program itself: its own pages and libraries.
            let apart = document.number("totals.dma_bytes_outside_operations")?
                + document.number("totals.dma_metadata_bytes")?;
            let accounted = document.number("totals.kernel_accounts.read_bytes")?;
            comparison.equal(&format!("{what}: read_bytes in /proc/PID/io"), fetched + apart, accounted);
        }
        comparison.finish()
    })
}

#[test]
fn a_cold_file_is_read_once() -> Outcome {
    reads("dma/cold and warm", &[])
}

#[test]
fn a_cold_file_is_read_once_in_the_raw_form() -> Outcome {
    reads("dma/cold and warm, raw", &["--form", "raw"])
}

/// What a program writes and then syncs goes to the device in whole pages, after the call that wrote it.
fn synced(name: &str, options: &[&str]) -> Outcome {
    scenario(name, |s| {
        require_disk(s)?;
        let mut comparison = Comparison::default();
        for (number, chunk) in [65_536u64, 10_001].into_iter().enumerate() {
            let to = s.path(&format!("to{number}"));
            let size = format!("bs={chunk}");
            let document = dd(s, options, ZERO, &to, &[&size, "count=100", "conv=fsync"])?;
            let flow = only(document.flows_to(&to)?)?;
            let pages = (100 * chunk).next_multiple_of(PAGE);
            comparison.equal("payload", flow.payload_bytes, 100 * chunk);
            comparison.equal("page cache → device", flow.copied("page_cache", "device", "dma"), pages);
            comparison.equal("not written back", flow.not_written_back_bytes, Some(0));
            let deferred =
                |copy: &&zc_trace_tests::document::Copy| copy.from == "page_cache" && copy.to == "device";
            let note =
                flow.copies.iter().find(deferred).and_then(|copy| copy.note.clone()).unwrap_or_default();
            comparison.holds("it is named deferred", note.contains("deferred"));
            let accounted = document.number("totals.kernel_accounts.write_bytes")?;
            // A new file makes pages of metadata dirty, too: its folder, inode table, bitmaps, and each again if another
            // program's sync has cleaned it meanwhile. How many depends on what the disk holds.
            comparison.between("write_bytes in /proc/PID/io", pages, accounted, pages + 64 * PAGE);
        }
        comparison.finish()
    })
}

#[test]
fn what_is_synced_is_written_in_whole_pages() -> Outcome {
    synced("dma/write and fsync", &[])
}

#[test]
fn what_is_synced_is_written_in_whole_pages_in_the_raw_form() -> Outcome {
    synced("dma/write and fsync, raw", &["--form", "raw"])
}

#[test]
fn direct_and_synchronous_io() -> Outcome {
    scenario("dma/direct and synchronous", |s| {
        require_disk(s)?;
        let to = s.path("to");
        let mut comparison = Comparison::default();
        for (flag, from) in [("oflag=direct", "user"), ("oflag=sync", "page_cache")] {
            let document = dd(s, &[], ZERO, &to, &["bs=64K", "count=128", flag])?;
            let flow = only(document.flows_to(&to)?)?;
            comparison.equal(&format!("{flag}: {from} → device"), flow.copied(from, "device", "dma"), SIZE);
            comparison.equal(&format!("{flag}: all of it"), flow.dma_bytes, Some(SIZE));
            comparison.holds(
                &format!("{flag}: at once"),
                flow.copies.iter().all(|copy| copy.note.is_none() || copy.from == "device"),
            );
        }
        let document = dd(s, &[], &to, NULL, &["bs=64K", "iflag=direct"])?;
        let flow = only(document.flows_from(&to)?)?;
        comparison.equal("device → user", flow.copied("device", "user", "dma"), SIZE);
        comparison.equal("all of it", flow.dma_bytes, Some(SIZE));
        comparison.equal(
            "read_bytes in /proc/PID/io",
            SIZE + document.number("totals.dma_bytes_outside_operations")?
                + document.number("totals.dma_metadata_bytes")?,
            document.number("totals.kernel_accounts.read_bytes")?,
        );
        comparison.finish()
    })
}

/// Nothing is written while tracing lasts: it is said how much is still to come, and no number is made up.
#[test]
fn what_is_not_written_yet() -> Outcome {
    scenario("dma/not written back", |s| {
        require_disk(s)?;
        let to = s.path("to");
        let document = dd(s, &[], ZERO, &to, &["bs=64K", "count=128"])?;
        let flow = only(document.flows_to(&to)?)?;
        let mut comparison = Comparison::default();
        let written = flow.copied("page_cache", "device", "dma");
        comparison.equal(
            "written and not yet",
            flow.not_written_back_bytes.map(|left| left + written),
            Some(SIZE),
        );
        comparison.equal("DMA", flow.dma_bytes, Some(written));
        comparison.finish()
    })
}

/// A command that writes a file and ends, while another of the same trace goes on until the FIFO is opened.
fn written_late(name: &str, write_back: impl FnOnce(&File) -> Result<()>) -> Outcome {
    scenario(name, |s| {
        require_disk(s)?;
        let (to, fifo, done) = (s.path("to"), s.path("fifo"), s.path("done"));
        ensure!(s.run(Command::new("mkfifo").arg(&fifo))? == 0, "mkfifo");
        let script = format!(
            "{} if={ZERO} of={} bs=64K count=128 status=none; : > {}; read line < {}",
            require_program("dd")?.display(),
            to.display(),
            done.display(),
            fifo.display(),
        );
        let trace =
            Tracer::new(s)?.arg("-f").traced(require_program("dash")?, &["-c", &script]).start_unready()?;
        wait_until(STEP, "dd to end", || Ok(done.exists()))?;
        write_back(&File::open(&to)?)?;
        fs::write(&fifo, "go on\n")?;
        let document = trace.end()?.document()?;
        let flow = only(document.flows_to(&to)?)?;
        let mut comparison = Comparison::default();
        comparison.equal("page cache → device", flow.copied("page_cache", "device", "dma"), SIZE);
        comparison.equal("not written back", flow.not_written_back_bytes, Some(0));
        comparison.finish()
    })
}

#[test]
fn written_by_another_process_after_the_end() -> Outcome {
    written_late("dma/written by another process", |file| Ok(file.sync_all()?))
}

#[test]
fn written_by_a_worker_of_the_kernel_after_the_end() -> Outcome {
    written_late("dma/written by a worker", |file| {
        // SAFETY: a descriptor that is open.
        let outcome = unsafe { libc::syncfs(file.as_raw_fd()) };
        ensure!(outcome == 0, "syncfs: {}", std::io::Error::last_os_error());
        Ok(())
    })
}

/// What never leaves the machine is moved by no device.
#[test]
fn loopback_does_no_dma() -> Outcome {
    scenario("dma/loopback", |s| {
        let file = cold_file(s)?;
        let arguments = ["read+write".as_ref(), file.as_os_str(), "65536".as_ref()];
        let document = Tracer::new(s)?.traced(workload!("relay"), &arguments).run()?.document()?;
        let flow = only(document.flows_from(&file)?)?;
        let mut comparison = Comparison::default();
        comparison.equal("device → page cache", flow.copied("device", "page_cache", "dma"), SIZE);
        comparison.equal("DMA", flow.dma_bytes, Some(SIZE));
        comparison.finish()
    })
}
