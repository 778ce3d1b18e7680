//! The JSON Schema of all that zc-trace writes, generated from the types; `docs/zc-trace.schema.json` is this, committed.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{
    document::{DemoDocument, Document},
    ndjson::Line,
};

/// The schema: any of a trace's document, the demo's document, and one line of the NDJSON stream.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let any_of = [
        generator.subschema_for::<Document>(),
        generator.subschema_for::<DemoDocument>(),
        generator.subschema_for::<Line>(),
    ];
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "zc-trace",
        "description": "A trace (--json), the demo (zc-trace demo --json), or one line of a stream (--ndjson).",
        "anyOf": any_of,
        "$defs": generator.take_definitions(true),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{
        export::{ndjson::StreamHeader, samples},
        filter::Filter,
    };

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/zc-trace.schema.json");

    #[test]
    fn the_committed_schema_is_that_of_the_types() {
        let generated = format!("{:#}\n", schema());
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(COMMITTED, &generated).unwrap();
        }
        let committed = fs::read_to_string(Path::new(COMMITTED)).unwrap_or_default();
        assert!(
            committed == generated,
            "docs/zc-trace.schema.json is out of date: run UPDATE_SCHEMA=1 cargo test -p zc-trace --lib schema"
        );
    }

    #[test]
    fn what_is_written_is_valid_and_comes_back_the_same() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        for document in samples::documents() {
            let value = serde_json::to_value(&document).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(serde_json::from_value::<Document>(value).unwrap(), document);
        }
        let demo = serde_json::to_value(samples::demo()).unwrap();
        assert!(validator.is_valid(&demo));
        assert_eq!(serde_json::from_value::<DemoDocument>(demo).unwrap(), samples::demo());
    }

    #[test]
    fn lines_are_valid_and_come_back_the_same() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let document = samples::busy();
        let lines = [
            Line::Header(StreamHeader::of(&document, &Filter::parse("path=/srv").unwrap())),
            Line::Operation(samples::operation_line()),
            Line::Transfer(samples::transfer()),
            Line::Summary(Box::new(document)),
        ];
        for line in lines {
            let value = serde_json::to_value(&line).unwrap();
            assert!(validator.is_valid(&value), "{value}");
            assert_eq!(serde_json::from_value::<Line>(value).unwrap(), line);
        }
    }

    #[test]
    fn what_lacks_a_published_name_is_not_valid() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        for name in [
            "schema_version",
            "findings",
            "totals",
            "calls",
            "flows",
            "in_flight",
            "target",
            "evidence",
            "duration_ns",
        ] {
            let mut value = serde_json::to_value(samples::busy()).unwrap();
            value.as_object_mut().unwrap().remove(name);
            assert!(!validator.is_valid(&value), "valid without {name}");
        }
        let mut value = serde_json::to_value(samples::busy()).unwrap();
        value["totals"].as_object_mut().unwrap().remove("copy_amplification");
        assert!(!validator.is_valid(&value), "what is unknown must be null, not missing");
    }
}
