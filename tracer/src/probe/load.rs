//! Loading the kernel programs, attaching and detaching them, and choosing what they trace.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData, RingBuf, Stack},
    programs::Iter,
};
use tracer_common::{
    call::{CallShape, SocketCall},
    limits::THREADS,
    offsets::{ABSENT, Check, Config, Control, Offsets, latency},
};

use super::{
    call_table::CallTable,
    diagnostics::Diagnostics,
    error::{LoadError, from_aya, other, refused},
    form::{Form, Source},
    hooks::{ATTACH_THREADS, CHECK_OFFSETS, HOOKS, Hook, Need, PAIRS, Place, URING_COMPLETE},
    offsets::{Types, Uring},
    pace::{Detail, Latency},
    programs::{self, Link, Target},
    reader::Reader,
};

/// What can be chosen before loading.
#[derive(Clone, Debug)]
pub struct Options {
    /// Trace children too.
    pub follow: bool,
    /// Size of the ring buffer in bytes: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Let the programs log their own diagnostics.
    pub debug: bool,
    /// Which calls are told one by one.
    pub detail: Detail,
    /// Which calls are timed.
    pub latency: Latency,
    /// Where the kernel's types come from, and which form of the programs is to be taken.
    pub source: Source,
}

/// The loaded kernel side.
pub struct Probe {
    ebpf: Ebpf,
    form: Form,
    source: Source,
    config: Config,
    control: Control,
    offsets: Offsets,
    missing: Vec<(&'static Hook, String)>,
    links: Vec<(&'static str, Link)>,
    not_typed: Option<String>,
    unneeded: Vec<&'static str>,
    /// For the reader, which frees slots.
    free_slots: Option<Stack<MapData, u32>>,
    phases: Phases,
}

/// A loader that knows no types yet.
fn empty_loader() -> EbpfLoader<'static> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    loader
}

/// How long the parts of starting take.
#[derive(Clone, Debug)]
struct Phases {
    since: Instant,
    done: Vec<(&'static str, Duration)>,
}

impl Phases {
    fn begin() -> Self {
        Self { since: Instant::now(), done: Vec::new() }
    }

    fn end(&mut self, phase: &'static str) {
        self.done.push((phase, self.since.elapsed()));
        self.since = Instant::now();
    }
}

impl Probe {
    /// Loads every program, in the best form that the kernel takes; attaches none.
    ///
    /// # Errors
    /// If a needed program or structure member is missing or refused, or rights are.
    pub fn load(options: &Options) -> Result<Self, LoadError> {
        let mut phases = Phases::begin();
        // It reads all types by itself, takes them apart, and cannot be told not to: while nothing else is in memory.
        let mut loader = Some(empty_loader());
        let types = Types::find(options.source.btf.as_deref())?;
        phases.end("reading the kernel's types");
        let mut first_error = None;
        for form in options.source.forms() {
            match Self::load_by(loader.take().unwrap_or_else(empty_loader), options, &types, *form, |_, _| {})
            {
                Ok(mut probe) => {
                    probe.not_typed = first_error.map(|error: LoadError| error.to_string());
                    probe.phases.done.splice(0..0, phases.done);
                    drop(types);
                    give_memory_back();
                    return Ok(probe);
                }
                Err(
                    error @ (LoadError::NotPermitted(_)
                    | LoadError::NoMember(..)
                    | LoadError::TooFewDescriptors(_)
                    | LoadError::Interrupted(_)),
                ) => return Err(error),
                Err(error) => _ = first_error.get_or_insert(error),
            }
        }
        Err(first_error.unwrap_or_else(|| LoadError::Other("there is no form to load".to_owned())))
    }

    /// Loads every program in that form, with what `adjust` makes of the members and settings that were found. A test
    /// of the programs needs this: members and settings are constants to the verifier, which skips the code that they
    /// switch off, so that a program is known to load only at the shapes at which it was loaded.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_shape(
        options: &Options,
        types: &Types,
        form: Form,
        adjust: impl FnOnce(&mut Offsets, &mut Config),
    ) -> Result<Self, LoadError> {
        Self::load_by(empty_loader(), options, types, form, adjust)
    }

