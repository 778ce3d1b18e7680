//! The dashboard beside a trace: starts it, tells it when nothing more comes, and waits until it is left.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
};

use crate::{
    cli::Colors,
    dashboard::{
        run::{Command, Dashboard},
        state::State,
        theme::{Environment, Palette, Theme},
    },
    error::{Failure, Fatal},
    export::document::Document,
    filter::Filter,
    model_room::Message,
    options::Looks,
    signals::Signals,
    view::format,
};

/// A dashboard that is open.
pub(crate) struct Watching {
    commands: mpsc::Sender<Command>,
    /// Ends when it has been left.
    screen: JoinHandle<io::Result<()>>,
}

impl Watching {
    /// Opens it. `models` take its questions, the first as long as tracing lasts. When it is left, so ends the trace.
    pub(crate) fn start(
        state: State,
        document: &Document,
        models: [mpsc::Sender<Message>; 2],
        stop: watch::Sender<bool>,
        began: Instant,
    ) -> Self {
        let (commands, received) = mpsc::channel(8);
        let stream_filter = state.filter.clone();
        let dashboard = Dashboard {
            state,
            models,
            commands: received,
            document: document.clone(),
            stream_filter,
            began,
            lasted: None,
            rested_at: began,
            found_at: None,
        };
        let screen = spawn_blocking(move || {
            let left = dashboard.run();
            // Nobody may be there any more to be told.
            let _ = stop.send(true);
            left
        });
        Self { commands, screen }
    }

    /// The trace has ended after that time: what is known stays to be read until the user leaves. A signal is a reason
    /// to leave, now or later.
    ///
    /// # Errors
    /// If the terminal could not be used.
    pub(crate) async fn until_left(mut self, mut signals: Signals, lasted: Duration) -> anyhow::Result<()> {
        let nanoseconds = u64::try_from(lasted.as_nanos()).unwrap_or(u64::MAX);
        let why = format!("ENDED after {}", format::minutes_and_seconds(nanoseconds));
        // The screen may have been left already.
        let _ = self.commands.send(Command::Ended(why)).await;
        let left = tokio::select! {
            left = &mut self.screen => left?,
            _ = signals.next() => {
                let _ = self.commands.send(Command::Quit).await;
                self.screen.await?
            }
        };
        left.map_err(|error| {
            let what = format!("the dashboard cannot use this terminal: {error}");
            Fatal::new(Failure::Output, what, "--lines prints lines of text instead").into()
        })
    }
}

/// What the dashboard shows before the first frame.
pub(crate) fn first_state(
    looks: Looks,
    document: &Document,
    filter: &Filter,
    recording: Option<&Path>,
) -> State {
    let target = &document.target;
    let mut state = State::new(target.clone(), theme(looks), looks.interval);
    state.age_ns = target.start_time_unix_ns.map(|start| document.started_at_unix_ns.saturating_sub(start));
    state.filter = filter.clone();
    state.recording.stream = recording.map(|path| format::escape(&path.to_string_lossy()).into_owned());
    state
}

fn theme(looks: Looks) -> Theme {
    let variable = |name| std::env::var(name).ok();
    let (no_color, colorterm, colorfgbg) =
        (variable("NO_COLOR"), variable("COLORTERM"), variable("COLORFGBG"));
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    let environment = Environment {
        no_color: no_color.as_deref(),
        colorterm: colorterm.as_deref(),
        colorfgbg: colorfgbg.as_deref(),
        locale: locale.as_deref(),
    };
    let palette = match looks.colors {
        Colors::Auto => None,
        Colors::Dark => Some(Palette::Dark),
        Colors::Light => Some(Palette::Light),
        Colors::None => Some(Palette::Plain),
    };
    Theme::of(environment, palette, looks.ascii)
}
