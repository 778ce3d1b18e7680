//! Figures that a scenario tells beside its verdict: the kernel matrix (`cargo xtask test --vm`) lists them by kernel.
//!
//! A figure is one line on standard error, `figure: NAME = VALUE (EVIDENCE)`. The name holds its unit and no ` = `.

use std::{
    fmt,
    io::{self, Write as _},
};

/// How a figure is known; the words are those of zc-trace's own reports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Evidence {
    /// A hook of the kernel or one of its accounts counted it.
    Measured,
    /// It follows from what was measured.
    Derived,
    /// It is the documented behaviour of that kernel.
    Modelled,
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
    fn a_figure_is_one_line() {
        assert_eq!(
            line("copies of each byte, read+write", "2.00", Evidence::Derived),
            "figure: copies of each byte, read+write = 2.00 (derived)\n"
        );
    }
}
