//! The kernel's types as it publishes them (Documentation/bpf/btf.rst): read where they lie.
//!
//! A kernel has some 100,000 types, and less than a hundred are asked for. So nothing is taken apart but what is asked for: all
//! that is made of them is a list of where each begins, and an index of names.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Kinds of types (include/uapi/linux/btf.h).
pub(super) mod kind {
    pub(crate) const INT: u32 = 1;
    pub(crate) const ARRAY: u32 = 3;
    pub(crate) const STRUCT: u32 = 4;
    pub(crate) const UNION: u32 = 5;
    pub(crate) const ENUM: u32 = 6;
    pub(crate) const FWD: u32 = 7;
    pub(crate) const TYPEDEF: u32 = 8;
    pub(crate) const VOLATILE: u32 = 9;
    pub(crate) const CONST: u32 = 10;
    pub(crate) const RESTRICT: u32 = 11;
    pub(crate) const FUNC: u32 = 12;
    pub(crate) const FUNC_PROTO: u32 = 13;
    pub(crate) const VAR: u32 = 14;
    pub(crate) const DATASEC: u32 = 15;
    pub(crate) const DECL_TAG: u32 = 17;
    pub(crate) const TYPE_TAG: u32 = 18;
    pub(crate) const ENUM64: u32 = 19;
}

/// In the byte order of this machine, as a running kernel has it.
const MAGIC: u16 = 0xeb9f;
/// Of the header, as far as it is read here, and of what every type begins with, bytes.
const HEADER: usize = 24;
const TYPE: usize = 12;

/// The number of a type; `void` is 0.
pub(super) type Id = u32;

/// All types.
pub(super) struct Btf {
    bytes: Vec<u8>,
    /// Where the names begin.
    strings: usize,
    /// Where each type begins: that of number 1 first.
    starts: Vec<u32>,
    by_name: HashTable<Id>,
}

/// A member of a structure or union.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    /// Empty if it is an anonymous structure or union.
    pub(super) name: &'a [u8],
    pub(super) of: Id,
    pub(super) byte_offset: u32,
}

