//! How wide and how colourful output is.

use std::io::{IsTerminal, stderr, stdout};

/// Columns where there is no terminal to ask.
pub const DEFAULT_COLUMNS: usize = 80;

/// How text is laid out and painted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Style {
    /// No line is wider, in terminal columns.
    pub columns: usize,
    /// Whether to paint.
    pub color: bool,
}

impl Style {
    /// For a file or a pipe: 80 columns, no colour.
    pub fn plain() -> Self {
        Self { columns: DEFAULT_COLUMNS, color: false }
    }

    /// For standard output, as it is now.
    pub fn for_stdout() -> Self {
        Self::of(&stdout())
    }

    /// For standard error, as it is now.
    pub fn for_stderr() -> Self {
        Self::of(&stderr())
    }

    fn of(stream: &impl IsTerminal) -> Self {
        if !stream.is_terminal() {
            return Self::plain();
        }
        let columns = crossterm::terminal::size().map_or(0, |(columns, _)| usize::from(columns));
        let variable = |name| std::env::var(name).ok();
        Self {
            columns: if columns == 0 { DEFAULT_COLUMNS } else { columns },
            color: color_wanted(variable("NO_COLOR").as_deref(), variable("TERM").as_deref()),
        }
    }

    /// Paints a text, if this style paints.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        match paint.code() {
            Some(code) if self.color && !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// <https://no-color.org>: set and not empty means no.
fn color_wanted(no_color: Option<&str>, terminal: Option<&str>) -> bool {
    no_color.is_none_or(str::is_empty) && terminal != Some("dumb")
}

/// What a piece of text is, which decides how it looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Paint {
    /// Nothing special.
    Plain,
    /// The head of a section or of a table.
    Heading,
    /// Something the reader must not miss.
    Warning,
    /// Less important than what is around it.
    Faint,
}

impl Paint {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Heading => Some("1"),
            Self::Warning => Some("1;33"),
            Self::Faint => Some("2"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_dumb_terminals_are_respected() {
        assert!(color_wanted(None, Some("xterm")));
        assert!(color_wanted(Some(""), None));
        assert!(!color_wanted(Some("1"), Some("xterm")));
        assert!(!color_wanted(None, Some("dumb")));
    }

    #[test]
    fn only_a_painting_style_paints() {
        assert_eq!(Style::plain().paint(Paint::Heading, "x"), "x");
        let style = Style { color: true, ..Style::plain() };
        assert_eq!(style.paint(Paint::Heading, "x"), "\x1b[1mx\x1b[0m");
        assert_eq!(style.paint(Paint::Plain, "x"), "x");
    }
}
