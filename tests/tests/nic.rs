//! Over network cards: what a card fetches by DMA, beside the card's own account, and what really is by reference there.
//!
//! They need what the guests of the kernel matrix have (docs/vm.md): two cards of a driver, one of them with an address of ours, on
//! a cable that leads to the other one in the network namespace `peer`, and nobody else on it. virtio's take neither packets in
//! pieces nor packets without a checksum there; vmxnet3's do, and can be told not to.

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
const NAMESPACE: &str = "peer";

/// Two cards on a cable.
#[derive(Clone, Copy)]
struct Cable {
    driver: &'static str,
    near: &'static str,
}

/// To whose cards the kernel hands packets in one piece.
const PLAIN: Cable = Cable { driver: "virtio_net", near: "10.99.0.1:0" };
/// Whose cards take them as they are.
const GATHERING: Cable = Cable { driver: "vmxnet3", near: "10.99.1.1:0" };

/// linux/ethtool.h: scatter-gather, and checksums of what is sent.
const ETHTOOL_GTXCSUM: u32 = 0x16;
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_GSG: u32 = 0x18;
const ETHTOOL_SSG: u32 = 0x19;

impl Cable {
    /// The name of the near card.
    fn card(self) -> Result<String> {
        require_root()?;
        for entry in fs::read_dir("/sys/class/net")? {
            let entry = entry?;
            let driver = fs::read_link(entry.path().join("device/driver"));
            if driver.is_ok_and(|driver| driver.ends_with(self.driver))
                && Path::new(&format!("/run/netns/{NAMESPACE}")).exists()
                && TcpListener::bind(self.near).is_ok()
            {
                return entry.file_name().into_string().ok().context("a card whose name is no text");
            }
        }
        skip!("there are no two {} cards on one cable as in the guests of the kernel matrix", self.driver);
    }

