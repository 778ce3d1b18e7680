//! The tables beside what `/proc/PID/fd` says.

use std::collections::BTreeSet;

use super::{ALL, Descriptors, Open, TableId};
use crate::model::{
    endpoints::{EndpointId, Endpoints},
    event::{DescriptorSeen, DescriptorsSeen},
    snapshot::DescriptorOrigin,
};

impl Descriptors {
    /// `/proc/PID/fd` was read: it is right about all that has not changed since.
    pub(crate) fn seen(&mut self, seen: &DescriptorsSeen, endpoints: &mut Endpoints) {
        let Some(id) = self.table_or_new(seen.pid, 0) else { return };
        if seen.at_begin
            && let Some(table) = self.tables.get_mut(&id)
        {
            table.seen_ns = seen.time_ns;
        }
        for found in &seen.descriptors {
            let (endpoint, _) = endpoints.resolve(found.serial);
            self.found(id, found, endpoint, seen);
        }
        if seen.complete {
            let there: BTreeSet<i32> = seen.descriptors.iter().map(|found| found.fd).collect();
            let before = self.closings;
            self.close_where(id, seen.time_ns, ALL, |fd, open| {
                open.since_ns <= seen.time_ns && !there.contains(&fd)
            });
            if !seen.at_begin {
                self.corrected = self.corrected.saturating_add(self.closings - before);
            }
            let Some(table) = self.tables.get_mut(&id) else { return };
            table.open.values_mut().filter(|open| open.since_ns <= seen.time_ns).for_each(|open| {
                open.doubtful = false;
            });
        }
    }

    fn found(&mut self, id: TableId, found: &DescriptorSeen, endpoint: EndpointId, seen: &DescriptorsSeen) {
        let Some(table) = self.tables.get_mut(&id) else { return };
        let learn = |open: &mut Open| {
            open.open_flags = found.flags.or(open.open_flags);
            open.close_on_exec = found.close_on_exec.or(open.close_on_exec);
            open.position_bytes = found.position_bytes;
        };
        match table.open.get_mut(&found.fd) {
            Some(open) if open.since_ns > seen.time_ns => return,
            Some(open) if open.endpoint == endpoint || !open.identified || !found.identified => {
                if !open.identified {
                    open.identify(endpoint, found.serial);
                    open.identified = found.identified;
                }
                learn(open);
                return;
            }
            Some(_) => {}
            None if table.closed_at.get(&found.fd).is_some_and(|closed_ns| *closed_ns > seen.time_ns) => {
                return;
            }
            None => {}
        }
        let origin = if seen.at_begin { DescriptorOrigin::BeforeAttach } else { DescriptorOrigin::NotSeen };
        if !seen.at_begin {
            self.corrected += 1;
        }
        let mut open = Open::new(endpoint, found.serial, seen.time_ns, origin);
        open.identified &= found.identified;
        learn(&mut open);
        self.put(id, found.fd, open, seen.time_ns);
    }
}
