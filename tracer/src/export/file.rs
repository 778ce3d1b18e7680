//! Output files: what was there stays until something better can take its place, a kill or a full disk leaves a valid
//! file, and whoever called through sudo owns the result.
//!
//! A document replaces its file at once ([`Destination::replace`]); a stream grows in place, line by line
//! ([`LineFile`]). Standard output and special files (FIFOs, `/dev/null`) are written as they are.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind, Write as _},
    os::{
        fd::AsFd,
        unix::{
            ffi::OsStrExt as _,
            fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
        },
    },
    path::{Path, PathBuf},
};

use rustix::event::{PollFd, PollFlags, poll};
use tempfile::NamedTempFile;

use crate::{entry, error, view::format::escape_bytes};

/// Lines are handed on when this many bytes have gathered.
const BUFFER_BYTES: usize = 64 * 1024;

/// An output cannot be written: which, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {reason}. Hint: {hint}")]
pub struct OutputError {
    path: String,
    reason: io::Error,
    hint: &'static str,
}

impl OutputError {
    fn new(path: &str, reason: io::Error) -> Self {
        Self { path: path.to_owned(), hint: hint(&reason), reason }
    }

    /// An error about a standard stream.
    pub(super) fn about(stream: StandardStream, reason: io::Error) -> Self {
        Self::new(stream.name(), reason)
    }
}

fn hint(reason: &io::Error) -> &'static str {
    if error::is_too_few_descriptors(reason) {
        return error::MORE_DESCRIPTORS;
    }
    if reason.raw_os_error() == Some(libc::EBADF) {
        return "it is closed, or open for reading only; lead it to a file or to /dev/null";
    }
    match reason.kind() {
        ErrorKind::NotFound => "make its directory first, or use - for standard output",
        ErrorKind::PermissionDenied => "choose a place that you may write to, or use - for standard output",
        ErrorKind::IsADirectory => "give the name of a file",
        ErrorKind::NotADirectory => "a part of the path is not a directory",
        ErrorKind::ReadOnlyFilesystem => "choose a place on another file system",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space or choose a place on another file system"
        }
        ErrorKind::FileTooLarge => "raise the limit of file sizes (ulimit -f)",
        _ => "choose another file, or use - for standard output",
    }
}

/// Where output goes; found writable, not yet changed.
#[derive(Debug)]
pub struct Destination {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Stdout(File),
    Special(File),
    InPlace { file: File, created: Created },
    Replacement { path: PathBuf, existing: Option<Metadata> },
}

/// What stands at a path before it is written.
enum Found {
    Nothing,
    Regular(Metadata),
    Special,
}

impl Destination {
    /// Finds out whether `path` can be replaced as a whole: the directory takes a new file, and a file that is there
    /// may be written.
    pub fn prepare_replacement(path: &Path) -> Result<Self, OutputError> {
        Self::prepare(path, |found| match found {
            Found::Nothing => replacement(std::path::absolute(path)?, None),
            Found::Regular(metadata) => {
                // Opened through the path as given, so that the kernel's own rules on links apply (protected_symlinks).
                OpenOptions::new().write(true).open(path)?;
                replacement(fs::canonicalize(path)?, Some(metadata))
            }
            Found::Special => open_special(path),
        })
    }

    /// Finds out whether `path` can be written in place. A file that is there keeps its content until
    /// [`Self::into_lines`]; one that is not is made, and removed again if it comes to nothing.
    pub fn prepare_in_place(path: &Path) -> Result<Self, OutputError> {
        Self::prepare(path, |found| match found {
            Found::Nothing => {
                let file = OpenOptions::new().write(true).create_new(true).open(path)?;
                let created = Created(Some(std::path::absolute(path)?));
                give_to_caller(&file)?;
                Ok(Kind::InPlace { file, created })
            }
            Found::Regular(_) => {
                let file = OpenOptions::new().write(true).open(path)?;
                Ok(Kind::InPlace { file, created: Created(None) })
            }
            Found::Special => open_special(path),
        })
    }

    fn prepare(path: &Path, open: impl FnOnce(Found) -> io::Result<Kind>) -> Result<Self, OutputError> {
        let name = display_name(path);
        let kind = match standard_stream(path) {
            Some(stream) => stream,
            None => look_at(path).and_then(open),
        };
        match kind {
            Ok(kind) => Ok(Self { name, kind }),
            Err(reason) => Err(OutputError::new(&name, reason)),
        }
    }

