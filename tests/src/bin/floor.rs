//! `floor OBJECT [TRACEPOINT…]`: attaches the programs of an object that do nothing, those named or all that this kernel has the
//! tracepoints for, and keeps them until a signal ends it.
//!
//! For `cargo xtask bench overhead`: what the mere presence of the hooks costs every process of the machine.

use std::env;

use anyhow::{Context as _, Result, ensure};
use aya::{Btf, Ebpf, programs::BtfTracePoint};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let object = arguments.next().context("usage: floor OBJECT [TRACEPOINT…]")?;
    let named: Vec<String> = arguments.collect();
    let btf = Btf::from_sys_fs().context("cannot read the kernel's types")?;
    let mut ebpf = Ebpf::load_file(&object).with_context(|| format!("cannot load {object}"))?;
    let mut attached = 0;
    if named.is_empty() {
        for (name, program) in ebpf.programs_mut() {
            let program: &mut BtfTracePoint = program.try_into()?;
            // As with the real ones: what this kernel lacks is left out.
            attached += usize::from(attach(program, name, &btf).is_ok());
        }
        ensure!(attached > 0, "this kernel has none of the tracepoints");
    }
    for name in &named {
        let program = ebpf.program_mut(name).with_context(|| format!("there is no program {name}"))?;
        attach(program.try_into()?, name, &btf).with_context(|| format!("cannot attach to {name}"))?;
        attached += 1;
    }
    eprintln!("floor: attached {attached} programs");
    loop {
        std::thread::park();
    }
}

fn attach(program: &mut BtfTracePoint, name: &str, btf: &Btf) -> Result<()> {
    program.load(name, btf)?;
    program.attach()?;
    Ok(())
}
