//! From bytes of the ring buffer to the model's events. A record of unknown kind or size is counted, never an error.

use std::ops::Range;

use tracer_common::{
    call::CallKind,
    counted::Counted,
    limits::{IOVECS, URING_BASE},
    record::{
        CallRecord, DescriptorRecord, FaultRecord, Header, NotificationRecord, OperationRecord, RecordKind,
        RequestRecord, ThreadRecord, VectorRecord, ZerocopyIds, flag, ran,
    },
};

use super::{call_table::CallTable, descriptor_calls};
use crate::model::event::{
    Buffers, Call, Event, Fault, Inside, Mapping, Operation, Ran, Request, Serial, Side, ThreadStarted,
    Zerocopy,
};

/// A record, as far as the reader itself has to act on it.
pub enum Decoded {
    /// A finished call, or something that happened inside.
    Call(Event),
    /// A finished call that may have changed mappings or descriptors: [`change`] says how.
    Changing(Event),
    /// A thread was born, ended or executed a program.
    Thread(RecordKind, ThreadRecord),
    /// Nothing that this version knows.
    Unknown,
}

/// Types that may be read from any bytes: `repr(C)`, integers only.
trait Wire: Copy {}
impl Wire for Header {}
impl Wire for CallRecord {}
impl Wire for OperationRecord {}
impl Wire for VectorRecord {}
impl Wire for DescriptorRecord {}
impl Wire for RequestRecord {}
impl Wire for NotificationRecord {}
impl Wire for ThreadRecord {}
impl Wire for FaultRecord {}

fn read<T: Wire>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: long enough, any bytes are a value of a Wire type, and the read is unaligned.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The record where it lies, which spares a copy of some hundred bytes. The ring buffer aligns records; what is not aligned
/// comes from elsewhere, and is none.
fn view<T: Wire>(bytes: &[u8]) -> Option<&T> {
    let record = bytes.as_ptr().cast::<T>();
    if bytes.len() < size_of::<T>() || !record.is_aligned() {
        return None;
    }
    // SAFETY: long enough, aligned, any bytes are a value of a Wire type, and the bytes are borrowed for as long.
    Some(unsafe { &*record })
}

/// Takes a record apart. It must be aligned as in the ring buffer, to 8 bytes.
pub fn decode(bytes: &[u8], table: &CallTable) -> Decoded {
    // The most frequent kind is built where it is returned: each move of it is a copy of some hundred bytes.
    let kind = view(bytes).map(|header: &Header| RecordKind(header.kind));
    if kind != Some(RecordKind::OPERATION) {
        return decode_other(bytes, table).unwrap_or(Decoded::Unknown);
    }
    match view::<OperationRecord>(bytes)
        .and_then(|record| Some((record, table.kind(record.call.header.call)?)))
    {
        Some((record, kind)) => Decoded::Call(Event::Operation(plain_operation(record, kind, table))),
        None => Decoded::Unknown,
    }
}

fn decode_other(bytes: &[u8], table: &CallTable) -> Option<Decoded> {
    let header: &Header = view(bytes)?;
    Some(match RecordKind(header.kind) {
        RecordKind::CALL => Decoded::Call(Event::Call(call(view(bytes)?, table))),
        RecordKind::FAULT => {
            let record: FaultRecord = read(bytes)?;
            let Header { tgid: pid, tid, flags, .. } = record.header;
            let fault = Fault {
                pid,
                tid,
                address: record.address,
                in_kernel: flags & flag::FAULT_IN_KERNEL != 0,
                writes: flags & flag::FAULT_WRITES != 0,
                present: flags & flag::FAULT_ON_PRESENT != 0,
                minor_before: record.minor_faults,
                major_before: record.major_faults,
            };
            Decoded::Call(Event::Fault(fault))
        }
        RecordKind::VECTOR => Decoded::Call(Event::Operation(vector_operation(view(bytes)?, table)?)),
        RecordKind::REQUEST => Decoded::Call(Event::Operation(request_operation(view(bytes)?, table)?)),
        RecordKind::NOTIFICATION => {
            let NotificationRecord { socket, number, copied, .. } = read(bytes)?;
            let event = Event::Notified { socket: Serial(socket), number, copied: copied != 0 };
            Decoded::Call(event)
        }
        RecordKind::DESCRIPTOR => {
            let record: &DescriptorRecord = view(bytes)?;
            Decoded::Changing(Event::Call(call(&record.call, table)))
        }
        kind @ (RecordKind::THREAD_START | RecordKind::THREAD_END | RecordKind::EXEC) => {
            Decoded::Thread(kind, read(bytes)?)
        }
        _ => return None,
    })
}

