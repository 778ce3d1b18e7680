//! A table as data: columns, and rows of cells that know how they sort. How it looks is decided elsewhere.

use std::{borrow::Cow, cmp::Ordering};

use crate::{model::evidence::Evidence, view::format};

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

/// One cell, as a value: most rows are never on the screen, so that texts are made of numbers only when they are shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// A text that is harmless: what a target chose has been escaped. Sorted by itself.
    Text(String),
    /// A text that sorts by a number. What is not known comes last, whichever way.
    By(String, Option<f64>),
    /// A number that names something.
    Id(u32),
    /// How many.
    Count(u64),
    /// Bytes.
    Bytes(Option<u64>),
    /// A duration, ns.
    Duration(Option<u64>),
    /// A number with a fraction.
    Decimal(Option<f64>),
    /// A ratio, and how well it is known.
    Ratio(Option<f64>, Evidence),
}

impl Cell {
    /// A name that somebody else chose: escaped.
    pub(crate) fn name(name: &str) -> Self {
        Self::Text(format::escape(name).into_owned())
    }

    /// As it is shown.
    pub(crate) fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) | Self::By(text, _) => text.into(),
            Self::Id(number) => number.to_string().into(),
            Self::Count(number) => format::count(*number).into(),
            Self::Bytes(number) => format::maybe_bytes(*number).into(),
            Self::Duration(ns) => {
                ns.map_or_else(|| format::UNKNOWN.to_owned(), format::short_duration).into()
            }
            Self::Decimal(number) => format::decimal(*number).into(),
            Self::Ratio(number, evidence) => format::marked_ratio(*number, *evidence).into(),
        }
    }

    /// What it sorts by.
    fn order(&self) -> Order<'_> {
        let number = |number: Option<f64>| number.map_or(Order::Unknown, Order::Number);
        match self {
            Self::Text(text) => Order::Text(text),
            Self::Id(id) => Order::Number((*id).into()),
            Self::Count(count) => Order::Number(*count as f64),
            Self::Bytes(amount) | Self::Duration(amount) => number(amount.map(|amount| amount as f64)),
            Self::By(_, value) | Self::Decimal(value) | Self::Ratio(value, _) => number(*value),
        }
    }
}

/// What a cell sorts by.
enum Order<'a> {
    Number(f64),
    Text(&'a str),
    Unknown,
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
pub(crate) fn key(lists: impl std::hash::Hash) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    lists.hash(&mut hasher);
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
    match (a.order(), b.order()) {
        (Order::Number(a), Order::Number(b)) => turned(a.total_cmp(&b)),
        (Order::Unknown, Order::Unknown) => Ordering::Equal,
        (Order::Unknown, _) => Ordering::Greater,
        (_, Order::Unknown) => Ordering::Less,
        (Order::Text(a), Order::Text(b)) => turned(a.cmp(b)),
        (Order::Text(_), Order::Number(_)) => turned(Ordering::Greater),
        (Order::Number(_), Order::Text(_)) => turned(Ordering::Less),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(cells: Vec<Cell>, descending: bool) -> Vec<String> {
        let row = |(key, cell)| Row { key, cells: vec![cell], marked: false };
        let mut rows: Vec<Row> = (0..).zip(cells).map(row).collect();
        sort(&mut rows, 0, descending);
        rows.iter().filter_map(|row| row.cells.first()).map(|cell| cell.shown().into_owned()).collect()
    }

    #[test]
    fn numbers_sort_by_size_and_what_is_not_known_comes_last() {
        let cells = || vec![Cell::Bytes(Some(9)), Cell::Bytes(None), Cell::Bytes(Some(1 << 20))];
        assert_eq!(order(cells(), true), ["1.0 MiB", "9 B", "?"]);
        assert_eq!(order(cells(), false), ["9 B", "1.0 MiB", "?"]);
    }

    #[test]
    fn names_are_made_harmless() {
        assert_eq!(Cell::name("a\x1b[31m\nb").shown(), "a\\x1b[31m\\nb");
    }
}
