//! `cargo xtask bench scale`: the scenarios of scale for longer than the checks take.

use anyhow::bail;
use xtask::{privilege, setup};

use crate::checks;
use crate::workspace::{self, Profile};

/// For how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Request {
    /// Minutes of the storm.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    minutes: u32,
}

/// Plays them.
pub(crate) fn run(request: &Request) -> anyhow::Result<()> {
    setup::build_tools()?;
    let binary = workspace::build(Profile::Release)?;
    if !privilege::is_root() && !privilege::sudo_is_open() {
        bail!("the scenarios need root, and sudo asks for a password; run `sudo -v` first");
    }
    let variables = [
        ("ZC_TRACE_SCALE_SECONDS", (request.minutes * 60).to_string()),
        // In units of the time that a scenario may take otherwise, which is more than a minute.
        ("ZC_TRACE_TEST_PATIENCE", (request.minutes + 1).to_string()),
    ];
    let mut command = checks::scenarios_as_root(&binary, &variables);
    let status = command.args(["--test", "scenarios", "scale::", "--", "--nocapture"]).status()?;
    if !status.success() {
        bail!("a scenario of scale failed; what it says above is why");
    }
    Ok(())
}
