//! The copy table: what moves where, by whom, in one operation (docs/evidence.md has it in short). Nothing else in the code base
//! knows it.
//!
//! Each rule's source is the kernel function that it describes; `copies/tests.rs` has each, and the scenarios of
//! tests/tests/evidence.rs hold them against what kernels do.

use super::{
    endpoint::{EndpointKind, Offloads, Place},
    event::{CallKind, Counted},
    evidence::Evidence,
    evidence::Evidence::{Derived, Measured, Modelled, Unknown},
    part::{Note, Parts, Step},
    snapshot::Mover,
    sources::Sources,
    traits::{Node, Protocol, Route, Storage, Traits},
};

mod counted;
mod devices;
mod in_kernel;
mod sockets;
#[cfg(test)]
mod tests;

pub(crate) use devices::{NOT_SEEN, deferred, fetched_apart};

/// `O_DIRECT` (fcntl(2)); its value differs between architectures.
const O_DIRECT: u32 = libc::O_DIRECT as u32;
/// The bits of `f_flags` that hold the access mode (fcntl(2)).
const O_ACCMODE: u32 = libc::O_ACCMODE as u32;
/// Peek at incoming messages: 0x2 (linux/socket.h).
const MSG_PEEK: u32 = libc::MSG_PEEK as u32;
/// Return the real length of a packet; on TCP, discard the bytes (tcp(7)): 0x20 (linux/socket.h).
const MSG_TRUNC: u32 = libc::MSG_TRUNC as u32;
/// Send without copying: 0x4000000 (linux/socket.h).
const MSG_ZEROCOPY: u32 = libc::MSG_ZEROCOPY as u32;

/// A descriptor's side of an operation; [`Party::USER`] where the side is the memory of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party {
    pub(crate) traits: Traits,
    /// `f_flags`.
    pub(crate) flags: u32,
}

impl Party {
    /// Memory of the process.
    pub(crate) const USER: Self = Self { traits: Traits::USER, flags: 0 };

    /// Whether its bytes go past the page cache. On a pipe O_DIRECT means packet mode (pipe(2)), on a file that lives in
    /// memory it is accepted and without effect (mm/shmem.c).
    fn is_direct(self) -> bool {
        self.flags & O_DIRECT != 0 && self.traits.is_file() && self.traits.storage != Storage::Memory
    }

    /// Where its bytes rest.
    fn place(self) -> Place {
        match self.traits.kind {
            EndpointKind::File | EndpointKind::BlockDevice => Place::PageCache,
            EndpointKind::Socket => Place::Socket,
            EndpointKind::Pipe => Place::Pipe,
            EndpointKind::User => Place::User,
            EndpointKind::Directory
            | EndpointKind::PseudoFile
            | EndpointKind::Terminal
            | EndpointKind::CharDevice
            | EndpointKind::Anonymous
            | EndpointKind::Unknown => Place::Device,
        }
    }

    fn is_unknown(self) -> bool {
        self.traits.kind == EndpointKind::Unknown
    }
}

/// What is known of an operation (or of several that are alike, added up).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act {
    pub(crate) kind: CallKind,
    pub(crate) source: Party,
    pub(crate) sink: Party,
    /// The call's flags argument.
    pub(crate) flags: u32,
    /// What the call returned.
    pub(crate) bytes: u64,
    pub(crate) asked: Option<u64>,
    pub(crate) storage_read: Option<u64>,
    pub(crate) storage_written: Option<u64>,
    /// Of a send with MSG_ZEROCOPY: whether the socket heeded the flag.
    pub(crate) pinned: Option<bool>,
    /// What was counted inside it, if its beginning was seen.
    pub(crate) counted: Option<Counted>,
    /// Whether it is a request of io_uring or AIO: what devices move for it is not counted with it.
    pub(crate) is_request: bool,
    /// Which hooks count.
    pub(crate) sources: Sources,
}

/// Packets that a network card fetched from where they rest.
pub(crate) fn transmitted(from: Place) -> Step {
    let note = Some(Note::Transmitted);
    Step { from, to: Place::Device, mover: Some(Mover::Dma), evidence: Measured, note }
}

