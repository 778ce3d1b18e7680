//! The NDJSON stream: one JSON object a line, as things happen. The first line is the header, the last one the summary;
//! a stream without a summary was cut off, and each whole line of it is valid all the same.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    document::{Document, Machine, Target, Tool},
    escaped,
    file::{Destination, LineFile, OutputError},
};
use crate::{
    filter::Filter,
    model::{
        errno::errno_name,
        event::{CallName, Operation, Ran, Request, Serial, Side},
        snapshot::{ContextSwitches, FlowEnd, PageFaults, Transfer},
    },
};

/// One line of the stream, told apart by `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// The first line.
    Header(StreamHeader),
    /// An I/O call finished.
    Operation(OperationLine),
    /// Payload reached its sink.
    Transfer(Transfer),
    /// The last line: what `--json` writes.
    Summary(Box<Document>),
}

/// What is known before anything happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamHeader {
    /// [`super::document::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What writes the stream.
    pub tool: Tool,
    /// Where it runs.
    pub machine: Machine,
    /// What is traced.
    pub target: Target,
    /// Which operations and transfers have lines (`--filter`); absent if all have.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub filter: Option<String>,
}

impl StreamHeader {
    /// The header of the stream whose summary a document will be, with lines of what `filter` lets through.
    pub fn of(document: &Document, filter: &Filter) -> Self {
        Self {
            schema_version: document.schema_version,
            tool: document.tool.clone(),
            machine: document.machine.clone(),
            target: document.target.clone(),
            filter: (!filter.is_empty()).then(|| filter.to_string()),
        }
    }
}

/// One finished I/O call, or request of io_uring or AIO.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperationLine {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Monotonic time of its end, ns.
    pub time_ns: u64,
    /// The call; 32-bit calls end in `:32`.
    pub name: String,
    /// The descriptor that payload came from; null if it was memory.
    pub source: Option<OperationEnd>,
    /// The descriptor that it went to; null if it was memory.
    pub sink: Option<OperationEnd>,
    /// Bytes asked for; null if not known.
    pub asked_bytes: Option<u64>,
    /// Bytes moved.
    pub bytes: u64,
    /// What the call returned; a negative number is an errno.
    pub result: i64,
    /// The name of the errno, such as `EAGAIN`; null if it succeeded.
    pub errno: Option<String>,
    /// Wall time inside, ns; null if the call began before tracing did.
    pub duration_ns: Option<u64>,
    /// Of that, blocked; null, as the next four, if the call's beginning was not seen.
    pub blocked_ns: Option<u64>,
    /// Of that, preempted.
    pub preempted_ns: Option<u64>,
    /// Context switches inside.
    pub context_switches: Option<ContextSwitches>,
    /// Page faults inside.
    pub page_faults: Option<PageFaults>,
    /// Interrupts that arrived inside (from kernel mode: no transitions).
    pub interrupts: Option<u32>,
    /// The call's flags argument (`MSG_*`, `SPLICE_F_*`, `RWF_*`), as the kernel numbers them.
    pub flags: u32,
    /// Of a request instead of a call: `name` is its opcode, as in `io_uring:read`, `duration_ns` the time from submission to
    /// completion, and as it has no thread of its own time blocked, switches, faults and interrupts are null. Null for a
    /// call.
    pub request: Option<RequestLine>,
}

/// What a request of io_uring or AIO has besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestLine {
    /// What the program knows it by.
    pub user_data: u64,
    /// Mode switches that fall to it: those of a call fall to the first request that it submits, else to the first that
    /// completes in it.
    pub transitions: u32,
    /// Who ran it: `inline` (the call that submitted it), `deferred` (its thread, later), `worker` or `polling_thread` (the
    /// kernel's own); `unknown` for AIO, and for what was submitted before tracing began.
    pub ran: Ran,
}

