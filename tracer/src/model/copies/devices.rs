//! The rows of the copy table for bytes that block devices move.

use super::{Act, Mover, Note, Parts, Party, Place, Step, Storage, Traits};
use super::{Derived, Measured, Modelled, Unknown};
use crate::model::evidence::Evidence;

/// The smallest page. Where pages or blocks are larger, what is fetched to fill them is more than was asked for as well.
const PAGE: u64 = 4096;

/// Who moves bytes between a block device and memory, and how it is known that many were.
fn mover(dma: Option<bool>) -> (Mover, Evidence, Option<Note>) {
    match dma {
        Some(true) => (Mover::Dma, Measured, None),
        Some(false) => (Mover::Cpu, Modelled, Some(Note::DriverCopies)),
        None => (Mover::Dma, Modelled, Some(Note::DeviceNotKnown)),
    }
}

/// Contents of a file that are written after the call, when they are.
pub(crate) fn deferred(file: Traits) -> Step {
    let (mover, evidence, note) = mover(file.dma);
    let note = match note {
        Some(Note::DriverCopies) => Note::DeferredDriverCopies,
        Some(_) => Note::DeferredDeviceNotKnown,
        None => Note::Deferred,
    };
    Step { from: Place::PageCache, to: Place::Device, mover: Some(mover), evidence, note: Some(note) }
}

/// Contents of a file that were fetched apart from its flow's calls.
pub(crate) fn fetched_apart(file: Traits) -> Step {
    let (mover, evidence, note) = mover(file.dma);
    let note = note.unwrap_or(Note::FetchedApart);
    Step { from: Place::Device, to: Place::PageCache, mover: Some(mover), evidence, note: Some(note) }
}

/// Contents of a file of which it will not be seen when they are written.
pub(crate) const NOT_SEEN: Step = Step {
    from: Place::PageCache,
    to: Place::Device,
    mover: Some(Mover::Dma),
    evidence: Unknown,
    note: Some(Note::WrittenBackLater),
};

impl Act {
    /// Whether requests to block devices were counted inside the call.
    pub(super) fn sees_requests(&self) -> bool {
        self.sources.block && self.counted.is_some() && !self.is_request
    }

    /// Bytes fetched from a device for it: request by request, or else as the task's account has it.
    pub(super) fn device_read(&self) -> Option<u64> {
        match self.counted {
            Some(counted) if self.sees_requests() => Some(counted.device_read),
            _ => self.storage_read,
        }
    }

    /// Bytes written to a device by it: of a direct write from the memory that it writes from, else (O_SYNC) from the page
    /// cache.
    pub(super) fn device_written(&self) -> u64 {
        self.counted.map_or(0, |counted| counted.device_written)
    }

    /// Whether it will be seen when what it made dirty is written.
    fn sees_writeback(&self, file: Party) -> bool {
        self.sees_requests() && self.storage_written.is_some() && file.traits.plain
    }

    /// Bytes of the sink that it made dirty and that were not written by itself, if it is to be seen when they are.
    pub(crate) fn dirty(&self) -> u64 {
        if !self.sees_writeback(self.sink) {
            return 0;
        }
        self.storage_written.unwrap_or(0).saturating_sub(self.device_written())
    }

    /// Bytes of the sink that it wrote although others had made them dirty before (O_SYNC).
    pub(crate) fn flushed(&self) -> u64 {
        if !self.sees_writeback(self.sink) || self.sink.is_direct() {
            return 0;
        }
        self.device_written().saturating_sub(self.storage_written.unwrap_or(0))
    }

    /// What the page cache of `file` fetched from its device: pages that were missing and those read ahead.
    pub(super) fn fetched(&self, parts: &mut Parts, file: Party) {
        let Traits { dma, storage, .. } = file.traits;
        let step = |mover, evidence, note| Step {
            from: Place::Device,
            to: Place::PageCache,
            mover: Some(mover),
            evidence,
            note,
        };
        match (storage, dma, self.device_read()) {
            (Storage::Memory, ..) | (_, Some(false), None | Some(0)) => {}
            (Storage::Remote, _, None | Some(0)) => {
                self.unknown(parts, Place::Device, Place::PageCache, Some(Mover::Dma), Note::NotAccounted);
            }
            (_, Some(true), Some(bytes)) | (_, None, Some(bytes @ 0)) => {
                let ahead = self.read_ahead(bytes);
                if self.bytes > 0 || bytes > ahead {
                    parts.push(step(Mover::Dma, Measured, None), bytes - ahead);
                }
                if ahead > 0 {
                    parts.push(step(Mover::Dma, Measured, Some(Note::ReadAhead)), ahead);
                }
            }
            (_, Some(false), Some(bytes)) => {
                parts.push(step(Mover::Cpu, Modelled, Some(Note::DriverCopies)), bytes);
            }
            (_, None, Some(bytes)) => {
                parts.push(step(Mover::Dma, Modelled, Some(Note::DeviceNotKnown)), bytes)
            }
            // A request of io_uring or AIO has no account, but what is fetched of the file is told by file.
            (_, _, None) if self.sources.block && file.traits.plain => {}
            (_, _, None) => {
                self.unknown(parts, Place::Device, Place::PageCache, Some(Mover::Dma), Note::NoAccount);
            }
        }
    }

