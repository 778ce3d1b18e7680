//! Task storage, by hand: aya has no type for it. It maps a task to the number of its slot.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE, bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE},
    helpers::generated::bpf_task_storage_get,
};

use crate::{kernel::Task, threads::Claim};

/// The shape that libbpf's map definitions have: the BTF of the members tells type, key, value and flags.
#[repr(C)]
pub struct TaskStorage {
    r#type: *const [i32; BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const u32,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the members are placeholders that are never read.
unsafe impl Sync for TaskStorage {}

#[unsafe(link_section = ".maps")]
#[unsafe(export_name = "THREAD_OF_TASK")]
static THREAD_OF_TASK: TaskStorage = TaskStorage {
    r#type: ptr::null(),
    key: ptr::null(),
    value: ptr::null(),
    max_entries: ptr::null(),
    map_flags: ptr::null(),
};

#[inline(always)]
fn get(task: Task, value: *mut u32, flags: u64) -> *mut u32 {
    let map = (&raw const THREAD_OF_TASK).cast_mut().cast::<c_void>();
    // SAFETY: the helper checks map and task; the verifier checks that the result is compared with null.
    unsafe { bpf_task_storage_get(map, task.0.cast_mut().cast(), value.cast(), flags) }.cast()
}

/// The task's slot number plus one, if it has one.
#[inline(always)]
pub fn find(task: Task) -> Option<u32> {
    let entry = get(task, ptr::null_mut(), 0);
    // SAFETY: checked for null.
    if entry.is_null() { None } else { Some(unsafe { *entry }) }
}

/// Gives the task a slot number plus one, unless it has one.
#[inline(always)]
pub fn set(task: Task, mut number: u32) -> Claim {
    let entry = get(task, &raw mut number, BPF_LOCAL_STORAGE_GET_F_CREATE as u64);
    if entry.is_null() {
        return Claim::NoRoom;
    }
    // SAFETY: checked for null. An entry that existed before keeps its value (bpf_local_storage_update, BPF_NOEXIST).
    if unsafe { *entry } == number { Claim::Made } else { Claim::Taken }
}