/// A descriptor's side of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperationEnd {
    /// The descriptor's number at that moment.
    pub fd: i32,
    /// The open file's flags (`O_*`), as the kernel numbers them.
    pub open_flags: u32,
    /// What it was; null if that could not be found out.
    pub endpoint: Option<FlowEnd>,
}

impl OperationLine {
    /// The line of an operation; `end` knows what a serial stands for.
    pub fn new(operation: &Operation, end: impl Fn(Serial) -> Option<FlowEnd>) -> Self {
        let side =
            |side: Side| OperationEnd { fd: side.fd, open_flags: side.flags, endpoint: end(side.serial) };
        let call = &operation.call;
        Self {
            pid: call.pid,
            tid: call.tid,
            time_ns: call.end_ns,
            name: call_name(call.name),
            source: operation.source.map(side),
            sink: operation.sink.map(side),
            asked_bytes: operation.asked_bytes,
            bytes: operation.bytes,
            result: call.result,
            errno: errno_name(call.result),
            duration_ns: call.duration_ns,
            blocked_ns: call.inside.map(|inside| inside.blocked_ns),
            preempted_ns: call.inside.map(|inside| inside.preempted_ns),
            context_switches: call.inside.map(|inside| ContextSwitches {
                voluntary: inside.voluntary.into(),
                involuntary: inside.involuntary.into(),
            }),
            page_faults: call.inside.map(|inside| PageFaults {
                minor: inside.minor_faults.into(),
                major: inside.major_faults.into(),
            }),
            interrupts: call.inside.map(|inside| inside.interrupts),
            flags: operation.flags,
            request: operation.request.map(|Request { user_data, transitions, ran }| RequestLine {
                user_data,
                transitions,
                ran,
            }),
        }
    }
}

fn call_name(name: CallName) -> String {
    format!("{}{}", name.name, if name.compat { ":32" } else { "" })
}

/// Where the stream goes, tested but not yet touched.
#[derive(Debug)]
pub struct StreamOutput(Destination);

impl StreamOutput {
    /// Makes sure, before tracing starts, that `path` can be written (`-`: standard output). What is there stays as it
    /// is until [`Self::start`]; a value that is dropped before leaves nothing behind.
    pub fn prepare(path: &Path) -> Result<Self, OutputError> {
        Destination::prepare_in_place(path).map(Self)
    }

    /// Whether the lines go to standard output, so that nothing else should.
    pub fn is_stdout(&self) -> bool {
        self.0.is_stdout()
    }

    /// Empties the file and writes the header.
    pub fn start(self, header: StreamHeader) -> Result<LineStream, OutputError> {
        let mut stream = LineStream { file: self.0.into_lines()?, failed: false, dropped_lines: 0 };
        stream.write(&Line::Header(header))?;
        stream.flush()?;
        Ok(stream)
    }
}

/// The stream while it is written. After the first error, which is returned once, everything else is dropped and counted.
#[derive(Debug)]
pub struct LineStream {
    file: LineFile,
    failed: bool,
    dropped_lines: u64,
}

impl LineStream {
    /// Adds a line. It reaches the file when the buffer is full, or with [`Self::flush`].
    pub fn write(&mut self, line: &Line) -> Result<(), OutputError> {
        if self.failed || self.file.reader_is_gone() {
            self.dropped_lines += 1;
            return Ok(());
        }
        let result = self.file.push_line(|buffer| escaped::to_line(buffer, line));
        self.note(result)
    }

