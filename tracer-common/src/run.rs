//! Like calls in a row, summed in the thread's own slot while it makes too many of them to tell each.

use crate::{
    counted::Counted,
    slot::{CallCounters, SpillCounters, SpillKey},
};

/// Groups of runs: reading and writing calls are in different ones, for a relay has one of each.
pub const GROUPS: usize = 2;

/// Runs that a thread has under way at a time: two in each group, for an event loop polls besides.
pub const RUNS: usize = 2 * GROUPS;

/// A factor and a shift by which the numbers of calls that read and of calls that write fall to different groups.
pub type Spread = [u32; 2];

/// For the numbers of x86-64. Found by trial, as is the next: `tests` below has the calls that it holds for.
pub const SPREAD_X86_64: Spread = [549, 9];

/// For the numbers of aarch64 (include/uapi/asm-generic/unistd.h).
pub const SPREAD_AARCH64: Spread = [907, 10];

/// Which of the [`GROUPS`] a call belongs to.
#[inline(always)]
pub const fn group(call: u32, spread: Spread) -> usize {
    let [factor, shift] = spread;
    (call.wrapping_mul(factor) >> shift) as usize & (GROUPS - 1)
}

/// Calls by which the pace of a thread is taken, a power of two. A storm's flush and its samples come once in as many.
pub const PACE_CALLS: u32 = 1024;

/// The first calls of each [`PACE_CALLS`] are told one by one also in a storm: several in a row, so that what one reads
/// and the next one writes can be joined.
pub const TOLD_OF_PACE: u32 = 8;

/// A thread that makes [`PACE_CALLS`] in less than this is in a storm, ns: 250,000 calls a second.
pub const STORM_NS: u64 = PACE_CALLS as u64 * 4_000;

/// Like calls in a window of [`PACE_CALLS`] below which they are told: a rare call among many others is.
pub const HOT_CALLS: u32 = 16;

/// Like calls told in a row of windows, after which the next ones are summed.
pub const HOT_SAMPLES: u32 = 4;

/// The index of an argument that a call does not have.
pub const NO_ARGUMENT: u32 = 0xff;

/// Calls of one kind on one descriptor. What they have in common is looked up once.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Run {
    /// Table index of the call plus one; 0 for no run.
    pub call: u32,
    /// Their first argument, if that is a descriptor; 0 else.
    pub fd: u32,
    /// All bits set if the first argument is a descriptor, which then must be the same.
    pub fd_mask: u32,
    /// Which argument holds the call's flags; [`NO_ARGUMENT`] for none.
    pub flags_at: u32,
    /// The call's flags.
    pub call_flags: u32,
    /// `f_flags` of the source.
    pub source_flags: u32,
    /// `f_flags` of the sink.
    pub sink_flags: u32,
    /// Of the calls told since the last flush: how many were timed.
    pub samples: u32,
    /// Calls in this window of [`PACE_CALLS`] plus one; 0 while there are too few to sum them.
    pub hot: u32,
    /// The first errno that one of them returned since the last flush; 0 if none did.
    pub errno: u32,
    /// Wall time of the samples without that off the CPU, ns.
    pub sampled_ns: u64,
    /// How many times descriptors had changed, of any traced process, when this one was looked up.
    pub descriptors: u64,
    /// Address of the `struct file`.
    pub file: u64,
    /// Serial of the source, 0 for none.
    pub source: u64,
    /// Serial of the sink, 0 for none.
    pub sink: u64,
    /// All bits set if what the calls return is a number of bytes.
    pub bytes_mask: u64,
    /// Calls that are in no counter yet, since the last flush.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that failed with `errno`.
    pub named_errors: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Calls of these that were timed, and
    pub timed: u64,
    /// their wall time, ns.
    pub duration_ns: u64,
    /// Time blocked, ns.
    pub blocked_ns: u64,
    /// Time preempted, ns.
    pub preempted_ns: u64,
    /// Bytes fetched from storage.
    pub storage_read_bytes: u64,
    /// Bytes made dirty, or written directly.
    pub storage_written_bytes: u64,
    /// Calls of which neither of the two is known.
    pub storage_unknown: u64,
    /// What was counted inside them.
    pub counted: Counted,
}

impl Run {
    /// Calls that were not timed.
    #[inline(always)]
    pub const fn untimed(&self) -> u64 {
        self.calls.wrapping_sub(self.timed)
    }

