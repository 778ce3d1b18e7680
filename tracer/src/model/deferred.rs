//! What block devices move for files apart from the calls that caused it: contents that a call made dirty and a kernel
//! worker writes later, and contents that page faults or read-ahead fetched.
//!
//! Written bytes are those of the file's oldest dirty ones: per file, what its flows made dirty stands in a queue, as much
//! as the kernel accounted to each operation (whole pages, each once from clean to dirty), and each byte written takes
//! one out. What is written beyond that was made dirty by mapped memory, by others or before tracing began; or by a call
//! that has not ended yet, which then finds it *ahead*.

use std::collections::VecDeque;

use super::{endpoints::EndpointId, flow::FlowId, hash::HashMap};

/// Most portions in the queue of one file.
const MOST_PORTIONS: usize = 4096;
/// Most readings of a file of which something may be ahead.
const MOST_AHEAD: usize = 16;

/// Bytes that a flow made dirty.
#[derive(Clone, Copy, Debug)]
struct Portion {
    flow: FlowId,
    bytes: u64,
}

/// Bytes that were written, by that time, before anybody was known to have made them dirty.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    bytes: u64,
    time_ns: u64,
}

/// One file.
#[derive(Debug, Default)]
struct File {
    dirty: VecDeque<Portion>,
    ahead: VecDeque<Ahead>,
}

/// What a flow made dirty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Dirtied {
    /// Bytes that were written while the operation went on.
    pub(crate) written: u64,
    /// Bytes that are to be written.
    pub(crate) waiting: u64,
    /// Bytes that found no room in the queue: it will not be known when they are written.
    pub(crate) lost: u64,
}

/// All files.
#[derive(Debug)]
pub(crate) struct Deferred {
    files: HashMap<EndpointId, File>,
    most: usize,
    unclaimed: u64,
}

impl Deferred {
    /// Follows at most `most` files at a time.
    pub(crate) fn new(most: usize) -> Self {
        Self { files: HashMap::default(), most: most.max(1), unclaimed: 0 }
    }

    /// Bytes written of which it is not known which flow made them dirty.
    pub(crate) fn unclaimed(&self) -> u64 {
        self.unclaimed
    }

    fn file(&mut self, id: EndpointId) -> Option<&mut File> {
        if !self.files.contains_key(&id) && self.files.len() >= self.most {
            // Nothing waits to be written of these.
            self.files.retain(|_, file| !file.dirty.is_empty());
            if self.files.len() >= self.most {
                return None;
            }
        }
        Some(self.files.entry(id).or_default())
    }

    /// An operation that began at `began_ns` made bytes of a file dirty.
    pub(crate) fn dirty(&mut self, id: EndpointId, flow: FlowId, bytes: u64, began_ns: u64) -> Dirtied {
        if bytes == 0 {
            return Dirtied::default();
        }
        let Some(file) = self.file(id) else { return Dirtied { lost: bytes, ..Dirtied::default() } };
        let written = file.take_ahead(bytes, began_ns);
        let waiting = file.push(Portion { flow, bytes: bytes - written });
        self.unclaimed = self.unclaimed.saturating_sub(written);
        Dirtied { written, waiting, lost: bytes - written - waiting }
    }

    /// Bytes of a file were written by that time: gives those that flows had made dirty to `claim`, oldest first.
    pub(crate) fn write(
        &mut self,
        id: EndpointId,
        bytes: u64,
        time_ns: u64,
        mut claim: impl FnMut(FlowId, u64),
    ) {
        let Some(file) = self.file(id) else {
            self.unclaimed = self.unclaimed.saturating_add(bytes);
            return;
        };
        let mut left = bytes;
        while left > 0
            && let Some(portion) = file.dirty.front_mut()
        {
            let taken = portion.bytes.min(left);
            (portion.bytes, left) = (portion.bytes - taken, left - taken);
            claim(portion.flow, taken);
            if portion.bytes == 0 {
                file.dirty.pop_front();
            }
        }
        file.keep_ahead(Ahead { bytes: left, time_ns });
        self.unclaimed = self.unclaimed.saturating_add(left);
    }
}

impl File {
    /// Adds a portion; how much of it found room.
    fn push(&mut self, portion: Portion) -> u64 {
        let is_full = self.dirty.len() >= MOST_PORTIONS;
        match self.dirty.back_mut() {
            Some(last) if last.flow == portion.flow => {
                let room = portion.bytes.min(u64::MAX - last.bytes);
                last.bytes += room;
                room
            }
            _ if portion.bytes == 0 || is_full => 0,
            _ => {
                self.dirty.push_back(portion);
                portion.bytes
            }
        }
    }

    /// Remembers the latest readings.
    fn keep_ahead(&mut self, ahead: Ahead) {
        if ahead.bytes == 0 {
            return;
        }
        if self.ahead.len() >= MOST_AHEAD {
            self.ahead.pop_front();
        }
        self.ahead.push_back(ahead);
    }

