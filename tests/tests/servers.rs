//! Servers, relays and copiers that nobody here wrote: what their transfers cost is known from how they are set up.

use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use zc_trace_tests::{
    accounts::{Accounts, is_blocked_in},
    comparison::Comparison,
    document::Document,
    process::{Process, STEP, wait_until},
    scenario::{Outcome, Scenario, require_program, require_root, scenario},
    tracer::Tracer,
};

const SIZE: u64 = (8 << 20) + 1234;
const FETCHES: u64 = 3;

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn wait_for_port(port: u16) -> Result<()> {
    wait_until(STEP, "the server to listen", || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok()))
}

/// Fetches the file and checks its length.
fn fetch(scenario: &Scenario, port: u16) -> Result<()> {
    let mut command = Command::new(require_program("curl")?);
    command.args(["-sf", "-o"]).arg(scenario.path("fetched"));
    command.arg(format!("http://127.0.0.1:{port}/file")).stdin(Stdio::null());
    ensure!(scenario.run(&mut command)? == 0, "curl failed");
    ensure!(fs::metadata(scenario.path("fetched"))?.len() == SIZE, "not everything came");
    Ok(())
}

/// nginx as one process, which serves the file.
fn nginx(scenario: &Scenario, settings: &str) -> Result<(Process, u16, PathBuf)> {
    let program = require_program("nginx")?;
    let folder = scenario.make_folder("served")?;
    let file = scenario.file("served/file", usize::try_from(SIZE)?)?;
    let port = free_port()?;
    let (home, root) = (scenario.folder().display(), folder.display());
    let configuration = format!(
        "daemon off; master_process off; user root; pid {home}/pid; error_log {home}/errors;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; {settings}\n\
         client_body_temp_path {home}/a; proxy_temp_path {home}/b; fastcgi_temp_path {home}/c;\n\
         uwsgi_temp_path {home}/d; scgi_temp_path {home}/e;\n\
         server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    );
    let path = scenario.path("nginx.conf");
    fs::write(&path, configuration)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(scenario.folder()).arg("-c").arg(&path);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(scenario.path("stderr"))?);
    let server = scenario.spawn(&mut command)?;
    wait_for_port(port)?;
    Ok((server, port, file))
}

/// Traces a server while the file is fetched from it a few times; its accounts must agree with the kernel's.
fn served(scenario: &Scenario, pid: u32, port: u16) -> Result<(Document, Comparison)> {
    fetch(scenario, port)?;
    let trace = Tracer::new(scenario)?.pid(pid).start()?;
    let opening = Accounts::of(pid)?;
    for _ in 0..FETCHES {
        fetch(scenario, port)?;
    }
    // The server closes its side of the connection after curl has ended: by then it makes no more reads or writes.
    wait_until(STEP, "the server to be idle", || is_blocked_in(pid, libc::SYS_epoll_wait))?;
    let closing = Accounts::of(pid)?;
    let document = trace.stop()?.document()?;
    let mut comparison = Comparison::default();
    comparison.io(&document, &(closing - opening))?;
    comparison.equal("copy_disagreements", document.number("totals.copy_disagreements")?, 0);
    Ok((document, comparison))
}

/// Payload and CPU copies of the flows from the file to sockets by these methods; other methods carry nothing.
fn from_file(document: &Document, file: &Path, methods: &[&str]) -> Result<(u64, Option<u64>)> {
    let mut flows = document.flows_from(file)?;
    flows.retain(|flow| flow.payload_bytes > 0);
    let other: Vec<_> = flows.iter().filter(|flow| !methods.contains(&flow.method.as_str())).collect();
    ensure!(other.is_empty(), "other ways than {methods:?}: {other:?}");
    let payload = flows.iter().map(|flow| flow.payload_bytes).sum();
    let copied = flows.iter().map(|flow| flow.cpu_copied_bytes).sum::<Option<u64>>();
    Ok((payload, copied))
}

fn serves(name: &str, settings: &str, methods: &[&str], copies: u64) -> Outcome {
    scenario(&format!("servers/{name}"), |s| {
        require_root()?;
        require_program("curl")?;
        let (server, port, file) = nginx(s, settings)?;
        let (document, mut comparison) = served(s, server.pid(), port)?;
        let (payload, copied) = from_file(&document, &file, methods)?;
        comparison.equal("payload from the file", payload, FETCHES * SIZE);
        comparison.equal("copied by the CPU", copied, Some(copies * FETCHES * SIZE));
        comparison.finish()
    })
}

#[test]
fn nginx_with_sendfile() -> Outcome {
    serves("nginx with sendfile", "sendfile on;", &["sendfile"], 0)
}

#[test]
fn nginx_without_sendfile() -> Outcome {
    serves("nginx without sendfile", "sendfile off; output_buffers 2 64k;", &["read+write"], 2)
}

/// The file is read by threads of a pool, the socket is written to by the main thread.
#[test]
fn nginx_with_threads() -> Outcome {
    let settings = "sendfile off; aio threads; output_buffers 2 64k;";
    serves("nginx with aio threads", settings, &["read+write"], 2)
}