impl Btf {
    /// From raw BTF; why not, if it is none.
    pub(super) fn of(bytes: Vec<u8>) -> Result<Self, &'static str> {
        let cut_off = "it is BTF that was cut off";
        if half(&bytes, 0) != Some(MAGIC) {
            return Err("it is no raw BTF of this machine's byte order");
        }
        let field = |at| word(&bytes, at).map(|value| value as usize).ok_or(cut_off);
        let (header, types, types_length) = (field(4)?, field(8)?, field(12)?);
        let (strings, strings_length) = (field(16)?, field(20)?);
        if header < HEADER {
            return Err("it is BTF with a header that is too short");
        }
        let end = header.saturating_add(types).saturating_add(types_length);
        let strings = header.saturating_add(strings);
        if end.max(strings.saturating_add(strings_length)) > bytes.len() {
            return Err(cut_off);
        }
        let starts = starts(&bytes, header.saturating_add(types), end)
            .ok_or("it is BTF with types of an unknown kind")?;
        let mut btf = Self { bytes, strings, by_name: HashTable::with_capacity(starts.len()), starts };
        let mut by_name = std::mem::take(&mut btf.by_name);
        for id in btf.ids() {
            let name = btf.name(id);
            if !name.is_empty() {
                by_name.insert_unique(hash(name), id, |id| hash(btf.name(*id)));
            }
        }
        btf.by_name = by_name;
        Ok(btf)
    }

    /// The numbers of all types but `void`.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        // A type takes at least twelve bytes of a file whose offsets are 32 bits wide.
        1..=self.starts.len() as Id
    }

    /// The types of that name, in their order.
    pub(super) fn named(&self, name: &str) -> Vec<Id> {
        let alike = self.by_name.iter_hash(hash(name.as_bytes())).copied();
        let mut ids: Vec<Id> = alike.filter(|id| self.name(*id) == name.as_bytes()).collect();
        ids.sort_unstable();
        ids
    }

    /// The first type of that name that is of one of these kinds: others (a forward declaration) may carry it too.
    pub(super) fn find(&self, name: &str, kinds: &[u32]) -> Option<Id> {
        self.named(name).into_iter().find(|id| kinds.contains(&self.kind(*id)))
    }

    /// One of [`kind`]; 0 for `void`, and for a number that no type has.
    pub(super) fn kind(&self, id: Id) -> u32 {
        kind_of(self.info(id))
    }

    /// Its name, empty if it has none.
    pub(super) fn name(&self, id: Id) -> &[u8] {
        self.start(id).and_then(|at| word(&self.bytes, at)).map_or(&[], |offset| self.string(offset))
    }

    /// The type that a pointer, qualifier or typedef refers to.
    pub(super) fn target(&self, id: Id) -> Id {
        self.start(id).and_then(|at| word(&self.bytes, at + 8)).unwrap_or(0)
    }

    /// Strips const, volatile, restrict, tags and typedefs.
    pub(super) fn plain(&self, mut id: Id) -> Id {
        use kind::{CONST, RESTRICT, TYPE_TAG, TYPEDEF, VOLATILE};
        // Longer chains there are none; a circle would be one.
        for _ in 0..64 {
            match self.kind(id) {
                CONST | VOLATILE | RESTRICT | TYPE_TAG | TYPEDEF => id = self.target(id),
                _ => break,
            }
        }
        id
    }

    /// How many parameters, members or enumerators it has.
    pub(super) fn count(&self, id: Id) -> u32 {
        self.info(id) & 0xffff
    }

    /// Kind, number of entries, and whether there are bit fields.
    fn info(&self, id: Id) -> u32 {
        self.start(id).and_then(|at| word(&self.bytes, at + 4)).unwrap_or(0)
    }

    /// The members of a structure or union.
    pub(super) fn members(&self, id: Id) -> impl Iterator<Item = Member<'_>> {
        let width = if matches!(self.kind(id), kind::STRUCT | kind::UNION) { 12 } else { 0 };
        // With bit fields their widths lie above the offset.
        let has_bit_fields = self.info(id) >> 31 != 0;
        let bits = if has_bit_fields { 0x00ff_ffff } else { u32::MAX };
        self.entries(id, width).filter_map(move |at| {
            let name = self.string(word(&self.bytes, at)?);
            let byte_offset = (word(&self.bytes, at + 8)? & bits) / 8;
            Some(Member { name, of: word(&self.bytes, at + 4)?, byte_offset })
        })
    }

    /// The enumerators of an enumeration, with the low 32 bits of their values.
    pub(super) fn enumerators(&self, id: Id) -> impl Iterator<Item = (&[u8], u32)> {
        let width = match self.kind(id) {
            kind::ENUM => 8,
            kind::ENUM64 => 12,
            _ => 0,
        };
        self.entries(id, width)
            .filter_map(|at| Some((self.string(word(&self.bytes, at)?), word(&self.bytes, at + 4)?)))
    }

    /// Where its entries of so many bytes begin; none if these are no bytes at all.
    fn entries(&self, id: Id, width: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.start(id).filter(|_| width != 0).map(|at| at + TYPE);
        let count = self.count(id) as usize;
        first.into_iter().flat_map(move |first| (0..count).map(move |number| first + number * width))
    }

    /// BTF with these types alone, of the same numbers: the others are declarations without a name. For a loader that only asks
    /// for numbers, and would take all others apart.
    pub(super) fn only(&self, wanted: &[Id]) -> Vec<u8> {
        let last = wanted.iter().copied().max().unwrap_or(0);
        let (mut types, mut strings) = (Vec::with_capacity(last as usize * TYPE), vec![0_u8]);
        for id in 1..=last {
            let is_wanted = wanted.contains(&id);
            let name = if is_wanted { strings.len() as u32 } else { 0 };
            if is_wanted {
                strings.extend_from_slice(self.name(id));
                strings.push(0);
            }
            let (info, target) =
                if is_wanted { (self.kind(id) << 24, self.target(id)) } else { (kind::FWD << 24, 0) };
            [name, info, target].iter().for_each(|field| types.extend_from_slice(&field.to_ne_bytes()));
        }
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&[1, 0]);
        let (types_length, strings_length) = (types.len() as u32, strings.len() as u32);
        for field in [HEADER as u32, 0, types_length, types_length, strings_length] {
            bytes.extend_from_slice(&field.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    fn start(&self, id: Id) -> Option<usize> {
        self.starts.get((id as usize).checked_sub(1)?).map(|at| *at as usize)
    }

    fn string(&self, offset: u32) -> &[u8] {
        let rest = self.bytes.get(self.strings.saturating_add(offset as usize)..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

fn hash(name: &[u8]) -> u64 {
    FixedState::default().hash_one(name)
}

fn kind_of(info: u32) -> u32 {
    info >> 24 & 0x1f
}

/// Where each type begins between `at` and `end`; nothing if that cannot be told.
fn starts(bytes: &[u8], mut at: usize, end: usize) -> Option<Vec<u32>> {
    use kind::{ARRAY, DATASEC, DECL_TAG, ENUM, ENUM64, FUNC_PROTO, INT, STRUCT, UNION, VAR};
    let mut starts = Vec::with_capacity(end.saturating_sub(at) / 24);
    while at < end {
        starts.push(u32::try_from(at).ok()?);
        let info = word(bytes, at + 4)?;
        let count = (info & 0xffff) as usize;
        let more = match kind_of(info) {
            INT | VAR | DECL_TAG => 4,
            ARRAY => 12,
            STRUCT | UNION | DATASEC | ENUM64 => count * 12,
            ENUM | FUNC_PROTO => count * 8,
            // Pointers, qualifiers, typedefs, functions, declarations, floats.
            2 | 7..=12 | 16 | 18 => 0,
            _ => return None,
        };
        at += TYPE + more;
    }
    (at == end).then_some(starts)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct s { int a; union { int b; }; } ; typedef struct s t; enum e { ONE = 1 }; enum { TWO = 2 };`
    fn small() -> Vec<u8> {
        let names = b"\0int\0s\0a\0b\0t\0e\0ONE\0TWO\0";
        let types: Vec<u32> = [
            [1, kind::INT << 24, 4].as_slice(),
            &[32],
            &[5, kind::STRUCT << 24 | 2, 8, 7, 1, 0, 0, 3, 32],
            &[0, kind::UNION << 24 | 1, 4, 9, 1, 0],
            &[11, kind::TYPEDEF << 24, 2],
            &[13, kind::ENUM << 24 | 1, 4, 15, 1],
            &[0, kind::ENUM << 24 | 1, 4, 19, 2],
        ]
        .concat();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let length = types.len() as u32 * 4;
        let fields = [24, 0, length, length, names.len() as u32];
        fields.iter().chain(&types).for_each(|field| bytes.extend(field.to_ne_bytes()));
        bytes.extend(names);
        bytes
    }

    #[test]
    fn types_are_found_by_name_and_taken_apart() {
        let btf = Btf::of(small()).unwrap();
        assert_eq!(btf.ids().count(), 6);
        let found = btf.find("s", &[kind::STRUCT]).unwrap();
        let members: Vec<_> =
            btf.members(found).map(|member| (member.name, member.of, member.byte_offset)).collect();
        assert_eq!(members, [(b"a".as_slice(), 1, 0), (b"".as_slice(), 3, 4)]);
        assert_eq!(btf.plain(btf.find("t", &[kind::TYPEDEF]).unwrap()), found);
        assert_eq!(btf.find("t", &[kind::STRUCT]), None);
        let values = btf.ids().flat_map(|id| btf.enumerators(id)).collect::<Vec<_>>();
        assert_eq!(values, [(b"ONE".as_slice(), 1), (b"TWO".as_slice(), 2)]);
    }

    #[test]
    fn what_is_left_of_the_others_is_their_number() {
        let whole = Btf::of(small()).unwrap();
        let typedef = whole.find("t", &[kind::TYPEDEF]).unwrap();
        let part = Btf::of(whole.only(&[typedef])).unwrap();
        assert_eq!(
            (part.find("t", &[kind::TYPEDEF]), part.find("s", &[kind::STRUCT])),
            (Some(typedef), None)
        );
        assert_eq!(part.ids().count(), 4);
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_refused() {
        let whole = small();
        for length in 0..whole.len() {
            assert!(Btf::of(whole[..length].to_vec()).is_err(), "{length}");
        }
        let mut unknown = whole;
        unknown[24 + 7] = 31;
        assert!(Btf::of(unknown).is_err());
    }

    #[test]
    fn a_circle_of_typedefs_ends() {
        let mut bytes = small();
        // The typedef means itself.
        let at = 24 + (4 + 9 + 6) * 4 + 8;
        bytes[at..at + 4].copy_from_slice(&4_u32.to_ne_bytes());
        let btf = Btf::of(bytes).unwrap();
        assert_eq!(btf.plain(4), 4);
    }
}