/// What follows for mappings or descriptors from a record that decodes to [`Decoded::Changing`].
#[must_use]
pub fn change(bytes: &[u8], table: &CallTable) -> Option<Event> {
    let record: &DescriptorRecord = view(bytes)?;
    mapping(record, table).or_else(|| descriptor_calls::change(record, table).map(Event::Descriptors))
}

fn call(record: &CallRecord, table: &CallTable) -> Call {
    let header = &record.header;
    let seen = header.flags & flag::START_UNSEEN == 0;
    let has_thread = seen && header.call < URING_BASE;
    Call {
        pid: header.tgid,
        tid: header.tid,
        name: table.name(header.call),
        end_ns: header.time_ns,
        duration_ns: seen.then_some(record.duration_ns),
        began_before: header.flags & flag::NO_START != 0,
        result: record.result,
        inside: has_thread.then_some(Inside {
            blocked_ns: record.blocked_ns,
            preempted_ns: record.preempted_ns,
            voluntary: record.voluntary,
            involuntary: record.involuntary,
            minor_faults: record.minor_faults,
            major_faults: record.major_faults,
            interrupts: record.interrupts,
        }),
    }
}

#[inline(always)]
fn plain_operation(record: &OperationRecord, kind: CallKind, table: &CallTable) -> Operation {
    let buffer = (record.buffer != 0).then(|| range(record.buffer, record.asked));
    operation(record, kind, buffer.into_iter().collect(), table)
}

fn vector_operation(record: &VectorRecord, table: &CallTable) -> Option<Operation> {
    let kind = table.kind(record.operation.call.header.call)?;
    let mut operation = operation(&record.operation, kind, Buffers::new(), table);
    let count = (record.operation.vectors as usize).min(IOVECS);
    let entries = record.iovecs.iter().take(count).filter(|entry| entry.length != 0);
    operation.buffers = entries.map(|entry| range(entry.base, entry.length)).collect();
    operation.buffers_complete = record.operation.vectors as usize <= IOVECS;
    if is_array_of_messages(operation.call.name.name) {
        // Each message begins at a buffer of its own and need not fill it: which bytes went where is not known.
        operation.buffers.clear();
        operation.buffers_complete = false;
    }
    operation.asked_bytes = operation
        .buffers_complete
        .then(|| operation.buffers.iter().map(|buffer| buffer.end - buffer.start).sum());
    Some(operation)
}

fn request_operation(record: &RequestRecord, table: &CallTable) -> Option<Operation> {
    let of_call = &record.vector.operation;
    let mut operation = if of_call.vectors == 0 {
        operation(of_call, table.kind(of_call.call.header.call)?, Buffers::new(), table)
    } else {
        vector_operation(&record.vector, table)?
    };
    if of_call.buffer != 0 {
        // How large a provided buffer is the record does not tell.
        let length = if of_call.asked == u64::MAX { of_call.bytes } else { of_call.asked };
        operation.buffers.push(range(of_call.buffer, length));
    }
    if of_call.call.header.flags & flag::BUFFER_UNKNOWN != 0 {
        operation.buffers_complete = false;
    }
    operation.flags |= table.implied_flags(of_call.call.header.call);
    // Where nothing was counted no hook may have stood: that nothing was copied it does not say.
    operation.counted = operation.counted.filter(|counted| *counted != Counted::NONE);
    operation.request = Some(Request {
        user_data: record.user_data,
        transitions: record.transitions,
        ran: match record.ran {
            ran::INLINE => Ran::Inline,
            ran::DEFERRED => Ran::Deferred,
            ran::WORKER => Ran::Worker,
            ran::POLLING_THREAD => Ran::PollingThread,
            _ => Ran::Unknown,
        },
    });
    Some(operation)
}

fn is_array_of_messages(name: &str) -> bool {
    matches!(name, "sendmmsg" | "recvmmsg" | "recvmmsg_time64")
}

#[inline(always)]
fn operation(record: &OperationRecord, kind: CallKind, buffers: Buffers, table: &CallTable) -> Operation {
    let storage = record.call.header.flags & flag::STORAGE_KNOWN != 0;
    let call = call(&record.call, table);
    Operation {
        call,
        kind,
        source: side(record.source_fd, record.source, record.source_flags),
        sink: side(record.sink_fd, record.sink, record.sink_flags),
        buffers,
        buffers_complete: true,
        asked_bytes: (record.asked != u64::MAX).then_some(record.asked),
        bytes: record.bytes,
        storage_read_bytes: storage.then_some(record.storage_read_bytes),
        storage_written_bytes: storage.then_some(record.storage_written_bytes),
        flags: record.call_flags,
        head: (record.call.header.flags & flag::HEAD_KNOWN != 0).then_some(record.head),
        tail: (record.call.header.flags & flag::TAIL_KNOWN != 0).then_some(record.tail),
        zerocopy: zerocopy(record),
        counted: (record.call.header.flags & flag::START_UNSEEN == 0).then_some(record.counted),
        request: None,
        after_untold: record.call.header.flags & flag::AFTER_UNTOLD != 0,
    }
}

