//! What the hooks that were attached know on this kernel: which copies and moves they count, and of which they say nothing.

use super::{
    device_io,
    error::LoadError,
    hooks::{HOOKS, REQUEST_COPIES},
    load::Probe,
};
use crate::model::sources::Sources;

impl Probe {
    /// What hooks count on this kernel.
    pub fn sources(&self) -> Sources {
        let counts = |name: &str| self.is_attached(name);
        // Without knowing iterators apart, what is copied to user memory is not known from what is not.
        let returns = |name: &str| counts(name) && self.knows_user_iterators();
        Sources {
            file_read: returns("filemap_read"),
            tmpfs_read: returns("shmem_file_read_iter"),
            file_write: returns("generic_perform_write"),
            iomap_write: returns("iomap_file_buffered_write"),
            socket_receive: counts("skb_copy_datagram_iovec"),
            tcp_send: returns("tcp_sendmsg_locked")
                && counts("skb_zerocopy_iter_stream")
                && self.knows_spliced(),
            udp_send: counts("ip_generic_getfrag"),
            unix_send: returns("skb_copy_datagram_from_iter"),
            pipe_read: returns("pipe_read"),
            pipe_write: returns("pipe_write"),
            splice_copy: counts("copy_splice_read"),
            block: counts("block_bio_queue") && device_io::members_found(self.offsets()),
            bounces: counts("swiotlb_bounced"),
            entries: counts("sys_enter"),
            network: counts("net_dev_start_xmit") && device_io::socket_members_found(self.offsets()),
        }
    }

    /// Whether what is copied for requests of io_uring can be told to be theirs: all functions that run some are hooked, but
    /// those that the kernel does not have. Of one that is there and not hooked, copies would be taken for another's.
    pub fn counts_requests(&self) -> bool {
        let mut runners = HOOKS.iter().filter(|hook| hook.gives == REQUEST_COPIES);
        let counts = |name: &str| self.is_attached(name);
        let absent = |name: &'static str| {
            let why = LoadError::NoFunction(name).to_string();
            self.missing().iter().any(|(hook, reason)| hook.name == name && *reason == why)
        };
        // Every kernel has these, and a compiler may have put them where no hook finds them.
        ["io_read", "io_write", "io_send", "io_recv", "io_sendmsg", "io_recvmsg"].map(counts) == [true; 6]
            && runners.all(|hook| counts(hook.name) || absent(hook.name))
    }

    /// Whether it is told what TCP takes by reference: on kernels where that passes through `tcp_sendmsg_locked` at all.
    fn knows_spliced(&self) -> bool {
        let missing = self.missing().iter().find(|(hook, _)| hook.name == "skb_splice_from_iter");
        missing.is_none_or(|(_, why)| *why == LoadError::NoFunction("skb_splice_from_iter").to_string())
    }
}
