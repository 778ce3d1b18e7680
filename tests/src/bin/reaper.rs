//! `reaper FILE PROGRAM ARGUMENTS…`: runs a program and, before it reaps it, writes the kernel's accounts of it to FILE
//! as JSON. Ends with the program's exit code. For a tracer that reaps its own child.

use std::{
    env, fs,
    process::{Command, exit},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::json;
use zc_trace_tests::{accounts::Accounts, process::shell_code, workload};

fn main() -> Result<()> {
    workload::bound();
    let mut arguments = env::args_os().skip(1);
    let file = arguments.next().context("usage: reaper FILE PROGRAM ARGUMENTS…")?;
    let program = arguments.next().context("usage: reaper FILE PROGRAM ARGUMENTS…")?;
    let mut child = Command::new(program).args(arguments).spawn()?;
    let pid = Pid::from_child(&child);
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let accounts = Accounts::of_zombie(child.id())?;
    fs::write(file, json!({"pid": child.id(), "accounts": accounts.to_json()}).to_string())?;
    exit(shell_code(child.wait()?))
}