fn zerocopy(record: &OperationRecord) -> Option<Zerocopy> {
    let has = |bit| record.call.header.flags & bit != 0;
    let ZerocopyIds { first, end } = record.zerocopy;
    if has(flag::ZEROCOPY_DONE) {
        Some(Zerocopy::Done { first, end, copied: has(flag::ZEROCOPY_COPIED) })
    } else {
        has(flag::ZEROCOPY_SEND).then_some(Zerocopy::Sent { first, end })
    }
}

pub(super) fn side(fd: i32, serial: u64, flags: u32) -> Option<Side> {
    (fd >= 0 || serial != 0).then_some(Side { fd, serial: Serial(serial), flags })
}

fn range(start: u64, length: u64) -> Range<u64> {
    start..start.saturating_add(length)
}

/// include/uapi/asm-generic/mman-common.h
const MAP_ANONYMOUS: u64 = 0x20;
/// Unit of the offset of 32-bit `mmap2`, bytes (mm/mmap.c).
const MMAP2_UNIT: u64 = 4096;

/// include/uapi/linux/mman.h and asm-generic/mman-common.h
const MAP_PRIVATE: u64 = 0x02;
const MAP_LOCKED: u64 = 0x2000;
const MAP_POPULATE: u64 = 0x8000;
const PROT_WRITE: u64 = 0x2;

/// A private writable mapping is memory of the program (`.data` of its libraries lies in such ones): what is written
/// from it need not be what the file holds.
fn is_private_copy(protection: u64, flags: u64) -> bool {
    protection & PROT_WRITE != 0 && flags & MAP_PRIVATE != 0
}

/// What a finished call did to the address space.
fn mapping(record: &DescriptorRecord, table: &CallTable) -> Option<Event> {
    let header = &record.call.header;
    let result = record.call.result;
    // Results in the errno range are errors; addresses never are (include/linux/err.h).
    if (-4095..0).contains(&result) {
        return None;
    }
    let pid = header.tgid;
    let [address, length, third, flags, _, offset] = record.args;
    let mapped = result.cast_unsigned();
    match table.kind(header.call)? {
        CallKind::Map
            if flags & MAP_ANONYMOUS != 0 || record.endpoint == 0 || is_private_copy(third, flags) =>
        {
            Some(Event::Unmapped { pid, range: range(mapped, length) })
        }
        CallKind::Map => {
            let unit = if table.name(header.call).name == "mmap2" { MMAP2_UNIT } else { 1 };
            Some(Event::Mapped(Mapping {
                pid,
                range: range(mapped, length),
                serial: Serial(record.endpoint),
                offset: offset.saturating_mul(unit),
                fresh: flags & (MAP_POPULATE | MAP_LOCKED) == 0,
            }))
        }
        CallKind::Unmap => Some(Event::Unmapped { pid, range: range(address, length) }),
        CallKind::Remap => {
            Some(Event::Remapped { pid, from: range(address, length), to: range(mapped, third) })
        }
        _ => None,
    }
}

/// What a thread's birth means to the model.
pub(super) fn started(record: &ThreadRecord, attached: bool) -> Event {
    Event::ThreadStarted(ThreadStarted {
        pid: record.header.tgid,
        tid: record.header.tid,
        parent: record.parent,
        attached,
        start_ns: record.start_ns,
        shares_descriptors: record.shares_descriptors != 0,
        time_ns: record.header.time_ns,
        comm: comm(&record.comm),
    })
}

