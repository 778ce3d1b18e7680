//! Figures that a scenario tells beside its verdict: the kernel matrix (`cargo xtask test --vm`) lists them by kernel.
//!
//! A figure is one line on standard error, `figure: NAME = VALUE (EVIDENCE)`. The name holds its unit and no ` = `.

use std::{
    fmt,
    io::{self, Write as _},
};

/// How a figure is known; the words are those of zc-trace's own reports. Ordered from best to worst.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Evidence {
    /// A hook of the kernel or one of its accounts counted it.
    Measured,
    /// It follows from what was measured.
    Derived,
    /// It is the documented behaviour of that kernel.
    Modelled,
}

impl Evidence {
    /// The weakest of what a document says of the parts of a figure. None where one is not known, or there is none: then there is
    /// no figure.
    pub fn weakest<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let all = [Self::Measured, Self::Derived, Self::Modelled];
        let known = |word: &str| all.into_iter().find(|evidence| evidence.to_string() == word);
        let parts: Option<Vec<Self>> = words.into_iter().map(known).collect();
        parts?.into_iter().max()
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Measured => "measured",
            Self::Derived => "derived",
            Self::Modelled => "modelled",
        })
    }
}

/// Tells a figure. The same name told again takes the place of what was told before.
pub fn figure(name: &str, value: impl fmt::Display, evidence: Evidence) {
    // In one piece, and past libtest's capture of printed text, which would hide it.
    let _ = io::stderr().write_all(line(name, value, evidence).as_bytes());
}

fn line(name: &str, value: impl fmt::Display, evidence: Evidence) -> String {
    format!("figure: {name} = {value} ({evidence})\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_known_as_well_as_its_weakest_part() {
        assert_eq!(Evidence::weakest(["measured", "modelled", "derived"]), Some(Evidence::Modelled));
        assert_eq!(Evidence::weakest(["measured", "unknown"]), None);
        assert_eq!(Evidence::weakest([]), None);
    }

    #[test]
    fn a_figure_is_one_line() {
        assert_eq!(
            line("copies of each byte, read+write", "2.00", Evidence::Derived),
            "figure: copies of each byte, read+write = 2.00 (derived)\n"
        );
    }
}