    /// Wall time of its calls, ns: measured of those that were timed, of each other one the mean of those that were told.
    #[inline(always)]
    pub const fn duration_ns(&self) -> u64 {
        let off_cpu_ns = if self.timed == 0 { self.blocked_ns + self.preempted_ns } else { 0 };
        self.duration_ns.wrapping_add(self.mean_ns().wrapping_mul(self.untimed())).wrapping_add(off_cpu_ns)
    }

    /// Mean time of the samples, ns; 0 without any.
    #[inline(always)]
    pub const fn mean_ns(&self) -> u64 {
        if self.samples > 0 { self.sampled_ns / self.samples as u64 } else { 0 }
    }

    /// What its operations are folded by.
    #[inline(always)]
    pub const fn key(&self, tgid: u32) -> SpillKey {
        let fd = if self.fd_mask != 0 { self.fd as i32 } else { -1 };
        SpillKey {
            tgid,
            call: self.call.wrapping_sub(1),
            source: self.source,
            sink: self.sink,
            source_flags: self.source_flags,
            sink_flags: self.sink_flags,
            call_flags: self.call_flags,
            source_fd: if self.source != 0 { fd } else { -1 },
            sink_fd: if self.sink != 0 { fd } else { -1 },
            _pad: 0,
        }
    }

    /// Adds it to the counters of its call.
    #[inline(always)]
    pub const fn count(&self, duration_ns: u64, counters: &mut CallCounters) {
        counters.count += self.calls;
        counters.errors += self.errors;
        counters.bytes += self.bytes;
        counters.duration_ns += duration_ns;
        counters.blocked_ns += self.blocked_ns;
        counters.preempted_ns += self.preempted_ns;
        counters.folded += self.calls;
        counters.untimed += self.untimed();
    }

    /// Adds its operations to those that are folded by the same key.
    #[inline(always)]
    pub fn spill(&self, duration_ns: u64, counters: &mut SpillCounters) {
        counters.operations += self.calls;
        counters.errors += self.errors;
        counters.bytes += self.bytes;
        counters.duration_ns += duration_ns;
        counters.blocked_ns += self.blocked_ns;
        counters.preempted_ns += self.preempted_ns;
        counters.storage_read_bytes += self.storage_read_bytes;
        counters.storage_written_bytes += self.storage_written_bytes;
        counters.storage_unknown += self.storage_unknown;
        counters.counted.add(&self.counted);
        counters.transitions += 2 * self.calls;
    }
}

/// How fast a thread calls.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Pace {
    /// Calls since the pace was last taken.
    pub calls: u32,
    /// 1: in a storm, like calls are summed.
    pub storm: u32,
    /// When the pace was last taken, monotonic ns.
    pub since_ns: u64,
    /// The run that the current call belongs to, plus one; 0 if it is told.
    pub run: u32,
    /// 1: `counted` of the slot is not zero.
    pub counted: u32,
    /// Not 0: operations were not told since the last one that was.
    pub untold: u32,
    /// Padding.
    pub _pad: u32,
    /// User-mode page faults up to the last call that ended.
    pub user_faults: u64,
    /// How many times descriptors had changed when those of the current call were looked up.
    pub descriptors: u64,
}

const _: () = assert!(size_of::<Run>() == 40 + 6 * 8 + 11 * 8 + 64);
const _: () = assert!(size_of::<Pace>() == 48);

#[cfg(test)]
mod tests {
    use super::*;

    /// read, readv, pread64, preadv, preadv2, recvfrom, recvmsg, recvmmsg; and write, writev, pwrite64 and so on.
    const X86_64: [[u32; 8]; 2] = [[0, 19, 17, 295, 327, 45, 47, 299], [1, 20, 18, 296, 328, 44, 46, 307]];
    const AARCH64: [[u32; 8]; 2] =
        [[63, 65, 67, 69, 286, 207, 212, 243], [64, 66, 68, 70, 287, 206, 211, 269]];

    #[test]
    fn what_reads_and_what_writes_are_in_different_groups() {
        for ([reads, writes], spread) in [(X86_64, SPREAD_X86_64), (AARCH64, SPREAD_AARCH64)] {
            let [one, ..] = reads.map(|call| group(call, spread));
            assert_eq!(reads.map(|call| group(call, spread)), [one; 8]);
            assert_eq!(writes.map(|call| group(call, spread)), [1 - one; 8]);
        }
    }
}
