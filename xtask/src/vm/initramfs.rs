//! The files that a guest starts with, as the archive that the kernel unpacks into its memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail};
use cpio::newc::{self, ModeFileType};

use super::packages::Program;

/// The folders that are links into `/usr`, on Debian as here: the same file must not be in two places.
const IN_USR: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

enum Entry {
    Folder,
    Link(String),
    Text(String),
    File(PathBuf),
}

/// What is going to be in the archive, by path.
pub(super) struct Initramfs {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Initramfs {
    pub(super) fn new() -> Self {
        let mut new = Self { entries: BTreeMap::new() };
        for folder in IN_USR {
            new.entries.insert(folder.into(), Entry::Link(format!("usr/{folder}")));
            new.entries.insert(format!("usr/{folder}").into(), Entry::Folder);
        }
        new.entries.insert("usr".into(), Entry::Folder);
        new
    }

    /// A file with this text.
    pub(super) fn text(&mut self, at: &str, text: impl Into<String>) {
        self.insert(Path::new(at), Entry::Text(text.into()));
    }

    /// A copy of a file.
    pub(super) fn file(&mut self, at: impl AsRef<Path>, from: &Path) {
        self.insert(at.as_ref(), Entry::File(from.to_path_buf()));
    }

    /// A copy of a file, or of a folder with all in it whose name `is_wanted`.
    pub(super) fn tree(
        &mut self,
        at: impl AsRef<Path>,
        from: &Path,
        is_wanted: &impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        let at = at.as_ref();
        if !from.is_dir() {
            self.file(at, from);
            return Ok(());
        }
        for entry in from.read_dir().with_context(|| format!("cannot read {}", from.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            if is_wanted(&name.to_string_lossy()) {
                self.tree(at.join(&name), &entry.path(), is_wanted)?;
            }
        }
        Ok(())
    }

    /// A program with the libraries that it is linked to.
    pub(super) fn program(&mut self, at: impl AsRef<Path>, program: &Program) -> anyhow::Result<()> {
        let mut ldd = Command::new("ldd");
        ldd.arg(&program.path).env("LD_LIBRARY_PATH", program.library_path());
        let output = ldd.output().context("cannot start ldd")?;
        let said = String::from_utf8_lossy(&output.stdout);
        // It fails for a program without libraries, and then says nothing that looks like one.
        for library in libraries(&said).with_context(|| format!("{} cannot run", program.path.display()))? {
            let unpacked = program.unpacked.as_deref().and_then(|root| library.strip_prefix(root).ok());
            self.file(unpacked.unwrap_or(&library), &library);
        }
        self.file(at, &program.path);
        Ok(())
    }

    fn insert(&mut self, at: &Path, entry: Entry) {
        let at = in_usr(at);
        for folder in at.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            self.entries.entry(folder.to_path_buf()).or_insert(Entry::Folder);
        }
        self.entries.insert(at, entry);
    }

    /// Writes the archive.
    pub(super) fn write(&self, to: &Path) -> anyhow::Result<()> {
        let file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
        let mut archive = BufWriter::new(file);
        // By path, so that a folder comes before what is in it.
        for (path, entry) in &self.entries {
            append(&mut archive, path, entry).with_context(|| format!("cannot pack {}", path.display()))?;
        }
        newc::trailer(&mut archive)?;
        Ok(archive.flush()?)
    }
}

fn append(archive: &mut impl io::Write, path: &Path, entry: &Entry) -> anyhow::Result<()> {
    let name = path.to_str().context("its name is not UTF-8")?;
    let header = |mode, kind| newc::Builder::new(name).mode(mode).set_mode_file_type(kind);
    match entry {
        Entry::Folder => _ = header(0o755, ModeFileType::Directory).write(archive, 0).finish()?,
        Entry::Link(to) => put(header(0o777, ModeFileType::Symlink), archive, to.as_bytes())?,
        Entry::Text(text) => put(header(0o755, ModeFileType::Regular), archive, text.as_bytes())?,
        Entry::File(from) => {
            let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
            put(header(0o755, ModeFileType::Regular).mtime(changed(from)), archive, &content)?;
        }
    }
    Ok(())
}

/// When a file was last changed, in seconds: Python takes what it has compiled only if the source still is of that time.
fn changed(file: &Path) -> u32 {
    let time = fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u32::try_from(since.as_secs()).ok()).unwrap_or(0)
}

fn put(header: newc::Builder, archive: &mut impl io::Write, content: &[u8]) -> anyhow::Result<()> {
    let mut writer = header.write(archive, u32::try_from(content.len()).context("it is too large")?);
    writer.write_all(content)?;
    writer.finish()?;
    Ok(())
}

/// The path without its root, below `usr` where the guest has a link.
fn in_usr(path: &Path) -> PathBuf {
    let path = path.strip_prefix("/").unwrap_or(path);
    let is_link = path.parent().is_some_and(|parent| !parent.as_os_str().is_empty())
        && IN_USR.iter().any(|folder| path.starts_with(folder));
    if is_link { Path::new("usr").join(path) } else { path.to_path_buf() }
}

/// The libraries that ldd names, the loader among them.
fn libraries(said: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in said.lines() {
        if let Some((name, _)) = line.split_once(" => not found") {
            bail!("the library {} is missing", name.trim());
        }
        let place = line.split_once(" => ").map_or(line, |(_, place)| place).trim();
        let place = place.split_once(" (").map_or(place, |(place, _)| place);
        if place.starts_with('/') && !place.ends_with(':') {
            found.push(PathBuf::from(place));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)\n\
        \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";

    #[test]
    fn libraries_are_read() {
        let expected = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries(SAID).unwrap(), expected);
        assert_eq!(libraries("\tnot a dynamic executable\n").unwrap(), Vec::<PathBuf>::new());
        let error = libraries("\tlibx.so.1 => not found\n").unwrap_err();
        assert_eq!(error.to_string(), "the library libx.so.1 is missing");
    }

    #[test]
    fn one_file_has_one_place() {
        assert_eq!(in_usr(Path::new("/lib/x/libm.so.6")), Path::new("usr/lib/x/libm.so.6"));
        assert_eq!(in_usr(Path::new("/usr/bin/dd")), Path::new("usr/bin/dd"));
        assert_eq!(in_usr(Path::new("library/x")), Path::new("library/x"));
        assert_eq!(in_usr(Path::new("/lib")), Path::new("lib"));
    }

    #[test]
    fn a_tree_comes_without_what_is_not_wanted() {
        let folder = std::env::temp_dir().join(format!("zc-trace-tree-{}", std::process::id()));
        for name in ["kept", "test"] {
            fs::create_dir_all(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("file"), "x").unwrap();
        }
        let mut initramfs = Initramfs::new();
        initramfs.tree("/lib/to", &folder, &|name| name != "test").unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let files: Vec<_> = initramfs.entries.keys().filter(|path| path.ends_with("file")).collect();
        assert_eq!(files, [Path::new("usr/lib/to/kept/file")]);
    }

    #[test]
    fn the_archive_can_be_read_back() {
        let mut initramfs = Initramfs::new();
        initramfs.text("/etc/deep/file", "text");
        let path = std::env::temp_dir().join(format!("zc-trace-initramfs-{}", std::process::id()));
        initramfs.write(&path).unwrap();
        let mut names = Vec::new();
        let mut rest = fs::read(&path).unwrap();
        loop {
            let reader = newc::Reader::new(&rest[..]).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push(reader.entry().name().to_owned());
            rest = reader.finish().unwrap().to_vec();
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(names[..4], ["bin", "etc", "etc/deep", "etc/deep/file"]);
    }
}