    /// Takes up to so many bytes of what was written after `began_ns`, or may have been; how many.
    fn take_ahead(&mut self, bytes: u64, began_ns: u64) -> u64 {
        let mut left = bytes;
        for ahead in self.ahead.iter_mut().filter(|ahead| began_ns <= ahead.time_ns) {
            let taken = ahead.bytes.min(left);
            (ahead.bytes, left) = (ahead.bytes - taken, left - taken);
        }
        self.ahead.retain(|ahead| ahead.bytes > 0);
        bytes - left
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{
        flow::{FlowKey, Flows},
        method::Method,
    };

    const FILE: EndpointId = EndpointId::OTHERS;

    /// Numbers of flows, which only [`Flows`] gives out.
    fn flows<const N: usize>() -> [FlowId; N] {
        let mut flows = Flows::new(N);
        std::array::from_fn(|pid| {
            let pid = u32::try_from(pid).unwrap_or(0);
            flows.open(FlowKey { pid, source: EndpointId::USER, sink: FILE, method: Method::Tee })
        })
    }

    fn written(deferred: &mut Deferred, bytes: u64, time_ns: u64) -> Vec<(FlowId, u64)> {
        let mut claims = Vec::new();
        deferred.write(FILE, bytes, time_ns, |flow, bytes| claims.push((flow, bytes)));
        claims
    }

    #[test]
    fn the_oldest_dirty_bytes_are_written_first() {
        let [one, two] = flows();
        let mut deferred = Deferred::new(4);
        for (flow, bytes) in [(one, 4096), (one, 4096), (two, 8192), (one, 4096)] {
            let dirtied = deferred.dirty(FILE, flow, bytes, 0);
            assert_eq!(dirtied, Dirtied { waiting: bytes, ..Dirtied::default() });
        }
        assert_eq!(written(&mut deferred, 12_288, 1), [(one, 8192), (two, 4096)]);
        assert_eq!(written(&mut deferred, 8192, 2), [(two, 4096), (one, 4096)]);
        assert_eq!(deferred.unclaimed(), 0);
        assert_eq!(written(&mut deferred, 4096, 3), []);
        assert_eq!(deferred.unclaimed(), 4096);
    }

    #[test]
    fn what_was_written_ahead_belongs_to_calls_that_were_under_way() {
        let [one] = flows();
        let mut deferred = Deferred::new(4);
        assert_eq!(written(&mut deferred, 100, 50), []);
        // It began after those bytes were written: they were another's.
        let later = deferred.dirty(FILE, one, 10, 51);
        assert_eq!(later, Dirtied { waiting: 10, ..Dirtied::default() });
        let meanwhile = deferred.dirty(FILE, one, 120, 50);
        assert_eq!(meanwhile, Dirtied { written: 100, waiting: 20, lost: 0 });
        assert_eq!(deferred.unclaimed(), 0);
        assert_eq!(written(&mut deferred, 30, 60), [(one, 30)]);
    }

    #[test]
    fn a_file_too_many_is_said_to_be_lost() {
        let [one] = flows();
        let mut deferred = Deferred::new(1);
        deferred.dirty(EndpointId::USER, one, 1, 0);
        let lost = deferred.dirty(FILE, one, 7, 0);
        assert_eq!(lost, Dirtied { lost: 7, ..Dirtied::default() });
        deferred.write(EndpointId::USER, 1, 0, |_, _| {});
        assert_eq!(deferred.dirty(FILE, one, 7, 0).waiting, 7);
    }

    proptest! {
        /// Every byte that was made dirty is written, waits, or is said to be lost; every byte written is claimed or not.
        #[test]
        fn bytes_are_conserved(
            steps in prop::collection::vec((0usize..3, any::<bool>(), 0u64..5000, 0u64..20), 0..200),
            most in 1usize..3,
        ) {
            let all: [FlowId; 3] = flows();
            let files = [EndpointId::USER, EndpointId::UNKNOWN, EndpointId::OTHERS];
            let mut deferred = Deferred::new(most);
            let (mut dirty, mut put) = (0, 0);
            let (mut claimed, mut waiting, mut lost) = (0, 0, 0);
            for (number, writes, bytes, time) in steps {
                if writes {
                    put += bytes;
                    deferred.write(files[number], bytes, time, |flow, bytes| {
                        claimed += bytes;
                        waiting -= bytes;
                        assert!(all.contains(&flow));
                    });
                } else {
                    dirty += bytes;
                    let dirtied = deferred.dirty(files[number], all[number], bytes, time);
                    claimed += dirtied.written;
                    waiting += dirtied.waiting;
                    lost += dirtied.lost;
                }
                prop_assert_eq!(claimed + waiting + lost, dirty);
                prop_assert_eq!(claimed + deferred.unclaimed(), put);
            }
        }
    }
}
