//! The program `zc-trace`: parses the command line, runs what it asks for, and turns errors into exit codes.

use std::{io::Write, process::ExitCode};

use clap::{Parser, error::ErrorKind};
use zc_trace::{
    cli::{Cli, Sub},
    demonstration, doctor,
    error::{self, Failure, Fatal},
    export::file::StandardStream,
    options::Plan,
    session, signals,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return command_line(&error),
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let (text, code) = error::tell(&error);
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "zc-trace: {text}");
            code
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    signals::survive_file_limits()?;
    match cli.subcommand {
        None => session::run(Plan::new(cli.trace)?),
        Some(Sub::Demo(args)) => demonstration::run(&args),
        Some(Sub::DemoWorkload(args)) => demonstration::run_workload(&args),
        Some(Sub::Doctor(args)) => {
            let (text, verdict) = doctor::examine(args.source());
            session::show(&text, StandardStream::Output)?;
            Ok(verdict.map_or_else(|failure| failure as u8, |()| 0))
        }
    }
}

/// Help and version are what was asked for; anything else is an error in this program's own form.
fn command_line(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    // The first paragraph says what is wrong; tips and usage follow after an empty line.
    let what = text.strip_prefix("error: ").unwrap_or(&text).split("\n\n").next().unwrap_or_default();
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    let hint = "zc-trace --help lists every option, with examples";
    let fatal = Fatal::new(Failure::Usage, what, hint);
    let _ = writeln!(std::io::stderr(), "zc-trace: {fatal}");
    ExitCode::from(fatal.failure as u8)
}
