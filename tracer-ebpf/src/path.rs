//! The path of an open file as its process sees it: dentry by dentry up to the process's root, across mounts
//! (fs/d_path.c, `prepend_path`, does the same walk under locks; a rename during ours may show either name).

use core::ptr;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use tracer_common::{
    endpoint::known,
    limits::{NAME_BYTES, PATH_BYTES, PATH_COMPONENTS},
    offsets::ABSENT,
};

use crate::{
    kernel::{Task, offset, probe},
    maps::Scratch,
};

/// Fills the endpoint's path, last component first.
///
/// Where the walk stands is kept in memory, not in registers: the verifier then finds the same state at the head of
/// every turn, whichever way the turn before went, and walks each turn once.
#[inline(always)]
pub fn walk(task: Task, file: u64, scratch: &mut Scratch) {
    if offset!(mount_vfsmount) == ABSENT || offset!(file_dentry) == ABSENT {
        return;
    }
    scratch.root_mount = probe(task.fs(), offset!(fs_root_mnt));
    scratch.root_dentry = probe(task.fs(), offset!(fs_root_dentry));
    scratch.mount = probe(file, offset!(file_mnt));
    scratch.dentry = probe(file, offset!(file_dentry));
    scratch.used = 0;
    scratch.outcome = known::PATH | known::PATH_CUT;
    for _ in 0..PATH_COMPONENTS {
        if !step(scratch) {
            break;
        }
    }
    scratch.endpoint.path_bytes = memory(&mut scratch.used);
    scratch.endpoint.known |= memory(&mut scratch.outcome);
}

/// Reads what the compiler must not keep in a register.
#[inline(always)]
fn memory<T: Copy>(value: &mut T) -> T {
    // SAFETY: a valid reference.
    unsafe { ptr::read_volatile(value) }
}

/// Writes likewise.
#[inline(always)]
fn remember<T: Copy>(place: &mut T, value: T) {
    // SAFETY: a valid reference.
    unsafe { ptr::write_volatile(place, value) }
}

/// One step up. False at the root.
#[inline(always)]
fn step(scratch: &mut Scratch) -> bool {
    let (mount, dentry) = (memory(&mut scratch.mount), memory(&mut scratch.dentry));
    let at_root = dentry == memory(&mut scratch.root_dentry) && mount == memory(&mut scratch.root_mount);
    if dentry == 0 || at_root {
        remember(&mut scratch.outcome, known::PATH);
        return false;
    }
    let parent: u64 = probe(dentry, offset!(dentry_parent));
    if parent == dentry || dentry == probe::<u64>(mount, offset!(vfsmount_root)) {
        return leave_mount(scratch, mount);
    }
    if memory(&mut scratch.used) >= PATH_BYTES as u32 {
        // There is more of it, and no room.
        return false;
    }
    append(scratch, probe(dentry, offset!(dentry_name)));
    remember(&mut scratch.dentry, parent);
    true
}

/// From the root of a mount to where it is mounted. False if it is mounted nowhere.
#[inline(always)]
fn leave_mount(scratch: &mut Scratch, vfsmount: u64) -> bool {
    let mount = vfsmount.wrapping_sub(offset!(mount_vfsmount) as u64);
    let upper: u64 = probe(mount, offset!(mount_parent));
    if upper == mount || upper == 0 {
        if memory(&mut scratch.used) == 0 {
            // A file that is in no tree, as memfd_create makes: its only name is its own.
            let dentry = memory(&mut scratch.dentry);
            append(scratch, probe(dentry, offset!(dentry_name)));
        }
        remember(&mut scratch.outcome, known::PATH);
        return false;
    }
    remember(&mut scratch.dentry, probe(mount, offset!(mount_mountpoint)));
    remember(&mut scratch.mount, upper + offset!(mount_vfsmount) as u64);
    true
}

#[inline(always)]
fn append(scratch: &mut Scratch, name: u64) {
    let used = memory(&mut scratch.used);
    if used >= PATH_BYTES as u32 {
        return;
    }
    let at = used & (PATH_BYTES as u32 - 1);
    // SAFETY: `at` is below PATH_BYTES and the buffer is NAME_BYTES longer than that.
    let written = unsafe {
        let into = scratch.endpoint.path.as_mut_ptr().add(at as usize);
        bpf_probe_read_kernel_str(into.cast(), NAME_BYTES as u32, name as *const _)
    };
    if written > 0 {
        remember(&mut scratch.used, used + written as u32);
    }
}