    fn load_by(
        loader: EbpfLoader<'static>,
        options: &Options,
        types: &Types,
        form: Form,
        adjust: impl FnOnce(&mut Offsets, &mut Config),
    ) -> Result<Self, LoadError> {
        let mut phases = Phases::begin();
        let mut offsets = types.offsets();
        check_members(&offsets, form)?;
        let uring = Uring::of(types);
        let mut config = Config {
            own_tgid: std::process::id(),
            follow: u32::from(options.follow),
            wake_bytes: options.ring_bytes / 4,
            debug: u32::from(options.debug),
            sched_switch_arity: types.tracepoint_arity("sched_switch").unwrap_or(3),
            storage_accounts: u32::from(has_storage_accounts(&offsets)),
            uring_complete_arity: uring.complete_arity,
            uring_submit_request: uring.submit_request,
            uring_queue_request: uring.queue_request,
            user_iterators: types.user_iterators(),
            detail: options.detail.number(),
            latency: options.latency.number(),
        };
        adjust(&mut offsets, &mut config);
        let btf = match form {
            Form::Typed => Some(types.for_loader()?),
            Form::Raw => None,
        };
        phases.end("finding members");
        let mut loader: EbpfLoader<'_> = loader;
        let ebpf = loader
            .btf(btf.as_ref())
            .allow_unsupported_maps()
            .override_global("OFFSETS", &offsets, true)
            .override_global("CONFIG", &config, true)
            .map_max_entries("RING", options.ring_bytes)
            .load(form.object())
            .map_err(|error| match from_aya(error) {
                // Every supported kernel has them: the loader asked once for all, and was interrupted.
                LoadError::Other(_) if !aya::features().bpf_global_data() => {
                    LoadError::Interrupted("what programs may use")
                }
                error => error,
            })?;
        phases.end("making maps");
        let mut probe = Self {
            ebpf,
            form,
            source: options.source.clone(),
            config,
            control: Control::default(),
            offsets,
            missing: Vec::new(),
            links: Vec::new(),
            not_typed: None,
            unneeded: Vec::new(),
            free_slots: None,
            phases,
        };
        probe.fill_maps()?;
        probe.phases.end("filling maps");
        probe.load_programs(types, btf.as_ref())?;
        probe.phases.end("verifying programs");
        Ok(probe)
    }

    fn fill_maps(&mut self) -> Result<(), LoadError> {
        let table = CallTable::native();
        let mut shapes: Array<_, CallShape> = self.map("SHAPES")?;
        for (index, shape) in table.shapes() {
            shapes.set(index, shape, 0).map_err(other)?;
        }
        let mut socket_calls: Array<_, SocketCall> = self.map("SOCKET_CALLS")?;
        for (number, call) in table.socket_calls() {
            socket_calls.set(number, call, 0).map_err(other)?;
        }
        Ok(())
    }

    fn load_programs(&mut self, types: &Types, btf: Option<&Btf>) -> Result<(), LoadError> {
        let uring = Uring::of(types);
        let mut wanted = Vec::new();
        let mut targets = Vec::new();
        for hook in HOOKS {
            let stands_in = |(one, other): &(&str, &str)| {
                *one == hook.name && types.has_tracepoint(other)
                    || *other == hook.name && types.has_tracepoint(one) && !types.has_tracepoint(other)
            };
            let without_entries = self.config.latency == latency::NONE && hook.needs_entries;
            if without_entries || PAIRS.iter().any(stands_in) {
                self.unneeded.push(hook.name);
                continue;
            }
            let target = self.target(hook, types, &uring);
            targets.extend(target.as_ref().ok().map(|target| (hook.name, *target)));
            wanted.push((hook, target));
        }
        let own = match self.form {
            Form::Typed => (ATTACH_THREADS, Target::Iterator("task")),
            Form::Raw => (CHECK_OFFSETS, Target::Raw),
        };
        targets.insert(0, own);
        let mut free: Stack<_, u32> = Stack::try_from(self.take("FREE_SLOTS")?).map_err(other)?;
        let mut filled = Ok(());
        let fill = || filled = (0..THREADS).rev().try_for_each(|slot| free.push(slot, 0));
        let mut outcomes = programs::load_all(&mut self.ebpf, &targets, btf, fill);
        filled.map_err(other)?;
        self.free_slots = Some(free);
        let lacks = |outcome: &Result<(), _>| outcome.as_ref().is_err_and(programs::lacks_descriptors);
        let lacking = outcomes.iter().find_map(|(name, outcome)| lacks(outcome).then_some(*name));
        // One by one: the first that is refused and needed ends it, and a log is written of that one alone.
        let mut outcome_of = |name: &'static str| match outcomes.remove(name) {
            Some(outcome) => outcome.map_err(|error| refused(name, error)),
            None => Err(LoadError::Other(format!("the object has no program {name}"))),
        };
        if let Some(name) = lacking {
            return outcome_of(name);
        }
        outcome_of(own.0)?;
        for (hook, target) in wanted {
            let outcome = target.and_then(|_| outcome_of(hook.name));
            self.settle(hook, outcome)?;
        }
        Ok(())
    }

