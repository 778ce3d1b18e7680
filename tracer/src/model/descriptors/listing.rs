//! What the document says of descriptors.

use std::cmp::Reverse;

use super::{Descriptors, Open, Owner, Table};
use crate::model::{
    endpoints::Endpoints,
    snapshot::{Descriptor, DescriptorOrigin, DescriptorSummary},
};

/// Most descriptors in the document.
const LISTED: usize = 1000;

impl Descriptors {
    /// The busiest ones, and sums of all.
    pub(crate) fn snapshot<'s>(&'s self, endpoints: &Endpoints) -> (Vec<Descriptor>, DescriptorSummary) {
        let open = self.tables.values().flat_map(|table| {
            let entry = move |(fd, open): (&i32, &'s Open)| Entry {
                owner: table.owner,
                table: Some(table),
                fd: *fd,
                open,
                openings: 1,
            };
            table.open.iter().map(entry)
        });
        let closed = self.closed.iter().map(|((owner, fd, _), closed)| Entry {
            owner: *owner,
            table: None,
            fd: *fd,
            open: &closed.last,
            openings: closed.openings,
        });
        let mut entries: Vec<Entry> = open.chain(closed).collect();
        // The sort is stable: by process and number, the open ones first.
        entries.sort_by_key(|entry| {
            (Reverse(entry.open.usage.sums.weight()), entry.owner, entry.fd, entry.table.is_none())
        });
        let (mut rest, mut rest_use) = self.folded;
        for entry in entries.iter().skip(LISTED) {
            rest = rest.saturating_add(entry.openings);
            rest_use.add(&entry.open.usage.sums);
        }
        entries.truncate(LISTED);
        let summary = DescriptorSummary {
            open: self.open as u64,
            closed: self.closings,
            all: self.all,
            not_listed: rest,
            not_listed_use: rest_use,
            without_descriptor: self.without,
            corrected: self.corrected,
            not_followed: self.not_followed,
        };
        (entries.iter().map(|entry| entry.shown(endpoints)).collect(), summary)
    }
}

/// One of the document.
struct Entry<'a> {
    owner: Owner,
    /// Where it is open.
    table: Option<&'a Table>,
    fd: i32,
    open: &'a Open,
    openings: u64,
}

impl Entry<'_> {
    fn shown(&self, endpoints: &Endpoints) -> Descriptor {
        let Open { origin, open_flags, close_on_exec, position_bytes, doubtful, ref usage, .. } = *self.open;
        let (pid, tid) = self.owner;
        let users = self.table.into_iter().flat_map(|table| table.users.iter().copied());
        Descriptor {
            pid,
            tid: (tid != 0).then_some(tid),
            shared_with: users.filter(|user| *user != pid).collect(),
            fd: self.fd,
            endpoint: endpoints.end(self.open.endpoint),
            open_flags,
            close_on_exec,
            position_bytes,
            opened: origin,
            opened_ns: (origin == DescriptorOrigin::Traced).then_some(self.open.since_ns),
            open: if self.table.is_some() { (!doubtful).then_some(true) } else { Some(false) },
            openings: self.openings,
            operations: usage.sums.operations,
            errors: usage.sums.errors,
            read_bytes: usage.sums.read_bytes,
            written_bytes: usage.sums.written_bytes,
            last_use_ns: (usage.last_ns > 0).then_some(usage.last_ns),
        }
    }
}
