//! A checksum of a byte stream that is fast enough not to slow the receiver down: FNV-1a's step on 64-bit words, in four
//! lanes. It finds lost, doubled, swapped and altered bytes; it does not keep out an adversary.

const PRIME: u64 = 0x0000_0100_0000_01b3;
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const LANES: usize = 4;
const STRIPE: usize = LANES * 8;

/// The checksum of what was added so far; the same however the stream was cut.
#[derive(Clone, Debug)]
pub(super) struct Checksum {
    lanes: [u64; LANES],
    /// The begin of a stripe that is not whole yet.
    rest: [u8; STRIPE],
    rest_bytes: usize,
    bytes: u64,
}

impl Checksum {
    pub(super) fn new() -> Self {
        let lanes = std::array::from_fn(|lane| OFFSET ^ lane as u64);
        Self { lanes, rest: [0; STRIPE], rest_bytes: 0, bytes: 0 }
    }

    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if self.rest_bytes > 0 {
            let (head, tail) = bytes.split_at(bytes.len().min(STRIPE - self.rest_bytes));
            self.keep(head);
            bytes = tail;
            if self.rest_bytes < STRIPE {
                return;
            }
            let stripe = self.rest;
            self.mix(&stripe);
            self.rest_bytes = 0;
        }
        let (stripes, tail) = bytes.as_chunks::<STRIPE>();
        for stripe in stripes {
            self.mix(stripe);
        }
        self.keep(tail);
    }

    /// Bytes added so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn value(&self) -> u64 {
        let mut last = self.clone();
        last.rest[self.rest_bytes..].fill(0);
        let stripe = last.rest;
        last.mix(&stripe);
        last.lanes.iter().fold(step(OFFSET, self.bytes), |sum, lane| step(sum, *lane))
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.rest[self.rest_bytes..][..bytes.len()].copy_from_slice(bytes);
        self.rest_bytes += bytes.len();
    }

    fn mix(&mut self, stripe: &[u8; STRIPE]) {
        let (words, _) = stripe.as_chunks::<8>();
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            *lane = step(*lane, u64::from_le_bytes(*word));
        }
    }
}

/// The multiplication carries upwards only; the rotation brings high bits back down.
fn step(sum: u64, word: u64) -> u64 {
    (sum ^ word).wrapping_mul(PRIME).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut sum = Checksum::new();
        sum.add(bytes);
        sum.value()
    }

    #[test]
    fn cutting_the_stream_changes_nothing() {
        let bytes: Vec<u8> = (0..1000_u32).map(|index| (index * 7 % 251) as u8).collect();
        for cut in [1, 3, 31, 32, 33, 64, 999] {
            let mut sum = Checksum::new();
            for piece in bytes.chunks(cut) {
                sum.add(piece);
            }
            assert_eq!((sum.value(), sum.bytes()), (of(&bytes), 1000), "pieces of {cut}");
        }
    }

    #[test]
    fn any_change_shows() {
        let bytes: Vec<u8> = (0..200_u8).collect();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0x80;
            assert_ne!(of(&other), of(&bytes), "byte {at}");
        }
        let mut swapped = bytes.clone();
        swapped.swap(3, 40);
        assert_ne!(of(&swapped), of(&bytes));
        assert_ne!(of(&bytes[..199]), of(&bytes));
        assert_ne!(of(&[]), of(&[0]), "a zero more is another stream");
    }
}
