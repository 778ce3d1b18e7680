//! From text to a filter and back.

use std::{borrow::Cow, iter::Peekable, str::Chars};

use super::{Filter, Pattern, Term, Test};
use crate::{size, view::format::escape};

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (at character {position}); {hint}")]
pub struct FilterError {
    /// Where, in characters from 1.
    pub position: usize,
    /// What, without a full stop.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

const TERMS: &str = "the terms are call= fd= path= method= bytes>= thread= pid= and plain words, and quotes make a plain word of \
                     anything, as in \"a=b\"";

/// The text and how far it was read.
struct Scanner<'a> {
    rest: Peekable<Chars<'a>>,
    /// Characters read.
    read: usize,
}

pub(super) fn parse(text: &str) -> Result<Filter, FilterError> {
    let mut scanner = Scanner { rest: text.chars().peekable(), read: 0 };
    let mut terms = Vec::new();
    loop {
        scanner.take_while(char::is_whitespace);
        if scanner.rest.peek().is_none() {
            return Ok(Filter { terms });
        }
        terms.push(scanner.term()?);
    }
}

impl Scanner<'_> {
    fn error(&self, position: usize, what: impl Into<String>, hint: impl Into<String>) -> FilterError {
        FilterError { position: position + 1, what: what.into(), hint: hint.into() }
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.read += 1;
        Some(next)
    }

    fn take_while(&mut self, take: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(next) = self.rest.next_if(|next| take(*next)) {
            self.read += 1;
            taken.push(next);
        }
        taken
    }

    fn at_space(&mut self) -> bool {
        self.rest.peek().is_none_or(|next| next.is_whitespace())
    }

    fn term(&mut self) -> Result<Term, FilterError> {
        let start = self.read;
        let negated = self.take_while(|next| next == '!').len() % 2 == 1;
        if self.at_space() {
            return Err(self.error(
                start,
                "! has nothing to negate",
                "write it before a term, as in !call=read",
            ));
        }
        Ok(Term { negated, test: self.test()? })
    }

    fn test(&mut self) -> Result<Test, FilterError> {
        let start = self.read;
        if self.rest.peek() == Some(&'"') {
            return self.value("the quotes").map(|word| Test::Word(Pattern::new(word)));
        }
        let word = self.take_while(|next| !next.is_whitespace() && !matches!(next, '=' | '<' | '>' | '"'));
        if self.at_space() {
            return Ok(Test::Word(Pattern::new(word)));
        }
        if self.rest.peek() == Some(&'"') {
            return Err(self.stray_quote(self.read));
        }
        // `=` ends an operator: values may begin with any of the three.
        let mut operator: String = self.next().into_iter().collect();
        if operator != "=" && self.rest.peek() == Some(&'=') {
            operator.extend(self.next());
        }
        self.comparison(start, &word, &operator)
    }

    fn comparison(&mut self, start: usize, key: &str, operator: &str) -> Result<Test, FilterError> {
        let shown = format!("{}{operator}", escape(key));
        let known = matches!(key, "call" | "fd" | "path" | "method" | "bytes" | "thread" | "pid");
        let wanted = if key == "bytes" { ">=" } else { "=" };
        if !known {
            return Err(self.error(start, format!("there is no term {shown}"), TERMS));
        }
        if operator != wanted {
            let what = format!("{key} is compared with {wanted}, and not with {operator}");
            let hint = if key == "bytes" { "write bytes>=64K, or !bytes>=64K for less" } else { TERMS };
            return Err(self.error(start, what, hint));
        }
        let at = self.read;
        let value = self.value(&shown)?;
        let number = |what: &str| {
            let what = format!("{shown}{} is not {what}", escape(&value));
            self.error(at, what, format!("give a whole number, such as {key}=7"))
        };
        Ok(match key {
            "call" => Test::Call(Pattern::new(value)),
            "fd" => Test::Descriptor(value.parse().map_err(|_| number("the number of a descriptor"))?),
            "path" => Test::Path(Pattern::new(value)),
            "method" => Test::Method(Pattern::new(value)),
            "thread" => Test::Thread(Pattern::new(value)),
            "pid" => Test::Process(value.parse().map_err(|_| number("the id of a process"))?),
            _ => Test::LeastBytes(size::read(&value).ok_or_else(|| {
                let what = format!("{shown}{} is not a size", escape(&value));
                self.error(at, what, "give bytes above 0, or a number with K, M or G, such as bytes>=64K")
            })?),
        })
    }

    /// What stands behind `of`, with or without quotes.
    fn value(&mut self, of: &str) -> Result<String, FilterError> {
        let start = self.read;
        let value = if self.rest.peek() == Some(&'"') { self.in_quotes()? } else { self.plain()? };
        if value.is_empty() {
            return Err(self.error(
                start,
                format!("there is no value for {of}"),
                "write it without a space between",
            ));
        }
        Ok(value)
    }

    fn plain(&mut self) -> Result<String, FilterError> {
        let value = self.take_while(|next| !next.is_whitespace() && next != '"');
        if self.at_space() { Ok(value) } else { Err(self.stray_quote(self.read)) }
    }

    fn in_quotes(&mut self) -> Result<String, FilterError> {
        let start = self.read;
        self.next();
        let mut value = String::new();
        loop {
            match self.next() {
                Some('"') => break,
                Some('\\') => match self.next() {
                    Some(escaped @ ('"' | '\\')) => value.push(escaped),
                    Some(other) => value.extend(['\\', other]),
                    None => return Err(self.open_quote(start)),
                },
                Some(other) => value.push(other),
                None => return Err(self.open_quote(start)),
            }
        }
        if self.at_space() {
            return Ok(value);
        }
        Err(self.error(
            self.read,
            "a quote ends in the middle of a word",
            "put a space after it, or \\\" for a quote in quotes",
        ))
    }

    fn open_quote(&self, start: usize) -> FilterError {
        self.error(start, "a quote is opened and not closed", "close it with another \"")
    }

    fn stray_quote(&self, position: usize) -> FilterError {
        self.error(
            position,
            "a quote stands in the middle of a word",
            "put quotes around the whole value, and \\\" for one inside, as in path=\"a b\"",
        )
    }
}

