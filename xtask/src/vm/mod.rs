//! `cargo xtask test --vm`: Debian's own kernels, booted in QEMU, with the scenarios inside.
//!
//! Kernels and QEMU come from Debian's packages, unpacked into `target/vm` and never installed ([`packages`],
//! [`kernels`]); a kernel is unpacked ([`image`]) and given its modules ([`modules`]), programs ([`guest`], [`initramfs`])
//! and disks ([`disks`]); machines ([`machine`]), each with a [`share`] of the scenarios, are booted until they end as they
//! should ([`boot`]); what they said ([`report`], [`examined`]) becomes tables ([`matrix`]) and the verifier's budget
//! ([`budget`]). docs/vm.md tells more.

mod boot;
mod budget;
mod disks;
mod examined;
mod guest;
mod image;
mod initramfs;
mod kernels;
mod machine;
mod matrix;
mod modules;
mod packages;
mod report;
mod share;
mod times;

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use std::{fs, thread};

use anyhow::Context as _;
use xtask::progress::{self, Outcome, Step};
use xtask::setup;

use self::boot::Fate;
use self::budget::Budget;
use self::examined::Examined;
use self::guest::{Built, Plan};
use self::kernels::Kernel;
use self::machine::{Accelerator, Machine};
use self::matrix::Column;
use self::modules::Modules;
use self::packages::{Cache, Program};
use self::report::Report;
use self::share::Share;
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
    if problems.is_empty() && columns.iter().all(|column| column.run.tests.is_empty()) {
        problems.push("the guests list no scenario, so nothing ran".to_owned());
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

impl Matrix {
    fn new(folder: PathBuf, plan: Plan) -> anyhow::Result<Self> {
        let cache = Cache::new(folder.join("packages"));
        for name in ["packages", "logs"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let qemu = machine::qemu(&cache)?;
        let built = guest::build()?;
        built.suits(&plan)?;
        Ok(Self { folder, cache, qemu, accelerator: Accelerator::here(), built, plan })
    }

    /// Boots the kernel in as many guests as there is room for, side by side, and joins what they said.
    fn examine(&self, kernel: &Kernel) -> anyhow::Result<Examined> {
        let files = kernel.unpacked(&self.cache)?;
        let modules = Modules::find(&self.cache, &files.modules()?, &files.root().join("plain"))?;
        // Of its own for each series, so that two matrices may go on beside each other.
        let run = self.folder.join("run").join(&kernel.series);
        fs::create_dir_all(&run).with_context(|| format!("cannot make {}", run.display()))?;
        let initramfs = run.join("initramfs");
        guest::pack(&self.cache, &self.built, &self.plan, &modules.in_order(&guest::MODULES)?, &initramfs)?;
        let vmlinux = image::vmlinux(&self.cache, &files.image()?, files.root())?;
        let ready = Ready { kernel, vmlinux, initramfs, run };
        let shares = Share::all(&self.plan, self.accelerator);
        let shown = Shown { step: Step::start(kernel.to_string()), guests: Mutex::default() };
        let examined: anyhow::Result<Vec<Examined>> = thread::scope(|scope| {
            let (ready, shown) = (&ready, &shown);
            let guest = |share: Share| scope.spawn(move || self.boot_until_done(ready, share, shown));
            let guests: Vec<_> = shares.into_iter().map(guest).collect();
            guests
                .into_iter()
                .map(|guest| guest.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        let joined = examined.map(|guests| {
            let mut all = join(guests);
            all.miss(kernel, &self.plan.runs());
            all
        });
        shown.step.finish(&match &joined {
            Ok(examined) if examined.holds() => Outcome::Done(examined.summary()),
            _ => Outcome::Failed,
        });
        joined
    }

    /// Boots again if a guest hangs or panics: at any time once more, before its first sign more often.
    fn boot_until_done(&self, ready: &Ready<'_>, share: Share, shown: &Shown) -> anyhow::Result<Examined> {
        let mut accelerator = self.accelerator;
        let mut ran_before = false;
        let mut number = 1;
        loop {
            let machine = self.machine(ready, share, number)?;
            let mut times = Times::default();
            let progress = |report: &Report| {
                times.look(report, Instant::now());
                shown.say(share, report);
            };
            let (fate, report) = boot::boot(&machine, accelerator, progress)?;
            let is_up = report.release.is_some();
            let is_last = number >= BOOTS || (is_up && ran_before);
            if fate == Fate::Done || is_last {
                return Ok(Examined::new(ready.kernel, &machine, &fate, report, &times));
            }
            let (kernel, console) = (ready.kernel, machine.console.display());
            shown.step.suspend(|| {
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
    fn machine(&self, ready: &Ready<'_>, share: Share, number: u32) -> anyhow::Result<Machine> {
        let disks = ready.run.join(share.to_string());
        fs::create_dir_all(&disks).with_context(|| format!("cannot make {}", disks.display()))?;
        let name = |what: &str| format!("{}-{share}-{what}-{number}.txt", ready.kernel.series);
        let log = |what: &str| self.folder.join("logs").join(name(what));
        Ok(Machine {
            qemu: self.qemu.clone(),
            kernel: ready.vmlinux.clone(),
            initramfs: ready.initramfs.clone(),
            share,
            disks: disks::make(&self.cache, &disks)?,
            console: log("console"),
            results: log("results"),
        })
    }
}

/// What all guests of one kernel have in common.
struct Ready<'k> {
    kernel: &'k Kernel,
    vmlinux: PathBuf,
    initramfs: PathBuf,
    /// The folder for what only these guests use.
    run: PathBuf,
}

/// What is shown while guests run: how far each is.
struct Shown {
    step: Step,
    guests: Mutex<BTreeMap<u64, String>>,
}

impl Shown {
    fn say(&self, share: Share, report: &Report) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        guests.insert(share.index, how_far(report));
        let all: Vec<&str> = guests.values().map(String::as_str).collect();
        self.step.say(&all.join("; "));
    }
}

/// The guests' as one. There is always one guest.
fn join(guests: Vec<Examined>) -> Examined {
    let mut guests = guests.into_iter();
    let first = guests.next().unwrap_or_default();
    guests.fold(first, |mut all, guest| {
        all.join(guest);
        all
    })
}

fn how_far(report: &Report) -> String {
    let done = report.tests_done();
    match report.running() {
        Some(name) => format!("{done} scenarios done, now {name}"),
        None if report.release.is_some() => format!("{done} scenarios done"),
        None => "booting".to_owned(),
    }
}
