//! The kernel itself out of the image that boot loaders take.
//!
//! QEMU starts an uncompressed kernel at its PVH entry, without the code in front that decompresses it: two seconds
//! instead of five under emulation.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};

use super::packages::{Cache, Program};

/// How a kernel may be packed: its first bytes, the program that unpacks it and the program's package, and whether the
/// unpacked size follows in four bytes that the program would take for damage.
const PACKERS: [(&[u8], &str, &str, bool); 4] = [
    (b"\x02\x21\x4c\x18", "lz4", "lz4", true),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd", true),
    (b"\xfd7zXZ\0", "xz", "xz-utils", false),
    (b"\x1f\x8b", "gzip", "gzip", false),
];

/// The unpacked kernel, made beside what the package has if it is not there yet.
pub(super) fn vmlinux(cache: &Cache, image: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let place = folder.join("vmlinux");
    if place.is_file() {
        return Ok(place);
    }
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let payload = payload(&bytes).with_context(|| format!("{} is no image of a kernel", image.display()))?;
    let packer = PACKERS.into_iter().find(|(magic, ..)| payload.starts_with(magic));
    let Some((_, program, package, has_size)) = packer else {
        bail!("{} is packed in a way that is not known here", image.display());
    };
    let payload = &payload[..payload.len().saturating_sub(if has_size { 4 } else { 0 })];
    let packed = folder.join("vmlinux.packed");
    fs::write(&packed, payload)?;
    let partial = folder.join("vmlinux.partial");
    unpack(&cache.program(program, package)?, &packed, &partial)?;
    fs::remove_file(&packed)?;
    if !is_elf(&partial)? {
        bail!("what {program} made of {} is no kernel", image.display());
    }
    fs::rename(&partial, &place)?;
    Ok(place)
}

/// Unpacks one file by a program that reads from its input and takes `-dc`, as all of these do.
pub(super) fn unpack(program: &Program, from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut command = program.command();
    command.arg("-dc").stdin(File::open(from)?).stdout(File::create(to)?).stderr(Stdio::piped());
    let output = command.output().with_context(|| format!("cannot start {}", program.path.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} cannot unpack {}: {}", program.path.display(), from.display(), said.trim());
    }
    Ok(())
}

/// The packed kernel, by the set-up header (Documentation/arch/x86/boot.rst: `setup_sects`, `payload_offset`,
/// `payload_length`).
fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let word = |at: usize| {
        let bytes: [u8; 4] = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    image.get(start..start + word(0x24c)?)
}

/// Whether a file is a program, a library or a kernel: not a script.
pub(super) fn is_elf(file: &Path) -> anyhow::Result<bool> {
    use std::io::Read as _;
    let mut magic = [0; 4];
    let read = File::open(file)?.read(&mut magic)?;
    Ok(read == 4 && magic == *b"\x7fELF")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image with a set-up of two sectors and a payload 16 bytes into what follows.
    fn image() -> Vec<u8> {
        let mut image = vec![0; 3 * 512 + 16];
        image[0x1f1] = 2;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248] = 16;
        image[0x24c] = 6;
        image.extend_from_slice(b"kernelrest");
        image
    }

    #[test]
    fn the_payload_is_found_by_the_header() {
        assert_eq!(payload(&image()), Some(&b"kernel"[..]));
    }

    #[test]
    fn what_is_no_image_or_cut_off_is_refused() {
        assert_eq!(payload(b"MZ"), None);
        assert_eq!(payload(&[0; 4096]), None);
        let whole = image();
        assert_eq!(payload(&whole[..whole.len() - 5]), None);
    }
}
