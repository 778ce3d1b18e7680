//! The report's table of descriptors: through which numbers the bytes went.

use super::{flows::name, heading};
use crate::{
    model::snapshot::{Descriptor, DescriptorSummary},
    view::{
        format::{bytes, count},
        layout::{Page, Table, left, right, spare},
        style::Paint,
    },
};

/// Most descriptors shown.
const SHOWN: usize = 10;

pub(super) fn write(page: &mut Page, descriptors: &[&Descriptor], summary: &DescriptorSummary) {
    let used: Vec<&Descriptor> = descriptors.iter().copied().filter(|known| known.operations > 0).collect();
    if used.is_empty() {
        return;
    }
    heading(page, "DESCRIPTORS, busiest first");
    let shown = used.get(..SHOWN).unwrap_or(&used);
    page_of(page, shown);
    let hidden = used.len().saturating_sub(SHOWN);
    let more = if hidden > 0 {
        format!("and {} more that were used; ", count(hidden as u64))
    } else {
        String::new()
    };
    let (open, closed) = (count(summary.open), count(summary.closed));
    let text = format!("{more}{open} open now, {closed} closed meanwhile (--json lists the busiest 1,000)");
    page.wrapped(Paint::Faint, 2, &text);
}

fn page_of(page: &mut Page, shown: &[&Descriptor]) {
    let [fd, operations, read, written, now, what] =
        [right("fd"), right("operations"), right("read"), right("written"), spare("now", 1), left("what")];
    let several = shown.iter().any(|descriptor| descriptor.pid != shown[0].pid);
    let mut table = if several {
        Table::new(&[right("pid"), fd, operations, read, written, now, what])
    } else {
        Table::new(&[fd, operations, read, written, now, what])
    };
    for descriptor in shown {
        let [fd, operations, read, written, now, what] = cells(descriptor);
        if several {
            table.row([descriptor.pid.to_string(), fd, operations, read, written, now, what]);
        } else {
            table.row([fd, operations, read, written, now, what]);
        }
    }
    page.table(table.lines(0, page.columns()));
}

fn cells(descriptor: &Descriptor) -> [String; 6] {
    let moved = |moved: u64| if moved == 0 { String::new() } else { bytes(moved) };
    let now = match descriptor.open {
        Some(true) => "open".to_owned(),
        Some(false) if descriptor.openings > 1 => format!("{} closed", count(descriptor.openings)),
        Some(false) => "closed".to_owned(),
        None => "?".to_owned(),
    };
    [
        descriptor.fd.to_string(),
        count(descriptor.operations),
        moved(descriptor.read_bytes),
        moved(descriptor.written_bytes),
        now,
        name(&descriptor.endpoint),
    ]
}
