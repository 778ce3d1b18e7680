//! Processes and threads: how they came and went by the stream, what they did by the kernel's counters.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    calls::shown_name,
    event::{Pid, ThreadStarted, ThreadTotals, Tid},
    snapshot::{ContextSwitches, InFlightCall, KernelAccounts, PageFaults, Process, Thread, Transitions},
};

/// Most processes whose end is remembered.
const MOST_ENDED: usize = 65_536;

/// What the stream told of a process.
#[derive(Debug, Default)]
struct Life {
    parent: Option<Pid>,
    comm: String,
    alive: BTreeSet<Tid>,
    started: u64,
    exit_code: Option<u32>,
}

/// All threads and their processes.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    lives: BTreeMap<Pid, Life>,
    ended: usize,
    exact: Option<BTreeMap<(Tid, u64), ThreadTotals>>,
}

/// Sums over all threads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) transitions: Transitions,
    pub(crate) switches: ContextSwitches,
    pub(crate) faults: PageFaults,
    pub(crate) exec_read_chars: u64,
    pub(crate) accounts: KernelAccounts,
}

impl Threads {
    /// A thread is traced from now on.
    pub(crate) fn started(&mut self, thread: ThreadStarted) {
        let ThreadStarted { pid, tid, parent, comm, .. } = thread;
        let life = self.lives.entry(pid).or_default();
        if life.exit_code.take().is_some() {
            // The number is used anew.
            self.ended -= 1;
            *life = Life::default();
        }
        if parent != pid {
            life.parent = Some(parent);
        }
        if tid == pid || life.comm.is_empty() {
            life.comm = comm;
        }
        if life.alive.insert(tid) {
            life.started = life.started.saturating_add(1);
        }
    }

    /// A thread has ended; returns whether it was the last one of its process.
    pub(crate) fn ended(&mut self, pid: Pid, tid: Tid, exit_code: u32) -> bool {
        let Some(life) = self.lives.get_mut(&pid) else { return false };
        let last = life.alive.remove(&tid) && life.alive.is_empty();
        if last {
            // When a process exits as a whole, each of its threads ends with the code of the process
            // (kernel/exit.c, do_group_exit).
            life.exit_code = Some(shell_code(exit_code));
            self.ended += 1;
            if self.ended > MOST_ENDED {
                self.lives.retain(|_, life| life.exit_code.is_none());
                self.ended = 0;
            }
        }
        last
    }

    /// Whether a process has no more than one thread, as far as is known.
    pub(crate) fn is_alone(&self, pid: Pid) -> bool {
        self.lives.get(&pid).is_none_or(|life| life.alive.len() <= 1)
    }

    /// A process executes another program.
    pub(crate) fn executed(&mut self, pid: Pid, comm: String) {
        self.lives.entry(pid).or_default().comm = comm;
    }

    /// The kernel's counters replace what was there.
    pub(crate) fn replace(&mut self, exact: BTreeMap<(Tid, u64), ThreadTotals>) {
        self.exact = Some(exact);
    }

    /// Sums over all threads; `None` before the counters were read for the first time.
    pub(crate) fn sums(&self) -> Option<Sums> {
        let mut sums = Sums::default();
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        for totals in self.exact.as_ref()?.values() {
            add_transitions(&mut sums.transitions, &transitions(totals));
            add_switches(&mut sums.switches, &switches(totals));
            add_faults(&mut sums.faults, &faults(totals));
            add(&mut sums.exec_read_chars, totals.exec_read_chars);
            let accounts = &totals.accounts;
            add(&mut sums.accounts.rchar, accounts.read_chars);
            add(&mut sums.accounts.wchar, accounts.written_chars);
            add(&mut sums.accounts.syscr, accounts.read_calls);
            add(&mut sums.accounts.syscw, accounts.write_calls);
            add(&mut sums.accounts.read_bytes, accounts.storage_read_bytes);
            add(&mut sums.accounts.write_bytes, accounts.storage_written_bytes);
        }
        Some(sums)
    }

    fn exact(&self) -> impl Iterator<Item = (Tid, &ThreadTotals)> {
        self.exact.iter().flatten().map(|((tid, _), totals)| (*tid, totals))
    }

    /// Threads by pid and tid.
    pub(crate) fn threads(&self) -> Vec<Thread> {
        let mut threads: Vec<Thread> = self.exact().map(|(tid, totals)| shown(tid, totals)).collect();
        if self.exact.is_none() {
            threads.extend(self.lives.iter().flat_map(|(&pid, life)| {
                let thread = move |&tid| Thread { pid, tid, comm: life.comm.clone(), ..Thread::default() };
                life.alive.iter().map(thread)
            }));
        }
        // The counters are sorted by tid and start, and the sort is stable.
        threads.sort_by_key(|thread| (thread.pid, thread.tid));
        threads
    }

