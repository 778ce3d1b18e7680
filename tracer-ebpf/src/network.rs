//! What network cards send by DMA, for which socket: `skb → sock`. Packets leave in softirqs and in whatever task has the
//! CPU, so who runs says nothing.
//!
//! A packet that is forwarded (out of a network namespace by veth and a bridge, through a tunnel) has lost its socket on
//! the way: it is in no flow.

use tracer_common::{device::DeviceKind, endpoint::Endpoint, offsets::ABSENT};

use crate::{
    block,
    form::{self, Context, hook},
    identity::IFF_LOOPBACK,
    kernel::{offset, probe},
    maps::{KnownSocket, SOCKETS},
    threads,
};

/// include/linux/netdevice.h: the driver did not take the packet; it is handed to it again later.
const NETDEV_TX_BUSY: i32 = 0x10;

/// A packet is handed to a device's driver.
#[hook]
pub fn net_dev_start_xmit(ctx: Context) -> i32 {
    transmit(ctx.arg(0), ctx.arg(1), true);
    0
}

/// The driver has answered. Unless it refused, the packet is not to be looked at any more.
#[hook]
pub fn net_dev_xmit(ctx: Context) -> i32 {
    if ctx.arg::<i32>(1) == NETDEV_TX_BUSY {
        transmit(ctx.arg(0), ctx.arg(2), false);
    }
    0
}

/// Counts a packet, or takes it back.
#[inline(always)]
fn transmit(packet: *const u8, device: *const u8, sent: bool) {
    if threads::has_ended() || !does_dma(device) {
        return;
    }
    // SAFETY: a struct sk_buff; in the typed form the verifier checks that the load is one whole member.
    let sock: u64 = unsafe { form::load(packet, offset!(skb_sock) as usize) };
    let serial = known(sock);
    if serial != 0 {
        // What the card fetches: the headers once, and all of the payload, also of a packet that it cuts by itself.
        // SAFETY: likewise.
        let bytes: u32 = unsafe { form::load(packet, offset!(skb_length) as usize) };
        let bytes = bytes as u64;
        block::add_up(DeviceKind::NETWORK, serial, 0, 0, if sent { bytes } else { bytes.wrapping_neg() });
    }
}

/// Whether a net device does DMA: it has a parent device on a bus. Bridges, bonds, tunnels, veth and loopback have none.
#[inline(always)]
fn does_dma(device: *const u8) -> bool {
    if offset!(netdev_flags) == ABSENT || offset!(netdev_parent) == ABSENT {
        return false;
    }
    // SAFETY: a struct net_device; in the typed form the verifier checks that each load is one whole member.
    let (parent, flags): (u64, u32) = unsafe {
        (
            form::load(device, offset!(netdev_parent) as usize),
            form::load(device, offset!(netdev_flags) as usize),
        )
    };
    parent != 0 && flags & IFF_LOOPBACK == 0
}

/// The serial of a known socket; 0 if it is not one. The kernel gives the memory of a socket that is gone to the next one
/// at once (`SLAB_TYPESAFE_BY_RCU`). As long as its owner has it open, the open socket tells whether it is still that one;
/// after that (what was written is still sent) its ports.
#[inline(always)]
fn known(sock: u64) -> u64 {
    if sock == 0 {
        return 0;
    }
    // SAFETY: copied out at once; an entry that is replaced meanwhile would fail the comparison.
    let Some(known) = (unsafe { SOCKETS.get(sock) }) else { return 0 };
    let known = *known;
    let socket: u64 = probe(sock, offset!(sk_socket));
    let same = if socket != 0 {
        socket == known.socket && probe::<u64>(known.inode, offset!(inode_number)) == known.inode_number
    } else {
        probe::<u16>(sock, offset!(sk_local_port)) == known.local_port
            && u16::from_be(probe(sock, offset!(sk_remote_port))) == known.remote_port
    };
    if same { known.serial } else { 0 }
}

/// Has a socket known as that endpoint.
#[inline(always)]
pub fn remember(socket: u64, inode: u64, endpoint: &Endpoint, serial: u64) {
    let sock: u64 = probe(socket, offset!(socket_sk));
    if sock == 0 {
        return;
    }
    let known = KnownSocket {
        socket,
        inode,
        inode_number: endpoint.inode,
        serial,
        local_port: endpoint.local_port,
        remote_port: endpoint.remote_port,
        _pad: 0,
    };
    let _ = SOCKETS.insert(sock, known, 0);
}
