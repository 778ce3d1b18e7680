//! Loading the kernel programs and attaching them.

use std::{fs, io, io::Read, path::PathBuf};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{Array, HashMap, RingBuf, Stack},
    programs::{BtfTracePoint, Iter, ProgramError, tp_btf::BtfTracePointLinkId},
};
use tracer_common::{
    call::CallShape,
    limits::THREADS,
    offsets::{ABSENT, Config, Control, Offsets},
};

use super::{
    call_table::CallTable,
    diagnostics::Diagnostics,
    hooks::{ATTACH_THREADS, HOOKS, Hook, Need},
    offsets::Types,
    reader::Reader,
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/zc-trace.bpf.o"));

/// What can be chosen before loading.
#[derive(Clone, Debug)]
pub struct Options {
    /// Trace children too.
    pub follow: bool,
    /// Size of the ring buffer in bytes: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Let the programs log their own diagnostics.
    pub debug: bool,
}

/// Why the kernel side did not come up.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No types of the kernel.
    #[error("this kernel does not publish its types ({VMLINUX}: {0})", VMLINUX = super::offsets::VMLINUX)]
    NoBtf(String),
    /// No right to load programs.
    #[error("the kernel refused to load programs: {0}")]
    NotPermitted(io::Error),
    /// A needed tracepoint does not exist.
    #[error("this kernel has no tracepoint {0}")]
    NoTracepoint(&'static str),
    /// A structure member that everything rests on does not exist.
    #[error("this kernel's types have no {0}.{1}")]
    NoMember(&'static str, &'static str),
    /// The verifier refused a program.
    #[error("the kernel's verifier refused the program {program}{}", log_note(.log))]
    Refused {
        /// Which.
        program: &'static str,
        /// Where its log was written.
        log: Option<PathBuf>,
    },
    /// A program was loaded but could not be attached.
    #[error("the program {program} could not be attached: {why}")]
    NotAttached {
        /// Which.
        program: &'static str,
        /// Why.
        why: String,
    },
    /// Anything else that aya reports.
    #[error("{0}")]
    Other(String),
}

fn log_note(log: &Option<PathBuf>) -> String {
    log.as_ref().map_or_else(String::new, |path| format!("; its log is in {}", path.display()))
}

/// The loaded kernel side.
pub struct Probe {
    ebpf: Ebpf,
    btf: Btf,
    config: Config,
    offsets: Offsets,
    missing: Vec<(&'static Hook, String)>,
    links: Vec<(&'static str, BtfTracePointLinkId)>,
}

impl Probe {
    /// Loads every program; attaches none.
    ///
    /// # Errors
    /// If a needed program or structure member is missing or refused, or rights are.
    pub fn load(options: &Options) -> Result<Self, LoadError> {
        let types = Types::of_kernel().map_err(|error| LoadError::NoBtf(error.to_string()))?;
        let offsets = types.offsets();
        check_members(&offsets)?;
        let config = Config {
            own_tgid: std::process::id(),
            follow: u32::from(options.follow),
            wake_bytes: options.ring_bytes / 4,
            debug: u32::from(options.debug),
            sched_switch_arity: types.tracepoint_arity("sched_switch").unwrap_or(3),
            storage_accounts: u32::from(has_storage_accounts(&offsets)),
        };
        let btf = Btf::from_sys_fs().map_err(|error| LoadError::NoBtf(error.to_string()))?;
        let ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .allow_unsupported_maps()
            .override_global("OFFSETS", &offsets, true)
            .override_global("CONFIG", &config, true)
            .map_max_entries("RING", options.ring_bytes)
            .load(OBJECT)
            .map_err(from_aya)?;
        let mut probe = Self { ebpf, btf, config, offsets, missing: Vec::new(), links: Vec::new() };
        probe.fill_maps()?;
        probe.load_programs(&types)?;
        Ok(probe)
    }

    fn fill_maps(&mut self) -> Result<(), LoadError> {
        let table = CallTable::native();
        let mut shapes: Array<_, CallShape> = self.map("SHAPES")?;
        for (index, shape) in table.shapes() {
            shapes.set(index, shape, 0).map_err(other)?;
        }
        let mut free: Stack<_, u32> = self.map("FREE_SLOTS")?;
        for slot in (0..THREADS).rev() {
            free.push(slot, 0).map_err(other)?;
        }
        Ok(())
    }

    fn load_programs(&mut self, types: &Types) -> Result<(), LoadError> {
        for hook in HOOKS {
            let outcome = if types.has_tracepoint(hook.name) {
                self.load_hook(hook)
            } else {
                Err(LoadError::NoTracepoint(hook.name))
            };
            match (outcome, hook.need) {
                (Err(error), Need::Required) => return Err(error),
                (Err(error), Need::Optional) => self.missing.push((hook, error.to_string())),
                (Ok(()), _) => {}
            }
        }
        let btf = &self.btf;
        let iterator: &mut Iter = program(&mut self.ebpf, ATTACH_THREADS)?;
        iterator.load("task", btf).map_err(|error| refused(ATTACH_THREADS, error))
    }

    fn load_hook(&mut self, hook: &'static Hook) -> Result<(), LoadError> {
        let btf = &self.btf;
        let program: &mut BtfTracePoint = program(&mut self.ebpf, hook.name)?;
        program.load(hook.name, btf).map_err(|error| refused(hook.name, error))
    }

    /// Attaches every program that was loaded. Nothing is traced yet: no task has a slot.
    ///
    /// # Errors
    /// If a needed one cannot be attached.
    pub fn attach(&mut self) -> Result<(), LoadError> {
        for hook in HOOKS {
            if self.missing.iter().any(|(missing, _)| missing.name == hook.name) {
                continue;
            }
            let program: &mut BtfTracePoint = program(&mut self.ebpf, hook.name)?;
            let outcome = program
                .attach()
                .map_err(|error| LoadError::NotAttached { program: hook.name, why: error.to_string() });
            match (outcome, hook.need) {
                (Err(error), Need::Required) => return Err(error),
                (Err(error), Need::Optional) => self.missing.push((hook, error.to_string())),
                (Ok(link), _) => self.links.push((hook.name, link)),
            }
        }
        Ok(())
    }

    /// Ends the trace at this moment, detaches every program, and takes the accounts of living threads a last time. What the programs
    /// have counted stays to be read.
    ///
    /// # Errors
    /// If the kernel refuses a map update or the iterator.
    pub fn detach(&mut self) -> Result<(), LoadError> {
        self.set_control(Control { spawner_tgid: 0, stopped: 1 })?;
        while let Some((name, link)) = self.links.pop() {
            let program: &mut BtfTracePoint = program(&mut self.ebpf, name)?;
            program.detach(link).map_err(other)?;
        }
        self.run_iterator()
    }

    fn set_control(&mut self, control: Control) -> Result<(), LoadError> {
        let mut map: Array<_, Control> = self.map("CONTROL")?;
        map.set(0, control, 0).map_err(other)
    }

    /// Begins to trace every thread that these processes have now.
    ///
    /// # Errors
    /// If the iterator cannot be run.
    pub fn trace_processes(&mut self, pids: &[u32]) -> Result<(), LoadError> {
        let mut targets: HashMap<_, u32, u32> = self.map("TARGETS")?;
        for pid in pids {
            targets.insert(*pid, 1, 0).map_err(other)?;
        }
        // A thread that a not yet traced thread makes during the first pass is met by the second.
        self.run_iterator()?;
        self.run_iterator()?;
        let mut targets: HashMap<_, u32, u32> = self.map("TARGETS")?;
        for pid in pids {
            let _ = targets.remove(pid);
        }
        Ok(())
    }

    fn run_iterator(&mut self) -> Result<(), LoadError> {
        let iterator: &mut Iter = program(&mut self.ebpf, ATTACH_THREADS)?;
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
        let spawner_tgid = if on { std::process::id() } else { 0 };
        self.set_control(Control { spawner_tgid, stopped: 0 })
    }

    /// Splits off what reads records and counters.
    ///
    /// # Errors
    /// If a map is missing from the object.
    pub fn reader(&mut self) -> Result<Reader, LoadError> {
        let ring = RingBuf::try_from(self.take("RING")?).map_err(other)?;
        Reader::new(self, ring)
    }

    /// Hooks that this kernel does not have or refused, with the reason.
    pub fn missing(&self) -> &[(&'static Hook, String)] {
        &self.missing
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

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| LoadError::Other(format!("the object has no program {name}")))?
        .try_into()
        .map_err(other)
}

pub(super) fn other(error: impl std::fmt::Display) -> LoadError {
    LoadError::Other(error.to_string())
}

fn from_aya(error: aya::EbpfError) -> LoadError {
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::PermissionDenied
        {
            return LoadError::NotPermitted(io::Error::from_raw_os_error(
                io.raw_os_error().unwrap_or(libc::EPERM),
            ));
        }
        source = cause.source();
    }
    LoadError::Other(chain(&error))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn refused(program: &'static str, error: ProgramError) -> LoadError {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            if io_error.kind() == io::ErrorKind::PermissionDenied && log.is_empty() {
                LoadError::NotPermitted(io_error)
            } else {
                LoadError::Refused { program, log: keep_log(program, &format!("{io_error}\n{log}")) }
            }
        }
        other => LoadError::NotAttached { program, why: other.to_string() },
    }
}

/// Writes the verifier's log where the person can find it.
fn keep_log(program: &str, log: &str) -> Option<PathBuf> {
    let file = tempfile::Builder::new()
        .prefix(&format!("zc-trace-verifier-{program}-"))
        .suffix(".log")
        .tempfile()
        .ok()?;
    let (_, path) = file.keep().ok()?;
    fs::write(&path, log).ok()?;
    Some(path)
}

fn has_storage_accounts(offsets: &Offsets) -> bool {
    offsets.task_rchar != ABSENT && offsets.task_read_bytes != ABSENT
}

/// Members without which nothing can be traced.
fn check_members(offsets: &Offsets) -> Result<(), LoadError> {
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
    let mut absent = None;
    offsets.visit(|structure, path, offset| {
        if offset == ABSENT && NEEDED.contains(&(structure, path)) {
            absent = Some((structure, path));
        }
    });
    absent.map_or(Ok(()), |(structure, path)| Err(LoadError::NoMember(structure, path)))
}
