//! Which addresses of a process are those of a mapped file. Only which file: no view asks for the offset in it.

use std::ops::Range;

use super::{endpoints::EndpointId, interval::IntervalMap};

/// More than the kernel lets a process have, unless it was told otherwise (`vm.max_map_count` is 65,530).
const MOST: usize = 65_536;

/// The mapped files of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mappings {
    files: IntervalMap<EndpointId>,
}

impl Mappings {
    /// A file was mapped. Beyond the limit it is not remembered: its bytes then count as the program's own.
    pub(crate) fn map(&mut self, range: Range<u64>, file: EndpointId) {
        self.files.remove(&range);
        if self.files.len() < MOST {
            self.files.insert(range, file);
        }
    }

    /// Something else, or nothing, is there now.
    pub(crate) fn unmap(&mut self, range: &Range<u64>) {
        self.files.remove(range);
    }

    /// `mremap`. A mapping that grows maps more of its file (mremap(2)).
    pub(crate) fn remap(&mut self, from: &Range<u64>, to: &Range<u64>) {
        let last = from.end.checked_sub(1).map(|last| last..from.end);
        let mut file = None;
        if let Some(last) = last {
            self.files.walk(&last, |_, found| file = found);
        }
        self.files.relocate(from, to, |file| file);
        if let (Some(file), false) = (file, from.is_empty()) {
            let grown_from = to.start.saturating_add(from.end - from.start);
            self.files.insert(grown_from..to.end, file);
        }
    }

    /// Gives `range` to `each`, piece by piece.
    pub(crate) fn walk(&self, range: &Range<u64>, each: impl FnMut(Range<u64>, Option<EndpointId>)) {
        self.files.walk(range, each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mappings: &Mappings) -> Vec<Range<u64>> {
        let mut found = Vec::new();
        mappings.walk(&(0..100), |range, file| found.extend(file.map(|_| range)));
        found
    }

    fn vec_of(range: Range<u64>) -> Vec<Range<u64>> {
        Vec::from_iter([range])
    }

    #[test]
    fn growing_and_shrinking_by_mremap() {
        let mut mappings = Mappings::default();
        mappings.map(10..20, EndpointId::UNKNOWN);
        mappings.remap(&(10..20), &(40..60));
        assert_eq!(all(&mappings), vec_of(40..60));
        mappings.remap(&(40..60), &(40..45));
        assert_eq!(all(&mappings), vec_of(40..45));
        mappings.unmap(&(42..43));
        assert_eq!(all(&mappings), [40..42, 43..45]);
    }

    #[test]
    fn a_fixed_mapping_replaces() {
        let mut mappings = Mappings::default();
        mappings.map(10..20, EndpointId::UNKNOWN);
        mappings.map(15..30, EndpointId::OTHERS);
        let mut found = Vec::new();
        mappings.walk(&(12..18), |range, file| found.push((range, file)));
        assert_eq!(found, [(12..15, Some(EndpointId::UNKNOWN)), (15..18, Some(EndpointId::OTHERS))]);
    }
}
