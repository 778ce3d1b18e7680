//! Whether bytes that are written from some memory can be those that were read into it.
//!
//! That a buffer was read into and later written from does not prove it: memory is freed and used anew, and programs
//! change bytes in place. So a relay is taken for one only where the bytes at its ends, as far as the kernel side
//! sampled them, agree and where it begins as relays do: at the start of what was read, where the last write from it
//! ended, or so that it ends with what was read (after a header was taken off). What lies between the samples is not
//! looked at: a join is modelled, not derived.

use std::ops::Range;

use super::{event::Operation, provenance::Piece};

/// The first and the last bytes of a payload in memory: of several buffers, those where the first begins and the last ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sample {
    head: Option<[u8; 8]>,
    /// How many bytes of `head` there are.
    length: usize,
    tail: Option<[u8; 8]>,
}

impl Sample {
    /// That of an operation which moved `moved` bytes.
    pub(crate) fn of(operation: &Operation, moved: u64) -> Self {
        let length = usize::try_from(moved).map_or(8, |moved| moved.min(8));
        Self { head: operation.head, length, tail: operation.tail }
    }

    /// Whether anything was sampled at all. If not, nothing is asked of a relay.
    pub(crate) fn is_known(&self) -> bool {
        self.head.is_some() || self.tail.is_some()
    }

    fn heads_differ(&self, other: &Self) -> bool {
        let length = self.length.min(other.length);
        let (Some(own), Some(others)) = (self.head, other.head) else { return false };
        own.get(..length) != others.get(..length)
    }

    fn tails_differ(&self, other: &Self) -> bool {
        self.tail.is_some() && other.tail.is_some() && self.tail != other.tail
    }

    /// Whether both ends were sampled, and are the same.
    pub(crate) fn tails_agree(&self, other: &Self) -> bool {
        self.tail.is_some() && self.tail == other.tail
    }
}

/// One buffer of a write, and what is known of the memory that it begins in.
pub(crate) struct Claim<'a> {
    /// The addresses that were written from.
    pub(crate) buffer: &'a Range<u64>,
    /// Whether it is the write's first buffer: the one whose head was sampled.
    pub(crate) first: bool,
    /// Whether it is the write's last one: the one whose tail was sampled.
    pub(crate) last: bool,
    /// What brought the bytes at its beginning.
    pub(crate) piece: &'a Piece,
    /// Whether the byte before it came by the same operation and has been sent on.
    pub(crate) continues: bool,
    /// Whether less of it was written than was asked for: the sampled end is where the kernel stopped then.
    pub(crate) short: bool,
    /// Whether what follows in the buffer is proven by its end, if operations brought any of that.
    pub(crate) rest: Option<bool>,
}

