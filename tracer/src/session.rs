//! One trace from beginning to end: bring the kernel side up, attach or start the target, run the tasks, and tell.

use std::{
    io::{self, Write},
    path::Path,
    process::Child,
    time::{Duration, Instant, SystemTime},
};

use tokio::{sync::mpsc, task::spawn_blocking};

use crate::{
    ending::{self, Ending},
    error::{Failure, Fatal},
    evidence,
    export::{
        document::{Document, SCHEMA_VERSION, Tool},
        file::{OutputError, StandardStream},
        json::DocumentOutput,
        ndjson::{LineStream, StreamHeader, StreamOutput},
        text::TextOutput,
    },
    machine,
    model::{Model, ModelConfig, event::Event},
    model_room::{Finished, LiveLines, Message, Room},
    options::{Plan, Subject},
    privileges,
    probe::{Options, Probe, Reader, Source, hooks::Place},
    pump::{self, Pumped},
    signals::{Interrupted, Signals},
    spawn, target,
    view::{format, live::Live, parting, report, style::Style},
    watching::{self, Watching},
};

/// Batches of events that may wait for the model: bounded, so that a slow model makes the reader wait, and a full ring
/// buffer folds in the kernel, where nothing is lost.
const WAITING_BATCHES: usize = 16;
/// The same beside a dashboard, whose questions wait behind them: these are some 20 ms of the model's work.
const WAITING_BATCHES_WATCHED: usize = 4;

/// Transfers that the dashboard lists.
const RECENT_TRANSFERS: usize = 1_000;

/// What a trace came to.
pub struct Traced {
    /// All that was found.
    pub document: Document,
    /// With a command: its exit code.
    pub exit_code: u8,
}

/// Where the document and the lines go, opened before anything is traced.
struct Outputs {
    json: Option<DocumentOutput>,
    ndjson: Option<StreamOutput>,
}

pub(crate) fn cannot_write(error: &OutputError) -> Fatal {
    let text = error.to_string();
    let (what, hint) = text.rsplit_once(" Hint: ").unwrap_or((&text, "name another file"));
    Fatal::new(Failure::Output, what, hint)
}

impl Outputs {
    fn prepare(plan: &Plan) -> Result<Self, Fatal> {
        let json = plan.json.as_deref().map(DocumentOutput::prepare).transpose();
        let ndjson = plan.ndjson.as_deref().map(StreamOutput::prepare).transpose();
        Ok(Self {
            json: json.map_err(|error| cannot_write(&error))?,
            ndjson: ndjson.map_err(|error| cannot_write(&error))?,
        })
    }

    fn take_stdout(plan: &Plan) -> bool {
        let is_stdout = |path: &Option<std::path::PathBuf>| path.as_deref() == Some(Path::new("-"));
        is_stdout(&plan.json) || is_stdout(&plan.ndjson)
    }
}

/// Makes the trace, shows it and writes it. Returns the exit code.
///
/// # Errors
/// What could not be done, in one sentence with a hint.
pub fn run(plan: Plan) -> anyhow::Result<u8> {
    // Text for people goes where the command's own output does not.
    let to_stderr = matches!(plan.subject, Subject::Command(_)) || Outputs::take_stdout(&plan);
    let stream_of_text = if to_stderr { StandardStream::Error } else { StandardStream::Output };
    let outputs = Outputs::prepare(&plan)?;
    // Known before anything is traced, as with the files.
    let text = (!plan.quiet).then(|| TextOutput::prepare(stream_of_text)).transpose();
    let text = text.map_err(|error| cannot_write(&error))?;
    let watched = plan.dashboard.is_some();
    let filter = plan.filter.clone();
    let (traced, stream, mut failure) = trace(plan, outputs.ndjson, stream_of_text)?;
    if let Some(mut text) = text {
        // Who has watched it has seen it.
        let report = if watched {
            parting::line(&traced.document)
        } else {
            report::report(&traced.document, &filter, style(stream_of_text))
        };
        if let Err(error) = text.write(&report) {
            failure.get_or_insert(error);
        }
    }
    if let Some(stream) = stream
        && let Err(error) = stream.finish(traced.document.clone())
    {
        failure.get_or_insert(error);
    }
    if let Some(json) = outputs.json
        && let Err(error) = json.write(&traced.document)
    {
        failure.get_or_insert(error);
    }
    failure.map_or(Ok(traced.exit_code), |error| Err(cannot_write(&error).into()))
}

/// How text looks there.
pub(crate) fn style(stream: StandardStream) -> Style {
    match stream {
        StandardStream::Output => Style::for_stdout(),
        StandardStream::Error => Style::for_stderr(),
    }
}

