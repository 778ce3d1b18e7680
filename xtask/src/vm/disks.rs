//! Disks with a file system each, as files.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use xtask::capture;

use super::packages::Cache;

/// The least that mkfs.xfs takes is 300 MiB. The files are sparse: they take what is written.
const BYTES: u64 = 1 << 30;

/// A file system: its name, the program that makes it, the program's package, and what makes that program overwrite.
const KINDS: [(&str, &str, &str, &str); 2] =
    [("ext4", "mkfs.ext4", "e2fsprogs", "-F"), ("xfs", "mkfs.xfs", "xfsprogs", "-f")];

/// New disks in `folder`, in the order in which a guest finds them: ext4, XFS.
pub(super) fn make(cache: &Cache, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut disks = Vec::new();
    for (name, program, package, overwrite) in KINDS {
        let disk = folder.join(name);
        File::create(&disk)
            .and_then(|file| file.set_len(BYTES))
            .with_context(|| format!("cannot make {}", disk.display()))?;
        let mut command = cache.program(program, package)?.command();
        command.args(["-q", overwrite]).arg(&disk);
        let captured = capture::run(command)?;
        if !captured.status.success() {
            bail!("{program} cannot make a disk: {}", captured.tail(1));
        }
        disks.push(disk);
    }
    Ok(disks)
}
