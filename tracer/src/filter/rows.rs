//! What each term says about each kind of row. What a kind of row does not have, terms cannot ask for: then they say nothing,
//! and neither they nor their negation exclude it.

use super::{Filter, Test};
use crate::{
    export::ndjson::OperationLine,
    findings::{AppliesTo, Finding},
    model::snapshot::{CallStatistics, Descriptor, Flow, FlowEnd, RequestStatistics, Thread, Transfer},
};

/// A row of any kind, as the terms see it; `None` for what this kind of row does not have.
#[derive(Default)]
struct Row<'a> {
    call: Option<&'a str>,
    descriptors: Option<[Option<i32>; 2]>,
    ends: Option<[Option<&'a FlowEnd>; 2]>,
    method: Option<&'a str>,
    bytes: Option<u64>,
    tid: Option<u32>,
    comm: Option<&'a str>,
    pid: Option<u32>,
    /// Other words that people see in it.
    words: [&'a str; 2],
}

impl Row<'_> {
    fn ends(&self) -> impl Iterator<Item = &str> {
        let ends = self.ends.iter().flatten().flatten();
        ends.flat_map(|end| [end.path.as_deref(), end.address.as_deref()]).flatten()
    }

    /// What a term says about it; `None` if nothing.
    fn answer(&self, test: &Test) -> Option<bool> {
        match test {
            // 32-bit calls do the same as those whose name they have.
            Test::Call(name) => self
                .call
                .map(|call| name.is(call) || call.strip_suffix(":32").is_some_and(|call| name.is(call))),
            Test::Descriptor(fd) => self.descriptors.map(|fds| fds.contains(&Some(*fd))),
            Test::Path(path) => self.ends.map(|_| self.ends().any(|end| path.is_in(end))),
            Test::Method(name) => self.method.map(|method| name.is(method)),
            Test::LeastBytes(least) => self.bytes.map(|bytes| bytes >= *least),
            Test::Thread(thread) => {
                let asked = thread.text().parse::<u32>().ok();
                let tid = self.tid.zip(asked).map(|(tid, asked)| tid == asked);
                let comm = self.comm.map(|comm| thread.is_in(comm));
                tid.into_iter().chain(comm).reduce(|tid, comm| tid || comm)
            }
            Test::Process(pid) => self.pid.map(|of| of == *pid),
            Test::Word(word) => {
                let names = [self.call, self.method, self.comm].into_iter().flatten();
                Some(names.chain(self.ends()).chain(self.words).any(|text| word.is_in(text)))
            }
        }
    }
}

impl Filter {
    fn matches(&self, row: &Row<'_>) -> bool {
        self.terms.iter().all(|term| row.answer(&term.test).is_none_or(|answer| answer != term.negated))
    }

    /// Whether a flow is shown. `bytes` is its payload.
    pub fn matches_flow(&self, flow: &Flow) -> bool {
        self.matches(&Row {
            ends: Some([Some(&flow.source), Some(&flow.sink)]),
            method: Some(&flow.method),
            bytes: Some(flow.payload_bytes),
            pid: Some(flow.pid),
            ..Row::default()
        })
    }

    /// Whether a system call's statistics are shown. `bytes` is its payload.
    pub fn matches_call(&self, call: &CallStatistics) -> bool {
        self.matches(&Row { call: Some(&call.name), bytes: Some(call.bytes), ..Row::default() })
    }

    /// Whether the statistics of an opcode are shown. `bytes` is its payload.
    pub fn matches_request(&self, request: &RequestStatistics) -> bool {
        self.matches(&Row { call: Some(&request.name), bytes: Some(request.bytes), ..Row::default() })
    }

    /// Whether a transfer is shown. `bytes` is its payload; of its thread only the id is known.
    pub fn matches_transfer(&self, transfer: &Transfer) -> bool {
        self.matches(&Row {
            ends: Some([Some(&transfer.source), Some(&transfer.sink)]),
            method: Some(&transfer.method),
            bytes: Some(transfer.payload_bytes),
            tid: Some(transfer.tid),
            pid: Some(transfer.pid),
            ..Row::default()
        })
    }

    /// Whether an operation is shown. `bytes` is what it moved; of its thread only the id is known.
    pub fn matches_operation(&self, operation: &OperationLine) -> bool {
        let sides = [&operation.source, &operation.sink].map(Option::as_ref);
        self.matches(&Row {
            call: Some(&operation.name),
            descriptors: Some(sides.map(|side| side.map(|side| side.fd))),
            ends: Some(sides.map(|side| side.and_then(|side| side.endpoint.as_ref()))),
            bytes: Some(operation.bytes),
            tid: Some(operation.tid),
            pid: Some(operation.pid),
            ..Row::default()
        })
    }

    /// Whether a descriptor is shown. `bytes` is what went through it both ways; it has a thread only where the thread has a
    /// table of its own.
    pub fn matches_descriptor(&self, descriptor: &Descriptor) -> bool {
        self.matches(&Row {
            descriptors: Some([Some(descriptor.fd), None]),
            ends: Some([Some(&descriptor.endpoint), None]),
            bytes: Some(descriptor.read_bytes.saturating_add(descriptor.written_bytes)),
            tid: descriptor.tid,
            pid: Some(descriptor.pid),
            ..Row::default()
        })
    }

