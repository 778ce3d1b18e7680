//! What is in a guest: its first process, the programs of the scenarios, and what it is to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use xtask::capture;
use xtask::progress::{Outcome, Step};

use super::initramfs::Initramfs;
use super::packages::{Cache, Program};
use crate::workspace::{self, Profile};

/// The guest's first process.
const INIT: &str = include_str!("guest/init.sh");

/// A guest ends itself after that many seconds, whatever happens: nobody may be left to end it.
const LIMIT_SECONDS: u32 = 90 * 60;

/// The modules that a guest needs where the kernel does not have them built in: its disks, its cards, and TLS in the kernel
/// with what encrypts for it (nothing loads a module by itself there).
pub(super) const MODULES: [&str; 9] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "vmxnet3",
    "xfs",
    "tls",
    "gcm",
    "ghash_generic",
    "aesni_intel",
];

/// The programs that scenarios trace or are made of, and their packages. Where a scenario asks for one that is not here,
/// it is skipped by name, as on any machine without it.
const PROGRAMS: [(&str, &str); 29] = [
    ("bash", "bash"),
    ("dash", "dash"),
    ("dd", "coreutils"),
    ("cat", "coreutils"),
    ("cp", "coreutils"),
    ("echo", "coreutils"),
    // busybox' own knows no --ignore-signal.
    ("env", "coreutils"),
    ("touch", "coreutils"),
    ("true", "coreutils"),
    ("sleep", "coreutils"),
    ("timeout", "coreutils"),
    ("stty", "coreutils"),
    ("tar", "tar"),
    ("gzip", "gzip"),
    ("strace", "strace"),
    ("mount", "mount"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("nsenter", "util-linux"),
    ("setarch", "util-linux"),
    ("ip", "iproute2"),
    ("pgrep", "procps"),
    ("curl", "curl"),
    ("nginx", "nginx-light"),
    ("socat", "socat"),
    ("rsync", "rsync"),
    ("fio", "fio"),
    ("tmux", "tmux"),
    (PYTHON, "python3"),
];

/// The one program that is little without the files that it loads: its own library.
const PYTHON: &str = "python3";
/// What of that no scenario imports: half of it, and the other half is 20 MB.
const NOT_OF_PYTHON: [&str; 6] = ["test", "dist-packages", "idlelib", "lib2to3", "pydoc_data", "ensurepip"];

/// Files that programs look for and do without if need be: terminals by name (bash, tmux), and UTF-8 (tmux), which older
/// C libraries keep in a file.
const DATA: [&str; 4] = [
    "/lib/terminfo/d/dumb",
    "/lib/terminfo/s/screen-256color",
    "/usr/share/terminfo/s/screen-256color",
    "/usr/lib/locale/C.utf8",
];

/// What of the scenarios is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// All on ext4, and on XFS those to which the file system matters.
    Full,
    /// One or two of each kind, in two minutes.
    Quick,
    /// Those with this in their name, on both.
    Only(String),
}

/// The scenarios to which the file system matters.
const ON_XFS: &str = "copies:: evidence:: endpoints:: from_the_start::cp from_the_start::dd";

/// One or two of each kind.
const QUICK: &str = "copies::classical_relay copies::spliced endpoints::descriptors_started evidence::buffered \
    evidence::direct_read evidence::faults evidence::function_exits evidence::pipes evidence::sendfile_to_a_file \
    evidence::tcp from_the_start::cp::started_equals kernel_accounts::threads_old_and_new nic::sendfile own_commands::doctor \
    raw_form::relay_copies_twice";

impl Plan {
    /// Each run: its name, which is that of the file system, and filters.
    fn parts(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Full => vec![("ext4", ""), ("xfs", ON_XFS)],
            Self::Quick => vec![("ext4", QUICK)],
            Self::Only(filter) => vec![("ext4", filter), ("xfs", filter)],
        }
    }

    /// The first of its filters that no scenario has in its name: a guest would run the others and miss nothing.
    fn vain<'a>(&'a self, names: &str) -> Option<&'a str> {
        let filters = self.parts().into_iter().flat_map(|(_, filters)| filters.split(' '));
        filters.into_iter().find(|filter| !names.lines().any(|name| name.contains(filter)))
    }

    /// The names of its runs.
    pub(super) fn runs(&self) -> Vec<&'static str> {
        self.parts().into_iter().map(|(name, _)| name).collect()
    }

    /// As the guest reads it: a line per run with its name, the folder for files, and filters.
    fn lines(&self) -> String {
        self.parts().iter().map(|(name, filters)| format!("{name} /disk/{name} {filters}\n")).collect()
    }
}

/// What was built for the guests.
pub(super) struct Built {
    zc_trace: PathBuf,
    scenarios: PathBuf,
    workloads: Vec<PathBuf>,
}

impl Built {
    /// Asks the scenarios for their names, which a plan must fit.
    pub(super) fn suits(&self, plan: &Plan) -> anyhow::Result<()> {
        let mut command = Command::new(&self.scenarios);
        let listed = capture::answer(command.args(["--list", "--format", "terse"]));
        let names = listed.context("the scenarios do not tell their names")?;
        match plan.vain(&names) {
            Some(filter) => bail!("no scenario has `{filter}` in its name, so it would choose nothing"),
            None => Ok(()),
        }
    }
}

