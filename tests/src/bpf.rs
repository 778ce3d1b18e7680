//! Which BPF programs and maps a process holds, and whether the kernel still has them when it is gone.

use std::{fs, mem::size_of_val};

use anyhow::{Context, Result, bail};

/// A BPF object.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Object {
    /// A program, by id.
    Program(u32),
    /// A map, by id.
    Map(u32),
}

/// The objects that a process holds descriptors of.
pub fn held_by(pid: u32) -> Result<Vec<Object>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut objects = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.clone())? {
        // A descriptor may be closed between listing and reading.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        for line in text.lines() {
            match line.split_once(':') {
                Some(("prog_id", id)) => objects.push(Object::Program(id.trim().parse()?)),
                Some(("map_id", id)) => objects.push(Object::Map(id.trim().parse()?)),
                _ => {}
            }
        }
    }
    objects.sort_unstable();
    objects.dedup();
    Ok(objects)
}

/// Whether the kernel still has it.
pub fn exists(object: Object) -> Result<bool> {
    /// `bpf_cmd`, `linux/bpf.h`.
    const BPF_PROG_GET_FD_BY_ID: i32 = 13;
    /// `bpf_cmd`, `linux/bpf.h`.
    const BPF_MAP_GET_FD_BY_ID: i32 = 14;
    let (command, id) = match object {
        Object::Program(id) => (BPF_PROG_GET_FD_BY_ID, id),
        Object::Map(id) => (BPF_MAP_GET_FD_BY_ID, id),
    };
    // The id, next_id and open_flags of `union bpf_attr`.
    let attributes: [u32; 3] = [id, 0, 0];
    // SAFETY: the kernel reads as many bytes of the attributes as it is told.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(&attributes)) };
    if fd >= 0 {
        // SAFETY: the kernel just made this descriptor for us.
        drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd as i32) });
        return Ok(true);
    }
    let error = std::io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOENT) => Ok(false),
        _ => bail!("asking for {object:?}: {error}"),
    }
}
