//! Numbers and strings as people read them. One rule per kind of number, so that two tables never disagree; and every
//! string that a traced process chose goes through [`escape`] before it reaches a terminal.

use std::{borrow::Cow, fmt::Write as _};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::{evidence::Evidence, snapshot::Flow};

/// What stands in a table for a number that is not known.
pub const UNKNOWN: &str = "?";

const BINARY_UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// How operations of a flow that were folded came to be in it.
pub(crate) fn joined(flow: &Flow) -> &'static str {
    if flow.estimated_operations > 0 {
        "joined in the proportion of those that were told"
    } else {
        "not joined to transfers"
    }
}

/// Bytes: exact below 1 KiB, else one decimal, rounded half up: `1.5 MiB`.
pub fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    loop {
        let size = 1_u128 << (10 * (unit + 1));
        let tenths = (u128::from(bytes) * 10 + size / 2) / size;
        if tenths < 10_240 || unit + 1 == BINARY_UNITS.len() {
            return format!("{}.{} {}", tenths / 10, tenths % 10, BINARY_UNITS[unit]);
        }
        unit += 1;
    }
}

/// Bytes that may be unknown.
pub fn maybe_bytes(value: Option<u64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), bytes)
}

/// Bytes with the mark of how they are known: `1.5 MiB d`; `?` if they are not.
pub fn marked_bytes(value: Option<u64>, evidence: Evidence) -> String {
    match value {
        Some(value) => format!("{} {}", bytes(value), mark(evidence)),
        None => UNKNOWN.to_owned(),
    }
}

/// A count with thousands separators: `4,096`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count and its noun, which takes a plain `s` in the plural: `1 call`, `2 calls`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A duration given in ns, with three decimals: `999 ns`, `1.234 ms`, `12.345 s`; from a minute on `2m 05s`.
pub fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{}.{:03} µs", ns / 1_000, ns % 1_000),
        1_000_000..1_000_000_000 => format!("{}.{:03} ms", ns / 1_000_000, ns / 1_000 % 1_000),
        1_000_000_000..60_000_000_000 => format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000),
        _ => minutes(ns / 1_000_000_000),
    }
}

/// A duration given in ns, with three significant digits, for tables: `123 ns`, `1.23 ms`, `12.3 s`, `2m 05s`.
pub fn short_duration(ns: u64) -> String {
    match ns {
        0..1_000 => Some(format!("{ns} ns")),
        1_000..60_000_000_000 => [("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)]
            .iter()
            .find_map(|unit| significant(ns, *unit)),
        _ => None,
    }
    .unwrap_or_else(|| minutes(ns / 1_000_000_000))
}

/// Likewise, of a duration that may not be known.
pub fn known_duration(ns: Option<u64>) -> String {
    ns.map_or_else(|| UNKNOWN.to_owned(), short_duration)
}

/// Three digits, rounded half up; `None` if it takes four.
fn significant(ns: u64, (unit, size): (&str, u64)) -> Option<String> {
    let rounded = |scale: u64| Some((ns * scale + size / 2) / size).filter(|value| *value < 1_000);
    let whole = || rounded(1).map(|value| format!("{value} {unit}"));
    let tenths = || rounded(10).map(|value| format!("{}.{} {unit}", value / 10, value % 10));
    let hundredths = || rounded(100).map(|value| format!("{}.{:02} {unit}", value / 100, value % 100));
    hundredths().or_else(tenths).or_else(whole)
}

/// A duration given in ns, in whole seconds: `5s`, `2m 05s`.
pub fn minutes_and_seconds(ns: u64) -> String {
    match ns / 1_000_000_000 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds => minutes(seconds),
    }
}

fn minutes(seconds: u64) -> String {
    match seconds / 3_600 {
        0 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        hours => format!("{}h {:02}m {:02}s", count(hours), seconds / 60 % 60, seconds % 60),
    }
}

/// A ratio with two decimals: `2.00`; `?` if unknown.
pub fn ratio(ratio: Option<f64>) -> String {
    ratio.filter(|ratio| ratio.is_finite()).map_or_else(|| UNKNOWN.to_owned(), |ratio| format!("{ratio:.2}"))
}

/// A ratio with the mark of how it is known: `2.00 ~`; `?` if it is not.
pub fn marked_ratio(value: Option<f64>, evidence: Evidence) -> String {
    match ratio(value) {
        known if value.is_some() => format!("{known} {}", mark(evidence)),
        unknown => unknown,
    }
}

/// Payload, which is at most so much; marked only where it is not certain.
pub fn payload(value: u64, evidence: Evidence) -> String {
    match evidence {
        Evidence::Measured | Evidence::Derived => bytes(value),
        Evidence::Unknown => format!("at most {}", bytes(value)),
        evidence => marked_bytes(Some(value), evidence),
    }
}

/// A number with one decimal: `64.0`; from 10,000 on without: `12,345`; `?` if unknown.
pub fn decimal(number: Option<f64>) -> String {
    match number.filter(|number| number.is_finite() && *number >= 0.0) {
        None => UNKNOWN.to_owned(),
        Some(number) if number < 9_999.95 => format!("{number:.1}"),
        Some(number) => count(number.round() as u64),
    }
}

/// One character that says how a number is known; [`LEGEND`] explains it.
pub fn mark(evidence: Evidence) -> char {
    match evidence {
        Evidence::Measured => 'm',
        Evidence::Derived => 'd',
        Evidence::Modelled => '~',
        Evidence::Unknown => '?',
    }
}

/// The word for it.
pub fn evidence_word(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Measured => "measured",
        Evidence::Derived => "derived",
        Evidence::Modelled => "modelled",
        Evidence::Unknown => "unknown",
    }
}

