//! Processes and threads: how they came and went by the stream, what they did by the kernel's counters.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    calls::shown_name,
    event::{Pid, ThreadStarted, ThreadTotals, Tid},
    snapshot::{ContextSwitches, InFlightCall, KernelAccounts, PageFaults, Process, Thread, Transitions},
};

/// Most ended threads that are told apart, and most ended processes. Beyond them the oldest are added up: a program that
/// makes a thread or a process for each request must fill neither memory nor the time of whoever looks at it.
const MOST_ENDED: usize = 4096;
/// So many are added up at a time.
const AT_ONCE: usize = 1024;
/// The process that stands for those whose ends are not told apart.
const EARLIER: Pid = 0;

/// A thread's number, and when it began (ns since boot), because numbers are used anew.
type ThreadName = (Tid, u64);

/// What the stream told of a process.
#[derive(Debug, Default)]
struct Life {
    parent: Option<Pid>,
    comm: String,
    alive: BTreeSet<ThreadName>,
    started: u64,
    exit_code: Option<u32>,
    /// Whether its last thread has ended; with what code may not have been seen.
    ended: bool,
}

/// All threads and their processes.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    lives: BTreeMap<Pid, Life>,
    /// Processes in the order of their ends. A number that was used anew may be among them.
    ended_processes: VecDeque<Pid>,
    exact: Option<BTreeMap<ThreadName, ThreadTotals>>,
    /// Threads in the order of their ends. Some may have been added up with their process.
    ended_threads: VecDeque<ThreadName>,
    /// How many threads of each process were added up in one.
    added_up: BTreeMap<Pid, u64>,
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
        let ThreadStarted { pid, tid, start_ns, parent, comm, .. } = thread;
        let life = self.lives.entry(pid).or_default();
        if life.ended {
            // The number is used anew.
            *life = Life::default();
        }
        if parent != pid {
            life.parent = Some(parent);
        }
        if tid == pid || life.comm.is_empty() {
            life.comm = comm;
        }
        if life.alive.insert((tid, start_ns)) {
            life.started = life.started.saturating_add(1);
        }
    }

    /// A thread has ended; returns whether it was the last one of its process.
    pub(crate) fn ended(&mut self, pid: Pid, thread: ThreadName, exit_code: u32) -> bool {
        let Some(life) = self.lives.get_mut(&pid) else { return false };
        let last =
            life.alive.remove(&thread) && life.alive.is_empty() || life.ended && life.exit_code.is_none();
        if last {
            // When a process exits as a whole, each of its threads ends with the code of the process
            // (kernel/exit.c, do_group_exit).
            life.exit_code = Some(shell_code(exit_code));
            self.process_ended(pid);
        }
        last
    }

    fn process_ended(&mut self, pid: Pid) {
        let Some(life) = self.lives.get_mut(&pid).filter(|life| !life.ended) else { return };
        life.ended = true;
        self.ended_processes.push_back(pid);
        if self.ended_processes.len() >= MOST_ENDED + AT_ONCE {
            self.add_processes_up();
        }
    }

    /// Adds the processes that ended first up in one.
    fn add_processes_up(&mut self) {
        let oldest = self.ended_processes.drain(..AT_ONCE);
        let pids: BTreeSet<Pid> =
            oldest.filter(|pid| self.lives.get(pid).is_none_or(|life| life.ended)).collect();
        self.lives.retain(|pid, _| !pids.contains(pid));
        let Some(exact) = &mut self.exact else { return };
        let mut sum = ThreadTotals { ended: true, ..ThreadTotals::default() };
        let mut threads = 0;
        exact.retain(|(tid, _), totals| {
            let goes = totals.ended && pids.contains(&totals.pid);
            if goes {
                add(&mut sum, totals);
                let added_up = if *tid == 0 { self.added_up.remove(&totals.pid) } else { None };
                threads += added_up.unwrap_or(1);
            }
            !goes
        });
        put(exact, &mut self.added_up, EARLIER, &sum, threads);
    }

    /// Adds the threads that ended first up, in one of their process.
    fn add_threads_up(&mut self) {
        let Some(exact) = &mut self.exact else { return };
        for key in self.ended_threads.drain(..AT_ONCE) {
            let Some(totals) = exact.remove(&key) else { continue };
            let pid = if self.lives.contains_key(&totals.pid) { totals.pid } else { EARLIER };
            put(exact, &mut self.added_up, pid, &totals, 1);
        }
    }

    /// The exit code of a process that has ended, as a shell shows it; `None` while it lives, or if its end was not seen.
    pub(crate) fn exit_code(&self, pid: Pid) -> Option<u32> {
        self.lives.get(&pid)?.exit_code
    }

    /// Whether a process has no more than one thread, as far as is known.
    pub(crate) fn is_alone(&self, pid: Pid) -> bool {
        self.lives.get(&pid).is_none_or(|life| life.alive.len() <= 1)
    }

    /// A process executes another program. The thread that does takes over the number of the process. Of the others each
    /// one's end is told, before or afterwards.
    pub(crate) fn executed(&mut self, pid: Pid, thread: ThreadName, comm: String) {
        let life = self.lives.entry(pid).or_default();
        life.comm = comm;
        let (_, start_ns) = thread;
        if life.alive.remove(&thread) {
            life.alive.insert((pid, start_ns));
        }
        if let Some(exact) = &mut self.exact
            && let Some(totals) = exact.remove(&thread)
        {
            exact.insert((pid, start_ns), totals);
        }
    }

    /// The kernel's counters of these threads replace what was there of them.
    pub(crate) fn update(&mut self, latest: BTreeMap<ThreadName, ThreadTotals>) {
        let exact = self.exact.get_or_insert_default();
        let mut ended = Vec::new();
        for (key, totals) in latest {
            let (pid, has_ended) = (totals.pid, totals.ended);
            let before = exact.insert(key, totals);
            if has_ended && !before.is_some_and(|before| before.ended) {
                self.ended_threads.push_back(key);
                ended.push((pid, key));
            }
        }
        for (pid, thread) in ended {
            // Nearly always the stream has told so before; but it may lose records.
            if let Some(life) = self.lives.get_mut(&pid)
                && life.alive.remove(&thread)
                && life.alive.is_empty()
            {
                self.process_ended(pid);
            }
        }
        while self.ended_threads.len() >= MOST_ENDED + AT_ONCE {
            self.add_threads_up();
        }
    }

    /// How many threads and processes are told apart.
    pub(crate) fn count(&self) -> usize {
        self.lives.len().max(self.exact.as_ref().map_or(0, BTreeMap::len))
    }

    /// How many threads live, as far as is known.
    pub(crate) fn living(&self) -> u64 {
        match &self.exact {
            Some(exact) => exact.values().filter(|totals| !totals.ended).count() as u64,
            None => self.lives.values().map(|life| life.alive.len() as u64).sum(),
        }
    }

    /// The `comm` of a process, if it has one.
    pub(crate) fn comm(&self, pid: Pid) -> Option<&str> {
        let of_leader = || {
            let of_tid = self.exact.as_ref()?.range((pid, 0)..=(pid, u64::MAX)).next_back();
            of_tid.map(|(_, totals)| totals.comm.as_str())
        };
        let of_life = || self.lives.get(&pid).map(|life| life.comm.as_str());
        of_leader().or_else(of_life).filter(|comm| !comm.is_empty())
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
                let thread =
                    move |&(tid, _)| Thread { pid, tid, comm: life.comm.clone(), ..Thread::default() };
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
            let added_up = if tid == 0 { self.added_up.get(&totals.pid) } else { None };
            process.threads = process.threads.saturating_add(added_up.copied().unwrap_or(1));
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

/// Adds ended threads to those that are added up of this process.
fn put(
    exact: &mut BTreeMap<ThreadName, ThreadTotals>,
    added_up: &mut BTreeMap<Pid, u64>,
    pid: Pid,
    totals: &ThreadTotals,
    threads: u64,
) {
    if threads == 0 {
        return;
    }
    let sum = exact.entry((0, u64::from(pid))).or_insert_with(|| {
        let comm = if pid == EARLIER { String::new() } else { totals.comm.clone() };
        ThreadTotals { pid, comm, ended: true, ..ThreadTotals::default() }
    });
    add(sum, totals);
    *added_up.entry(pid).or_default() += threads;
}

/// Adds what one ended thread did to what others did.
fn add(sum: &mut ThreadTotals, more: &ThreadTotals) {
    let plus = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
    plus(&mut sum.calls, more.calls);
    plus(&mut sum.syscall_transitions, more.syscall_transitions);
    plus(&mut sum.user_faults, more.user_faults);
    plus(&mut sum.user_interrupts, more.user_interrupts);
    plus(&mut sum.kernel_interrupts, more.kernel_interrupts);
    plus(&mut sum.blocked_ns, more.blocked_ns);
    plus(&mut sum.preempted_ns, more.preempted_ns);
    plus(&mut sum.exec_read_chars, more.exec_read_chars);
    plus(&mut sum.exec_read_calls, more.exec_read_calls);
    let (sum, more) = (&mut sum.accounts, &more.accounts);
    plus(&mut sum.voluntary, more.voluntary);
    plus(&mut sum.involuntary, more.involuntary);
    plus(&mut sum.minor_faults, more.minor_faults);
    plus(&mut sum.major_faults, more.major_faults);
    plus(&mut sum.read_chars, more.read_chars);
    plus(&mut sum.written_chars, more.written_chars);
    plus(&mut sum.read_calls, more.read_calls);
    plus(&mut sum.write_calls, more.write_calls);
    plus(&mut sum.storage_read_bytes, more.storage_read_bytes);
    plus(&mut sum.storage_written_bytes, more.storage_written_bytes);
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
            start_ns: 0,
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
        assert!(!threads.ended(5, (5, 0), 3 << 8));
        assert_eq!(threads.processes()[0].exit_code, None);
        assert!(threads.ended(5, (6, 0), 3 << 8));
        assert!(!threads.ended(5, (6, 0), 3 << 8));
        let process = &threads.processes()[0];
        assert_eq!((process.exit_code, process.threads, process.parent), (Some(3), 2, Some(1)));
        threads.started(start(5, 5, 2));
        let process = &threads.processes()[0];
        assert_eq!((process.exit_code, process.threads, process.parent), (None, 1, Some(2)));
    }

    #[test]
    fn a_thread_that_executes_becomes_its_process() {
        let mut threads = Threads::default();
        threads.started(start(5, 5, 1));
        threads.started(ThreadStarted { start_ns: 9, ..start(5, 6, 5) });
        let totals = ThreadTotals { pid: 5, calls: 3, ..ThreadTotals::default() };
        threads.update(BTreeMap::from([((6, 9), totals.clone())]));
        threads.executed(5, (6, 9), "new".to_owned());
        // The leader's end may be told late; it is not that of the process.
        assert!(!threads.ended(5, (5, 0), 0));
        threads.update(BTreeMap::from([((5, 9), totals)]));
        assert_eq!(threads.threads().len(), 1, "not counted under both numbers");
        assert!(threads.ended(5, (5, 9), 5 << 8));
        assert_eq!(threads.exit_code(5), Some(5));
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
        threads.update(BTreeMap::from([
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

    #[test]
    fn adding_a_thread_to_its_like_doubles_every_number() {
        let numbers = |by: u64| ThreadTotals {
            pid: 7,
            comm: "name".to_owned(),
            ended: true,
            calls: by,
            syscall_transitions: 2 * by,
            user_faults: 3 * by,
            user_interrupts: 4 * by,
            kernel_interrupts: 5 * by,
            blocked_ns: 6 * by,
            preempted_ns: 7 * by,
            accounts: Accounts {
                voluntary: by,
                involuntary: 2 * by,
                minor_faults: 3 * by,
                major_faults: 4 * by,
                read_chars: 5 * by,
                written_chars: 6 * by,
                read_calls: 7 * by,
                write_calls: 8 * by,
                storage_read_bytes: 9 * by,
                storage_written_bytes: 10 * by,
            },
            exec_read_chars: 8 * by,
            exec_read_calls: 9 * by,
            in_call: None,
        };
        let mut sum = numbers(1);
        add(&mut sum, &numbers(1));
        assert_eq!(sum, numbers(2));
    }

    /// What `count` threads did, each told as it ends: of one process, or each of its own.
    fn many(count: u32, of_one: bool) -> Threads {
        let mut threads = Threads::default();
        let leader = |at: u32| if of_one { 10 } else { 10 + at };
        threads.started(start(10, 10, 1));
        for at in 1..=count {
            threads.started(start(leader(at), 10 + at, 10));
            threads.ended(leader(at), (10 + at, 0), 0);
            let totals = ThreadTotals {
                pid: leader(at),
                comm: "x".to_owned(),
                ended: true,
                calls: u64::from(at),
                accounts: Accounts { read_chars: 3, ..Accounts::default() },
                ..ThreadTotals::default()
            };
            threads.update(BTreeMap::from([((10 + at, 1), totals)]));
        }
        threads
    }

    #[test]
    fn of_many_that_have_ended_the_oldest_are_added_up_and_no_sum_changes() {
        const COUNT: u32 = 20_000;
        for of_one in [true, false] {
            let threads = many(COUNT, of_one);
            let (listed, processes) = (threads.threads(), threads.processes());
            assert!((MOST_ENDED..MOST_ENDED + AT_ONCE + 2).contains(&listed.len()), "{}", listed.len());
            let calls: u64 = processes.iter().map(|process| process.calls).sum();
            assert_eq!(calls, u64::from(COUNT) * u64::from(COUNT + 1) / 2);
            assert_eq!(calls, listed.iter().map(|thread| thread.calls).sum::<u64>());
            assert_eq!(processes.iter().map(|process| process.threads).sum::<u64>(), u64::from(COUNT));
            assert_eq!(threads.sums().unwrap().accounts.rchar, 3 * u64::from(COUNT));
            let newest = 10 + COUNT;
            assert!(listed.iter().any(|thread| thread.tid == newest), "the newest is told apart");
            assert!(listed.iter().all(|thread| thread.tid != 11), "the oldest is not");
            if of_one {
                assert_eq!(processes.len(), 1);
            } else {
                assert!(processes.len() < MOST_ENDED + AT_ONCE + 2, "{}", processes.len());
                assert!(processes.iter().any(|process| process.pid == EARLIER && process.threads > 10_000));
            }
        }
    }

    #[test]
    fn a_process_of_which_the_end_was_lost_has_ended_with_its_threads() {
        let mut threads = Threads::default();
        threads.started(start(5, 5, 1));
        let totals = ThreadTotals { pid: 5, ended: true, ..ThreadTotals::default() };
        threads.update(BTreeMap::from([((5, 1), totals)]));
        assert_eq!((threads.living(), threads.processes()[0].exit_code), (0, None));
        assert!(threads.ended(5, (5, 0), 3 << 8), "told after all");
        assert_eq!(threads.processes()[0].exit_code, Some(3));
        assert!(!threads.ended(5, (5, 0), 3 << 8));
    }
}
