//! The JSON document, read by its published names: the tests see what a user's `jq` sees, not the tool's own types.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{comparison::Comparison, strace::CallCount};

/// One document, or one part of it.
#[derive(Clone, Debug)]
pub struct Document(Value);

impl Document {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text)
    }

    /// Reads text.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self(serde_json::from_str(text).with_context(|| format!("no JSON document: {text:.300}"))?))
    }

    /// Takes a value.
    pub fn of(value: &Value) -> Self {
        Self(value.clone())
    }

    /// The value under a dotted path.
    pub fn get(&self, path: &str) -> Result<&Value> {
        path.split('.').try_fold(&self.0, |value, name| {
            value.get(name).with_context(|| format!("the document has no {path} ({name} is missing)"))
        })
    }

    /// The number under a dotted path; null is an error.
    pub fn number(&self, path: &str) -> Result<u64> {
        let value = self.get(path)?;
        value.as_u64().with_context(|| format!("{path} is no count but {value}"))
    }

    /// The text under a dotted path.
    pub fn text(&self, path: &str) -> Result<&str> {
        let value = self.get(path)?;
        value.as_str().with_context(|| format!("{path} is no text but {value}"))
    }

    /// The list under a dotted path.
    pub fn list(&self, path: &str) -> Result<Vec<Self>> {
        let value = self.get(path)?;
        Ok(value.as_array().with_context(|| format!("{path} is no list"))?.iter().map(Self::of).collect())
    }

    /// `calls` by name.
    pub fn calls(&self) -> Result<BTreeMap<String, CallCount>> {
        self.counts("calls")
    }

    /// `requests` by name.
    pub fn requests(&self) -> Result<BTreeMap<String, CallCount>> {
        self.counts("requests")
    }

    fn counts(&self, list: &str) -> Result<BTreeMap<String, CallCount>> {
        let mut calls = BTreeMap::new();
        for call in self.list(list)? {
            let count = CallCount {
                count: call.number("count")?,
                errors: call.number("errors")?,
                bytes: Some(call.number("bytes")?),
            };
            calls.insert(call.text("name")?.to_owned(), count);
        }
        Ok(calls)
    }

    /// The entry of `processes` with that id.
    pub fn process(&self, pid: u32) -> Result<Self> {
        self.list("processes")?
            .into_iter()
            .find(|process| process.number("pid").is_ok_and(|found| found == u64::from(pid)))
            .with_context(|| format!("processes has no {pid}"))
    }

    /// `flows`.
    pub fn flows(&self) -> Result<Vec<Flow>> {
        self.list("flows")?.iter().map(Flow::read).collect()
    }

    /// The flows whose source is that path.
    pub fn flows_from(&self, path: &Path) -> Result<Vec<Flow>> {
        Ok(self.flows()?.into_iter().filter(|flow| flow.source.is(path)).collect())
    }

    /// The flows whose sink is that path.
    pub fn flows_to(&self, path: &Path) -> Result<Vec<Flow>> {
        Ok(self.flows()?.into_iter().filter(|flow| flow.sink.is(path)).collect())
    }

    /// `in_flight.at_start` or `at_end`: thread and call of each.
    pub fn in_flight(&self, end: &str) -> Result<Vec<(u32, String)>> {
        self.list(&format!("in_flight.{end}"))?
            .iter()
            .map(|call| Ok((u32::try_from(call.number("tid")?)?, call.text("name")?.to_owned())))
            .collect()
    }

    /// What must hold in every document: the parts add up to the sums at each level, and what the kernel kept agrees.
    pub fn is_coherent(&self) -> Result<()> {
        let mut comparison = Comparison::default();
        let calls = self.list("calls")?;
        comparison.equal("calls' count together", total(&calls, "count")?, self.number("totals.calls")?);
        let fields = [
            "calls",
            "read_bytes",
            "written_bytes",
            "transitions.syscall",
            "transitions.exception",
            "transitions.interrupt",
            "context_switches.voluntary",
            "context_switches.involuntary",
            "page_faults.minor",
            "page_faults.major",
        ];
        for level in ["processes", "threads"] {
            let parts = self.list(level)?;
            for field in fields {
                let sum = self.number(&format!("totals.{field}"))?;
                comparison.equal(&format!("{level}' {field} together"), total(&parts, field)?, sum);
            }
        }
        for call in &calls {
            let name = call.text("name")?;
            let failed = call.number("errors")? + call.number("unfinished")?;
            comparison.holds(
                &format!("{name}: errors and unfinished within count"),
                failed <= call.number("count")?,
            );
            // Where nothing is timed, none of them is known.
            if !call.get("time_ns")?.is_null() {
                let waiting = call.number("blocked_ns")? + call.number("preempted_ns")?;
                comparison.holds(&format!("{name}: waiting within time"), waiting <= call.number("time_ns")?);
            }
        }
        for flow in self.flows()? {
            comparison.holds(
                &format!("{flow:?}: amplification is copied by payload"),
                flow.amplification_is_right(),
            );
        }
        if !self.get("totals.kernel_accounts")?.is_null() {
            comparison.equal(
                "totals.kernel_accounts.agree",
                self.get("totals.kernel_accounts.agree")?,
                &Value::Bool(true),
            );
        }
        comparison.equal(
            "totals.losses.undecodable_records",
            self.number("totals.losses.undecodable_records")?,
            0,
        );
        comparison.finish()
    }
}

