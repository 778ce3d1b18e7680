//! What the kernel programs log about themselves (`--debug-ebpf`), written to standard error.

use std::{
    io::{self, Write},
    os::fd::{AsRawFd, RawFd},
};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};

use super::error::{LoadError, other};

/// The log of the kernel programs.
pub struct Diagnostics(EbpfLogger<ToStderr>);

impl Diagnostics {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        EbpfLogger::init_with_logger(ebpf, ToStderr).map(Self).map_err(other)
    }

    /// Writes what has come in.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}

impl AsRawFd for Diagnostics {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// One line per message; a reader that has gone away is not an error.
struct ToStderr;

impl Log for ToStderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let _ = writeln!(io::stderr(), "zc-trace: kernel side: {}", record.args());
    }

    fn flush(&self) {}
}
