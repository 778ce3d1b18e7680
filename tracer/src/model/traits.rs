//! What of an endpoint decides how bytes get in and out of it, boiled down once from its description, so that the copy
//! table compares small values and no strings.

use super::endpoint::{Endpoint, EndpointKey, EndpointKind, Offloads, Socket};

/// What the copy table wants to know of an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Traits {
    pub(crate) kind: EndpointKind,
    /// Whether the device behind it does DMA; `None` if not known.
    pub(crate) dma: Option<bool>,
    /// The device that the file system is on (`s_dev`); 0 if not known.
    pub(crate) device: u32,
    pub(crate) storage: Storage,
    /// Whether requests to the device lead to the file by their pages, so that late ones can be told to be its.
    pub(crate) plain: bool,
    pub(crate) node: Node,
    pub(crate) route: Route,
    pub(crate) protocol: Protocol,
    /// What the network device does that a socket's packets leave by; `None` if not known.
    pub(crate) offloads: Option<Offloads>,
}

/// What keeps a file's bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Storage {
    /// Nothing but the page cache itself.
    Memory,
    /// A block device that `submit_bio` accounts to the task (block/blk-core.c).
    Block,
    /// As `Block`; copy_file_range may share extents (`remap_file_range`).
    Reflinking,
    /// As `Reflinking`, and every write into its page cache passes through iomap, where a hook may stand (XFS).
    ReflinkingIomap,
    /// A server or another process answers: what it fetches is not in this task's accounts.
    Remote,
}

/// Character devices of major 1 that move no payload (Documentation/admin-guide/devices.txt, drivers/char/mem.c).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Node {
    /// `/dev/null`: minor 3.
    Null,
    /// `/dev/zero` (minor 5) and `/dev/full` (minor 7).
    Zero,
    /// Any other, or none.
    Other,
}

/// Where a socket's packets go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    /// They stay on this machine.
    Local,
    /// Through a card that does DMA.
    Card,
    /// Through a device without hardware (veth, tun, bridge …).
    Virtual,
    /// Not known.
    Unknown,
}

/// Socket protocols that the table tells apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    /// TCP.
    Tcp,
    /// TCP with TLS in the kernel.
    Tls,
    /// AF_UNIX, any type.
    Unix,
    /// Another protocol over IP.
    Ip,
    /// Anything else.
    Other,
}

impl Traits {
    /// An endpoint of which nothing is known.
    pub(crate) const UNKNOWN: Self = Self {
        kind: EndpointKind::Unknown,
        dma: None,
        device: 0,
        storage: Storage::Block,
        plain: false,
        node: Node::Other,
        route: Route::Unknown,
        protocol: Protocol::Other,
        offloads: None,
    };

    /// Memory of the process.
    pub(crate) const USER: Self = Self { kind: EndpointKind::User, ..Self::UNKNOWN };

    /// What matters of an endpoint.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        let socket = endpoint.socket.as_ref();
        Self {
            kind: endpoint.kind,
            dma: endpoint.dma,
            device: match endpoint.key {
                EndpointKey::Inode { device, .. } => device,
                EndpointKey::User | EndpointKey::Unknown => 0,
            },
            storage: storage(endpoint.kind, endpoint.file_system),
            plain: plain(endpoint.kind, endpoint.file_system),
            node: node(endpoint.kind, endpoint.device_node),
            route: socket.map_or(Route::Unknown, |socket| route(socket, endpoint.dma)),
            protocol: socket.map_or(Protocol::Other, protocol),
            offloads: socket.and_then(|socket| socket.offloads),
        }
    }

    /// Whether bytes rest in the page cache between the program and a storage device.
    pub(crate) fn is_file(self) -> bool {
        matches!(self.kind, EndpointKind::File | EndpointKind::BlockDevice)
    }
}

