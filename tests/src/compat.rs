//! 32-bit calls from a 64-bit program, by `int 0x80`, and memory where 32 bits reach. x86-64 only. Where the kernel has no
//! 32-bit calls, the first one ends the program by a signal.

use std::{arch::asm, io, ptr};

use anyhow::{Context as _, Result, ensure};

/// One 32-bit call with up to five arguments.
pub fn call(number: u64, arguments: [u64; 5]) -> io::Result<usize> {
    let [first, second, third, fourth, fifth] = arguments;
    let mut result = number.cast_signed();
    // SAFETY: follows the convention of 32-bit Linux calls; rbx, which asm! may not name, is restored. What the arguments
    // point to is the callers' part.
    unsafe {
        asm!(
            "xchg {first}, rbx",
            "int 0x80",
            "xchg {first}, rbx",
            first = inout(reg) first => _,
            inlateout("rax") result,
            in("rcx") second,
            in("rdx") third,
            in("rsi") fourth,
            in("rdi") fifth,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // A 32-bit call returns 32 bits.
    let result = result as i32;
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// Memory where 32 bits reach, handed out piece by piece and kept to the end of the program.
pub struct Arena {
    start: usize,
    next: usize,
    end: usize,
}

impl Arena {
    /// That many bytes, all zero.
    pub fn new(bytes: usize) -> Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        ensure!(start != libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
        let start = start as usize;
        Ok(Self { start, next: start, end: start + bytes })
    }

    /// A piece of it.
    pub fn bytes(&mut self, length: usize) -> Result<&'static mut [u8]> {
        let start = self.next;
        self.next = start.checked_add(length.next_multiple_of(16)).context("no such length")?;
        ensure!(self.next <= self.end, "the arena is too small");
        // SAFETY: within the mapping, which is never unmapped, and handed out once.
        Ok(unsafe { std::slice::from_raw_parts_mut(start as *mut u8, length) })
    }

    /// Such words, one after the other; their address.
    pub fn words(&mut self, words: &[u64]) -> Result<u64> {
        let room = self.bytes(words.len() * 4)?;
        for (word, room) in words.iter().zip(room.chunks_exact_mut(4)) {
            room.copy_from_slice(&u32::try_from(*word).context("not where 32 bits reach")?.to_ne_bytes());
        }
        Ok(address(room))
    }

    /// The word at an address.
    pub fn word(&self, at: u64) -> Result<u32> {
        let at = usize::try_from(at)?;
        ensure!(at >= self.start && at + 4 <= self.end && at % 4 == 0, "outside of the arena");
        // SAFETY: within the mapping; what was handed out of it holds no `&mut` while the kernel fills it in.
        Ok(unsafe { (at as *const u32).read_volatile() })
    }

    /// An array of `struct compat_iovec`; its address.
    pub fn vector(&mut self, buffers: &[(u64, usize)]) -> Result<u64> {
        let words: Vec<u64> =
            buffers.iter().flat_map(|(address, length)| [*address, *length as u64]).collect();
        self.words(&words)
    }

    /// A `struct compat_msghdr` over such an array, with room behind it for the length that makes it a `compat_mmsghdr`; its
    /// address.
    pub fn message(&mut self, buffers: &[(u64, usize)]) -> Result<u64> {
        let vector = self.vector(buffers)?;
        self.words(&[0, 0, vector, buffers.len() as u64, 0, 0, 0, 0])
    }
}

/// Where it lies.
pub fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr() as u64
}
