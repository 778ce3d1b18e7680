//! The identity of an endpoint, walked once per open file and read by user space through a map.

use crate::limits::{NAME_BYTES, PATH_BYTES};

/// Bits of [`Endpoint::known`].
pub mod known {
    /// The walk reached the inode: `device`, `inode`, `mode`, `fs_magic` are set.
    pub const INODE: u32 = 1;
    /// The walk reached the socket: family, type, addresses are set.
    pub const SOCKET: u32 = 2;
    /// The route of the socket is known: [`super::Endpoint::route`] is set.
    pub const ROUTE: u32 = 4;
    /// The path has been walked up to the root.
    pub const PATH: u32 = 8;
    /// The path has more components than are carried.
    pub const PATH_CUT: u32 = 16;
}

/// Bits of [`Endpoint::route`].
pub mod route {
    /// The network device is a loopback (`IFF_LOOPBACK`).
    pub const LOOPBACK: u32 = 1;
    /// The network device has a parent device on a bus, so it does DMA.
    pub const DEVICE: u32 = 2;
    /// What the network device can was read: the bits below hold.
    pub const FEATURES: u32 = 4;
    /// It takes a packet in pieces (`NETIF_F_SG`).
    pub const GATHERS: u32 = 8;
    /// It computes the checksums of such packets (`NETIF_F_HW_CSUM`, `NETIF_F_IP_CSUM`, `NETIF_F_IPV6_CSUM`).
    pub const CHECKSUMS: u32 = 16;
    /// It encrypts TLS (`NETIF_F_HW_TLS_TX`).
    pub const ENCRYPTS: u32 = 32;
}

/// What an open file is. Socket fields are those of `struct sock_common`, ports in host order.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Endpoint {
    /// Bits of [`known`].
    pub known: u32,
    /// Process and
    pub tgid: u32,
    /// descriptor under which it was first met.
    pub fd: i32,
    /// `i_mode`: type and permissions.
    pub mode: u32,
    /// `s_dev` of the file system, in the kernel's own encoding (major << 20 | minor).
    pub device: u32,
    /// `i_rdev` of a device node, in the same encoding.
    pub special_device: u32,
    /// Inode number.
    pub inode: u64,
    /// `s_magic` of the file system (linux/magic.h).
    pub fs_magic: u64,
    /// Address family.
    pub family: u16,
    /// SOCK_STREAM, SOCK_DGRAM …
    pub socket_type: u16,
    /// IPPROTO_TCP, IPPROTO_UDP …
    pub protocol: u16,
    /// Local port.
    pub local_port: u16,
    /// Remote port, 0 if not connected.
    pub remote_port: u16,
    /// Padding.
    pub _pad: u16,
    /// Bits of [`route`].
    pub route: u32,
    /// Name of the protocol on top of TCP (`tls`), if there is one (`icsk_ulp_ops`).
    pub upper: [u8; 8],
    /// IPv4 in the first four bytes, or IPv6.
    pub local_address: [u8; 16],
    /// Likewise.
    pub remote_address: [u8; 16],
    /// Bytes used in `path`.
    pub path_bytes: u32,
    /// `i_generation`: tells files apart that had the same inode number one after the other; 0 where the file system
    /// keeps none.
    pub generation: u32,
    /// Components, the last one first, each ending in NUL; room for one more name than counted, so that every bounded
    /// offset can take a whole name.
    pub path: [u8; PATH_BYTES + NAME_BYTES],
}

const _: () = assert!(size_of::<Endpoint>() == 40 + 16 + 8 + 32 + 8 + PATH_BYTES + NAME_BYTES);
