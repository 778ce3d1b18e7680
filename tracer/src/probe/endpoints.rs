//! From the identity that the kernel side walked to the model's endpoint: names for numbers, and what sysfs says of
//! the device behind a file.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use tracer_common::endpoint::{self as wire, known, route};

use crate::model::endpoint::{Endpoint, EndpointKey, EndpointKind, Offloads, Socket};

/// include/uapi/linux/stat.h
const S_IFMT: u32 = 0o170_000;
const S_IFSOCK: u32 = 0o140_000;
const S_IFREG: u32 = 0o100_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFIFO: u32 = 0o010_000;

/// File systems by magic number (include/uapi/linux/magic.h), and what of them matters here.
const FILE_SYSTEMS: &[(u64, &str, Nature)] = &[
    (0x0000_ef53, "ext4", Nature::Disk),
    (0x5846_5342, "xfs", Nature::Disk),
    (0x9123_683e, "btrfs", Nature::Disk),
    (0xf2f5_2010, "f2fs", Nature::Disk),
    (0x0000_4d44, "vfat", Nature::Disk),
    (0x2011_bab0, "exfat", Nature::Disk),
    (0x0000_9660, "iso9660", Nature::Disk),
    (0x7371_7368, "squashfs", Nature::Disk),
    (0xe0f5_e1e2, "erofs", Nature::Disk),
    (0x2fc1_2fc1, "zfs", Nature::Disk),
    (0x794c_7630, "overlay", Nature::Disk),
    (0x6573_5546, "fuse", Nature::Disk),
    (0x0000_6969, "nfs", Nature::Disk),
    (0x0102_1997, "9p", Nature::Disk),
    (0xfe53_4d42, "smb2", Nature::Disk),
    (0x0102_1994, "tmpfs", Nature::Memory),
    (0x8584_58f6, "ramfs", Nature::Memory),
    (0x9584_58f6, "hugetlbfs", Nature::Memory),
    (0x0000_9fa0, "proc", Nature::Pseudo),
    (0x6265_6572, "sysfs", Nature::Pseudo),
    (0x6462_6720, "debugfs", Nature::Pseudo),
    (0x7472_6163, "tracefs", Nature::Pseudo),
    (0x0027_e0eb, "cgroup", Nature::Pseudo),
    (0x6367_7270, "cgroup2", Nature::Pseudo),
    (0x7363_6673, "securityfs", Nature::Pseudo),
    (0xcafe_4a11, "bpf", Nature::Pseudo),
    (0x0904_1934, "anon_inode", Nature::Anonymous),
    (0x5049_5045, "pipefs", Nature::Anonymous),
    (0x534f_434b, "sockfs", Nature::Anonymous),
    (0x0000_1cd1, "devpts", Nature::Pseudo),
];

/// Where the contents of a file system's regular files rest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Nature {
    /// On a device.
    Disk,
    /// Only in memory.
    Memory,
    /// Nowhere: made up when read.
    Pseudo,
    /// No files of its own.
    Anonymous,
}

/// Turns identities into endpoints; remembers what it found out about devices.
#[derive(Default)]
pub struct Describer {
    dma_by_device: HashMap<u32, Option<bool>>,
}

impl Describer {
    /// Describes what the kernel side found.
    pub fn describe(&mut self, found: &wire::Endpoint) -> Endpoint {
        if found.known & known::INODE == 0 {
            return unknown();
        }
        let file_system = FILE_SYSTEMS.iter().find(|(magic, ..)| *magic == found.fs_magic);
        let nature = file_system.map(|(_, _, nature)| *nature);
        let kind = kind(found, nature);
        Endpoint {
            key: EndpointKey::Inode {
                device: found.device,
                inode: found.inode,
                generation: Some(found.generation),
            },
            kind,
            path: path(found, kind),
            file_system: file_system.map(|(_, name, _)| *name),
            device_node: matches!(
                kind,
                EndpointKind::CharDevice | EndpointKind::BlockDevice | EndpointKind::Terminal
            )
            .then(|| (found.special_device >> 20, found.special_device & 0xf_ffff)),
            dma: self.dma(found, kind, nature),
            socket: (kind == EndpointKind::Socket).then(|| socket(found)),
        }
    }

    /// Describes a file that was mapped before tracing began, of which `/proc/PID/maps` tells device, inode and path.
    pub fn describe_mapped(&mut self, device: u32, inode: u64, path: &Path) -> Endpoint {
        Endpoint {
            key: EndpointKey::Inode { device, inode, generation: None },
            kind: EndpointKind::File,
            path: Some(path.to_string_lossy().into_owned()),
            file_system: None,
            device_node: None,
            dma: self.storage_dma(device),
            socket: None,
        }
    }

