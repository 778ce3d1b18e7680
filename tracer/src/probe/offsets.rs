//! Finding structure members and tracepoint arities in the kernel's BTF, by name.

use std::{collections::HashMap, path::Path};

pub use tracer_common::offsets::{ABSENT, Config, Offsets};

use super::{
    btf::{Btf, Id, kind},
    error::{LoadError, no_btf},
    hooks::{HOOKS, Place},
};

/// Where the kernel publishes its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The kernel's types.
pub struct Types(Btf);

impl Types {
    /// Reads them from a file, or asks the running kernel.
    ///
    /// # Errors
    /// If the kernel publishes none (`CONFIG_DEBUG_INFO_BTF` off), or the file holds none.
    pub fn find(file: Option<&Path>) -> Result<Self, LoadError> {
        match file {
            Some(file) => {
                Self::of_file(file).map_err(|why| LoadError::NoTypes { path: file.to_owned(), why })
            }
            None => {
                let bytes = std::fs::read(VMLINUX).map_err(no_btf)?;
                Btf::of(bytes).map(Self).map_err(|why| LoadError::NoBtf(why.to_owned()))
            }
        }
    }

    fn of_file(file: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
        if bytes.starts_with(b"\x7fELF") {
            return Err("it is an ELF file, not raw BTF".to_owned());
        }
        let types = Self(Btf::of(bytes)?);
        match types.offset("task_struct", "pid") {
            Some(_) => Ok(types),
            None => Err("it is BTF without struct task_struct".to_owned()),
        }
    }

    /// As the loader takes them: what hooks attach to alone, since it takes all that it is given apart.
    ///
    /// # Errors
    /// If it refuses them.
    pub(super) fn for_loader(&self) -> Result<aya::Btf, LoadError> {
        let tracepoint = |name: &str| self.0.find(&format!("btf_trace_{name}"), &[kind::TYPEDEF]);
        let function = |name: &str| self.0.find(name, &[kind::FUNC]);
        let mut wanted: Vec<Id> = HOOKS
            .iter()
            .flat_map(|hook| match hook.place {
                Place::Tracepoint => vec![tracepoint(hook.name)],
                Place::Return(functions) => functions.iter().map(|name| function(name)).collect(),
            })
            .flatten()
            .collect();
        wanted.extend(function("bpf_iter_task"));
        aya::Btf::parse(&self.0.only(&wanted), aya::Endianness::default()).map_err(no_btf)
    }

    /// Every member that the programs read, and every enumerator that they know by value.
    pub fn offsets(&self) -> Offsets {
        let enumerators = self.enumerators();
        Offsets::resolve(|structure, path| match structure {
            "enum" => enumerators.get(path).copied(),
            _ => self.offset(structure, path),
        })
    }

    /// The values of those enumerators that [`Offsets`] asks for. The enumeration of the flags of a `struct bio` has no name.
    fn enumerators(&self) -> HashMap<&str, u32> {
        let nameless =
            self.0.ids().filter(|id| self.0.kind(*id) == kind::ENUM && self.0.name(*id).is_empty());
        let named = ["req_op", "req_flag_bits"].into_iter().flat_map(|name| self.0.named(name));
        let enumerators = nameless.chain(named).flat_map(|id| self.0.enumerators(id));
        enumerators.filter_map(|(name, value)| Some((str::from_utf8(name).ok()?, value))).collect()
    }

    /// Byte offset of a dotted path of members, looking through anonymous structures and unions.
    pub fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        // A forward declaration may carry the same name.
        let mut holder = self.0.find(structure, &[kind::STRUCT, kind::UNION])?;
        let mut bytes = 0;
        for name in path.split('.') {
            let (offset, inner) = self.member(holder, name.as_bytes(), 0)?;
            bytes += offset;
            holder = inner;
        }
        Some(bytes)
    }

    fn member(&self, holder: Id, name: &[u8], depth: u32) -> Option<(u32, Id)> {
        /// Anonymous structures are nested a few levels; a file that nests them in a circle must not take for ever.
        const DEEPEST: u32 = 16;
        for member in self.0.members(holder) {
            if member.name != name && !member.name.is_empty() {
                continue;
            }
            let inner = self.0.plain(member.of);
            if member.name == name {
                return Some((member.byte_offset, inner));
            }
            if depth < DEEPEST
                && let Some((further, found)) = self.member(inner, name, depth + 1)
            {
                return Some((member.byte_offset + further, found));
            }
        }
        None
    }

    /// The value of an enumerator.
    pub fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        let found = self.0.find(enumeration, &[kind::ENUM])?;
        self.0.enumerators(found).find(|(own, _)| *own == name.as_bytes()).map(|(_, value)| value)
    }

    /// Whether the kernel has a function of that name that programs may know the type of.
    pub fn has_function(&self, name: &str) -> bool {
        self.0.find(name, &[kind::FUNC]).is_some()
    }

    /// A bit for each kind of iterator over user memory (include/linux/uio.h).
    pub fn user_iterators(&self) -> u32 {
        let kinds = ["ITER_IOVEC", "ITER_UBUF"].into_iter();
        let values = kinds.filter_map(|name| self.enumerator("iter_type", name));
        values.filter(|value| *value < u32::BITS).fold(0, |bits, value| bits | 1 << value)
    }

    /// Whether the kernel has this tracepoint in typed form.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.tracepoint_arity(name).is_some()
    }

    /// Number of arguments of a typed tracepoint.
    pub fn tracepoint_arity(&self, name: &str) -> Option<u32> {
        let typedef = self.0.find(&format!("btf_trace_{name}"), &[kind::TYPEDEF])?;
        // A pointer to a function.
        let function = self.0.target(self.0.target(typedef));
        if self.0.kind(function) != kind::FUNC_PROTO {
            return None;
        }
        // The first parameter is the probe's own `void *data`.
        self.0.count(function).checked_sub(1)
    }
}

/// How the tracepoints of io_uring pass what they tell.
#[derive(Clone, Copy, Debug)]
pub struct Uring {
    /// Number of arguments of `io_uring_complete`; 0 if it is absent or of a form that is not known.
    pub complete_arity: u32,
    /// Which argument of the tracepoint of a submission is the request.
    pub submit_request: u32,
    /// Which argument of `io_uring_queue_async_work` is the request.
    pub queue_request: u32,
}

impl Uring {
    /// As these types have it.
    pub fn of(types: &Types) -> Self {
        let arity = |name| types.tracepoint_arity(name).unwrap_or(0);
        // Linux 5.15 passes no request (4 arguments), 5.17 passes ring, request, user data, result and flags, 5.19 two
        // more, and 6.16 ring, request and completion.
        let complete_arity = match arity("io_uring_complete") {
            known @ (3 | 5 | 7) if types.offset("io_kiocb", "opcode").is_some() => known,
            _ => 0,
        };
        // Since Linux 6.0 the request comes first, with at most one argument more; before, the ring did.
        let request = |arity: u32| u32::from(arity > 2);
        Self {
            complete_arity,
            submit_request: request(arity("io_uring_submit_req").max(arity("io_uring_submit_sqe"))),
            queue_request: request(arity("io_uring_queue_async_work")),
        }
    }

    /// Whether requests can be traced.
    pub fn is_known(self) -> bool {
        self.complete_arity != 0
    }
}