fn storage(kind: EndpointKind, file_system: Option<&str>) -> Storage {
    if kind == EndpointKind::BlockDevice {
        // The node may lie on devtmpfs; the bytes do not.
        return Storage::Block;
    }
    match file_system {
        Some("tmpfs" | "ramfs" | "devtmpfs" | "hugetlbfs" | "shmem") => Storage::Memory,
        Some("xfs") => Storage::ReflinkingIomap,
        // Those with `remap_file_range` in their file_operations; overlayfs passes it on to what lies below.
        Some("btrfs" | "bcachefs" | "ocfs2" | "overlay" | "overlayfs") => Storage::Reflinking,
        Some(
            "nfs" | "nfs4" | "cifs" | "smb" | "smb2" | "smb3" | "9p" | "v9fs" | "ceph" | "afs" | "fuse"
            | "virtiofs" | "zfs",
        ) => Storage::Remote,
        _ => Storage::Block,
    }
}

/// As `tracer_common::device::is_plain` has it.
fn plain(kind: EndpointKind, file_system: Option<&str>) -> bool {
    match kind {
        EndpointKind::BlockDevice => true,
        EndpointKind::File => matches!(file_system, Some("ext4" | "xfs" | "vfat" | "exfat")),
        _ => false,
    }
}

/// Whether `copy_file_range` within a file system of this name may share extents, or be done by a server, so that it is not
/// known what is copied.
pub(crate) fn may_share_extents(file_system: Option<&str>) -> bool {
    matches!(
        storage(EndpointKind::File, file_system),
        Storage::Reflinking | Storage::ReflinkingIomap | Storage::Remote
    )
}

fn node(kind: EndpointKind, device_node: Option<(u32, u32)>) -> Node {
    match (kind, device_node) {
        // Major 1 of the block devices is another one: ram disks.
        (EndpointKind::CharDevice, Some((1, 3))) => Node::Null,
        (EndpointKind::CharDevice, Some((1, 5 | 7))) => Node::Zero,
        _ => Node::Other,
    }
}

fn route(socket: &Socket, dma: Option<bool>) -> Route {
    match (socket.family.as_str(), socket.loopback, dma) {
        ("unix" | "netlink", _, _) | (_, Some(true), _) => Route::Local,
        (_, Some(false), Some(true)) => Route::Card,
        (_, Some(false), Some(false)) => Route::Virtual,
        _ => Route::Unknown,
    }
}

fn protocol(socket: &Socket) -> Protocol {
    match (socket.family.as_str(), socket.protocol.as_str()) {
        ("unix", _) => Protocol::Unix,
        ("inet" | "inet6", "tcp") => Protocol::Tcp,
        ("inet" | "inet6", "tcp+tls") => Protocol::Tls,
        // What another protocol makes of its bytes on top of TCP (MPTCP, SMC …) is its own affair.
        ("inet" | "inet6", tcp) if tcp.starts_with("tcp+") => Protocol::Other,
        ("inet" | "inet6", _) => Protocol::Ip,
        _ => Protocol::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing;

    #[test]
    fn device_nodes_that_move_nothing() {
        let mut null = testing::endpoint(EndpointKind::CharDevice, 3);
        for (minor, expected) in
            [(3, Node::Null), (5, Node::Zero), (7, Node::Zero), (8, Node::Other), (9, Node::Other)]
        {
            null.device_node = Some((1, minor));
            assert_eq!(Traits::of(&null).node, expected, "1:{minor}");
        }
        null.device_node = Some((5, 3));
        assert_eq!(Traits::of(&null).node, Node::Other);
    }

    #[test]
    fn routes() {
        for (loopback, dma, expected) in [
            (Some(true), Some(true), Route::Local),
            (Some(false), Some(true), Route::Card),
            (Some(false), Some(false), Route::Virtual),
            (Some(false), None, Route::Unknown),
            (None, Some(true), Route::Unknown),
        ] {
            let tcp = testing::socket(1, "inet", "tcp", loopback, dma);
            assert_eq!(Traits::of(&tcp).route, expected, "{loopback:?} {dma:?}");
        }
        assert_eq!(Traits::of(&testing::socket(1, "unix", "0", None, None)).route, Route::Local);
    }
}
