//! System calls of the running architecture: names by number, shapes by name.

use syscalls::{Sysno, x86};
use tracer_common::{
    call::{CALL_SHAPES, CallClass, CallKind, CallShape, NamedShape, SOCKET_CALLS, SocketCall},
    limits::{CALL_OTHER, CALLS, COMPAT_BASE, URING_BASE},
    request::{self, NamedRequest},
};

use crate::model::event::CallName;

/// The table, indexed as the kernel side indexes it.
pub struct CallTable {
    entries: Vec<Entry>,
}

struct Entry {
    name: CallName,
    what: What,
}

enum What {
    Counted,
    Call(&'static NamedShape),
    Request(&'static NamedRequest),
}

impl Entry {
    /// What the kernel side is told of it.
    fn shape(&self) -> CallShape {
        let named = match self.what {
            What::Counted if self.name.compat && self.name.name == "socketcall" => {
                return CallShape { arguments_at: CallShape::AT_SECOND, ..CallShape::COUNTED };
            }
            What::Counted => return CallShape::COUNTED,
            What::Request(request) => return request.shape,
            What::Call(named) => named,
        };
        // i386 `mmap` passes a pointer to its arguments (mm/mmap.c, `old_mmap`).
        let old_map = self.name.compat && named.name == "mmap";
        let arguments_at = if old_map { CallShape::AT_FIRST } else { 0 };
        CallShape { arguments_at, ..named.shape }
    }
}

impl CallTable {
    /// The table of the architecture that this program was built for, with the 32-bit calls that its kernels also take.
    pub fn native() -> Self {
        let entries = (0..CALLS as u32)
            .map(|index| {
                if let Some(request) = request::at(index) {
                    let name = CallName { name: request.name, compat: false };
                    return Entry { name, what: What::Request(request) };
                }
                let name =
                    CallName { name: name_at(index), compat: (COMPAT_BASE..CALL_OTHER).contains(&index) };
                let shape = CALL_SHAPES.iter().find(|shape| shape.name == name.name);
                Entry { name, what: shape.map_or(What::Counted, What::Call) }
            })
            .collect();
        Self { entries }
    }

    /// The call at an index of the wire.
    pub fn name(&self, index: u32) -> CallName {
        self.entries.get(index as usize).map_or(CallName { name: UNKNOWN, compat: false }, |entry| entry.name)
    }

    /// What it does, if it is more than counted.
    pub fn kind(&self, index: u32) -> Option<CallKind> {
        match self.entries.get(index as usize)?.what {
            What::Counted => None,
            What::Call(named) => Some(named.kind),
            What::Request(request) => request.kind,
        }
    }

    /// Flags that an opcode implies beyond those that it is given: MSG_ZEROCOPY.
    pub fn implied_flags(&self, index: u32) -> u32 {
        let zerocopy = [request::SEND_ZC, request::SENDMSG_ZC].map(|opcode| URING_BASE + opcode);
        if zerocopy.contains(&index) { libc::MSG_ZEROCOPY.cast_unsigned() } else { 0 }
    }

    /// Whether it returns new descriptors.
    pub fn opens(&self, index: u32) -> bool {
        let entry = self.entries.get(index as usize);
        entry.is_some_and(|entry| entry.shape().class == CallClass::OPENS)
    }

    /// The shape at every index, to fill the kernel side's table with.
    pub fn shapes(&self) -> impl Iterator<Item = (u32, CallShape)> + '_ {
        (0..).zip(&self.entries).map(|(index, entry)| (index, entry.shape()))
    }

    /// What 32-bit `socketcall` stands for, by its first argument.
    pub fn socket_calls(&self) -> impl Iterator<Item = (u32, SocketCall)> + '_ {
        let index_of = |name: &str| {
            let is_it = |entry: &Entry| entry.name.compat && entry.name.name == name;
            (0..).zip(&self.entries).find(|(_, entry)| is_it(entry)).map(|(index, _)| index)
        };
        (0..).zip(SOCKET_CALLS).filter_map(move |(number, (name, arguments))| {
            index_of(name).map(|call| (number, SocketCall { call, arguments: *arguments }))
        })
    }

    /// Indices that have a name.
    pub fn named(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.entries).filter(|(_, entry)| entry.name.name != UNKNOWN).map(|(index, _)| index)
    }
}

