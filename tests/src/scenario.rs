//! One scenario: runs alone, within a time limit, in a folder of its own, and leaves no process behind.

use std::{
    cell::RefCell,
    env, fmt, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::process::{Process, STEP, Started, patience, shell_code};

/// How long a scenario may take, where nothing asks for more patience.
const LIMIT: Duration = Duration::from_secs(90);

/// Tracing is measured against accounts that other scenarios would disturb: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Why a scenario cannot run here. Not a failure.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}", self.0)
    }
}

impl std::error::Error for Skip {}

/// Leaves the scenario as skipped, with the reason.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {
        return Err($crate::scenario::Skip(format!($($reason)*)).into())
    };
}

/// Why a scenario failed: shown as it is, where an `anyhow::Error` would add a backtrace that leads into the harness.
pub struct Failure(String);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a test function returns.
pub type Outcome = Result<(), Failure>;

/// What a scenario works with.
pub struct Scenario {
    name: String,
    folder: TempDir,
    started: Started,
    /// What helps to understand a failure.
    notes: RefCell<Vec<String>>,
}

/// Runs one scenario. A [`Skip`] is said on standard error as `skipped: NAME: reason` and passes.
pub fn scenario(name: &str, body: impl FnOnce(&Scenario) -> Result<()>) -> Outcome {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    match Scenario::new(name).and_then(|scenario| scenario.play(body)) {
        Ok(()) => Ok(()),
        Err(error) => match error.downcast_ref::<Skip>() {
            Some(skip) => {
                // In one piece, and past libtest's capture of printed text, which would hide it.
                let _ = std::io::stderr().write_all(format!("skipped: {name}: {}\n", skip.0).as_bytes());
                Ok(())
            }
            None => Err(Failure(format!("{name}: {error:#}"))),
        },
    }
}

/// A shell without job control starts what runs in the background with these ignored, and whoever is started inherits it: what
/// zc-trace does when they come is to be seen all the same.
fn heed_signals() {
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
        // SAFETY: no handler is installed, only the default action.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

impl Scenario {
    fn new(name: &str) -> Result<Self> {
        heed_signals();
        let folder = tempfile::Builder::new().prefix("zc-trace-test-").tempdir()?;
        // Programs that are run as another user must get in.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self { name: name.to_owned(), folder, started: Started::default(), notes: RefCell::default() })
    }

    /// Plays it under the eyes of a watchdog.
    fn play(self, body: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let expired = AtomicBool::new(false);
        let (done, is_done) = mpsc::channel::<()>();
        let started = self.started.clone();
        let result = thread::scope(|scope| {
            let expired = &expired;
            scope.spawn(move || {
                if is_done.recv_timeout(LIMIT * patience()) == Err(RecvTimeoutError::Timeout) {
                    expired.store(true, Ordering::Relaxed);
                    started.end_all();
                }
            });
            // Dropped at the end of this closure, also if the body panics: that is how the watchdog learns of it.
            let _done = done;
            body(&self)
        });
        match result {
            Err(error) if !error.is::<Skip>() => {
                let late =
                    if expired.into_inner() { "\nit ran too long and its processes were ended" } else { "" };
                bail!("{error:#}{late}\n{}", self.notes.take().join("\n"))
            }
            result => result,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A folder of its own, gone with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// A file of that many bytes in its folder, no two pages the same, written to storage.
    pub fn file(&self, name: &str, bytes: usize) -> Result<PathBuf> {
        let path = self.path(name);
        let content: Vec<u8> = (0_u64..).map(pattern).take(bytes).collect();
        let mut file = fs::File::create(&path)?;
        file.write_all(&content)?;
        file.sync_all()?;
        Ok(path)
    }

    /// A folder in its folder.
    pub fn make_folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Starts a process that ends with the scenario at the latest.
    pub fn spawn(&self, command: &mut Command) -> Result<Process> {
        Process::spawn(command, &self.started)
    }

    /// Runs a process to its end; its exit code.
    pub fn run(&self, command: &mut Command) -> Result<i32> {
        Ok(shell_code(self.spawn(command)?.reap(STEP)?))
    }

    /// Keeps what helps to understand a failure.
    pub fn note(&self, text: impl Into<String>) {
        self.notes.borrow_mut().push(text.into());
    }
}

/// Byte `index` of every test file.
pub fn pattern(index: u64) -> u8 {
    (index ^ (index >> 8) ^ (index >> 12).wrapping_mul(31)) as u8
}

/// Skips unless the caller is root.
pub fn require_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        skip!("needs root");
    }
    Ok(())
}

/// The path of a program, as `execvp` would find it. Skips if there is none. A script that stands for a program (as
/// pyenv's do) is passed over: it would be the shell that is traced.
pub fn require_program(name: &str) -> Result<PathBuf> {
    for folder in env::split_paths(&env::var_os("PATH").unwrap_or_default()) {
        let path = folder.join(name);
        let is_elf = fs::read(&path).is_ok_and(|content| content.starts_with(b"\x7fELF"));
        if is_elf {
            return Ok(path);
        }
    }
    skip!("there is no program {name}")
}

/// Skips unless the folder is on that file system (its magic number, `linux/magic.h`).
pub fn require_file_system(folder: &Path, name: &str, magic: u64) -> Result<()> {
    let found = rustix::fs::statfs(folder).with_context(|| folder.display().to_string())?.f_type as u64;
    if found != magic {
        skip!("{} is not on {name}", folder.display());
    }
    Ok(())
}

/// `EXT4_SUPER_MAGIC`.
pub const EXT4: u64 = 0xef53;

/// The last line a workload printed.
pub fn last_line(output: &str) -> Result<serde_json::Value> {
    let line = output.lines().last().context("the workload printed nothing")?;
    ensure!(line.starts_with('{'), "the workload's last line is no JSON object: {line}");
    Ok(serde_json::from_str(line)?)
}
