//! What the dashboard shows, and how actions and frames change it. No drawing, no terminal, no clock.

use std::{borrow::Cow, time::Duration};

use super::{
    action::{Action, Effect},
    draw::Drawn,
    flow_rates::FlowRates,
    frame::Frame,
    history::History,
    line_edit::LineEdit,
    list::{List, Move},
    since,
    table::{self, Cell, Row},
    theme::Theme,
    views::VIEWS,
};
use crate::{export::document::Target, filter::Filter, look::Wanted, model::snapshot::Totals};

/// Intervals between frames that can be chosen, ms.
const INTERVALS_MS: [u64; 8] = [50, 100, 250, 500, 1_000, 2_000, 5_000, 10_000];

/// Flows that a list of flows has: more than anybody scrolls through.
const MOST_FLOWS: usize = 1_000;

/// Flows that any other view has: more than it has room for.
const SOME_FLOWS: usize = 100;

/// What is written beside the dashboard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    /// Name of the trace file that is being written, escaped.
    pub(crate) stream: Option<String>,
}

/// A word to the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Notice {
    /// One line, harmless.
    pub(crate) text: String,
    /// Whether something went wrong.
    pub(crate) bad: bool,
}

/// What is open in front of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Opened {
    /// Its row.
    pub(crate) key: u64,
    /// First line on the screen.
    pub(crate) top: usize,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct State {
    /// What is traced.
    pub(crate) target: Target,
    /// For how long it had run when tracing began, ns, if that is known.
    pub(crate) age_ns: Option<u64>,
    /// How it looks.
    pub(crate) theme: Theme,
    /// The view that is shown, by its number in [`VIEWS`].
    pub(crate) view: usize,
    /// What is known.
    pub(crate) frame: Frame,
    /// Rates.
    pub(crate) history: History,
    /// Those of flows.
    flow_rates: FlowRates,
    /// Whether the picture stands still.
    pub(crate) paused: bool,
    /// Whether a whole frame is awaited, so that every view can be looked at while the picture stands.
    pausing: bool,
    /// Whether lists keep to their first row.
    pub(crate) follow: bool,
    /// Between frames.
    pub(crate) interval: Duration,
    /// What rows must hold.
    pub(crate) filter: Filter,
    /// A filter that is being typed.
    pub(crate) typing: Option<LineEdit>,
    /// Whether the keys are shown, and from which line on.
    pub(crate) help: Option<usize>,
    /// What is open.
    pub(crate) opened: Option<Opened>,
    /// A word to the user.
    pub(crate) notice: Option<Notice>,
    /// The sums from which the overview counts, and when they were taken, ns since tracing began; `None` if from the begin.
    pub(crate) cleared: Option<(u64, Totals)>,
    /// Why nothing comes any more.
    pub(crate) ended: Option<String>,
    /// What is being written.
    pub(crate) recording: Recording,
    /// Rows of the view that is shown.
    pub(crate) rows: Vec<Row>,
    /// How its list stands.
    lists: Vec<List>,
    /// Where things stood on the screen when they were last drawn.
    drawn: Drawn,
    /// How long it took to draw that.
    pub(crate) drawn_in: Duration,
}

impl State {
    /// Before the first frame.
    pub(crate) fn new(target: Target, theme: Theme, interval: Duration) -> Self {
        Self {
            target,
            age_ns: None,
            theme,
            view: 0,
            frame: Frame::default(),
            history: History::default(),
            flow_rates: FlowRates::default(),
            paused: false,
            pausing: false,
            follow: true,
            interval,
            filter: Filter::default(),
            typing: None,
            help: None,
            opened: None,
            notice: None,
            cleared: None,
            ended: None,
            recording: Recording::default(),
            rows: Vec::new(),
            lists: VIEWS.iter().map(|view| List::by(view.sorted)).collect(),
            drawn: Drawn::default(),
            drawn_in: Duration::ZERO,
        }
    }

    /// A frame came.
    pub(crate) fn apply(&mut self, mut frame: Frame) {
        self.history.take(&frame);
        let last = self.pausing && frame.look.whole;
        if !self.paused || last {
            self.pausing &= !last;
            if let (Some(opened), Some(keep)) = (self.opened, VIEWS.get(self.view).and_then(|view| view.keep))
            {
                keep(&self.frame, &mut frame, opened.key);
            }
            frame.look.keep(&mut self.frame.look);
            frame.flow_rates = self.flow_rates.take(frame.elapsed_ns, &frame.look.snapshot.flows);
            self.frame = frame;
            self.refresh();
        }
    }

    /// Nothing will come any more; the last frame is shown whether paused or not.
    pub(crate) fn end(&mut self, why: String) {
        self.ended = Some(why);
        self.paused = false;
    }