fn total(parts: &[Document], field: &str) -> Result<u64> {
    parts.iter().map(|part| part.number(field)).sum()
}

/// One end of a flow.
#[derive(Clone, Debug)]
pub struct FlowEnd {
    /// `file`, `socket`, `user` …
    pub kind: String,
    /// Path, if it has one.
    pub path: Option<String>,
}

impl FlowEnd {
    fn read(document: &Document) -> Result<Self> {
        let path = document.get("path")?.as_str().map(str::to_owned);
        Ok(Self { kind: document.text("kind")?.to_owned(), path })
    }

    /// Whether it is that path.
    pub fn is(&self, path: &Path) -> bool {
        self.path.as_deref().map(Path::new) == Some(path)
    }
}

/// One flow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Where from.
    pub source: FlowEnd,
    /// Where to.
    pub sink: FlowEnd,
    /// `read+write`, `sendfile` …
    pub method: String,
    /// Operations that served it.
    pub operations: u64,
    /// Of these, those that are in this flow in the proportion of others.
    pub estimated_operations: u64,
    /// Bytes that reached the sink.
    pub payload_bytes: u64,
    /// Bytes moved by DMA, if known.
    pub dma_bytes: Option<u64>,
    /// Bytes that are still to be written to a device, at most; if that is followed.
    pub not_written_back_bytes: Option<u64>,
    /// Bytes copied by the CPU, if known.
    pub cpu_copied_bytes: Option<u64>,
    /// Their quotient, if known.
    pub copy_amplification: Option<f64>,
    /// How well that is known.
    pub evidence: String,
    /// Mode switches.
    pub transitions: u64,
    /// Each copy and move.
    pub copies: Vec<Copy>,
}

/// One copy or move of a flow.
#[derive(Clone, Debug)]
pub struct Copy {
    /// From which place.
    pub from: String,
    /// To which place.
    pub to: String,
    /// `cpu`, `dma`, `none`, or not known.
    pub mover: Option<String>,
    /// How many bytes, if known.
    pub bytes: Option<u64>,
    /// How well that is known.
    pub evidence: String,
    /// Why, where it is not plain.
    pub note: Option<String>,
}

impl Flow {
    fn read(document: &Document) -> Result<Self> {
        let copies = document.list("copies")?;
        Ok(Self {
            source: FlowEnd::read(&Document::of(document.get("source")?))?,
            sink: FlowEnd::read(&Document::of(document.get("sink")?))?,
            method: document.text("method")?.to_owned(),
            operations: document.number("operations")?,
            estimated_operations: document.number("estimated_operations")?,
            payload_bytes: document.number("payload_bytes")?,
            dma_bytes: document.get("dma_bytes")?.as_u64(),
            not_written_back_bytes: document.get("not_written_back_bytes")?.as_u64(),
            cpu_copied_bytes: document.get("cpu_copied_bytes")?.as_u64(),
            copy_amplification: document.get("copy_amplification")?.as_f64(),
            evidence: document.text("evidence")?.to_owned(),
            transitions: document.number("transitions")?,
            copies: copies.iter().map(Copy::read).collect::<Result<_>>()?,
        })
    }

    fn amplification_is_right(&self) -> bool {
        match (self.copy_amplification, self.cpu_copied_bytes) {
            (Some(amplification), Some(copied)) if self.payload_bytes > 0 => {
                (amplification - copied as f64 / self.payload_bytes as f64).abs() < 0.005
            }
            (Some(_), None) => false,
            _ => true,
        }
    }

    /// Bytes of its copies from that place to that place by that mover, as far as known.
    pub fn copied(&self, from: &str, to: &str, mover: &str) -> u64 {
        self.copies
            .iter()
            .filter(|copy| copy.from == from && copy.to == to && copy.mover.as_deref() == Some(mover))
            .filter_map(|copy| copy.bytes)
            .sum()
    }
}

impl Copy {
    fn read(document: &Document) -> Result<Self> {
        Ok(Self {
            from: document.text("from")?.to_owned(),
            to: document.text("to")?.to_owned(),
            mover: document.get("mover")?.as_str().map(str::to_owned),
            bytes: document.get("bytes")?.as_u64(),
            evidence: document.text("evidence")?.to_owned(),
            note: document.get("note").ok().and_then(|note| note.as_str()).map(str::to_owned),
        })
    }
}
