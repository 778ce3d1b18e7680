//! `cargo xtask bench`. Here is `overhead`: the same workloads untraced, under zc-trace, under other tools, and under programs that
//! do nothing.

pub(crate) mod instructions;
mod process;
mod publish;
mod ratios;
mod runs;
pub(crate) mod scale;
mod table;
mod tools;
mod workloads;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use xtask::progress::{Outcome, Step};
use xtask::setup::{self, apt};
use xtask::{ebpf, environment, privilege};

use self::runs::Series;
use self::tools::{Program, TOOLS, Tool};
use self::workloads::{WORKLOADS, Workload};
use crate::workspace::{self, Profile};

/// What is to be measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Request {
    /// Pairs of a traced and an untraced run.
    #[arg(long, default_value_t = 15, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
    /// Only this workload; may be given several times.
    #[arg(long = "workload", value_name = "NAME", value_parser = workloads())]
    workloads: Vec<String>,
    /// Only tools with this in their name; may be given several times. A whole name means just that one.
    #[arg(long, value_name = "NAME")]
    under: Vec<String>,
    /// Put the tables into README.md and docs/performance.md.
    #[arg(long, conflicts_with_all = ["workloads", "under"])]
    write: bool,
    /// For itself, when it starts itself again as root.
    #[arg(long, hide = true)]
    built: bool,
}

fn workloads() -> clap::builder::PossibleValuesParser {
    WORKLOADS
        .iter()
        .map(|workload| clap::builder::PossibleValue::new(workload.name).help(workload.what))
        .into()
}

/// The tool, if it can be run here.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    tool: &'static Tool,
    path: PathBuf,
    /// The object with programs that do nothing.
    floor: PathBuf,
}

/// What was measured of one workload.
#[derive(Debug)]
pub(crate) struct Measured {
    workload: &'static Workload,
    series: Vec<Series>,
    /// Why tools are not among them.
    left_out: Vec<String>,
}

/// Measures, and shows what came out.
pub(crate) fn run(request: &Request) -> anyhow::Result<()> {
    let tools = request.tools()?;
    let workloads = request.workloads();
    if !request.built {
        prepare(&tools, &workloads)?;
    }
    if !privilege::is_root() {
        return run_as_root();
    }
    let _tracefs = runs::mount_tracefs()?;
    let mut all = Vec::new();
    for workload in workloads {
        let measured = measure(workload, &tools, request.pairs)?;
        println!("{}", table::for_terminal(&measured));
        all.push(measured);
    }
    let caption = table::caption(request.pairs)?;
    println!("{caption}");
    if request.write {
        publish::write(workspace::root(), &all, &caption)?;
    }
    Ok(())
}

impl Request {
    fn tools(&self) -> anyhow::Result<Vec<&'static Tool>> {
        let mut chosen: Vec<&Tool> = Vec::new();
        for wanted in &self.under {
            let exact: Vec<&Tool> = TOOLS.iter().filter(|tool| tool.name == wanted).collect();
            let like = || TOOLS.iter().filter(|tool| tool.name.contains(wanted.as_str())).collect();
            let found: Vec<&Tool> = if exact.is_empty() { like() } else { exact };
            if found.is_empty() {
                let names: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
                bail!("no tool has {wanted:?} in its name; there are: {}", names.join("; "));
            }
            chosen.extend(found);
        }
        Ok(TOOLS
            .iter()
            .filter(|tool| chosen.is_empty() || chosen.iter().any(|one| one.name == tool.name))
            .collect())
    }

    fn workloads(&self) -> Vec<&'static Workload> {
        let is_wanted =
            |name| self.workloads.is_empty() || self.workloads.iter().any(|wanted| wanted == name);
        WORKLOADS.iter().filter(|workload| is_wanted(workload.name)).collect()
    }
}

/// Builds what is built, and fetches what is fetched, as the person who called us.
fn prepare(tools: &[&Tool], workloads: &[&Workload]) -> anyhow::Result<()> {
    ebpf::build(&setup::build_tools()?, &workspace::kernel_programs()?)?;
    workspace::build(Profile::Release)?;
    let workloads_and_floor =
        ["build", "--release", "--package", "zc-trace-tests", "--bin", "lap", "--bin", "floor"];
    let status = workspace::cargo(&workloads_and_floor).status().context("cannot start cargo")?;
    if !status.success() {
        bail!("the workloads were not built; what cargo says above is why");
    }
    let needed = tools.iter().filter_map(|tool| tool.package());
    let needed = needed.chain(workloads.iter().flat_map(|workload| workload.needs.iter().copied()));
    let mut packages: Vec<&str> = needed
        .filter(|(program, _)| environment::find_program(program).is_none())
        .map(|(_, package)| package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() && apt::is_here() {
        let step = Step::start(format!("installing what is compared ({})", packages.join(" ")));
        let outcome = apt::install(&step, &packages);
        // What is missing then is left out, by name.
        step.finish(
            &outcome.map_or_else(
                |error| Outcome::Skipped(format!("{error:#}")),
                |()| Outcome::Done(String::new()),
            ),
        );
    }
    Ok(())
}

fn run_as_root() -> anyhow::Result<()> {
    let own = env::current_exe().context("cannot tell where this program is")?;
    let mut command = privilege::command(own)?;
    command.args(env::args_os().skip(1)).arg("--built");
    let status = command.status().context("cannot start this program as root")?;
    if !status.success() {
        bail!("the part that runs as root failed; what it says above is why");
    }
    Ok(())
}

fn find(tool: &'static Tool, release: &Path) -> Result<Found, String> {
    let path = match tool.program {
        Program::Built(path) => Some(release.join(path)).filter(|path| path.is_file()),
        Program::Packaged(program, _) => environment::find_program(program),
    };
    let floor = workspace::kernel_programs().map_err(|error| format!("{error:#}"))?.object(ebpf::FLOOR);
    path.map(|path| Found { tool, path, floor }).ok_or_else(|| format!("{}: not installed", tool.name))
}

/// All tools take turns, with an untraced run between any two.
fn measure(workload: &'static Workload, tools: &[&'static Tool], pairs: u32) -> anyhow::Result<Measured> {
    let release = workspace::target_dir()?.join("release");
    let missing = workload.needs.iter().find(|(program, _)| environment::find_program(program).is_none());
    if let Some((program, package)) = missing {
        bail!("the workload {} needs {program}; `{}` would bring it", workload.name, apt::typed(&[package]));
    }
    let mut left_out = Vec::new();
    let mut series = Vec::new();
    for tool in tools {
        match find(tool, &release) {
            Ok(found) => series.push(Series::of(found)),
            Err(reason) => left_out.push(reason),
        }
    }
    let folder = runs::Folder::new()?;
    let step = Step::start(format!("{}: {}", workload.name, workload.what));
    let started = Instant::now();
    let mut standing = workload.start(folder.path(), &release.join("lap"))?;
    // The first laps find caches cold and clocks low.
    standing.lap()?;
    let mut before = standing.lap()?;
    for pair in 1..=pairs {
        for one in &mut series {
            if one.failure().is_some() {
                continue;
            }
            step.say(&format!("pair {pair} of {pairs}, {}", one.name()));
            one.run(&mut standing, &mut before, workload.has_children, folder.path())?;
        }
    }
    left_out.extend(series.iter().filter_map(|one| Some(format!("{}: {}", one.name(), one.failure()?))));
    series.retain(|one| !one.is_empty());
    step.finish(&Outcome::Done(format!("{pairs} pairs each in {:.0} s", started.elapsed().as_secs_f64())));
    Ok(Measured { workload, series, left_out })
}
