//! Descriptors: what each number stands for, and what went through it; each opens to its endpoint and its flows.

use ratatui::text::Line;

use super::{Canvas, View};
use crate::{
    dashboard::{
        frame::Frame,
        table::{Cell, Row, key, names, numbers},
    },
    look::Lists,
    model::snapshot::{Descriptor, DescriptorOrigin, Flow},
    view::{
        format::{self, bytes, count, known_duration},
        report,
    },
};

/// The view.
pub(crate) const VIEW: View = View {
    title: "FDs",
    columns: &[
        numbers("FD", 6, 0),
        names("STATE", 6, 2),
        names("KIND", 8, 3),
        names("ENDPOINT", 20, 0),
        numbers("OPERATIONS", 11, 0),
        numbers("ERRORS", 8, 4),
        numbers("READ", 10, 0),
        numbers("WRITTEN", 10, 0),
        numbers("OPENINGS", 9, 6),
        numbers("PID", 7, 5),
    ],
    sorted: 4,
    rows: |frame, filter| {
        let descriptors = frame.look.snapshot.descriptors.iter();
        descriptors.filter(|descriptor| filter.matches_descriptor(descriptor)).map(row).collect()
    },
    empty: "No descriptor is known.",
    open: Some(open),
    more: None,
    flows_by: None,
    lists: Lists { descriptors: true, ..Lists::NONE },
    partly: None,
    keep: None,
    picture: None,
};

fn row(descriptor: &Descriptor) -> Row {
    let state = state(descriptor);
    Row {
        key: descriptor_key(descriptor),
        marked: false,
        cells: vec![
            Cell::By(descriptor.fd.to_string(), Some(descriptor.fd.into())),
            Cell::Text(state.to_owned()),
            Cell::Text(report::kind_word(descriptor.endpoint.kind).to_owned()),
            Cell::Text(report::name(&descriptor.endpoint)),
            Cell::Count(descriptor.operations),
            Cell::Count(descriptor.errors),
            Cell::Bytes(Some(descriptor.read_bytes)),
            Cell::Bytes(Some(descriptor.written_bytes)),
            Cell::Count(descriptor.openings),
            Cell::Id(descriptor.pid),
        ],
    }
}

fn state(descriptor: &Descriptor) -> &'static str {
    match descriptor.open {
        Some(true) => "open",
        Some(false) => "closed",
        None => "?",
    }
}

fn descriptor_key(descriptor: &Descriptor) -> u64 {
    key((descriptor.pid, descriptor.tid, descriptor.fd, &descriptor.endpoint))
}

/// The flags of `open(2)` that say how the bytes go (asm-generic/fcntl.h; the same numbers on x86-64 and aarch64).
const FLAGS: [(u32, &str); 5] = [
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o10000, "O_DSYNC"),
    (0o4000000, "O_SYNC"),
    (0o20000000, "O_TMPFILE"),
];
/// `O_DIRECT`, which differs (arch/arm64/include/uapi/asm/fcntl.h).
const O_DIRECT: u32 = if cfg!(target_arch = "aarch64") { 0o200000 } else { 0o40000 };

fn flags(flags: u32) -> String {
    let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "neither read nor write"];
    let mut words = vec![access.get((flags & 3) as usize).copied().unwrap_or_default()];
    let all = FLAGS.iter().copied().chain([(O_DIRECT, "O_DIRECT")]);
    words.extend(all.filter(|(bit, _)| flags & bit != 0).map(|(_, word)| word));
    format!("{} ({flags:#o})", words.join(", "))
}

fn open(frame: &Frame, wanted: u64, canvas: &Canvas<'_>) -> Option<Vec<Line<'static>>> {
    let mut descriptors = frame.look.snapshot.descriptors.iter();
    let descriptor = descriptors.find(|descriptor| descriptor_key(descriptor) == wanted)?;
    let endpoint = &descriptor.endpoint;
    let unknown = || format::UNKNOWN.to_owned();
    let origin = match descriptor.opened {
        DescriptorOrigin::BeforeAttach => "before tracing began",
        DescriptorOrigin::Traced => "while tracing",
        DescriptorOrigin::NotSeen => {
            "unseen (passed through a socket, or made by a call that is not followed)"
        }
    };
    let opened = match descriptor.openings {
        0 | 1 => origin.to_owned(),
        openings => format!("{} times, the last {origin}", count(openings)),
    };
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let mut lines = vec![
        canvas.heading(&format!(
            "Descriptor {} of process {}, {}",
            descriptor.fd,
            descriptor.pid,
            state(descriptor)
        )),
        canvas.fact(report::kind_word(endpoint.kind), &report::name(endpoint)),
        canvas.fact(
            "device and inode",
            &endpoint.id.as_deref().map_or_else(unknown, |id| format::escape(id).into_owned()),
        ),
    ];
    if let Some(system) = &endpoint.file_system {
        lines.push(canvas.fact("file system", &format::escape(system)));
    }
    lines.extend([
        canvas.fact("flags", &descriptor.open_flags.map_or_else(unknown, flags)),
        canvas.fact("closed by execve", &descriptor.close_on_exec.map_or_else(unknown, yes)),
        canvas.fact("opened", &opened),
    ]);
    if let Some(position) = descriptor.position_bytes {
        lines.push(canvas.fact("position once read", &format!("{} B", count(position))));
    }
    if !descriptor.shared_with.is_empty() {
        let pids: Vec<String> = descriptor.shared_with.iter().map(u32::to_string).collect();
        lines.push(canvas.fact("table shared with", &pids.join(", ")));
    }
    let used = format!(
        "{}, {} failed",
        format::counted(descriptor.operations, "operation"),
        count(descriptor.errors)
    );
    lines.extend([
        canvas.fact("used by", &used),
        canvas.fact("read from it", &bytes(descriptor.read_bytes)),
        canvas.fact("written to it", &bytes(descriptor.written_bytes)),
        Line::default(),
        canvas.heading("Flows from it and to it"),
    ]);
    let is_its = |flow: &&Flow| flow.pid == descriptor.pid && [&flow.source, &flow.sink].contains(&endpoint);
    let flows: Vec<Line<'static>> = frame
        .look
        .snapshot
        .flows
        .iter()
        .filter(is_its)
        .map(|flow| {
            canvas.flow(flow, &format!("{} in {}", bytes(flow.payload_bytes), known_duration(flow.time_ns)))
        })
        .collect();
    if flows.is_empty() {
        lines.push(Line::from("  none among those with most bytes copied"));
    }
    lines.extend(flows);
    lines.push(Line::default());
    lines.push(canvas.heading("Its last transfers, newest first"));
    lines.extend(super::transfers::last(frame, canvas, |transfer| {
        transfer.pid == descriptor.pid && [&transfer.source, &transfer.sink].contains(&endpoint)
    }));
    Some(lines)
}
