//! Two rules may tell of the same flow: small reads and writes that are a relay as well. What they would save is then partly the
//! same. Only the one that would save most is told; it names the other.

use std::collections::HashMap;

use super::{AppliesTo, Finding};

/// Leaves one finding of each flow. What is about no flow stays as it is.
pub(super) fn apart(found: Vec<Finding>) -> Vec<Finding> {
    let mut apart: Vec<Finding> = Vec::new();
    let mut places: HashMap<AppliesTo, usize> = HashMap::new();
    for mut finding in found {
        if finding.applies_to.method.is_none() {
            apart.push(finding);
            continue;
        }
        let place = *places.entry(finding.applies_to.clone()).or_insert(apart.len());
        let Some(known) = apart.get_mut(place) else {
            apart.push(finding);
            continue;
        };
        if finding.saving.weight() > known.saving.weight() {
            std::mem::swap(known, &mut finding);
        }
        known.also.push(finding.rule);
        known.also.append(&mut finding.also);
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::super::{findings, relay, small_calls};
    use crate::{
        export::samples,
        model::snapshot::{Flow, Snapshot},
    };

    /// A file that is copied to another by small reads and writes.
    fn copied(chunk: u64) -> Snapshot {
        let flow = samples::relay_flow();
        let transfers = (256 << 20) / chunk;
        let flow = Flow {
            sink: samples::file("/srv/copy"),
            transfers,
            operations: 2 * transfers,
            transitions: 4 * transfers,
            ..flow
        };
        Snapshot { flows: vec![flow], ..Snapshot::default() }
    }

    #[test]
    fn the_larger_saving_is_told_and_names_the_other() {
        let told = |snapshot: &Snapshot| {
            let found = findings(snapshot);
            let [finding] = found.as_slice() else { panic!("{found:?}") };
            (finding.rule.clone(), finding.also.clone())
        };
        let both = |snapshot: &Snapshot| [relay::find(snapshot).len(), small_calls::find(snapshot).len()];
        let (tiny, small) = (copied(64), copied(8 << 10));
        assert_eq!([both(&tiny), both(&small)], [[1, 1]; 2]);
        assert_eq!(told(&tiny), ("small-calls".to_owned(), vec!["read-write-relay".to_owned()]));
        assert_eq!(told(&small), ("read-write-relay".to_owned(), vec!["small-calls".to_owned()]));
    }
}
