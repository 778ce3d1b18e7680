//! What finished calls did to descriptors, from their arguments and results.

use tracer_common::record::{DescriptorRecord, flag};

use super::call_table::CallTable;
use crate::model::event::{DescriptorChange, DescriptorEvent, Serial};

/// include/uapi/asm-generic/errno-base.h
const EBADF: i64 = 9;
/// include/uapi/asm-generic/fcntl.h: SOCK_, EFD_, EPOLL_, TFD_, SFD_, IN_CLOEXEC and OPEN_TREE_CLOEXEC are the same.
const O_CLOEXEC: u64 = 0o2_000_000;
/// include/uapi/linux/close_range.h
const CLOSE_RANGE_UNSHARE: u64 = 2;
const CLOSE_RANGE_CLOEXEC: u64 = 4;
/// include/uapi/linux/sched.h
const CLONE_FILES: u64 = 0x400;
/// include/uapi/asm-generic/fcntl.h and linux/fcntl.h
const F_DUPFD: u64 = 0;
const F_SETFD: u64 = 2;
const F_DUPFD_CLOEXEC: u64 = 1030;
const FD_CLOEXEC: u64 = 1;
/// include/uapi/linux/perf_event.h
const PERF_FLAG_FD_CLOEXEC: u64 = 8;

/// What the call did; `None` if it left all descriptors as they were.
pub(super) fn change(record: &DescriptorRecord, table: &CallTable) -> Option<DescriptorEvent> {
    let header = &record.call.header;
    let known_start = header.flags & flag::START_UNSEEN == 0;
    let duration_ns = if known_start { record.call.duration_ns } else { 0 };
    Some(DescriptorEvent {
        pid: header.tgid,
        tid: header.tid,
        began_ns: header.time_ns.saturating_sub(duration_ns),
        time_ns: header.time_ns,
        change: change_of(record, table)?,
    })
}

fn change_of(record: &DescriptorRecord, table: &CallTable) -> Option<DescriptorChange> {
    let index = record.call.header.call;
    let name = table.name(index).name;
    let result = record.call.result;
    let [first, second, third, ..] = record.args;
    match name {
        // Whatever else close reports, the descriptor is gone (fs/open.c, `close`).
        "close" if result != -EBADF => {
            Some(DescriptorChange::Closed { first: number(first), last: number(first), unshared: false })
        }
        // A connection may be refused: the socket's address has changed all the same.
        "connect" | "bind" if record.endpoint != 0 => {
            Some(DescriptorChange::Readdressed { fd: descriptor(first), serial: Serial(record.endpoint) })
        }
        _ if result < 0 => None,
        "close_range" => Some(range(number(first), number(second), third)),
        "unshare" => (first & CLONE_FILES != 0).then_some(DescriptorChange::Unshared),
        "dup" => duplicated(first, result, false),
        "dup2" => duplicated(first, result, false),
        "dup3" => duplicated(first, result, third & O_CLOEXEC != 0),
        "fcntl" | "fcntl64" => match second {
            F_DUPFD => duplicated(first, result, false),
            F_DUPFD_CLOEXEC => duplicated(first, result, true),
            F_SETFD => Some(DescriptorChange::CloseOnExec {
                first: number(first),
                last: number(first),
                close_on_exec: third & FD_CLOEXEC != 0,
                unshared: false,
            }),
            _ => None,
        },
        // Given a descriptor, it changes that one's mask.
        "signalfd" | "signalfd4" if descriptor(first) >= 0 => None,
        _ if table.opens(index) => Some(opened(record, name)),
        _ => None,
    }
}

/// Descriptors are `int` or `unsigned int`: the upper half of the register means nothing.
fn descriptor(argument: u64) -> i32 {
    number(argument).cast_signed()
}

fn number(argument: u64) -> u32 {
    u32::try_from(argument & 0xffff_ffff).unwrap_or(u32::MAX)
}

fn duplicated(from: u64, to: i64, close_on_exec: bool) -> Option<DescriptorChange> {
    let (from, to) = (descriptor(from), i32::try_from(to).ok()?);
    // dup2 of a descriptor onto itself does nothing.
    (from != to).then_some(DescriptorChange::Duplicated { from, to, close_on_exec })
}

fn range(first: u32, last: u32, flags: u64) -> DescriptorChange {
    let unshared = flags & CLOSE_RANGE_UNSHARE != 0;
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        DescriptorChange::CloseOnExec { first, last, close_on_exec: true, unshared }
    } else {
        DescriptorChange::Closed { first, last, unshared }
    }
}

fn opened(record: &DescriptorRecord, name: &str) -> DescriptorChange {
    let close_on_exec = close_on_exec(name, &record.args);
    let made = |fd: i32, serial: u64| (fd >= 0).then_some((fd, Serial(serial)));
    let made = if matches!(name, "pipe" | "pipe2" | "socketpair") {
        let [one, other] = record.descriptors;
        [made(one, record.endpoint), made(other, record.second_endpoint)]
    } else {
        [made(i32::try_from(record.call.result).unwrap_or(-1), record.endpoint), None]
    };
    DescriptorChange::Opened { made, close_on_exec }
}