    /// Whether this is standard output, so that nothing else should be written there.
    pub fn is_stdout(&self) -> bool {
        matches!(self.kind, Kind::Stdout(_))
    }

    /// An error about this destination.
    pub fn error(&self, reason: io::Error) -> OutputError {
        OutputError::new(&self.name, reason)
    }

    /// Writes all of `contents`: a file that is there is replaced at once or not at all. That a reader went away
    /// (`| head`) is no error.
    pub fn replace(self, contents: &[u8]) -> Result<(), OutputError> {
        let result = match self.kind {
            Kind::Stdout(file) | Kind::Special(file) => write_everything(&file, contents).1,
            Kind::Replacement { path, existing } => replace_file(&path, existing.as_ref(), contents),
            Kind::InPlace { file, created } => {
                created.keep();
                file.set_len(0).and_then(|()| write_everything(&file, contents).1)
            }
        };
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|reason| OutputError::new(&self.name, reason)),
        }
    }

    /// Empties the file and takes it for lines.
    pub fn into_lines(self) -> Result<LineFile, OutputError> {
        let (file, regular) = match self.kind {
            Kind::Stdout(file) | Kind::Special(file) => (file, false),
            Kind::InPlace { file, created } => {
                file.set_len(0).map_err(|reason| OutputError::new(&self.name, reason))?;
                created.keep();
                (file, true)
            }
            Kind::Replacement { path, .. } => {
                let file = File::create(path).map_err(|reason| OutputError::new(&self.name, reason))?;
                (file, true)
            }
        };
        Ok(LineFile {
            file,
            name: self.name,
            buffer: Vec::new(),
            whole_bytes: 0,
            regular,
            reader_is_gone: false,
        })
    }
}

/// A file that exists only because of a test for writability: removed when dropped, unless kept.
#[derive(Debug)]
struct Created(Option<PathBuf>);

impl Created {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // Nothing can be done about it here, and an empty file does no harm.
            let _ = fs::remove_file(path);
        }
    }
}

fn display_name(path: &Path) -> String {
    match path.as_os_str().as_bytes() {
        b"-" => StandardStream::Output.name().to_owned(),
        bytes => escape_bytes(bytes),
    }
}

/// Where text goes that has no file of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StandardStream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

impl StandardStream {
    fn name(self) -> &'static str {
        match self {
            Self::Output => "to standard output",
            Self::Error => "to standard error",
        }
    }

    /// A descriptor of its own for it, without a buffer.
    pub(super) fn open(self) -> io::Result<File> {
        let (number, duplicate) = match self {
            Self::Output => (libc::STDOUT_FILENO, io::stdout().as_fd().try_clone_to_owned()),
            Self::Error => (libc::STDERR_FILENO, io::stderr().as_fd().try_clone_to_owned()),
        };
        if entry::closed(number) {
            // Rust's runtime has put /dev/null there.
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        duplicate.map(File::from)
    }
}

/// `-` and the names of streams that are open already: opening `/dev/stdout` anew would write over what a redirected
/// standard output holds by now.
fn standard_stream(path: &Path) -> Option<io::Result<Kind>> {
    match path.to_str()? {
        "-" | "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => {
            Some(StandardStream::Output.open().map(Kind::Stdout))
        }
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => {
            Some(StandardStream::Error.open().map(Kind::Special))
        }
        path if path.starts_with("/dev/fd/") || path.starts_with("/proc/self/fd/") => {
            Some(OpenOptions::new().append(true).open(path).map(Kind::Special))
        }
        _ => None,
    }
}

fn look_at(path: &Path) -> io::Result<Found> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::from_raw_os_error(libc::EISDIR)),
        Ok(metadata) if metadata.file_type().is_block_device() => {
            Err(io::Error::other("it is a block device, whose content would be destroyed"))
        }
        Ok(metadata) if metadata.is_file() => Ok(Found::Regular(metadata)),
        Ok(_) => Ok(Found::Special),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Err(_) if fs::symlink_metadata(path).is_ok() => {
            Err(io::Error::new(ErrorKind::NotFound, "it is a symbolic link to a file that does not exist"))
        }
        Err(_) if path.as_os_str().as_bytes().ends_with(b"/") => {
            Err(io::Error::from_raw_os_error(libc::EISDIR))
        }
        Err(_) => Ok(Found::Nothing),
    }
}

