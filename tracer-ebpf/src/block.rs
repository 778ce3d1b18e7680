//! Block I/O: what devices move by DMA, for whom, found by identity and not by who is running.
//!
//! A request's first page leads to the file: `bio → page → mapping → inode`. What a traced thread requests inside a call
//! for that call's own file, or from and to its own memory (O_DIRECT), is counted with the call. Anything else is added up
//! by file in `DEVICE_IO`: what writeback workers write after the call, also after the target has ended, what page faults
//! and read-ahead outside of calls fetch, what `fsync` writes. Contents of one file per request: so do the file systems
//! that `tracer_common::device` lists; for the others the task and the direction have to do.

use tracer_common::{
    call::CallClass,
    device::{DeviceBytes, DeviceKey, DeviceKind, is_plain},
    offsets::ABSENT,
    slot::{ThreadSlot, state},
};

use crate::{
    arch::O_DIRECT,
    calls,
    form::{Context, hook},
    identity::{S_IFMT, S_IFREG},
    kernel::{Task, offset, probe},
    maps::{CACHED, CachedFile, DEVICE_IO, lost},
    threads::{self, slot_of},
};

/// include/linux/blk_types.h: the operation is in the low bits of `bi_opf`, those that write are odd.
const REQ_OP_MASK: u32 = 0xff;
const REQ_OP_READ: u32 = 0;
const REQ_OP_WRITE: u32 = 1;
/// include/linux/sched.h: a thread of the kernel.
const PF_KTHREAD: u32 = 0x20_0000;
/// include/linux/page-flags.h, `PAGE_MAPPING_FLAGS`: with either of these bits it is no address of a mapping (anonymous
/// memory, KSM, movable pages of a driver).
const MAPPING_FLAGS: u64 = 3;

/// A file system hands a request to a block device. Fires once per request that somebody made: not again for the rest of
/// one that is split (block/blk-core.c, `submit_bio_noacct_nocheck`), but for each that a stacked device (dm, md) makes of
/// it for the devices below: those are left out, so that each byte counts once.
#[hook]
pub fn block_bio_queue(ctx: Context) -> i32 {
    let task = Task::current();
    if threads::has_ended() || task.bio_list() != 0 {
        return 0;
    }
    let bio: u64 = ctx.arg(0);
    let operation: u32 = probe(bio, offset!(bio_operation));
    let kind = operation & REQ_OP_MASK;
    // Discards and zone management have a size and move nothing.
    let moves = kind == REQ_OP_READ || kind == REQ_OP_WRITE || kind == offset!(operation_append);
    let bytes: u32 = probe(bio, offset!(bio_size));
    if !moves || bytes == 0 {
        return 0;
    }
    let request = Request { bio, operation, bytes: bytes as u64 };
    match slot_of(task) {
        // Also before the command is executed: its `execve` reads the program, and the task's account has that.
        Some(slot) => own(task, slot, &request),
        None => foreign(task, &request),
    }
    0
}

/// A request that moves bytes.
struct Request {
    bio: u64,
    operation: u32,
    bytes: u64,
}

impl Request {
    #[inline(always)]
    fn writes(&self) -> bool {
        self.operation & 1 != 0
    }

    /// Whether a bit of `bi_flags` is set, if the kernel has such a bit.
    #[inline(always)]
    fn flag(&self, bit: u32) -> bool {
        bit != ABSENT && probe::<u16>(self.bio, offset!(bio_flags)) as u32 & (1 << (bit & 15)) != 0
    }

    /// The vector of pages is somebody else's: a stacked device's copy of a request, or memory of the kernel that is read
    /// or written directly (block/bio.c, `bio_iov_bvec_set`).
    #[inline(always)]
    fn is_cloned(&self) -> bool {
        self.flag(offset!(bio_cloned))
    }

    /// Marked by the file system as its own.
    #[inline(always)]
    fn is_metadata(&self) -> bool {
        let bit = offset!(request_metadata);
        bit != ABSENT && self.operation & (1 << (bit & 31)) != 0
    }

