//! Shows a running build on stderr: as a live table, as plain lines or as JSON lines.
//!
//! Events are folded into a [`State`]; a [`Renderer`] turns what changed into text; [`start`]
//! runs both on the one thread that writes. Nothing here knows what a build is for.

mod closing;
mod mode;
mod note;
mod plain;
#[cfg(test)]
mod play;
mod quiet;
mod run;
pub mod state;
mod style;
mod terminal;
mod text;

use std::time::Duration;

use jiff::Timestamp;

use crate::event::Event;
pub use mode::{Display, Mode, ModeError, choose};
pub use note::NoteWriter;
pub use run::{run, start};
pub use state::{Change, State, UnitSummary};
pub use terminal::restore_terminal;

/// What a renderer may look at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The picture, the event in question included.
    pub state: &'a State,
    /// The present by the client's clock.
    pub now: Timestamp,
}

/// Turns events into text.
///
/// What is appended to `out` is written at once after the call. Renderers neither write nor
/// read clocks, so a test can play any build to them in no time.
pub trait Renderer: Send {
    /// Hears of an event, before the changes it made.
    fn event(&mut self, event: &Event, view: &View<'_>, out: &mut String);
    /// Hears of a change in the picture.
    fn change(&mut self, change: &Change, view: &View<'_>, out: &mut String);
    /// Shows what it has held back or what the passing of time changed.
    fn draw(&mut self, view: &View<'_>, out: &mut String);
    /// Shows what remains to be shown; comes last and once.
    fn finish(&mut self, view: &View<'_>, out: &mut String);
    /// Says how long from now it wants to [`draw`](Self::draw); `None` means not before
    /// something happens.
    fn redraw_after(&self, state: &State) -> Option<Duration>;
}

/// Makes the renderer for a display.
pub fn renderer(display: Display) -> Box<dyn Renderer> {
    match display.mode {
        Mode::Quiet | Mode::None => Box::new(quiet::Quiet),
        _ => Box::new(plain::Plain::new(display.color)),
    }
}
