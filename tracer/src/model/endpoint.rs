//! What an endpoint is: identified by what it is, never by a descriptor's number.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where payload rests (docs/evidence.md tells what moves from which place to which).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A disk, a network card, or what a device driver answers for.
    Device,
    /// The kernel's cache of a file.
    PageCache,
    /// Memory of the process.
    User,
    /// A socket's buffers.
    Socket,
    /// A pipe's buffers.
    Pipe,
}

/// What kind of object an endpoint is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A file that the kernel makes up when it is read (procfs, sysfs …).
    PseudoFile,
    /// A socket of any family.
    Socket,
    /// A pipe or FIFO.
    Pipe,
    /// A terminal.
    Terminal,
    /// Another character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// An eventfd, timerfd, signalfd, inotify … (anonymous inode).
    Anonymous,
    /// Memory of the process itself: no descriptor.
    User,
    /// Could not be found out.
    Unknown,
}

/// What of an endpoint never changes: device, inode number and generation. File systems give the number of a deleted file
/// to the next one at once; the generation tells the two apart (fs/ext4/ialloc.c, `__ext4_new_inode`). Pipes and
/// sockets have no generation, but numbers that count up (fs/inode.c, `get_next_ino`).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum EndpointKey {
    /// `s_dev` and inode number.
    Inode {
        /// `s_dev`, kernel encoding.
        device: u32,
        /// Inode number.
        inode: u64,
        /// `i_generation`, 0 where there is none; `None` if not known: then it is the file that had the number last.
        generation: Option<u32>,
    },
    /// Memory of a process.
    User,
    /// Not known.
    Unknown,
}

/// An endpoint as the probe found it.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Its identity.
    pub key: EndpointKey,
    /// What it is.
    pub kind: EndpointKind,
    /// Path as the target sees it, unescaped and lossily decoded; for pipes and anonymous inodes the kernel's name (`pipe:[123]`).
    pub path: Option<String>,
    /// What the fs is: `ext4`, `tmpfs`, `proc` … , if known by its magic.
    pub file_system: Option<&'static str>,
    /// Device number of a device node: major, minor.
    pub device_node: Option<(u32, u32)>,
    /// Whether the storage or network device behind it really does DMA; `None` if not known.
    pub dma: Option<bool>,
    /// Socket details.
    pub socket: Option<Socket>,
}

/// What is known of a socket.
#[derive(Clone, Debug, PartialEq)]
pub struct Socket {
    /// `inet`, `inet6`, `unix`, `netlink` …, or `af_N`.
    pub family: String,
    /// `stream`, `datagram`, `seqpacket`, `raw` …
    pub socket_type: String,
    /// `tcp`, `udp` …, or a number; with a protocol on top of TCP both: `tcp+tls`.
    pub protocol: String,
    /// Local address, for IP.
    pub local: Option<SocketAddr>,
    /// Remote address, for a connected IP socket.
    pub remote: Option<SocketAddr>,
    /// Whether what it sends stays on this machine; `None` if not known.
    pub loopback: Option<bool>,
    /// What the network device does that its route leaves by; `None` if not known.
    pub offloads: Option<Offloads>,
}

/// What a network device does so that the CPU need not, as it was when the socket was met (`ethtool -k`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Offloads {
    /// It takes a packet in pieces (scatter-gather).
    pub gathers: bool,
    /// It computes the checksums of packets that it sends.
    pub checksums: bool,
    /// It encrypts TLS.
    pub encrypts: bool,
}
