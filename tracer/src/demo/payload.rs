//! The file that the demonstration sends.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::{checksum::Checksum, receiver::Received};
use crate::view::format;

const BLOCK_BYTES: usize = 1 << 20;

/// A file of pseudo-random bytes in a temporary directory; gone when this is dropped.
#[derive(Debug)]
pub struct Payload {
    _folder: TempDir,
    path: PathBuf,
    bytes: u64,
    checksum: u64,
}

impl Payload {
    /// Makes a file of `bytes` bytes and waits until it is on the disk, so that no writeback falls into the traces. Its
    /// pages stay in the page cache.
    pub fn create(bytes: u64) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("zc-trace-demo.").tempdir();
        let folder = folder.context("cannot make a temporary directory. Hint: set TMPDIR")?;
        let path = folder.path().join("payload.bin");
        let checksum = fill(&path, bytes).with_context(|| {
            let (path, size) =
                (format::escape_bytes(path.as_os_str().as_encoded_bytes()), format::bytes(bytes));
            format!("cannot make a file of {size}, {path}. Hint: use a smaller --size, or set TMPDIR")
        })?;
        Ok(Self { _folder: folder, path, bytes, checksum })
    }

    /// Where it is.
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

fn fill(path: &Path, bytes: u64) -> io::Result<u64> {
    let mut file = File::create_new(path)?;
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
    fn the_file_has_its_size_no_holes_and_goes_with_its_owner() {
        let payload = Payload::create(3_000_001).unwrap();
        let content = std::fs::read(payload.path()).unwrap();
        assert_eq!(content.len(), 3_000_001);
        assert!(content.chunks(4096).all(|page| page.iter().any(|byte| *byte != 0)));
        let path = payload.path().to_owned();
        drop(payload);
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }
}