    /// Asks the near card for a feature, or sets it.
    fn ethtool(self, command: u32, data: u32) -> Result<bool> {
        #[repr(C)]
        struct EthtoolValue {
            command: u32,
            data: u32,
        }
        let mut value = EthtoolValue { command, data };
        // SAFETY: all zeros are an empty request.
        let mut request: libc::ifreq = unsafe { mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(self.card()?.bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        let socket = UdpSocket::bind(self.near)?;
        // SAFETY: the request names a card, and leads to a value of the kind that its command asks for.
        let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        ensure!(outcome == 0, "ethtool command {command:#x}: {}", std::io::Error::last_os_error());
        Ok(value.data != 0)
    }
}

/// A feature that is off until this is dropped.
struct Without {
    cable: Cable,
    set: u32,
}

impl Without {
    fn feature(cable: Cable, get: u32, set: u32) -> Result<Self> {
        ensure!(cable.ethtool(get, 0)?, "the card does not have the feature in the first place");
        let without = Self { cable, set };
        cable.ethtool(set, 0)?;
        ensure!(!cable.ethtool(get, 0)?, "the card keeps the feature");
        Ok(without)
    }
}

impl Drop for Without {
    fn drop(&mut self) {
        // A card that does not take it back fails the scenarios that need it.
        let _ = self.cable.ethtool(self.set, 1);
    }
}

/// Bytes that the card has sent so far, by its driver's account. virtio_net accounts for a packet when it frees it: at the
/// latest before it looks at one that comes in. So one is sent to it, which it does not answer.
fn sent_bytes(cable: Cable) -> Result<u64> {
    let here = UdpSocket::bind(cable.near)?;
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
    let text = fs::read_to_string(format!("/sys/class/net/{}/statistics/tx_bytes", cable.card()?))?;
    Ok(text.trim().parse()?)
}

/// What a relay over the cable came to.
struct Relayed {
    document: Document,
    flow: Flow,
    /// What the relay said.
    said: Value,
    /// How many bytes the card has sent from the connection's first byte to its end.
    sent: u64,
}

fn relayed(s: &Scenario, cable: Cable, method: &str) -> Result<Relayed> {
    cable.card()?;
    let file = s.file("from", usize::try_from(SIZE)?)?;
    let file = file.to_str().context("no text")?;
    let gate = Gate::inside(s, workload!("relay"), &[method, file, "65536", cable.near, NAMESPACE])?;
    let trace = Tracer::new(s)?.pid(gate.pid()).start()?;
    let before = sent_bytes(cable)?;
    gate.open()?;
    let document = trace.end()?.document()?;
    let sent = sent_bytes(cable)? - before;
    let said = last_line(&gate.output()?)?;
    s.note(format!("{said}\n{:?}", document.flows()?));
    let flows: Vec<Flow> = document.flows()?.into_iter().filter(|flow| flow.sink.kind == "socket").collect();
    ensure!(flows.len() == 1, "one flow to a socket was to be expected: {flows:?}");
    let flow = flows.into_iter().next().context("no flow")?;
    Ok(Relayed { document, flow, said, sent })
}

/// What cards fetched for a flow.
fn fetched(flow: &Flow) -> u64 {
    let from = ["user", "page_cache", "socket", "pipe"];
    from.iter().map(|from| flow.copied(from, "device", "dma")).sum()
}

/// How well it is known what cards fetched, and what the CPU copied, is the document's to say.
fn figures(name: &str, flow: &Flow) -> Result<()> {
    let moves = flow.copies.iter().filter(|copy| copy.mover.as_deref() == Some("dma") && copy.to == "device");
    let fetching = Evidence::weakest(moves.map(|copy| copy.evidence.as_str())).context("no DMA is known")?;
    figure(&format!("nic, {name}: DMA to the card, bytes"), fetched(flow), fetching);
    let copied = flow.cpu_copied_bytes.context("what was copied is not known")?;
    let copying = Evidence::weakest([flow.evidence.as_str()]).context("how that is known is not told")?;
    figure(&format!("nic, {name}: copied by the CPU, bytes"), copied, copying);
    Ok(())
}

/// One relay against the truth: who copied how many bytes (from, to; none else), and for which reasons, if any, what was to be
/// spared was copied after all. The payload is exact, and so is all that the card has sent.
struct Truth {
    cable: Cable,
    method: &'static str,
    copies: &'static [(&'static str, &'static str)],
    fallbacks: &'static [&'static str],
}

impl Truth {
    fn check(&self, s: &Scenario, name: &str) -> Result<(Comparison, Relayed)> {
        let Self { cable, method, copies, fallbacks } = *self;
        let relayed = relayed(s, cable, method)?;
        let Relayed { document, flow, sent, .. } = &relayed;
        let mut comparison = Comparison::default();
        comparison.equal("payload", flow.payload_bytes, SIZE);
        comparison.holds("headers are sent, too", *sent > SIZE);
        comparison.equal("DMA to the card, and the card's tx_bytes", fetched(flow), *sent);
        for (from, to) in copies {
            comparison.equal(&format!("{from} → {to} by the CPU"), flow.copied(from, to, "cpu"), SIZE);
        }
        comparison.equal("copied by the CPU", flow.cpu_copied_bytes, Some(SIZE * copies.len() as u64));
        let mut told = Vec::new();
        for flow in document.list("flows")? {
            for fallback in flow.list("fallbacks")? {
                told.push(fallback.text("reason")?.to_owned());
                comparison.equal("bytes that fell back", fallback.number("bytes")?, SIZE);
            }
        }
        comparison.equal("reasons", told, fallbacks.iter().map(|reason| (*reason).to_owned()).collect());
        comparison.equal("copy_disagreements", document.number("totals.copy_disagreements")?, 0);
        figures(name, flow)?;
        Ok((comparison, relayed))
    }
}

/// Without MSG_ZEROCOPY, of which the kernel's reports are compared as well.
fn holds(name: &str, truth: &Truth) -> Outcome {
    scenario(&format!("nic/{name}"), |s| truth.check(s, name)?.0.finish())
}

/// What zc-trace says of the sends is what the kernel reported to the program that sent.
fn sends(name: &str, comparison: &mut Comparison, relayed: &Relayed) -> Result<()> {
    let flows = relayed.document.list("flows")?;
    let flow = flows.iter().find(|flow| flow.number("zerocopy.sends").is_ok());
    let flow = flow.context("no flow tells of such sends")?;
    for field in ["sends", "copied", "by_reference"] {
        let truth = relayed.said["more"][field].as_u64().with_context(|| format!("no {field}"))?;
        figure(&format!("nic, {name}: {field}"), truth, Evidence::Measured);
        comparison.equal(field, flow.number(&format!("zerocopy.{field}"))?, truth);
    }
    comparison.equal("not_reported", flow.number("zerocopy.not_reported")?, 0);
    Ok(())
}

const READ: (&str, &str) = ("page_cache", "user");
const WRITE: (&str, &str) = ("user", "socket");
/// Into one piece, for a card that takes no packets in several.
const TOGETHER: (&str, &str) = ("socket", "socket");

#[test]
fn sendfile() -> Outcome {
    let fallbacks = &["no_scatter_gather"];
    holds("sendfile", &Truth { cable: PLAIN, method: "sendfile", copies: &[TOGETHER], fallbacks })
}

#[test]
fn read_and_write() -> Outcome {
    let copies = &[READ, WRITE, TOGETHER];
    holds("read+write", &Truth { cable: PLAIN, method: "read+write", copies, fallbacks: &[] })
}

/// Some of the sends are reported as copied even before their packets are put together.
#[test]
fn zerocopy() -> Outcome {
    scenario("nic/MSG_ZEROCOPY", |s| {
        let relayed = relayed(s, PLAIN, "send(MSG_ZEROCOPY)")?;
        let mut comparison = Comparison::default();
        comparison.equal("DMA to the card, and the card's tx_bytes", fetched(&relayed.flow), relayed.sent);
        comparison.equal("put together by the CPU", relayed.flow.copied("socket", "socket", "cpu"), SIZE);
        sends("MSG_ZEROCOPY", &mut comparison, &relayed)?;
        comparison.finish()
    })
}

#[test]
fn gathering_sendfile() -> Outcome {
    let name = "sendfile, card with scatter-gather";
    holds(name, &Truth { cable: GATHERING, method: "sendfile", copies: &[], fallbacks: &[] })
}

#[test]
fn gathering_read_and_write() -> Outcome {
    let name = "read+write, card with scatter-gather";
    holds(name, &Truth { cable: GATHERING, method: "read+write", copies: &[READ, WRITE], fallbacks: &[] })
}

/// What MSG_ZEROCOPY is made for: nothing is copied but what the kernel reports to have been. That is a packet which must be
/// sent again while the card still has it (net/ipv4/tcp_output.c, `__tcp_retransmit_skb`), as happens where time is short.
#[test]
fn gathering_zerocopy() -> Outcome {
    let name = "MSG_ZEROCOPY, card with scatter-gather";
    scenario(&format!("nic/{name}"), |s| {
        let relayed = relayed(s, GATHERING, "send(MSG_ZEROCOPY)")?;
        let mut comparison = Comparison::default();
        comparison.equal("DMA to the card, and the card's tx_bytes", fetched(&relayed.flow), relayed.sent);
        sends(name, &mut comparison, &relayed)?;
        figures(name, &relayed.flow)?;
        let copied = relayed.flow.cpu_copied_bytes.context("what was copied is not known")?;
        let by_reference = relayed.flow.copied("user", "socket", "none");
        comparison.equal("copied and by reference", copied + by_reference, SIZE);
        let reported = relayed.said["more"]["copied"].as_u64().context("no copied")?;
        comparison.equal("whether anything was copied", copied > 0, reported > 0);
        comparison.finish()
    })
}

#[test]
fn sendfile_without_scatter_gather() -> Outcome {
    let name = "sendfile, scatter-gather switched off";
    scenario(&format!("nic/{name}"), |s| {
        GATHERING.card()?;
        let _without = Without::feature(GATHERING, ETHTOOL_GSG, ETHTOOL_SSG)?;
        let fallbacks = &["no_scatter_gather"];
        let truth = Truth { cable: GATHERING, method: "sendfile", copies: &[TOGETHER], fallbacks };
        truth.check(s, name)?.0.finish()
    })
}

/// What the CPU copies for a device that must not reach the memory itself is told, of the whole machine: all that this card
/// sends, beside the buffers for what it receives. virtio's devices are not bounced.
#[test]
fn bounce_buffers() -> Outcome {
    scenario("nic/bounce buffers", |s| {
        if !fs::read_to_string("/proc/cmdline")?.contains("swiotlb=force") {
            skip!("this kernel does not make devices use bounce buffers");
        }
        let plain = relayed(s, PLAIN, "sendfile")?;
        let gathering = relayed(s, GATHERING, "sendfile")?;
        let bounced = |relayed: &Relayed| relayed.document.number("totals.swiotlb_bounced_bytes");
        let [none, all] = [bounced(&plain)?, bounced(&gathering)?];
        s.note(format!("{none} and {all} bytes bounced, {} sent", gathering.sent));
        let mut comparison = Comparison::default();
        comparison.equal("bounced beside a card of virtio", none, 0);
        comparison.holds("all that the card sent is bounced", all >= gathering.sent);
        comparison.holds("no more than that and what it may receive", all < 8 * gathering.sent);
        comparison.finish()
    })
}

/// Checksums of pages that others may change are computed on a copy.
#[test]
fn sendfile_without_checksums() -> Outcome {
    let name = "sendfile, checksums switched off";
    scenario(&format!("nic/{name}"), |s| {
        GATHERING.card()?;
        let _without = Without::feature(GATHERING, ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM)?;
        let fallbacks = &["no_checksum_offload"];
        let truth = Truth { cable: GATHERING, method: "sendfile", copies: &[TOGETHER], fallbacks };
        truth.check(s, name)?.0.finish()
    })
}
