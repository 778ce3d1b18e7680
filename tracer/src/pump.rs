//! The task that moves what the kernel reports to the model, until it is told to stop or every traced thread has ended.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use rustix::thread::{MembarrierCommand, membarrier};
use tokio::{
    io::unix::AsyncFd,
    sync::{
        mpsc::{Receiver, Sender},
        watch,
    },
    task::spawn_blocking,
    time::{MissedTickBehavior, interval_at, timeout},
};

use crate::{
    look::RESTS,
    machine,
    model::event::Event,
    model_room::Message,
    probe::{Diagnostics, Probe, Reader},
};

/// Records in one batch: what waits for the model is memory, and few enough stay in the CPU's cache.
const BATCH: usize = 1024;
/// How long records may lie in the ring buffer when there are few of them: the programs wake the reader only past a
/// quarter of the buffer, because a wake-up costs the target more than the call it tells of.
const POLL: Duration = Duration::from_millis(10);
/// How often counters are read when no lines are shown.
const COUNTERS: Duration = Duration::from_secs(1);
/// How long reading what is open may take at the end.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// After detaching, programs that are under way on other CPUs finish within this where the kernel cannot be asked to wait.
const SETTLE: Duration = Duration::from_millis(5);

/// How it went.
pub(crate) struct Pumped {
    /// When tracing ended.
    pub(crate) ended: Instant,
}

/// Runs until `stopped` says so or nothing is left to trace; then detaches, and reads what is left.
///
/// `questions` go on to the model, with the counters as they are then.
///
/// # Errors
/// If the kernel refuses a map or the programs cannot be detached.
pub(crate) async fn run(
    mut probe: Probe,
    reader: Reader,
    sender: Sender<Message>,
    mut stopped: watch::Receiver<bool>,
    mut questions: Receiver<Message>,
    interval: Option<Duration>,
    began: Instant,
) -> anyhow::Result<Pumped> {
    // SAFETY: the reader owns the ring buffer's descriptor and keeps the same one for its whole life.
    let mut reader = unsafe { AsyncFd::register(reader) }?;
    let period = interval.unwrap_or(COUNTERS);
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut rested_at = Instant::now();
    loop {
        let drained = drain(reader.get_mut(), &sender).await;
        while let Ok(question) = questions.try_recv() {
            // So that what is answered is one moment: the counters, and what the records told. But not at the price of
            // records, where there is so much to read that it takes its time.
            let began = Instant::now();
            if began >= rested_at || !question.is_glance() {
                send_counters(reader.get_mut(), &sender).await;
                rested_at = Instant::now() + began.elapsed() * RESTS;
            }
            let _ = sender.send(question).await;
        }
        if *stopped.borrow() || (reader.get_ref().all_ended() && !probe.awaits_threads()) {
            break;
        }
        if drained == BATCH {
            // More is waiting; let the other tasks have their turn.
            tokio::task::yield_now().await;
            if ticks_due(&mut ticks).await {
                tick(reader.get_mut(), &sender, began).await;
            }
            continue;
        }
        tokio::select! {
            _ = stopped.changed() => {}
            _ = ticks.tick() => tick(reader.get_mut(), &sender, began).await,
            ready = reader.readable_mut() => ready?.clear_ready(),
            () = tokio::time::sleep(POLL) => {}
        }
    }
    let last_look = look_again(reader.get_mut(), &sender).await;
    let ended = Instant::now();
    probe.detach().map_err(|error| machine::explain(&error))?;
    settle().await;
    let reader = reader.get_mut();
    reader.has_ended();
    while drain(reader, &sender).await > 0 {}
    let _ = sender.send(Message::Events(last_look)).await;
    tick(reader, &sender, began).await;
    Ok(Pumped { ended })
}

/// Waits until no program is under way any more, on whichever CPU: that of a virtual machine may have been stopped inside.
async fn settle() {
    // It waits for an RCU grace period (kernel/sched/membarrier.c), and programs run inside of RCU's readers (`bpf_trace_run`).
    // It is refused where CPUs are never to be disturbed (nohz_full).
    let _ = spawn_blocking(|| membarrier(MembarrierCommand::Global)).await;
    tokio::time::sleep(SETTLE).await;
}

/// Writes what the kernel programs log about themselves, until the runtime ends.
pub(crate) async fn diagnose(mut diagnostics: Diagnostics) {
    loop {
        diagnostics.flush();
        tokio::time::sleep(POLL).await;
    }
}

async fn drain(reader: &mut Reader, sender: &Sender<Message>) -> usize {
    let mut events = Vec::with_capacity(BATCH);
    let drained = reader.drain(BATCH, &mut events);
    if !events.is_empty() {
        // The receiver is gone only when its thread has died; the session then reports that.
        let _ = sender.send(Message::Events(events)).await;
    }
    drained
}

/// What the processes that still live have open, read while tracing goes on: what changes meanwhile is then told by calls.
/// Nothing if it takes too long.
async fn look_again(reader: &mut Reader, sender: &Sender<Message>) -> Vec<Event> {
    let processes = reader.living_processes();
    let mut look = reader.look();
    let mut looking = spawn_blocking(move || {
        processes.into_iter().flat_map(|pid| look.at(pid, false)).collect::<Vec<Event>>()
    });
    let began = Instant::now();
    while began.elapsed() < LAST_LOOK {
        drain(reader, sender).await;
        if let Ok(looked) = timeout(POLL, &mut looking).await {
            return looked.unwrap_or_default();
        }
    }
    Vec::new()
}

/// Whether the interval is over, without waiting for it.
async fn ticks_due(ticks: &mut tokio::time::Interval) -> bool {
    let mut tick = pin!(ticks.tick());
    std::future::poll_fn(|context| std::task::Poll::Ready(tick.as_mut().poll(context).is_ready())).await
}

async fn tick(reader: &mut Reader, sender: &Sender<Message>, began: Instant) {
    send_counters(reader, sender).await;
    let _ = sender.send(Message::Tick { elapsed: began.elapsed() }).await;
}

async fn send_counters(reader: &mut Reader, sender: &Sender<Message>) {
    let mut events: Vec<Event> = Vec::new();
    reader.counters(&mut events);
    let _ = sender.send(Message::Events(events)).await;
}