impl Claim<'_> {
    /// Whether the bytes can be those that `brought` says were read, given that `written` were written.
    pub(crate) fn holds(&self, brought: &Sample, written: &Sample) -> bool {
        let Range { start, end } = *self.buffer;
        let piece = self.piece;
        let both_end = self.last && piece.last && end == piece.until;
        if start == piece.from {
            let head_differs = self.first && piece.first && brought.heads_differ(written);
            let tail_differs = both_end && brought.tails_differ(written);
            // Its head was not sampled, but its end was.
            let by_its_end = self.last && !self.first && !self.short && written.tail.is_some();
            let proven = !by_its_end || self.rest.unwrap_or(end == piece.until);
            return !head_differs && !tail_differs && proven;
        }
        (self.continues && !piece.sent)
            || (piece.sent && start == piece.sent_from)
            || (both_end && brought.tails_agree(written))
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use crate::model::{
        event::Operation,
        testing::{FILE, OTHER_SOCKET, SOCKET, after, flow, payloads, read, write},
    };

    fn sampled(operation: Operation, head: &[u8; 8], tail: &[u8; 8]) -> Operation {
        Operation { head: Some(*head), tail: Some(*tail), ..operation }
    }

    fn incoming() -> Operation {
        sampled(read(FILE, 0..100), b"abcdefgh", b"stuvwxyz")
    }

    fn methods(operations: &[Operation]) -> Vec<(String, u64)> {
        let snapshot = after(operations.iter().cloned());
        let mut flows: Vec<_> =
            snapshot.flows.iter().map(|flow| (flow.method.clone(), flow.payload_bytes)).collect();
        flows.sort();
        flows
    }

    #[test]
    fn a_buffer_that_was_written_to_since_holds_the_programs_own_bytes() {
        let same = sampled(write(SOCKET, 0..100), b"abcdefgh", b"stuvwxyz");
        assert_eq!(methods(&[incoming(), same]), [("read+write".to_owned(), 100)]);
        let other = sampled(write(SOCKET, 0..100), b"abcdefgX", b"stuvwxyz");
        let apart = [("read".to_owned(), 100), ("write".to_owned(), 100)];
        assert_eq!(methods(&[incoming(), other]), apart);
        // All of it was sent, but it ends otherwise: only a part of it did not begin anew.
        let other = sampled(write(SOCKET, 0..100), b"abcdefgh", b"stuvwxy_");
        assert_eq!(methods(&[incoming(), other]), apart);
        // Memory in the midst of it that was used anew.
        let within = sampled(write(SOCKET, 20..60), b"uvwxyzab", b"ijklmnop");
        let apart = [("read".to_owned(), 100), ("write".to_owned(), 40)];
        assert_eq!(methods(&[incoming(), within]), apart);
    }

    #[test]
    fn the_rest_after_a_short_write_and_after_a_header() {
        let begin = sampled(write(SOCKET, 0..30), b"abcdefgh", b"whatever");
        let rest = sampled(write(SOCKET, 30..100), b"ijklmnop", b"stuvwxyz");
        assert_eq!(methods(&[incoming(), begin, rest.clone()]), [("read+write".to_owned(), 100)]);
        // Without the header: the end proves it.
        let body = [("read".to_owned(), 30), ("read+write".to_owned(), 70)];
        assert_eq!(methods(&[incoming(), rest]), body);
        let another = sampled(write(SOCKET, 30..100), b"ijklmnop", b"tuvwxyz_");
        assert_eq!(methods(&[incoming(), another])[1], ("write".to_owned(), 70));
    }

    #[test]
    fn what_was_read_further_in_is_sent_only_where_the_end_proves_it() {
        let later = |from: u64| sampled(read(FILE, from..from + 100), b"abcdefgh", b"stuvwxyz");
        let apart = [("read".to_owned(), 100), ("write".to_owned(), 120)];
        // Behind a header of the program's own.
        let whole = sampled(write(SOCKET, 0..120), b"a header", b"stuvwxyz");
        let behind = [("read+write".to_owned(), 100), ("write".to_owned(), 20)];
        assert_eq!(methods(&[later(20), whole]), behind);
        // It ends otherwise: the buffer was used anew.
        let other = sampled(write(SOCKET, 0..120), b"a header", b"stuvwxy_");
        assert_eq!(methods(&[later(20), other]), apart);
        // It ends elsewhere: nothing that was sampled is among it.
        let beyond = sampled(write(SOCKET, 0..120), b"a header", b"stuvwxyz");
        assert_eq!(methods(&[later(64), beyond.clone()]), apart);
        assert_eq!(methods(&[later(4), beyond]), apart);
        // Several in a row, of which the first begins and the last ends as the write does.
        let row = [sampled(read(FILE, 0..50), b"12345678", b"abcdefgh"), later(50)];
        let both = sampled(write(SOCKET, 0..150), b"12345678", b"stuvwxyz");
        assert_eq!(methods(&[row[0].clone(), row[1].clone(), both]), [("read+write".to_owned(), 150)]);
        let changed = sampled(write(SOCKET, 0..150), b"12345678", b"stuvwxy_");
        let part = [("read".to_owned(), 100), ("read+write".to_owned(), 50), ("write".to_owned(), 100)];
        assert_eq!(methods(&[row[0].clone(), row[1].clone(), changed]), part);
    }

    /// A header of the program's own (10 bytes at 1000), and what follows from memory of `body`; sampled where each ends.
    fn behind_a_header(body: std::ops::Range<u64>, tail: &[u8; 8]) -> Operation {
        let buffers = smallvec![1000..1010, body.clone()];
        let whole = Operation { buffers, ..write(SOCKET, 0..10 + body.end - body.start) };
        sampled(whole, b"a header", tail)
    }

    #[test]
    fn of_several_buffers_the_last_one_ends_as_what_was_read() {
        let behind = [("read+write".to_owned(), 100), ("write".to_owned(), 10)];
        assert_eq!(methods(&[incoming(), behind_a_header(0..100, b"stuvwxyz")]), behind);
        let apart = [("read".to_owned(), 100), ("write".to_owned(), 110)];
        assert_eq!(methods(&[incoming(), behind_a_header(0..100, b"stuvwxy_")]), apart);
        // Read into one buffer in several pieces.
        let later = sampled(read(FILE, 100..200), b"abcdefgh", b"stuvwxyz");
        let both = [incoming(), later, behind_a_header(0..200, b"stuvwxyz")];
        assert_eq!(methods(&both), [("read+write".to_owned(), 200), ("write".to_owned(), 10)]);
        let changed = [both[0].clone(), both[1].clone(), behind_a_header(0..200, b"stuvwxy_")];
        assert_eq!(methods(&changed), [("read".to_owned(), 200), ("write".to_owned(), 210)]);
        // It ends in the midst of what was read: nothing that was sampled is among it.
        let part = behind_a_header(0..50, b"stuvwxyz");
        assert_eq!(methods(&[incoming(), part]), [("read".to_owned(), 100), ("write".to_owned(), 60)]);
        // The socket took no more; the rest follows.
        let short = Operation { bytes: 60, ..behind_a_header(0..100, b"ijklmnop") };
        let rest = sampled(write(SOCKET, 50..100), b"qrstuvwx", b"stuvwxyz");
        assert_eq!(methods(&[incoming(), short, rest]), behind);
    }

    #[test]
    fn read_into_several_buffers_the_last_one_tells_the_end() {
        let read = Operation { buffers: smallvec![500..510, 0..90], ..incoming() };
        let body = |tail| sampled(write(SOCKET, 0..90), b"klmnopqr", tail);
        let sent = [("read".to_owned(), 10), ("read+write".to_owned(), 90)];
        assert_eq!(methods(&[read.clone(), body(b"stuvwxyz")]), sent);
        let apart = [("read".to_owned(), 100), ("write".to_owned(), 90)];
        assert_eq!(methods(&[read, body(b"stuvwxy_")]), apart);
    }

    #[test]
    fn a_second_sending_begins_where_the_first_did() {
        let sent = sampled(write(SOCKET, 0..100), b"abcdefgh", b"stuvwxyz");
        let again = sampled(write(OTHER_SOCKET, 0..50), b"abcdefgh", b"qrstuvwx");
        let snapshot = after([incoming(), sent.clone(), again]);
        assert_eq!(payloads(&snapshot).len(), 2, "fan-out of the same bytes");
        let elsewhere = sampled(write(OTHER_SOCKET, 20..60), b"uvwxyzab", b"ijklmnop");
        let snapshot = after([incoming(), sent, elsewhere]);
        assert_eq!(flow(&snapshot, "write").payload_bytes, 40, "memory that was used anew");
    }
}
