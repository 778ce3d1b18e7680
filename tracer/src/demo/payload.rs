//! The file that the demonstration sends.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use anyhow::ensure;
use rustix::io::{FdFlags, fcntl_setfd};

use super::{checksum::Checksum, receiver::Received};
use crate::{
    error::{Failure, Fatal, too_few_descriptors},
    signals,
    view::format,
};

const BLOCK_BYTES: usize = 1 << 20;

/// A file of pseudo-random bytes without a name: it is gone with the last process that has it open, however that ends.
#[derive(Debug)]
pub struct Payload {
    _file: File,
    path: PathBuf,
    bytes: u64,
    checksum: u64,
}

impl Payload {
    /// Makes a file of `bytes` bytes and waits until it is on the disk, so that no writeback falls into the traces. Its
    /// pages stay in the page cache.
    ///
    /// # Errors
    /// If the folder for temporary files takes none, or none of that size.
    pub fn create(bytes: u64) -> anyhow::Result<Self> {
        let mut file = signals::deferred(nameless).map_err(|error| no_file(bytes, &error))?;
        let checksum = fill(&mut file, bytes).map_err(|error| no_file(bytes, &error))?;
        // The senders inherit it: they can open it by this path, and only they and this process.
        fcntl_setfd(&file, FdFlags::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { _file: file, path, bytes, checksum })
    }

    /// Where this process and its children can open it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fails unless just this file's content was received.
    pub fn verify(&self, received: &Received) -> anyhow::Result<()> {
        ensure!(received.bytes == self.bytes, "received {} of {} bytes", received.bytes, self.bytes);
        ensure!(
            received.checksum == self.checksum,
            "what was received is not what was sent: checksums differ"
        );
        Ok(())
    }
}

/// It had a name for a moment, by which traces call it: `O_TMPFILE` would leave them `#` and a number.
fn nameless() -> io::Result<File> {
    let folder = tempfile::Builder::new().prefix("zc-trace-demo.").tempdir()?.keep();
    let path = folder.join("payload.bin");
    let file = File::create_new(&path);
    // By name, which takes no descriptor: there may be none left, and `TempDir` would need two.
    let removed = if file.is_ok() { fs::remove_file(path) } else { Ok(()) };
    removed.and(fs::remove_dir(folder)).and(file)
}

fn no_file(bytes: u64, error: &io::Error) -> Fatal {
    if let Some(fatal) = too_few_descriptors(error) {
        return fatal;
    }
    let folder = std::env::temp_dir();
    let folder = format::escape_bytes(folder.as_os_str().as_encoded_bytes());
    Fatal::new(
        Failure::Output,
        format!("the demo's file of {} cannot be made in {folder}: {error}", format::bytes(bytes)),
        "give a smaller --size, or set TMPDIR to another folder",
    )
}

fn fill(file: &mut File, bytes: u64) -> io::Result<u64> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut checksum = Checksum::new();
    let mut block = vec![0; BLOCK_BYTES];
    while checksum.bytes() < bytes {
        let missing = bytes - checksum.bytes();
        let length = usize::try_from(missing).map_or(BLOCK_BYTES, |missing| missing.min(BLOCK_BYTES));
        random.fill(&mut block);
        file.write_all(&block[..length])?;
        checksum.add(&block[..length]);
    }
    file.sync_all()?;
    Ok(checksum.value())
}

/// xorshift64 (Marsaglia): the same bytes in every run.
struct Random(u64);

impl Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_its_size_no_holes_no_name_and_goes_with_its_owner() {
        let payload = Payload::create(3_000_001).unwrap();
        let content = fs::read(payload.path()).unwrap();
        assert_eq!(content.len(), 3_000_001);
        assert!(content.chunks(4096).all(|page| page.iter().any(|byte| *byte != 0)));
        let named = fs::read_link(payload.path()).unwrap();
        assert!(named.to_string_lossy().ends_with("/payload.bin (deleted)"), "{}", named.display());
        assert!(!named.parent().unwrap().exists(), "its folder is left");
        let child = std::process::Command::new("cat").arg(payload.path()).output().unwrap();
        assert!(child.stdout == content, "a child cannot read it");
    }
}
