//! Which key asks for what: a table, so that the help shows just what is there.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind};

use super::{action::Action, line_edit::Edit, list::Move};

/// Rows that the mouse wheel scrolls.
const WHEEL: isize = 3;

/// A key and what it is for.
pub(crate) struct Binding {
    /// The keys, any of them.
    pub(crate) keys: &'static [(KeyCode, KeyModifiers)],
    /// How the help calls them.
    pub(crate) shown: &'static str,
    /// What they ask for.
    pub(crate) action: Action,
    /// What the help says about them.
    pub(crate) help: &'static str,
}

const PLAIN: KeyModifiers = KeyModifiers::NONE;
const CONTROL: KeyModifiers = KeyModifiers::CONTROL;

macro_rules! key {
    ($shown:literal, $action:expr, $help:literal, $($key:expr),+) => {
        Binding { keys: &[$($key),+], shown: $shown, action: $action, help: $help }
    };
}

const fn plain(character: char) -> (KeyCode, KeyModifiers) {
    (KeyCode::Char(character), PLAIN)
}

const fn control(character: char) -> (KeyCode, KeyModifiers) {
    (KeyCode::Char(character), CONTROL)
}

const fn code(code: KeyCode) -> (KeyCode, KeyModifiers) {
    (code, PLAIN)
}

/// All keys, in the order in which the help shows them. Numbers, which choose a view, come besides.
pub(crate) const KEYS: &[Binding] = &[
    key!("q Ctrl-C", Action::Quit, "quit", plain('q'), control('c')),
    key!("? F1 h", Action::Help, "this help", plain('?'), code(KeyCode::F(1)), plain('h')),
    key!("Tab →", Action::NextView, "next view", code(KeyCode::Tab), code(KeyCode::Right)),
    key!(
        "Shift-Tab ←",
        Action::PreviousView,
        "previous view",
        (KeyCode::BackTab, KeyModifiers::SHIFT),
        code(KeyCode::BackTab),
        code(KeyCode::Left)
    ),
    key!("↑ k", Action::Move(Move::By(-1)), "one row up", code(KeyCode::Up), plain('k')),
    key!("↓ j", Action::Move(Move::By(1)), "one row down", code(KeyCode::Down), plain('j')),
    key!("PgUp", Action::Move(Move::Pages(-1)), "one screen up", code(KeyCode::PageUp), control('b')),
    key!("PgDn", Action::Move(Move::Pages(1)), "one screen down", code(KeyCode::PageDown), control('f')),
    key!("Home g", Action::Move(Move::First), "first row", code(KeyCode::Home), plain('g')),
    key!("End G", Action::Move(Move::Last), "last row", code(KeyCode::End), plain('G')),
    key!("Enter", Action::Open, "open the selected row", code(KeyCode::Enter)),
    key!("Esc", Action::Close, "close what is open; else drop the filter", code(KeyCode::Esc)),
    key!("s >", Action::SortNext, "sort by the next column", plain('s'), plain('>')),
    key!("S <", Action::SortPrevious, "sort by the previous column", plain('S'), plain('<')),
    key!("r", Action::Reverse, "sort the other way round", plain('r')),
    key!(
        "/ F4",
        Action::Filter,
        "show only: call= fd= path= method= thread= pid= bytes>=, or a word",
        plain('/'),
        code(KeyCode::F(4))
    ),
    key!("p Space", Action::Pause, "pause and go on (tracing does not pause)", plain('p'), plain(' ')),
    key!("c", Action::Clear, "count the overview and its graphs from here (lists stay whole)", plain('c')),
    key!("C", Action::Unclear, "count from when tracing began again", plain('C')),
    key!("f", Action::Follow, "follow on (keep to the first, the newest row) or off", plain('f')),
    key!("+", Action::Faster, "refresh more often", plain('+'), plain('=')),
    key!("-", Action::Slower, "refresh less often", plain('-')),
    key!(
        "w",
        Action::ToggleStream,
        "start or stop a trace file (NDJSON; only --filter limits it)",
        plain('w')
    ),
    key!("J", Action::WriteDocument, "write all that is known as a JSON document", plain('J')),
    key!("y", Action::Copy, "copy the selected row as text", plain('y')),
    key!("t", Action::Theme, "next colours: dark, light, none", plain('t')),
    key!("Ctrl-L", Action::Redraw, "paint everything anew", control('l')),
    key!("Ctrl-Z", Action::Suspend, "suspend; `fg` goes on", control('z')),
];