    /// Hands all whole lines to the file; to be called at least once an interval.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        if self.failed {
            return Ok(());
        }
        let result = self.file.flush();
        self.note(result)
    }

    /// Writes the summary and ends the stream.
    pub fn finish(mut self, document: Document) -> Result<(), OutputError> {
        self.write(&Line::Summary(Box::new(document)))?;
        self.flush()
    }

    /// Whether whoever read the stream went away (`| head`): that is no error, but nobody wants to hear more.
    pub fn reader_is_gone(&self) -> bool {
        self.file.reader_is_gone()
    }

    /// Lines that were dropped after an error, or after the reader went away.
    pub fn dropped_lines(&self) -> u64 {
        self.dropped_lines
    }

    fn note(&mut self, result: Result<(), OutputError>) -> Result<(), OutputError> {
        self.failed |= result.is_err();
        result
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, fs::File, io::Read as _};

    use super::*;
    use crate::{export::samples, view::format::misleads};

    fn lines(path: &Path) -> Vec<Line> {
        fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_stream_begins_with_a_header_and_ends_with_the_summary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        fs::write(&path, "what was there before\n").unwrap();
        let output = StreamOutput::prepare(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "what was there before\n");
        let document = samples::busy();
        let mut stream = output.start(StreamHeader::of(&document, &Filter::default())).unwrap();
        assert!(matches!(lines(&path)[..], [Line::Header(_)]), "the header is there at once");
        stream.write(&Line::Transfer(samples::transfer())).unwrap();
        stream.write(&Line::Operation(samples::operation_line())).unwrap();
        stream.flush().unwrap();
        assert_eq!(lines(&path).len(), 3, "a kill from here on leaves three whole lines");
        stream.finish(document.clone()).unwrap();
        assert_eq!(lines(&path).last(), Some(&Line::Summary(Box::new(document))));
    }

    #[test]
    fn no_name_reaches_a_terminal_raw() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let document = samples::hostile();
        let stream = StreamOutput::prepare(&path)
            .unwrap()
            .start(StreamHeader::of(&document, &Filter::default()))
            .unwrap();
        stream.finish(document.clone()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(|character| character != '\n' && misleads(character)), "{text}");
        assert_eq!(lines(&path).last(), Some(&Line::Summary(Box::new(document))));
    }

    #[test]
    fn what_is_never_started_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        drop(StreamOutput::prepare(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_full_device_is_reported_once() {
        let output = StreamOutput::prepare(Path::new("/dev/full")).unwrap();
        let error = output.start(StreamHeader::of(&samples::empty(), &Filter::default())).unwrap_err();
        assert!(error.to_string().contains("No space left on device"), "{error}");

        let file = Destination::prepare_in_place(Path::new("/dev/full")).unwrap().into_lines().unwrap();
        let mut stream = LineStream { file, failed: false, dropped_lines: 0 };
        stream.write(&Line::Transfer(samples::transfer())).unwrap();
        assert!(stream.flush().is_err());
        stream.write(&Line::Transfer(samples::transfer())).unwrap();
        stream.flush().unwrap();
        assert_eq!(stream.dropped_lines(), 1);
    }

    #[test]
    fn a_reader_that_goes_away_ends_the_stream_quietly() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let file = LineFile::stream(File::from(std::os::fd::OwnedFd::from(writer)), Path::new("pipe"));
        let mut stream = LineStream { file, failed: false, dropped_lines: 0 };
        stream.write(&Line::Transfer(samples::transfer())).unwrap();
        stream.flush().unwrap();
        let mut first = [0; 16];
        reader.read_exact(&mut first).unwrap();
        assert_eq!(&first, br#"{"type":"transfe"#);
        drop(reader);
        stream.write(&Line::Transfer(samples::transfer())).unwrap();
        stream.flush().unwrap();
        assert!(stream.reader_is_gone());
        stream.finish(samples::busy()).unwrap();
    }

    #[test]
    fn an_operation_line_names_call_error_and_endpoints() {
        let line = OperationLine::new(&samples::operation(), |serial| {
            (serial == Serial(7)).then(|| samples::file("/srv/big.bin"))
        });
        assert_eq!(line.name, "sendto:32");
        assert_eq!(line.errno.as_deref(), Some("EAGAIN"));
        assert_eq!(line.source.unwrap().endpoint, Some(samples::file("/srv/big.bin")));
        assert_eq!(line.sink.unwrap().endpoint, None, "an unknown serial has no endpoint");
    }
}