    /// What a hook's program is loaded for, where the kernel has it.
    fn target(&self, hook: &Hook, types: &Types, uring: &Uring) -> Result<Target, LoadError> {
        let absent = LoadError::NoTracepoint(hook.name);
        if hook.name.starts_with("io_uring_") && !uring.is_known() {
            return Err(absent);
        }
        match (hook.place, self.form) {
            (Place::Return(functions), Form::Typed) => {
                let function = functions.iter().find(|function| types.has_function(function));
                function.map(|function| Target::Return(function)).ok_or(LoadError::NoFunction(hook.name))
            }
            (Place::Return(_), Form::Raw) => Err(LoadError::NoFunction(hook.name)),
            // Whether a raw tracepoint exists, attaching to it tells.
            (Place::Tracepoint, Form::Raw) => Ok(Target::Raw),
            (Place::Tracepoint, Form::Typed) if types.has_tracepoint(hook.name) => Ok(Target::Typed),
            (Place::Tracepoint, Form::Typed) => Err(absent),
        }
    }

    /// Without an optional hook it goes on.
    fn settle<T>(
        &mut self,
        hook: &'static Hook,
        outcome: Result<T, LoadError>,
    ) -> Result<Option<T>, LoadError> {
        match (outcome, hook.need) {
            (Ok(done), _) => Ok(Some(done)),
            // What it lacks then, the kernel does not lack.
            (Err(error @ (LoadError::TooFewDescriptors(_) | LoadError::Interrupted(_))), _)
            | (Err(error), Need::Required) => Err(error),
            (Err(error), Need::Optional) => {
                self.missing.push((hook, error.to_string()));
                Ok(None)
            }
        }
    }

    /// Attaches every program that was loaded. Nothing is traced yet: no task has a slot.
    ///
    /// # Errors
    /// If a needed one cannot be attached.
    pub fn attach(&mut self) -> Result<(), LoadError> {
        self.phases.since = Instant::now();
        if self.form == Form::Raw {
            self.check_offsets()?;
        }
        for hook in HOOKS {
            let is_missing = self.missing.iter().any(|(missing, _)| missing.name == hook.name);
            if is_missing || self.unneeded.contains(&hook.name) {
                continue;
            }
            let outcome = match hook.place {
                Place::Tracepoint => programs::attach(&mut self.ebpf, hook.name, hook.name, self.form),
                Place::Return(_) => programs::attach_return(&mut self.ebpf, hook.name),
            };
            if let Some(link) = self.settle(hook, outcome)? {
                self.links.push((hook.name, link));
            }
        }
        self.control.counts_requests = u32::from(self.counts_requests());
        self.set_control()?;
        self.phases.end("attaching");
        Ok(())
    }

