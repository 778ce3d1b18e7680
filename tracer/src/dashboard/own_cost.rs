//! What zc-trace itself costs, as the kernel accounts it.

use std::fs;

use super::frame::{Cost, ProgramCost};

/// As it is now. What cannot be found out is not known.
pub(super) fn now() -> Cost {
    let stat = procfs::process::Process::myself().and_then(|process| process.stat()).ok();
    let ticks = procfs::ticks_per_second();
    let cpu_ns = stat.as_ref().and_then(|stat| {
        let used = u128::from(stat.utime) + u128::from(stat.stime);
        (used * 1_000_000_000).checked_div(ticks.into()).and_then(|ns| u64::try_from(ns).ok())
    });
    Cost {
        cpu_ns,
        resident_bytes: stat.and_then(|stat| stat.rss.checked_mul(procfs::page_size())),
        programs: programs(),
    }
}

/// The sums over this process's kernel programs, from `/proc/self/fdinfo` (kernel/bpf/syscall.c, `bpf_prog_show_fdinfo`);
/// `None` where the kernel does not measure them.
fn programs() -> Option<ProgramCost> {
    let mut sum = ProgramCost::default();
    for entry in fs::read_dir("/proc/self/fd").ok()?.flatten() {
        let is_program = fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == "anon_inode:bpf-prog");
        if !is_program {
            continue;
        }
        let Ok(text) =
            fs::read_to_string(format!("/proc/self/fdinfo/{}", entry.file_name().to_string_lossy()))
        else {
            continue;
        };
        let number = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim_start_matches(':').trim().parse().ok()).unwrap_or(0)
        };
        sum.time_ns = sum.time_ns.saturating_add(number("run_time_ns"));
        sum.runs = sum.runs.saturating_add(number("run_cnt"));
    }
    (sum.runs > 0).then_some(sum)
}
