//! `cargo xtask test --vm`: Debian's own kernels, booted in QEMU, with the scenarios inside.
//!
//! Kernels and QEMU come from Debian's packages, unpacked into `target/vm` and never installed ([`packages`],
//! [`kernels`]); a kernel is unpacked ([`image`]) and given its modules ([`modules`]), programs ([`guest`], [`initramfs`])
//! and disks ([`disks`]); the machine ([`machine`]) is booted until it ends as it should ([`boot`]); what it said
//! ([`report`]) becomes tables ([`matrix`]) and the verifier's budget ([`budget`]). docs/vm.md tells more.

mod boot;
mod budget;
mod disks;
mod guest;
mod image;
mod initramfs;
mod kernels;
mod machine;
mod matrix;
mod modules;
mod packages;
mod report;
mod times;

use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fs, io};

use anyhow::Context as _;
use xtask::progress::{self, Outcome, Step};
use xtask::setup;

use self::boot::Fate;
use self::budget::Budget;
use self::guest::{Built, Plan};
use self::kernels::Kernel;
use self::machine::{Accelerator, Machine};
use self::matrix::Column;
use self::modules::Modules;
use self::packages::{Cache, Program};
use self::report::Report;
use self::times::Times;
use crate::workspace;

/// Under emulation a boot fails now and then without anybody's fault.
const BOOTS: u32 = 3;

/// What is to be run where.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Series such as `6.12`, or `all`; none for the usual ones.
    pub(crate) kernels: Vec<String>,
    /// One or two scenarios of each kind.
    pub(crate) quick: bool,
    /// Only scenarios with this in their name.
    pub(crate) filter: Option<String>,
}

/// Runs the matrix; whether everything held.
pub(crate) fn run(request: &Request) -> anyhow::Result<bool> {
    let started = Instant::now();
    setup::build_tools()?;
    let folder = workspace::target_dir()?.join("vm");
    let kernels = kernels::asked_for(&request.kernels)?;
    let plan = match (&request.filter, request.quick) {
        (Some(filter), _) => Plan::Only(filter.clone()),
        (None, true) => Plan::Quick,
        (None, false) => Plan::Full,
    };
    let matrix = Matrix::new(folder, plan)?;
    let mut budget = Budget::load(workspace::root())?;
    let (mut columns, mut problems) = (Vec::new(), Vec::new());
    for kernel in &kernels {
        match matrix.examine(kernel) {
            Ok(examined) => {
                for line in budget.take(&kernel.series, &examined.report.verified) {
                    eprintln!("verifier: {line}");
                }
                budget.store(workspace::root())?;
                problems.extend(examined.problems);
                columns.extend(examined.report.runs.into_iter().map(|run| column(&kernel.series, run)));
            }
            Err(error) => problems.push(format!("{kernel}: {error:#}")),
        }
    }
    print!("\n{}", matrix::text(&columns));
    Ok(conclude(&columns, &problems, started))
}

fn column(series: &str, run: report::Run) -> Column {
    let title = if run.name == "ext4" { series.to_owned() } else { format!("{series} {}", run.name) };
    Column { title, run }
}

fn conclude(columns: &[Column], problems: &[String], started: Instant) -> bool {
    for column in columns.iter().filter(|column| !column.run.failures.is_empty()) {
        eprintln!("\non {}\n{}", column.title, column.run.failures.join("\n").trim_end());
    }
    for problem in problems {
        eprintln!("error: {problem}");
    }
    let passed = problems.is_empty() && columns.iter().all(Column::passed);
    let verdict = if passed { "the kernel matrix holds" } else { "the kernel matrix does not hold" };
    eprintln!("{verdict}; {}", progress::seconds(started.elapsed()));
    passed
}

/// What every kernel is booted with.
struct Matrix {
    folder: PathBuf,
    cache: Cache,
    qemu: Program,
    accelerator: Accelerator,
    built: Built,
    plan: Plan,
}

/// What became of one kernel.
struct Examined {
    report: Report,
    problems: Vec<String>,
    slowest: Vec<String>,
}

