//! A table as data: columns, and rows of cells that know how they sort. How it looks is decided elsewhere.

use std::cmp::Ordering;

use crate::view::format;

/// Which edge the cells of a column share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Align {
    /// Names; they share the room that is left, and are cut in the middle.
    Left,
    /// Numbers, never cut.
    Right,
}

/// A column's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// What it holds.
    pub(crate) title: &'static str,
    /// Names or numbers.
    pub(crate) align: Align,
    /// Columns on the screen for numbers; the least for names.
    pub(crate) width: u16,
    /// 0: always shown; else the column with the highest number is the first to go on a narrow screen.
    pub(crate) spare: u8,
}

/// A column of names.
pub(crate) const fn names(title: &'static str, width: u16, spare: u8) -> Column {
    Column { title, align: Align::Left, width, spare }
}

/// A column of numbers.
pub(crate) const fn numbers(title: &'static str, width: u16, spare: u8) -> Column {
    Column { title, align: Align::Right, width, spare }
}

/// What a cell sorts by. What is not known comes last, whichever way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Order {
    /// By this number.
    Number(f64),
    /// By the text.
    Text,
    /// Not known.
    Unknown,
}

/// One cell. Its text is harmless: what a target chose has been escaped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    /// As shown.
    pub(crate) text: String,
    /// As sorted.
    pub(crate) order: Order,
}

impl Cell {
    /// A name that somebody else chose: escaped.
    pub(crate) fn name(name: &str) -> Self {
        Self { text: format::escape(name).into_owned(), order: Order::Text }
    }

    /// A text of our own making, or escaped already.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), order: Order::Text }
    }

    /// A text that sorts by a number.
    pub(crate) fn by(text: impl Into<String>, number: Option<f64>) -> Self {
        let order = number.map_or(Order::Unknown, Order::Number);
        Self { text: text.into(), order }
    }

    /// A count.
    pub(crate) fn count(number: u64) -> Self {
        Self::by(format::count(number), Some(number as f64))
    }

    /// Bytes.
    pub(crate) fn bytes(number: Option<u64>) -> Self {
        Self::by(format::maybe_bytes(number), number.map(|number| number as f64))
    }

    /// A duration, ns.
    pub(crate) fn duration(ns: Option<u64>) -> Self {
        let text = ns.map_or_else(|| format::UNKNOWN.to_owned(), format::short_duration);
        Self::by(text, ns.map(|ns| ns as f64))
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// What it stands for, over all frames: the selection keeps to it.
    pub(crate) key: u64,
    /// A cell for each column.
    pub(crate) cells: Vec<Cell>,
    /// Whether it should be seen: wasted copies, losses.
    pub(crate) marked: bool,
}

/// A key out of whatever tells rows apart.
pub(crate) fn key(parts: impl std::hash::Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// Sorts rows by a column; equal ones keep the order in which they came.
pub(crate) fn sort(rows: &mut [Row], column: usize, descending: bool) {
    rows.sort_by(|a, b| match (a.cells.get(column), b.cells.get(column)) {
        (Some(a), Some(b)) => compare(a, b, descending),
        _ => Ordering::Equal,
    });
}

fn compare(a: &Cell, b: &Cell, descending: bool) -> Ordering {
    let turned = |order: Ordering| if descending { order.reverse() } else { order };
    match (&a.order, &b.order) {
        (Order::Number(a), Order::Number(b)) => turned(a.total_cmp(b)),
        (Order::Unknown, Order::Unknown) => Ordering::Equal,
        (Order::Unknown, _) => Ordering::Greater,
        (_, Order::Unknown) => Ordering::Less,
        (Order::Text, Order::Text) => turned(a.text.cmp(&b.text)),
        (Order::Text, Order::Number(_)) => turned(Ordering::Greater),
        (Order::Number(_), Order::Text) => turned(Ordering::Less),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(cells: Vec<Cell>, descending: bool) -> Vec<String> {
        let row = |(key, cell)| Row { key, cells: vec![cell], marked: false };
        let mut rows: Vec<Row> = (0..).zip(cells).map(row).collect();
        sort(&mut rows, 0, descending);
        rows.into_iter().filter_map(|mut row| row.cells.pop()).map(|cell| cell.text).collect()
    }

    #[test]
    fn numbers_sort_by_size_and_what_is_not_known_comes_last() {
        let cells = || vec![Cell::bytes(Some(9)), Cell::bytes(None), Cell::bytes(Some(1 << 20))];
        assert_eq!(order(cells(), true), ["1.0 MiB", "9 B", "?"]);
        assert_eq!(order(cells(), false), ["9 B", "1.0 MiB", "?"]);
    }

    #[test]
    fn names_are_made_harmless() {
        assert_eq!(Cell::name("a\x1b[31m\nb").text, "a\\x1b[31m\\nb");
    }
}
