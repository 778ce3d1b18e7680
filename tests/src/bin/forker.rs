//! `forker [--gate FIFO]`: makes children by fork, by clone, by vfork and exec, and one grandchild, each of which reads a
//! known number of bytes from /dev/zero. Tells each child's closing accounts.
//!
//! `forker read BYTES` is the program that the vforked child becomes.

use std::{env, fs::File, os::fd::AsRawFd as _, process::Command};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};
use serde_json::{Value, json};
use zc_trace_tests::{
    accounts::Accounts,
    call,
    workload::{self, Ledger},
};

fn main() -> Result<()> {
    workload::bound();
    let (arguments, gate) = workload::arguments()?;
    if arguments.first().is_some_and(|argument| argument == "read") {
        return read(workload::number(&arguments, 1, "BYTES")?);
    }
    workload::begin(gate.as_ref())?;
    let mut children = Vec::new();
    for (how, bytes) in [("fork", 1000), ("clone", 2000)] {
        let child = if how == "fork" { call::fork()? } else { call::clone()? };
        if child == 0 {
            workload::bound();
            call::exit_now(i32::from(read(bytes).is_err()));
        }
        children.push(closing_accounts(how, bytes, child)?);
    }
    // The standard library spawns by vfork (clone with CLONE_VFORK and CLONE_VM) where it can.
    let child = Command::new(env::current_exe()?).args(["read", "3000"]).spawn()?;
    children.push(closing_accounts("vfork", 3000, usize::try_from(child.id())?)?);
    let child = call::fork()?;
    if child == 0 {
        workload::bound();
        call::exit_now(i32::from(grandchild().is_err()));
    }
    children.push(closing_accounts("fork twice", 4000, child)?);
    Ledger::default().report(json!({"children": children, "grandchild_reads": GRANDCHILD_READS}))
}

/// What the grandchild reads. In the accounts of its parent too: the kernel adds the I/O of a reaped child to them.
const GRANDCHILD_READS: usize = 5000;

/// A child that has a child of its own and then reads 4000 bytes itself.
fn grandchild() -> Result<()> {
    let child = call::fork()?;
    if child == 0 {
        workload::bound();
        call::exit_now(i32::from(read(GRANDCHILD_READS).is_err()));
    }
    let ended = waitpid(None, WaitOptions::empty())?;
    ensure!(ended.is_some_and(|(_, status)| status.exit_status() == Some(0)), "the grandchild failed");
    read(4000)
}

fn read(bytes: usize) -> Result<()> {
    let zero = File::open("/dev/zero")?;
    let read = call::read(zero.as_raw_fd(), &mut vec![0; bytes])?;
    ensure!(read == bytes, "/dev/zero gave {read} bytes instead of {bytes}");
    Ok(())
}

fn closing_accounts(how: &str, bytes: usize, child: usize) -> Result<Value> {
    let child = u32::try_from(child)?;
    let pid = Pid::from_raw(child.cast_signed()).context("no child")?;
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let accounts = Accounts::of_zombie(child)?;
    let ended = waitpid(Some(pid), WaitOptions::empty())?;
    ensure!(ended.is_some_and(|(_, status)| status.exit_status() == Some(0)), "the child by {how} failed");
    Ok(json!({"how": how, "pid": child, "read": bytes, "accounts": accounts.to_json()}))
}