/// Builds zc-trace and the scenarios, optimised: emulation is slow enough.
pub(super) fn build() -> anyhow::Result<Built> {
    let zc_trace = workspace::build(Profile::Release)?;
    let step = Step::start("building the scenarios");
    let mut command = workspace::cargo(&["test", "--package", "zc-trace-tests", "--test", "scenarios"]);
    command.args(["--release", "--no-run", "--message-format", "json-render-diagnostics"]);
    let captured = capture::run(command)?;
    if !captured.status.success() {
        step.finish(&Outcome::Failed);
        bail!("the scenarios were not built:\n{}", captured.tail(15));
    }
    step.finish(&Outcome::Done(String::new()));
    let (scenarios, workloads): (Vec<_>, Vec<_>) = executables(&captured.text)
        .into_iter()
        .partition(|path| path.parent().is_some_and(|folder| folder.ends_with("deps")));
    let scenarios = scenarios.into_iter().next().context("cargo names no program of the scenarios")?;
    Ok(Built { zc_trace, scenarios, workloads })
}

/// The programs among the artifacts that cargo names, one JSON object a line.
fn executables(messages: &str) -> Vec<PathBuf> {
    let value = |line: &str| {
        let (_, after) = line.split_once(r#""executable":""#)?;
        let (path, _) = after.split_once('"')?;
        Some(PathBuf::from(path))
    };
    messages.lines().filter(|line| line.starts_with('{')).filter_map(value).collect()
}

/// Packs it all for a kernel with these modules.
pub(super) fn pack(
    cache: &Cache,
    built: &Built,
    plan: &Plan,
    modules: &[PathBuf],
    to: &Path,
) -> anyhow::Result<()> {
    let mut initramfs = Initramfs::new();
    initramfs.text("init", INIT);
    initramfs.text("plan", plan.lines());
    // The variables that the scenarios read: see docs/vm.md.
    let settings = format!(
        "LIMIT={LIMIT_SECONDS}\nSCENARIOS={}\nexport ZC_TRACE=/usr/bin/zc-trace\n",
        quoted(&built.scenarios)?
    );
    initramfs.text("settings", settings);
    let mut list = String::new();
    for module in modules {
        let name = module.file_name().context("a module without a name")?;
        let place = Path::new("/usr/lib/modules").join(name);
        list = format!("{list}{}\n", place.display());
        initramfs.file(place, module);
    }
    initramfs.text("modules", list);
    initramfs.text("etc/passwd", "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
    initramfs.text("etc/group", "root:x:0:\nnogroup:x:65534:\n");
    initramfs.text("etc/hosts", "127.0.0.1 localhost\n");
    add_programs(&mut initramfs, cache, built)?;
    initramfs.write(to)
}

fn add_programs(initramfs: &mut Initramfs, cache: &Cache, built: &Built) -> anyhow::Result<()> {
    initramfs.program("busybox/busybox", &cache.program("busybox", "busybox-static")?)?;
    for (name, package) in PROGRAMS {
        let program = cache.executable(name, package)?;
        initramfs.program(Path::new("/usr/bin").join(name), &program)?;
        if name == PYTHON {
            add_library_of_python(initramfs, &program)?;
        }
    }
    initramfs.program("usr/bin/sh", &cache.program("dash", "dash")?)?;
    for place in DATA.map(Path::new).into_iter().filter(|place| place.exists()) {
        initramfs.tree(place, place, &|_| true)?;
    }
    let own = |path: &Path| Program { path: path.to_path_buf(), unpacked: None };
    initramfs.program("usr/bin/zc-trace", &own(&built.zc_trace))?;
    // The scenarios know their workloads by the paths at which they were built.
    for path in built.workloads.iter().chain([&built.scenarios]) {
        initramfs.program(path, &own(path))?;
    }
    Ok(())
}

/// Python's library, where a Python in `/usr/bin` looks for it.
fn add_library_of_python(initramfs: &mut Initramfs, python: &Program) -> anyhow::Result<()> {
    let mut command = python.command();
    command.args(["-I", "-S", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]);
    let captured = capture::run(command)?;
    let library = PathBuf::from(captured.text.trim());
    let name = library.file_name().filter(|_| captured.status.success() && library.is_dir());
    let name =
        name.with_context(|| format!("{} does not tell where its library is", python.path.display()))?;
    // The C library to link programs with is `config-…`.
    let is_wanted = |name: &str| !NOT_OF_PYTHON.contains(&name) && !name.starts_with("config-");
    initramfs.tree(Path::new("/usr/lib").join(name), &library, &is_wanted)
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("the path {} is not UTF-8", path.display()))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_among_cargos_messages() {
        let messages = "   Compiling x\n{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/release/relay\"],\"executable\":\"/t/release/relay\",\"fresh\":true}\n";
        assert_eq!(executables(messages), [Path::new("/t/release/relay")]);
    }

    #[test]
    fn a_plan_is_a_line_per_run() {
        assert_eq!(Plan::Only("relay".to_owned()).lines(), "ext4 /disk/ext4 relay\nxfs /disk/xfs relay\n");
        assert_eq!(Plan::Full.lines().lines().count(), 2);
        assert_eq!(Plan::Quick.runs(), ["ext4"]);
        assert!(!QUICK.contains("  ") && !ON_XFS.contains("  "));
    }

    #[test]
    fn every_filter_fits_a_scenario() {
        let names = "relay::sendfile: test\ncopies::mapped: test\n";
        assert_eq!(Plan::Only("sendfile".to_owned()).vain(names), None);
        assert_eq!(Plan::Only("splice".to_owned()).vain(names), Some("splice"));
        assert_eq!(Plan::Full.vain(names), Some("evidence::"));
    }

    #[test]
    fn a_path_stays_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's")).unwrap(), r"'/a b/it'\''s'");
    }
}
