//! Loading programs, all at once; attaching and detaching one, in either form.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, FExit, Iter, Program, ProgramError, RawTracePoint, fexit::FExitLinkId,
        raw_trace_point::RawTracePointLinkId, tp_btf::BtfTracePointLinkId,
    },
};

use super::{
    error::{LoadError, is_interrupted, not_attached, other, too_few_descriptors},
    form::Form,
};

/// An attached program.
pub(super) enum Link {
    Typed(BtfTracePointLinkId),
    Raw(RawTracePointLinkId),
    Return(FExitLinkId),
}

/// What a program is loaded for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// The tracepoint of its name, typed.
    Typed,
    /// A tracepoint, untyped: which one is told when it is attached.
    Raw,
    /// The return of this function.
    Return(&'static str),
    /// An iterator over objects of this kind.
    Iterator(&'static str),
}

/// How often a program is loaded anew when a stop (Ctrl-Z) or a signal that is caught (Ctrl-C) interrupts the verifier.
const MOST_INTERRUPTIONS: usize = 100;

impl Target {
    fn load(self, program: &mut Program, name: &str, btf: Option<&Btf>) -> Result<(), ProgramError> {
        let mut outcome = self.load_once(program, name, btf);
        for _ in 0..MOST_INTERRUPTIONS {
            if !outcome.as_ref().is_err_and(is_interrupted) {
                break;
            }
            outcome = self.load_once(program, name, btf);
        }
        outcome
    }

    fn load_once(self, program: &mut Program, name: &str, btf: Option<&Btf>) -> Result<(), ProgramError> {
        let btf = btf.ok_or(ProgramError::UnexpectedProgramType);
        match self {
            Self::Typed => <&mut BtfTracePoint>::try_from(program)?.load(name, btf?),
            Self::Raw => <&mut RawTracePoint>::try_from(program)?.load(),
            Self::Return(function) => <&mut FExit>::try_from(program)?.load(function, btf?),
            Self::Iterator(kind) => <&mut Iter>::try_from(program)?.load(kind, btf?),
        }
    }
}

/// More threads gain nothing: one of the programs takes longer than all others together.
const MOST_LOADERS: usize = 4;

/// Loads the programs of these names: the first one alone, and only if that succeeds the others. Of those the last ones are
/// begun with, so they should be those that take longest: the kernel verifies each on the CPU that asks (kernel/bpf/verifier.c,
/// `bpf_check`, takes its lock only for those without rights), so several are loaded at a time, and `beside` is done meanwhile.
/// What the object does not have is not in the answer, nor what is left when there are no more descriptors.
pub(super) fn load_all(
    ebpf: &mut Ebpf,
    targets: &[(&'static str, Target)],
    btf: Option<&Btf>,
    beside: impl FnOnce() + Send,
) -> BTreeMap<&'static str, Result<(), ProgramError>> {
    let mut jobs: Vec<_> = ebpf
        .programs_mut()
        .filter_map(|(name, program)| {
            let place = targets.iter().position(|(wanted, _)| *wanted == name)?;
            Some((place, program))
        })
        .collect();
    jobs.sort_by_key(|(place, _)| *place);
    let mut outcomes = BTreeMap::new();
    if let Some((first, program)) = jobs.first_mut()
        && let Some((name, target)) = targets.get(*first)
    {
        let outcome = target.load(program, name, btf);
        let failed = outcome.is_err();
        outcomes.insert(*name, outcome);
        if failed {
            return outcomes;
        }
        jobs.remove(0);
    }
    let loaders = thread::available_parallelism().map_or(1, usize::from).min(MOST_LOADERS);
    let (jobs, outcomes, beside) = (Mutex::new(jobs), Mutex::new(outcomes), Mutex::new(Some(beside)));
    let work = || {
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((place, program)) = job else { break };
            let (name, target) = targets[place];
            let outcome = target.load(program, name, btf);
            if outcome.as_ref().is_err_and(lacks_descriptors) {
                jobs.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).insert(name, outcome);
        }
        let beside = beside.lock().unwrap_or_else(PoisonError::into_inner).take();
        beside.into_iter().for_each(|beside| beside());
    };
    thread::scope(|scope| {
        for _ in 1..loaders {
            // There may be none: in a PID namespace that is to have its first process yet, and at a limit of threads.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a program was not loaded because this process, or the machine, has no more descriptors.
pub(super) fn lacks_descriptors(error: &ProgramError) -> bool {
    too_few_descriptors(error).is_some()
}

/// Attaches it there. A function may be one that cannot be traced though its type is known: only this tells.
pub(super) fn attach_return(ebpf: &mut Ebpf, name: &'static str) -> Result<Link, LoadError> {
    let outcome = named::<FExit>(ebpf, name)?.attach().map(Link::Return);
    outcome.map_err(|error| not_attached(name, &error))
}

/// Attaches it to a tracepoint; a typed one knows its own.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    name: &'static str,
    tracepoint: &'static str,
    form: Form,
) -> Result<Link, LoadError> {
    let outcome = match form {
        Form::Typed => named::<BtfTracePoint>(ebpf, name)?.attach().map(Link::Typed),
        Form::Raw => named::<RawTracePoint>(ebpf, name)?.attach(tracepoint).map(Link::Raw),
    };
    outcome.map_err(|error| not_attached(name, &error))
}

/// Detaches it.
pub(super) fn detach(ebpf: &mut Ebpf, name: &'static str, link: Link) -> Result<(), LoadError> {
    let outcome = match link {
        Link::Typed(link) => named::<BtfTracePoint>(ebpf, name)?.detach(link),
        Link::Return(link) => named::<FExit>(ebpf, name)?.detach(link),
        Link::Raw(link) => named::<RawTracePoint>(ebpf, name)?.detach(link),
    };
    outcome.map_err(other)
}

/// A program of the object.
pub(super) fn named<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| LoadError::Other(format!("the object has no program {name}")))?
        .try_into()
        .map_err(other)
}
