//! Loading, attaching and detaching one program, in either form.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    thread::{self, available_parallelism},
};

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, FExit, Program, ProgramError, RawTracePoint, fexit::FExitLinkId,
        raw_trace_point::RawTracePointLinkId, tp_btf::BtfTracePointLinkId,
    },
};

use super::{
    error::{LoadError, not_attached, other, refused},
    form::Form,
};

/// An attached program.
pub(super) enum Link {
    Typed(BtfTracePointLinkId),
    Raw(RawTracePointLinkId),
    Return(FExitLinkId),
}

/// A program to be loaded.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) name: &'static str,
    /// The function at whose return it hooks in; without one it is for the tracepoint of its name.
    pub(super) function: Option<&'static str>,
}

/// Loads programs, typed if there are types to check them against; how each went, in no order. The verifier walks through
/// several at a time: that is most of the time that zc-trace takes to start.
pub(super) fn load_all(
    ebpf: &mut Ebpf,
    wanted: &[Wanted],
    btf: Option<&Btf>,
) -> Vec<(&'static str, Result<(), LoadError>)> {
    let mut programs: HashMap<String, &mut Program> =
        ebpf.programs_mut().map(|(name, program)| (name.to_owned(), program)).collect();
    // The calls stand last in the list of hooks and take longest: they are the first that are taken.
    let queue = wanted.iter().map(|wanted| (*wanted, programs.remove(wanted.name))).collect::<Vec<_>>();
    let (queue, done) = (Mutex::new(queue), Mutex::new(Vec::with_capacity(wanted.len())));
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((wanted, program)) = next else { break };
            let outcome =
                program.ok_or_else(|| absent(wanted.name)).and_then(|program| load(program, wanted, btf));
            done.lock().unwrap_or_else(PoisonError::into_inner).push((wanted.name, outcome));
        }
    };
    let others = available_parallelism().map_or(0, |cpus| cpus.get() - 1).min(MOST_OTHERS);
    thread::scope(|scope| {
        // Where there is no thread to be had, this one does it all.
        let _others: Vec<_> =
            (0..others).map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        work();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Threads besides this one that have programs verified.
const MOST_OTHERS: usize = 3;

/// Loads one.
pub(super) fn load(program: &mut Program, wanted: Wanted, btf: Option<&Btf>) -> Result<(), LoadError> {
    let Wanted { name, function } = wanted;
    let outcome = match (function, btf) {
        (Some(function), Some(btf)) => kind::<FExit>(program)?.load(function, btf),
        (Some(_), None) => return Err(LoadError::NoFunction(name)),
        (None, Some(btf)) => kind::<BtfTracePoint>(program)?.load(name, btf),
        (None, None) => kind::<RawTracePoint>(program)?.load(),
    };
    outcome.map_err(|error| refused(name, error))
}

fn kind<'a, P>(program: &'a mut Program) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    program.try_into().map_err(other)
}

fn absent(name: &str) -> LoadError {
    LoadError::Other(format!("the object has no program {name}"))
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
    kind(ebpf.program_mut(name).ok_or_else(|| absent(name))?)
}
