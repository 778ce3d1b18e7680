//! Lines and tables that keep within a width. Strings that the target chose must be escaped before they come here.

use super::{
    format::{truncate_end, truncate_middle, width},
    style::{Paint, Style},
};

/// Lines of text, laid out for a style.
#[derive(Debug)]
pub(super) struct Page {
    style: Style,
    lines: Vec<(Paint, String)>,
}

impl Page {
    pub(super) fn new(style: Style) -> Self {
        Self { style, lines: Vec::new() }
    }

    pub(super) fn columns(&self) -> usize {
        self.style.columns
    }

    /// One line; cut if it is too wide.
    pub(super) fn line(&mut self, paint: Paint, text: impl Into<String>) {
        self.lines.push((paint, text.into()));
    }

    pub(super) fn blank(&mut self) {
        self.line(Paint::Plain, "");
    }

    /// A text that goes on over as many lines as it needs; all but the first are indented by `indent` columns.
    pub(super) fn wrapped(&mut self, paint: Paint, indent: usize, text: &str) {
        for line in wrap(text, indent, self.style.columns) {
            self.line(paint, line);
        }
    }

    /// A table with its head.
    pub(super) fn table(&mut self, lines: TableLines) {
        self.line(Paint::Heading, lines.head);
        for row in lines.rows {
            self.line(Paint::Plain, row);
        }
    }

    /// The text, each line with its line break.
    pub(super) fn render(self) -> String {
        let mut text = String::new();
        for (paint, line) in &self.lines {
            let line = truncate_end(line.trim_end(), self.style.columns);
            text.push_str(&self.style.paint(*paint, &line));
            text.push('\n');
        }
        text
    }
}

fn wrap(text: &str, indent: usize, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let lead = text.len() - text.trim_start_matches(' ').len();
    let mut line = " ".repeat(lead);
    let mut empty = true;
    // Words are what single spaces part, so that runs of spaces used for alignment stay.
    for word in text[lead..].split(' ') {
        if !empty && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line);
    lines
}

/// Which edge the cells of a column share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Align {
    /// Names. Cut in the middle if there is no room.
    Left,
    /// Numbers. Never cut.
    Right,
}

/// A column's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    align: Align,
    /// 0: always shown; else the column with the highest number is the first to go.
    spare: u8,
}

/// A column of names.
pub(super) const fn left(title: &'static str) -> Column {
    Column { title, align: Align::Left, spare: 0 }
}

/// A column of numbers.
pub(super) const fn right(title: &'static str) -> Column {
    Column { title, align: Align::Right, spare: 0 }
}

/// A column of numbers that may be left out.
pub(super) const fn spare(title: &'static str, spare: u8) -> Column {
    Column { title, align: Align::Right, spare }
}

/// Columns and rows of cells.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// A table laid out.
#[derive(Debug)]
pub(super) struct TableLines {
    pub(super) head: String,
    pub(super) rows: Vec<String>,
    /// Titles of the columns that found no room.
    pub(super) left_out: Vec<&'static str>,
}

/// Names are not cut below this many columns as long as a spare column can go instead.
const NAME_COLUMNS: usize = 16;

