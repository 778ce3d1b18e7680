//! Programs that nobody here wrote, with what they are given to do.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Result;
use zc_trace_tests::scenario::{Scenario, require_program};

/// What the programs work on.
pub(crate) struct Inputs {
    /// A file of 1 MiB and a bit.
    pub(crate) file: PathBuf,
    /// A folder with files.
    pub(crate) tree: PathBuf,
    /// Where results go.
    pub(crate) out: PathBuf,
}

impl Inputs {
    pub(crate) fn new(scenario: &Scenario) -> Result<Self> {
        let tree = scenario.make_folder("tree")?;
        for (name, bytes) in
            [("tree/empty", 0), ("tree/small", 17), ("tree/page", 4096), ("tree/large", 300_001)]
        {
            scenario.file(name, bytes)?;
        }
        let inputs = Self { file: scenario.file("file", (1 << 20) + 512)?, tree, out: scenario.path("out") };
        inputs.renew()?;
        Ok(inputs)
    }

    /// Removes what an earlier run left, so that the next finds what the first found.
    pub(crate) fn renew(&self) -> Result<()> {
        if self.out.exists() {
            fs::remove_dir_all(&self.out)?;
        }
        Ok(fs::create_dir(&self.out)?)
    }

    fn out(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }
}

/// A program and its arguments.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) arguments: fn(&Inputs) -> Vec<OsString>,
}

impl Program {
    /// Its path; skips if it is not there.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        require_program(self.name)
    }
}

pub(crate) fn nothing() -> Stdio {
    Stdio::null()
}

fn operand(name: &str, path: &Path) -> OsString {
    let mut operand = OsString::from(name);
    operand.push(path);
    operand
}

pub(crate) const DD: Program = Program {
    name: "dd",
    arguments: |inputs| {
        let (from, to) = (operand("if=", &inputs.file), operand("of=", &inputs.out("dd")));
        vec![from, to, "bs=7000".into(), "status=none".into()]
    },
};

pub(crate) const DD_DIRECT: Program = Program {
    name: "dd",
    arguments: |inputs| {
        let from = operand("if=", &inputs.file);
        vec![from, "of=/dev/null".into(), "bs=64K".into(), "iflag=direct".into(), "status=none".into()]
    },
};

pub(crate) const CAT: Program = Program { name: "cat", arguments: |inputs| vec![inputs.file.clone().into()] };

pub(crate) const CP: Program =
    Program { name: "cp", arguments: |inputs| vec![inputs.file.clone().into(), inputs.out("cp").into()] };

pub(crate) const TAR: Program = Program {
    name: "tar",
    arguments: |inputs| {
        vec!["cf".into(), inputs.out("tar").into(), "-C".into(), inputs.tree.clone().into(), ".".into()]
    },
};

pub(crate) const GZIP: Program =
    Program { name: "gzip", arguments: |inputs| vec!["-c".into(), inputs.file.clone().into()] };
