//! JSON that may be shown on a terminal as it is: characters that a terminal or the reader's eye would obey are written as
//! escapes (`\u009b`), and mean the same to whoever parses it.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use crate::view::format::misleads;

/// Appends a value to `buffer`, in one line.
///
/// # Errors
/// If the value has no form in JSON.
pub(super) fn to_line(buffer: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(buffer, Escaped(CompactFormatter)))
}

/// A value, indented.
///
/// # Errors
/// If the value has no form in JSON.
pub(super) fn to_vec_pretty(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, Escaped(PrettyFormatter::new())))?;
    Ok(text)
}

/// A form of JSON with more escapes than serde_json makes, which are those that JSON demands.
struct Escaped<F>(F);

/// What the inner form does by itself.
macro_rules! as_inside {
    ($($name:ident($($argument:ident: $kind:ty),*);)*) => {
        $(
            fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $argument: $kind)*) -> io::Result<()> {
                self.0.$name(writer $(, $argument)*)
            }
        )*
    };
}

impl<F: Formatter> Formatter for Escaped<F> {
    as_inside! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Nearly all of them.
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_string_fragment(writer, fragment);
        }
        for part in fragment.split_inclusive(misleads) {
            let plain = part.trim_end_matches(misleads);
            self.0.write_string_fragment(writer, plain)?;
            for unit in part.encode_utf16().skip(plain.encode_utf16().count()) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::export::{document::Document, samples};

    fn line(value: &impl Serialize) -> String {
        let mut buffer = Vec::new();
        to_line(&mut buffer, value).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, json) in [
            ("", r#""""#),
            ("plain", r#""plain""#),
            ("é文🦀", r#""é文🦀""#),
            ("c1\u{9b}31m\x7f", r#""c1\u009b31m\u007f""#),
            ("\u{202e}\u{2066}gpj.exe", r#""\u202e\u2066gpj.exe""#),
            ("\\\u{200b}\"\n", r#""\\\u200b\"\n""#),
            // Beyond 16 bits, as the two halves that JSON has for it (RFC 8259, 7).
            ("tag\u{e0041}🦀", r#""tag\udb40\udc41🦀""#),
        ] {
            assert_eq!(line(&text), json);
            assert_eq!(serde_json::from_str::<String>(json).unwrap(), text);
        }
        assert_eq!(line(&BTreeMap::from([("\u{85}", 1)])), r#"{"\u0085":1}"#);
    }

    #[test]
    fn all_else_is_as_serde_json_writes_it() {
        let busy = samples::busy();
        assert_eq!(to_vec_pretty(&busy).unwrap(), serde_json::to_vec_pretty(&busy).unwrap());
        assert_eq!(line(&busy), serde_json::to_string(&busy).unwrap());
        assert_eq!(
            to_vec_pretty(&samples::empty()).unwrap(),
            serde_json::to_vec_pretty(&samples::empty()).unwrap()
        );
    }

    #[test]
    fn hostile_names_come_back() {
        let hostile = samples::hostile();
        for text in [line(&hostile), String::from_utf8(to_vec_pretty(&hostile).unwrap()).unwrap()] {
            assert!(!text.contains(|character| character != '\n' && misleads(character)), "{text}");
            assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), hostile);
        }
    }
}
