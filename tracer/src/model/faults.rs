//! Page faults by what they were on: a mapped file, or memory of the program; and whether they needed I/O, which the kernel
//! accounts when it is done with one: the thread's next fault brings the accounts.

use super::{
    endpoints::{EndpointId, Endpoints},
    event::{Fault, Pid, Tid},
    hash::{HashMap, HashSet},
    provenance::{MOST_FILES, Memories},
    snapshot::{FaultPlaces, MappedFile},
};

/// Faults on one file.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    user: u64,
    kernel: u64,
    minor: u64,
    major: u64,
}

/// What a fault was on.
#[derive(Clone, Copy, Debug)]
enum On {
    File(Pid, EndpointId),
    Anonymous,
    Unknown,
}

/// A thread's last fault: whether it needed I/O its next one tells.
#[derive(Clone, Copy, Debug)]
struct Last {
    on: On,
    minor_before: u32,
    major_before: u32,
}

/// All page faults of which the address is known.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    files: HashMap<(Pid, EndpointId), Counts>,
    /// Processes of which all mappings are known.
    known: HashSet<Pid>,
    /// The last fault of each thread.
    last: HashMap<Tid, Last>,
    file: u64,
    file_major: u64,
    anonymous: u64,
    anonymous_major: u64,
}

impl Faults {
    /// One more.
    pub(crate) fn count(&mut self, memories: &mut Memories, fault: &Fault) {
        let Fault { pid, tid, in_kernel, minor_before, major_before, .. } = *fault;
        if let Some(last) = self.last.get(&tid).copied() {
            self.settle(last, minor_before, major_before);
        }
        let on = match memories.fault(fault) {
            Some(file) => self.on_file(pid, file, in_kernel),
            None if self.known.contains(&pid) => {
                self.anonymous = self.anonymous.saturating_add(1);
                On::Anonymous
            }
            None => On::Unknown,
        };
        self.last.insert(tid, Last { on, minor_before, major_before });
    }

    fn on_file(&mut self, pid: Pid, file: EndpointId, in_kernel: bool) -> On {
        self.file = self.file.saturating_add(1);
        let known = self.files.contains_key(&(pid, file)) || self.files.len() < MOST_FILES;
        let (pid, file) = if known { (pid, file) } else { (0, EndpointId::OTHERS) };
        let counts = self.files.entry((pid, file)).or_default();
        let side = if in_kernel { &mut counts.kernel } else { &mut counts.user };
        *side = side.saturating_add(1);
        On::File(pid, file)
    }

    /// Whether a fault needed I/O, by the accounts of its thread at the next one. If there was another one in between, of
    /// which no hook tells (the kernel looked for pages to pin), they do not say.
    fn settle(&mut self, last: Last, minor: u32, major: u32) {
        let grown = (minor.wrapping_sub(last.minor_before), major.wrapping_sub(last.major_before));
        let is_major = match grown {
            (1, 0) => false,
            (0, 1) => true,
            _ => return,
        };
        let add = |sum: &mut u64| *sum = sum.saturating_add(1);
        match last.on {
            On::File(pid, file) => {
                if is_major {
                    add(&mut self.file_major);
                }
                let counts = self.files.entry((pid, file)).or_default();
                add(if is_major { &mut counts.major } else { &mut counts.minor });
            }
            On::Anonymous if is_major => add(&mut self.anonymous_major),
            On::Anonymous | On::Unknown => {}
        }
    }

    /// The thread has ended; what its last fault was is not told.
    pub(crate) fn ended(&mut self, tid: Tid) {
        self.last.remove(&tid);
    }

    /// All mappings of the process have been told.
    pub(crate) fn know(&mut self, pid: Pid) {
        self.known.insert(pid);
    }

    /// A child has the mappings of its parent.
    pub(crate) fn fork(&mut self, parent: Pid, child: Pid) {
        if self.known.contains(&parent) {
            self.known.insert(child);
        }
    }

    /// The process has ended, or executes another program.
    pub(crate) fn forget(&mut self, pid: Pid) {
        self.known.remove(&pid);
    }

    /// By place, given the exact numbers of all faults and of those in user mode.
    pub(crate) fn places(&self, all: u64, user: u64) -> FaultPlaces {
        let told = self.file.saturating_add(self.anonymous);
        FaultPlaces {
            user,
            kernel: all.saturating_sub(user),
            file: self.file,
            file_major: self.file_major,
            anonymous: self.anonymous,
            anonymous_major: self.anonymous_major,
            not_told: all.max(user).saturating_sub(told),
        }
    }

