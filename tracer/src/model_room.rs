//! The room in which the model lives: batches of events come in through a bounded channel; lines of text and of JSON go
//! out. Nothing goes back to the probe.

use std::time::Duration;

use tokio::sync::{mpsc::Receiver, oneshot};

use crate::{
    export::{
        file::OutputError,
        ndjson::{Line, LineStream, OperationLine},
        text::TextOutput,
    },
    filter::Filter,
    look::{Look, Wanted},
    model::{
        Model,
        event::{Event, Pid},
        snapshot::Totals,
    },
    view::live::{self, Live},
};

/// What comes in.
pub(crate) enum Message {
    /// Events, in order.
    Events(Vec<Event>),
    /// An interval is over: show where things stand.
    Tick {
        /// Since tracing began.
        elapsed: Duration,
    },
    /// The dashboard wants to know where things stand.
    Look(Wanted, oneshot::Sender<Box<Look>>),
    /// From now on lines go to this stream, or to none; the one before is handed back.
    Stream(Option<LineStream>, oneshot::Sender<Option<LineStream>>),
}

impl Message {
    /// Whether it is a question that may be answered with counters of a moment ago.
    pub(crate) fn is_glance(&self) -> bool {
        matches!(self, Self::Look(wanted, _) if !wanted.whole)
    }
}

/// The model with the exporters that follow it live.
pub(crate) struct Room {
    model: Model,
    stream: Option<LineStream>,
    filter: Filter,
    live: Option<LiveLines>,
    failure: Option<OutputError>,
}

/// Live lines and where they go.
pub(crate) struct LiveLines {
    /// Makes them.
    pub(crate) live: Live,
    /// Takes them.
    pub(crate) out: TextOutput,
    /// The totals at the last one.
    pub(crate) before: Totals,
    /// When that was.
    pub(crate) at: Duration,
    /// The longest interval that there was.
    pub(crate) longest: Duration,
    /// Those of several targets that have not ended; of one the end is the end of the trace.
    pub(crate) targets: Vec<Pid>,
}

/// What is left when tracing has ended.
pub(crate) struct Finished {
    /// The model with everything in it.
    pub(crate) model: Model,
    /// The stream, to be ended with the document.
    pub(crate) stream: Option<LineStream>,
    /// What went wrong with it, or with the live lines.
    pub(crate) failure: Option<OutputError>,
}

impl Room {
    /// An empty room. The stream gets the lines that the filter lets through.
    pub(crate) fn new(
        model: Model,
        stream: Option<LineStream>,
        filter: Filter,
        live: Option<LiveLines>,
    ) -> Self {
        Self { model, stream, filter, live, failure: None }
    }

    /// Takes messages until the sender is gone. Blocks; meant for a thread of its own.
    pub(crate) fn run(mut self, mut messages: Receiver<Message>) -> Finished {
        while let Some(message) = messages.blocking_recv() {
            match message {
                Message::Events(events) => self.take(events),
                Message::Tick { elapsed } => self.tick(elapsed),
                // Whoever asked may be gone.
                Message::Look(wanted, reply) => _ = reply.send(Box::new(Look::at(&self.model, wanted))),
                Message::Stream(stream, reply) => {
                    self.model.record_transfers(stream.is_some());
                    let _ = reply.send(std::mem::replace(&mut self.stream, stream));
                }
            }
        }
        Finished { model: self.model, stream: self.stream, failure: self.failure }
    }

    fn take(&mut self, events: Vec<Event>) {
        if self.stream.is_none() {
            return self.model.apply(events);
        }
        for event in events {
            if let Event::Operation(operation) = &event {
                let line = OperationLine::new(operation, |serial| self.model.end_of(serial));
                if self.filter.matches_operation(&line) {
                    self.write(&Line::Operation(line));
                }
            }
            self.model.apply([event]);
        }
        for transfer in self.model.take_transfers() {
            if self.filter.matches_transfer(&transfer) {
                self.write(&Line::Transfer(transfer));
            }
        }
    }

    /// The first failure ends the stream; tracing goes on.
    fn write(&mut self, line: &Line) {
        let Some(stream) = &mut self.stream else { return };
        if let Err(error) = stream.write(line) {
            self.failure.get_or_insert(error);
            self.stream = None;
        }
    }

    fn tick(&mut self, elapsed: Duration) {
        if let Some(stream) = &mut self.stream
            && let Err(error) = stream.flush()
        {
            self.failure.get_or_insert(error);
            self.stream = None;
        }
        let Some(lines) = &mut self.live else { return };
        let mut text = String::new();
        let mut left = lines.targets.len();
        lines.targets.retain(|&pid| {
            let Some(exit_code) = self.model.exit_code(pid) else { return true };
            left -= 1;
            text += &live::ended(pid, self.model.comm(pid).unwrap_or("?"), exit_code, left);
            false
        });
        let interval = elapsed.saturating_sub(lines.at);
        // The rest at the end may be too short for a rate.
        if interval * 4 >= lines.longest {
            lines.longest = lines.longest.max(interval);
            let now = self.model.totals();
            text += &lines.live.line(nanoseconds(elapsed), nanoseconds(interval), &lines.before, &now);
            lines.before = now;
            lines.at = elapsed;
        }
        if text.is_empty() {
            return;
        }
        // What cannot be written ends the lines, not the trace.
        let failure = lines.out.write(&text).err();
        if failure.is_some() || lines.out.reader_is_gone() {
            self.live = None;
        }
        if let Some(error) = failure {
            self.failure.get_or_insert(error);
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