/// Whether a new descriptor is closed by `execve`, as its call was told; `None` where that lies in user memory.
fn close_on_exec(name: &str, args: &[u64; 6]) -> Option<bool> {
    let [first, second, third, fourth, fifth, _] = args;
    let flag = |argument: &u64, flag: u64| Some(argument & flag != 0);
    match name {
        "creat" | "accept" | "eventfd" | "epoll_create" | "signalfd" | "inotify_init" | "pipe" => Some(false),
        // kernel/pid.c, io_uring/io_uring.c, security/landlock/syscalls.c, ipc/mqueue.c
        "pidfd_open" | "pidfd_getfd" | "io_uring_setup" | "landlock_create_ruleset" | "mq_open" => Some(true),
        "epoll_create1" | "inotify_init1" | "userfaultfd" | "memfd_secret" => flag(first, O_CLOEXEC),
        "open" | "socket" | "socketpair" | "eventfd2" | "timerfd_create" | "pipe2" => flag(second, O_CLOEXEC),
        "openat" | "open_by_handle_at" | "open_tree" => flag(third, O_CLOEXEC),
        "accept4" | "signalfd4" => flag(fourth, O_CLOEXEC),
        // MFD_CLOEXEC, FAN_CLOEXEC, FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC, FSPICK_CLOEXEC
        "fanotify_init" => flag(first, 1),
        "memfd_create" | "fsopen" | "fsmount" => flag(second, 1),
        "fspick" => flag(third, 1),
        "perf_event_open" => flag(fifth, PERF_FLAG_FD_CLOEXEC),
        _ => None,
    }
}

/// The open files that a change names.
pub(super) fn serials(event: &DescriptorEvent) -> [Option<Serial>; 2] {
    match event.change {
        DescriptorChange::Opened { made, .. } => made.map(|made| made.map(|(_, serial)| serial)),
        DescriptorChange::Readdressed { serial, .. } => [Some(serial), None],
        _ => [None; 2],
    }
}

#[cfg(test)]
mod tests {
    use tracer_common::record::{CallRecord, Header};

    use super::*;

    fn after(name: &str, args: [u64; 6], result: i64) -> Option<DescriptorChange> {
        let table = CallTable::native();
        let index = table.named().find(|index| table.name(*index).name == name).unwrap();
        let header = Header { call: index, ..Header::default() };
        let call = CallRecord { header, result, ..CallRecord::default() };
        let record = DescriptorRecord {
            call,
            args,
            endpoint: 5,
            second_endpoint: 6,
            descriptors: if name == "pipe2" { [7, 8] } else { [-1; 2] },
        };
        change(&record, &table).map(|event| event.change)
    }

    #[test]
    fn calls_that_make_descriptors() {
        let opened = |made, close_on_exec| Some(DescriptorChange::Opened { made, close_on_exec });
        let one = [Some((3, Serial(5))), None];
        assert_eq!(after("openat", [0, 0, O_CLOEXEC, 0, 0, 0], 3), opened(one, Some(true)));
        assert_eq!(after("openat", [0; 6], -2), None);
        assert_eq!(after("openat2", [0; 6], 3), opened(one, None));
        assert_eq!(after("signalfd4", [u64::MAX, 0, 8, 0, 0, 0], 3), opened(one, Some(false)));
        assert_eq!(after("signalfd4", [3, 0, 8, 0, 0, 0], 3), None);
        let two = [Some((7, Serial(5))), Some((8, Serial(6)))];
        assert_eq!(after("pipe2", [0x1000, 0, 0, 0, 0, 0], 0), opened(two, Some(false)));
        assert_eq!(after("mmap", [0; 6], 0), None);
    }

    #[test]
    fn calls_that_duplicate_and_close() {
        let duplicated = |close_on_exec| Some(DescriptorChange::Duplicated { from: 3, to: 9, close_on_exec });
        assert_eq!(after("dup2", [3, 9, 0, 0, 0, 0], 9), duplicated(false));
        assert_eq!(after("dup2", [3, 3, 0, 0, 0, 0], 3), None);
        assert_eq!(after("fcntl", [3, F_DUPFD_CLOEXEC, 9, 0, 0, 0], 9), duplicated(true));
        assert_eq!(after("fcntl", [3, 4, 0, 0, 0, 0], 0), None, "F_SETFL");
        let closed = |first, last, unshared| Some(DescriptorChange::Closed { first, last, unshared });
        assert_eq!(after("close", [3, 0, 0, 0, 0, 0], 0), closed(3, 3, false));
        assert_eq!(after("close", [3, 0, 0, 0, 0, 0], -5), closed(3, 3, false), "EIO");
        assert_eq!(after("close", [3, 0, 0, 0, 0, 0], -EBADF), None);
        let all = 0xdead_0000_ffff_ffff;
        assert_eq!(after("close_range", [3, all, 2, 0, 0, 0], 0), closed(3, u32::MAX, true));
        assert_eq!(
            after("close_range", [3, 5, 4, 0, 0, 0], 0),
            Some(DescriptorChange::CloseOnExec { first: 3, last: 5, close_on_exec: true, unshared: false })
        );
    }

    #[test]
    fn connecting_describes_anew_even_if_it_fails() {
        let change = Some(DescriptorChange::Readdressed { fd: 3, serial: Serial(5) });
        assert_eq!(after("connect", [3, 0, 0, 0, 0, 0], -111), change);
    }
}
