//! Text that rows are compared with. Case does not count for ASCII letters, as one types them in a hurry.

/// Text to look for; `*` stands for any characters and `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    wild: bool,
}

impl Pattern {
    pub(super) fn new(text: String) -> Self {
        let wild = text.contains(['*', '?']);
        Self { text, wild }
    }

    /// As it was given.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the whole name is like this.
    pub(super) fn is(&self, name: &str) -> bool {
        if self.wild { glob(&self.text, name) } else { self.text.eq_ignore_ascii_case(name) }
    }

    /// Whether a part of the text is this; with `*` or `?`, whether the whole of it is like this.
    pub(super) fn is_in(&self, text: &str) -> bool {
        if self.wild { glob(&self.text, text) } else { contains(text.as_bytes(), self.text.as_bytes()) }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    let Some((first, rest)) = part.split_first() else { return true };
    // Dashboards ask this of a hundred thousand rows: the first byte rules out nearly every place.
    let [lower, upper] = [first.to_ascii_lowercase(), first.to_ascii_uppercase()];
    let places = text.windows(part.len());
    places
        .filter(|place| place.first().is_some_and(|byte| *byte == lower || *byte == upper))
        .any(|place| place.get(1..).is_some_and(|place| place.eq_ignore_ascii_case(rest)))
}

/// Matches greedily, and takes back only what the last `*` took: at most the product of the lengths.
fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut star: Option<(&str, &str)> = None;
    loop {
        let mut wanted = pattern.chars();
        let mut given = text.chars();
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                pattern = wanted.as_str();
                star = Some((pattern, text));
                continue;
            }
            (Some(want), Some(character)) if want == '?' || want.eq_ignore_ascii_case(&character) => {
                (pattern, text) = (wanted.as_str(), given.as_str());
                continue;
            }
            _ => {}
        }
        let Some((after, from)) = star else { return false };
        let mut skipped = from.chars();
        if skipped.next().is_none() {
            return false;
        }
        (pattern, text) = (after, skipped.as_str());
        star = Some((after, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text.to_owned())
    }

    #[test]
    fn names_are_whole_and_paths_are_parts() {
        assert!(pattern("read").is("READ") && !pattern("read").is("pread64"));
        assert!(pattern("read").is_in("/a/thREAD") && !pattern("read").is_in("/a/rea"));
        assert!(pattern("pread*").is("pread64") && pattern("?read*").is("pread64"));
    }

    #[test]
    fn wildcards_take_the_whole_text() {
        for (like, text) in [
            ("*.log", "/var/log/a.log"),
            ("/var/*/?.log", "/var/log/x/y/é.log"),
            ("*", ""),
            ("**", "a"),
            ("*a*b*", "xxaxxaxb"),
            ("?", "文"),
        ] {
            assert!(pattern(like).is_in(text), "{like} {text}");
        }
        for (like, text) in [("*.log", "a.log.1"), ("?", ""), ("?", "ab"), ("a*b", "acbc"), ("*a", "")] {
            assert!(!pattern(like).is_in(text), "{like} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_forever() {
        assert!(!pattern(&"*a".repeat(50)).is_in(&"b".repeat(4_096)));
        assert!(!pattern(&format!("{}b", "a*".repeat(50))).is_in(&"a".repeat(4_096)));
    }
}
