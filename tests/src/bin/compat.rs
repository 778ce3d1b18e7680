//! `compat COUNT [--gate FIFO]`: makes 32-bit calls from a 64-bit program, by `int 0x80`: COUNT times `getpid`, whose
//! 32-bit number is that of the 64-bit `writev`, and COUNT times `read` of 100 bytes, whose number is that of `close`.
//! Where the kernel has no 32-bit calls it dies of a signal.

use anyhow::Result;

#[cfg(target_arch = "x86_64")]
fn main() -> Result<()> {
    use std::{arch::asm, fs::File, io, os::fd::AsRawFd as _, ptr};

    use anyhow::ensure;
    use serde_json::json;
    use zc_trace_tests::workload::{self, Ledger};

    const READ: u64 = 3;
    const GETPID: u64 = 20;

    /// One 32-bit call with up to three arguments.
    fn call(number: u64, arguments: [u64; 3]) -> i64 {
        let mut result = number.cast_signed();
        // SAFETY: follows the convention of 32-bit Linux calls; rbx, which asm! may not name, is restored.
        unsafe {
            asm!(
                "xchg {first}, rbx",
                "int 0x80",
                "xchg {first}, rbx",
                first = inout(reg) arguments[0] => _,
                inlateout("rax") result,
                in("rcx") arguments[1],
                in("rdx") arguments[2],
                out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            );
        }
        result
    }

    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    let count = workload::number(&arguments, 0, "COUNT")?;
    let zero = File::open("/dev/zero")?;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    // SAFETY: a new mapping, where 32 bits reach.
    let buffer =
        unsafe { libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    ensure!(buffer != libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
    workload::begin(gate.as_ref())?;
    let mut ledger = Ledger::default();
    for _ in 0..count {
        ensure!(call(GETPID, [0; 3]) == i64::from(std::process::id()), "getpid gave another process");
        ledger.moved("getpid:32", Ok(0), 0)?;
        let read = call(READ, [zero.as_raw_fd().cast_unsigned().into(), buffer as u64, 100]);
        ledger.moved("read:32", Ok(usize::try_from(read)?), 100)?;
    }
    ledger.report(json!({}))
}

#[cfg(not(target_arch = "x86_64"))]
fn main() -> Result<()> {
    anyhow::bail!("this machine has no int 0x80")
}
