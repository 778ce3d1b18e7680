//! What became of every scenario on every kernel, as tables.

use std::fmt::Write as _;

use super::report::{Figure, Run, State, Test};

/// One run on one kernel.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// The kernel and, where it is not ext4, the file system.
    pub(super) title: String,
    /// What ran.
    pub(super) run: Run,
}

impl Column {
    /// Whether every test held, and all came to their end.
    pub(super) fn passed(&self) -> bool {
        self.run.code == Some(0)
    }
}

/// The tables and what there is to say about them.
pub(super) fn text(columns: &[Column]) -> String {
    let mut text = scenarios(columns);
    let figures = figures(columns);
    if !figures.is_empty() {
        let _ = write!(text, "\n{figures}");
    }
    for (name, titles, reason) in skips(columns) {
        let _ = writeln!(text, "skipped: {name} ({titles}): {reason}");
    }
    text
}

fn scenarios(columns: &[Column]) -> String {
    let names = in_order(columns, |run| run.tests.iter().map(|test| test.name.as_str()).collect());
    let cell = |column: &Column, name: &str| {
        column.run.tests.iter().find(|test| test.name == name).map_or("·", word).to_owned()
    };
    let mut table = table("scenario", columns, &names, cell);
    let sum = |name: &str, words: &[&str]| {
        let count = |column: &Column| {
            column.run.tests.iter().filter(|test| words.contains(&word(test))).count().to_string()
        };
        [name.to_owned()].into_iter().chain(columns.iter().map(count)).collect()
    };
    table.rows.push(Vec::new());
    table.rows.push(sum("passed", &["ok"]));
    table.rows.push(sum("failed", &["FAIL", "CUT OFF"]));
    table.rows.push(sum("skipped", &["skip"]));
    table.draw()
}

fn word(test: &Test) -> &'static str {
    match test.state {
        Some(State::Passed) => "ok",
        Some(State::Failed) => "FAIL",
        Some(State::Skipped(_)) => "skip",
        None => "CUT OFF",
    }
}

fn figures(columns: &[Column]) -> String {
    let names = in_order(columns, |run| run.figures.iter().map(|figure| figure.name.as_str()).collect());
    if names.is_empty() {
        return String::new();
    }
    let cell = |column: &Column, name: &str| {
        let value = column.run.figures.iter().rfind(|figure: &&Figure| figure.name == name);
        value.map_or("·".to_owned(), |figure| figure.value.clone())
    };
    table("figure", columns, &names, cell).draw()
}

/// Each name once, in the order in which they first came.
fn in_order<'c>(columns: &'c [Column], names: impl Fn(&'c Run) -> Vec<&'c str>) -> Vec<&'c str> {
    let mut all = Vec::new();
    for name in columns.iter().flat_map(|column| names(&column.run)) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// Name, columns and reason of what was skipped, each once.
fn skips(columns: &[Column]) -> Vec<(String, String, String)> {
    let mut all: Vec<(String, String, String)> = Vec::new();
    for column in columns {
        for test in &column.run.tests {
            let Some(State::Skipped(reason)) = &test.state else { continue };
            match all.iter_mut().find(|(name, _, why)| *name == test.name && why == reason) {
                Some((_, titles, _)) => *titles += &format!(", {}", column.title),
                None => all.push((test.name.clone(), column.title.clone(), reason.clone())),
            }
        }
    }
    all
}

struct Table {
    rows: Vec<Vec<String>>,
}

fn table(head: &str, columns: &[Column], names: &[&str], cell: impl Fn(&Column, &str) -> String) -> Table {
    let titles = columns.iter().map(|column| column.title.clone());
    let mut rows = vec![[head.to_owned()].into_iter().chain(titles).collect()];
    for name in names {
        let cells = columns.iter().map(|column| cell(column, name));
        rows.push([(*name).to_owned()].into_iter().chain(cells).collect());
    }
    Table { rows }
}

impl Table {
    fn draw(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |index: usize| {
            self.rows.iter().filter_map(|row| row.get(index)).map(|cell: &String| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|index| width(index).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(title: &str, tests: &[(&str, Option<State>)], figures: &[(&str, &str)]) -> Column {
        let tests = tests
            .iter()
            .map(|(name, state)| Test { name: (*name).to_owned(), state: state.clone() })
            .collect();
        let figures = figures
            .iter()
            .map(|(name, value)| Figure { name: (*name).to_owned(), value: (*value).to_owned() })
            .collect();
        Column { title: title.to_owned(), run: Run { tests, figures, ..Run::default() } }
    }

    #[test]
    fn kernels_stand_side_by_side() {
        let skipped = Some(State::Skipped("no ext4".to_owned()));
        let columns = [
            column(
                "6.1",
                &[("a", Some(State::Passed)), ("cp", skipped.clone())],
                &[("copies", "2 (derived)")],
            ),
            column("6.12", &[("a", Some(State::Failed)), ("b", None), ("cp", skipped)], &[]),
        ];
        assert_eq!(
            text(&columns),
            "scenario  6.1   6.12\na         ok    FAIL\ncp        skip  skip\nb         ·     CUT OFF\n\n\
             passed    1     0\nfailed    0     2\nskipped   1     1\n\n\
             figure  6.1          6.12\ncopies  2 (derived)  ·\nskipped: cp (6.1, 6.12): no ext4\n"
        );
    }
}