/// socat reads from one connection and writes to the other.
#[test]
fn socat_between_connections() -> Outcome {
    scenario("servers/socat", |s| {
        require_root()?;
        require_program("curl")?;
        let program = require_program("socat")?;
        let (_server, behind, _) = nginx(s, "sendfile on;")?;
        let port = free_port()?;
        let mut command = Command::new(program);
        command.arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"));
        command.arg(format!("TCP:127.0.0.1:{behind}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(s.path("socat"))?);
        let relay = s.spawn(&mut command)?;
        // Not by a connection: each makes a child.
        let line = format!("0100007F:{port:04X} 00000000:0000 0A");
        wait_until(STEP, "socat to listen", || Ok(fs::read_to_string("/proc/net/tcp")?.contains(&line)))?;
        let trace = Tracer::new(s)?.arg("-f").pid(relay.pid()).start()?;
        fetch(s, port)?;
        let document = trace.stop()?.document()?;
        let flows = document.flows()?;
        let relayed: Vec<_> = flows
            .iter()
            .filter(|flow| {
                flow.method == "read+write" && flow.source.kind == "socket" && flow.sink.kind == "socket"
            })
            .collect();
        let payload: u64 = relayed.iter().map(|flow| flow.payload_bytes).sum();
        let copied: Option<u64> = relayed.iter().map(|flow| flow.cpu_copied_bytes).sum();
        let mut comparison = Comparison::default();
        // Where it was so fast that calls were summed, which write sent on which read follows from those that were told.
        let unclear = if relayed.iter().any(|flow| flow.estimated_operations > 0) { SIZE / 50 } else { 0 };
        // The file, the head of the answer, and the request on its way to the server.
        comparison.between("payload", SIZE - unclear, payload, SIZE + 2000);
        let copied = copied.unwrap_or(0);
        comparison.between("copied by the CPU", 2 * payload - unclear, copied, 2 * payload + unclear);
        comparison.finish()
    })
}

/// What curl receives it writes to its file.
#[test]
fn curl_to_a_file() -> Outcome {
    scenario("servers/curl", |s| {
        require_root()?;
        let curl = require_program("curl")?;
        let (_server, port, _) = nginx(s, "sendfile on;")?;
        let out = s.path("out");
        let address = format!("http://127.0.0.1:{port}/file");
        let arguments = ["-sf".as_ref(), "-o".as_ref(), out.as_os_str(), address.as_ref()];
        let ended = Tracer::new(s)?.traced(curl, &arguments).run()?;
        let document = ended.document()?;
        let mut flows = document.flows_to(&out)?;
        flows.retain(|flow| flow.payload_bytes > 0);
        let mut comparison = Comparison::default();
        let payload: u64 = flows.iter().map(|flow| flow.payload_bytes).sum();
        comparison.equal("payload into the file", payload, SIZE);
        // It writes through a stream, which copies 4 KiB of every 16 KiB to a buffer of its own. Only where a write begins or
        // ends as what was received is it known that the bytes are the same: of how many depends on how they arrive. The others
        // come from its memory, and from nowhere else.
        let by = |method: &str, source: &str| -> u64 {
            let flows = flows.iter().filter(|flow| flow.method == method && flow.source.kind == source);
            flows.map(|flow| flow.payload_bytes).sum()
        };
        comparison.equal("relayed, or from memory", by("recv+write", "socket") + by("write", "user"), SIZE);
        comparison.equal("the file's size", fs::metadata(&out)?.len(), SIZE);
        comparison.finish()
    })
}

/// rsync is two processes with pipes or sockets between them; whatever way its bytes go, the kernel's accounts agree.
#[test]
fn rsync_between_folders() -> Outcome {
    scenario("servers/rsync", |s| {
        require_root()?;
        let program = require_program("rsync")?;
        s.make_folder("from")?;
        let sizes = [0usize, 17, 4096, 300_001, 5_000_000];
        for (number, bytes) in sizes.into_iter().enumerate() {
            s.file(&format!("from/file{number}"), bytes)?;
        }
        let to = s.make_folder("to")?;
        let mut from = s.path("from").into_os_string();
        from.push("/");
        let arguments = ["-a".as_ref(), "--whole-file".as_ref(), from.as_os_str(), to.as_os_str()];
        let document = Tracer::new(s)?.arg("-f").traced(program, &arguments).run()?.document()?;
        let mut comparison = Comparison::default();
        for (number, bytes) in sizes.into_iter().enumerate() {
            let read: u64 = document
                .flows_from(&s.path(&format!("from/file{number}")))?
                .iter()
                .map(|flow| flow.payload_bytes)
                .sum();
            comparison.equal(&format!("read from file{number}"), read, bytes as u64);
            comparison.equal(
                &format!("file{number}"),
                fs::read(to.join(format!("file{number}")))?.len(),
                bytes,
            );
        }
        // It writes to temporary names and renames.
        let written: u64 = document
            .flows()?
            .iter()
            .filter(|flow| flow.sink.kind == "file")
            .map(|flow| flow.payload_bytes)
            .sum();
        comparison.equal("written to files", written, sizes.iter().sum::<usize>() as u64);
        let agree =
            document.get("totals.kernel_accounts.agree")?.as_bool().context("agree is no truth value")?;
        comparison.holds("the kernel's accounts agree", agree);
        comparison.finish()
    })
}