/// What the marks mean.
pub const LEGEND: [&str; 4] = [
    "m measured: a kernel hook on the very act counted it",
    "d derived: follows with certainty from what was measured",
    "~ modelled: by documented behaviour, or by joining reads to writes; may be wrong",
    "? not known",
];

/// Makes a string harmless and unambiguous on a terminal: control characters, escape sequences, line breaks, characters
/// that reorder or hide text, and backslashes are written as escapes (`\x1b`, `\n`, `\u{202e}`, `\\`).
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        push_escaped(&mut escaped, character);
    }
    Cow::Owned(escaped)
}

/// As [`escape`], for bytes that may not be UTF-8: what is not becomes `\xff`.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut escaped = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        escaped.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            push_hex(&mut escaped, u32::from(*byte));
        }
    }
    escaped
}

fn push_escaped(escaped: &mut String, character: char) {
    match character {
        '\n' => escaped.push_str("\\n"),
        '\r' => escaped.push_str("\\r"),
        '\t' => escaped.push_str("\\t"),
        '\\' => escaped.push_str("\\\\"),
        '\0'..' ' | '\x7f' => push_hex(escaped, u32::from(character)),
        _ if needs_escape(character) => escaped.extend(character.escape_unicode()),
        _ => escaped.push(character),
    }
}

fn push_hex(escaped: &mut String, value: u32) {
    // Writing to a String cannot fail.
    let _ = write!(escaped, "\\x{value:02x}");
}

fn needs_escape(character: char) -> bool {
    character == '\\' || misleads(character)
}

/// Whether a terminal or the reader's eye would obey it: controls, and what Unicode calls default-ignorable or
/// bidirectional formatting (UAX #9, UTR #36).
pub(crate) fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffd}' | '\u{e0000}'..='\u{e0fff}')
}

/// Columns that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts a text that is wider than `columns` in the middle, so that both ends, of a path above all its name, stay: `/srv/…/big.bin`.
pub fn truncate_middle(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let Some(room) = columns.checked_sub(1) else { return Cow::Borrowed("") };
    let head = take_columns(text.chars(), room / 3);
    let tail: String = take_columns(text.chars().rev(), room - width(&head)).chars().rev().collect();
    Cow::Owned(format!("{head}…{tail}"))
}

/// Cuts a text that is wider than `columns` at its end.
pub fn truncate_end(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let Some(room) = columns.checked_sub(1) else { return Cow::Borrowed("") };
    Cow::Owned(format!("{}…", take_columns(text.chars(), room)))
}

