//! `instructions CASE`: does a fixed piece of work of zc-trace's user-space side, for `cargo xtask bench instructions` to count its
//! instructions under callgrind. Without a case it lists them.
//!
//! Unlike times, instructions are the same on a busy machine: what grew is what was changed.

#[path = "../../../tracer/benches/material/mod.rs"]
mod material;

use std::{env, hint::black_box};

use anyhow::{Result, bail};
use zc_trace::{
    model::{Model, ModelConfig, event::Event},
    probe::{call_table::CallTable, decode::decode},
};

/// Records, or operations, of one case.
const COUNT: u64 = 10_000;

fn main() -> Result<()> {
    let records = material::records(COUNT);
    let cases: [(&str, Vec<Event>, ModelConfig); 4] = [
        ("model/descriptors", material::descriptors(COUNT), ModelConfig::default()),
        ("model/storm", material::storm(COUNT), ModelConfig::default()),
        ("model/relay", material::relay(COUNT), ModelConfig::default()),
        ("model/relay with details", material::relay(COUNT), material::detailed()),
    ];
    let Some(wanted) = env::args().nth(1) else {
        records.iter().for_each(|(name, _)| println!("decode/{name}"));
        cases.iter().for_each(|(name, ..)| println!("{name}"));
        return Ok(());
    };
    if let Some((_, records)) = records.iter().find(|(name, _)| wanted.strip_prefix("decode/") == Some(name))
    {
        let table = CallTable::native();
        measured(|| records.iter().for_each(|record| material::decoded(record, &table)));
        return Ok(());
    }
    let Some((_, events, config)) = cases.into_iter().find(|(name, ..)| *name == wanted) else {
        bail!("there is no case {wanted}");
    };
    let mut model = Model::new(config);
    model.apply(material::two_ends());
    measured(|| model.apply(events));
    black_box(model.totals());
    Ok(())
}

/// Callgrind counts from here to its return.
#[inline(never)]
fn measured(work: impl FnOnce()) {
    black_box(work)();
    // Else the call above would be a jump, and this function would not be seen to return.
    black_box(());
}