/// What the mouse does, for the help.
pub(crate) const MOUSE: &[(&str, &str)] =
    &[("click", "choose a view, sort by a column, select a row; again: open it"), ("wheel", "scroll")];

/// What an event of the terminal asks for, if anything. While a line is being typed, characters are its.
pub(crate) fn action(event: &Event, typing: bool) -> Option<Action> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => {
            if typing {
                typed(key)
            } else {
                pressed(key)
            }
        }
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => Some(Action::Click(mouse.column, mouse.row)),
            MouseEventKind::ScrollUp => Some(Action::Move(Move::By(-WHEEL))),
            MouseEventKind::ScrollDown => Some(Action::Move(Move::By(WHEEL))),
            _ => None,
        },
        Event::Resize(..) => Some(Action::Redraw),
        _ => None,
    }
}

fn pressed(key: &KeyEvent) -> Option<Action> {
    // Shift is in the character already.
    let modifiers = match key.code {
        KeyCode::Char(_) => key.modifiers - KeyModifiers::SHIFT,
        _ => key.modifiers,
    };
    if let (KeyCode::Char(digit), KeyModifiers::NONE) = (key.code, modifiers)
        && let Some(number) = digit.to_digit(10)
    {
        return usize::try_from(number).ok()?.checked_sub(1).map(Action::View);
    }
    let is = |binding: &&Binding| binding.keys.contains(&(key.code, modifiers));
    KEYS.iter().find(is).map(|binding| binding.action)
}

fn typed(key: &KeyEvent) -> Option<Action> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Enter => Some(Action::Accept),
        KeyCode::Esc => Some(Action::Cancel),
        KeyCode::Char('c') if control => Some(Action::Cancel),
        KeyCode::Char('u') if control => Some(Action::Edit(Edit::Clear)),
        KeyCode::Char('a') if control => Some(Action::Edit(Edit::Home)),
        KeyCode::Char('e') if control => Some(Action::Edit(Edit::End)),
        KeyCode::Char(_) if control || key.modifiers.contains(KeyModifiers::ALT) => None,
        KeyCode::Char(character) => Some(Action::Edit(Edit::Insert(character))),
        KeyCode::Backspace => Some(Action::Edit(Edit::Backspace)),
        KeyCode::Delete => Some(Action::Edit(Edit::Delete)),
        KeyCode::Left => Some(Action::Edit(Edit::Left)),
        KeyCode::Right => Some(Action::Edit(Edit::Right)),
        KeyCode::Home => Some(Action::Edit(Edit::Home)),
        KeyCode::End => Some(Action::Edit(Edit::End)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> Event {
        Event::Key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn no_key_asks_for_two_things() {
        let mut seen = HashSet::new();
        for binding in KEYS {
            for key in binding.keys {
                assert!(seen.insert(*key), "{key:?}");
            }
        }
    }

    #[test]
    fn keys_are_heeded() {
        assert_eq!(action(&press(KeyCode::Char('c'), CONTROL), false), Some(Action::Quit));
        assert_eq!(
            action(&press(KeyCode::Char('G'), KeyModifiers::SHIFT), false),
            Some(Action::Move(Move::Last))
        );
        assert_eq!(action(&press(KeyCode::Char('3'), PLAIN), false), Some(Action::View(2)));
        assert_eq!(action(&press(KeyCode::Char('0'), PLAIN), false), None);
    }

    #[test]
    fn while_typing_characters_are_text() {
        assert_eq!(action(&press(KeyCode::Char('q'), PLAIN), true), Some(Action::Edit(Edit::Insert('q'))));
        assert_eq!(action(&press(KeyCode::Char('c'), CONTROL), true), Some(Action::Cancel));
    }
}
