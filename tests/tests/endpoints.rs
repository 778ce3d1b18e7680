//! Bytes belong to the right path, whatever happened to the descriptors.

use std::{ffi::OsStr, fs::File, os::unix::ffi::OsStrExt as _, path::Path, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    comparison::Comparison,
    document::{Document, Flow},
    gate::Gate,
    process::STEP,
    scenario::{Outcome, last_line, require_program, scenario},
    tracer::Tracer,
};

fn payload(flows: &[Flow]) -> u64 {
    flows.iter().map(|flow| flow.payload_bytes).sum()
}

fn compare(document: &Document, report: &serde_json::Value) -> Result<()> {
    let mut comparison = Comparison::default();
    let bytes =
        |which: &str| report["more"][which].as_object().cloned().with_context(|| format!("no {which}"));
    for (path, bytes) in bytes("read")? {
        let read = payload(&document.flows_from(Path::new(&path))?);
        comparison.equal(&format!("read from {path}"), read, bytes.as_u64().context("no number")?);
    }
    for (path, bytes) in bytes("written")? {
        let written = payload(&document.flows_to(Path::new(&path))?);
        comparison.equal(&format!("written to {path}"), written, bytes.as_u64().context("no number")?);
    }
    comparison.equal("losses.unknown_endpoints", document.number("totals.losses.unknown_endpoints")?, 0);
    comparison.finish()
}

#[test]
fn descriptors_attached() -> Outcome {
    scenario("endpoints/attached", |s| {
        let stdin = s.file("stdin", 8192)?;
        // At the gate standard input is open already: by no call that zc-trace could have seen.
        let mut gate = Gate::before(
            s,
            workload!("gate"),
            workload!("descriptors"),
            &[s.folder()],
            Stdio::from(File::open(stdin)?),
        )?;
        let trace = Tracer::new(s)?.arg("-f").pid(gate.pid()).start()?;
        gate.open()?;
        let status = gate.process().reap(STEP)?;
        ensure!(status.success(), "{status}");
        compare(&trace.end()?.document()?, &last_line(&gate.output()?)?)
    })
}

#[test]
fn descriptors_started() -> Outcome {
    scenario("endpoints/started", |s| {
        let stdin = s.file("stdin", 8192)?;
        let tracer = Tracer::new(s)?.arg("-f").stdin(File::open(stdin)?);
        let ended = tracer.traced(workload!("descriptors"), &[s.folder()]).run()?;
        compare(&ended.document()?, &last_line(&String::from_utf8(ended.stdout)?)?)
    })
}

/// File systems give the inode of a deleted file to the next one, with the same number.
#[test]
fn inodes_used_anew() -> Outcome {
    scenario("endpoints/inodes used anew", |s| {
        let script = "import os, sys\n\
            for i in range(1, 6):\n\
            \x20name = os.path.join(sys.argv[1], f'file{i}')\n\
            \x20f = os.open(name, os.O_CREAT | os.O_RDWR)\n\
            \x20os.write(f, b'x' * i * 1000)\n\
            \x20os.close(f)\n\
            \x20os.unlink(name)\n";
        let arguments = ["-c".as_ref(), script.as_ref(), s.folder().as_os_str()];
        let ended = Tracer::new(s)?.traced(require_program("python3")?, &arguments).run()?;
        let document = ended.document()?;
        let mut comparison = Comparison::default();
        for number in 1..=5 {
            let name = s.path(&format!("file{number}"));
            let written = payload(&document.flows_to(&name)?);
            comparison.equal(&format!("written to {}", name.display()), written, number * 1000);
        }
        comparison.finish()
    })
}

/// What would move the cursor, forge a line, turn the text round, or is no UTF-8 at all.
const HOSTILE: [&[u8]; 5] = [
    b"escape\x1b[2J\x1b]0;title\x07",
    b"line\nzc-trace: forged\rhint: forged",
    "bidi\u{202e}gpj.exe\u{2066}".as_bytes(),
    b"c1\xc2\x9b31m\x7f",
    b"no\xff\xfeutf8",
];

/// Characters that a terminal or a reader's eye would obey.
fn obeyed(text: &str) -> Option<char> {
    text.chars().find(|character| {
        (character.is_control() && !matches!(character, '\n' | '\t'))
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

#[test]
fn hostile_names() -> Outcome {
    for (index, name) in HOSTILE.into_iter().enumerate() {
        scenario(&format!("endpoints/hostile name {index}"), |s| {
            let name = OsStr::from_bytes(name);
            let folder = s.make_folder("hostile")?;
            let file = folder.join(name);
            std::fs::write(&file, [b'x'; 5000])?;
            // The program bears a hostile name too.
            let program = s.make_folder("bin")?.join(name);
            std::fs::copy(require_program("dd")?, &program)?;
            let mut from = std::ffi::OsString::from("if=");
            from.push(&file);
            let arguments = [from, "of=/dev/null".into(), "status=none".into()];
            let ndjson = s.path("stream.ndjson");
            let tracer = Tracer::new(s)?.args(&["--lines", "--ndjson"]).arg(&ndjson);
            let ended = tracer.traced(&program, &arguments).run()?;
            let document = ended.document()?;
            let json = ended.json().context("no document")?;
            for (what, bytes) in [
                ("standard error", ended.stderr.as_bytes()),
                ("standard output", &ended.stdout),
                ("the document", &std::fs::read(json)?),
                ("the stream", &std::fs::read(&ndjson)?),
            ] {
                let text = String::from_utf8_lossy(bytes);
                let found = obeyed(&text);
                ensure!(found.is_none(), "{what} holds {found:?}: {text:?}");
                ensure!(
                    !text.lines().any(|line| line.starts_with("zc-trace: forged")),
                    "{what} has a forged line: {text}"
                );
            }
            // To whoever parses the document, the name is as it is.
            let lossy = file.to_string_lossy().into_owned();
            let read = payload(&document.flows_from(Path::new(&lossy))?);
            ensure!(read == 5000, "{read} bytes from {lossy:?}: {:?}", document.flows()?);
            Ok(())
        })?;
    }
    Ok(())
}
