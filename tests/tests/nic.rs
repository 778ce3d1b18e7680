//! Over network cards: what a card fetches by DMA, beside the card's own account, and what really is by reference there.
//!
//! They need what the guests of the kernel matrix have (docs/vm.md): `eth0` with 10.99.0.1, on a cable that leads to another
//! card in the network namespace `peer`, and nobody else on it.

use std::{
    fs, mem,
    net::{TcpListener, UdpSocket},
    os::fd::AsRawFd as _,
    path::Path,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use zc_trace_tests::{
    comparison::Comparison,
    document::{Document, Flow},
    figures::{Evidence, figure},
    gate::Gate,
    process::STEP,
    scenario::{Outcome, Scenario, last_line, require_root, scenario},
    skip,
    tracer::Tracer,
};

const SIZE: u64 = 1 << 20;
const CARD: &str = "eth0";
const NEAR: &str = "10.99.0.1:0";
const NAMESPACE: &str = "peer";

fn require_cards() -> Result<()> {
    require_root()?;
    let has_card = Path::new(&format!("/sys/class/net/{CARD}/device")).exists();
    let has_peer = Path::new(&format!("/run/netns/{NAMESPACE}")).exists();
    if !has_card || !has_peer || TcpListener::bind(NEAR).is_err() {
        skip!("there are no two network cards on one cable as in the guests of the kernel matrix");
    }
    Ok(())
}

/// Whether the card takes a packet in pieces (`NETIF_F_SG`). To one that does not, the kernel hands copies.
fn gathers() -> Result<bool> {
    /// linux/ethtool.h
    const ETHTOOL_GSG: u32 = 0x18;
    #[repr(C)]
    struct EthtoolValue {
        command: u32,
        data: u32,
    }
    let mut value = EthtoolValue { command: ETHTOOL_GSG, data: 0 };
    // SAFETY: all zeros are an empty request.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(CARD.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    let socket = UdpSocket::bind(NEAR)?;
    // SAFETY: the request names a card, and leads to a value of the kind that its command asks for.
    let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    ensure!(outcome == 0, "ETHTOOL_GSG: {}", std::io::Error::last_os_error());
    Ok(value.data != 0)
}

/// Bytes that the card has sent so far, by its driver's account. virtio_net accounts for a packet when it frees it: at the
/// latest before it looks at one that comes in. So one is sent to it, which it does not answer.
fn sent_bytes() -> Result<u64> {
    let here = UdpSocket::bind(NEAR)?;
    here.set_read_timeout(Some(STEP))?;
    let to = here.local_addr()?;
    let far = thread::spawn(move || -> Result<()> {
        let namespace = fs::File::open(format!("/run/netns/{NAMESPACE}"))?;
        // SAFETY: moves this thread, which ends below, to another network namespace.
        let outcome = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
        ensure!(outcome == 0, "setns: {}", std::io::Error::last_os_error());
        UdpSocket::bind("0.0.0.0:0")?.send_to(&[0], to)?;
        Ok(())
    });
    far.join().ok().context("the far end panicked")??;
    here.recv(&mut [0; 1]).context("nothing comes over the cable")?;
    let text = fs::read_to_string(format!("/sys/class/net/{CARD}/statistics/tx_bytes"))?;
    Ok(text.trim().parse()?)
}

/// A relay over the cable: the document, what the relay said, and how many bytes the card has sent from the connection's first
/// byte to its end.
fn relayed(s: &Scenario, method: &str) -> Result<(Document, Value, u64)> {
    require_cards()?;
    let file = s.file("from", usize::try_from(SIZE)?)?;
    let file = file.to_str().context("no text")?;
    let gate = Gate::inside(s, workload!("relay"), &[method, file, "65536", NEAR, NAMESPACE])?;
    let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
    let before = sent_bytes()?;
    gate.open()?;
    let document = trace.end()?.document()?;
    let sent = sent_bytes()? - before;
    let said = last_line(&gate.output()?)?;
    s.note(format!("{said}\n{:?}", document.flows()?));
    Ok((document, said, sent))
}

/// What cards fetched for a flow.
fn fetched(flow: &Flow) -> u64 {
    let from = ["user", "page_cache", "socket", "pipe"];
    from.iter().map(|from| flow.copied(from, "device", "dma")).sum()
}

/// The payload to the byte, and all that the card has sent.
fn check(s: &Scenario, method: &str) -> Result<(Comparison, Flow, Document, Value)> {
    let (document, said, sent) = relayed(s, method)?;
    let flows: Vec<Flow> = document.flows()?.into_iter().filter(|flow| flow.sink.kind == "socket").collect();
    ensure!(flows.len() == 1, "one flow to a socket was to be expected: {flows:?}");
    let flow = flows.into_iter().next().context("no flow")?;
    let mut comparison = Comparison::default();
    comparison.equal("payload", flow.payload_bytes, SIZE);
    comparison.holds("headers are sent, too", sent > SIZE);
    comparison.equal("DMA to the card, and the card's tx_bytes", fetched(&flow), sent);
    let gathers = if gathers()? { "yes" } else { "no" };
    figure("nic: scatter-gather", gathers, Evidence::Measured);
    figure(&format!("nic, {method}: DMA to the card, bytes"), fetched(&flow), Evidence::Measured);
    Ok((comparison, flow, document, said))
}

#[test]
fn sendfile() -> Outcome {
    scenario("nic/sendfile", |s| {
        let (mut comparison, flow, ..) = check(s, "sendfile")?;
        comparison.equal("CPU-copied on the way into the socket", flow.cpu_copied_bytes, Some(0));
        comparison.finish()
    })
}

#[test]
fn read_and_write() -> Outcome {
    scenario("nic/read+write", |s| {
        let (mut comparison, flow, ..) = check(s, "read+write")?;
        comparison.equal("page cache → user", flow.copied("page_cache", "user", "cpu"), SIZE);
        comparison.equal("user → socket", flow.copied("user", "socket", "cpu"), SIZE);
        comparison.finish()
    })
}

/// What zc-trace says of the sends is what the kernel reported to the program that sent.
#[test]
fn zerocopy() -> Outcome {
    scenario("nic/MSG_ZEROCOPY", |s| {
        let (mut comparison, _, document, said) = check(s, "send(MSG_ZEROCOPY)")?;
        let flows = document.list("flows")?;
        let flow = flows.iter().find(|flow| flow.number("zerocopy.sends").is_ok());
        let flow = flow.context("no flow tells of such sends")?;
        for field in ["sends", "copied", "by_reference"] {
            let truth = said["more"][field].as_u64().with_context(|| format!("no {field}"))?;
            figure(&format!("nic, MSG_ZEROCOPY: {field}"), truth, Evidence::Measured);
            comparison.equal(field, flow.number(&format!("zerocopy.{field}"))?, truth);
        }
        comparison.equal("not_reported", flow.number("zerocopy.not_reported")?, 0);
        comparison.finish()
    })
}