impl Table {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len(), "a cell for each column");
        self.rows.push(cells.into());
    }

    /// Lays the table out within `columns`, each line indented.
    pub(super) fn lines(&self, indent: usize, columns: usize) -> TableLines {
        let room = columns.saturating_sub(indent);
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let mut left_out = Vec::new();
        while self.least_width(&shown) > room {
            let spare = shown.iter().copied().filter(|column| self.columns[*column].spare > 0);
            let Some(column) = spare.max_by_key(|column| self.columns[*column].spare) else { break };
            shown.retain(|other| *other != column);
            left_out.push(self.columns[column].title);
        }
        let gap = if self.full_width(&shown, 2) <= room { 2 } else { 1 };
        let widths = self.cut_widths(&shown, gap, room);
        let lay = |cell: &dyn Fn(usize) -> String| self.lay(&shown, &widths, gap, indent, cell);
        TableLines {
            head: lay(&|column| self.columns[column].title.to_owned()),
            rows: self.rows.iter().map(|row| lay(&|column| row[column].clone())).collect(),
            left_out,
        }
    }

    fn natural_width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| width(&row[column]));
        cells.max().unwrap_or(0).max(width(self.columns[column].title))
    }

    fn full_width(&self, shown: &[usize], gap: usize) -> usize {
        let cells: usize = shown.iter().map(|column| self.natural_width(*column)).sum();
        cells + gap * shown.len().saturating_sub(1)
    }

    fn least_width(&self, shown: &[usize]) -> usize {
        let cells = shown.iter().map(|column| match self.columns[*column].align {
            Align::Left => self.natural_width(*column).min(NAME_COLUMNS),
            Align::Right => self.natural_width(*column),
        });
        cells.sum::<usize>() + shown.len().saturating_sub(1)
    }

    /// The width of each shown column, names cut as far as is needed.
    fn cut_widths(&self, shown: &[usize], gap: usize, room: usize) -> Vec<usize> {
        let mut excess = self.full_width(shown, gap).saturating_sub(room);
        let mut widths = Vec::with_capacity(shown.len());
        for column in shown {
            let natural = self.natural_width(*column);
            let cut = match self.columns[*column].align {
                Align::Left => excess.min(natural.saturating_sub(1)),
                Align::Right => 0,
            };
            excess -= cut;
            widths.push(natural - cut);
        }
        widths
    }

    fn lay(
        &self,
        shown: &[usize],
        widths: &[usize],
        gap: usize,
        indent: usize,
        cell: &dyn Fn(usize) -> String,
    ) -> String {
        let mut line = " ".repeat(indent);
        for (position, (column, columns)) in shown.iter().zip(widths).enumerate() {
            if position > 0 {
                line.push_str(&" ".repeat(gap));
            }
            let cell = cell(*column);
            let cell = truncate_middle(&cell, *columns);
            let padding = " ".repeat(columns - width(&cell).min(*columns));
            match self.columns[*column].align {
                Align::Left => line.extend([&*cell, &padding]),
                Align::Right => line.extend([&padding, &*cell]),
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[right("calls"), spare("p50", 2), spare("max", 1), left("name")]);
        table.row(["1,234".into(), "1.00 µs".into(), "2.00 ms".into(), "copy_file_range_and_more".into()]);
        table.row(["1".into(), "?".into(), "?".into(), "read".into()]);
        table
    }

    #[test]
    fn a_wide_table_shows_all() {
        let lines = table().lines(1, 80);
        assert_eq!(lines.head.trim_end(), " calls      p50      max  name");
        assert_eq!(lines.rows[1].trim_end(), "     1        ?        ?  read");
        assert!(lines.left_out.is_empty());
    }

    #[test]
    fn a_narrow_table_leaves_out_spare_columns_then_cuts_names() {
        let lines = table().lines(0, 32);
        assert_eq!(lines.left_out, ["p50"]);
        assert_eq!(lines.rows[0], "1,234 2.00 ms copy_…nge_and_more");
        for columns in 8..60 {
            let lines = table().lines(0, columns);
            assert!(width(&lines.rows[0]) <= columns.max(7), "{columns}: {lines:?}");
        }
    }

    #[test]
    fn text_wraps_at_words_and_keeps_its_indent() {
        assert_eq!(wrap("  one two three four", 4, 11), ["  one two", "    three", "    four"]);
        assert_eq!(wrap("unbreakable", 2, 4), ["unbreakable"]);
        assert_eq!(wrap("a   b", 0, 10), ["a   b"]);
    }

    #[test]
    fn no_line_of_a_page_is_wider_than_it_may_be() {
        let mut page = Page::new(Style { columns: 10, color: false });
        page.line(Paint::Plain, "a line that is too wide");
        page.wrapped(Paint::Plain, 0, "an unbreakableword");
        assert!(page.render().lines().all(|line| width(line) <= 10));
    }
}
