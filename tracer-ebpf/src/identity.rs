//! From a descriptor to the serial of the open file behind it. The identity is walked once per open file; after that a
//! call pays for four small reads and one look-up.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use tracer_common::{
    endpoint::{Endpoint, known, route},
    offsets::ABSENT,
    slot::MetFile,
};

use crate::{
    block,
    kernel::{Task, offset, probe},
    maps::{KNOWN_FILES, KnownFile, NEW_ENDPOINTS, NEXT_SERIAL, SCRATCH, lost},
    network, path, threads,
};

/// include/uapi/linux/stat.h
pub const S_IFMT: u32 = 0o170_000;
const S_IFSOCK: u32 = 0o140_000;
pub const S_IFREG: u32 = 0o100_000;
pub const S_IFBLK: u32 = 0o060_000;
/// include/linux/socket.h
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// include/uapi/linux/in.h
const IPPROTO_TCP: u16 = 6;
/// include/uapi/linux/if.h
pub const IFF_LOOPBACK: u32 = 8;

/// What a descriptor stands for at this moment.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct OpenFile {
    /// Serial of the endpoint, 0 if there is none.
    pub serial: u64,
    /// `f_flags`.
    pub flags: u32,
}

impl OpenFile {
    /// No file.
    pub const NONE: Self = Self { serial: 0, flags: 0 };
}

/// Looks a descriptor of the current task up.
#[inline(always)]
pub fn of_descriptor(task: Task, fd: u64, met: &mut MetFile) -> OpenFile {
    let file = file_of(task, fd as u32);
    if file == 0 {
        return OpenFile::NONE;
    }
    let (inode, flags) = inode_and_flags(file);
    let inode_number: u64 = probe(inode, offset!(inode_number));
    let generation = probe::<u32>(inode, offset!(inode_generation)) as u64;
    if met.file == file
        && met.inode == inode
        && met.inode_number == inode_number
        && met.generation == generation
    {
        return OpenFile { serial: met.serial, flags };
    }
    let serial = look_up(file, inode, inode_number, generation, fd as u32);
    *met = MetFile { file, inode, inode_number, generation, serial };
    OpenFile { serial, flags }
}

/// Looks an open file up that no descriptor need stand for (io_uring's registered files have none).
#[inline(always)]
pub fn of_file(file: u64, fd: u32) -> OpenFile {
    if file == 0 {
        return OpenFile::NONE;
    }
    OpenFile { serial: serial_of_file(file, fd as u64), flags: probe(file, offset!(file_flags)) }
}

/// A global function with numbers as its arguments: the verifier walks it once for each program, not once for each way
/// that leads to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn serial_of_file(file: u64, fd: u64) -> u64 {
    let inode: u64 = probe(file, offset!(file_inode));
    let inode_number: u64 = probe(inode, offset!(inode_number));
    let generation = probe::<u32>(inode, offset!(inode_generation)) as u64;
    look_up(file, inode, inode_number, generation, fd as u32)
}

#[inline(always)]
fn look_up(file: u64, inode: u64, inode_number: u64, generation: u64, fd: u32) -> u64 {
    // SAFETY: copied out at once; an entry that is replaced meanwhile would fail the comparison.
    if let Some(entry) = unsafe { KNOWN_FILES.get(file) }
        && entry.inode == inode
        && entry.inode_number == inode_number
        && entry.generation == generation
    {
        return entry.serial;
    }
    walk_file(file, fd as u64)
}

/// `f_inode` and `f_flags`: neighbours on newer kernels, where one read brings both.
#[inline(always)]
fn inode_and_flags(file: u64) -> (u64, u32) {
    if offset!(file_flags) == offset!(file_inode).wrapping_add(8) {
        let [inode, flags]: [u64; 2] = probe(file, offset!(file_inode));
        (inode, flags as u32)
    } else {
        (probe(file, offset!(file_inode)), probe(file, offset!(file_flags)))
    }
}

