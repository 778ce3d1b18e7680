//! Every program loads at every shape that ships. Structure members and settings are constants to the verifier, which
//! skips the code that they switch off: what is not loaded with a member absent, or with a setting on, is not known to
//! load on the kernel or with the option that brings it.

use anyhow::{Context as _, Result, ensure};
use zc_trace::probe::{
    Detail, Form, Latency, LoadError, Options, Probe, Source,
    offsets::{ABSENT, Config, Offsets, Types},
};
use zc_trace_tests::{
    scenario::{Outcome, require_root, scenario},
    skip,
};

/// What is different on another kernel.
struct Kernel {
    what: &'static str,
    change: Change,
    /// How many of the 16 settings are loaded: all, or with and without storage accounts, the one setting that the
    /// programs of system calls know, which alone ask for the members in question.
    settings: u32,
}

type Change = fn(&mut Offsets);

const fn kernel(what: &'static str, settings: u32, change: Change) -> Kernel {
    Kernel { what, change, settings }
}

/// The members that a kernel may lack, in the groups in which the programs ask for them.
const KERNELS: &[Kernel] = &[
    kernel("nothing is missing", 16, |_| {}),
    kernel("no route", 2, |offsets| offsets.sk_dst = ABSENT),
    kernel("no parent of a net device", 2, |offsets| offsets.netdev_parent = ABSENT),
    kernel("no mounts", 2, |offsets| offsets.mount_vfsmount = ABSENT),
    kernel("no thread status", 2, |offsets| offsets.task_status = ABSENT),
    kernel("pages that a request has pinned are not marked", 1, |offsets| offsets.bio_page_pinned = ABSENT),
    kernel("requests for metadata are not marked", 1, |offsets| offsets.request_metadata = ABSENT),
    kernel("no flags of a net device", 1, |offsets| offsets.netdev_flags = ABSENT),
    kernel("no features of a net device", 1, |offsets| offsets.netdev_features = ABSENT),
    kernel("no protocol on top of TCP", 1, |offsets| offsets.icsk_ulp = ABSENT),
    kernel("no device of a route", 1, |offsets| offsets.dst_dev = ABSENT),
    kernel("no name of an open file", 1, |offsets| offsets.file_dentry = ABSENT),
    kernel("no faults switched off", 1, |offsets| offsets.task_faults_disabled = ABSENT),
    kernel("no object of AIO", 1, |offsets| offsets.aio_object = ABSENT),
    kernel("no notifications of sends", 1, |offsets| offsets.network_notification = ABSENT),
    kernel("all of these are missing", 16, |offsets| {
        offsets.sk_dst = ABSENT;
        offsets.mount_vfsmount = ABSENT;
        offsets.task_status = ABSENT;
    }),
];

