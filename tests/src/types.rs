//! The kernel's types (BTF), falsified: what a file of another kernel is, or one that somebody has tampered with.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::skip;

/// Where the kernel publishes its types.
pub const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// `BTF_KIND_STRUCT` (include/uapi/linux/btf.h, as all numbers here).
const STRUCT: u32 = 4;

/// The kernel's own types, but with that member of that structure at that byte.
pub fn with_member_at(structure: &str, member: &str, byte: u32) -> Result<Vec<u8>> {
    let Ok(types) = fs::read(TYPES) else { skip!("this kernel publishes no types") };
    let mut types = Types::new(types)?;
    let mut moved = 0;
    let mut at = types.first;
    while at < types.end {
        let (name, info) = (types.word(at)?, types.word(at + 4)?);
        let (kind, count) = ((info >> 24) & 0x1f, info & 0xffff);
        if kind == STRUCT && types.name(name)? == structure.as_bytes() {
            for index in 0..count as usize {
                // Three words: name, type, and the offset in bits, below the width of a bit field.
                let entry = at + 12 + 12 * index;
                if types.name(types.word(entry)?)? == member.as_bytes() {
                    let width = types.word(entry + 8)? & 0xff00_0000;
                    types.set_word(entry + 8, width | (byte * 8))?;
                    moved += 1;
                }
            }
        }
        at += 12 + size_behind(kind, count as usize);
    }
    ensure!(moved > 0, "this kernel has no {structure}.{member}");
    Ok(types.bytes)
}

struct Types {
    bytes: Vec<u8>,
    first: usize,
    end: usize,
    names: usize,
}

impl Types {
    fn new(bytes: Vec<u8>) -> Result<Self> {
        let mut types = Self { bytes, first: 0, end: 0, names: 0 };
        // struct btf_header: magic, version, flags, hdr_len, type_off, type_len, str_off.
        let [header, first, length, names] =
            [4, 8, 12, 16].map(|at| types.word(at).map(|word| word as usize));
        let header = header?;
        types.first = header + first?;
        types.end = types.first + length?;
        types.names = header + names?;
        Ok(types)
    }

    fn word(&self, at: usize) -> Result<u32> {
        let bytes = self.bytes.get(at..at + 4).context("the types end early")?;
        Ok(u32::from_ne_bytes(bytes.try_into()?))
    }

    fn set_word(&mut self, at: usize, word: u32) -> Result<()> {
        let bytes = self.bytes.get_mut(at..at + 4).context("the types end early")?;
        bytes.copy_from_slice(&word.to_ne_bytes());
        Ok(())
    }

    fn name(&self, offset: u32) -> Result<&[u8]> {
        let rest = self.bytes.get(self.names + offset as usize..).context("a name behind the end")?;
        rest.split(|byte| *byte == 0).next().context("no name")
    }
}

/// Bytes that follow the three words of a type of that kind with so many parts.
fn size_behind(kind: u32, count: usize) -> usize {
    match kind {
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => 12 * count,
        // ENUM, FUNC_PROTO
        6 | 13 => 8 * count,
        _ => 0,
    }
}