    /// The `struct address_space` of the first page: the file that it caches; 0 for memory that caches none.
    #[inline(always)]
    fn mapping(&self) -> u64 {
        let vectors: u64 = probe(self.bio, offset!(bio_vectors));
        let index: u32 = probe(self.bio, offset!(bio_index));
        // struct bio_vec: page, length, offset.
        let page: u64 = probe(vectors.wrapping_add(index as u64 * 16), offset!(vector_page));
        // include/linux/page-flags.h, `_compound_head`: a tail page leads to its head.
        let head: u64 = probe(page, offset!(page_head));
        let head = if head & 1 != 0 { head - 1 } else { page };
        let mapping: u64 = probe(head, offset!(page_mapping));
        if mapping & MAPPING_FLAGS != 0 { 0 } else { mapping }
    }

    /// The block device's number.
    #[inline(always)]
    fn device(&self) -> u32 {
        probe(probe(self.bio, offset!(bio_device)), offset!(bdev_number))
    }

    /// Adds it up.
    #[inline(always)]
    fn count(&self, kind: DeviceKind, serial: u64) {
        let device = if kind == DeviceKind::FILE { 0 } else { self.device() };
        let (read, written) = if self.writes() { (0, self.bytes) } else { (self.bytes, 0) };
        add_up(kind, serial, device, read, written);
    }
}

/// Adds bytes up by what they belong to.
#[inline(always)]
pub fn add_up(kind: DeviceKind, serial: u64, device: u32, read: u64, written: u64) {
    let key = DeviceKey { serial, device, kind: kind.0 };
    if DEVICE_IO.get_ptr_mut(key).is_none() {
        let _ = DEVICE_IO.insert(key, DeviceBytes::default(), 0);
    }
    let Some(counters) = DEVICE_IO.get_ptr_mut(key) else {
        lost(|losses| losses.lost_events += 1);
        return;
    };
    // SAFETY: this CPU's own entry; user space only reads it.
    let counters = unsafe { &mut *counters };
    counters.read = counters.read.wrapping_add(read);
    counters.written = counters.written.wrapping_add(written);
}

/// A task that is not traced: of interest is what a worker of the kernel writes or reads of a file that a traced one has
/// used, and what others write of it, because they also write what a traced one has made dirty.
#[inline(always)]
fn foreign(task: Task, request: &Request) {
    if !request.writes() && task.flags() & PF_KTHREAD == 0 || request.is_cloned() {
        return;
    }
    let mapping = request.mapping();
    let serial = cached_by(mapping);
    if serial != 0 {
        request.count(DeviceKind::FILE, serial);
    }
}

/// A traced thread.
#[inline(always)]
fn own(task: Task, slot: &mut ThreadSlot, request: &Request) {
    let mapping = request.mapping();
    let file = file_of_operation(slot, request.writes());
    if file != 0 {
        let direct = is_direct(slot, request.writes());
        let with_call =
            if direct { is_own_memory(request, mapping) } else { is_of_file(file, request, mapping) };
        if with_call {
            slot.pace.counted = 1;
            if request.writes() {
                slot.counted.device_written += request.bytes;
            } else {
                slot.counted.device_read += request.bytes;
            }
            return;
        }
    }
    if file == 0 && works_for_requests(task, slot) && is_own_memory(request, mapping) {
        // Of a request of io_uring or AIO past the page cache: what it moved its completion tells.
        return;
    }
    by_file(slot, request, mapping);
}

/// Whether the thread runs requests of io_uring or AIO: in the calls for that, as a worker, or as the polling thread.
#[inline(always)]
fn works_for_requests(task: Task, slot: &ThreadSlot) -> bool {
    let in_call = slot.state & state::IN_CALL != 0;
    in_call && calls::shape_of(slot.call).class.0 >= CallClass::ENTERS_RING.0 || task.is_io_worker()
}

