//! Text for people on a standard stream, with every error told but one: that a reader went away.

use std::{fs::File, io::ErrorKind};

use super::file::{OutputError, StandardStream, write_everything};

/// A standard stream that takes text.
#[derive(Debug)]
pub struct TextOutput {
    stream: StandardStream,
    file: File,
    reader_is_gone: bool,
}

impl TextOutput {
    /// Makes sure that it is open.
    ///
    /// # Errors
    /// If whoever started zc-trace has closed it.
    pub fn prepare(stream: StandardStream) -> Result<Self, OutputError> {
        let file = stream.open().map_err(|reason| OutputError::about(stream, reason))?;
        Ok(Self { stream, file, reader_is_gone: false })
    }

    /// Writes all of it at once. Past `Stdout` of the standard library, which takes a closed stream for a sink and may
    /// hold back text until the end, when nobody asks for errors any more.
    ///
    /// # Errors
    /// If it cannot be written, but for want of a reader (`| head`).
    pub fn write(&mut self, text: &str) -> Result<(), OutputError> {
        match write_everything(&self.file, text.as_bytes()).1 {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.reader_is_gone = true;
                Ok(())
            }
            result => result.map_err(|reason| OutputError::about(self.stream, reason)),
        }
    }

    /// Whether whoever read this went away.
    pub fn reader_is_gone(&self) -> bool {
        self.reader_is_gone
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, os::fd::OwnedFd};

    use super::*;

    fn into(file: File) -> TextOutput {
        TextOutput { stream: StandardStream::Output, file, reader_is_gone: false }
    }

    #[test]
    fn only_a_reader_that_went_away_is_no_error() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut text = into(File::from(OwnedFd::from(writer)));
        text.write("text").unwrap();
        assert!(text.reader_is_gone());

        let mut text = into(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let error = text.write("text").unwrap_err().to_string();
        assert!(error.starts_with("cannot write to standard output: No space left"), "{error}");

        let mut text = into(File::open("/dev/null").unwrap());
        let error = text.write("text").unwrap_err().to_string();
        assert!(error.contains("Hint: it is closed"), "{error}");
    }
}
