//! Which hooks count copies and DMA on this kernel: where there is one, its figure is the measured one.

/// What is counted by a hook on the very act. All false: everything rests on return values and the copy table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sources {
    /// Page cache to user memory: `filemap_read`.
    pub file_read: bool,
    /// tmpfs to user memory: `shmem_file_read_iter`.
    pub tmpfs_read: bool,
    /// Into the page cache: `generic_perform_write`.
    pub file_write: bool,
    /// Into the page cache of file systems on iomap (XFS): `iomap_file_buffered_write`.
    pub iomap_write: bool,
    /// Socket to user memory: `skb_copy_datagram_iovec`.
    pub socket_receive: bool,
    /// Into a TCP socket: `tcp_sendmsg_locked` less what it took by reference.
    pub tcp_send: bool,
    /// Into a UDP socket: `ip_generic_getfrag`.
    pub udp_send: bool,
    /// Into a unix socket: `skb_copy_datagram_from_iter`.
    pub unix_send: bool,
    /// Pipe to user memory: `pipe_read`.
    pub pipe_read: bool,
    /// User memory to pipe: `pipe_write`.
    pub pipe_write: bool,
    /// A splice that copies after all: `copy_splice_read`.
    pub splice_copy: bool,
    /// Block I/O in the context of the call: `block_bio_queue`.
    pub block: bool,
    /// Packets that network cards fetch, by socket: `net_dev_start_xmit`.
    pub network: bool,
    /// DMA through bounce buffers: `swiotlb_bounced`.
    pub bounces: bool,
    /// When calls begin: `sys_enter`. Without it no time inside calls is known.
    pub entries: bool,
}

impl Sources {
    /// Every hook counts.
    pub const ALL: Self = Self {
        file_read: true,
        tmpfs_read: true,
        file_write: true,
        iomap_write: true,
        socket_receive: true,
        tcp_send: true,
        udp_send: true,
        unix_send: true,
        pipe_read: true,
        pipe_write: true,
        splice_copy: true,
        block: true,
        network: true,
        bounces: true,
        entries: true,
    };

    /// No hook counts.
    pub const NONE: Self = Self {
        file_read: false,
        tmpfs_read: false,
        file_write: false,
        iomap_write: false,
        socket_receive: false,
        tcp_send: false,
        udp_send: false,
        unix_send: false,
        pipe_read: false,
        pipe_write: false,
        splice_copy: false,
        block: false,
        network: false,
        bounces: false,
        entries: true,
    };
}
