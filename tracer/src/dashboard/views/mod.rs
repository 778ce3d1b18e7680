//! The views, one file each. A new one is a file and a line in [`VIEWS`].

mod anatomy;
mod calls;
mod descriptors;
mod findings;
mod flows;
mod overview;
mod pieces;
mod threads;
mod transfers;

use ratatui::text::Line;

pub(crate) use self::pieces::{Canvas, losses};
use super::{
    frame::Frame,
    state::State,
    table::{Column, Row},
};
use crate::{
    filter::Filter,
    look::{Lists, Wanted},
    model::flow_list::FlowOrder,
};

/// A view.
pub(crate) struct View {
    /// Its name.
    pub(crate) title: &'static str,
    /// What its list shows; none for a picture.
    pub(crate) columns: &'static [Column],
    /// The column that it is sorted by at first, the largest first.
    pub(crate) sorted: usize,
    /// The rows of its list that the filter lets through.
    pub(crate) rows: fn(&Frame, &Filter) -> Vec<Row>,
    /// What to say when there are none.
    pub(crate) empty: &'static str,
    /// What a row opens to.
    pub(crate) open: Option<Open>,
    /// What has to be asked for to open a row.
    pub(crate) more: Option<fn(&Frame, u64, &mut Wanted)>,
    /// What flows are to be ranked by when the list is sorted by that column, where the list is one of flows: there may be
    /// more than a frame has.
    pub(crate) flows_by: Option<fn(usize) -> FlowOrder>,
    /// What a frame has to have for it.
    pub(crate) lists: Lists,
    /// What is done with the flows that a frame has, to be told where it does not have all of them.
    pub(crate) partly: Option<&'static str>,
    /// Carries what is open over from one frame to the next, where it may have left the list meanwhile.
    pub(crate) keep: Option<fn(&Frame, &mut Frame, u64)>,
    /// The picture, for a view without a list.
    pub(crate) picture: Option<fn(&State, &Canvas<'_>) -> Vec<Line<'static>>>,
}

/// Draws what the row with that key stands for; `None` when it is gone.
pub(crate) type Open = fn(&Frame, u64, &Canvas<'_>) -> Option<Vec<Line<'static>>>;

/// All views, by number.
pub(crate) static VIEWS: &[View] = &[
    overview::VIEW,
    flows::VIEW,
    transfers::VIEW,
    calls::VIEW,
    threads::VIEW,
    findings::VIEW,
    descriptors::VIEW,
];
