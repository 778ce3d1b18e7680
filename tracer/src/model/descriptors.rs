//! Descriptors: what each number stands for in each process, since when, and what went through it.
//!
//! Calls say how a table changes, `/proc/PID/fd` what it was at two moments, and every operation which open file its
//! descriptors stood for when it began. The last is certain: where it contradicts the table, the table was wrong.
//!
//! Records come in the order in which calls *returned*. A call whose begin lies before a descriptor came to stand for what
//! it stands for now means the one before: another thread closed it, and the number was given out again meanwhile.

mod booking;
mod listing;
mod seen;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::{
    endpoints::{EndpointId, Endpoints},
    event::{DescriptorChange, DescriptorEvent, Pid, Serial, ThreadStarted, Tid},
    hash::HashMap,
    snapshot::{DescriptorOrigin, DescriptorUse},
};

/// Most numbers of a table of which it is remembered when they were closed.
const MOST_CLOSED_AT: usize = 65_536;
/// include/uapi/asm-generic/errno-base.h
const EBADF: i64 = 9;

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most open descriptors, of all processes together.
    pub(crate) open: usize,
    /// Most closed ones that are told apart.
    pub(crate) closed: usize,
    /// Most tables.
    pub(crate) tables: usize,
}

/// Whose table it is: a process's, or that of one thread alone (thread id; else 0).
type Owner = (Pid, Tid);

/// What went through.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Use {
    sums: DescriptorUse,
    last_ns: u64,
}

impl DescriptorUse {
    fn add(&mut self, more: &Self) {
        let Self { operations, errors, read_bytes, written_bytes } = more;
        self.operations = self.operations.saturating_add(*operations);
        self.errors = self.errors.saturating_add(*errors);
        self.read_bytes = self.read_bytes.saturating_add(*read_bytes);
        self.written_bytes = self.written_bytes.saturating_add(*written_bytes);
    }

    /// What makes one busier than another: bytes, then operations.
    fn weight(&self) -> (u128, u64) {
        (u128::from(self.read_bytes) + u128::from(self.written_bytes), self.operations)
    }
}

impl Use {
    fn add(&mut self, more: &Self) {
        self.sums.add(&more.sums);
        self.last_ns = self.last_ns.max(more.last_ns);
    }
}

/// What a number stands for now.
#[derive(Clone, Debug)]
struct Open {
    endpoint: EndpointId,
    serial: Serial,
    /// Whether `endpoint` is certain.
    identified: bool,
    /// From when on a call means this one, ns.
    since_ns: u64,
    origin: DescriptorOrigin,
    open_flags: Option<u32>,
    close_on_exec: Option<bool>,
    position_bytes: Option<u64>,
    /// Whether an exec may have closed it.
    doubtful: bool,
    usage: Use,
}

impl Open {
    fn new(endpoint: EndpointId, serial: Serial, since_ns: u64, origin: DescriptorOrigin) -> Self {
        Self {
            endpoint,
            serial,
            identified: serial != Serial(0) && endpoint != EndpointId::UNKNOWN,
            since_ns,
            origin,
            open_flags: None,
            close_on_exec: None,
            position_bytes: None,
            doubtful: false,
            usage: Use::default(),
        }
    }

    /// The same in another table, with nothing gone through it yet.
    fn copied(&self) -> Self {
        Self { usage: Use::default(), ..self.clone() }
    }

    /// Whether a call that began then can mean this one. Of one that was open before tracing began only a moment is known
    /// at which it was.
    fn may_be_meant(&self, began_ns: u64) -> bool {
        self.origin == DescriptorOrigin::BeforeAttach || self.since_ns <= began_ns
    }

    fn identify(&mut self, endpoint: EndpointId, serial: Serial) {
        (self.endpoint, self.serial, self.identified) = (endpoint, serial, endpoint != EndpointId::UNKNOWN);
    }
}

/// What a number stood for; several times, if for the same.
#[derive(Clone, Debug)]
struct Closed {
    last: Open,
    openings: u64,
}

/// One table, which several processes may share.
#[derive(Clone, Debug, Default)]
struct Table {
    owner: Owner,
    users: BTreeSet<Pid>,
    open: BTreeMap<i32, Open>,
    closed_at: HashMap<i32, u64>,
    /// What returned before is in it already, ns.
    seen_ns: u64,
}