/// The open file that the operation under way may read from or write to, 0 for none: its source when it reads, else its
/// sink. (A write that changes part of a page reads the rest of it from the sink.)
#[inline(always)]
fn file_of_operation(slot: &ThreadSlot, writes: bool) -> u64 {
    if slot.state & state::IN_CALL == 0 || !calls::is_operation(calls::shape_of(slot.call).class) {
        0
    } else if !writes && slot.source != 0 {
        slot.met_source.file
    } else if slot.sink != 0 {
        slot.met_sink.file
    } else {
        0
    }
}

#[inline(always)]
fn is_direct(slot: &ThreadSlot, writes: bool) -> bool {
    let flags = if !writes && slot.source != 0 { slot.source_flags } else { slot.sink_flags };
    flags & O_DIRECT != 0
}

/// Whether a request of a direct call is for its own memory: pages that the kernel has pinned for the request, or a vector
/// of pages that was handed in. Older kernels mark none; there it is memory that caches no file.
#[inline(always)]
fn is_own_memory(request: &Request, mapping: u64) -> bool {
    if request.is_metadata() {
        false
    } else if offset!(bio_page_pinned) != ABSENT {
        request.flag(offset!(bio_page_pinned)) || request.is_cloned()
    } else {
        mapping == 0
    }
}

/// Whether a request is for pages of that open file's cache. Where the file system puts other pages in between, it is
/// taken to be so unless it is marked as metadata or known as another file.
#[inline(always)]
fn is_of_file(file: u64, request: &Request, mapping: u64) -> bool {
    if probe::<u64>(file, offset!(file_mapping)) == mapping {
        return true;
    }
    let inode: u64 = probe(file, offset!(file_inode));
    let mode = probe::<u16>(inode, offset!(inode_mode)) as u32;
    let block: u64 = probe(inode, offset!(inode_sb));
    let magic: u64 = probe(block, offset!(sb_magic));
    mode & S_IFMT == S_IFREG && !is_plain(magic) && !request.is_metadata() && cached_by(mapping) == 0
}

/// Adds a traced thread's request up by what it moves.
#[inline(always)]
fn by_file(slot: &mut ThreadSlot, request: &Request, mapping: u64) {
    let serial = cached_by(mapping);
    if serial != 0 {
        request.count(DeviceKind::FILE, serial);
        return;
    }
    let inode: u64 = if mapping == 0 { 0 } else { probe(mapping, offset!(mapping_host)) };
    let mode = probe::<u16>(inode, offset!(inode_mode)) as u32;
    if mode & S_IFMT == S_IFREG && !request.is_metadata() {
        request.count(DeviceKind::OTHER_FILE, 0);
    } else {
        if slot.state & state::IN_CALL != 0 {
            slot.pace.counted = 1;
            slot.counted.device_metadata += request.bytes;
        }
        request.count(DeviceKind::METADATA, 0);
    }
}

/// The serial of the file that has this page cache, 0 if it is not known.
#[inline(always)]
fn cached_by(mapping: u64) -> u64 {
    if mapping == 0 {
        return 0;
    }
    // SAFETY: copied out at once; an entry that is replaced meanwhile would fail the comparison.
    let Some(known) = (unsafe { CACHED.get(mapping) }) else { return 0 };
    let known = *known;
    let inode: u64 = probe(mapping, offset!(mapping_host));
    let same = inode == known.inode
        && probe::<u64>(inode, offset!(inode_number)) == known.inode_number
        && probe::<u32>(inode, offset!(inode_generation)) as u64 == known.generation;
    if same { known.serial } else { 0 }
}

/// Has the page cache of an open file known as that endpoint's. It is the open file's mapping that counts: that of a
/// device node's inode is not its own but the block device's.
#[inline(always)]
pub fn remember(file: u64, serial: u64) {
    let mapping: u64 = probe(file, offset!(file_mapping));
    let inode: u64 = probe(mapping, offset!(mapping_host));
    if mapping == 0 || inode == 0 {
        return;
    }
    let known = CachedFile {
        inode,
        inode_number: probe(inode, offset!(inode_number)),
        generation: probe::<u32>(inode, offset!(inode_generation)) as u64,
        serial,
    };
    let _ = CACHED.insert(mapping, known, 0);
}