    /// Of bytes that it had fetched into the page cache, those that it cannot have asked for: more than the pages hold that
    /// a range of that length can touch. Where in the file the range lies is not known, so it is the least there is.
    fn read_ahead(&self, fetched: u64) -> u64 {
        match self.asked {
            // The account has metadata in it, too.
            Some(asked) if self.sees_requests() => {
                let most = asked.max(self.bytes).saturating_add(2 * (PAGE - 1)) / PAGE * PAGE;
                fetched.saturating_sub(most)
            }
            _ => 0,
        }
    }

    /// What was fetched from storage while user memory was being read: page faults on mapped files.
    pub(super) fn faulted_in(&self, parts: &mut Parts) {
        if self.sees_requests() {
            // They are told by file.
            return;
        }
        if let Some(bytes @ 1..) = self.storage_read {
            parts.push(
                Step {
                    from: Place::Device,
                    to: Place::PageCache,
                    mover: Some(Mover::Dma),
                    evidence: Modelled,
                    note: Some(Note::FaultedIn),
                },
                bytes,
            );
        }
    }

    /// What was made dirty goes to the device later, by a kernel worker; some of it maybe at once.
    pub(super) fn written_back(&self, parts: &mut Parts, file: Party) {
        if file.traits.storage == Storage::Memory {
            return;
        }
        if !self.sees_writeback(file) {
            if file.traits.dma != Some(false) {
                self.unknown(
                    parts,
                    Place::PageCache,
                    Place::Device,
                    Some(Mover::Dma),
                    Note::WrittenBackLater,
                );
            }
            return;
        }
        if self.bytes == 0 {
            return;
        }
        let at_once = self.device_written().min(self.storage_written.unwrap_or(0));
        let later = deferred(file.traits);
        if at_once > 0 && !file.is_direct() {
            let (_, _, note) = mover(file.traits.dma);
            parts.push(Step { note, ..later }, at_once);
        } else {
            // Nothing yet.
            parts.push(later, 0);
        }
    }

    /// A read past the page cache, into user memory or a pipe's new pages. The requests, or the task's storage account,
    /// tell whether it really was one.
    pub(super) fn direct_read(&self, parts: &mut Parts, into: Place) {
        let Traits { dma, storage, .. } = self.source.traits;
        let device = Place::Device;
        if self.sees_requests() && storage != Storage::Remote {
            let read = self.counted.map_or(0, |counted| counted.device_read);
            self.moved_directly(parts, device, into, dma, read);
            if read < self.bytes {
                self.not_directly(parts, Place::PageCache, into, self.bytes - read);
            }
            return;
        }
        if dma == Some(false) && self.storage_read != Some(0) {
            return self.put(parts, device, into, Mover::Cpu, Modelled, Some(Note::DriverCopies));
        }
        match self.storage_read {
            Some(0) if storage != Storage::Remote => {
                let note = Some(Note::BufferedDespiteDirect);
                self.put(parts, Place::PageCache, into, Mover::Cpu, Modelled, note);
            }
            _ if dma.is_none() => {
                self.put(parts, device, into, Mover::Dma, Modelled, Some(Note::DeviceNotKnown));
            }
            Some(read) if read == self.bytes => self.put(parts, device, into, Mover::Dma, Measured, None),
            // Fewer came from the device than were returned: holes, or part of it was in the cache.
            Some(read) if read < self.bytes => self.put(parts, device, into, Mover::Dma, Modelled, None),
            // More: the last block of the file is read whole.
            Some(_) | None => self.put(parts, device, into, Mover::Dma, Derived, None),
        }
    }

    /// A write past the page cache, from `from`.
    pub(super) fn direct_write(&self, parts: &mut Parts, from: Place) {
        let dma = self.sink.traits.dma;
        if self.sees_requests() {
            self.moved_directly(parts, from, Place::Device, dma, self.device_written());
            if self.device_written() < self.bytes {
                let rest = self.bytes - self.device_written();
                self.not_directly(parts, from, Place::PageCache, rest);
                self.written_back(parts, self.sink);
            }
            return;
        }
        match dma {
            Some(true) => self.put(parts, from, Place::Device, Mover::Dma, Derived, None),
            Some(false) => {
                self.put(parts, from, Place::Device, Mover::Cpu, Modelled, Some(Note::DriverCopies));
            }
            None => self.put(parts, from, Place::Device, Mover::Dma, Modelled, Some(Note::DeviceNotKnown)),
        }
    }

    /// Bytes that requests of the call itself moved: whole blocks, so they may be more than it returned.
    fn moved_directly(&self, parts: &mut Parts, from: Place, to: Place, dma: Option<bool>, bytes: u64) {
        if bytes > 0 {
            let (mover, evidence, note) = mover(dma);
            parts.push(Step { from, to, mover: Some(mover), evidence, note }, bytes);
        }
    }

    /// Bytes that no request of the call itself moved.
    fn not_directly(&self, parts: &mut Parts, from: Place, to: Place, bytes: u64) {
        let note = Some(Note::NotDirect);
        parts.push(Step { from, to, mover: Some(Mover::Cpu), evidence: Modelled, note }, bytes);
    }
}