/// Has a descriptor of the current task described anew when it is next met.
#[inline(always)]
pub fn forget(task: Task, fd: u64) {
    let file = file_of(task, fd as u32);
    let _ = KNOWN_FILES.remove(file);
    if let Some(slot) = threads::slot_of(task) {
        // Another thread may still know it as it was; its next other file ends that.
        slot.met_source.file = 0;
        slot.met_sink.file = 0;
    }
}

/// `task->files->fdt->fd[fd]` (include/linux/fdtable.h, `files_lookup_fd_raw`).
#[inline(always)]
pub fn file_of(task: Task, fd: u32) -> u64 {
    let (size, files) = task.descriptors();
    if fd >= size || files == 0 { 0 } else { probe(files + fd as u64 * 8, 0) }
}

/// Finds out all about an open file, leaves it where user space looks, and remembers it by a new serial. 0 if there was
/// no room: the next call tries again. A global function likewise: it is most of what there is to verify.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn walk_file(file: u64, fd: u64) -> u64 {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own entry; system call hooks do not nest.
    let scratch = unsafe { &mut *scratch };
    let endpoint = &mut scratch.endpoint;
    let task = Task::current();
    clear(endpoint);
    endpoint.tgid = task.tgid();
    endpoint.fd = fd as i32;
    let inode: u64 = probe(file, offset!(file_inode));
    describe_inode(inode, endpoint);
    if endpoint.mode & S_IFMT == S_IFSOCK {
        describe_socket(probe(file, offset!(file_private)), endpoint);
    } else {
        path::walk(task, file, scratch);
    }
    let endpoint = &scratch.endpoint;
    let serial = next_serial();
    if serial == 0 || NEW_ENDPOINTS.insert(serial, endpoint, 0).is_err() {
        lost(|losses| losses.unknown_endpoints += 1);
        return 0;
    }
    let known =
        KnownFile { inode, inode_number: endpoint.inode, generation: endpoint.generation as u64, serial };
    let _ = KNOWN_FILES.insert(file, known, 0);
    match endpoint.mode & S_IFMT {
        S_IFREG | S_IFBLK => block::remember(file, serial),
        S_IFSOCK => network::remember(probe(file, offset!(file_private)), inode, endpoint, serial),
        _ => {}
    }
    serial
}

/// Serials count up on each CPU and carry its number, so that they are unique without atomics.
#[inline(always)]
fn next_serial() -> u64 {
    let Some(next) = NEXT_SERIAL.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own entry.
    unsafe {
        *next += 1;
        (*next << 16) | (bpf_get_smp_processor_id() as u64 & 0xffff)
    }
}

#[inline(always)]
fn clear(endpoint: &mut Endpoint) {
    endpoint.known = 0;
    endpoint.mode = 0;
    endpoint.device = 0;
    endpoint.special_device = 0;
    endpoint.inode = 0;
    endpoint.fs_magic = 0;
    endpoint.family = 0;
    endpoint.socket_type = 0;
    endpoint.protocol = 0;
    endpoint.local_port = 0;
    endpoint.remote_port = 0;
    endpoint._pad = 0;
    endpoint.route = 0;
    endpoint.upper = [0; 8];
    endpoint.local_address = [0; 16];
    endpoint.remote_address = [0; 16];
    endpoint.path_bytes = 0;
    endpoint.generation = 0;
}

#[inline(always)]
fn describe_inode(inode: u64, endpoint: &mut Endpoint) {
    if inode == 0 {
        return;
    }
    let block: u64 = probe(inode, offset!(inode_sb));
    endpoint.known |= known::INODE;
    endpoint.mode = probe::<u16>(inode, offset!(inode_mode)) as u32;
    endpoint.inode = probe(inode, offset!(inode_number));
    endpoint.generation = probe(inode, offset!(inode_generation));
    endpoint.special_device = probe(inode, offset!(inode_rdev));
    endpoint.device = probe(block, offset!(sb_dev));
    endpoint.fs_magic = probe(block, offset!(sb_magic));
}

