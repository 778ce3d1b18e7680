//! rustup's way to a compiler for the kernel programs: the sources of `core`, for the toolchain in use.

use std::process::Command;

use anyhow::bail;

use crate::progress::{Outcome, Step};
use crate::{capture, environment};

/// Whether rustup manages the compilers here.
pub(super) fn is_here() -> bool {
    environment::find_program("rustup").is_some()
}

/// Adds `rust-src`.
pub(super) fn add_source() -> anyhow::Result<()> {
    let step = Step::start("adding rust-src with rustup");
    let mut command = Command::new("rustup");
    command.args(["component", "add", "rust-src"]);
    let captured = capture::run(command)?;
    step.finish(&if captured.status.success() { Outcome::Done(String::new()) } else { Outcome::Failed });
    if !captured.status.success() {
        bail!("rustup could not add rust-src: {}", reason(&captured.text));
    }
    Ok(())
}

/// rustup's own reason, on one line.
fn reason(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it gave no reason")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_error_line() {
        assert_eq!(reason("info: downloading\nerror: could not download\n"), "could not download");
        assert_eq!(reason(""), "it gave no reason");
    }
}