/// Opens what is neither a regular file nor a directory. A FIFO waits for its reader, as it does with a shell's `>`.
fn open_special(path: &Path) -> io::Result<Kind> {
    OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY).open(path).map(Kind::Special)
}

fn replacement(path: PathBuf, existing: Option<Metadata>) -> io::Result<Kind> {
    // The proof that the directory takes a file; the drop removes it.
    temporary_beside(&path)?;
    Ok(Kind::Replacement { path, existing })
}

fn temporary_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().ok_or_else(|| io::Error::from_raw_os_error(libc::EISDIR))?;
    let mut code = None;
    tempfile::Builder::new()
        .prefix(".zc-trace.")
        .suffix(".tmp")
        .make_in(folder, |path| {
            // Mode 0666 and the umask, as the shell makes files.
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            file.inspect_err(|error| code = error.raw_os_error())
        })
        // tempfile's own message names the temporary file, which says nothing to anyone.
        .map_err(|error| code.map_or(error, io::Error::from_raw_os_error))
}

fn replace_file(path: &Path, existing: Option<&Metadata>, contents: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path)?;
    let file = temporary.as_file();
    write_everything(file, contents).1?;
    match existing {
        Some(existing) => keep_owner_and_mode(file, existing)?,
        None => give_to_caller(file)?,
    }
    file.sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    if let Some(folder) = path.parent() {
        // The new file is complete and in place; that the directory reaches the disk is the file system's own care.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn keep_owner_and_mode(file: &File, existing: &Metadata) -> io::Result<()> {
    if (existing.uid(), existing.gid()) != owner_of(file)? && rustix::process::geteuid().is_root() {
        fchown(file, Some(existing.uid()), Some(existing.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(existing.mode() & 0o777))
}

fn owner_of(file: &File) -> io::Result<(u32, u32)> {
    file.metadata().map(|metadata| (metadata.uid(), metadata.gid()))
}

/// Under sudo, a new file belongs to the person who called.
fn give_to_caller(file: &File) -> io::Result<()> {
    let variable = |name| std::env::var(name).ok();
    match caller(variable("SUDO_UID"), variable("SUDO_GID")) {
        Some((uid, gid)) if rustix::process::geteuid().is_root() => fchown(file, Some(uid), Some(gid)),
        _ => Ok(()),
    }
}

fn caller(uid: Option<String>, gid: Option<String>) -> Option<(u32, u32)> {
    Some((uid?.parse().ok()?, gid?.parse().ok()?))
}

/// Writes all of it, also to a descriptor that does not block; says how much was written in any case.
pub(super) fn write_everything(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // An error here, such as EINTR, shows again at the next write.
                let _ = poll(&mut [PollFd::new(&file, PollFlags::OUT)], None);
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// A file that grows by whole lines, gathered in a buffer.
#[derive(Debug)]
pub struct LineFile {
    file: File,
    name: String,
    buffer: Vec<u8>,
    /// Bytes of whole lines in the file, by this writer.
    whole_bytes: u64,
    /// Whether what was written can be cut off again.
    regular: bool,
    reader_is_gone: bool,
}

impl LineFile {
    /// Lines into something that is open already and cannot be cut, such as a pipe.
    #[cfg(test)]
    pub(crate) fn stream(file: File, name: &Path) -> Self {
        let name = display_name(name);
        Self { file, name, buffer: Vec::new(), whole_bytes: 0, regular: false, reader_is_gone: false }
    }

    /// Adds one line, which `write` puts into the buffer without its line break.
    pub fn push_line(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> Result<(), OutputError> {
        let before = self.buffer.len();
        if let Err(error) = write(&mut self.buffer) {
            self.buffer.truncate(before);
            return Err(OutputError::new(&self.name, error.into()));
        }
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands the buffer to the file. If that fails half-way the file is cut back to its last whole line. That a reader
    /// went away is no error.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        let (written, result) = write_everything(&self.file, &self.buffer);
        self.whole_bytes += whole_lines(&self.buffer[..written]);
        self.buffer.clear();
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.reader_is_gone = true;
                Ok(())
            }
            Err(reason) => {
                if self.regular {
                    // The first error is the one to report.
                    let _ = self.file.set_len(self.whole_bytes);
                }
                Err(OutputError::new(&self.name, reason))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Whether whoever read this went away.
    pub fn reader_is_gone(&self) -> bool {
        self.reader_is_gone
    }
}

/// Bytes up to and with the last line break.
fn whole_lines(bytes: &[u8]) -> u64 {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last as u64 + 1)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
