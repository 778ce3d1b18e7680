//! How a list stands: what it is sorted by, which row is selected, and which is the first on the screen.

use super::table::Row;

/// A list on the screen. The selection keeps to its row while rows come, go and change places.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    /// The column that it is sorted by, and whether the largest comes first.
    pub(crate) sorted: Option<(usize, bool)>,
    /// The row that is selected, by its key.
    selected: Option<u64>,
    /// Where that row was: the selection stays near when its row goes.
    at: usize,
    /// First row on the screen.
    top: usize,
}

/// Where the selection may go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Move {
    /// That many rows down; up if negative.
    By(isize),
    /// That many screens down; up if negative.
    Pages(isize),
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// To this row, as numbered in the list.
    To(usize),
}

impl List {
    /// A list sorted by a column, the largest first.
    pub(crate) fn by(column: usize) -> Self {
        Self { sorted: Some((column, true)), ..Self::default() }
    }

    /// Number of the selected row.
    pub(crate) fn selected(&self, rows: &[Row]) -> Option<usize> {
        let found = self.selected.and_then(|key| rows.iter().position(|row| row.key == key));
        found.or_else(|| rows.len().checked_sub(1).map(|last| self.at.min(last)))
    }

    /// The first row on a screen of that many, so that the selected one is on it.
    pub(crate) fn top(&self, rows: &[Row], height: usize) -> usize {
        let selected = self.selected(rows).unwrap_or(0);
        let last_top = rows.len().saturating_sub(height);
        let least = (selected + 1).saturating_sub(height);
        self.top.clamp(least, selected.max(least)).min(last_top.max(least))
    }

    /// Back to the first row, whichever that is.
    pub(crate) fn follow_first(&mut self) {
        (self.selected, self.at, self.top) = (None, 0, 0);
    }

    /// The rows are others now: the selection follows its row, or stays where it was.
    pub(crate) fn follow(&mut self, rows: &[Row]) {
        if self.selected.is_none() {
            return;
        }
        if let Some(at) = self.selected(rows) {
            self.at = at;
            self.selected = rows.get(at).map(|row| row.key);
        }
    }

    /// Moves the selection on a screen of `height` rows.
    pub(crate) fn move_to(&mut self, to: Move, rows: &[Row], height: usize) {
        let Some(last) = rows.len().checked_sub(1) else { return };
        let at = self.selected(rows).unwrap_or(0);
        let page = isize::try_from(height.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
        let to = match to {
            Move::By(rows) => at.saturating_add_signed(rows),
            Move::Pages(pages) => at.saturating_add_signed(pages.saturating_mul(page)),
            Move::First => 0,
            Move::Last => last,
            Move::To(row) => row,
        };
        let top = self.top(rows, height);
        self.at = to.min(last);
        self.selected = rows.get(self.at).map(|row| row.key);
        self.top = top;
        self.top = self.top(rows, height);
    }

    /// Sorts by another column; by the same one, the other way round.
    pub(crate) fn sort_by(&mut self, column: usize) {
        self.sorted = match self.sorted {
            Some((same, descending)) if same == column => Some((column, !descending)),
            _ => Some((column, true)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(keys: &[u64]) -> Vec<Row> {
        keys.iter().map(|key| Row { key: *key, cells: Vec::new(), marked: false }).collect()
    }

    #[test]
    fn the_selection_keeps_to_its_row() {
        let mut list = List::default();
        list.move_to(Move::By(2), &rows(&[1, 2, 3]), 10);
        let moved = rows(&[3, 4, 1, 2]);
        list.follow(&moved);
        assert_eq!(list.selected(&moved), Some(0));
        let gone = rows(&[4, 1]);
        list.follow(&gone);
        assert_eq!(list.selected(&gone), Some(0));
        assert_eq!(list.selected(&[]), None);
    }

    #[test]
    fn nothing_chosen_is_the_first_row() {
        let mut list = List::default();
        list.follow(&rows(&[1, 2]));
        assert_eq!(list.selected(&rows(&[7, 1, 2])), Some(0));
    }

    #[test]
    fn the_screen_scrolls_no_further_than_it_must() {
        let many = rows(&(0..100).collect::<Vec<u64>>());
        let mut list = List::default();
        list.move_to(Move::By(9), &many, 10);
        assert_eq!(list.top(&many, 10), 0);
        list.move_to(Move::By(1), &many, 10);
        assert_eq!(list.top(&many, 10), 1);
        list.move_to(Move::Last, &many, 10);
        assert_eq!((list.selected(&many), list.top(&many, 10)), (Some(99), 90));
        list.move_to(Move::Pages(-1), &many, 10);
        assert_eq!((list.selected(&many), list.top(&many, 10)), (Some(90), 90));
        list.move_to(Move::By(-200), &many, 10);
        assert_eq!((list.selected(&many), list.top(&many, 10)), (Some(0), 0));
        list.move_to(Move::To(50), &many, 0);
        assert_eq!(list.selected(&many), Some(50));
    }
}
