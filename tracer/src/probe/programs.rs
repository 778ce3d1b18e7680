//! Loading, attaching and detaching one program, in either form.

use aya::{
    Btf, Ebpf,
    programs::{
        BtfTracePoint, FExit, ProgramError, RawTracePoint, fexit::FExitLinkId,
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

/// Loads it: typed if there are types to check it against.
pub(super) fn load(ebpf: &mut Ebpf, name: &'static str, btf: Option<&Btf>) -> Result<(), LoadError> {
    let outcome = match btf {
        Some(btf) => named::<BtfTracePoint>(ebpf, name)?.load(name, btf),
        None => named::<RawTracePoint>(ebpf, name)?.load(),
    };
    outcome.map_err(|error| refused(name, error))
}

/// Loads it for the return of a function.
pub(super) fn load_return(
    ebpf: &mut Ebpf,
    name: &'static str,
    function: &'static str,
    btf: &Btf,
) -> Result<(), LoadError> {
    named::<FExit>(ebpf, name)?.load(function, btf).map_err(|error| refused(name, error))
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
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or_else(|| LoadError::Other(format!("the object has no program {name}")))?
        .try_into()
        .map_err(other)
}
