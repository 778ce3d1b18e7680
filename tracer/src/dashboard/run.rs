//! The loop: events of the terminal, frames, and what becomes of them. Only here the terminal, the clock and files are touched.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    time::{Duration, Instant, SystemTime},
};

use crossterm::event::EventStream;
use futures_util::StreamExt;
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

use super::{
    action::Effect, draw, frame::Frame, keys, output, own_cost, state::State, terminal, terminal::Taken,
};
use crate::{
    export::{
        document::Document,
        file::OutputError,
        json::DocumentOutput,
        ndjson::{StreamHeader, StreamOutput},
    },
    filter::Filter,
    findings,
    look::{Look, RESTS, Wanted},
    model_room::Message,
    signals,
};

/// Between two looks at what could be done better.
const FINDINGS: Duration = Duration::from_secs(1);

/// What the session tells the dashboard.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    /// Nothing more will come, and why; what is known stays to be read.
    Ended(String),
    /// Leave now.
    Quit,
}

/// What the dashboard works with.
pub(crate) struct Dashboard {
    /// What it shows, before the first frame.
    pub(crate) state: State,
    /// To the room of the model: past the pump, which brings it up to the moment, as long as there is one; and straight.
    pub(crate) models: [mpsc::Sender<Message>; 2],
    /// From the session.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// The document without its findings: what a JSON file begins with.
    pub(crate) document: Document,
    /// What the room lets into streams: the filter of the command line.
    pub(crate) stream_filter: Filter,
    /// When tracing began.
    pub(crate) began: Instant,
    /// How long it lasted, once it has ended.
    pub(crate) lasted: Option<Duration>,
    /// When the model may be asked again.
    pub(crate) rested_at: Instant,
    /// When findings were last made.
    pub(crate) found_at: Option<Instant>,
}

/// A question that is on its way to the room, or its answer on the way back. Nothing else waits for it: keys are answered
/// meanwhile.
type Looking = Pin<Box<dyn Future<Output = Option<Box<Look>>>>>;

