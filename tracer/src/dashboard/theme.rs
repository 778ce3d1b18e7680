//! How things look: colours for each role, and the characters of lines and graphs. Nothing is told by colour alone.

use ratatui::{
    style::{Color, Modifier, Style},
    symbols::border,
};

/// What a piece of the screen is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// Ordinary text.
    Text,
    /// Less important than what is around it.
    Faint,
    /// A head.
    Heading,
    /// The row or view that is chosen.
    Selected,
    /// What must not be missed.
    Warning,
    /// As it should be.
    Good,
    /// What the CPU copies.
    Cpu,
    /// What devices move.
    Dma,
    /// Payload.
    Payload,
    /// Mode switches and calls.
    Transitions,
}

/// Which colours.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Palette {
    /// For dark backgrounds.
    #[default]
    Dark,
    /// For light ones.
    Light,
    /// None.
    Plain,
}

/// What the terminal can show, and what the user wants to see.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Theme {
    /// Which colours.
    pub(crate) palette: Palette,
    /// Whether the terminal has 24-bit colours; else the sixteen that every one has.
    pub(crate) truecolor: bool,
    /// Whether lines and graphs may be drawn with characters beyond ASCII.
    pub(crate) unicode: bool,
    /// Whether colours may be used at all (`NO_COLOR`).
    pub(crate) colors: bool,
}

/// The environment variables that decide.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Environment<'a> {
    /// `NO_COLOR`.
    pub(crate) no_color: Option<&'a str>,
    /// `COLORTERM`.
    pub(crate) colorterm: Option<&'a str>,
    /// `COLORFGBG`: `foreground;background`, as some terminals tell.
    pub(crate) colorfgbg: Option<&'a str>,
    /// The first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set.
    pub(crate) locale: Option<&'a str>,
}

impl Theme {
    /// What fits the terminal, unless a palette was asked for.
    pub(crate) fn of(environment: Environment<'_>, asked: Option<Palette>, ascii: bool) -> Self {
        // https://no-color.org: set and not empty means no.
        let colors = environment.no_color.is_none_or(str::is_empty) && asked != Some(Palette::Plain);
        let background = environment.colorfgbg.and_then(|both| both.rsplit(';').next());
        // The sixteen colours: 7 and from 9 on are light.
        let light = background.and_then(|number| number.parse::<u8>().ok()).is_some_and(|n| n == 7 || n > 8);
        let palette = match (colors, asked, light) {
            (false, ..) => Palette::Plain,
            (true, Some(asked), _) => asked,
            (true, None, true) => Palette::Light,
            (true, None, false) => Palette::Dark,
        };
        let locale = environment.locale.unwrap_or_default().to_ascii_lowercase();
        Self {
            palette,
            truecolor: matches!(environment.colorterm, Some("truecolor" | "24bit")),
            unicode: !ascii && (locale.contains("utf-8") || locale.contains("utf8")),
            colors,
        }
    }

    /// The next palette; without colours there is but one.
    pub(crate) fn next(self) -> Self {
        let palette = match self.palette {
            _ if !self.colors => Palette::Plain,
            Palette::Dark => Palette::Light,
            Palette::Light => Palette::Plain,
            Palette::Plain => Palette::Dark,
        };
        Self { palette, ..self }
    }

    /// How a role looks.
    pub(crate) fn style(&self, role: Role) -> Style {
        let style = Style::new().add_modifier(emphasis(role));
        match self.color(role) {
            Some(color) if role == Role::Selected => style.bg(color).remove_modifier(Modifier::REVERSED),
            Some(color) => style.fg(color),
            None => style,
        }
    }