    fn dma(&mut self, found: &wire::Endpoint, kind: EndpointKind, nature: Option<Nature>) -> Option<bool> {
        match kind {
            EndpointKind::File | EndpointKind::Directory if nature == Some(Nature::Memory) => Some(false),
            EndpointKind::File | EndpointKind::Directory => self.storage_dma(found.device),
            EndpointKind::BlockDevice => self.storage_dma(found.special_device),
            EndpointKind::Socket => network_dma(found),
            EndpointKind::CharDevice | EndpointKind::Unknown => None,
            _ => Some(false),
        }
    }

    /// Whether a block device really does DMA: it, or one that it is made of, has a parent device on a bus. Devices
    /// without a number of their own (overlay, btrfs, network file systems) cannot be told.
    pub(super) fn storage_dma(&mut self, device: u32) -> Option<bool> {
        *self.dma_by_device.entry(device).or_insert_with(|| {
            let link = PathBuf::from(format!("/sys/dev/block/{}:{}", device >> 20, device & 0xf_ffff));
            if device >> 20 == 0 || !link.exists() { None } else { Some(block_device_dma(&link)) }
        })
    }
}

/// A file system as `/proc/PID/mountinfo` calls it: our name for it, and what an inode of that mode is there. The same as
/// what the kernel side's findings come to, so that both mean the same endpoint.
pub(super) fn by_mount_type(
    mount_type: &str,
    mode: u32,
    special_device: u32,
) -> (Option<&'static str>, EndpointKind) {
    let name = match mount_type {
        "ext2" | "ext3" => "ext4",
        "devtmpfs" => "tmpfs",
        "nfs4" => "nfs",
        "cifs" | "smb3" => "smb2",
        fuse if fuse.starts_with("fuse") => "fuse",
        other => other,
    };
    let file_system = FILE_SYSTEMS.iter().find(|(_, known, _)| *known == name);
    let nature = file_system.map(|(.., nature)| *nature);
    (file_system.map(|(_, name, _)| *name), kind_of(mode, special_device, nature))
}

/// An endpoint of which nothing could be found out.
pub fn unknown() -> Endpoint {
    Endpoint {
        key: EndpointKey::Unknown,
        kind: EndpointKind::Unknown,
        path: None,
        file_system: None,
        device_node: None,
        dma: None,
        socket: None,
    }
}

/// A disk has a link `device` to its parent; a partition's disk is one folder up; a mapped device lists its parts.
fn block_device_dma(folder: &Path) -> bool {
    let Ok(real) = fs::canonicalize(folder) else { return false };
    if real.join("device").exists() || real.parent().is_some_and(|disk| disk.join("device").exists()) {
        return true;
    }
    let Ok(parts) = fs::read_dir(real.join("slaves")) else { return false };
    parts.flatten().any(|part| block_device_dma(&part.path()))
}

fn network_dma(found: &wire::Endpoint) -> Option<bool> {
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    if found.family != AF_INET && found.family != AF_INET6 {
        return Some(false);
    }
    if found.known & known::ROUTE != 0 {
        return Some(found.route & route::DEVICE != 0 && found.route & route::LOOPBACK == 0);
    }
    if stays_here(found) == Some(true) { Some(false) } else { None }
}

fn kind(found: &wire::Endpoint, nature: Option<Nature>) -> EndpointKind {
    kind_of(found.mode, found.special_device, nature)
}

/// What an inode is, by `i_mode`, `i_rdev` (in the kernel's encoding) and what its file system is like.
fn kind_of(mode: u32, special_device: u32, nature: Option<Nature>) -> EndpointKind {
    match mode & S_IFMT {
        S_IFREG if nature == Some(Nature::Pseudo) => EndpointKind::PseudoFile,
        S_IFREG if nature == Some(Nature::Anonymous) => EndpointKind::Anonymous,
        S_IFREG => EndpointKind::File,
        S_IFDIR => EndpointKind::Directory,
        S_IFSOCK => EndpointKind::Socket,
        S_IFIFO => EndpointKind::Pipe,
        S_IFBLK => EndpointKind::BlockDevice,
        S_IFCHR if is_terminal(special_device) => EndpointKind::Terminal,
        S_IFCHR => EndpointKind::CharDevice,
        // Anonymous inodes have no type (fs/anon_inodes.c) before Linux 6.17, which made them regular files.
        0 => EndpointKind::Anonymous,
        _ => EndpointKind::Unknown,
    }
}

/// Documentation/admin-guide/devices.txt: 4 and 5 are consoles and serial lines, 136 to 143 pseudo terminals.
fn is_terminal(device: u32) -> bool {
    matches!(device >> 20, 4 | 5 | 136..=143 | 204)
}