    /// Processes by pid.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mut processes: BTreeMap<Pid, Process> = BTreeMap::new();
        for (&pid, life) in &self.lives {
            let threads = if self.exact.is_none() { life.started } else { 0 };
            processes.insert(
                pid,
                Process {
                    pid,
                    parent: life.parent,
                    comm: life.comm.clone(),
                    threads,
                    exit_code: life.exit_code,
                    ..Process::default()
                },
            );
        }
        for (tid, totals) in self.exact() {
            let process = processes
                .entry(totals.pid)
                .or_insert_with(|| Process { pid: totals.pid, ..Process::default() });
            if process.comm.is_empty() || tid == totals.pid {
                process.comm.clone_from(&totals.comm);
            }
            process.threads = process.threads.saturating_add(1);
            process.calls = process.calls.saturating_add(totals.calls);
            add_transitions(&mut process.transitions, &transitions(totals));
            add_switches(&mut process.context_switches, &switches(totals));
            add_faults(&mut process.page_faults, &faults(totals));
            process.read_bytes = process.read_bytes.saturating_add(totals.accounts.read_chars);
            process.written_bytes = process.written_bytes.saturating_add(totals.accounts.written_chars);
        }
        processes.into_values().collect()
    }

    /// Calls that live threads are inside of.
    pub(crate) fn in_flight(&self) -> Vec<InFlightCall> {
        let mut calls: Vec<_> = self
            .exact()
            .filter(|(_, totals)| !totals.ended)
            .filter_map(|(tid, totals)| {
                let (name, time_ns) = totals.in_call?;
                Some(InFlightCall { pid: totals.pid, tid, name: shown_name(name), time_ns })
            })
            .collect();
        calls.sort_by_key(|call| (call.pid, call.tid));
        calls
    }
}

/// What a shell shows of what `wait(2)` reports: the code, or 128 + the signal.
fn shell_code(status: u32) -> u32 {
    match status & 0x7f {
        0 => (status >> 8) & 0xff,
        signal => 128 + signal,
    }
}

fn transitions(totals: &ThreadTotals) -> Transitions {
    Transitions {
        syscall: totals.syscall_transitions,
        exception: totals.user_faults.saturating_mul(2),
        interrupt: totals.user_interrupts.saturating_mul(2),
    }
}

fn switches(totals: &ThreadTotals) -> ContextSwitches {
    ContextSwitches { voluntary: totals.accounts.voluntary, involuntary: totals.accounts.involuntary }
}

fn faults(totals: &ThreadTotals) -> PageFaults {
    PageFaults { minor: totals.accounts.minor_faults, major: totals.accounts.major_faults }
}

fn add_transitions(sum: &mut Transitions, more: &Transitions) {
    sum.syscall = sum.syscall.saturating_add(more.syscall);
    sum.exception = sum.exception.saturating_add(more.exception);
    sum.interrupt = sum.interrupt.saturating_add(more.interrupt);
}

fn add_switches(sum: &mut ContextSwitches, more: &ContextSwitches) {
    sum.voluntary = sum.voluntary.saturating_add(more.voluntary);
    sum.involuntary = sum.involuntary.saturating_add(more.involuntary);
}

fn add_faults(sum: &mut PageFaults, more: &PageFaults) {
    sum.minor = sum.minor.saturating_add(more.minor);
    sum.major = sum.major.saturating_add(more.major);
}

fn shown(tid: Tid, totals: &ThreadTotals) -> Thread {
    Thread {
        pid: totals.pid,
        tid,
        comm: totals.comm.clone(),
        ended: totals.ended,
        calls: totals.calls,
        transitions: transitions(totals),
        context_switches: switches(totals),
        page_faults: faults(totals),
        read_bytes: totals.accounts.read_chars,
        written_bytes: totals.accounts.written_chars,
        blocked_ns: totals.blocked_ns,
        preempted_ns: totals.preempted_ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Accounts;

    fn start(pid: Pid, tid: Tid, parent: Pid) -> ThreadStarted {
        ThreadStarted {
            pid,
            tid,
            parent,
            attached: false,
            shares_descriptors: false,
            time_ns: 0,
            comm: format!("c{tid}"),
        }
    }

    #[test]
    fn a_process_ends_with_its_last_thread() {
        let mut threads = Threads::default();
        threads.started(start(5, 5, 1));
        threads.started(start(5, 6, 5));
        assert!(!threads.ended(5, 5, 3 << 8));
        assert_eq!(threads.processes()[0].exit_code, None);
        assert!(threads.ended(5, 6, 3 << 8));
        assert!(!threads.ended(5, 6, 3 << 8));
        let process = &threads.processes()[0];
        assert_eq!((process.exit_code, process.threads, process.parent), (Some(3), 2, Some(1)));
        threads.started(start(5, 5, 2));
        let process = &threads.processes()[0];
        assert_eq!((process.exit_code, process.threads, process.parent), (None, 1, Some(2)));
    }

    #[test]
    fn exit_codes_as_a_shell_shows_them() {
        assert_eq!(shell_code(3 << 8), 3);
        assert_eq!(shell_code(9), 137);
        assert_eq!(shell_code(11 | 0x80), 139, "with a core dump");
    }

    #[test]
    fn a_process_is_the_sum_of_its_threads() {
        let mut threads = Threads::default();
        let totals = |pid, calls, user_faults| ThreadTotals {
            pid,
            comm: "x".to_owned(),
            calls,
            syscall_transitions: 2 * calls,
            user_faults,
            accounts: Accounts { read_chars: calls * 10, ..Accounts::default() },
            ..ThreadTotals::default()
        };
        threads.replace(BTreeMap::from([
            ((7, 1), totals(7, 3, 1)),
            ((8, 1), totals(7, 4, 0)),
            ((9, 1), totals(9, 5, u64::MAX)),
        ]));
        let processes = threads.processes();
        assert_eq!((processes[0].calls, processes[0].transitions.syscall), (7, 14));
        assert_eq!((processes[0].threads, processes[0].read_bytes), (2, 70));
        let sums = threads.sums().unwrap();
        assert_eq!(sums.transitions, Transitions { syscall: 24, exception: u64::MAX, interrupt: 0 });
        assert_eq!(sums.accounts.rchar, 120);
        assert_eq!(threads.threads().iter().map(|thread| thread.tid).collect::<Vec<_>>(), [7, 8, 9]);
    }
}
