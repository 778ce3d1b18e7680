//! Which bytes of mapped files page faults made reachable, as far as a fault tells.
//!
//! A fault brings the page that it was taken on. What it brings besides it does not say: of pages that are read and lie in
//! the page cache the kernel maps those around as well, 64 KiB of them (mm/memory.c, `do_fault_around`), and where the file
//! is cached in huge pages a whole one (mm/filemap.c, `filemap_map_pmd`).

use std::ops::Range;

use super::{evidence::Evidence, interval::IntervalMap, snapshot::Reached};

/// x86-64's page: the only architecture that tells of page faults (arch/x86/include/asm/trace/exceptions.h).
const PAGE: u64 = 4096;
/// `fault_around_bytes` unless somebody has changed it in debugfs.
const AROUND: u64 = 64 << 10;
/// The largest page that a file in the page cache is mapped by (`PMD_SIZE`).
pub(crate) const HUGE: u64 = 2 << 20;

/// More pages far from each other than this are not remembered one by one.
const MOST: usize = 65_536;

/// Bytes that faults made reachable.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Reach {
    /// On the pages that faults were taken on.
    at_least: u64,
    /// On these and what is usually mapped along.
    usual: u64,
    /// On all that can have been mapped along.
    at_most: u64,
    /// Whether more faults were taken than are remembered: then only the first of these holds.
    lost: bool,
}

impl Reach {
    pub(crate) fn add(&mut self, other: &Self) {
        self.at_least = self.at_least.saturating_add(other.at_least);
        self.usual = self.usual.saturating_add(other.usual);
        self.at_most = self.at_most.saturating_add(other.at_most);
        self.lost |= other.lost;
    }

    /// How people see it, of so many bytes at most. If faults were taken whose place is not known, they may have reached
    /// more.
    pub(crate) fn shown(&self, all_told: bool, of: u64) -> Reached {
        let Self { at_least, usual, at_most, lost } = *self;
        let whole = at_least >= of;
        Reached {
            bytes: (whole || !lost).then_some(usual.max(at_least)),
            evidence: match (at_least == usual, lost) {
                _ if whole => Evidence::Derived,
                (_, true) => Evidence::Unknown,
                (true, false) => Evidence::Derived,
                (false, false) => Evidence::Modelled,
            },
            at_least_bytes: at_least,
            at_most_bytes: (whole || all_told && !lost).then_some(at_most.max(at_least)),
        }
    }
}

/// The pages of one process that faults have reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pages {
    faulted: IntervalMap<()>,
    around: IntervalMap<()>,
    possible: IntervalMap<()>,
    /// Mapped without any page since tracing began: what of it turns out to have been read was reached by faults.
    fresh: IntervalMap<()>,
    lost: bool,
}

impl Pages {
    /// Mapped without any page.
    pub(crate) fn begin(&mut self, mapping: Range<u64>) {
        if self.fresh.len() < MOST {
            self.fresh.insert(mapping, ());
        }
    }

    /// Bytes that a call has taken out of a mapping, so that they had been reached: by which fault does not matter. What that
    /// adds.
    pub(crate) fn taken(&mut self, range: &Range<u64>) -> Reach {
        let mut added = Reach { lost: self.lost, ..Reach::default() };
        let mut fresh = Vec::new();
        self.fresh.walk(range, |range, is_fresh| fresh.extend(is_fresh.map(|()| range)));
        for range in fresh {
            added.at_least = added.at_least.saturating_add(put(&mut self.faulted, range.clone()));
            added.usual = added.usual.saturating_add(put(&mut self.around, range.clone()));
            added.at_most = added.at_most.saturating_add(put(&mut self.possible, range));
        }
        added
    }

    /// A fault at an address of a mapping: what was reached for the first time. `alone`: nothing is mapped along with a page
    /// that is written to.
    pub(crate) fn fault(&mut self, address: u64, mapping: &Range<u64>, alone: bool) -> Reach {
        if self.possible.len().max(self.faulted.len()) >= MOST {
            let fresh = std::mem::take(&mut self.fresh);
            *self = Self { lost: true, fresh, ..Self::default() };
        }
        let usual = if alone { PAGE } else { AROUND };
        Reach {
            at_least: cover(&mut self.faulted, address, PAGE, mapping),
            usual: cover(&mut self.around, address, usual, mapping),
            at_most: cover(&mut self.possible, address, if alone { PAGE } else { HUGE }, mapping),
            lost: self.lost,
        }
    }

