//! The room in which the model lives: batches of events come in through a bounded channel; lines of text and of JSON go
//! out. Nothing goes back to the probe.

use std::{collections::HashMap, time::Duration};

use tokio::sync::mpsc::Receiver;

use crate::{
    export::{
        file::OutputError,
        ndjson::{Line, LineStream, OperationLine},
        text::TextOutput,
    },
    filter::Filter,
    model::{
        Model,
        endpoint::Endpoint,
        event::{Event, Serial},
        snapshot::{FlowEnd, Totals},
    },
    view::live::Live,
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
}

/// The model with the exporters that follow it live.
pub(crate) struct Room {
    model: Model,
    stream: Option<LineStream>,
    ends: HashMap<Serial, FlowEnd>,
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
        Self { model, stream, ends: HashMap::new(), filter, live, failure: None }
    }

    /// Takes messages until the sender is gone. Blocks; meant for a thread of its own.
    pub(crate) fn run(mut self, mut messages: Receiver<Message>) -> Finished {
        while let Some(message) = messages.blocking_recv() {
            match message {
                Message::Events(events) => self.take(events),
                Message::Tick { elapsed } => self.tick(elapsed),
            }
        }
        Finished { model: self.model, stream: self.stream, failure: self.failure }
    }

    fn take(&mut self, events: Vec<Event>) {
        if self.stream.is_some() {
            self.stream_operations(&events);
        }
        self.model.apply(events);
        for transfer in self.model.take_transfers() {
            if self.filter.matches_transfer(&transfer) {
                self.write(&Line::Transfer(transfer));
            }
        }
    }

    fn stream_operations(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Endpoint(serial, endpoint) => {
                    self.ends.insert(*serial, flow_end(endpoint));
                }
                Event::Operation(operation) => {
                    let line = OperationLine::new(operation, |serial| self.ends.get(&serial).cloned());
                    if self.filter.matches_operation(&line) {
                        self.write(&Line::Operation(line));
                    }
                }
                _ => {}
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
        let now = self.model.totals();
        let interval = elapsed.saturating_sub(lines.at);
        let text = lines.live.line(nanoseconds(elapsed), nanoseconds(interval), &lines.before, &now);
        lines.before = now;
        lines.at = elapsed;
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

fn flow_end(endpoint: &Endpoint) -> FlowEnd {
    FlowEnd::from(endpoint)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
