//! The path of an open file as its process sees it: dentry by dentry up to the process's root, across mounts
//! (fs/d_path.c, `prepend_path`, does the same walk under locks; a rename during ours may show either name).

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use tracer_common::{
    endpoint::{Endpoint, known},
    limits::{NAME_BYTES, PATH_BYTES, PATH_COMPONENTS},
    offsets::ABSENT,
};

use crate::kernel::{Task, offset, probe};

/// A place in the tree of mounts.
struct Position {
    mount: u64,
    dentry: u64,
}

/// Fills the endpoint's path, last component first.
#[inline(always)]
pub fn walk(task: Task, file: u64, endpoint: &mut Endpoint) {
    if offset!(mount_vfsmount) == ABSENT || offset!(file_dentry) == ABSENT {
        return;
    }
    let root = Position {
        mount: probe(task.fs(), offset!(fs_root_mnt)),
        dentry: probe(task.fs(), offset!(fs_root_dentry)),
    };
    let mut at =
        Position { mount: probe(file, offset!(file_mnt)), dentry: probe(file, offset!(file_dentry)) };
    let mut used: u32 = 0;
    for _ in 0..PATH_COMPONENTS {
        if at.dentry == 0 || (at.dentry == root.dentry && at.mount == root.mount) {
            finish(endpoint, used, known::PATH);
            return;
        }
        let parent: u64 = probe(at.dentry, offset!(dentry_parent));
        if parent == at.dentry || at.dentry == probe(at.mount, offset!(vfsmount_root)) {
            let mount = at.mount.wrapping_sub(offset!(mount_vfsmount) as u64);
            let upper: u64 = probe(mount, offset!(mount_parent));
            if upper == mount || upper == 0 {
                finish(endpoint, used, known::PATH);
                return;
            }
            at.dentry = probe(mount, offset!(mount_mountpoint));
            at.mount = upper + offset!(mount_vfsmount) as u64;
            continue;
        }
        used = append(endpoint, used, probe(at.dentry, offset!(dentry_name)));
        at.dentry = parent;
    }
    finish(endpoint, used, known::PATH | known::PATH_CUT);
}

#[inline(always)]
fn append(endpoint: &mut Endpoint, used: u32, name: u64) -> u32 {
    if used >= PATH_BYTES as u32 {
        endpoint.known |= known::PATH_CUT;
        return used;
    }
    let at = used & (PATH_BYTES as u32 - 1);
    // SAFETY: `at` is below PATH_BYTES and the buffer is NAME_BYTES longer than that.
    let written = unsafe {
        let into = endpoint.path.as_mut_ptr().add(at as usize);
        bpf_probe_read_kernel_str(into.cast(), NAME_BYTES as u32, name as *const _)
    };
    if written <= 0 || written > NAME_BYTES as i64 { used } else { used + written as u32 }
}

#[inline(always)]
fn finish(endpoint: &mut Endpoint, used: u32, bits: u32) {
    endpoint.path_bytes = used;
    endpoint.known |= bits;
}
