//! The demonstration: one file, sent once by each method over a loopback connection, each time by a process of its own
//! that is traced, to a receiver in this process that is not.
//!
//! How that process is traced is the caller's business ([`run`] takes a closure); what it does is in [`workload`].

mod checksum;
mod payload;
mod receiver;
pub mod workload;
mod zerocopy;

use std::{ffi::OsString, net::SocketAddr, path::Path, str::FromStr, time::Duration};

use anyhow::{Context as _, ensure};

pub use self::{
    payload::Payload,
    receiver::{Received, Receiver},
};
use crate::export::document::{DemoDocument, DemoRun, Document, SCHEMA_VERSION, Tool};

/// The hidden subcommand that runs [`workload::send_file`].
pub const WORKLOAD_COMMAND: &str = "demo-workload";

/// A way to send a file to a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// `read` into a buffer, `write` from it: the classical relay.
    ReadWrite,
    /// `sendfile`.
    Sendfile,
    /// `mmap` the file, `write` from the mapping.
    MmapWrite,
    /// `splice` into a pipe and out of it.
    Splice,
    /// `read` into a buffer, `send` it with `MSG_ZEROCOPY`.
    Zerocopy,
}

/// All methods, in the order in which the demonstration shows them.
pub fn methods() -> &'static [Method] {
    &[Method::ReadWrite, Method::Sendfile, Method::MmapWrite, Method::Splice, Method::Zerocopy]
}

impl Method {
    /// The name on the command line.
    pub fn argument(self) -> &'static str {
        match self {
            Self::ReadWrite => "read+write",
            Self::Sendfile => "sendfile",
            Self::MmapWrite => "mmap+write",
            Self::Splice => "splice",
            Self::Zerocopy => "zerocopy",
        }
    }

    /// The name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zerocopy => "send(MSG_ZEROCOPY)",
            method => method.argument(),
        }
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        methods().iter().copied().find(|method| method.argument() == text).ok_or_else(|| {
            let known: Vec<&str> = methods().iter().map(|method| method.argument()).collect();
            format!("no such method; there are {}", known.join(", "))
        })
    }
}

/// What to demonstrate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// Size of the file, bytes; at least 1.
    pub size_bytes: u64,
    /// Most bytes that one call is asked to move; at least 1.
    pub chunk_bytes: u64,
}

/// What came of tracing one workload.
#[derive(Clone, Debug)]
pub struct Traced {
    /// The trace.
    pub document: Document,
    /// CPU time of the workload's process, user and system, s.
    pub cpu_seconds: f64,
    /// Its exit code as a shell shows it; 0 is success.
    pub exit_code: i32,
}

/// Arguments of zc-trace that make it the workload.
pub fn workload_args(
    method: Method,
    size_bytes: u64,
    chunk_bytes: u64,
    file: &Path,
    address: SocketAddr,
) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec![WORKLOAD_COMMAND.into()];
    for (name, value) in [
        ("--method", method.argument().into()),
        ("--size", size_bytes.to_string().into()),
        ("--chunk", chunk_bytes.to_string().into()),
        ("--file", file.as_os_str().to_owned()),
        ("--address", address.to_string().into()),
    ] {
        args.extend([name.into(), value]);
    }
    args
}

/// Demonstrates all methods. `trace` runs this program with the arguments it is given, traced from its first
/// instruction, and returns when it has ended.
pub fn run(
    options: Options,
    mut trace: impl FnMut(Method, Vec<OsString>) -> anyhow::Result<Traced>,
) -> anyhow::Result<DemoDocument> {
    ensure!(options.size_bytes > 0, "the demo needs a file of at least 1 byte. Hint: --size 256M");
    ensure!(options.chunk_bytes > 0, "the demo needs chunks of at least 1 byte. Hint: --chunk 64K");
    let payload = Payload::create(options.size_bytes)?;
    let mut demo = Vec::with_capacity(methods().len());
    for method in methods() {
        let run = run_method(*method, options, &payload, &mut trace);
        demo.push(run.with_context(|| format!("the demo failed at {}", method.name()))?);
    }
    let machine = demo.first().map(|run| run.document.machine.clone());
    Ok(DemoDocument {
        schema_version: SCHEMA_VERSION,
        tool: Tool::this(),
        machine: machine.context("there is no method to demonstrate")?,
        demo,
    })
}

