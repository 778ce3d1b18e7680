//! The JSON file: one document, written when all is known.

use std::path::Path;

use serde::Serialize;

use super::{
    escaped,
    file::{Destination, OutputError},
};

/// Where the document goes, tested but not yet touched.
#[derive(Debug)]
pub struct DocumentOutput(Destination);

impl DocumentOutput {
    /// Makes sure, before tracing starts, that `path` can be written (`-`: standard output). What is there stays as it
    /// is until [`Self::write`] has written all of the new document.
    pub fn prepare(path: &Path) -> Result<Self, OutputError> {
        Destination::prepare_replacement(path).map(Self)
    }

    /// Whether the document goes to standard output, so that nothing else should.
    pub fn is_stdout(&self) -> bool {
        self.0.is_stdout()
    }

    /// Writes the document (a [`super::document::Document`] or [`super::document::DemoDocument`]), indented, with a
    /// line break at its end. A full disk or a kill leaves what was there before.
    pub fn write(self, document: &impl Serialize) -> Result<(), OutputError> {
        let mut text = escaped::to_vec_pretty(document).map_err(|error| self.0.error(error.into()))?;
        text.push(b'\n');
        self.0.replace(&text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        export::{document::Document, samples},
        view::format::misleads,
    };

    #[test]
    fn a_document_is_written_whole_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        DocumentOutput::prepare(&path).unwrap().write(&samples::busy()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("}\n"));
        assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), samples::busy());
    }

    #[test]
    fn control_characters_of_the_target_stay_escaped_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        DocumentOutput::prepare(&path).unwrap().write(&samples::hostile()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(|character| character != '\n' && misleads(character)), "{text}");
        assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), samples::hostile());
    }
}