/// Writes text for people.
///
/// # Errors
/// If it cannot be written, but for want of a reader.
pub fn show(text: &str, stream: StandardStream) -> Result<(), Fatal> {
    let shown = TextOutput::prepare(stream).and_then(|mut output| output.write(text));
    shown.map_err(|error| cannot_write(&error))
}

/// Makes the trace of a command without showing anything, for the demonstration.
///
/// # Errors
/// As [`run`].
pub fn trace_command(command: Vec<std::ffi::OsString>, source: Source) -> anyhow::Result<Traced> {
    let plan = Plan::quiet_command(command, source);
    trace(plan, None, StandardStream::Error).map(|(traced, ..)| traced)
}

type Outcome = (Traced, Option<LineStream>, Option<OutputError>);

fn trace(plan: Plan, ndjson: Option<StreamOutput>, text: StandardStream) -> anyhow::Result<Outcome> {
    if plan.dashboard.is_some() {
        crate::dashboard::terminal::heed_stops(false);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = Signals::catch()?;
    let outcome = runtime.block_on(async {
        // The first signal ends a trace, the second also kills a command; with one more there is no patience left.
        let patience = if matches!(plan.subject, Subject::Command(_)) { 3 } else { 2 };
        tokio::select! {
            outcome = trace_on_runtime(plan, ndjson, text, signals.clone()) => outcome,
            () = signals.wait_for(patience) => Err(stuck().into()),
        }
    });
    // After an error the dashboard may not have been waited for.
    crate::dashboard::terminal::give_back();
    // A thread may still wait for a reader that takes nothing.
    runtime.shutdown_background();
    outcome
}

async fn trace_on_runtime(
    plan: Plan,
    ndjson: Option<StreamOutput>,
    text: StandardStream,
    signals: Signals,
) -> anyhow::Result<Outcome> {
    let live = live_lines(&plan, text)?;
    let found = find_targets(&plan.subject)?;
    let (mut probe, mut reader) = bring_up(&plan)?;
    if let Some(caught) = signals.pending() {
        // Loading takes a while, in which nobody waits for signals.
        return Err(Interrupted::new(caught, "tracing began").into());
    }
    if plan.debug_ebpf {
        let diagnostics = probe.diagnostics().map_err(|error| machine::explain(&error))?;
        tokio::spawn(pump::diagnose(diagnostics));
    }
    let started_at = SystemTime::now();
    let began = Instant::now();
    let mut first = Vec::new();
    let child = begin(&plan, &found, &mut probe, &mut reader, &mut first)?;
    let pids = child
        .as_ref()
        .map_or_else(|| found.iter().map(|found| found.pid).collect(), |child| vec![child.id()]);
    let mut target = target::describe(&pids, child.is_some());
    if let Subject::Command(command) = &plan.subject {
        // What was asked for; /proc may not have it yet while the command is being executed.
        target.args = command.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    }
    let evidence = evidence::sources(&probe);
    let sources = probe.sources();
    let mut document = Document {
        schema_version: SCHEMA_VERSION,
        tool: Tool::this(),
        machine: machine::describe(),
        target,
        evidence,
        started_at_unix_ns: unix_ns(started_at),
        duration_ns: 0,
        unfinished: false,
        findings: Vec::new(),
        snapshot: crate::model::snapshot::Snapshot::default(),
    };
    let stream =
        match ndjson.map(|output| output.start(StreamHeader::of(&document, &plan.filter))).transpose() {
            Ok(stream) => stream,
            Err(error) => {
                spawn::abandon(child);
                return Err(cannot_write(&error).into());
            }
        };
    announce(&found, missing_tracepoints(&probe));

    let traces_requests = probe.traces_requests();
    let room = Room::new(
        Model::new(ModelConfig {
            sources,
            record_transfers: stream.is_some(),
            record_details: plan.dashboard.is_some(),
            most_recent_transfers: if plan.dashboard.is_some() { RECENT_TRANSFERS } else { 0 },
            traces_requests,
            ..ModelConfig::default()
        }),
        stream,
        plan.filter.clone(),
        live,
    );
    let waiting = if plan.dashboard.is_some() { WAITING_BATCHES_WATCHED } else { WAITING_BATCHES };
    let (sender, receiver) = mpsc::channel(waiting);
    let room = spawn_blocking(move || room.run(receiver));
    sender.send(Message::Events(first)).await.ok();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (ask, questions) = mpsc::channel(1);
    let watching = plan.dashboard.map(|looks| {
        let recording = plan.ndjson.as_deref();
        let state = watching::first_state(looks, &document, &plan.filter, recording);
        Watching::start(state, &document, [ask, sender.clone()], stop.clone(), began)
    });
    let pump = tokio::spawn(pump::run(probe, reader, sender, stopped, questions, plan.interval, began));
    let ending =
        tokio::spawn(ending::wait(Ending { child, duration: plan.duration, signals: signals.clone(), stop }));

    let Pumped { ended } = pump.await??;
    let exit_status = ending.await??;
    if let Some(watching) = watching {
        watching.until_left(signals, ended.duration_since(began)).await?;
    }
    let Finished { model, stream, failure } = room.await?;
    document.snapshot = model.snapshot();
    document.findings = crate::findings::findings(&document.snapshot);
    document.duration_ns = u64::try_from(ended.duration_since(began).as_nanos()).unwrap_or(u64::MAX);
    document.target.exit_code = exit_status.map(|status| i32::from(spawn::exit_code(status)));
    refresh_target(&mut document);
    let exit_code = exit_status.map_or(0, spawn::exit_code);
    Ok((Traced { document, exit_code }, stream, failure))
}

fn find_targets(subject: &Subject) -> Result<Vec<target::Found>, Fatal> {
    match subject {
        Subject::Processes(pids) => pids.iter().map(|pid| target::find(*pid)).collect(),
        Subject::Command(_) => Ok(Vec::new()),
    }
}

fn bring_up(plan: &Plan) -> Result<(Probe, Reader), Fatal> {
    privileges::check()?;
    machine::check()?;
    let options = Options {
        follow: plan.follow,
        ring_bytes: plan.ring_bytes,
        debug: plan.debug_ebpf,
        detail: plan.detail,
        latency: plan.latency,
        source: plan.source.clone(),
    };
    let mut probe = Probe::load(&options).map_err(|error| machine::explain(&error))?;
    probe.attach().map_err(|error| machine::explain(&error))?;
    let reader = probe.reader().map_err(|error| machine::explain(&error))?;
    Ok((probe, reader))
}

fn stuck() -> Fatal {
    Fatal::new(
        Failure::Output,
        "zc-trace was told to end while it waited for the reader of its output, and left without the rest",
        "the files are incomplete; see what reads the output (a pager that waits, a full pipe)",
    )
}

/// From here on the target is traced.
fn begin(
    plan: &Plan,
    found: &[target::Found],
    probe: &mut Probe,
    reader: &mut Reader,
    first: &mut Vec<Event>,
) -> anyhow::Result<Option<Child>> {
    match &plan.subject {
        Subject::Command(command) => {
            let inheritance = reader.look().inheritable();
            let child = spawn::spawn(probe, command)?;
            first.extend(inheritance.of_child(child.id()));
            Ok(Some(child))
        }
        Subject::Processes(pids) => {
            probe.trace_processes(pids).map_err(|error| machine::explain(&error))?;
            let mut look = reader.look();
            for pid in pids {
                first.extend(reader.mappings_of(*pid));
                first.extend(look.at(*pid, true));
            }
            match found.iter().find(|found| !found.still_there()) {
                Some(gone) => Err(gone.vanished().into()),
                None => Ok(None),
            }
        }
    }
}

/// Hooks without which a number is not known. Those on function exits only make numbers better known.
fn missing_tracepoints(probe: &Probe) -> usize {
    probe.missing().iter().filter(|(hook, _)| hook.place == Place::Tracepoint).count()
}

/// Says that running processes are traced from now on. A command's output speaks for itself.
fn announce(targets: &[target::Found], missing: usize) {
    if targets.is_empty() {
        return;
    }
    let targets: Vec<String> =
        targets.iter().map(|found| format!("{} ({})", found.pid, format::escape(&found.comm))).collect();
    let note =
        if missing == 0 { String::new() } else { format!(" ({missing} hooks missing: zc-trace doctor)") };
    let _ = writeln!(io::stderr(), "zc-trace: attached to {}{note}; Ctrl-C ends", targets.join(", "));
}

fn live_lines(plan: &Plan, stream: StandardStream) -> Result<Option<LiveLines>, Fatal> {
    if plan.interval.is_none() {
        return Ok(None);
    }
    Ok(Some(LiveLines {
        longest: Duration::ZERO,
        live: Live::new(style(stream)),
        out: TextOutput::prepare(stream).map_err(|error| cannot_write(&error))?,
        targets: match &plan.subject {
            Subject::Processes(pids) if pids.len() > 1 => pids.clone(),
            _ => Vec::new(),
        },
        before: Model::new(ModelConfig::default()).totals(),
        at: Duration::ZERO,
    }))
}

/// What the target turned out to be: a command's name is known only once it has been executed.
fn refresh_target(document: &mut Document) {
    let pid = document.target.pid;
    if let Some(process) = document.snapshot.processes.iter().find(|process| process.pid == pid) {
        document.target.comm.clone_from(&process.comm);
    }
}

fn unix_ns(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