    /// Where things stand on the screen now, and how long it took to bring them there.
    pub(crate) fn was_drawn(&mut self, drawn: Drawn, took: Duration) {
        self.drawn = drawn;
        self.drawn_in = took;
    }

    /// A word to the user, until the next key.
    pub(crate) fn tell(&mut self, text: impl Into<String>, bad: bool) {
        self.notice = Some(Notice { text: text.into(), bad });
    }

    /// The list of the view that is shown.
    pub(crate) fn list(&self) -> &List {
        &self.lists[self.view]
    }

    /// Does what was asked for; returns what the loop has to do about it.
    pub(crate) fn handle(&mut self, action: Action) -> Option<Effect> {
        if action != Action::Redraw {
            self.notice = None;
        }
        match action {
            Action::Quit => return Some(Effect::Quit),
            Action::Suspend => return Some(Effect::Suspend),
            Action::Redraw => return Some(Effect::Redraw),
            Action::WriteDocument => return Some(Effect::WriteDocument),
            Action::ToggleStream => return Some(Effect::ToggleStream),
            Action::Copy => return self.copy(),
            Action::Faster => return self.change_interval(false),
            Action::Slower => return self.change_interval(true),
            Action::View(view) => return self.show(view),
            Action::NextView => return self.show((self.view + 1) % VIEWS.len()),
            Action::PreviousView => return self.show((self.view + VIEWS.len() - 1) % VIEWS.len()),
            Action::Move(to) => self.move_to(to),
            Action::Open => return self.open(),
            Action::Close => return self.close(),
            Action::SortNext => return self.sort(1),
            Action::SortPrevious => return self.sort(-1),
            Action::Reverse => return self.sort(0),
            Action::Filter => self.typing = Some(LineEdit::of(&self.filter.to_string())),
            Action::Edit(edit) => {
                if let Some(line) = &mut self.typing {
                    line.edit(edit);
                }
            }
            Action::Accept => return self.accept(),
            Action::Cancel => self.typing = None,
            Action::Pause => {
                self.paused = !self.paused;
                self.pausing = self.paused;
                return self.paused.then_some(Effect::Look);
            }
            Action::Clear => {
                self.history.clear();
                let totals = self.frame.look.snapshot.totals.clone();
                self.cleared = Some((self.frame.elapsed_ns, totals));
                self.tell("the overview counts from here on; C counts from the begin again", false);
            }
            Action::Unclear => {
                self.cleared = None;
                self.tell("the overview counts from when tracing began", false);
            }
            Action::Follow => self.toggle_follow(),
            Action::Help => self.help = if self.help.is_some() { None } else { Some(0) },
            Action::Theme => self.theme = self.theme.next(),
            Action::Click(column, row) => return self.click(column, row),
        }
        None
    }

    fn show(&mut self, view: usize) -> Option<Effect> {
        if view >= VIEWS.len() {
            return None;
        }
        self.view = view;
        self.opened = None;
        self.help = None;
        self.refresh();
        Some(Effect::Look)
    }

    /// What the list should hold is another now: it shows what the last frame has of it, until the next one comes.
    fn choose_again(&mut self) -> Option<Effect> {
        self.refresh();
        (self.frame.look.snapshot.flows.len() < self.frame.look.flow_count).then_some(Effect::Look)
    }

    /// Makes the rows anew.
    fn refresh(&mut self) {
        let Some(view) = VIEWS.get(self.view) else { return };
        self.rows = (view.rows)(&self.frame, &self.filter);
        let Some(list) = self.lists.get_mut(self.view) else { return };
        if let Some((column, descending)) = list.sorted {
            table::sort(&mut self.rows, column, descending);
        }
        if self.follow && self.opened.is_none() {
            list.follow_first();
        } else {
            list.follow(&self.rows);
        }
    }

    fn move_to(&mut self, to: Move) {
        let height = self.drawn.height;
        // Help lies in front of what is open, and that in front of the list.
        let top = self.help.as_mut().or(self.opened.as_mut().map(|opened| &mut opened.top));
        if let Some(top) = top {
            let page = isize::try_from(height.max(1)).unwrap_or(1);
            let last = self.drawn.lines.saturating_sub(height);
            *top = match to {
                Move::By(lines) => top.saturating_add_signed(lines).min(last),
                Move::Pages(pages) => top.saturating_add_signed(pages.saturating_mul(page)).min(last),
                Move::First => 0,
                Move::Last => last,
                Move::To(line) => line.min(last),
            };
            return;
        }
        if let Some(list) = self.lists.get_mut(self.view) {
            list.move_to(to, &self.rows, height);
            // Whoever moves away from the first row wants to stay where he went.
            self.follow = to == Move::First;
        }
    }

