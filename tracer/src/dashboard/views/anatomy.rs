//! The anatomy of a transfer: lanes for user space, kernel and device, and in order who switches mode and who moves what.

use ratatui::text::{Line, Span};

use super::Canvas;
use crate::{
    dashboard::theme::Role,
    model::{
        endpoint::Place,
        recent::Step,
        snapshot::{Copy, Mover},
    },
    view::{
        format::{self, marked_bytes, short_duration, width},
        report,
    },
};

/// Where a place lies, from left to right.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
enum Lane {
    User,
    Kernel,
    Device,
}

impl Lane {
    fn of(place: Place) -> Self {
        match place {
            Place::User => Self::User,
            Place::PageCache | Place::Socket | Place::Pipe => Self::Kernel,
            Place::Device => Self::Device,
        }
    }
}

/// Columns of the figures behind the lanes.
const FIGURES: usize = 14;

/// The lanes with every step of a transfer.
pub(super) fn lanes(canvas: &Canvas<'_>, steps: &[Step]) -> Vec<Line<'static>> {
    let lane = canvas.width.saturating_sub(FIGURES + 2) / 3;
    let head = format!(" {:<lane$}{:<lane$}{:<lane$}", "USER SPACE", "KERNEL", "DEVICE");
    let mut lines = vec![Line::styled(head, canvas.theme.style(Role::Faint))];
    for step in steps {
        let call = format::escape(&step.call);
        let switched = step.transitions > 0;
        if switched {
            let (text, figure) = (arrow(canvas, lane, (Lane::User, &call), (Lane::Kernel, ""), ""), "switch");
            lines.push(line(canvas, lane, text, figure, Role::Transitions));
        } else {
            lines.push(line(canvas, lane, format!("{call} (no switch of its own)"), "", Role::Faint));
        }
        for copy in &step.copies {
            lines.push(moved(canvas, lane, copy));
        }
        let took = step.duration_ns.map(short_duration).unwrap_or_default();
        if switched {
            let text = arrow(canvas, lane, (Lane::Kernel, ""), (Lane::User, ""), "");
            let figure = if took.is_empty() { "switch".to_owned() } else { format!("switch {took}") };
            lines.push(line(canvas, lane, text, &figure, Role::Transitions));
        } else if !took.is_empty() {
            lines.push(line(canvas, lane, String::new(), &took, Role::Faint));
        }
        if let Some(blocked_ns) = step.blocked_ns.filter(|blocked| *blocked > 0) {
            lines.push(line(
                canvas,
                lane,
                "  of that blocked".to_owned(),
                &short_duration(blocked_ns),
                Role::Faint,
            ));
        }
    }
    lines
}

fn moved(canvas: &Canvas<'_>, lane: usize, copy: &Copy) -> Line<'static> {
    let (tag, role) = match copy.mover {
        Some(Mover::Cpu) => ("CPU", Role::Cpu),
        Some(Mover::Dma) => ("DMA", Role::Dma),
        Some(Mover::None) => ("ref", Role::Good),
        None => ("?", Role::Faint),
    };
    let end = |place| (Lane::of(place), report::place_word(place));
    let text = arrow(canvas, lane, end(copy.from), end(copy.to), tag);
    line(canvas, lane, text, &marked_bytes(copy.bytes, copy.evidence), role)
}

fn line(canvas: &Canvas<'_>, lane: usize, text: String, figure: &str, role: Role) -> Line<'static> {
    let text = format::truncate_end(&text, 3 * lane).into_owned();
    let gap = " ".repeat((3 * lane).saturating_sub(width(&text)));
    let figure = canvas.theme.spell(&format::truncate_end(figure, FIGURES));
    Line::from(vec![
        Span::styled(format!(" {text}{gap}"), canvas.theme.style(role)),
        Span::raw(format!("{}{figure}", " ".repeat(FIGURES.saturating_sub(width(&figure))))),
    ])
}

/// An arrow from one lane to another, or inside one, with what is at its ends and who moves.
fn arrow(canvas: &Canvas<'_>, lane: usize, from: (Lane, &str), to: (Lane, &str), tag: &str) -> String {
    let theme = canvas.theme;
    let (dash, right, left) = (theme.pick("─", "-"), theme.pick("▶", ">"), theme.pick("◀", "<"));
    let at = |which: Lane| lane * which as usize;
    if from.0 == to.0 {
        return format!("{}{} {dash}{tag}{dash}{right} {}", " ".repeat(at(from.0)), from.1, to.1);
    }
    let forward = from.0 < to.0;
    let (first, last) = if forward { (from, to) } else { (to, from) };
    // The arrow fills what the name of its left end leaves, up to the lane of its right end.
    let name = if first.1.is_empty() { String::new() } else { format!("{} ", first.1) };
    let room = (at(last.0) - at(first.0)).saturating_sub(width(&name) + width(tag) + 3);
    let before = room / 2;
    let (tail, head) = if forward { (dash, right) } else { (left, dash) };
    format!(
        "{}{name}{tail}{}{tag}{}{head} {}",
        " ".repeat(at(first.0)),
        dash.repeat(before),
        dash.repeat(room - before),
        last.1
    )
}