fn take_columns(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 0;
    characters
        .take_while(|character| {
            used += character.width().unwrap_or(0);
            used <= columns
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_exact_below_a_kibibyte_and_have_one_decimal_above() {
        let cases = [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (65_536, "64.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (1_048_576, "1.0 MiB"),
            (268_435_456, "256.0 MiB"),
            (1_100_000_000, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (value, expected) in cases {
            assert_eq!(bytes(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_unknown_is_never_zero() {
        assert_eq!(maybe_bytes(None), "?");
        assert_eq!(marked_bytes(None, Evidence::Unknown), "?");
        assert_eq!(marked_bytes(Some(0), Evidence::Derived), "0 B d");
        assert_eq!(ratio(None), "?");
        assert_eq!(ratio(Some(f64::NAN)), "?");
        assert_eq!(decimal(Some(f64::INFINITY)), "?");
        assert_eq!(decimal(None), "?");
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (12_345_678, "12,345,678"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ];
        for (value, expected) in cases {
            assert_eq!(count(value), expected);
        }
        assert_eq!(counted(1, "call"), "1 call");
        assert_eq!(counted(2_000, "call"), "2,000 calls");
    }

    #[test]
    fn durations_keep_three_decimals() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.000 µs"),
            (1_234_567, "1.234 ms"),
            (12_345_678_901, "12.345 s"),
            (59_999_999_999, "59.999 s"),
            (125_000_000_000, "2m 05s"),
            (3_723_000_000_000, "1h 02m 03s"),
        ];
        for (value, expected) in cases {
            assert_eq!(duration(value), expected);
        }
    }

    #[test]
    fn short_durations_keep_three_digits_and_carry_into_the_next_unit() {
        let cases = [
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (1_234, "1.23 µs"),
            (9_999, "10.0 µs"),
            (99_960, "100 µs"),
            (123_456, "123 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (59_994_000_000, "60.0 s"),
            (60_000_000_000, "1m 00s"),
            (u64::MAX, "5,124,095h 34m 33s"),
        ];
        for (value, expected) in cases {
            assert_eq!(short_duration(value), expected, "{value}");
        }
    }

    #[test]
    fn decimals_lose_the_fraction_when_large() {
        assert_eq!(ratio(Some(2.0)), "2.00");
        assert_eq!(decimal(Some(64.0)), "64.0");
        assert_eq!(decimal(Some(9_999.96)), "10,000");
        assert_eq!(decimal(Some(524_288.0)), "524,288");
    }

    #[test]
    fn hostile_strings_are_shown_not_obeyed() {
        let cases = [
            ("plain/ünïcode 文", "plain/ünïcode 文"),
            ("\x1b[2Jgone", "\\x1b[2Jgone"),
            ("two\nlines\r\t\0", "two\\nlines\\r\\t\\x00"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
            ("a\u{2066}b\u{200b}c\u{feff}", "a\\u{2066}b\\u{200b}c\\u{feff}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("back\\slash", "back\\\\slash"),
            ("lossy \u{fffd}", "lossy \\u{fffd}"),
        ];
        for (hostile, expected) in cases {
            assert_eq!(escape(hostile), expected);
        }
        assert_eq!(escape_bytes(b"a\xff\xfeb\x1b"), "a\\xff\\xfeb\\x1b");
    }

    #[test]
    fn truncation_keeps_both_ends_and_never_exceeds_the_width() {
        assert_eq!(truncate_middle("/srv/www/htdocs/big.bin", 16), "/srv/…cs/big.bin");
        assert_eq!(truncate_middle("short", 5), "short");
        assert_eq!(truncate_end("abcdef", 4), "abc…");
        for columns in 0..30 {
            for text in [
                "/文文文文文文文文文/文文文文文.bin",
                "/a/very/long/path/to/some/file",
                "e\u{301}e\u{301}e\u{301}",
            ] {
                assert!(width(&truncate_middle(text, columns)) <= columns, "{text} in {columns}");
                assert!(width(&truncate_end(text, columns)) <= columns, "{text} in {columns}");
            }
        }
    }
}