    fn toggle_follow(&mut self) {
        self.follow = !self.follow;
        if !self.follow
            && let Some(list) = self.lists.get_mut(self.view)
        {
            list.move_to(Move::By(0), &self.rows, self.drawn.height);
        }
        let what =
            if self.follow { "lists keep to their first row" } else { "lists keep to the selected row" };
        self.tell(what, false);
        self.refresh();
    }

    /// The sums that the overview shows.
    pub(crate) fn totals(&self) -> Cow<'_, Totals> {
        let totals = &self.frame.look.snapshot.totals;
        match &self.cleared {
            Some((_, before)) => Cow::Owned(since::totals(totals, before)),
            None => Cow::Borrowed(totals),
        }
    }

    /// What the next frame should tell.
    pub(crate) fn wanted(&self) -> Wanted {
        let target = self.target.pid;
        let mut wanted = Wanted { target, most_flows: Some(SOME_FLOWS), ..Wanted::default() };
        let Some(view) = VIEWS.get(self.view) else { return wanted };
        wanted.lists = view.lists;
        wanted.whole = self.pausing;
        if view.flows_by.is_some() {
            wanted.most_flows = Some(MOST_FLOWS);
        }
        if let (Some(flows_by), Some((column, descending))) = (view.flows_by, self.list().sorted) {
            wanted.flows_by = flows_by(column);
            wanted.least_first = !descending;
            wanted.flow_filter = self.filter.clone();
        }
        if let (Some(opened), Some(more)) = (self.opened, view.more) {
            more(&self.frame, opened.key, &mut wanted);
        }
        wanted
    }

    fn open(&mut self) -> Option<Effect> {
        let can = VIEWS.get(self.view).is_some_and(|view| view.open.is_some());
        let selected = self.list().selected(&self.rows).and_then(|at| self.rows.get(at));
        if let (true, None, Some(row)) = (can, self.opened, selected) {
            self.opened = Some(Opened { key: row.key, top: 0 });
            return Some(Effect::Look);
        }
        None
    }

    fn close(&mut self) -> Option<Effect> {
        if self.help.take().is_some() || self.opened.take().is_some() {
            return None;
        }
        self.filter = Filter::default();
        self.choose_again()
    }

    fn sort(&mut self, by: isize) -> Option<Effect> {
        let columns = VIEWS.get(self.view).map_or(0, |view| view.columns.len());
        let list = self.lists.get_mut(self.view)?;
        let (column, _) = list.sorted.filter(|_| columns > 0)?;
        let columns = isize::try_from(columns).unwrap_or(1);
        let next = (isize::try_from(column).unwrap_or(0) + by).rem_euclid(columns);
        list.sort_by(usize::try_from(next).unwrap_or(0));
        self.choose_again()
    }

    fn accept(&mut self) -> Option<Effect> {
        match Filter::parse(&self.typing.as_ref()?.text()) {
            Ok(filter) => {
                self.filter = filter;
                self.typing = None;
                self.choose_again()
            }
            // The line stays, to be put right.
            Err(error) => {
                self.tell(error.to_string(), true);
                None
            }
        }
    }

    fn change_interval(&mut self, slower: bool) -> Option<Effect> {
        let mut all = INTERVALS_MS.map(Duration::from_millis).into_iter();
        let next = if slower {
            all.find(|interval| *interval > self.interval)
        } else {
            all.rfind(|interval| *interval < self.interval)
        };
        self.interval = next.unwrap_or(self.interval);
        self.tell(format!("a new picture every {} ms", self.interval.as_millis()), false);
        Some(Effect::Interval)
    }

    fn copy(&mut self) -> Option<Effect> {
        let row = self.list().selected(&self.rows).and_then(|at| self.rows.get(at))?;
        let texts: Vec<Cow<'_, str>> = row.cells.iter().map(Cell::shown).collect();
        Some(Effect::Copy(texts.join("\t")))
    }

    fn click(&mut self, column: u16, row: u16) -> Option<Effect> {
        if self.typing.is_some() {
            return None;
        }
        let at = (column, row).into();
        if let Some((_, view)) = self.drawn.views.iter().find(|(area, _)| area.contains(at)) {
            return self.show(*view);
        }
        if self.help.is_some() || self.opened.is_some() {
            return None;
        }
        let head = self.drawn.heads.iter().find(|(area, _)| area.contains(at)).map(|(_, column)| *column);
        if let (Some(column), Some(list)) = (head, self.lists.get_mut(self.view)) {
            list.sort_by(column);
            return self.choose_again();
        }
        if self.drawn.rows.contains(at) {
            let clicked = self.drawn.top + usize::from(row - self.drawn.rows.y);
            if clicked < self.rows.len() {
                let again = !self.follow && self.list().selected(&self.rows) == Some(clicked);
                self.move_to(Move::To(clicked));
                self.follow = false;
                if again {
                    return self.open();
                }
            }
        }
        None
    }
}