/// Whether `vmsplice` on a descriptor with these flags puts user memory into the pipe (fs/splice.c: it goes by
/// `FMODE_WRITE`), and not the pipe's bytes into user memory.
pub(crate) fn vmsplice_writes(flags: u32) -> bool {
    flags & O_ACCMODE != libc::O_RDONLY as u32
}

/// Whether a `send` with these flags asks for MSG_ZEROCOPY.
pub(crate) fn asks_zerocopy(flags: u32) -> bool {
    flags & MSG_ZEROCOPY != 0
}

impl Act {
    /// Bytes that reached the sink. A peek leaves them in the socket; TCP drops them with MSG_TRUNC; a datagram cut by
    /// MSG_TRUNC returns its whole length (recv(2)).
    pub(crate) fn payload(&self) -> u64 {
        if self.kind != CallKind::Receive {
            return self.bytes;
        }
        if self.flags & MSG_PEEK != 0 || self.discards() {
            return 0;
        }
        self.received()
    }

    /// Bytes that were put into user memory, sent on or not.
    pub(crate) fn received(&self) -> u64 {
        if self.discards() {
            0
        } else if self.kind == CallKind::Receive && self.flags & MSG_TRUNC != 0 {
            self.bytes.min(self.asked.unwrap_or(u64::MAX))
        } else {
            self.bytes
        }
    }

    fn discards(&self) -> bool {
        self.kind == CallKind::Receive
            && self.flags & MSG_TRUNC != 0
            && self.source.traits.protocol == Protocol::Tcp
    }

    /// What moved where.
    pub(crate) fn parts(&self) -> Parts {
        let mut parts = Parts::default();
        match self.kind {
            CallKind::Read | CallKind::Receive => self.put_in_user(&mut parts),
            CallKind::Write | CallKind::Send => self.take_from_user(&mut parts),
            CallKind::Vmsplice => self.vmsplice(&mut parts),
            CallKind::Sendfile | CallKind::Splice => self.between(&mut parts),
            CallKind::Tee => {
                // fs/splice.c, link_pipe: takes references.
                let evidence =
                    if self.source.is_unknown() || self.sink.is_unknown() { Modelled } else { Derived };
                self.put(&mut parts, Place::Pipe, Place::Pipe, Mover::None, evidence, None);
            }
            CallKind::CopyFileRange => self.copy_file_range(&mut parts),
            // mm/process_vm_access.c: copy_page_to_iter / copy_page_from_iter.
            CallKind::ProcessVmRead | CallKind::ProcessVmWrite => {
                self.put(&mut parts, Place::User, Place::User, Mover::Cpu, Derived, None);
            }
            CallKind::Descriptor
            | CallKind::Map
            | CallKind::Unmap
            | CallKind::Remap
            | CallKind::Exec
            | CallKind::Exit
            | CallKind::Submit => {}
        }
        self.settle(&mut parts);
        parts
    }

    /// A step of all bytes of the operation, if it moved any.
    fn put(
        &self,
        parts: &mut Parts,
        from: Place,
        to: Place,
        mover: Mover,
        evidence: Evidence,
        note: Option<Note>,
    ) {
        if self.bytes > 0 {
            parts.push(Step { from, to, mover: Some(mover), evidence, note }, self.bytes);
        }
    }

    /// A step of which the bytes are not known.
    fn unknown(&self, parts: &mut Parts, from: Place, to: Place, mover: Option<Mover>, note: Note) {
        if self.bytes > 0 {
            parts.push(Step { from, to, mover, evidence: Unknown, note: Some(note) }, self.bytes);
        }
    }

    /// Says that nothing was copied, and why.
    fn nothing(&self, parts: &mut Parts, from: Place, to: Place, evidence: Evidence, note: Note) {
        if self.bytes > 0 {
            parts.push(Step { from, to, mover: Some(Mover::None), evidence, note: Some(note) }, 0);
        }
    }

