//! A line that is being typed: the filter.

/// Longer ones are of no use, and may be pasted by mistake.
const LONGEST: usize = 1024;

/// The line and where the next character goes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct LineEdit {
    characters: Vec<char>,
    at: usize,
}

/// What may be done to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Edit {
    /// Put a character in.
    Insert(char),
    /// Take the one before out.
    Backspace,
    /// Take the one after out.
    Delete,
    /// Go one to the left.
    Left,
    /// Go one to the right.
    Right,
    /// Go to the begin.
    Home,
    /// Go to the end.
    End,
    /// Take everything out.
    Clear,
}

impl LineEdit {
    /// A line that says this already.
    pub(crate) fn of(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        Self { at: characters.len(), characters }
    }

    /// What it says.
    pub(crate) fn text(&self) -> String {
        self.characters.iter().collect()
    }

    /// Characters before the place of the next one.
    pub(crate) fn before(&self) -> String {
        self.characters.iter().take(self.at).collect()
    }

    /// Does it.
    pub(crate) fn edit(&mut self, edit: Edit) {
        match edit {
            Edit::Insert(character) if !character.is_control() && self.characters.len() < LONGEST => {
                self.characters.insert(self.at.min(self.characters.len()), character);
                self.at += 1;
            }
            Edit::Insert(_) => {}
            Edit::Backspace if self.at > 0 => {
                self.at -= 1;
                self.characters.remove(self.at);
            }
            Edit::Delete if self.at < self.characters.len() => _ = self.characters.remove(self.at),
            Edit::Backspace | Edit::Delete => {}
            Edit::Left => self.at = self.at.saturating_sub(1),
            Edit::Right => self.at = (self.at + 1).min(self.characters.len()),
            Edit::Home => self.at = 0,
            Edit::End => self.at = self.characters.len(),
            Edit::Clear => *self = Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_anywhere() {
        let mut line = LineEdit::of("call=red");
        for edit in [Edit::Left, Edit::Insert('a'), Edit::End, Edit::Backspace, Edit::Home, Edit::Delete] {
            line.edit(edit);
        }
        assert_eq!((line.text().as_str(), line.before().as_str()), ("all=rea", ""));
        line.edit(Edit::Backspace);
        line.edit(Edit::Insert('\x1b'));
        line.edit(Edit::Insert('ü'));
        assert_eq!(line.text(), "üall=rea");
        line.edit(Edit::Clear);
        line.edit(Edit::Delete);
        assert_eq!(line.text(), "");
    }
}
