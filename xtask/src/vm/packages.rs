//! Programs and kernels from Debian's packages, unpacked into a cache and never installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{fs, io, process};

use anyhow::{Context as _, bail};
use xtask::environment;
use xtask::progress::{Outcome, Step};
use xtask::setup::apt;

use super::image;

/// Where unpacked packages are kept.
pub(super) struct Cache {
    root: PathBuf,
    /// One thread fetches at a time: two guests may want the same.
    fetching: Mutex<()>,
}

/// A program that is there: the system's own, or one out of an unpacked package.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The program.
    pub(super) path: PathBuf,
    /// Where its package is unpacked; `None` for the system's own.
    pub(super) unpacked: Option<PathBuf>,
}

impl Cache {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, fetching: Mutex::default() }
    }

    /// A program: the system's, else the one in `package` with all that it needs.
    pub(super) fn program(&self, name: &str, package: &str) -> anyhow::Result<Program> {
        self.found(environment::find_program(name), name, package)
    }

    /// As [`program`](Self::program), but no script that stands for one (as pyenv's do): it could not run by itself.
    pub(super) fn executable(&self, name: &str, package: &str) -> anyhow::Result<Program> {
        let found = environment::find_programs(name).find(|path| image::is_elf(path).is_ok_and(|is| is));
        self.found(found, name, package)
    }

    fn found(&self, here: Option<PathBuf>, name: &str, package: &str) -> anyhow::Result<Program> {
        if let Some(path) = here {
            return Ok(Program { path, unpacked: None });
        }
        let root = self.unpacked(package, || apt::closure(package))?;
        let path = ["usr/bin", "usr/sbin", "bin", "sbin"]
            .map(|folder| root.join(folder).join(name))
            .into_iter()
            .find(|path| path.is_file());
        let path = path.with_context(|| format!("the package {package} has no program {name}"))?;
        Ok(Program { path, unpacked: Some(root) })
    }

    /// Where the packages that `names` tells are unpacked, all into one folder named `name`. Fetched only if they are not
    /// there. `names` is asked again after the lists of packages were renewed: names rotate with versions.
    pub(super) fn unpacked(
        &self,
        name: &str,
        names: impl Fn() -> anyhow::Result<Vec<String>>,
    ) -> anyhow::Result<PathBuf> {
        let root = self.root.join(name);
        let _one = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if root.is_dir() {
            return Ok(root);
        }
        if !apt::is_here() {
            bail!("cannot get {name}: there is no apt-get here; the kernel matrix needs Debian's packages");
        }
        let step = Step::start(format!("fetching {name} from Debian's packages"));
        let partial = self.root.join(format!("partial-{}", process::id()));
        let result = self.fetch(&step, &partial, &names).and_then(|()| put_in_place(&partial, &root));
        step.finish(&if result.is_ok() { Outcome::Done(String::new()) } else { Outcome::Failed });
        let removed = fs::remove_dir_all(&partial).or_else(ignore_absence);
        result.with_context(|| format!("cannot get {name}"))?;
        removed.with_context(|| format!("cannot remove {}", partial.display()))?;
        Ok(root)
    }

    fn fetch(
        &self,
        step: &Step,
        partial: &Path,
        names: impl Fn() -> anyhow::Result<Vec<String>>,
    ) -> anyhow::Result<()> {
        let first = try_to_fetch(partial, &names);
        if first.is_ok() {
            return Ok(());
        }
        // The lists may be old, or none may have been fetched yet.
        apt::update(step)?;
        try_to_fetch(partial, &names)
    }
}

fn try_to_fetch(partial: &Path, names: impl Fn() -> anyhow::Result<Vec<String>>) -> anyhow::Result<()> {
    fs::remove_dir_all(partial).or_else(ignore_absence)?;
    let (files, root) = (partial.join("files"), partial.join("root"));
    fs::create_dir_all(&files)?;
    fs::create_dir_all(&root)?;
    let names = names()?;
    if names.is_empty() {
        bail!("no configured package source has it");
    }
    apt::download(&files, &names)?;
    apt::unpack(&files, &root)
}

fn put_in_place(partial: &Path, root: &Path) -> anyhow::Result<()> {
    match fs::rename(partial.join("root"), root) {
        // Another run was faster, and may be using it.
        Err(_) if root.is_dir() => Ok(()),
        other => other.with_context(|| format!("cannot make {}", root.display())),
    }
}

fn ignore_absence(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

impl Program {
    /// A call of it, with its own libraries if it is unpacked.
    pub(super) fn command(&self) -> Command {
        self.with_libraries(Command::new(&self.path))
    }

    /// As [`command`](Self::command), but it does not outlive us, however we end.
    pub(super) fn bound_command(&self) -> Command {
        let Some(setpriv) = environment::find_program("setpriv") else { return self.command() };
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.path);
        self.with_libraries(command)
    }

    fn with_libraries(&self, mut command: Command) -> Command {
        if self.unpacked.is_some() {
            command.env("LD_LIBRARY_PATH", self.library_path());
        }
        command
    }

    /// Where the libraries of its package are, as the loader wants to be told.
    pub(super) fn library_path(&self) -> String {
        let Some(root) = &self.unpacked else { return String::new() };
        let folders = ["usr/lib", "lib"].map(|lib| root.join(lib));
        let by_architecture = folders.iter().filter_map(|folder| {
            let entries = folder.read_dir().ok()?.flatten();
            entries.map(|entry| entry.path()).find(|path| path.ends_with(triplet()))
        });
        let all: Vec<String> =
            by_architecture.chain(folders.iter().cloned()).map(|path| path.display().to_string()).collect();
        all.join(":")
    }

    /// A file of its package, whether unpacked or installed.
    pub(super) fn data(&self, path: &str) -> PathBuf {
        self.unpacked.as_deref().unwrap_or(Path::new("/")).join(path)
    }
}

/// Debian's name for this architecture's folder of libraries.
fn triplet() -> &'static str {
    "x86_64-linux-gnu"
}
