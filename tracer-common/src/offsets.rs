//! Where the kernel's structures keep what the programs read: found in the running kernel's BTF by user space and handed
//! over as a read-only global, because Rust programs carry no CO-RE relocations. The verifier sees constants, checks
//! typed loads against BTF, and prunes what is absent. Enumerators whose values differ between kernels are found in the
//! same way, as members of the structure `enum`.

/// A member that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

macro_rules! offsets {
    ($($field:ident = $structure:literal $path:literal;)*) => {
        /// Byte offsets of structure members and values of enumerators, or [`ABSENT`].
        #[derive(Clone, Copy, Debug)]
        #[repr(C)]
        pub struct Offsets {
            $(#[doc = concat!("`struct ", $structure, "`: `", $path, "`")] pub $field: u32,)*
        }

        impl Offsets {
            /// Nothing known.
            pub const NONE: Self = Self { $($field: ABSENT,)* };

            /// Asks `find` for each member by structure and dotted path.
            pub fn resolve(mut find: impl FnMut(&'static str, &'static str) -> Option<u32>) -> Self {
                Self { $($field: find($structure, $path).unwrap_or(ABSENT),)* }
            }

            /// Calls `each` with structure, path and offset of every member, for a report.
            pub fn visit(&self, mut each: impl FnMut(&'static str, &'static str, u32)) {
                $(each($structure, $path, self.$field);)*
            }
        }
    };
}

offsets! {
    task_tgid = "task_struct" "tgid";
    task_pid = "task_struct" "pid";
    task_start = "task_struct" "start_boottime";
    task_comm = "task_struct" "comm";
    task_files = "task_struct" "files";
    task_fs = "task_struct" "fs";
    task_status = "task_struct" "thread_info.status";
    task_state = "task_struct" "__state";
    task_exit_code = "task_struct" "exit_code";
    task_stack = "task_struct" "stack";
    task_signal = "task_struct" "signal";
    signal_live = "signal_struct" "live";
    task_voluntary = "task_struct" "nvcsw";
    task_involuntary = "task_struct" "nivcsw";
    task_minor_faults = "task_struct" "min_flt";
    task_major_faults = "task_struct" "maj_flt";
    task_rchar = "task_struct" "ioac.rchar";
    task_wchar = "task_struct" "ioac.wchar";
    task_syscr = "task_struct" "ioac.syscr";
    task_syscw = "task_struct" "ioac.syscw";
    task_read_bytes = "task_struct" "ioac.read_bytes";
    task_write_bytes = "task_struct" "ioac.write_bytes";
    files_fdt = "files_struct" "fdt";
    fdtable_max = "fdtable" "max_fds";
    fdtable_fd = "fdtable" "fd";
    file_inode = "file" "f_inode";
    file_flags = "file" "f_flags";
    file_mnt = "file" "f_path.mnt";
    file_dentry = "file" "f_path.dentry";
    file_private = "file" "private_data";
    fs_root_mnt = "fs_struct" "root.mnt";
    fs_root_dentry = "fs_struct" "root.dentry";
    dentry_parent = "dentry" "d_parent";
    dentry_name = "dentry" "d_name.name";
    vfsmount_root = "vfsmount" "mnt_root";
    mount_vfsmount = "mount" "mnt";
    mount_parent = "mount" "mnt_parent";
    mount_mountpoint = "mount" "mnt_mountpoint";
    inode_mode = "inode" "i_mode";
    inode_number = "inode" "i_ino";
    inode_generation = "inode" "i_generation";
    inode_sb = "inode" "i_sb";
    inode_rdev = "inode" "i_rdev";
    sb_dev = "super_block" "s_dev";
    sb_magic = "super_block" "s_magic";
    iter_type = "iov_iter" "iter_type";
    message_iter_type = "msghdr" "msg_iter.iter_type";
    socket_sk = "socket" "sk";
    socket_type = "socket" "type";
    sk_family = "sock" "__sk_common.skc_family";
    sk_local_port = "sock" "__sk_common.skc_num";
    sk_remote_port = "sock" "__sk_common.skc_dport";
    sk_local = "sock" "__sk_common.skc_rcv_saddr";
    sk_remote = "sock" "__sk_common.skc_daddr";
    sk_local6 = "sock" "__sk_common.skc_v6_rcv_saddr";
    sk_remote6 = "sock" "__sk_common.skc_v6_daddr";
    sk_protocol = "sock" "sk_protocol";
    sk_zerocopy_key = "sock" "sk_zckey";
    icsk_ulp = "inet_connection_sock" "icsk_ulp_ops";
    ulp_name = "tcp_ulp_ops" "name";
    sk_dst = "sock" "sk_dst_cache";
    dst_dev = "dst_entry" "dev";
    netdev_flags = "net_device" "flags";
    netdev_parent = "net_device" "dev.parent";
    netdev_features = "net_device" "features";
    feature_gathers = "enum" "NETIF_F_SG_BIT";
    feature_checksums = "enum" "NETIF_F_HW_CSUM_BIT";
    feature_checksums_ipv4 = "enum" "NETIF_F_IP_CSUM_BIT";
    feature_checksums_ipv6 = "enum" "NETIF_F_IPV6_CSUM_BIT";
    feature_encrypts = "enum" "NETIF_F_HW_TLS_TX_BIT";
    task_flags = "task_struct" "flags";
    task_bio_list = "task_struct" "bio_list";
    task_faults_disabled = "task_struct" "pagefault_disabled";
    bio_operation = "bio" "bi_opf";
    bio_flags = "bio" "bi_flags";
    bio_size = "bio" "bi_iter.bi_size";
    bio_index = "bio" "bi_iter.bi_idx";
    bio_vectors = "bio" "bi_io_vec";
    bio_device = "bio" "bi_bdev";
    bdev_number = "block_device" "bd_dev";
    vector_page = "bio_vec" "bv_page";
    page_head = "page" "compound_head";
    page_mapping = "page" "mapping";
    file_mapping = "file" "f_mapping";
    mapping_host = "address_space" "host";
    skb_sock = "sk_buff" "sk";
    skb_length = "sk_buff" "len";
    sk_socket = "sock" "sk_socket";
    bio_cloned = "enum" "BIO_CLONED";
    bio_page_pinned = "enum" "BIO_PAGE_PINNED";
    request_metadata = "enum" "__REQ_META";
    operation_append = "enum" "REQ_OP_ZONE_APPEND";
    request_file = "io_kiocb" "file";
    request_opcode = "io_kiocb" "opcode";
    request_flags = "io_kiocb" "flags";
    request_ctx = "io_kiocb" "ctx";
    request_user_data = "io_kiocb" "cqe.user_data";
    request_user_data_before_5_19 = "io_kiocb" "user_data";
    request_fd = "io_kiocb" "cqe.fd";
    cqe_user_data = "io_uring_cqe" "user_data";
    cqe_res = "io_uring_cqe" "res";
    cqe_flags = "io_uring_cqe" "flags";
    request_async = "io_kiocb" "async_data";
    message_iterator = "io_async_msghdr" "msg.msg_iter.ubuf";
    rw_addr = "io_rw" "addr";
    rw_len = "io_rw" "len";
    rw_flags = "io_rw" "flags";
    network_buffer = "io_sr_msg" "buf";
    network_length = "io_sr_msg" "len";
    network_flags = "io_sr_msg" "msg_flags";
    network_options = "io_sr_msg" "flags";
    network_notification = "io_sr_msg" "notif";
    splice_length = "io_splice" "len";
    splice_fd_in = "io_splice" "splice_fd_in";
    splice_flags = "io_splice" "flags";
    ctx_file_nodes = "io_ring_ctx" "file_table.data.nodes";
    ctx_file_count = "io_ring_ctx" "file_table.data.nr";
    node_file = "io_rsrc_node" "file_ptr";
    ctx_fixed_files = "io_ring_ctx" "file_table.files";
    aio_object = "aio_kiocb" "ki_res.obj";
    ctx_fixed_count = "io_ring_ctx" "nr_user_files";
}

/// What the programs are told once, before they load; a branch on any of these costs nothing at run time.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Config {
    /// Process id of the daemon itself, by which the raw form sees whether its offsets fit.
    pub own_tgid: u32,
    /// 1: children of traced processes are traced too.
    pub follow: u32,
    /// Bytes waiting in the ring buffer at which a program wakes the reader.
    pub wake_bytes: u32,
    /// 1: diagnostics through aya-log.
    pub debug: u32,
    /// Number of arguments of the sched_switch tracepoint (4 since Linux 5.18: with the previous state).
    pub sched_switch_arity: u32,
    /// 1: the kernel keeps I/O accounts per task.
    pub storage_accounts: u32,
    /// Number of arguments of the io_uring_complete tracepoint: 5 and more pass ring, request, user data, result and
    /// flags (since Linux 5.17), 3 pass ring, request and the completion (since 6.16).
    pub uring_complete_arity: u32,
    /// Which argument of the tracepoint of a submission is the request: 0 since Linux 6.0, 1 before.
    pub uring_submit_request: u32,
    /// Which argument of io_uring_queue_async_work is the request: 0 since Linux 6.0, 1 before.
    pub uring_queue_request: u32,
    /// A bit for each value of `enum iter_type` that stands for user memory.
    pub user_iterators: u32,
    /// One of [`detail`]: which calls are told one by one.
    pub detail: u32,
    /// One of [`latency`]: which calls are timed.
    pub latency: u32,
}