    /// The mapped files, most faults first.
    pub(crate) fn files(
        &self,
        endpoints: &Endpoints,
        memories: &Memories,
        all_told: bool,
    ) -> Vec<MappedFile> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by_key(|(key, counts)| {
            (std::cmp::Reverse(counts.user.saturating_add(counts.kernel)), **key)
        });
        let shown = files.into_iter().map(|((pid, file), counts)| MappedFile {
            pid: *pid,
            file: endpoints.end(*file),
            user_faults: counts.user,
            kernel_faults: counts.kernel,
            minor_faults: counts.minor,
            major_faults: counts.major,
            reached: memories.reached(*pid, *file).shown(all_told, u64::MAX),
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        event::{Event, Mapping, Serial},
        evidence::Evidence,
        testing::{self, FILE, PID, mapped},
    };

    #[test]
    fn faults_on_a_mapped_file_and_beside_it() {
        let mut model = testing::model();
        model.apply([mapped(FILE, 0x1000..0x3000), Event::MappingsKnown { pid: PID }]);
        let fault = |address, in_kernel| Event::Fault(Fault { in_kernel, ..testing::fault(address) });
        model.apply([fault(0x1000, false), fault(0x2fff, true), fault(0x3000, false), fault(0x1001, true)]);
        model.apply([Event::Unmapped { pid: PID, range: 0x1000..0x2000 }, fault(0x1000, false)]);
        let snapshot = model.snapshot();
        let [file] = &snapshot.mapped_files[..] else { panic!("{:?}", snapshot.mapped_files) };
        assert_eq!((file.user_faults, file.kernel_faults), (1, 2));
        let places = snapshot.totals.page_fault_places;
        assert_eq!((places.file, places.anonymous), (3, 2));
    }

    #[test]
    fn the_next_fault_tells_whether_the_last_needed_io() {
        let mut model = testing::model();
        model.apply([mapped(FILE, 0x1000..0x9000), Event::MappingsKnown { pid: PID }]);
        let at = |address, minor_before, major_before| {
            Event::Fault(Fault { minor_before, major_before, ..testing::fault(address) })
        };
        // Minor, major, one beside that is major, one that another came after unseen, and the last one.
        model.apply([
            at(0x1000, 5, 7),
            at(0x2000, 6, 7),
            at(0x9000, 6, 8),
            at(0x3000, 6, 9),
            at(0x4000, 8, 9),
        ]);
        let snapshot = model.snapshot();
        let [file] = &snapshot.mapped_files[..] else { panic!("{:?}", snapshot.mapped_files) };
        assert_eq!((file.minor_faults, file.major_faults, file.user_faults), (1, 1, 4));
        let places = snapshot.totals.page_fault_places;
        assert_eq!((places.file_major, places.anonymous_major), (1, 1));
    }

    #[test]
    fn what_is_sent_from_a_mapping_was_reached_by_faults() {
        let mut model = testing::model();
        let start = 0x4000_0000;
        model.apply([mapped(FILE, start..start + 0x10_0000), Event::MappingsKnown { pid: PID }]);
        model.apply([Event::Fault(testing::fault(start)), Event::Fault(testing::fault(start + 0x1_0000))]);
        model.apply([Event::Operation(testing::write(testing::SOCKET, start..start + 0x1_8000))]);
        let reached = testing::flow(&model.snapshot(), "mmap+write").reached.expect("it is from a mapping");
        // Two pages, and what is around them of what was sent.
        assert_eq!((reached.at_least_bytes, reached.bytes), (0x2000, Some(0x1_8000)));
        assert_eq!(reached.evidence, Evidence::Modelled, "it was mapped before");
        let all = model.snapshot().mapped_files[0].reached;
        assert_eq!((all.at_least_bytes, all.bytes), (0x2000, Some(0x2_0000)));
        let range = start + 0x20_0000..start + 0x30_0000;
        let mapping =
            Mapping { pid: PID, range, serial: Serial(testing::OTHER_FILE), offset: 0, fresh: true };
        let sent = testing::write(testing::OTHER_SOCKET, start + 0x20_0000..start + 0x28_0000);
        model.apply([Event::Mapped(mapping), Event::Operation(sent)]);
        let snapshot = model.snapshot();
        let mut flows = snapshot.flows.iter().filter_map(|flow| flow.reached);
        assert!(flows.any(|reached| {
            (reached.at_least_bytes, reached.at_most_bytes) == (0x8_0000, Some(0x8_0000))
                && reached.evidence == Evidence::Derived
        }));
    }

    #[test]
    fn what_was_not_told_is_said() {
        let mut faults = Faults::default();
        let mut memories = Memories::new(16, 16);
        faults.count(&mut memories, &testing::fault(7));
        assert_eq!(faults.places(10, 4).not_told, 10, "an exec may have mapped a file there");
        faults.know(PID);
        faults.fork(PID, PID + 1);
        faults.count(&mut memories, &Fault { pid: PID + 1, ..testing::fault(7) });
        let places = faults.places(10, 4);
        assert_eq!((places.user, places.kernel, places.anonymous, places.not_told), (4, 6, 1, 9));
        faults.forget(PID);
        faults.count(&mut memories, &testing::fault(7));
        assert_eq!(faults.places(10, 4).anonymous, 1);
    }

    #[test]
    fn files_beyond_the_limit_have_no_name() {
        let mut model = testing::model();
        for pid in 1..6000u32 {
            let mapping = Mapping { pid, range: 0..10, serial: Serial(FILE), offset: 0, fresh: false };
            model.apply([Event::Mapped(mapping), Event::Fault(Fault { pid, tid: pid, ..testing::fault(5) })]);
        }
        let files = model.snapshot().mapped_files;
        assert_eq!(files.len(), MOST_FILES + 1);
        assert_eq!(files[0].user_faults, 5999 - MOST_FILES as u64);
    }
}
