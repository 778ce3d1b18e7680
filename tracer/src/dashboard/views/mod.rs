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

/// A view.
pub(crate) struct View {
    /// Its name.
    pub(crate) title: &'static str,
    /// What its list shows; none for a picture.
    pub(crate) columns: &'static [Column],
    /// The column that it is sorted by at first, the largest first.
    pub(crate) sorted: usize,
    /// The rows of its list.
    pub(crate) rows: fn(&Frame) -> Vec<Row>,
    /// What to say when there are none.
    pub(crate) empty: &'static str,
    /// What a row opens to.
    pub(crate) open: Option<Open>,
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

/// The rows that hold every word of the filter.
pub(crate) fn rows(view: &View, frame: &Frame, filter: &str) -> Vec<Row> {
    let mut rows = (view.rows)(frame);
    let words: Vec<String> = filter.split_whitespace().map(str::to_lowercase).collect();
    if !words.is_empty() {
        let holds = |row: &Row, word: &String| {
            row.cells.iter().any(|cell| cell.text.to_lowercase().contains(word.as_str()))
        };
        rows.retain(|row| words.iter().all(|word| holds(row, word)));
    }
    rows
}
