//! Every program loads at every shape that ships. Structure members and settings are constants to the verifier, which
//! skips the code that they switch off: what is not loaded with a member absent, or with a setting on, is not known to
//! load on the kernel or with the option that brings it.

use anyhow::{Context as _, Result, ensure};
use zc_trace::probe::{
    Form, LoadError, Options, Probe, Source,
    offsets::{ABSENT, Config, Offsets, Types},
};
use zc_trace_tests::{
    scenario::{Outcome, require_root, scenario},
    skip,
};

/// What is different on another kernel.
type Difference = fn(&mut Offsets);

/// Members that a kernel may lack, in the groups in which the programs ask for them.
const ABSENCES: &[(&str, Difference)] = &[
    ("everything", |_| {}),
    ("no route", |offsets| offsets.sk_dst = ABSENT),
    ("no parent of a net device", |offsets| offsets.netdev_parent = ABSENT),
    ("no mounts", |offsets| offsets.mount_vfsmount = ABSENT),
    ("no thread status", |offsets| offsets.task_status = ABSENT),
    ("nothing optional", |offsets| {
        offsets.sk_dst = ABSENT;
        offsets.mount_vfsmount = ABSENT;
        offsets.task_status = ABSENT;
    }),
];

fn options() -> Options {
    Options { follow: false, ring_bytes: 1 << 16, debug: false, source: Source::default() }
}

/// The kernel's own types. Skips without them: the shapes of its structures would be guesses.
fn types() -> Result<Types> {
    require_root()?;
    match Types::find(None) {
        Ok(types) => Ok(types),
        Err(error) => skip!("{error}"),
    }
}

fn load(types: &Types, form: Form, adjust: impl FnOnce(&mut Offsets, &mut Config)) -> Result<Probe> {
    Ok(Probe::load_shape(&options(), types, form, adjust)?)
}

fn every_shape(form: Form) -> Result<()> {
    let types = types()?;
    let arity = types.tracepoint_arity("sched_switch").context("no sched_switch")?;
    for (what, absence) in ABSENCES {
        for bits in 0..16 {
            let set = |bit: u32| u32::from(bits & (1 << bit) != 0);
            let shape = Config {
                follow: set(0),
                debug: set(1),
                storage_accounts: set(2),
                sched_switch_arity: 3 + set(3),
                ..Config::NONE
            };
            if shape.sched_switch_arity > arity {
                // The verifier knows the tracepoint and refuses an argument that it does not have.
                continue;
            }
            let probe = load(&types, form, |offsets, config| {
                absence(offsets);
                *config = Config { own_tgid: config.own_tgid, wake_bytes: config.wake_bytes, ..shape };
            });
            let probe = probe.with_context(|| format!("{form:?}, {what}, {shape:?}"))?;
            let missing: Vec<_> = probe.missing().iter().map(|(hook, why)| (hook.name, why)).collect();
            let refused = missing.iter().any(|(_, why)| !why.contains("no tracepoint"));
            ensure!(!refused, "{form:?}, {what}, {shape:?}: {missing:?}");
        }
    }
    Ok(())
}

#[test]
fn of_the_typed_form() -> Outcome {
    scenario("shapes/typed", |_| every_shape(Form::Typed))
}

#[test]
fn of_the_raw_form() -> Outcome {
    scenario("shapes/raw", |_| every_shape(Form::Raw))
}

/// The raw form looks at its own thread before it begins, and is not taken in by the types of another kernel.
#[test]
fn types_of_another_kernel() -> Outcome {
    scenario("shapes/types of another kernel", |_| {
        let types = types()?;
        load(&types, Form::Raw, |_, _| {})?.attach()?;
        let wrongs: [Difference; 2] = [|offsets| offsets.task_pid += 8, |offsets| offsets.task_comm += 16];
        for wrong in wrongs {
            let outcome = load(&types, Form::Raw, |offsets, _| wrong(offsets))?.attach();
            ensure!(matches!(outcome, Err(LoadError::OtherTypes(_))), "it came to {outcome:?}");
        }
        Ok(())
    })
}
