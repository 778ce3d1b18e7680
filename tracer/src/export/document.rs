//! The JSON document: a snapshot, and all that one needs to know to read it elsewhere and later.
//!
//! A name once published stays; new ones may come without a new [`SCHEMA_VERSION`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    findings::Finding,
    model::{evidence::Evidence, snapshot::Snapshot},
};

/// Version of the document's form. Counts up when a published name goes or changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// One trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What wrote it.
    pub tool: Tool,
    /// Where it ran.
    pub machine: Machine,
    /// What was traced.
    pub target: Target,
    /// Which source each quantity comes from on this kernel, and how well that knows it, by the quantity's name.
    pub evidence: BTreeMap<String, EvidenceSource>,
    /// When tracing began, ns since 1970-01-01 UTC.
    pub started_at_unix_ns: u64,
    /// How long tracing lasted, ns.
    pub duration_ns: u64,
    /// Whether it was written while tracing went on (from the dashboard): sums are those so far, and calls under way are in
    /// `in_flight.at_end` although nothing ended.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub unfinished: bool,
    /// What could cost less, worst first.
    pub findings: Vec<Finding>,
    /// What was found.
    #[serde(flatten)]
    pub snapshot: Snapshot,
}

/// What wrote a document.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// `zc-trace`.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Tool {
    /// This program.
    pub fn this() -> Self {
        Self { name: "zc-trace".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// The machine that was traced on.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// The architecture, as `uname -m` prints it.
    pub arch: String,
    /// CPUs online.
    pub cpus: u32,
}

/// What was traced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// The process; with several, the first one that was named.
    pub pid: u32,
    /// All processes that were named.
    pub pids: Vec<u32>,
    /// Its `comm`.
    pub comm: String,
    /// Its command line, lossily decoded.
    pub args: Vec<String>,
    /// The name, or else the number, of the user it runs as; null if that could not be found out.
    pub user: Option<String>,
    /// When the process began, ns since 1970-01-01 UTC; null if that could not be found out.
    pub start_time_unix_ns: Option<u64>,
    /// Whether zc-trace started it.
    pub command: bool,
    /// Its exit code as a shell shows it (128 + signal if killed); null while it runs.
    pub exit_code: Option<i32>,
}

/// Where a quantity comes from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceSource {
    /// The hook or account, such as `tp_btf:sys_exit`.
    pub source: String,
    /// How well that knows it.
    pub evidence: Evidence,
    /// What would know it better.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub better: Option<String>,
}

/// The demonstration: the same file sent once by each method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DemoDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What wrote it.
    pub tool: Tool,
    /// Where it ran.
    pub machine: Machine,
    /// One trace per method.
    pub demo: Vec<DemoRun>,
}

/// One method of the demonstration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DemoRun {
    /// The method, by the name that flows give it.
    pub method: String,
    /// Size of the file, bytes.
    pub size_bytes: u64,
    /// Most bytes that one call was asked to move.
    pub chunk_bytes: u64,
    /// CPU time of the sending process, user and system, s.
    pub cpu_seconds: f64,
    /// From the connection's begin to its end, as the receiver saw it, s.
    pub wall_seconds: f64,
    /// File size ÷ wall time; null if no time passed.
    pub bytes_per_second: Option<f64>,
    /// The trace of the sending process.
    #[serde(flatten)]
    pub document: Document,
}