    /// What of `range` faults have reached.
    pub(crate) fn of(&self, range: &Range<u64>) -> Reach {
        Reach {
            at_least: covered(&self.faulted, range),
            usual: covered(&self.around, range),
            at_most: covered(&self.possible, range),
            lost: self.lost,
        }
    }

    /// Something else, or nothing, is mapped there now.
    pub(crate) fn forget(&mut self, range: &Range<u64>) {
        for pages in [&mut self.faulted, &mut self.around, &mut self.possible, &mut self.fresh] {
            pages.remove(range);
        }
    }
}

/// The part of a mapping that lies in the aligned `size` bytes around an address.
fn window(address: u64, size: u64, mapping: &Range<u64>) -> Range<u64> {
    let start = address - address % size;
    start.max(mapping.start)..start.saturating_add(size).min(mapping.end)
}

/// Adds such a window to `pages`; how many of its bytes were not in it.
fn cover(pages: &mut IntervalMap<()>, address: u64, size: u64, mapping: &Range<u64>) -> u64 {
    put(pages, window(address, size, mapping))
}

fn put(pages: &mut IntervalMap<()>, range: Range<u64>) -> u64 {
    let before = covered(pages, &range);
    let bytes = range.end.saturating_sub(range.start);
    pages.insert(range, ());
    bytes.saturating_sub(before)
}

fn covered(pages: &IntervalMap<()>, range: &Range<u64>) -> u64 {
    let mut bytes = 0_u64;
    pages.walk(range, |range, covered| {
        if covered.is_some() {
            bytes = bytes.saturating_add(range.end - range.start);
        }
    });
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1 << 30;

    #[test]
    fn a_fault_reaches_its_page_and_perhaps_its_neighbours() {
        let mapping = START..START + (3 << 20);
        let mut pages = Pages::default();
        let first = pages.fault(START + 5000, &mapping, false);
        assert_eq!((first.at_least, first.usual, first.at_most), (PAGE, AROUND, HUGE));
        assert_eq!(pages.fault(START + 5001, &mapping, false), Reach::default(), "the same page again");
        let beside = pages.fault(START + PAGE + 4096, &mapping, false);
        assert_eq!((beside.at_least, beside.usual, beside.at_most), (PAGE, 0, 0));
        let last = pages.fault(START + (2 << 20), &mapping, false);
        assert_eq!((last.at_least, last.at_most), (PAGE, 1 << 20), "the mapping ends");
        let reached = pages.of(&(START + PAGE..START + 3 * PAGE));
        assert_eq!((reached.at_least, reached.usual), (2 * PAGE, 2 * PAGE));
    }

    #[test]
    fn a_write_reaches_its_page_alone() {
        let mut pages = Pages::default();
        let reach = pages.fault(START, &(START..START + 100), true);
        assert_eq!(
            (reach.at_least, reach.usual, reach.at_most),
            (100, 100, 100),
            "the file ends in the page"
        );
        pages.forget(&(START..START + 50));
        assert_eq!(pages.of(&(START..START + 100)).at_least, 50);
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let mapping = 0..u64::MAX;
        let mut pages = Pages::default();
        let mut all = Reach::default();
        for number in 0..=MOST as u64 {
            all.add(&pages.fault(number * 2 * HUGE, &mapping, false));
        }
        let told = all.shown(true, u64::MAX);
        assert_eq!((told.bytes, told.at_most_bytes), (None, None));
        assert_eq!(told.at_least_bytes, (MOST as u64 + 1) * PAGE);
        let some = Reach { at_least: 1, usual: 2, at_most: 3, lost: false };
        let told = some.shown(false, 9);
        assert_eq!((told.bytes, told.evidence, told.at_most_bytes), (Some(2), Evidence::Modelled, None));
        let whole = some.shown(false, 1);
        assert_eq!((whole.evidence, whole.at_most_bytes), (Evidence::Derived, Some(3)));
    }

    #[test]
    fn what_was_read_of_a_fresh_mapping_was_reached() {
        let mut pages = Pages::default();
        pages.begin(START..START + 100_000);
        pages.fault(START, &(START..START + 100_000), false);
        let added = pages.taken(&(START..START + 90_000));
        assert_eq!((added.at_least, added.usual, added.at_most), (90_000 - PAGE, 90_000 - AROUND, 0));
        assert_eq!(pages.of(&(START..START + 100_000)).at_least, 90_000);
        pages.forget(&(START..START + 100_000));
        assert_eq!(pages.taken(&(START..START + 90_000)), Reach::default(), "it may be another mapping");
    }
}