impl Dashboard {
    /// Shows the dashboard until the user or the session ends it. Blocks; meant for a thread of its own.
    ///
    /// # Errors
    /// If the terminal cannot be used.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        terminal::heed_stops(true);
        signals::heed_continuations()?;
        let mut taken = Taken::take()?;
        runtime.block_on(self.turn(&mut taken))
    }

    async fn turn(&mut self, taken: &mut Taken) -> io::Result<()> {
        let mut events = EventStream::new();
        let mut looking: Option<Looking> = Some(self.look());
        let mut ticks = ticks(self.state.interval);
        loop {
            if signals::was_continued() {
                taken.again()?;
            }
            self.draw(taken)?;
            let effect = tokio::select! {
                event = events.next() => match event {
                    Some(event) => match keys::action(&event?, self.state.typing.is_some()) {
                        Some(action) => self.state.handle(action),
                        None => continue,
                    },
                    // The terminal is gone.
                    None => return Ok(()),
                },
                command = self.commands.recv() => match command {
                    Some(Command::Ended(why)) => {
                        self.lasted = Some(self.began.elapsed());
                        self.state.end(why);
                        looking = Some(self.look());
                        None
                    }
                    Some(Command::Quit) | None => return Ok(()),
                },
                look = answer(&mut looking) => {
                    if let Some(look) = look {
                        self.apply(*look);
                    }
                    looking = None;
                    None
                }
                _ = ticks.tick() => {
                    if looking.is_none() && self.lasted.is_none() && Instant::now() >= self.rested_at {
                        looking = Some(self.look());
                    }
                    None
                }
            };
            match effect {
                None => {}
                Some(Effect::Quit) => return Ok(()),
                Some(Effect::Look) => looking = Some(self.look()),
                Some(Effect::Redraw) => taken.repaint()?,
                Some(Effect::Suspend) => {
                    // What reads the terminal must not do so meanwhile.
                    drop(events);
                    taken.away(suspend)?;
                    events = EventStream::new();
                }
                Some(Effect::Interval) => ticks = self::ticks(self.state.interval),
                Some(Effect::Copy(text)) => {
                    taken.copy(&text)?;
                    self.state.tell("copied to the clipboard of the terminal (OSC 52), if it has one", false);
                }
                Some(Effect::WriteDocument) => self.write_document().await,
                Some(Effect::ToggleStream) => self.toggle_stream().await,
            }
        }
    }

    fn draw(&mut self, taken: &mut Taken) -> io::Result<()> {
        let began = Instant::now();
        let mut drawn = draw::Drawn::default();
        taken.terminal.draw(|screen| drawn = draw::draw(&self.state, screen))?;
        self.state.was_drawn(drawn, began.elapsed());
        Ok(())
    }

    /// Asks where things stand; what could be done better, not each time.
    fn look(&self) -> Looking {
        let mut wanted = self.state.wanted();
        wanted.lists.findings |=
            self.lasted.is_some() || self.found_at.is_none_or(|found| found.elapsed() >= FINDINGS);
        self.ask(wanted)
    }

    fn ask(&self, wanted: Wanted) -> Looking {
        let models = self.models.clone();
        Box::pin(async move {
            let (reply, looking) = oneshot::channel();
            send(&models, Message::Look(wanted, reply)).await?;
            looking.await.ok()
        })
    }

    fn apply(&mut self, look: Look) {
        if let Some(comm) = &look.comm {
            self.state.target.comm.clone_from(comm);
        }
        let now = Instant::now();
        self.rested_at = now + look.took * RESTS;
        if look.lists.findings {
            self.found_at = Some(now);
        }
        self.state.apply(Frame {
            elapsed_ns: self.elapsed_ns(),
            look,
            cost: own_cost::now(),
            ..Frame::default()
        });
    }

    /// The document as it would be if tracing ended now.
    async fn document(&self) -> Option<Document> {
        let Look { mut snapshot, .. } = *self.ask(Wanted { whole: true, ..Wanted::default() }).await?;
        let unfinished = self.lasted.is_none();
        if let (true, Some(accounts)) = (unfinished, &mut snapshot.totals.kernel_accounts) {
            // The target ran on while its counters were read.
            accounts.agree = accounts.agree.filter(|agree| *agree);
        }
        Some(Document {
            duration_ns: self.elapsed_ns(),
            unfinished,
            findings: findings::findings(&snapshot),
            snapshot,
            ..self.document.clone()
        })
    }

    /// How long tracing has lasted, ns.
    fn elapsed_ns(&self) -> u64 {
        let elapsed = self.lasted.unwrap_or_else(|| self.began.elapsed());
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    fn path(&self, extension: &str) -> PathBuf {
        output::file_name(self.state.target.pid, extension, SystemTime::now())
    }

    async fn write_document(&mut self) {
        let Some(document) = self.document().await else {
            return self.state.tell("tracing ended just now; press J again", true);
        };
        let path = self.path("json");
        let written = DocumentOutput::prepare(&path).and_then(|output| output.write(&document));
        self.told(written, &format!("wrote {}", output::shown(&path)));
    }

    async fn toggle_stream(&mut self) {
        if self.state.recording.stream.take().is_some() {
            let Some(stream) = self.exchange_stream(None).await else {
                return self.state.tell("the trace file has ended before: it could not be written", true);
            };
            let Some(document) = self.document().await else { return };
            return self.told(stream.finish(document), "ended the trace file");
        }
        if self.state.ended.is_some() {
            return self
                .state
                .tell("nothing comes any more that could be written; J writes what is known", true);
        }
        let path = self.path("ndjson");
        let header = StreamHeader::of(&self.document, &self.stream_filter);
        match StreamOutput::prepare(&path).and_then(|output| output.start(header)) {
            Ok(stream) => {
                self.exchange_stream(Some(stream)).await;
                self.state.recording.stream = Some(output::shown(&path));
                self.state.tell(format!("writing {}; w ends it", output::shown(&path)), false);
            }
            Err(error) => self.told(Err(error), ""),
        }
    }

    async fn exchange_stream(
        &self,
        stream: Option<crate::export::ndjson::LineStream>,
    ) -> Option<crate::export::ndjson::LineStream> {
        let (reply, before) = oneshot::channel();
        send(&self.models, Message::Stream(stream, reply)).await?;
        before.await.ok().flatten()
    }

    fn told(&mut self, outcome: Result<(), OutputError>, success: &str) {
        match outcome {
            Ok(()) => self.state.tell(success, false),
            Err(error) => self.state.tell(crate::view::format::escape(&error.to_string()), true),
        }
    }
}

/// The first tick comes after one interval.
fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.reset();
    ticks
}

/// Waits for what was asked; for ever if nothing was.
async fn answer(looking: &mut Option<Looking>) -> Option<Box<Look>> {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

/// To the first that still takes messages.
async fn send(models: &[mpsc::Sender<Message>], mut message: Message) -> Option<()> {
    for model in models {
        match model.send(message).await {
            Ok(()) => return Some(()),
            Err(mpsc::error::SendError(back)) => message = back,
        }
    }
    None
}

/// Stops this process as the terminal's Ctrl-Z does; returns when it is continued.
fn suspend() {
    // The whole group, as the shell expects: sudo waits beside. This thread alone takes the signal (`heed_stops`), and has it
    // before the call returns (kill(2), "Notes"): it does not touch the terminal until the process is continued.
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
}