fn run_method(
    method: Method,
    options: Options,
    payload: &Payload,
    trace: &mut impl FnMut(Method, Vec<OsString>) -> anyhow::Result<Traced>,
) -> anyhow::Result<DemoRun> {
    let receiver = Receiver::start().context("cannot listen on 127.0.0.1")?;
    let args =
        workload_args(method, options.size_bytes, options.chunk_bytes, payload.path(), receiver.address());
    let traced = trace(method, args);
    // Ended in any case: a receiver that nobody connects to would wait for ever.
    let received = receiver.finish();
    let traced = traced?;
    ensure!(traced.exit_code == 0, "the sending process ended with exit code {}", traced.exit_code);
    let received = received.context("cannot receive what was sent")?;
    payload.verify(&received)?;
    Ok(DemoRun {
        method: method.name().to_owned(),
        size_bytes: options.size_bytes,
        chunk_bytes: options.chunk_bytes,
        cpu_seconds: traced.cpu_seconds,
        wall_seconds: received.wall.as_secs_f64(),
        bytes_per_second: bytes_per_second(received.bytes, received.wall),
        document: traced.document,
    })
}

fn bytes_per_second(bytes: u64, wall: Duration) -> Option<f64> {
    (!wall.is_zero()).then(|| bytes as f64 / wall.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::samples;

    fn traced(exit_code: i32) -> Traced {
        Traced { document: samples::empty(), cpu_seconds: 0.5, exit_code }
    }

    /// Stands for the child: what `main` does with the arguments.
    fn child(args: &[OsString]) -> anyhow::Result<()> {
        let value = |name: &str| {
            let at = args.iter().position(|arg| arg == name).unwrap();
            args[at + 1].to_str().unwrap().to_owned()
        };
        assert_eq!(args[0], WORKLOAD_COMMAND);
        workload::send_file(&workload::Options {
            method: value("--method").parse().unwrap(),
            size_bytes: value("--size").parse().unwrap(),
            chunk_bytes: value("--chunk").parse().unwrap(),
            file: value("--file").into(),
            address: value("--address").parse().unwrap(),
        })
    }

    #[test]
    fn every_method_delivers_what_is_in_the_file() {
        // One byte; less than, as much as, and more than a chunk; sizes that no page or word divides.
        for (size_bytes, chunk_bytes) in [
            (1, 65_536),
            (4_096, 4_096),
            (65_537, 65_536),
            (300_001, 4_096),
            (1_000_003, 70_001),
            (5_000, 7),
            (8_388_609, 1_048_576),
        ] {
            let mut seen = Vec::new();
            let document = run(Options { size_bytes, chunk_bytes }, |method, args| {
                seen.push(method);
                child(&args)?;
                Ok(traced(0))
            });
            let document =
                document.unwrap_or_else(|error| panic!("{size_bytes} by {chunk_bytes}: {error:#}"));
            assert_eq!(seen, methods());
            assert_eq!(document.demo.len(), methods().len());
            assert!(document.demo.iter().all(|run| run.size_bytes == size_bytes && run.wall_seconds > 0.0));
        }
    }

    #[test]
    fn a_sender_that_sends_nothing_too_little_or_something_else_is_found_out() {
        let options = Options { size_bytes: 100_000, chunk_bytes: 65_536 };
        let error = run(options, |_, _| Ok(traced(0))).unwrap_err();
        assert!(format!("{error:#}").contains("received 0 of 100000 bytes"), "{error:#}");

        let error = run(options, |method, mut args| {
            let at = args.iter().position(|arg| arg == "--size").unwrap();
            args[at + 1] = "99999".into();
            assert_eq!(method, Method::ReadWrite);
            child(&args).map(|()| traced(0))
        });
        assert!(format!("{:#}", error.unwrap_err()).contains("received 99999 of 100000 bytes"));

        let other = Payload::create(100_000).unwrap();
        std::fs::write(other.path(), vec![7; 100_000]).unwrap();
        let error = run(options, |_, mut args| {
            let at = args.iter().position(|arg| arg == "--file").unwrap();
            args[at + 1] = other.path().into();
            child(&args).map(|()| traced(0))
        });
        assert!(format!("{:#}", error.unwrap_err()).contains("not what was sent"));
    }

    #[test]
    fn a_failed_sender_is_reported_by_its_own_error() {
        let options = Options { size_bytes: 10, chunk_bytes: 10 };
        let error = run(options, |_, _| anyhow::bail!("no root")).unwrap_err();
        assert_eq!(format!("{error:#}"), "the demo failed at read+write: no root");
        let error = run(options, |_, _| Ok(traced(137))).unwrap_err();
        assert!(format!("{error:#}").contains("exit code 137"), "{error:#}");
        assert!(run(Options { size_bytes: 0, chunk_bytes: 1 }, |_, _| Ok(traced(0))).is_err());
        assert!(run(Options { size_bytes: 1, chunk_bytes: 0 }, |_, _| Ok(traced(0))).is_err());
    }

    #[test]
    fn methods_are_known_by_their_arguments() {
        for method in methods() {
            assert_eq!(method.argument().parse(), Ok(*method));
        }
        assert!("teleport".parse::<Method>().unwrap_err().contains("read+write, sendfile"));
    }
}
