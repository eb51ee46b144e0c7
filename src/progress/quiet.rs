//! The renderer of `quiet` and `none`: it shows no progress.
//!
//! Errors and the digest are printed by cli. Lines of `-v` are shown, as somebody asked.

use std::time::Duration;

use super::{Change, Renderer, State, View};
use crate::event::Event;

/// Shows nothing but what was asked for besides progress.
#[derive(Debug)]
pub(super) struct Quiet;

impl Renderer for Quiet {
    fn event(&mut self, event: &Event, _: &View<'_>, out: &mut String) {
        if let Event::Note(line) = event {
            out.push_str(line);
            out.push('\n');
        }
    }

    fn change(&mut self, _: &Change, _: &View<'_>, _: &mut String) {}

    fn draw(&mut self, _: &View<'_>, _: &mut String) {}

    fn finish(&mut self, _: &View<'_>, _: &mut String) {}

    fn redraw_after(&self, _: &State) -> Option<Duration> {
        None
    }
}
