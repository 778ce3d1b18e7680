//! The task that waits for what ends a trace: the command's end, the time given, or a signal.

use std::{
    process::{Child, ExitStatus},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use crate::signals::{Caught, Signals};

/// How long a command may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);

/// What may end the trace.
pub(crate) struct Ending {
    /// The command, if one was started.
    pub(crate) child: Option<Child>,
    /// The time given.
    pub(crate) duration: Option<Duration>,
    /// What comes of signals.
    pub(crate) signals: Signals,
    /// Set to true to end the trace.
    pub(crate) stop: watch::Sender<bool>,
}

/// Waits. Returns the command's exit status.
///
/// A signal ends a trace of running processes at once. A command gets the signal itself (from the terminal it has it
/// already) and is traced to its end; a second signal kills it.
///
/// # Errors
/// If the command cannot be waited for.
pub(crate) async fn wait(mut ending: Ending) -> anyhow::Result<Option<ExitStatus>> {
    let deadline = ending.duration.and_then(|duration| Instant::now().checked_add(duration));
    let status = match ending.child {
        None => {
            end_of_trace(deadline, &mut ending.signals, &ending.stop).await;
            None
        }
        Some(child) => Some(end_of_command(child, deadline, &mut ending.signals).await?),
    };
    if status.is_some() {
        // The command's last records are on their way; the pump ends when it has seen its threads end. Children that
        // are followed may live on, but are traced for the time given only.
        end_of_trace(deadline, &mut ending.signals, &ending.stop).await;
    }
    let _ = ending.stop.send(true);
    Ok(status)
}

/// Ends when the pump has dropped its receiver, at a signal, or when the time is over.
async fn end_of_trace(deadline: Option<Instant>, signals: &mut Signals, stop: &watch::Sender<bool>) {
    tokio::select! {
        () = stop.closed() => {}
        _ = signals.next() => {}
        () = reached(deadline) => {}
    }
}

async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn end_of_command(
    mut child: Child,
    deadline: Option<Instant>,
    signals: &mut Signals,
) -> anyhow::Result<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let mut ended = spawn_blocking(move || child.wait());
    let Caught { signal, by_terminal } = tokio::select! {
        status = &mut ended => return Ok(status??),
        caught = signals.next() => caught,
        () = reached(deadline) => Caught { signal: Signal::TERM, by_terminal: false },
    };
    if !by_terminal {
        send(pid, signal);
    }
    tokio::select! {
        status = &mut ended => return Ok(status??),
        _ = signals.next() => {}
        () = tokio::time::sleep(GRACE), if signal == Signal::TERM => {}
    }
    send(pid, Signal::KILL);
    Ok(ended.await??)
}

/// The command may have ended meanwhile: that is what was wanted.
fn send(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal);
    }
}
