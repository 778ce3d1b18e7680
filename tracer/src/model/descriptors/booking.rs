//! Which descriptor an operation went through.

use super::{Descriptors, EBADF, Open, Owner, Use};
use crate::model::{
    copies,
    endpoints::{EndpointId, Endpoints},
    event::{CallKind, Folded, Operation, Pid, Serial, Side},
    snapshot::{DescriptorOrigin, DescriptorUse},
};

impl Descriptors {
    /// A finished operation went through one descriptor or two.
    pub(crate) fn operation(&mut self, operation: &Operation, endpoints: &mut Endpoints) {
        let read = |bytes| DescriptorUse { read_bytes: bytes, ..DescriptorUse::default() };
        let written = |bytes| DescriptorUse { written_bytes: bytes, ..DescriptorUse::default() };
        let bytes = operation.bytes;
        if operation.kind == CallKind::Vmsplice {
            // Which way it goes depends on the pipe's end.
            if let Some(pipe) = operation.sink.or(operation.source) {
                let sums = if copies::vmsplice_writes(pipe.flags) { written(bytes) } else { read(bytes) };
                self.side(operation, pipe, sums, endpoints);
            }
            return;
        }
        if let Some(source) = operation.source {
            self.side(operation, source, read(bytes), endpoints);
        }
        if let Some(sink) = operation.sink {
            self.side(operation, sink, written(bytes), endpoints);
        }
    }

    fn side(&mut self, operation: &Operation, side: Side, bytes: DescriptorUse, endpoints: &mut Endpoints) {
        let call = &operation.call;
        // include/linux/err.h: MAX_ERRNO
        let errors = u64::from((-4095..0).contains(&call.result));
        let usage = Use { sums: DescriptorUse { operations: 1, errors, ..bytes }, last_ns: call.end_ns };
        self.all.add(&usage.sums);
        if !self.book(operation, side, &usage, endpoints) {
            self.without.add(&usage.sums);
        }
    }

    /// Books it on the descriptor that it went through; false if there was none, or none that can be told.
    fn book(&mut self, operation: &Operation, side: Side, usage: &Use, endpoints: &mut Endpoints) -> bool {
        let call = &operation.call;
        let Side { fd, serial, flags } = side;
        if fd < 0 {
            return false;
        }
        let Some(id) = self.table_or_new(call.pid, call.tid) else { return false };
        let Some(table) = self.tables.get_mut(&id) else { return false };
        let owner = table.owner;
        let open = table.open.get_mut(&fd);
        if let Some(open) = open.filter(|open| open.serial == serial && serial != Serial(0)) {
            open.usage.add(usage);
            (open.open_flags, open.doubtful) = (Some(flags), false);
            return true;
        }
        let began_ns = call.duration_ns.map(|duration| call.end_ns.saturating_sub(duration));
        let is_past = |since_ns: u64| began_ns.is_none_or(|began_ns| began_ns < since_ns);
        let (endpoint, _) = endpoints.resolve(serial);
        if let Some(open) = table.open.get_mut(&fd) {
            let past = is_past(open.since_ns);
            let unknown = endpoint == EndpointId::UNKNOWN;
            if serial == Serial(0) && call.result == -EBADF {
                // The kernel found nothing open there.
                if !past {
                    self.corrected += 1;
                    self.close_where(id, call.end_ns, fd..=fd, |_, _| true);
                }
                return false;
            }
            let adopts = !open.identified && (!past || open.origin == DescriptorOrigin::BeforeAttach);
            if open.endpoint == endpoint || adopts || (unknown && !past) {
                if !unknown {
                    open.identify(endpoint, serial);
                }
                open.usage.add(usage);
                (open.open_flags, open.doubtful) = (Some(flags), false);
                return true;
            }
            if past {
                return self.book_past(owner, side, endpoint, usage);
            }
        } else if serial == Serial(0) && call.result == -EBADF {
            return false;
        } else if table.closed_at.get(&fd).is_some_and(|closed_ns| is_past(*closed_ns)) {
            return self.book_past(owner, side, endpoint, usage);
        }
        // It stands for something that no call was seen to put there.
        self.corrected += 1;
        let open = Open::new(endpoint, serial, began_ns.unwrap_or(0), DescriptorOrigin::NotSeen);
        self.put(id, fd, Open { open_flags: Some(flags), usage: *usage, ..open }, call.end_ns)
    }

    /// Books it on what the number stood for before.
    fn book_past(&mut self, owner: Owner, side: Side, endpoint: EndpointId, usage: &Use) -> bool {
        match self.closed.get_mut(&(owner, side.fd, endpoint)) {
            Some(closed) => closed.last.usage.add(usage),
            None => {
                let open = Open::new(endpoint, side.serial, 0, DescriptorOrigin::NotSeen);
                self.bury(owner, side.fd, Open { open_flags: Some(side.flags), usage: *usage, ..open });
                self.closings = self.closings.saturating_add(1);
            }
        }
        true
    }

    /// Operations that were folded in the kernel went through one descriptor or two.
    pub(crate) fn folded(&mut self, folded: &Folded, endpoints: &mut Endpoints) {
        let sums = |read_bytes, written_bytes| DescriptorUse {
            operations: folded.operations,
            errors: folded.errors,
            read_bytes,
            written_bytes,
        };
        let sides = match folded.kind {
            CallKind::Vmsplice => {
                let pipe = folded.sink.or(folded.source);
                let writes = pipe.is_some_and(|pipe| copies::vmsplice_writes(pipe.flags));
                [pipe.filter(|_| !writes), pipe.filter(|_| writes)]
            }
            _ => [folded.source, folded.sink],
        };
        for (side, sums) in sides.into_iter().zip([sums(folded.bytes, 0), sums(0, folded.bytes)]) {
            let Some(side) = side else { continue };
            self.all.add(&sums);
            // When the last one was is not known.
            if !self.book_folded(folded.pid, side, &Use { sums, last_ns: 0 }, endpoints) {
                self.without.add(&sums);
            }
        }
    }

    /// Which thread made them is not known: a thread with a table of its own may have.
    fn book_folded(&mut self, pid: Pid, side: Side, usage: &Use, endpoints: &mut Endpoints) -> bool {
        let Side { fd, serial, flags } = side;
        if fd < 0 || serial == Serial(0) {
            return false;
        }
        let (endpoint, _) = endpoints.resolve(serial);
        let ended = (pid, 0);
        if self.table_of(pid, pid).is_none() && self.closed.contains_key(&(ended, fd, endpoint)) {
            // The sums of a process come after its end.
            return self.book_past(ended, side, endpoint, usage);
        }
        let Some(id) = self.table_or_new(pid, pid) else { return false };
        let Some(table) = self.tables.get_mut(&id) else { return false };
        let owner = table.owner;
        match table.open.get_mut(&fd) {
            Some(open) if open.serial == serial || open.endpoint == endpoint || !open.identified => {
                if open.serial != serial {
                    open.identify(endpoint, serial);
                }
                open.usage.add(usage);
                open.open_flags = Some(flags);
                true
            }
            None if !table.closed_at.contains_key(&fd) => {
                self.corrected += 1;
                let open = Open::new(endpoint, serial, 0, DescriptorOrigin::NotSeen);
                self.put(id, fd, Open { open_flags: Some(flags), usage: *usage, ..open }, 0)
            }
            // They are told of late: it stood for something else then.
            _ => self.book_past(owner, side, endpoint, usage),
        }
    }
}
