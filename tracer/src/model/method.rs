//! How bytes go from a source to a sink: what flows are told apart by, besides their ends.

use super::{event::CallKind, evidence::Evidence};

/// What brought bytes into the memory of the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(crate) enum Origin {
    /// No call that was seen: the program made them, or they were there before.
    Memory,
    /// The `read` family.
    Read,
    /// The `recv` family.
    Receive,
    /// They are those of a mapped file.
    Mapped,
    /// `vmsplice` out of a pipe.
    Vmsplice,
}

/// What took bytes out of the memory of the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(crate) enum Delivery {
    /// Nothing yet.
    Stays,
    /// The `write` family.
    Write,
    /// The `send` family.
    Send,
    /// The `send` family with MSG_ZEROCOPY.
    SendZerocopy,
    /// `vmsplice` into a pipe.
    Vmsplice,
}

/// How bytes go from a source to a sink.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub(crate) enum Method {
    /// Through the memory of the process.
    Relay(Origin, Delivery),
    Sendfile,
    Splice,
    Tee,
    CopyFileRange,
    ProcessVmRead,
    ProcessVmWrite,
}

impl Method {
    /// That of a call that moves bytes without the memory of the process.
    pub(crate) fn in_kernel(kind: CallKind) -> Option<Self> {
        match kind {
            CallKind::Sendfile => Some(Self::Sendfile),
            CallKind::Splice => Some(Self::Splice),
            CallKind::Tee => Some(Self::Tee),
            CallKind::CopyFileRange => Some(Self::CopyFileRange),
            CallKind::ProcessVmRead => Some(Self::ProcessVmRead),
            CallKind::ProcessVmWrite => Some(Self::ProcessVmWrite),
            _ => None,
        }
    }

    /// How it is known that a flow's bytes are the source's: reads are joined to writes by buffer and samples of it,
    /// what comes out of a pipe by the order in which it went in.
    pub(crate) fn payload_evidence(self) -> Evidence {
        match self {
            Self::Relay(_, Delivery::Stays) | Self::Relay(Origin::Memory | Origin::Mapped, _) => {
                Evidence::Derived
            }
            Self::Relay(..) => Evidence::Modelled,
            _ => Evidence::Derived,
        }
    }

    /// Whether the payload lies in a mapped file.
    pub(crate) fn is_from_mapping(self) -> bool {
        matches!(self, Self::Relay(Origin::Mapped, _))
    }

    /// Its published name.
    pub(crate) fn name(self) -> &'static str {
        use {Delivery as D, Origin as O};
        match self {
            Self::Relay(O::Memory, D::Stays) => "user",
            Self::Relay(O::Read, D::Stays) => "read",
            Self::Relay(O::Receive, D::Stays) => "recv",
            Self::Relay(O::Mapped, D::Stays) => "mmap",
            Self::Relay(O::Vmsplice, D::Stays) | Self::Relay(O::Memory, D::Vmsplice) => "vmsplice",
            Self::Relay(O::Memory, D::Write) => "write",
            Self::Relay(O::Memory, D::Send) => "send",
            Self::Relay(O::Memory, D::SendZerocopy) => "send(MSG_ZEROCOPY)",
            Self::Relay(O::Read, D::Write) => "read+write",
            Self::Relay(O::Read, D::Send) => "read+send",
            Self::Relay(O::Read, D::SendZerocopy) => "read+send(MSG_ZEROCOPY)",
            Self::Relay(O::Read, D::Vmsplice) => "read+vmsplice",
            Self::Relay(O::Receive, D::Write) => "recv+write",
            Self::Relay(O::Receive, D::Send) => "recv+send",
            Self::Relay(O::Receive, D::SendZerocopy) => "recv+send(MSG_ZEROCOPY)",
            Self::Relay(O::Receive, D::Vmsplice) => "recv+vmsplice",
            Self::Relay(O::Mapped, D::Write) => "mmap+write",
            Self::Relay(O::Mapped, D::Send) => "mmap+send",
            Self::Relay(O::Mapped, D::SendZerocopy) => "mmap+send(MSG_ZEROCOPY)",
            Self::Relay(O::Mapped, D::Vmsplice) => "mmap+vmsplice",
            Self::Relay(O::Vmsplice, D::Write) => "vmsplice+write",
            Self::Relay(O::Vmsplice, D::Send) => "vmsplice+send",
            Self::Relay(O::Vmsplice, D::SendZerocopy) => "vmsplice+send(MSG_ZEROCOPY)",
            Self::Relay(O::Vmsplice, D::Vmsplice) => "vmsplice+vmsplice",
            Self::Sendfile => "sendfile",
            Self::Splice => "splice",
            Self::Tee => "tee",
            Self::CopyFileRange => "copy_file_range",
            Self::ProcessVmRead => "process_vm_readv",
            Self::ProcessVmWrite => "process_vm_writev",
        }
    }
}

/// Whether a call of this kind is an operation: it moves payload.
pub(crate) fn is_operation(kind: CallKind) -> bool {
    match kind {
        CallKind::Read
        | CallKind::Write
        | CallKind::Receive
        | CallKind::Send
        | CallKind::Sendfile
        | CallKind::Splice
        | CallKind::Tee
        | CallKind::Vmsplice
        | CallKind::CopyFileRange
        | CallKind::ProcessVmRead
        | CallKind::ProcessVmWrite => true,
        CallKind::Descriptor
        | CallKind::Map
        | CallKind::Unmap
        | CallKind::Remap
        | CallKind::Exec
        | CallKind::Exit
        | CallKind::Submit => false,
    }
}