/// A value as it may stand behind `=`.
pub(super) fn quoted(value: &str) -> Cow<'_, str> {
    if value.contains(|character: char| character.is_whitespace() || character == '"') {
        Cow::Owned(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
    } else {
        Cow::Borrowed(value)
    }
}

/// A value as it may stand by itself.
pub(super) fn quoted_word(value: &str) -> Cow<'_, str> {
    if value.starts_with('!') || value.contains(['=', '<', '>']) {
        Cow::Owned(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
    } else {
        quoted(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text.to_owned())
    }

    #[test]
    fn every_term() {
        let text = r#"call=read fd=3 path="/a \"b\\" method=read+write bytes>=64K !thread=worker pid=7 !!word !"a=b""#;
        let filter = parse(text).unwrap();
        let tests: Vec<(bool, Test)> =
            filter.terms.iter().cloned().map(|Term { negated, test }| (negated, test)).collect();
        assert_eq!(
            tests,
            [
                (false, Test::Call(pattern("read"))),
                (false, Test::Descriptor(3)),
                (false, Test::Path(pattern("/a \"b\\"))),
                (false, Test::Method(pattern("read+write"))),
                (false, Test::LeastBytes(65_536)),
                (true, Test::Thread(pattern("worker"))),
                (false, Test::Process(7)),
                (false, Test::Word(pattern("word"))),
                (true, Test::Word(pattern("a=b"))),
            ]
        );
        let shown = filter.to_string();
        assert_eq!(shown, text.replace("!!", ""));
        assert_eq!(parse(" \t ").unwrap(), Filter::default());
    }

    #[test]
    fn what_cannot_be_says_where_and_what_instead() {
        for (text, position, what) in [
            ("a colour=red", 3, "there is no term colour="),
            ("bytes=64K", 1, "bytes is compared with >="),
            ("x fd>=3", 3, "fd is compared with ="),
            ("bytes>=lots", 8, "bytes>=lots is not a size"),
            ("bytes>=0", 8, "bytes>=0 is not a size"),
            ("fd=x", 4, "fd=x is not the number of a descriptor"),
            ("pid=-1", 5, "pid=-1 is not the id of a process"),
            ("é path=", 8, "there is no value for path="),
            ("path= /a", 6, "there is no value for path="),
            ("\"\"", 1, "there is no value for the quotes"),
            ("path=\"a", 6, "a quote is opened and not closed"),
            ("\"a\\", 1, "a quote is opened and not closed"),
            ("\"a\"b", 4, "a quote ends in the middle of a word"),
            ("a\"b\"", 2, "a quote stands in the middle of a word"),
            ("path=a\"b\"", 7, "a quote stands in the middle of a word"),
            ("a ! b", 3, "! has nothing to negate"),
            ("a>b", 1, "there is no term a>"),
            ("=", 1, "there is no term ="),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.position, position, "{text}: {error}");
            assert!(error.what.starts_with(what), "{text}: {error}");
            assert!(!error.to_string().contains('\n') && !error.hint.is_empty());
        }
        let hostile = parse("\u{1b}[2J=1").unwrap_err().to_string();
        assert!(!hostile.contains('\u{1b}'), "{hostile}");
    }

    fn value() -> impl Strategy<Value = Pattern> {
        let any = proptest::string::string_regex("[ -~é文\\n\\t\"\\\\]{1,12}").unwrap();
        any.prop_map(Pattern::new)
    }

    fn test() -> impl Strategy<Value = Test> {
        prop_oneof![
            value().prop_map(Test::Call),
            any::<i32>().prop_map(Test::Descriptor),
            value().prop_map(Test::Path),
            value().prop_map(Test::Method),
            (1..=u64::MAX).prop_map(Test::LeastBytes),
            (1..100u64).prop_map(|kibibytes| Test::LeastBytes(kibibytes << 10)),
            value().prop_map(Test::Thread),
            any::<u32>().prop_map(Test::Process),
            value().prop_map(Test::Word),
        ]
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn nothing_that_looks_like_a_filter_makes_it_panic(
            text in "((call|fd|path|bytes|x)?[=<>!\" \\\\]{0,3}[a-z0-9é\"]{0,3} ?){0,5}"
        ) {
            if let Ok(filter) = parse(&text) {
                prop_assert_eq!(parse(&filter.to_string()), Ok(filter));
            }
        }

        #[test]
        fn what_is_shown_is_read_back(
            terms in prop::collection::vec((any::<bool>(), test()), 0..5)
        ) {
            let terms = terms.into_iter().map(|(negated, test)| Term { negated, test }).collect();
            let filter = Filter { terms };
            prop_assert_eq!(parse(&filter.to_string()), Ok(filter));
        }
    }
}