    fn color(&self, role: Role) -> Option<Color> {
        let pick = |rgb: u32, basic: Color| {
            if self.truecolor { Color::from_u32(rgb) } else { basic }
        };
        match (self.palette, role) {
            (Palette::Plain, _) | (_, Role::Text | Role::Faint | Role::Heading) => None,
            (_, Role::Selected) if !self.truecolor => None,
            (Palette::Dark, Role::Selected) => Some(Color::from_u32(0x26_3b_50)),
            (Palette::Light, Role::Selected) => Some(Color::from_u32(0xcf_e2_f3)),
            (Palette::Dark, Role::Warning) => Some(pick(0xff_6b_6b, Color::LightRed)),
            (Palette::Light, Role::Warning) => Some(pick(0xb0_10_10, Color::Red)),
            (Palette::Dark, Role::Good) => Some(pick(0x7b_d8_8f, Color::LightGreen)),
            (Palette::Light, Role::Good) => Some(pick(0x1a_7f_37, Color::Green)),
            (Palette::Dark, Role::Cpu) => Some(pick(0xff_b4_54, Color::Yellow)),
            (Palette::Light, Role::Cpu) => Some(pick(0x9a_58_00, Color::Magenta)),
            (Palette::Dark, Role::Dma) => Some(pick(0x59_c2_ff, Color::LightCyan)),
            (Palette::Light, Role::Dma) => Some(pick(0x05_5a_9c, Color::Blue)),
            (Palette::Dark, Role::Payload) => Some(pick(0x7b_d8_8f, Color::LightGreen)),
            (Palette::Light, Role::Payload) => Some(pick(0x1a_7f_37, Color::Green)),
            (Palette::Dark, Role::Transitions) => Some(pick(0xd2_a6_ff, Color::LightMagenta)),
            (Palette::Light, Role::Transitions) => Some(pick(0x6f_42_c1, Color::Magenta)),
        }
    }

    /// Characters of a frame.
    pub(crate) fn border(&self) -> border::Set<'static> {
        if self.unicode {
            return border::ROUNDED;
        }
        border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        }
    }

    /// Bars of growing height, from nothing to full.
    pub(crate) fn bars(&self) -> &'static [&'static str] {
        if self.unicode {
            &[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        } else {
            &[" ", ".", ":", "-", "=", "#"]
        }
    }

    /// Of two ways to write something, the one that can be shown.
    pub(crate) fn pick(&self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }

    /// A cell in characters that can be shown: names of the target keep theirs, which are its own.
    pub(crate) fn spell_if_ours<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        if self.unicode { text.into() } else { self.spell(text).into() }
    }

    /// A text of ours in characters that can be shown.
    pub(crate) fn spell(&self, text: &str) -> String {
        if self.unicode {
            return text.to_owned();
        }
        let spelled = |character| match character {
            '→' => "->".to_owned(),
            '←' => "<-".to_owned(),
            '↑' => "Up".to_owned(),
            '↓' => "Down".to_owned(),
            '…' => "~".to_owned(),
            'µ' => "u".to_owned(),
            '×' => "x".to_owned(),
            '–' | '—' => "-".to_owned(),
            '·' => "|".to_owned(),
            '≥' => ">=".to_owned(),
            '▲' => "^".to_owned(),
            '▼' => "v".to_owned(),
            other if other.is_ascii() => other.to_string(),
            _ => "?".to_owned(),
        };
        text.chars().map(spelled).collect()
    }
}

fn emphasis(role: Role) -> Modifier {
    match role {
        Role::Faint => Modifier::DIM,
        Role::Heading | Role::Warning => Modifier::BOLD,
        Role::Selected => Modifier::REVERSED,
        Role::Text | Role::Good | Role::Cpu | Role::Dma | Role::Payload | Role::Transitions => {
            Modifier::empty()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_decides() {
        let of = |environment| Theme::of(environment, None, false);
        let plain = of(Environment { no_color: Some("1"), ..Environment::default() });
        assert_eq!((plain.palette, plain.unicode), (Palette::Plain, false));
        assert_eq!(plain.next().palette, Palette::Plain);
        let light = of(Environment {
            colorfgbg: Some("0;15"),
            locale: Some("de_DE.UTF-8"),
            ..Environment::default()
        });
        assert_eq!((light.palette, light.unicode), (Palette::Light, true));
        assert_eq!(of(Environment::default()).palette, Palette::Dark);
        let asked = Theme::of(Environment::default(), Some(Palette::Plain), true);
        assert_eq!(asked.style(Role::Warning), Style::new().add_modifier(Modifier::BOLD));
    }

    #[test]
    fn what_cannot_be_shown_is_spelled() {
        let ascii = Theme::of(Environment::default(), None, true);
        assert_eq!(ascii.spell("a → b … 3 µs"), "a -> b ~ 3 us");
        assert!(ascii.bars().iter().all(|bar| bar.is_ascii()));
    }
}