const UNKNOWN: &str = "unknown";

fn name_at(index: u32) -> &'static str {
    if index >= CALL_OTHER {
        UNKNOWN
    } else if index >= COMPAT_BASE {
        compat_name(index - COMPAT_BASE)
    } else {
        Sysno::new(index as usize).map_or(UNKNOWN, |call| call.name())
    }
}

/// i386 numbers on x86-64; other architectures' 32-bit calls are not told apart yet.
fn compat_name(number: u32) -> &'static str {
    if cfg!(target_arch = "x86_64") {
        x86::Sysno::new(number as usize).map_or(UNKNOWN, |call| call.name())
    } else {
        UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::limits::{AIO_BASE, AIO_OPCODES, URING_OPCODES};

    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn numbers_of_both_abis_do_not_mix() {
        // arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl: 0 is read and restart_syscall, 3 is close and read.
        let table = CallTable::native();
        assert_eq!(table.name(0), CallName { name: "read", compat: false });
        assert_eq!(table.name(COMPAT_BASE + 3), CallName { name: "read", compat: true });
        assert_eq!(table.kind(COMPAT_BASE + 3), Some(CallKind::Read));
        assert_eq!(table.kind(3), Some(CallKind::Descriptor));
        assert_eq!(table.kind(39), None, "getpid is only counted");
        assert_eq!(table.name(CALL_OTHER).name, "unknown");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn calls_of_sockets_by_one_number() {
        let table = CallTable::native();
        let socketcall = table.named().find(|index| table.name(*index).name == "socketcall");
        let shapes: Vec<_> = table.shapes().collect();
        let shape = shapes[socketcall.expect("i386 has it") as usize].1;
        assert_eq!((shape.class, shape.arguments_at), (CallClass::COUNTED, CallShape::AT_SECOND));
        let known: Vec<_> = table
            .socket_calls()
            .map(|(number, known)| (number, table.name(known.call).name, known.arguments))
            .collect();
        // All but 0, which the kernel refuses.
        assert_eq!(known.len(), SOCKET_CALLS.len() - 1);
        // include/uapi/linux/net.h: SYS_SEND, SYS_SENDMSG.
        assert!(known.contains(&(9, "sendto", 4)) && known.contains(&(16, "sendmsg", 3)));
    }

    #[test]
    fn requests_have_places_of_their_own() {
        let table = CallTable::native();
        let at = |opcode: u32| (table.name(URING_BASE + opcode).name, table.kind(URING_BASE + opcode));
        // include/uapi/linux/io_uring.h, enum io_uring_op.
        assert_eq!(at(0), ("io_uring:nop", None));
        assert_eq!(at(22), ("io_uring:read", Some(CallKind::Read)));
        assert_eq!(at(27), ("io_uring:recv", Some(CallKind::Receive)));
        assert_eq!(at(30), ("io_uring:splice", Some(CallKind::Splice)));
        assert_eq!(at(33), ("io_uring:tee", Some(CallKind::Tee)));
        assert_eq!(at(47), ("io_uring:send_zc", Some(CallKind::Send)));
        assert_eq!(at(62), ("io_uring:pipe", None));
        assert_eq!(at(127), ("io_uring:unknown", None));
        assert_eq!(table.name(AIO_BASE + 8).name, "aio:pwritev");
        assert_eq!(table.implied_flags(URING_BASE + 47), libc::MSG_ZEROCOPY.cast_unsigned());
        assert_eq!(table.implied_flags(URING_BASE + 26), 0);
        let requests: Vec<_> =
            table.named().map(|index| table.name(index)).filter(|name| name.is_request()).collect();
        assert_eq!(requests.len(), (URING_OPCODES + AIO_OPCODES) as usize);
        assert_eq!(table.shapes().count(), CALLS);
    }

    #[test]
    fn every_shape_has_a_number_in_some_abi() {
        let table = CallTable::native();
        for shape in CALL_SHAPES {
            let found = table.named().any(|index| table.name(index).name == shape.name);
            // The time64 variants exist only in the 32-bit ABI, `recv` and `send` in neither of x86's tables as such.
            let absent = ["recv", "send", "recvmmsg_time64"].contains(&shape.name);
            assert!(found || absent, "{}", shape.name);
        }
    }
}
