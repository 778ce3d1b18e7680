//! Descriptors: what each number stands for, and what went through it.

use super::View;
use crate::{
    dashboard::table::{Cell, Row, key, names, numbers},
    model::snapshot::Descriptor,
    view::report,
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
    open: None,
    more: None,
    flows_by: None,
    partly: None,
    keep: None,
    picture: None,
};

fn row(descriptor: &Descriptor) -> Row {
    let state = match descriptor.open {
        Some(true) => "open",
        Some(false) => "closed",
        None => "?",
    };
    Row {
        key: key((descriptor.pid, descriptor.tid, descriptor.fd, &descriptor.endpoint)),
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
