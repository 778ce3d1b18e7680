//! Sizes as people write them on the command line.

const UNITS: [(char, u64); 3] = [('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

/// Reads bytes, or a number with K, M or G (powers of 1024); `None` if it is neither, or zero.
pub fn read(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// Writes bytes so that [`read`] reads the same number.
pub fn written(bytes: u64) -> String {
    let unit = UNITS.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| bytes.to_string(), |(letter, unit)| format!("{}{letter}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(read("64K"), Some(65_536));
        assert_eq!(read("12"), Some(12));
        assert_eq!(read(" 1GiB "), Some(1 << 30));
        for none in ["", "K", "0", "-1", "1.5K", "99999999999G", "1é", "é"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for bytes in [1, 1_023, 1_024, 65_536, 3 << 20, (1 << 20) + 1, 5 << 30, u64::MAX] {
            assert_eq!(read(&written(bytes)), Some(bytes));
        }
        assert_eq!(written(65_536), "64K");
    }
}