/// A command name as the kernel pads it.
pub(super) fn comm(bytes: &[u8; 16]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {

    use super::*;

    fn bytes_of<T: Wire>(value: &T) -> Vec<u8> {
        // SAFETY: a Wire type has no padding that is not a field.
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) }.to_vec()
    }

    fn read_record(bytes: u64) -> OperationRecord {
        let header =
            Header { kind: RecordKind::OPERATION.0, flags: 0, call: 0, tgid: 7, tid: 8, time_ns: 100 };
        let call =
            CallRecord { header, duration_ns: 40, result: bytes.cast_signed(), ..CallRecord::default() };
        OperationRecord {
            call,
            source: 5,
            source_fd: 3,
            sink_fd: -1,
            buffer: 0x1000,
            asked: 512,
            bytes,
            ..OperationRecord::default()
        }
    }

    #[test]
    fn a_read_decodes_with_its_buffer_and_source() {
        let Decoded::Call(Event::Operation(operation)) =
            decode(&bytes_of(&read_record(200)), &CallTable::native())
        else {
            panic!("not an operation");
        };
        assert_eq!(operation.call.name.name, "read");
        assert_eq!(operation.buffers.as_slice(), std::slice::from_ref(&(0x1000..0x1200)));
        assert_eq!(operation.source, Some(Side { fd: 3, serial: Serial(5), flags: 0 }));
        assert_eq!(operation.sink, None);
        assert_eq!((operation.bytes, operation.call.duration_ns), (200, Some(40)));
        assert_eq!(operation.storage_read_bytes, None, "the flag that says it is known is not set");
    }

    fn request_record(opcode: u32, bytes: u64) -> RequestRecord {
        let mut operation = read_record(bytes);
        operation.call.header.kind = RecordKind::REQUEST.0;
        operation.call.header.call = URING_BASE + opcode;
        let vector = VectorRecord { operation, ..VectorRecord::default() };
        RequestRecord { vector, user_data: 42, transitions: 2, ran: ran::WORKER }
    }

    fn decoded(record: &RequestRecord) -> Operation {
        match decode(&bytes_of(record), &CallTable::native()) {
            Decoded::Call(Event::Operation(operation)) => operation,
            _ => panic!("not an operation"),
        }
    }

    #[test]
    fn a_request_decodes_as_an_operation_of_its_opcode() {
        let operation = decoded(&request_record(22, 200));
        assert_eq!((operation.call.name.name, operation.kind), ("io_uring:read", CallKind::Read));
        assert_eq!(operation.buffers.as_slice(), std::slice::from_ref(&(0x1000..0x1200)));
        assert!(operation.buffers_complete);
        assert_eq!((operation.bytes, operation.storage_read_bytes, operation.counted), (200, None, None));
        let mut record = request_record(22, 200);
        record.vector.operation.counted.to_user = 200;
        let counted = Counted { to_user: 200, ..Counted::NONE };
        assert_eq!(decoded(&record).counted, Some(counted));
        let request = Request { user_data: 42, transitions: 2, ran: Ran::Worker };
        assert_eq!(operation.request, Some(request));
        assert_eq!(decoded(&request_record(47, 200)).flags, libc::MSG_ZEROCOPY.cast_unsigned());
    }

    #[test]
    fn a_provided_buffer_is_as_long_as_its_payload() {
        let mut record = request_record(27, 200);
        record.vector.operation.asked = u64::MAX;
        let operation = decoded(&record);
        assert_eq!((operation.asked_bytes, operation.buffers.first().cloned()), (None, Some(0x1000..0x10c8)));
        record.vector.operation.buffer = 0;
        record.vector.operation.call.header.flags |= flag::BUFFER_UNKNOWN;
        assert!(!decoded(&record).buffers_complete);
    }

    #[test]
    fn a_request_of_a_vector_has_its_buffers() {
        let mut record = request_record(1, 30);
        record.vector.operation.buffer = 0;
        record.vector.operation.vectors = 2;
        record.vector.iovecs[..2].copy_from_slice(&[
            tracer_common::record::IoVec { base: 100, length: 10 },
            tracer_common::record::IoVec { base: 300, length: 20 },
        ]);
        let operation = decoded(&record);
        assert_eq!(operation.buffers.as_slice(), [100..110, 300..320]);
        assert_eq!(operation.asked_bytes, Some(30));
    }

    #[test]
    fn a_request_that_moves_nothing_is_a_call_of_its_own_name() {
        let header =
            Header { kind: RecordKind::CALL.0, call: URING_BASE + 3, tgid: 7, tid: 8, ..Header::default() };
        let record = CallRecord { header, duration_ns: 5, ..CallRecord::default() };
        let Decoded::Call(Event::Call(call)) = decode(&bytes_of(&record), &CallTable::native()) else {
            panic!("not a call");
        };
        assert_eq!((call.name.name, call.name.is_request()), ("io_uring:fsync", true));
    }

    #[test]
    fn cut_and_unknown_records_are_not_understood() {
        let table = CallTable::native();
        let record = bytes_of(&read_record(1));
        for length in 0..record.len() {
            assert!(matches!(decode(&record[..length], &table), Decoded::Unknown), "{length}");
        }
        let mut unknown = record;
        unknown[0] = 0xee;
        assert!(matches!(decode(&unknown, &table), Decoded::Unknown));
    }

    #[test]
    fn an_anonymous_mapping_hides_what_was_there() {
        let header = Header { kind: RecordKind::DESCRIPTOR.0, call: 9, tgid: 7, tid: 7, ..Header::default() };
        let call = CallRecord { header, result: 0x7000, ..CallRecord::default() };
        let record = DescriptorRecord {
            call,
            args: [0, 0x2000, 3, 0x22, u64::MAX, 0],
            endpoint: 0,
            second_endpoint: 0,
            descriptors: [-1; 2],
        };
        let Some(event) = change(&bytes_of(&record), &CallTable::native()) else {
            panic!("no mapping event");
        };
        assert_eq!(event, Event::Unmapped { pid: 7, range: 0x7000..0x9000 });
    }
}
