//! Finding structure members and tracepoint arities in the kernel's BTF, by name.

use std::{collections::HashMap, path::Path};

use btf_rs::{Btf, BtfType, Type};
pub use tracer_common::offsets::{ABSENT, Config, Offsets};

use super::error::{LoadError, no_btf};

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
            None => Btf::from_file(VMLINUX).map(Self).map_err(no_btf),
        }
    }

    fn of_file(file: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
        if bytes.starts_with(b"\x7fELF") {
            return Err("it is an ELF file, not raw BTF".to_owned());
        }
        let types = Self(Btf::from_bytes(&bytes).map_err(|error| error.to_string())?);
        match types.offset("task_struct", "pid") {
            Some(_) => Ok(types),
            None => Err("it is BTF without struct task_struct".to_owned()),
        }
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
    fn enumerators(&self) -> HashMap<String, u32> {
        let mut values = HashMap::new();
        for name in ["", "req_op", "req_flag_bits"] {
            for kind in self.0.resolve_types_by_name(name).unwrap_or_default() {
                let Type::Enum(kind) = kind else { continue };
                for member in &kind.members {
                    values.insert(self.0.resolve_name(member).unwrap_or_default(), member.val());
                }
            }
        }
        values
    }

    /// Byte offset of a dotted path of members, looking through anonymous structures and unions.
    pub fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        let mut types = self.0.resolve_types_by_name(structure).ok()?;
        // A forward declaration may carry the same name.
        types.retain(|found| matches!(found, Type::Struct(_) | Type::Union(_)));
        let mut holder = types.into_iter().next()?;
        let mut bytes = 0;
        for name in path.split('.') {
            let (offset, inner) = self.member(&holder, name)?;
            bytes += offset;
            holder = inner;
        }
        Some(bytes)
    }

    fn member(&self, holder: &Type, name: &str) -> Option<(u32, Type)> {
        let (Type::Struct(holder) | Type::Union(holder)) = holder else { return None };
        for member in &holder.members {
            let own = self.0.resolve_name(member).unwrap_or_default();
            if own != name && !own.is_empty() {
                continue;
            }
            let inner = self.plain(self.0.resolve_chained_type(member).ok()?)?;
            let offset = member.bit_offset() / 8;
            if own == name {
                return Some((offset, inner));
            }
            if let Some((further, found)) = self.member(&inner, name) {
                return Some((offset + further, found));
            }
        }
        None
    }

    /// The value of an enumerator.
    pub fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        let types = self.0.resolve_types_by_name(enumeration).ok()?;
        let found = types.into_iter().find_map(|found| match found {
            Type::Enum(found) => Some(found),
            _ => None,
        })?;
        let named = |member: &&btf_rs::EnumMember| self.0.resolve_name(*member).is_ok_and(|own| own == name);
        found.members.iter().find(named).map(btf_rs::EnumMember::val)
    }

    /// Whether the kernel has a function of that name that programs may know the type of.
    pub fn has_function(&self, name: &str) -> bool {
        let types = self.0.resolve_types_by_name(name).unwrap_or_default();
        types.iter().any(|found| matches!(found, Type::Func(_)))
    }

    /// A bit for each kind of iterator over user memory (include/linux/uio.h).
    pub fn user_iterators(&self) -> u32 {
        let kinds = ["ITER_IOVEC", "ITER_UBUF"].into_iter();
        let values = kinds.filter_map(|name| self.enumerator("iter_type", name));
        values.filter(|value| *value < u32::BITS).fold(0, |bits, value| bits | 1 << value)
    }

    /// Strips const, volatile and typedef.
    fn plain(&self, mut found: Type) -> Option<Type> {
        while let Type::Const(_) | Type::Volatile(_) | Type::Typedef(_) | Type::TypeTag(_) = found {
            let qualified: &dyn BtfType = found.as_btf_type()?;
            found = self.0.resolve_chained_type(qualified).ok()?;
        }
        Some(found)
    }

    /// Whether the kernel has this tracepoint in typed form.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.tracepoint_arity(name).is_some()
    }

    /// Number of arguments of a typed tracepoint.
    pub fn tracepoint_arity(&self, name: &str) -> Option<u32> {
        let types = self.0.resolve_types_by_name(&format!("btf_trace_{name}")).ok()?;
        let typedef = types.into_iter().find(|found| matches!(found, Type::Typedef(_)))?;
        let pointer = self.0.resolve_chained_type(typedef.as_btf_type()?).ok()?;
        let Type::FuncProto(function) = self.0.resolve_chained_type(pointer.as_btf_type()?).ok()? else {
            return None;
        };
        // The first parameter is the probe's own `void *data`.
        u32::try_from(function.parameters.len()).ok()?.checked_sub(1)
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