#[inline(always)]
fn describe_socket(socket: u64, endpoint: &mut Endpoint) {
    let sk: u64 = probe(socket, offset!(socket_sk));
    if sk == 0 {
        return;
    }
    endpoint.known |= known::SOCKET;
    endpoint.socket_type = probe(socket, offset!(socket_type));
    endpoint.family = probe(sk, offset!(sk_family));
    endpoint.protocol = probe(sk, offset!(sk_protocol));
    if endpoint.family == AF_INET || endpoint.family == AF_INET6 {
        endpoint.local_port = probe(sk, offset!(sk_local_port));
        endpoint.remote_port = u16::from_be(probe(sk, offset!(sk_remote_port)));
        describe_route(sk, endpoint);
        describe_upper(sk, endpoint);
    }
    if endpoint.family == AF_INET {
        let local: [u8; 4] = probe(sk, offset!(sk_local));
        let remote: [u8; 4] = probe(sk, offset!(sk_remote));
        put_ipv4(&mut endpoint.local_address, local);
        put_ipv4(&mut endpoint.remote_address, remote);
    } else if endpoint.family == AF_INET6 {
        endpoint.local_address = probe(sk, offset!(sk_local6));
        endpoint.remote_address = probe(sk, offset!(sk_remote6));
    }
}

#[inline(always)]
fn put_ipv4(into: &mut [u8; 16], address: [u8; 4]) {
    let [a, b, c, d] = address;
    into[0] = a;
    into[1] = b;
    into[2] = c;
    into[3] = d;
}

/// The protocol on top of TCP (include/net/inet_connection_sock.h).
#[inline(always)]
fn describe_upper(sk: u64, endpoint: &mut Endpoint) {
    if endpoint.protocol == IPPROTO_TCP && offset!(icsk_ulp) != ABSENT && offset!(ulp_name) != ABSENT {
        let operations: u64 = probe(sk, offset!(icsk_ulp));
        endpoint.upper = probe(operations, offset!(ulp_name));
    }
}

/// The device that the socket's cached route leaves by, once there is one.
#[inline(always)]
fn describe_route(sk: u64, endpoint: &mut Endpoint) {
    if offset!(sk_dst) == ABSENT || offset!(dst_dev) == ABSENT || offset!(netdev_flags) == ABSENT {
        return;
    }
    let destination: u64 = probe(sk, offset!(sk_dst));
    let device: u64 = probe(destination, offset!(dst_dev));
    if device == 0 {
        return;
    }
    endpoint.known |= known::ROUTE;
    if probe::<u32>(device, offset!(netdev_flags)) & IFF_LOOPBACK != 0 {
        endpoint.route |= route::LOOPBACK;
    }
    if offset!(netdev_parent) != ABSENT && probe::<u64>(device, offset!(netdev_parent)) != 0 {
        endpoint.route |= route::DEVICE;
    }
    if offset!(netdev_features) != ABSENT && offset!(feature_gathers) != ABSENT {
        describe_features(probe(device, offset!(netdev_features)), endpoint);
    }
}

/// What the device can, and so need not be done by the CPU (include/linux/netdev_features.h). Not what the socket believes
/// that it can: `sk_setup_caps` assumes of every device that it gathers and computes checksums, and the kernel makes up for
/// it later.
#[inline(always)]
fn describe_features(features: u64, endpoint: &mut Endpoint) {
    let of_family = if endpoint.family == AF_INET {
        offset!(feature_checksums_ipv4)
    } else {
        offset!(feature_checksums_ipv6)
    };
    endpoint.route |= route::FEATURES;
    if has_feature(features, offset!(feature_gathers)) {
        endpoint.route |= route::GATHERS;
    }
    if has_feature(features, offset!(feature_checksums)) || has_feature(features, of_family) {
        endpoint.route |= route::CHECKSUMS;
    }
    if has_feature(features, offset!(feature_encrypts)) {
        endpoint.route |= route::ENCRYPTS;
    }
}

/// A feature that this kernel does not know no device has.
#[inline(always)]
fn has_feature(features: u64, bit: u32) -> bool {
    bit < u64::BITS && features >> bit & 1 != 0
}