/// A number that makes tables tell apart.
type TableId = u64;

/// All descriptors.
#[derive(Debug)]
pub(crate) struct Descriptors {
    limits: Limits,
    tables: BTreeMap<TableId, Table>,
    next_table: TableId,
    by_process: HashMap<Pid, TableId>,
    /// Threads with a table of their own.
    by_thread: BTreeMap<Owner, TableId>,
    open: usize,
    closed: BTreeMap<(Owner, i32, EndpointId), Closed>,
    /// Closed ones that are not told apart any more.
    folded: (u64, DescriptorUse),
    closings: u64,
    all: DescriptorUse,
    without: DescriptorUse,
    corrected: u64,
    not_followed: u64,
}

impl Descriptors {
    /// How many are told apart.
    pub(crate) fn count(&self) -> usize {
        self.open.saturating_add(self.closed.len())
    }

    /// Knows of none.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            tables: BTreeMap::new(),
            next_table: 0,
            by_process: HashMap::default(),
            by_thread: BTreeMap::new(),
            open: 0,
            closed: BTreeMap::new(),
            folded: (0, DescriptorUse::default()),
            closings: 0,
            all: DescriptorUse::default(),
            without: DescriptorUse::default(),
            corrected: 0,
            not_followed: 0,
        }
    }

    fn table_of(&self, pid: Pid, tid: Tid) -> Option<TableId> {
        let own = if self.by_thread.is_empty() { None } else { self.by_thread.get(&(pid, tid)) };
        own.or_else(|| self.by_process.get(&pid)).copied()
    }

    /// The table of a thread; that of a process not heard of before is empty. `None` if there are too many.
    fn table_or_new(&mut self, pid: Pid, tid: Tid) -> Option<TableId> {
        self.table_of(pid, tid).or_else(|| {
            let id =
                self.insert(Table { owner: (pid, 0), users: BTreeSet::from([pid]), ..Table::default() })?;
            self.by_process.insert(pid, id);
            Some(id)
        })
    }

    fn insert(&mut self, table: Table) -> Option<TableId> {
        if self.tables.len() >= self.limits.tables {
            return None;
        }
        self.next_table += 1;
        self.open += table.open.len();
        self.tables.insert(self.next_table, table);
        Some(self.next_table)
    }

    /// A copy of a table for somebody else; an empty one if there is no room for it.
    fn copy(&self, id: TableId, owner: Owner) -> Table {
        let Some(table) = self.tables.get(&id) else { return Table::default() };
        let room = self.limits.open.saturating_sub(self.open);
        let open = if table.open.len() <= room {
            table.open.iter().map(|(fd, open)| (*fd, open.copied())).collect()
        } else {
            BTreeMap::new()
        };
        Table { owner, users: BTreeSet::from([owner.0]), open, ..Table::default() }
    }

    /// A thread is traced from now on; the first one of a process brings a table with it.
    pub(crate) fn started(&mut self, thread: &ThreadStarted) {
        let ThreadStarted { pid, tid, parent, attached, shares_descriptors, .. } = *thread;
        let Some(&made_from) = self.by_process.get(&parent).filter(|_| !attached) else { return };
        if parent == pid {
            if !shares_descriptors {
                let copy = self.copy(made_from, (pid, tid));
                if let Some(id) = self.insert(copy) {
                    self.by_thread.insert((pid, tid), id);
                }
            }
        } else if self.by_process.contains_key(&pid) {
            // What it inherited has been seen already.
        } else if shares_descriptors {
            if let Some(table) = self.tables.get_mut(&made_from) {
                table.users.insert(pid);
                self.by_process.insert(pid, made_from);
            }
        } else {
            let copy = self.copy(made_from, (pid, 0));
            if let Some(id) = self.insert(copy) {
                self.by_process.insert(pid, id);
            }
        }
    }

    /// A thread has ended, and its process if it was the last one.
    pub(crate) fn ended(&mut self, pid: Pid, tid: Tid, last: bool, time_ns: u64) {
        if let Some(id) = self.by_thread.remove(&(pid, tid)) {
            self.drop_table(id, time_ns);
        }
        if last {
            self.drop_threads_tables(pid, time_ns);
            if let Some(id) = self.by_process.remove(&pid) {
                self.leave(id, pid, time_ns);
            }
        }
    }

    fn drop_threads_tables(&mut self, pid: Pid, time_ns: u64) {
        let own: Vec<Owner> =
            self.by_thread.range((pid, 0)..=(pid, Tid::MAX)).map(|(owner, _)| *owner).collect();
        for owner in own {
            if let Some(id) = self.by_thread.remove(&owner) {
                self.drop_table(id, time_ns);
            }
        }
    }

    /// A process does not use a table any more.
    fn leave(&mut self, id: TableId, pid: Pid, time_ns: u64) {
        let Some(table) = self.tables.get_mut(&id) else { return };
        table.users.remove(&pid);
        match table.users.first() {
            Some(heir) if table.owner.0 == pid => table.owner = (*heir, 0),
            Some(_) => {}
            None => self.drop_table(id, time_ns),
        }
    }

    fn drop_table(&mut self, id: TableId, time_ns: u64) {
        self.close_where(id, time_ns, ALL, |_, _| true);
        self.tables.remove(&id);
    }

    /// A process executes another program: it has its table for itself (fs/exec.c, `begin_new_exec`), without those that
    /// are closed on exec.
    pub(crate) fn executed(&mut self, pid: Pid, time_ns: u64) {
        self.drop_threads_tables(pid, time_ns);
        self.unshare(pid, 0, true, time_ns);
        let Some(&id) = self.by_process.get(&pid) else { return };
        self.close_where(id, time_ns, ALL, |_, open| open.close_on_exec == Some(true));
        let Some(table) = self.tables.get_mut(&id) else { return };
        for open in table.open.values_mut().filter(|open| open.close_on_exec.is_none()) {
            open.doubtful = true;
        }
    }

    /// Gives a thread, or with `alone` its whole process, a table that nobody else uses.
    fn unshare(&mut self, pid: Pid, tid: Tid, alone: bool, time_ns: u64) {
        if self.by_thread.contains_key(&(pid, tid)) {
            return;
        }
        let Some(&id) = self.by_process.get(&pid) else { return };
        let shared = self.tables.get(&id).is_some_and(|table| table.users.len() > 1);
        if alone && !shared {
            return;
        }
        let owner = if alone { (pid, 0) } else { (pid, tid) };
        let copy = self.copy(id, owner);
        let Some(new) = self.insert(copy) else { return };
        if alone {
            self.by_process.insert(pid, new);
            self.leave(id, pid, time_ns);
        } else {
            self.by_thread.insert(owner, new);
        }
    }

    /// A call changed a table; `alone` says whether its thread is the only one of its process.
    pub(crate) fn changed(&mut self, event: &DescriptorEvent, alone: bool, endpoints: &mut Endpoints) {
        let DescriptorEvent { pid, tid, began_ns, time_ns, change } = *event;
        let Some(id) = self.table_or_new(pid, tid) else {
            self.not_followed += 1;
            return;
        };
        if self.tables.get(&id).is_some_and(|table| time_ns < table.seen_ns) {
            return;
        }
        match change {
            DescriptorChange::Opened { made, close_on_exec } => {
                for (fd, serial) in made.into_iter().flatten() {
                    let (endpoint, _) = endpoints.resolve(serial);
                    let open = Open::new(endpoint, serial, time_ns, DescriptorOrigin::Traced);
                    self.put(id, fd, Open { close_on_exec, ..open }, time_ns);
                }
            }
            DescriptorChange::Duplicated { from, to, close_on_exec } => {
                let table = self.tables.get(&id);
                let from =
                    table.and_then(|table| table.open.get(&from)).filter(|open| open.may_be_meant(began_ns));
                let unknown = || Open::new(EndpointId::UNKNOWN, Serial(0), time_ns, DescriptorOrigin::Traced);
                let open = from.map_or_else(unknown, Open::copied);
                let (origin, close_on_exec) = (DescriptorOrigin::Traced, Some(close_on_exec));
                self.put(
                    id,
                    to,
                    Open { since_ns: time_ns, origin, close_on_exec, doubtful: false, ..open },
                    time_ns,
                );
            }
            DescriptorChange::Closed { first, last, unshared } => {
                let id = self.after_unsharing(id, event, unshared, alone);
                if let Some(among) = numbers(first, last) {
                    self.close_where(id, time_ns, among, |_, open| open.may_be_meant(began_ns));
                }
            }
            DescriptorChange::CloseOnExec { first, last, close_on_exec, unshared } => {
                let id = self.after_unsharing(id, event, unshared, alone);
                let Some(table) = self.tables.get_mut(&id) else { return };
                let marked = numbers(first, last).map(|among| table.open.range_mut(among));
                marked.into_iter().flatten().for_each(|(_, open)| open.close_on_exec = Some(close_on_exec));
            }
            DescriptorChange::Unshared => drop(self.after_unsharing(id, event, true, alone)),
            DescriptorChange::Readdressed { fd, serial } => {
                let (endpoint, _) = endpoints.resolve(serial);
                let open = self.tables.get_mut(&id).and_then(|table| table.open.get_mut(&fd));
                if let Some(open) = open.filter(|open| open.endpoint == endpoint || !open.identified) {
                    open.identify(endpoint, serial);
                }
            }
        }
    }

    fn after_unsharing(
        &mut self,
        id: TableId,
        event: &DescriptorEvent,
        unshared: bool,
        alone: bool,
    ) -> TableId {
        if unshared {
            self.unshare(event.pid, event.tid, alone, event.time_ns);
        }
        self.table_of(event.pid, event.tid).unwrap_or(id)
    }

    /// A number stands for something new. What it stood for before has been closed: by `dup2`, or by a call that has not
    /// returned yet.
    fn put(&mut self, id: TableId, fd: i32, open: Open, time_ns: u64) -> bool {
        self.close_where(id, time_ns, fd..=fd, |_, _| true);
        let Some(table) = self.tables.get_mut(&id).filter(|_| self.open < self.limits.open) else {
            self.not_followed += 1;
            return false;
        };
        table.closed_at.remove(&fd);
        table.open.insert(fd, open);
        self.open += 1;
        true
    }

    fn close_where(
        &mut self,
        id: TableId,
        time_ns: u64,
        among: RangeInclusive<i32>,
        meant: impl Fn(i32, &Open) -> bool,
    ) {
        let Some(table) = self.tables.get_mut(&id) else { return };
        let among = table.open.range(among);
        let fds: Vec<i32> = among.filter(|(fd, open)| meant(**fd, open)).map(|(fd, _)| *fd).collect();
        if table.closed_at.len() + fds.len() > MOST_CLOSED_AT {
            table.closed_at.clear();
        }
        let owner = table.owner;
        let mut ended = Vec::with_capacity(fds.len());
        for fd in fds {
            table.closed_at.insert(fd, time_ns);
            ended.extend(table.open.remove(&fd).map(|open| (fd, open)));
        }
        for (fd, open) in ended {
            self.open -= 1;
            self.closings = self.closings.saturating_add(1);
            self.bury(owner, fd, open);
        }
    }

    fn bury(&mut self, owner: Owner, fd: i32, open: Open) {
        let key = (owner, fd, open.endpoint);
        match self.closed.get_mut(&key) {
            Some(closed) => {
                let usage = std::mem::replace(&mut closed.last, open).usage;
                closed.last.usage.add(&usage);
                closed.openings = closed.openings.saturating_add(1);
            }
            None => {
                if self.closed.len() >= self.limits.closed {
                    self.fold_idle();
                }
                self.closed.insert(key, Closed { last: open, openings: 1 });
            }
        }
    }

    /// Adds up the half of the closed ones that least went through.
    fn fold_idle(&mut self) {
        let mut order: Vec<_> = self
            .closed
            .iter()
            .map(|(key, closed)| (closed.last.usage.sums.weight(), closed.last.usage.last_ns, *key))
            .collect();
        order.sort_unstable();
        for (.., key) in order.iter().take((order.len() / 2).max(1)) {
            if let Some(closed) = self.closed.remove(key) {
                self.folded.0 = self.folded.0.saturating_add(closed.openings);
                self.folded.1.add(&closed.last.usage.sums);
            }
        }
    }
}

/// All descriptors.
const ALL: RangeInclusive<i32> = i32::MIN..=i32::MAX;

/// From the first to the last, if there can be any: no descriptor is higher than the type's last number.
fn numbers(first: u32, last: u32) -> Option<RangeInclusive<i32>> {
    let first = i32::try_from(first).ok()?;
    let last = i32::try_from(last).unwrap_or(i32::MAX);
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests;
