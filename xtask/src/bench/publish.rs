//! Puts the tables into README.md and docs/performance.md, between markers.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::{Measured, table};

const BEGIN: &str = "<!-- cargo xtask bench overhead --write: begin -->";
const END: &str = "<!-- cargo xtask bench overhead --write: end -->";

/// Rewrites both files.
pub(crate) fn write(root: &Path, all: &[Measured], caption: &str) -> anyhow::Result<()> {
    let whole: Vec<String> = all.iter().map(table::as_markdown).collect();
    put(&root.join("README.md"), &format!("{}\n\n{caption}\n", table::overview(all)))?;
    put(&root.join("docs/performance.md"), &format!("{caption}\n\n{}", whole.join("\n")))
}

fn put(path: &Path, content: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = replaced(&text, content).with_context(|| format!("in {}", path.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("wrote the tables to {}", path.display());
    Ok(())
}

fn replaced(text: &str, content: &str) -> anyhow::Result<String> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else { bail!("the lines {BEGIN} and {END} are missing") };
    Ok(format!("{before}{BEGIN}\n{content}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replaced(&text, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert!(replaced("no markers", "new").is_err());
    }
}
