//! What devices moved, added up by what it was: read by user space at intervals, by difference.

/// What the bytes belong to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(transparent)]
pub struct DeviceKind(pub u32);

impl DeviceKind {
    /// Contents of the endpoint with [`DeviceKey::serial`], moved by a block device.
    pub const FILE: Self = Self(0);
    /// Contents of a file that has no serial, moved on behalf of a traced thread.
    pub const OTHER_FILE: Self = Self(1);
    /// What file systems and memory management keep for themselves (inodes, extents, journals, swap), moved on behalf of
    /// a traced thread.
    pub const METADATA: Self = Self(2);
    /// Packets of the socket with [`DeviceKey::serial`], headers included, that a network card fetched.
    pub const NETWORK: Self = Self(3);
    /// Bytes that the CPU copied between a device's buffer and the memory that was meant, of the whole machine.
    pub const BOUNCED: Self = Self(4);
}

/// What bytes are added up by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
#[repr(C)]
pub struct DeviceKey {
    /// Serial of the endpoint, with [`DeviceKind::FILE`] and [`DeviceKind::NETWORK`].
    pub serial: u64,
    /// Number of the block device (major << 20 | minor), with the others.
    pub device: u32,
    /// A [`DeviceKind`].
    pub kind: u32,
}

/// Bytes moved, on one CPU.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct DeviceBytes {
    /// From the device, as requested.
    pub read: u64,
    /// To the device, as requested.
    pub written: u64,
}

const _: () = assert!(size_of::<DeviceKey>() == 16);
const _: () = assert!(size_of::<DeviceBytes>() == 16);

/// File systems (linux/magic.h) that read and write a regular file's contents from and to the very pages of its page
/// cache, one file per request: what a request moves is known by its first page. Others put pages of their own in between
/// (compression, encryption, checksums over a whole extent), or answer from another file system.
const PLAIN: [u64; 5] = [
    0x0000_ef53, // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x0000_4d44, // vfat
    0x2011_bab0, // exfat
    0x6264_6576, // bdev: the contents of block devices
];

/// Whether a file system, by its magic, is one of those.
#[inline(always)]
pub const fn is_plain(magic: u64) -> bool {
    let [ext4, xfs, vfat, exfat, bdev] = PLAIN;
    magic == ext4 || magic == xfs || magic == vfat || magic == exfat || magic == bdev
}