impl Matrix {
    fn new(folder: PathBuf, plan: Plan) -> anyhow::Result<Self> {
        let cache = Cache::new(folder.join("packages"));
        for name in ["packages", "logs"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let qemu = machine::qemu(&cache)?;
        Ok(Self { folder, cache, qemu, accelerator: Accelerator::here(), built: guest::build()?, plan })
    }

    fn examine(&self, kernel: &Kernel) -> anyhow::Result<Examined> {
        let files = kernel.unpacked(&self.cache)?;
        let vmlinux = image::vmlinux(&self.cache, &files.image()?, files.root())?;
        let modules = Modules::find(&self.cache, &files.modules()?, &files.root().join("plain"))?;
        let modules = modules.in_order(&guest::MODULES)?;
        let step = Step::start(kernel.to_string());
        let examined = self.boot_until_done(kernel, &vmlinux, &modules, &step);
        step.finish(&match &examined {
            Ok(examined) if examined.holds() => Outcome::Done(examined.summary()),
            _ => Outcome::Failed,
        });
        examined
    }

    /// Boots again if a guest hangs or panics: at any time once more, before its first sign more often.
    fn boot_until_done(
        &self,
        kernel: &Kernel,
        vmlinux: &Path,
        modules: &[PathBuf],
        step: &Step,
    ) -> anyhow::Result<Examined> {
        let mut accelerator = self.accelerator;
        let mut ran_before = false;
        let mut number = 1;
        loop {
            let machine = self.machine(kernel, vmlinux, modules, accelerator, number)?;
            let mut times = Times::default();
            let progress = |report: &Report| {
                times.look(report, Instant::now());
                step.say(&how_far(report));
            };
            let (fate, report) = boot::boot(&machine, accelerator, progress)?;
            let is_up = report.release.is_some();
            let is_last = number >= BOOTS || (is_up && ran_before);
            if fate == Fate::Done || is_last {
                return Ok(Examined::new(kernel, &machine, &fate, report, &times));
            }
            let console = machine.console.display();
            step.suspend(|| {
                eprintln!("  ..  {kernel}: {}, so it is booted again; see {console}", fate.describe())
            });
            ran_before |= is_up;
            if !is_up {
                accelerator = Accelerator::Tcg;
            }
            number += 1;
        }
    }

    /// A new machine, with new disks.
    fn machine(
        &self,
        kernel: &Kernel,
        vmlinux: &Path,
        modules: &[PathBuf],
        accelerator: Accelerator,
        number: u32,
    ) -> anyhow::Result<Machine> {
        // Of its own for each series, so that two runs may go on beside each other.
        let run = self.folder.join("run").join(&kernel.series);
        fs::create_dir_all(&run).with_context(|| format!("cannot make {}", run.display()))?;
        let initramfs = run.join("initramfs");
        guest::pack(&self.cache, &self.built, &self.plan, accelerator.patience(), modules, &initramfs)?;
        let log =
            |what: &str| self.folder.join("logs").join(format!("{}-{what}-{number}.txt", kernel.series));
        Ok(Machine {
            qemu: self.qemu.clone(),
            kernel: vmlinux.to_path_buf(),
            initramfs,
            disks: disks::make(&self.cache, &run)?,
            console: log("console"),
            results: log("results"),
        })
    }
}

fn how_far(report: &Report) -> String {
    let done = report.tests_done();
    match report.running() {
        Some(name) => format!("{done} scenarios done, now {name}"),
        None if report.release.is_some() => format!("{done} scenarios done"),
        None => "booting".to_owned(),
    }
}

impl Examined {
    fn new(kernel: &Kernel, machine: &Machine, fate: &Fate, report: Report, times: &Times) -> Self {
        let (console, results) = (machine.console.display(), machine.results.display());
        let mut problems = Vec::new();
        if *fate != Fate::Done {
            problems.push(format!(
                "{kernel}: {}; its console is {console}, what it said {results}",
                fate.describe()
            ));
        }
        for lack in &report.lacks {
            problems.push(format!("{kernel}: the guest cannot {lack}; see {console}"));
        }
        for (form, outcome) in report.verdicts() {
            if outcome == Outcome::Failed {
                problems.push(format!(
                    "{kernel}: `zc-trace doctor --form {form}` finds no way to trace; see {results}"
                ));
            }
        }
        for line in complaints(&machine.console) {
            problems.push(format!("{kernel}: the kernel complains: {line}; see {console}"));
        }
        let slowest = times.slowest(3).into_iter();
        let slowest = slowest.map(|(name, time)| format!("{name} {}", progress::seconds(time))).collect();
        Self { report, problems, slowest }
    }

    fn holds(&self) -> bool {
        self.problems.is_empty() && self.report.runs.iter().all(|run| run.code == Some(0))
    }

    fn summary(&self) -> String {
        format!("{} scenarios, the longest {}", self.report.tests_done(), self.slowest.join(", "))
    }
}

/// What a kernel says when something is wrong inside it, each once.
fn complaints(console: &Path) -> Vec<String> {
    let text = fs::read(console).unwrap_or_else(|_: io::Error| Vec::new());
    let text = String::from_utf8_lossy(&text);
    let mut found: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| line.contains("WARNING: CPU") || line.contains("BUG: ")) {
        let line = line.split_once("] ").map_or(line, |(_, line)| line).trim().to_owned();
        if !found.contains(&line) {
            found.push(line);
        }
    }
    found
}
