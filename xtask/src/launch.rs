//! Runs the tool and installs it.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use xtask::{environment, privilege};

/// Becomes `zc-trace ARGUMENTS`, through sudo if need be. Only an error returns: signals, the terminal and the exit code
/// are the tool's own, as if it had been typed.
pub(crate) fn become_tool(binary: &Path, arguments: &[OsString]) -> anyhow::Error {
    let mut command = as_root(binary);
    command.args(arguments);
    let program = command.get_program().to_owned();
    anyhow::Error::from(command.exec()).context(format!("cannot start {}", program.display()))
}

fn as_root(binary: &Path) -> Command {
    // Without sudo it still runs: it then says itself what it lacks, or has it by capabilities.
    if privilege::is_root() || environment::find_program("sudo").is_none() {
        return Command::new(binary);
    }
    let mut command = Command::new("sudo");
    command.args([OsStr::new("--preserve-env"), OsStr::new("--"), binary.as_os_str()]);
    command
}

/// Installs the binary below `prefix`, through sudo where the folder asks for it.
pub(crate) fn install(binary: &Path, prefix: &Path) -> anyhow::Result<()> {
    let destination = prefix.join("bin/zc-trace");
    if !installs(Command::new("install"), binary, &destination)? {
        if privilege::is_root() {
            bail!("cannot write {}; choose another folder with --prefix", destination.display());
        }
        let sudo = privilege::command("install").with_context(|| {
            format!("cannot write {} (--prefix names another folder)", destination.display())
        })?;
        if !installs(sudo, binary, &destination)? {
            bail!(
                "cannot write {} even through sudo; choose another folder with --prefix",
                destination.display()
            );
        }
    }
    // sudo looks for programs in the system's folders only.
    let in_sudos_path = [Path::new("/usr/local"), Path::new("/usr")].contains(&prefix);
    let typed = if in_sudos_path { Path::new("zc-trace") } else { &destination };
    eprintln!("installed {}; now `sudo {} -p PID` traces a process", destination.display(), typed.display());
    Ok(())
}

fn installs(mut install: Command, binary: &Path, destination: &Path) -> anyhow::Result<bool> {
    // A new file, so that a copy that is running is not disturbed; `install` does that by itself.
    install.args(["-D", "--mode=755"]).arg(binary).arg(destination);
    let output = install.output().context("cannot start `install` of the coreutils")?;
    Ok(output.status.success())
}