    fn put_in_user(&self, parts: &mut Parts) {
        let (source, user) = (self.source, Place::User);
        match source.traits.kind {
            EndpointKind::File | EndpointKind::BlockDevice if source.is_direct() => {
                self.direct_read(parts, user);
            }
            EndpointKind::File | EndpointKind::BlockDevice => {
                // mm/filemap.c, filemap_read; mm/shmem.c, shmem_file_read_iter.
                self.fetched(parts, source);
                self.put(parts, Place::PageCache, user, Mover::Cpu, Derived, None);
            }
            EndpointKind::Socket if self.discards() => {
                // net/ipv4/tcp.c, tcp_recvmsg_locked: `if (!(flags & MSG_TRUNC))` around the copy.
                self.wire_in(parts, source);
                self.nothing(parts, Place::Socket, user, Modelled, Note::Discarded);
            }
            EndpointKind::Socket => {
                // net/core/datagram.c, skb_copy_datagram_iter.
                let peeks = self.kind == CallKind::Receive && self.flags & MSG_PEEK != 0;
                if !peeks {
                    self.wire_in(parts, source);
                }
                if source.traits.protocol == Protocol::Tls && !peeks {
                    self.decrypt(parts);
                } else if self.received() > 0 {
                    let note = peeks.then_some(Note::Peeked);
                    let (from, mover) = (Place::Socket, Some(Mover::Cpu));
                    parts.push(Step { from, to: user, mover, evidence: Derived, note }, self.received());
                }
            }
            EndpointKind::Pipe => self.put(parts, Place::Pipe, user, Mover::Cpu, Derived, None),
            _ if source.traits.node != Node::Other => {
                // drivers/char/mem.c, read_iter_zero: iov_iter_zero.
                self.nothing(parts, Place::Device, user, Derived, Note::Filled);
            }
            EndpointKind::Directory
            | EndpointKind::PseudoFile
            | EndpointKind::Terminal
            | EndpointKind::CharDevice
            | EndpointKind::Anonymous => {
                self.put(parts, Place::Device, user, Mover::Cpu, Modelled, Some(Note::SpecialFile));
            }
            EndpointKind::User | EndpointKind::Unknown => {
                self.unknown(parts, source.place(), user, None, Note::UnknownEndpoint);
            }
        }
    }

    fn take_from_user(&self, parts: &mut Parts) {
        let (sink, user) = (self.sink, Place::User);
        let kind = sink.traits.kind;
        match kind {
            EndpointKind::File | EndpointKind::BlockDevice if sink.is_direct() => {
                self.direct_write(parts, user)
            }
            EndpointKind::File | EndpointKind::BlockDevice => {
                // mm/filemap.c, generic_perform_write. A page that is written in part may be read first.
                if self.device_read().is_some_and(|bytes| bytes > 0) {
                    self.fetched(parts, sink);
                }
                self.put(parts, user, Place::PageCache, Mover::Cpu, Derived, None);
                self.written_back(parts, sink);
            }
            _ => self.faulted_in(parts),
        }
        match kind {
            EndpointKind::File | EndpointKind::BlockDevice => {}
            EndpointKind::Socket => self.send(parts),
            EndpointKind::Pipe => self.put(parts, user, Place::Pipe, Mover::Cpu, Derived, None),
            _ if sink.traits.node != Node::Other => {
                // drivers/char/mem.c, write_null.
                self.nothing(parts, user, Place::Device, Derived, Note::Discarded);
            }
            EndpointKind::Directory
            | EndpointKind::PseudoFile
            | EndpointKind::Terminal
            | EndpointKind::CharDevice
            | EndpointKind::Anonymous => {
                self.put(parts, user, Place::Device, Mover::Cpu, Modelled, Some(Note::SpecialFile));
            }
            EndpointKind::User | EndpointKind::Unknown => {
                self.unknown(parts, user, sink.place(), None, Note::UnknownEndpoint);
            }
        }
    }

    fn vmsplice(&self, parts: &mut Parts) {
        let (user, pipe) = (Place::User, Place::Pipe);
        if self.sink.is_unknown() || self.source.is_unknown() {
            self.unknown(parts, user, pipe, None, Note::UnknownEndpoint);
        } else if self.source.traits.kind == EndpointKind::User {
            // fs/splice.c, vmsplice_to_pipe: takes references to the pages.
            self.faulted_in(parts);
            self.put(parts, user, pipe, Mover::None, Derived, None);
        } else {
            // vmsplice_to_user: copy_page_to_iter.
            self.put(parts, pipe, user, Mover::Cpu, Derived, Some(Note::VmspliceCopies));
        }
    }
}