fn options() -> Options {
    Options {
        follow: false,
        ring_bytes: 1 << 16,
        debug: false,
        detail: Detail::Auto,
        latency: Latency::Auto,
        source: Source::default(),
    }
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

/// What the kernel refused of the hooks, but what it does not have: it may lack a tracepoint or a function, or take no
/// programs on function exits at all.
fn refused(probe: &Probe) -> Option<(&'static str, &str)> {
    let excused = ["no tracepoint", "no function", "refused to load programs"];
    let mut missing = probe.missing().iter().map(|(hook, why)| (hook.name, why.as_str()));
    missing.find(|(_, why)| !excused.iter().any(|excuse| why.contains(excuse)))
}

fn every_shape(form: Form) -> Result<()> {
    let types = types()?;
    let arity = types.tracepoint_arity("sched_switch").context("no sched_switch")?;
    for Kernel { what, change, settings } in KERNELS {
        for bits in 0..*settings {
            let set = |bit: u32| u32::from(bits & (1 << bit) != 0);
            let shape = Config {
                storage_accounts: set(0),
                follow: set(1),
                debug: set(2),
                sched_switch_arity: 3 + set(3),
                ..Config::NONE
            };
            if shape.sched_switch_arity > arity {
                // The verifier knows the tracepoint and refuses an argument that it does not have.
                continue;
            }
            let probe = load(&types, form, |offsets, config| {
                change(offsets);
                *config = Config {
                    storage_accounts: shape.storage_accounts,
                    follow: shape.follow,
                    debug: shape.debug,
                    sched_switch_arity: shape.sched_switch_arity,
                    ..*config
                };
            });
            let probe = probe.with_context(|| format!("{form:?}, {what}, {shape:?}"))?;
            let refused = refused(&probe);
            ensure!(refused.is_none(), "{form:?}, {what}, {shape:?}: {refused:?}");
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

/// Which calls are told and which are timed: both decide what is in the programs of calls.
#[test]
fn of_each_way_to_follow_calls() -> Outcome {
    scenario("shapes/ways to follow calls", |_| {
        let types = types()?;
        for form in [Form::Typed, Form::Raw] {
            for detail in [Detail::Auto, Detail::All, Detail::Summed] {
                for latency in [Latency::Auto, Latency::All, Latency::None] {
                    let options = Options { detail, latency, ..options() };
                    let what = format!("{form:?}, {detail:?}, {latency:?}");
                    let probe = Probe::load_shape(&options, &types, form, |_, _| {});
                    let probe = probe.with_context(|| what.clone())?;
                    ensure!(refused(&probe).is_none(), "{what}: {:?}", refused(&probe));
                }
            }
        }
        Ok(())
    })
}

/// What other kernels have of io_uring, by the members that the programs ask for.
const RINGS: [(&str, Change); 5] = [
    ("nothing is missing", |_| {}),
    ("before 6.13", |offsets| {
        offsets.ctx_file_nodes = ABSENT;
        (offsets.ctx_fixed_files, offsets.ctx_fixed_count) = (64, 72);
    }),
    ("before 5.19", |offsets| {
        (offsets.request_user_data, offsets.request_fd) = (ABSENT, ABSENT);
        offsets.request_user_data_before_5_19 = 80;
        (offsets.network_options, offsets.message_iterator) = (ABSENT, ABSENT);
    }),
    ("no registered files", |offsets| {
        (offsets.ctx_file_nodes, offsets.ctx_fixed_files) = (ABSENT, ABSENT);
    }),
    ("no flags of a task", |offsets| offsets.task_flags = ABSENT),
];

/// What the kernel refused of the hooks for requests.
fn missing(probe: &Probe) -> Vec<(&'static str, &str)> {
    let all = probe.missing().iter().map(|(hook, why)| (hook.name, why.as_str()));
    all.filter(|(name, _)| name.starts_with("io_uring_") || *name == "task_newtask").collect()
}

#[test]
fn of_io_uring() -> Outcome {
    scenario("shapes/io_uring", |_| {
        let types = types()?;
        for (number, (what, change)) in RINGS.into_iter().enumerate() {
            for form in [Form::Typed, Form::Raw] {
                let probe = load(&types, form, |offsets, _| change(offsets)).context(what)?;
                ensure!(missing(&probe).is_empty(), "{form:?}, {what}: {:?}", missing(&probe));
            }
            // How the tracepoints of other kernels pass things the typed form cannot be loaded for: the verifier knows
            // those of this one.
            let passed = if number == 0 { [(3, 0), (5, 0), (5, 1), (7, 0)].as_slice() } else { &[] };
            for &(arity, position) in passed {
                let probe = load(&types, Form::Raw, |offsets, config| {
                    change(offsets);
                    config.uring_complete_arity = arity;
                    (config.uring_submit_request, config.uring_queue_request) = (position, position);
                });
                let probe = probe.with_context(|| format!("{what}, {arity} arguments"))?;
                ensure!(missing(&probe).is_empty(), "{what}, {arity} arguments: {:?}", missing(&probe));
            }
        }
        Ok(())
    })
}

/// The raw form looks at its own thread before it begins, and is not taken in by the types of another kernel.
#[test]
fn types_of_another_kernel() -> Outcome {
    scenario("shapes/types of another kernel", |_| {
        let types = types()?;
        load(&types, Form::Raw, |_, _| {})?.attach()?;
        let wrongs: [Change; 2] = [|offsets| offsets.task_pid += 8, |offsets| offsets.task_comm += 16];
        for wrong in wrongs {
            let outcome = load(&types, Form::Raw, |offsets, _| wrong(offsets))?.attach();
            ensure!(matches!(outcome, Err(LoadError::OtherTypes(_))), "it came to {outcome:?}");
        }
        Ok(())
    })
}