fn path(found: &wire::Endpoint, kind: EndpointKind) -> Option<String> {
    match kind {
        EndpointKind::Socket => None,
        EndpointKind::Pipe if found.path_bytes <= 1 => Some(format!("pipe:[{}]", found.inode)),
        EndpointKind::Anonymous => {
            components(found).last().map(|name| format!("anon_inode:{}", String::from_utf8_lossy(name)))
        }
        _ if found.known & known::PATH == 0 => None,
        _ => Some(join(found)),
    }
}

fn components(found: &wire::Endpoint) -> impl Iterator<Item = &[u8]> {
    let used = (found.path_bytes as usize).min(found.path.len());
    found.path[..used].split(|byte| *byte == 0).filter(|name| !name.is_empty())
}

fn join(found: &wire::Endpoint) -> String {
    let names: Vec<_> = components(found).collect();
    let mut path = if found.known & known::PATH_CUT != 0 { "…".to_owned() } else { String::new() };
    for name in names.iter().rev() {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(name));
    }
    if path.is_empty() { "/".to_owned() } else { path }
}

fn socket(found: &wire::Endpoint) -> Socket {
    Socket {
        family: family_name(found.family),
        socket_type: type_name(found.socket_type),
        protocol: protocol_name(found),
        local: address(found, &found.local_address, found.local_port),
        remote: address(found, &found.remote_address, found.remote_port).filter(|remote| remote.port() != 0),
        loopback: loopback(found),
        offloads: offloads(found),
    }
}

fn offloads(found: &wire::Endpoint) -> Option<Offloads> {
    let has = |bit| found.route & bit != 0;
    (found.known & known::ROUTE != 0 && has(route::FEATURES)).then(|| Offloads {
        gathers: has(route::GATHERS),
        checksums: has(route::CHECKSUMS),
        encrypts: has(route::ENCRYPTS),
    })
}

fn loopback(found: &wire::Endpoint) -> Option<bool> {
    if !matches!(found.family, 2 | 10) {
        return Some(true);
    }
    if found.known & known::ROUTE != 0 {
        return Some(found.route & route::LOOPBACK != 0);
    }
    stays_here(found)
}

/// What the addresses alone tell when no route is cached yet: a loopback address, or the same one at both ends.
fn stays_here(found: &wire::Endpoint) -> Option<bool> {
    let remote = ip(found, &found.remote_address)?;
    if remote.is_unspecified() {
        return None;
    }
    let same = ip(found, &found.local_address) == Some(remote);
    if remote.is_loopback() || same { Some(true) } else { None }
}

fn ip(found: &wire::Endpoint, bytes: &[u8; 16]) -> Option<IpAddr> {
    match found.family {
        2 => Some(IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))),
        10 => Some(Ipv6Addr::from(*bytes).to_canonical()),
        _ => None,
    }
}

fn address(found: &wire::Endpoint, bytes: &[u8; 16], port: u16) -> Option<SocketAddr> {
    ip(found, bytes).map(|ip| SocketAddr::new(ip, port))
}

/// include/linux/socket.h
fn family_name(family: u16) -> String {
    match family {
        1 => "unix".into(),
        2 => "inet".into(),
        10 => "inet6".into(),
        16 => "netlink".into(),
        17 => "packet".into(),
        38 => "alg".into(),
        40 => "vsock".into(),
        44 => "xdp".into(),
        other => format!("af_{other}"),
    }
}

/// include/linux/net.h
fn type_name(socket_type: u16) -> String {
    match socket_type {
        1 => "stream".into(),
        2 => "datagram".into(),
        3 => "raw".into(),
        5 => "seqpacket".into(),
        other => format!("type_{other}"),
    }
}

/// The name of the protocol on top of TCP.
fn upper(name: &[u8; 8]) -> Option<String> {
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    (end > 0).then(|| String::from_utf8_lossy(&name[..end]).into_owned())
}

/// include/uapi/linux/in.h; only internet sockets have these.
fn protocol_name(found: &wire::Endpoint) -> String {
    match (found.family, found.protocol) {
        (2 | 10, 6) => upper(&found.upper).map_or_else(|| "tcp".into(), |upper| format!("tcp+{upper}")),
        (2 | 10, 17) => "udp".into(),
        (2 | 10, 1 | 58) => "icmp".into(),
        (2 | 10, 132) => "sctp".into(),
        (2 | 10, 136) => "udplite".into(),
        (2 | 10, 262) => "mptcp".into(),
        (1, _) => "unix".into(),
        (_, other) => other.to_string(),
    }
}
