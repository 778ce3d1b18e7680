//! The ground truth of copies: for each way of moving bytes, who copied how many from where to where, and how well that
//! is known on this kernel. Each figure must equal the truth to the byte. Where the document says that a hook counts a
//! quantity, the copy must be `measured`, and no hook may disagree with what follows from the return values.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use zc_trace_tests::{
    comparison::Comparison,
    document::Document,
    figures::{Evidence, figure},
    ktls,
    scenario::{Outcome, Scenario, last_line, require_program, require_root, scenario},
    skip,
    tracer::Tracer,
};

const SIZE: u64 = 1 << 20;
/// Of the workload: bytes of a message, and bytes read of a descriptor that came by one.
const CHUNK: u64 = 32 << 10;
const PROBE: u64 = 16;
/// linux/magic.h
const TMPFS: u64 = 0x0102_1994;
const XFS: u64 = 0x5846_5342;
const EXT4: u64 = 0xef53;

/// How a copy is known.
#[derive(Clone, Copy)]
enum Known {
    /// As the document says of this quantity.
    By(&'static str),
    /// Measured or derived: on some ways the hook is passed by.
    ByOrDerived(&'static str),
    /// Whatever the kernel.
    As(&'static str),
}
use Known::{As, By, ByOrDerived};

/// One row of the truth: from, to, mover, bytes, and how that is known.
type Row = (&'static str, &'static str, &'static str, u64, Known);

/// Traces the workload; the document and what it reported. Skips if this kernel cannot do that.
fn traced(scenario: &Scenario, kind: &str, folder: &Path) -> Result<Document> {
    let input: Vec<u8> = (0..SIZE).map(zc_trace_tests::scenario::pattern).collect();
    std::fs::write(folder.join("in"), input)?;
    // Written back, so that reading it past the page cache is possible, and dirty pages are not counted as its own.
    std::fs::File::open(folder.join("in"))?.sync_all()?;
    let arguments = [kind.as_ref(), folder.as_os_str()];
    let ended = Tracer::new(scenario)?.traced(workload!("mover"), &arguments).run()?;
    let document = ended.document()?;
    let report = last_line(&String::from_utf8(ended.stdout)?)?;
    if let Some(why) = report["more"]["cannot"].as_str() {
        skip!("this kernel or file system cannot: {why}");
    }
    ensure!(report["more"]["bytes"].as_u64() == Some(SIZE), "the workload moved {report}");
    Ok(document)
}

/// All copies of those flows that go between the workload's own endpoints: not what starting the program read.
fn copies(document: &Document, methods: &[&str]) -> Result<Vec<Value>> {
    let mut copies = Vec::new();
    for flow in document.list("flows")? {
        let method = flow.text("method")?;
        let path =
            |end: &str| Ok::<_, anyhow::Error>(flow.get(&format!("{end}.path"))?.as_str().map(str::to_owned));
        let of_start = [path("source")?, path("sink")?].into_iter().flatten().any(|path| {
            ["/usr/", "/lib", "/etc/", "/proc/", "/sys/"].iter().any(|start| path.starts_with(start))
        });
        if methods.contains(&method) && !of_start && flow.number("payload_bytes")? >= SIZE {
            copies.extend(flow.get("copies")?.as_array().context("copies is no list")?.iter().cloned());
        }
    }
    Ok(copies)
}

fn evidence_of<'a>(document: &'a Document, quantity: &str) -> Result<&'a str> {
    // Names of quantities hold dots themselves.
    let all = document.get("evidence")?;
    all[quantity]["evidence"]
        .as_str()
        .with_context(|| format!("the document does not tell how {quantity} is known"))
}

fn check(document: &Document, name: &str, methods: &[&str], rows: &[Row]) -> Result<()> {
    let copies = copies(document, methods)?;
    let mut comparison = Comparison::default();
    for (from, to, mover, bytes, known) in rows {
        let of_row = |copy: &&Value| copy["from"] == *from && copy["to"] == *to && copy["mover"] == *mover;
        let found: Vec<&Value> = copies.iter().filter(of_row).collect();
        let sum: u64 = found.iter().filter_map(|copy| copy["bytes"].as_u64()).sum();
        let what = format!("{from} → {to} by {mover}");
        comparison.equal(&what, sum, *bytes);
        // What moved nothing says something only where nothing was to be moved.
        let evidence = found.iter().filter(|copy| *bytes == 0 || copy["bytes"] != 0);
        let evidence: Vec<&str> = evidence.filter_map(|copy| copy["evidence"].as_str()).collect();
        let allowed = match known {
            By(quantity) => Vec::from([evidence_of(document, quantity)?]),
            ByOrDerived(quantity) => Vec::from([evidence_of(document, quantity)?, "derived"]),
            As(evidence) => Vec::from([*evidence]),
        };
        let holds = evidence.iter().all(|evidence| allowed.contains(evidence));
        comparison.holds(&format!("{what} is {allowed:?}, not {evidence:?}"), holds);
        match Evidence::weakest(evidence) {
            Some(told) => figure(&format!("{name}: {what}, bytes"), sum, told),
            None => comparison.holds(&format!("{what} is told, and known"), false),
        }
    }
    let cpu: u64 = rows.iter().filter(|row| row.2 == "cpu").map(|row| row.3).sum();
    let found: u64 =
        copies.iter().filter(|copy| copy["mover"] == "cpu").filter_map(|copy| copy["bytes"].as_u64()).sum();
    comparison.equal("copied by the CPU in all", found, cpu);
    comparison.equal("copy_disagreements", document.number("totals.copy_disagreements")?, 0);
    comparison.finish()
}

fn truth(kind: &str, methods: &[&str], rows: &[Row]) -> Outcome {
    scenario(&format!("evidence/{kind}"), |s| {
        require_root()?;
        let document = traced(s, kind, s.folder())?;
        check(&document, kind, methods, rows)
    })
}

fn magic(folder: &Path) -> Result<u64> {
    Ok(u64::try_from(rustix::fs::statfs(folder)?.f_type)?)
}

/// Skips unless the files of scenarios lie on a disk's file system that is known here.
fn disk(scenario: &Scenario) -> Result<u64> {
    match magic(scenario.folder())? {
        magic @ (EXT4 | XFS) => Ok(magic),
        other => skip!("the temporary folder is on neither ext4 nor XFS ({other:#x})"),
    }
}

/// The quantity that a buffered write to that file system is told by.
fn write_quantity(magic: u64) -> &'static str {
    if magic == XFS { "copies.user_to_page_cache_iomap" } else { "copies.user_to_page_cache" }
}

/// A descriptor that goes with a message is no payload: the message moves the same bytes by the same copies. What it stands for
/// is known when it is used.
#[test]
fn passing_descriptors() -> Outcome {
    scenario("evidence/passing descriptors", |s| {
        require_root()?;
        let document = traced(s, "passing", s.folder())?;
        let rows = [
            ("user", "socket", "cpu", SIZE, By("copies.user_to_unix")),
            ("socket", "user", "cpu", SIZE, By("copies.socket_to_user")),
        ];
        check(&document, "passing", &["send", "recv"], &rows)?;
        let read: u64 = document.flows_from(&s.path("in"))?.iter().map(|flow| flow.payload_bytes).sum();
        let mut comparison = Comparison::default();
        comparison.equal("read by descriptors that came so", read, SIZE / CHUNK * PROBE);
        comparison.finish()
    })
}

#[test]
fn unix_sockets() -> Outcome {
    let rows = [
        ("user", "socket", "cpu", SIZE, By("copies.user_to_unix")),
        ("socket", "user", "cpu", SIZE, By("copies.socket_to_user")),
    ];
    truth("unix", &["send", "recv"], &rows)
}

#[test]
fn tcp_with_several_buffers() -> Outcome {
    let rows = [
        ("user", "socket", "cpu", SIZE, By("copies.user_to_tcp")),
        ("socket", "user", "cpu", SIZE, By("copies.socket_to_user")),
    ];
    truth("tcp", &["send", "recv"], &rows)
}

#[test]
fn udp() -> Outcome {
    let rows = [
        ("user", "socket", "cpu", SIZE, By("copies.user_to_udp")),
        ("socket", "user", "cpu", SIZE, ByOrDerived("copies.socket_to_user")),
    ];
    truth("udp", &["send", "recv"], &rows)
}

#[test]
fn pipes() -> Outcome {
    let rows = [
        ("user", "pipe", "cpu", SIZE, By("copies.user_to_pipe")),
        ("pipe", "user", "cpu", SIZE, By("copies.pipe_to_user")),
    ];
    truth("pipe", &["write", "read"], &rows)
}

#[test]
fn buffered_read() -> Outcome {
    scenario("evidence/file_read", |s| {
        require_root()?;
        disk(s)?;
        let document = traced(s, "file_read", s.folder())?;
        let rows = [("page_cache", "user", "cpu", SIZE, By("copies.page_cache_to_user"))];
        check(&document, "file_read", &["read"], &rows)
    })
}

#[test]
fn buffered_write() -> Outcome {
    scenario("evidence/file_write", |s| {
        require_root()?;
        let magic = disk(s)?;
        let document = traced(s, "file_write", s.folder())?;
        let rows = [("user", "page_cache", "cpu", SIZE, By(write_quantity(magic)))];
        check(&document, "file_write", &["write"], &rows)
    })
}

/// tmpfs has a read path of its own.
fn on_tmpfs(kind: &str, rows: &[Row]) -> Outcome {
    scenario(&format!("evidence/tmpfs {kind}"), |s| {
        require_root()?;
        let folder = tempfile::tempdir_in("/dev/shm").context("/dev/shm")?;
        if magic(folder.path())? != TMPFS {
            skip!("/dev/shm is no tmpfs");
        }
        let document = traced(s, kind, folder.path())?;
        check(&document, &format!("tmpfs {kind}"), &["read", "write"], rows)
    })
}

#[test]
fn tmpfs_read() -> Outcome {
    on_tmpfs("file_read", &[("page_cache", "user", "cpu", SIZE, By("copies.tmpfs_to_user"))])
}

#[test]
fn tmpfs_write() -> Outcome {
    on_tmpfs("file_write", &[("user", "page_cache", "cpu", SIZE, By("copies.user_to_page_cache"))])
}

#[test]
fn direct_read() -> Outcome {
    scenario("evidence/direct_read", |s| {
        require_root()?;
        disk(s)?;
        let document = traced(s, "direct_read", s.folder())?;
        check(&document, "direct_read", &["read"], &[("device", "user", "dma", SIZE, As("measured"))])
    })
}

#[test]
fn direct_write() -> Outcome {
    scenario("evidence/direct_write", |s| {
        require_root()?;
        disk(s)?;
        let document = traced(s, "direct_write", s.folder())?;
        check(
            &document,
            "direct_write",
            &["write"],
            &[("user", "device", "dma", SIZE, By("dma_bytes.block"))],
        )
    })
}

/// Between files that are both opened with O_DIRECT nothing is copied and nothing is cached: each byte is moved to memory of the
/// kernel and from there, by the device.
#[test]
fn direct_to_direct() -> Outcome {
    for call in ["sendfile", "copy_file_range"] {
        scenario(&format!("evidence/direct to direct by {call}"), |s| {
            require_root()?;
            if disk(s)? != EXT4 && call == "copy_file_range" {
                skip!("extents may be shared here");
            }
            let from = s.file("from", usize::try_from(SIZE)?)?;
            let script = format!(
                "import os, sys\n\
                 f = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)\n\
                 g = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT | os.O_DIRECT)\n\
                 left = {SIZE}\n\
                 while left:\n\
                 \x20left -= os.sendfile(g, f, None, left) if sys.argv[3] == 'sendfile' else os.copy_file_range(f, g, left)\n"
            );
            let to = s.path("to");
            let arguments = ["-c".as_ref(), script.as_ref(), from.as_os_str(), to.as_os_str(), call.as_ref()];
            let document =
                Tracer::new(s)?.traced(require_program("python3")?, &arguments).run()?.document()?;
            let flows = document.flows_to(&to)?;
            let mut comparison = Comparison::default();
            comparison.equal("payload", flows.iter().map(|flow| flow.payload_bytes).sum(), SIZE);
            comparison.equal(
                "copied by the CPU",
                flows.iter().map(|flow| flow.cpu_copied_bytes).sum(),
                Some(0),
            );
            comparison.equal("moved by DMA", flows.iter().map(|flow| flow.dma_bytes).sum(), Some(2 * SIZE));
            comparison.finish()
        })?;
    }
    Ok(())
}

/// What copies between files is measured by where it arrives; without a hook there it is modelled.
fn between_files(document: &Document, magic: u64) -> Result<Known> {
    let measured = evidence_of(document, write_quantity(magic))? == "measured";
    Ok(As(if measured { "measured" } else { "modelled" }))
}

/// That each copy by the CPU of what claims to copy nothing says why it copied.
fn says_why(document: &Document, method: &str, reason: &str) -> Result<()> {
    let copies = copies(document, &[method])?;
    let notes: Vec<_> =
        copies.iter().filter(|copy| copy["mover"] == "cpu").map(|copy| &copy["note"]).collect();
    let says = |note: &&Value| note.as_str().is_some_and(|note| note.contains(reason));
    ensure!(!notes.is_empty() && notes.iter().all(says), "the copies say {notes:?}, not {reason:?}");
    Ok(())
}

/// Bytes that those flows copied for that reason, and operations.
fn fell_back(document: &Document, method: &str, reason: &str) -> Result<(u64, u64)> {
    let (mut bytes, mut operations) = (0, 0);
    for flow in
        document.list("flows")?.iter().filter(|flow| flow.text("method").is_ok_and(|this| this == method))
    {
        for fallback in flow
            .list("fallbacks")?
            .iter()
            .filter(|fallback| fallback.text("reason").is_ok_and(|this| this == reason))
        {
            bytes += fallback.number("bytes")?;
            operations += fallback.number("operations")?;
        }
    }
    Ok((bytes, operations))
}

/// ext4 fills holes of files that it keeps without extents through the page cache, whatever the flag says.
#[test]
fn direct_write_that_is_buffered() -> Outcome {
    scenario("evidence/direct_write_to_a_hole", |s| {
        require_root()?;
        if disk(s)? != EXT4 {
            skip!("only ext4 keeps files without extents");
        }
        let document = traced(s, "direct_write_to_a_hole", s.folder())?;
        let measured = evidence_of(&document, "copies.user_to_page_cache")? == "measured";
        let known = As(if measured { "measured" } else { "modelled" });
        let rows = [("user", "page_cache", "cpu", SIZE, known)];
        check(&document, "direct_write_to_a_hole", &["write"], &rows)?;
        let (bytes, calls) = fell_back(&document, "write", "direct_done_buffered")?;
        let mut comparison = Comparison::default();
        comparison.equal("bytes that fell back", bytes, SIZE);
        comparison.equal("calls that fell back", calls, SIZE / (32 << 10));
        comparison.finish()
    })
}

/// A hole is neither fetched nor copied: the memory is filled.
#[test]
fn direct_read_of_a_hole() -> Outcome {
    scenario("evidence/direct_read_of_a_hole", |s| {
        require_root()?;
        disk(s)?;
        let document = traced(s, "direct_read_of_a_hole", s.folder())?;
        if evidence_of(&document, "copies.page_cache_to_user")? != "measured" {
            skip!("whether it was a hole or a copy is not known on this kernel");
        }
        check(
            &document,
            "direct_read_of_a_hole",
            &["read"],
            &[("device", "user", "none", 0, As("derived"))],
        )?;
        let copies = copies(&document, &["read"])?;
        ensure!(copies.iter().all(|copy| copy["bytes"] == 0), "something was fetched or copied: {copies:?}");
        let (bytes, _) = fell_back(&document, "read", "direct_done_buffered")?;
        ensure!(bytes == 0, "{bytes} bytes are said to have fallen back");
        Ok(())
    })
}

#[test]
fn sendfile_to_a_file() -> Outcome {
    scenario("evidence/sendfile_to_file", |s| {
        require_root()?;
        let magic = disk(s)?;
        let document = traced(s, "sendfile_to_file", s.folder())?;
        let known = between_files(&document, magic)?;
        let rows = [("page_cache", "page_cache", "cpu", SIZE, known)];
        check(&document, "sendfile_to_file", &["sendfile"], &rows)?;
        says_why(&document, "sendfile", "takes no pages by reference")
    })
}

/// ext4 cannot share extents, so that the kernel copies; XFS shares them.
#[test]
fn copy_file_range() -> Outcome {
    scenario("evidence/copy_file_range", |s| {
        require_root()?;
        let magic = disk(s)?;
        let document = traced(s, "copy_file_range", s.folder())?;
        let known = between_files(&document, magic)?;
        let hooked = matches!(known, As("measured"));
        match (magic, hooked) {
            (EXT4, _) => {
                let rows = [("page_cache", "page_cache", "cpu", SIZE, known)];
                check(&document, "copy_file_range", &["copy_file_range"], &rows)?;
                says_why(&document, "copy_file_range", "no extents were shared")
            }
            (_, true) => {
                let rows = [("page_cache", "page_cache", "none", SIZE, known)];
                check(&document, "copy_file_range (reflink)", &["copy_file_range"], &rows)
            }
            (_, false) => skip!("whether XFS shared the extents is not known on this kernel"),
        }
    })
}

/// On kernels that have it, a splice that reads into pages of its own, whose bytes TCP then takes by reference.
#[test]
fn sendfile_from_a_device() -> Outcome {
    scenario("evidence/sendfile_from_zero", |s| {
        require_root()?;
        let document = traced(s, "sendfile_from_zero", s.folder())?;
        let measured = evidence_of(&document, "copies.splice")? == "measured";
        let known = As(if measured { "measured" } else { "modelled" });
        check(&document, "sendfile_from_zero", &["sendfile"], &[("device", "socket", "cpu", SIZE, known)])
    })
}

#[test]
fn a_chain_of_splices() -> Outcome {
    scenario("evidence/chain", |s| {
        require_root()?;
        let magic = disk(s)?;
        let document = traced(s, "chain", s.folder())?;
        let known = between_files(&document, magic)?;
        let rows = [
            ("user", "pipe", "none", SIZE, As("derived")),
            ("pipe", "pipe", "none", SIZE, As("derived")),
            ("pipe", "page_cache", "cpu", SIZE, known),
            ("pipe", "user", "cpu", SIZE, By("copies.pipe_to_user")),
        ];
        check(&document, "chain", &["vmsplice", "tee", "splice", "read"], &rows)
    })
}

/// Faults of which it is known whether they needed I/O.
fn told_apart(mapped: &Document) -> Result<u64> {
    Ok(mapped.number("minor_faults")? + mapped.number("major_faults")?)
}

/// The flow from what is mapped.
fn flow_of_mapping(document: &Document, path: &str) -> Result<Document> {
    let flows = document.list("flows")?;
    let of_mapping = |flow: &&Document| {
        flow.text("method").is_ok_and(|method| method == "mmap+write")
            && flow.get("source.path").is_ok_and(|found| found == path)
    };
    flows.iter().find(of_mapping).cloned().context("no flow from the mapping")
}

/// TLS in the kernel encrypts into pages of its own: a pass over all bytes, whatever call brought them. What is received is
/// decrypted right into the program's memory.
fn tls(kind: &str, methods: &[&str], rows: &[Row]) -> Outcome {
    scenario(&format!("evidence/{kind}"), |s| {
        require_root()?;
        let document = traced(s, kind, s.folder())?;
        check(&document, kind, methods, rows)
    })
}

#[test]
fn tls_by_write() -> Outcome {
    let rows =
        [("user", "socket", "cpu", SIZE, As("modelled")), ("socket", "user", "cpu", SIZE, As("modelled"))];
    tls("tls12", &["write", "read"], &rows)
}

/// Of TLS 1.3 each record is decrypted first and then copied. Where the copy is not counted, it is taken for one pass.
#[test]
fn tls_1_3() -> Outcome {
    scenario("evidence/tls13", |s| {
        require_root()?;
        let document = traced(s, "tls13", s.folder())?;
        let sent = ("user", "socket", "cpu", SIZE, As("modelled"));
        if evidence_of(&document, "copies.socket_to_user")? == "measured" {
            let rows = [
                sent,
                ("socket", "socket", "cpu", SIZE, As("modelled")),
                ("socket", "user", "cpu", SIZE, As("measured")),
            ];
            check(&document, "tls13", &["write", "read"], &rows)
        } else {
            check(
                &document,
                "tls13",
                &["write", "read"],
                &[sent, ("socket", "user", "cpu", SIZE, As("modelled"))],
            )
        }
    })
}

/// sendfile that copies: the claim, and why it does not hold.
#[test]
fn tls_by_sendfile() -> Outcome {
    scenario("evidence/tls_sendfile", |s| {
        require_root()?;
        let document = traced(s, "tls_sendfile", s.folder())?;
        let rows = [("page_cache", "socket", "cpu", SIZE, As("modelled"))];
        check(&document, "tls_sendfile", &["sendfile"], &rows)?;
        let (bytes, calls) = fell_back(&document, "sendfile", "ktls_without_offload")?;
        let mut comparison = Comparison::default();
        comparison.equal("bytes that fell back", bytes, SIZE);
        comparison.equal("sendfile calls that fell back", calls, SIZE / ktls::RECORD as u64);
        comparison.finish()
    })
}

/// What is sent from a mapped file the copy loop faults in, in the kernel: the program itself never touches it.
#[test]
fn faults_on_a_mapped_file() -> Outcome {
    scenario("evidence/faults on a mapped file", |s| {
        require_root()?;
        let file = s.file("payload", 8 << 20)?;
        let arguments = ["mmap+write".as_ref(), file.as_os_str(), "65536".as_ref()];
        let document = Tracer::new(s)?.traced(workload!("relay"), &arguments).run()?.document()?;
        let path = file.to_str().context("the path is no text")?;
        let mapped = document.list("mapped_files")?;
        let of_file = |found: &&Document| found.get("file.path").is_ok_and(|found| found == path);
        let found = mapped.iter().find(of_file).context("no faults on the file")?;
        let mut comparison = Comparison::default();
        comparison.equal("user_faults", found.number("user_faults")?, 0);
        // One for each page at most. The kernel maps neighbours that are cached along with it, up to 2 MiB at once.
        let faults = found.number("kernel_faults")?;
        comparison.between("kernel_faults", 4, faults, 2048);
        figure("mmap+write: faults in the kernel for 8 MiB", faults, Evidence::Derived);
        comparison.between(
            "of all but the last one it is told which",
            faults - 1,
            told_apart(found)?,
            faults,
        );
        // The mapping began without a page, and all of it was sent: so faults have reached all of it.
        let reached = |name: &str| found.number(&format!("reached.{name}"));
        comparison.equal("reached.at_least_bytes", reached("at_least_bytes")?, 8 << 20);
        comparison.equal("reached.bytes", reached("bytes")?, 8 << 20);
        let flow = flow_of_mapping(&document, path)?;
        for name in ["at_least_bytes", "bytes", "at_most_bytes"] {
            comparison.equal(name, flow.number(&format!("reached.{name}"))?, 8 << 20);
        }
        comparison.equal("evidence", flow.text("reached.evidence")?, "derived");
        figure("mmap+write: MiB reached by these faults", reached("bytes")? >> 20, Evidence::Derived);
        let places = |name: &str| document.number(&format!("totals.page_fault_places.{name}"));
        let told = places("file")? + places("anonymous")? + places("not_told")?;
        let faults =
            document.number("totals.page_faults.minor")? + document.number("totals.page_faults.major")?;
        comparison.equal("by place", told, faults.max(places("user")?));
        comparison.equal("user and kernel", places("user")? + places("kernel")?, faults.max(places("user")?));
        comparison.finish()
    })
}

/// Where it is known that the kernel takes programs on function exits (`ZC_TRACE_TEST_FUNCTION_EXITS`, as the kernel matrix
/// sets it), every copy is counted: that hooks are missing must not pass for a weaker kernel.
#[test]
fn function_exits_count() -> Outcome {
    scenario("evidence/function exits", |s| {
        require_root()?;
        if std::env::var_os("ZC_TRACE_TEST_FUNCTION_EXITS").is_none() {
            skip!("it is not known whether this kernel takes programs on function exits");
        }
        let document = Tracer::new(s)?.traced("/bin/true", &[] as &[&str]).run()?.document()?;
        let evidence = document.get("evidence")?.as_object().context("evidence is no object")?;
        let mut comparison = Comparison::default();
        for (quantity, source) in evidence.iter().filter(|(quantity, _)| quantity.starts_with("copies.")) {
            // Kernels before 6.5 splice without copying, or not at all.
            let absent = quantity == "copies.splice" && source["evidence"] == "derived";
            comparison.holds(&format!("{quantity} is measured"), absent || source["evidence"] == "measured");
        }
        comparison.finish()
    })
}