    /// How long each part of [`load`](Self::load) and [`attach`](Self::attach) took, in their order.
    pub fn phases(&self) -> &[(&'static str, Duration)] {
        &self.phases.done
    }

    /// Has a hook look at this very thread by the offsets, before anything is traced. Learns by that, too, where in a
    /// task's stack the kernel saves the user registers, which depends on how it was built.
    fn check_offsets(&mut self) -> Result<(), LoadError> {
        let link = programs::attach(&mut self.ebpf, CHECK_OFFSETS, "sys_enter", self.form)?;
        // Any call does.
        let _ = rustix::process::getppid();
        programs::detach(&mut self.ebpf, CHECK_OFFSETS, link)?;
        let found: Array<_, Check> = self.map("CHECK")?;
        let check = found.get(&0, 0).map_err(other)?;
        if check.ran == 0 {
            return Err(LoadError::Other("the hook on sys_enter does not run".to_owned()));
        }
        self.control.registers_at = u32::try_from(check.registers_at).unwrap_or(0);
        if check.fits == 0 || self.control.registers_at == 0 {
            let file = self.source.btf.clone().unwrap_or_else(|| super::offsets::VMLINUX.into());
            return Err(LoadError::OtherTypes(file));
        }
        self.set_control()
    }

    /// Ends the trace at this moment, detaches every program, and takes the accounts of living threads a last time (not
    /// in the raw form, which has no iterator). What the programs have counted stays to be read.
    ///
    /// # Errors
    /// If the kernel refuses a map update or the iterator.
    pub fn detach(&mut self) -> Result<(), LoadError> {
        self.control.spawner_tgid = 0;
        self.control.stopped = 1;
        self.set_control()?;
        while let Some((name, link)) = self.links.pop() {
            programs::detach(&mut self.ebpf, name, link)?;
        }
        match self.form {
            Form::Typed => self.run_iterator(),
            Form::Raw => {
                let pids = self.targets()?;
                self.remove_targets(&pids)
            }
        }
    }

    fn set_control(&mut self) -> Result<(), LoadError> {
        let control = self.control;
        let mut map: Array<_, Control> = self.map("CONTROL")?;
        map.set(0, control, 0).map_err(other)
    }

    /// Begins to trace every thread that these processes have now: in the typed form at once, in the raw form each with
    /// its first hook.
    ///
    /// # Errors
    /// If the iterator cannot be run.
    pub fn trace_processes(&mut self, pids: &[u32]) -> Result<(), LoadError> {
        let mut targets: HashMap<_, u32, u32> = self.map("TARGETS")?;
        for pid in pids {
            targets.insert(*pid, 1, 0).map_err(other)?;
        }
        if self.form == Form::Raw {
            return self.note_attachment();
        }
        // A thread that a not yet traced thread makes during the first pass is met by the second.
        self.run_iterator()?;
        self.run_iterator()?;
        self.note_attachment()?;
        self.remove_targets(pids)
    }

    /// Has the hooks on system calls look anew whether the task on their CPU is traced.
    fn note_attachment(&mut self) -> Result<(), LoadError> {
        self.control.attachments = self.control.attachments.wrapping_add(1);
        self.set_control()
    }

    fn remove_targets(&mut self, pids: &[u32]) -> Result<(), LoadError> {
        let mut targets: HashMap<_, u32, u32> = self.map("TARGETS")?;
        for pid in pids {
            // The kernel side may have been faster.
            let _ = targets.remove(pid);
        }
        Ok(())
    }

    /// Processes with threads that may have no slot yet.
    fn targets(&mut self) -> Result<Vec<u32>, LoadError> {
        let targets: HashMap<_, u32, u32> = self.map("TARGETS")?;
        targets.keys().collect::<Result<_, _>>().map_err(other)
    }

    /// Whether there may be threads to trace that nothing has been heard of yet: in the raw form one that sleeps since
    /// before tracing began is met only when it wakes.
    pub fn awaits_threads(&mut self) -> bool {
        self.form == Form::Raw && self.targets().is_ok_and(|targets| !targets.is_empty())
    }

    fn run_iterator(&mut self) -> Result<(), LoadError> {
        let iterator: &mut Iter = programs::named(&mut self.ebpf, ATTACH_THREADS)?;
        let link = iterator.attach().map_err(other)?;
        let link = iterator.take_link(link).map_err(other)?;
        let mut file = link.into_file().map_err(other)?;
        let mut sink = Vec::new();
        file.read_to_end(&mut sink).map_err(other).map(drop)
    }

    /// From now on (or no more) the next children of this very process are traced from their birth.
    ///
    /// # Errors
    /// If the kernel refuses the map update.
    pub fn trace_own_children(&mut self, on: bool) -> Result<(), LoadError> {
        self.control.spawner_tgid = if on { std::process::id() } else { 0 };
        self.set_control()
    }

    /// Splits off what reads records and counters.
    ///
    /// # Errors
    /// If a map is missing from the object.
    pub fn reader(&mut self) -> Result<Reader, LoadError> {
        let ring = RingBuf::try_from(self.take("RING")?).map_err(other)?;
        let taken = || LoadError::Other("there is one reader, and it is elsewhere".to_owned());
        let free_slots = self.free_slots.take().ok_or_else(taken)?;
        Reader::new(self, ring, free_slots)
    }

    /// Hooks that this kernel does not have or refused, with the reason.
    pub fn missing(&self) -> &[(&'static Hook, String)] {
        &self.missing
    }

    /// Hooks that this kernel has another one for.
    pub fn unneeded(&self) -> &[&'static str] {
        &self.unneeded
    }

    /// Whether requests of io_uring are traced.
    pub fn traces_requests(&self) -> bool {
        !self.missing.iter().any(|(hook, _)| hook.name == URING_COMPLETE)
    }

    /// The form that was loaded.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Why it is not the typed form, if that was tried.
    pub fn not_typed(&self) -> Option<&str> {
        self.not_typed.as_deref()
    }

    /// How many instructions the verifier walked through for each loaded program, by name; nothing of it before Linux 5.16.
    pub fn verified_instructions(&self) -> Vec<(String, u32)> {
        let number = |(name, program): (&str, &aya::programs::Program)| {
            Some((name.to_owned(), program.info().ok()?.verified_instruction_count()?))
        };
        let mut numbers: Vec<_> = self.ebpf.programs().filter_map(number).collect();
        numbers.sort();
        numbers
    }

    /// Whether that hook is attached.
    pub(super) fn is_attached(&self, name: &str) -> bool {
        self.links.iter().any(|(attached, _)| *attached == name)
    }

    /// Whether the iterators over user memory are told apart from others.
    pub(super) fn knows_user_iterators(&self) -> bool {
        self.config.user_iterators != 0
    }

    /// Whether the kernel keeps I/O accounts per task.
    pub fn storage_accounts(&self) -> bool {
        self.config.storage_accounts != 0
    }

    /// The members that were found.
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// What the kernel programs log, if they were loaded to do so.
    ///
    /// # Errors
    /// If the map for it is missing.
    pub fn diagnostics(&mut self) -> Result<Diagnostics, LoadError> {
        Diagnostics::new(&mut self.ebpf)
    }

    pub(super) fn take(&mut self, name: &str) -> Result<aya::maps::Map, LoadError> {
        self.ebpf.take_map(name).ok_or_else(|| LoadError::Other(format!("the object has no map {name}")))
    }

    fn map<'a, T>(&'a mut self, name: &str) -> Result<T, LoadError>
    where
        T: TryFrom<&'a mut aya::maps::Map, Error = aya::maps::MapError>,
    {
        let map = self
            .ebpf
            .map_mut(name)
            .ok_or_else(|| LoadError::Other(format!("the object has no map {name}")))?;
        T::try_from(map).map_err(other)
    }
}

/// The kernel's types, taken apart, were most of what this process will ever have in memory, and the C library keeps what is
/// freed until it is told not to.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it has no preconditions (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

fn has_storage_accounts(offsets: &Offsets) -> bool {
    offsets.task_rchar != ABSENT && offsets.task_read_bytes != ABSENT
}

/// Members without which nothing can be traced.
fn check_members(offsets: &Offsets, form: Form) -> Result<(), LoadError> {
    const NEEDED: &[(&str, &str)] = &[
        ("task_struct", "tgid"),
        ("task_struct", "pid"),
        ("task_struct", "nvcsw"),
        ("task_struct", "nivcsw"),
        ("task_struct", "min_flt"),
        ("task_struct", "maj_flt"),
        ("task_struct", "files"),
        ("task_struct", "fs"),
        ("task_struct", "comm"),
        ("task_struct", "start_boottime"),
        ("task_struct", "exit_code"),
        ("task_struct", "__state"),
    ];
    const NEEDED_RAW: &[(&str, &str)] =
        &[("task_struct", "stack"), ("task_struct", "signal"), ("signal_struct", "live")];
    let mut absent = None;
    offsets.visit(|structure, path, offset| {
        let member = (structure, path);
        let needed = NEEDED.contains(&member) || form == Form::Raw && NEEDED_RAW.contains(&member);
        if offset == ABSENT && needed {
            absent = Some(member);
        }
    });
    absent.map_or(Ok(()), |(structure, path)| Err(LoadError::NoMember(structure, path)))
}
