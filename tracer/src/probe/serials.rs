//! Which serials have been met: one bit each, since a busy server has a new one for every connection.

use std::collections::HashMap;

/// A set of serials. The kernel side counts them up on each CPU and puts the CPU's number into the low bits.
#[derive(Debug, Default)]
pub(super) struct SerialSet {
    by_cpu: HashMap<u16, Vec<u64>>,
}

/// Bits of a serial that hold the CPU's number.
const CPU_BITS: u32 = 16;

impl SerialSet {
    /// Adds a serial; false if it was there before.
    pub(super) fn insert(&mut self, serial: u64) -> bool {
        let cpu = u16::try_from(serial & 0xffff).unwrap_or(u16::MAX);
        let number = serial >> CPU_BITS;
        let (word, bit) = (usize::try_from(number / 64).unwrap_or(usize::MAX), 1u64 << (number % 64));
        let words = self.by_cpu.entry(cpu).or_default();
        if words.len() <= word {
            words.resize(word.saturating_add(1), 0);
        }
        match words.get_mut(word) {
            Some(bits) if *bits & bit == 0 => {
                *bits |= bit;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SerialSet;

    #[test]
    fn each_serial_is_new_once() {
        let mut set = SerialSet::default();
        let serials = [1 << 16, 2 << 16, 1 << 16 | 3, 700 << 16 | 3];
        assert!(serials.iter().all(|serial| set.insert(*serial)));
        assert!(!serials.iter().any(|serial| set.insert(*serial)));
        assert!(set.insert(701 << 16 | 3));
    }
}