    /// Whether a thread is shown. `bytes` is what it read and wrote.
    pub fn matches_thread(&self, thread: &Thread) -> bool {
        self.matches(&Row {
            bytes: Some(thread.read_bytes.saturating_add(thread.written_bytes)),
            tid: Some(thread.tid),
            comm: Some(&thread.comm),
            pid: Some(thread.pid),
            ..Row::default()
        })
    }

    /// Whether a finding is shown. One that is about no flow has no method.
    pub fn matches_finding(&self, finding: &Finding) -> bool {
        let AppliesTo { pid, method, source, sink } = &finding.applies_to;
        let about_ends = source.is_some() || sink.is_some();
        self.matches(&Row {
            ends: about_ends.then_some([source.as_ref(), sink.as_ref()]),
            method: method.as_deref(),
            pid: Some(*pid),
            words: [&finding.rule, &finding.title],
            ..Row::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    #[test]
    fn flows() {
        let flow = samples::relay_flow();
        for yes in [
            "",
            "path=BIG.bin",
            "path=*.bin",
            "path=127.0.0.1:8080",
            "method=read+write",
            "method=read*",
            "bytes>=256M",
            "pid=4242",
            "tcp",
            "read+",
            "!path=/etc !sendfile",
            "call=sendfile !call=sendfile fd=99 thread=1",
        ] {
            assert!(filter(yes).matches_flow(&flow), "{yes}");
        }
        for no in ["path=/etc", "!path=big", "method=read", "bytes>=257M", "pid=1", "udp", "tcp path=/etc"] {
            assert!(!filter(no).matches_flow(&flow), "{no}");
        }
    }

    #[test]
    fn calls_and_requests() {
        let snapshot = samples::busy().snapshot;
        let shown = |text: &str| {
            let calls = snapshot.calls.iter().filter(|call| filter(text).matches_call(call));
            let calls: Vec<&str> = calls.map(|call| call.name.as_str()).collect();
            let requests = snapshot.requests.iter().filter(|request| filter(text).matches_request(request));
            (calls, requests.count())
        };
        assert_eq!(shown("call=read"), (vec!["read"], 0));
        assert_eq!(shown("call=*read"), (vec!["read"], 1));
        assert_eq!(shown("bytes>=2M path=/nowhere"), (vec!["write", "read"], 0));
        assert_eq!(shown("!exit !io_uring"), (vec!["write", "read", "copy_file_range"], 0));
        let compat = CallStatistics { name: "read:32".to_owned(), ..CallStatistics::default() };
        assert!(filter("call=read").matches_call(&compat) && !filter("call=write").matches_call(&compat));
    }

    #[test]
    fn operations_and_transfers() {
        let transfer = samples::transfer();
        let tid = format!("thread={}", transfer.tid);
        assert!(filter(&tid).matches_transfer(&transfer));
        assert!(!filter("thread=1").matches_transfer(&transfer));
        assert!(
            filter("thread=some-name !thread=other").matches_transfer(&transfer),
            "its name is not known"
        );
        let operation = samples::operation_line();
        let fd = operation.source.as_ref().or(operation.sink.as_ref()).unwrap().fd;
        assert!(filter(&format!("fd={fd} call={}", operation.name)).matches_operation(&operation));
        assert!(!filter("fd=12345").matches_operation(&operation));
        assert!(!filter("!sendto").matches_operation(&operation));
    }

    #[test]
    fn descriptors_and_threads() {
        let descriptors = samples::busy().snapshot.descriptors;
        let shown = |text: &str| {
            let shown = descriptors.iter().filter(|descriptor| filter(text).matches_descriptor(descriptor));
            shown.map(|descriptor| descriptor.fd).collect::<Vec<i32>>()
        };
        assert_eq!(shown("fd=4"), [4, 4]);
        assert_eq!(shown("fd=4 bytes>=1M"), [4]);
        assert_eq!(shown("path=/srv method=x call=y thread=z"), [4, 3]);
        let thread =
            Thread { pid: 7, tid: 9, comm: "tokio-rt-12".to_owned(), read_bytes: 5, ..Thread::default() };
        for yes in
            ["thread=9", "thread=TOKIO", "thread=12", "thread=tokio*", "pid=7", "rt-1", "bytes>=5", "path=/x"]
        {
            assert!(filter(yes).matches_thread(&thread), "{yes}");
        }
        for no in ["thread=7", "!thread=9", "!thread=tokio", "thread=other", "pid=9", "bytes>=6", "word"] {
            assert!(!filter(no).matches_thread(&thread), "{no}");
        }
    }

    #[test]
    fn findings() {
        let document = samples::busy();
        let relay = document.findings.first().unwrap();
        for yes in ["read-write-relay", "method=read+write", "path=big.bin", "pid=4242", "bytes>=100G call=x"]
        {
            assert!(filter(yes).matches_finding(relay), "{yes}");
        }
        for no in ["small-calls", "method=splice", "path=/etc", "pid=1", "!socket"] {
            assert!(!filter(no).matches_finding(relay), "{no}");
        }
    }
}
