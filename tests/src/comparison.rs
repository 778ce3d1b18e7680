//! Compares what zc-trace measured with what a referee knows, and tells all differences at once.

use std::{collections::BTreeMap, fmt::Debug};

use anyhow::{Result, bail};

use crate::{accounts::Accounts, document::Document, strace::CallCount};

/// A list of differences.
#[derive(Default)]
pub struct Comparison {
    differences: Vec<String>,
    compared: u64,
}

impl Comparison {
    /// What zc-trace says against what is true.
    pub fn equal<T: PartialEq + Debug>(&mut self, what: &str, measured: T, truth: T) {
        self.compared += 1;
        if measured != truth {
            self.differences.push(format!("{what}: zc-trace says {measured:?}, true is {truth:?}"));
        }
    }

    /// What zc-trace says against the least and the most that can be true.
    pub fn between<T: PartialOrd + Debug>(&mut self, what: &str, least: T, measured: T, most: T) {
        self.compared += 1;
        if measured < least || measured > most {
            self.differences
                .push(format!("{what}: zc-trace says {measured:?}, true is {least:?} to {most:?}"));
        }
    }

    /// Something that must hold.
    pub fn holds(&mut self, what: &str, holds: bool) {
        self.compared += 1;
        if !holds {
            self.differences.push(format!("does not hold: {what}"));
        }
    }

    /// Bytes and calls of the totals against `/proc/PID/io`.
    pub fn io(&mut self, document: &Document, truth: &Accounts) -> Result<()> {
        self.equal("totals.read_bytes", document.number("totals.read_bytes")?, truth.io.rchar);
        self.equal("totals.written_bytes", document.number("totals.written_bytes")?, truth.io.wchar);
        self.equal("totals.read_calls", document.number("totals.read_calls")?, truth.io.syscr);
        self.equal("totals.write_calls", document.number("totals.write_calls")?, truth.io.syscw);
        Ok(())
    }

    /// Page faults of the totals against `/proc/PID/stat`.
    pub fn faults(&mut self, document: &Document, truth: &Accounts) -> Result<()> {
        self.equal(
            "totals.page_faults.minor",
            document.number("totals.page_faults.minor")?,
            truth.faults.minor,
        );
        self.equal(
            "totals.page_faults.major",
            document.number("totals.page_faults.major")?,
            truth.faults.major,
        );
        Ok(())
    }

    /// Context switches of the totals against `/proc/PID/status`.
    pub fn switches(&mut self, document: &Document, truth: &Accounts) -> Result<()> {
        let number = |name: &str| document.number(&format!("totals.context_switches.{name}"));
        self.equal("totals.context_switches.voluntary", number("voluntary")?, truth.switches.voluntary);
        self.equal("totals.context_switches.involuntary", number("involuntary")?, truth.switches.involuntary);
        Ok(())
    }

    /// Bytes, calls, faults and switches of the totals against all accounts of the only process.
    pub fn accounts(&mut self, document: &Document, truth: &Accounts) -> Result<()> {
        self.io(document, truth)?;
        self.faults(document, truth)?;
        self.switches(document, truth)
    }

    /// One entry of `processes` against all accounts of that process.
    pub fn process(&mut self, document: &Document, pid: u32, truth: &Accounts) -> Result<()> {
        let process = document.process(pid)?;
        let mut equal = |name: &str, truth: u64| -> Result<()> {
            self.equal(&format!("processes[{pid}].{name}"), process.number(name)?, truth);
            Ok(())
        };
        equal("read_bytes", truth.io.rchar)?;
        equal("written_bytes", truth.io.wchar)?;
        equal("page_faults.minor", truth.faults.minor)?;
        equal("page_faults.major", truth.faults.major)?;
        equal("context_switches.voluntary", truth.switches.voluntary)?;
        equal("context_switches.involuntary", truth.switches.involuntary)
    }

    /// Every call by name: how many, how many failed and, where the log knows, how many bytes.
    pub fn calls(&mut self, document: &Document, truth: &BTreeMap<String, CallCount>) -> Result<()> {
        for name in document.calls()?.keys().filter(|name| !truth.contains_key(*name)) {
            self.holds(&format!("calls[{name}] is in the log"), false);
        }
        self.some_calls(document, truth)
    }

    /// As [`calls`](Self::calls), but zc-trace may have seen others.
    pub fn some_calls(&mut self, document: &Document, truth: &BTreeMap<String, CallCount>) -> Result<()> {
        let measured = document.calls()?;
        for (name, truth) in truth {
            let measured = measured.get(name).copied().unwrap_or_default();
            self.equal(&format!("calls[{name}].count"), measured.count, truth.count);
            self.equal(&format!("calls[{name}].errors"), measured.errors, truth.errors);
            if let Some(bytes) = truth.bytes {
                self.equal(&format!("calls[{name}].bytes"), measured.bytes.unwrap_or(0), bytes);
            }
        }
        Ok(())
    }

    /// Fails with every difference; also if nothing was compared.
    pub fn finish(self) -> Result<()> {
        if self.compared == 0 {
            bail!("nothing was compared");
        }
        if !self.differences.is_empty() {
            bail!(
                "{} of {} comparisons:\n  {}",
                self.differences.len(),
                self.compared,
                self.differences.join("\n  ")
            );
        }
        Ok(())
    }
}
