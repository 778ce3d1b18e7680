//! The filter language: which rows of a view, a report or a stream are shown. Shared by the command line and the dashboard.
//!
//! ```text
//! filter  = { term }                        all must hold; an empty filter lets everything through
//! term    = { "!" } ( key "=" value | "bytes>=" size | value )
//! key     = "call" | "fd" | "path" | "method" | "thread" | "pid"
//! value   = word without spaces | '"' text with \" and \\ '"'
//! ```
//!
//! `grammar` reads it, `pattern` compares text, `rows` knows what each term says about each kind of row.

mod grammar;
mod pattern;
mod rows;

use std::fmt;

use pattern::Pattern;

pub use grammar::FilterError;

/// What a row must be like to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    terms: Vec<Term>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    negated: bool,
    test: Test,
}

/// What is compared with what.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    /// The system call, or opcode of a request, has this name.
    Call(Pattern),
    /// It went through this descriptor.
    Descriptor(i32),
    /// The path or address of one of its ends is like this.
    Path(Pattern),
    /// The method has this name.
    Method(Pattern),
    /// At least so many bytes of payload.
    LeastBytes(u64),
    /// The thread has this id, or a name like this.
    Thread(Pattern),
    /// The process has this id.
    Process(u32),
    /// Some name, path, address or method is like this.
    Word(Pattern),
}

impl Filter {
    /// Reads a filter; the syntax is in the module's description.
    ///
    /// # Errors
    /// What is wrong, where, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        grammar::parse(text)
    }

    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

/// As [`Filter::parse`] reads it. Text is shown as it was given: to be escaped before it reaches a terminal.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{term}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_str("!")?;
        }
        match &self.test {
            Test::Call(name) => write!(f, "call={}", grammar::quoted(name.text())),
            Test::Descriptor(fd) => write!(f, "fd={fd}"),
            Test::Path(path) => write!(f, "path={}", grammar::quoted(path.text())),
            Test::Method(name) => write!(f, "method={}", grammar::quoted(name.text())),
            Test::LeastBytes(bytes) => write!(f, "bytes>={}", crate::size::written(*bytes)),
            Test::Thread(thread) => write!(f, "thread={}", grammar::quoted(thread.text())),
            Test::Process(pid) => write!(f, "pid={pid}"),
            Test::Word(word) => f.write_str(&grammar::quoted_word(word.text())),
        }
    }
}
