//! How often the kernel did not run a program because it was running on that CPU already: where a program may be preempted
//! (preemptible tracepoints, on Linux 7 with PREEMPT_LAZY), every hook of that kind that another thread passes there meanwhile
//! is missed (kernel/trace/bpf_trace.c, `__bpf_trace_run`; kernel/bpf/trampoline.c). What it would have counted is in no number.

use std::{fs, path::PathBuf};

/// The kernel's accounts of this process's programs.
#[derive(Debug, Default)]
pub(super) struct MissedRuns {
    /// `/proc/self/fdinfo/N` of each, once they have been looked for.
    programs: Option<Vec<PathBuf>>,
}

impl MissedRuns {
    /// The sum over all programs. The kernel tells it since Linux 5.12.
    pub(super) fn sum(&mut self) -> u64 {
        let programs = self.programs.get_or_insert_with(programs);
        let texts = programs.iter().filter_map(|program| fs::read_to_string(program).ok());
        texts.map(|text| misses(&text)).fold(0, u64::saturating_add)
    }
}

fn programs() -> Vec<PathBuf> {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let programs = open
        .flatten()
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:bpf-prog"));
    programs.map(|entry| PathBuf::from("/proc/self/fdinfo").join(entry.file_name())).collect()
}

/// `recursion_misses:\t12` (kernel/bpf/syscall.c, `bpf_prog_show_fdinfo`).
fn misses(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("recursion_misses:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_read() {
        assert_eq!(
            misses("pos:\t0\nprog_id:\t7\nrun_cnt:\t3\nrecursion_misses:\t12\nverified_insns:\t9\n"),
            12
        );
        assert_eq!(misses("pos:\t0\n"), 0, "Linux 5.11");
    }
}
