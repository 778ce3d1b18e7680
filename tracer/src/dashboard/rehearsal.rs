//! The dashboard without a trace: for the benchmark of what a frame costs, and the test of what a panic leaves behind.

use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend};

use super::{
    action::Action,
    draw,
    frame::{Cost, Frame},
    state::State,
    terminal::Taken,
    theme::{Environment, Theme},
    views::VIEWS,
};
use crate::{export::document::Target, look::Look, model::Model};

/// A dashboard that draws into memory.
#[derive(Debug)]
pub struct Rehearsal {
    state: State,
    terminal: Terminal<TestBackend>,
    frames: u64,
}

impl Rehearsal {
    /// Before the first frame, on a screen of that size.
    pub fn new(columns: u16, rows: u16) -> Self {
        let target = Target::default();
        let environment =
            Environment { colorterm: Some("truecolor"), locale: Some("C.UTF-8"), ..Environment::default() };
        let state = State::new(target, Theme::of(environment, None, false), Duration::from_millis(500));
        let Ok(terminal) = Terminal::new(TestBackend::new(columns, rows));
        Self { state, terminal, frames: 0 }
    }

    /// The names of all views.
    pub fn views() -> impl Iterator<Item = &'static str> {
        VIEWS.iter().map(|view| view.title)
    }

    /// Shows the view with that number.
    pub fn show(&mut self, view: usize) {
        self.state.handle(Action::View(view));
    }

    /// Opens the selected row; whether rows of this view open.
    pub fn open(&mut self) -> bool {
        self.state.handle(Action::Open);
        self.state.opened.is_some()
    }

    /// What the room of the model does for a frame.
    pub fn look(&self, model: &Model) -> impl Sized + use<> {
        Look::at(model, self.state.wanted())
    }

    /// Asks the model, as for each frame, and takes in what it says.
    pub fn refresh(&mut self, model: &Model) {
        let mut wanted = self.state.wanted();
        wanted.lists.findings = true;
        let look = Look::at(model, wanted);
        self.frames += 1;
        let elapsed_ns = self.frames.saturating_mul(500_000_000);
        self.state.apply(Frame { elapsed_ns, look, cost: Cost::default(), ..Frame::default() });
    }

    /// Takes in once more what was taken in last: what a frame costs the thread of the dashboard, but for drawing.
    pub fn take_again(&mut self) {
        let elapsed_ns = self.state.frame.elapsed_ns + 500_000_000;
        let look = std::mem::take(&mut self.state.frame.look);
        self.state.apply(Frame { elapsed_ns, look, cost: Cost::default(), ..Frame::default() });
    }

    /// Takes the real terminal over, shows the dashboard on it, and panics: to see that the terminal is given back.
    ///
    /// # Errors
    /// If standard output is no terminal.
    ///
    /// # Panics
    /// Else always.
    #[expect(clippy::panic, reason = "that is what it is for")]
    pub fn fall(&self) -> std::io::Result<()> {
        let mut taken = Taken::take()?;
        taken.terminal.draw(|screen| _ = draw::draw(&self.state, screen))?;
        std::thread::sleep(Duration::from_secs(1));
        panic!("the dashboard fell");
    }

    /// Draws.
    pub fn draw(&mut self) {
        let mut drawn = draw::Drawn::default();
        let Ok(_) = self.terminal.draw(|screen| drawn = draw::draw(&self.state, screen));
        self.state.was_drawn(drawn, Duration::ZERO);
    }
}
