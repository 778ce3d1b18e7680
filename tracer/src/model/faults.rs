//! Page faults by what they were on: a mapped file, or memory of the program.

use super::{
    endpoints::{EndpointId, Endpoints},
    event::Pid,
    hash::{HashMap, HashSet},
    provenance::{Memories, Provenance},
    snapshot::{FaultPlaces, MappedFile},
};

/// Most mapped files that are told apart; faults on further ones are added up without a name.
const MOST: usize = 4096;

/// Faults on one file.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    user: u64,
    kernel: u64,
}

/// All page faults of which the address is known.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    files: HashMap<(Pid, EndpointId), Counts>,
    /// Processes of which all mappings are known.
    known: HashSet<Pid>,
    file: u64,
    anonymous: u64,
}

impl Faults {
    /// One more.
    pub(crate) fn count(&mut self, memories: &Memories, pid: Pid, address: u64, in_kernel: bool) {
        let mut on = None;
        memories.walk(pid, &(address..address.saturating_add(1)), |_, from| {
            if let Provenance::Mapped(file) = from {
                on = Some(file);
            }
        });
        let Some(file) = on else {
            if self.known.contains(&pid) {
                self.anonymous = self.anonymous.saturating_add(1);
            }
            return;
        };
        self.file = self.file.saturating_add(1);
        let known = self.files.contains_key(&(pid, file)) || self.files.len() < MOST;
        let key = if known { (pid, file) } else { (0, EndpointId::OTHERS) };
        let counts = self.files.entry(key).or_default();
        let side = if in_kernel { &mut counts.kernel } else { &mut counts.user };
        *side = side.saturating_add(1);
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
            anonymous: self.anonymous,
            not_told: all.max(user).saturating_sub(told),
        }
    }

    /// The mapped files, most faults first.
    pub(crate) fn files(&self, endpoints: &Endpoints) -> Vec<MappedFile> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by_key(|(key, counts)| {
            (std::cmp::Reverse(counts.user.saturating_add(counts.kernel)), **key)
        });
        let shown = files.into_iter().map(|((pid, file), counts)| MappedFile {
            pid: *pid,
            file: endpoints.end(*file),
            user_faults: counts.user,
            kernel_faults: counts.kernel,
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        event::{Event, Mapping, Serial},
        testing::{self, FILE, PID, mapped},
    };

    #[test]
    fn faults_on_a_mapped_file_and_beside_it() {
        let mut model = testing::model();
        model.apply([mapped(FILE, 0x1000..0x3000), Event::MappingsKnown { pid: PID }]);
        let fault = |address, in_kernel| Event::Fault { pid: PID, tid: PID, address, in_kernel };
        model.apply([fault(0x1000, false), fault(0x2fff, true), fault(0x3000, false), fault(0x1001, true)]);
        model.apply([Event::Unmapped { pid: PID, range: 0x1000..0x2000 }, fault(0x1000, false)]);
        let snapshot = model.snapshot();
        let [file] = &snapshot.mapped_files[..] else { panic!("{:?}", snapshot.mapped_files) };
        assert_eq!((file.user_faults, file.kernel_faults), (1, 2));
        let places = snapshot.totals.page_fault_places;
        assert_eq!((places.file, places.anonymous), (3, 2));
    }

    #[test]
    fn what_was_not_told_is_said() {
        let mut faults = Faults::default();
        let memories = Memories::new(16, 16);
        faults.count(&memories, PID, 7, false);
        assert_eq!(faults.places(10, 4).not_told, 10, "an exec may have mapped a file there");
        faults.know(PID);
        faults.fork(PID, PID + 1);
        faults.count(&memories, PID + 1, 7, false);
        let places = faults.places(10, 4);
        assert_eq!((places.user, places.kernel, places.anonymous, places.not_told), (4, 6, 1, 9));
        faults.forget(PID);
        faults.count(&memories, PID, 7, false);
        assert_eq!(faults.places(10, 4).anonymous, 1);
    }

    #[test]
    fn files_beyond_the_limit_have_no_name() {
        let mut model = testing::model();
        for pid in 1..6000u32 {
            let mapping = Mapping { pid, range: 0..10, serial: Serial(FILE), offset: 0 };
            model.apply([
                Event::Mapped(mapping),
                Event::Fault { pid, tid: pid, address: 5, in_kernel: false },
            ]);
        }
        let files = model.snapshot().mapped_files;
        assert_eq!(files.len(), MOST + 1);
        assert_eq!(files[0].user_faults, 5999 - MOST as u64);
    }
}