/// [`Config::detail`].
pub mod detail {
    /// Every call; in a storm a sample, and like calls are summed.
    pub const BY_PACE: u32 = 0;
    /// Every call.
    pub const ALL: u32 = 1;
    /// None that can be summed with others.
    pub const SUMMED: u32 = 2;
}

/// [`Config::latency`].
pub mod latency {
    /// Those that are told.
    pub const TOLD: u32 = 0;
    /// Every one.
    pub const ALL: u32 = 1;
    /// None: entries of calls are not hooked.
    pub const NONE: u32 = 2;
}

impl Config {
    /// As the object file has it, before it is overridden.
    pub const NONE: Self = Self {
        own_tgid: 0,
        follow: 0,
        wake_bytes: 0,
        debug: 0,
        sched_switch_arity: 3,
        storage_accounts: 0,
        uring_complete_arity: 5,
        uring_submit_request: 0,
        uring_queue_request: 0,
        user_iterators: 0,
        detail: detail::BY_PACE,
        latency: latency::TOLD,
    };
}

/// What may change while programs run: one entry of an array map.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Control {
    /// Process whose next children are traced from their birth (the daemon, while it starts a command); 0 for none.
    pub spawner_tgid: u32,
    /// 1: tracing has ended: the hooks do nothing more, the task iterator takes the accounts a last time.
    pub stopped: u32,
    /// In the raw form: where in a task's stack its saved user registers are, bytes.
    pub registers_at: u32,
    /// Goes up whenever tasks that may be running have been given slots, or may take one.
    pub attachments: u32,
    /// 1: the functions that run requests of io_uring are hooked, so that copies can be told to be theirs.
    pub counts_requests: u32,
}

/// What the raw form found out about itself: one entry of an array map.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Check {
    /// Where in a task's stack its saved user registers are, bytes.
    pub registers_at: u64,
    /// 1: the structure offsets lead to what the kernel's helpers say.
    pub fits: u32,
    /// 1: it has run.
    pub ran: u32,
}
