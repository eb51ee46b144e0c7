//! The renderer of `tty`: a live table of what each node does.
//!
//! The main type is [`Tty`]. It keeps what is on the screen; what should be there is said by
//! `layout`. At the end the table is replaced by the list of all steps.

mod frame;
mod layout;
mod rows;
mod share;

use std::time::Duration;

use self::frame::Frame;
use self::layout::{Look, Size};
use super::colors::Colors;
use super::state::{Change, State};
use super::style::Paint;
use super::terminal::{HIDE_CURSOR, SHOW_CURSOR, mark_hidden};
use super::{Renderer, TerminalSize, View, closing, text};
use crate::event::Event;

/// The time from one frame to the next: clocks show tenths of a second, and ten frames a
/// second are what a remote terminal bears.
const FRAME: Duration = Duration::from_millis(100);

/// The size that is assumed where the terminal does not know its own.
const UNKNOWN_SIZE: Size = Size {
    width: 80,
    height: 24,
};

/// Draws the table.
#[derive(Debug)]
pub(super) struct Tty {
    look: Look,
    size: TerminalSize,
    frame: Frame,
    /// Lines that go above the table with the next frame, and stay.
    above: Vec<String>,
    /// Whether something happened since the last frame.
    stale: bool,
    cursor_hidden: bool,
}

impl Tty {
    pub(super) fn new(colors: Option<Colors>, log_lines: usize, size: TerminalSize) -> Self {
        Self {
            look: Look {
                log_lines,
                paint: Paint { colors },
            },
            size,
            frame: Frame::default(),
            above: Vec::new(),
            stale: false,
            cursor_hidden: false,
        }
    }

    fn size(&self) -> Size {
        (self.size)().map_or(UNKNOWN_SIZE, |(width, height)| Size { width, height })
    }

    fn show(&mut self, lines: Vec<String>, width: usize, out: &mut String) {
        self.stale = false;
        if self.above.is_empty() && self.frame.shows(&lines) {
            return;
        }
        let above = std::mem::take(&mut self.above);
        self.frame.replace(&above, lines, width, out);
    }
}

impl Renderer for Tty {
    fn event(&mut self, event: &Event, _: &View<'_>, _: &mut String) {
        let color = self.look.paint.colors.is_some();
        match event {
            Event::Note(line) if color => self.above.push(line.clone()),
            Event::Note(line) => self.above.push(text::without_controls(line).into_owned()),
            Event::Warning(text) => {
                let line = format!("WARNING: {}", text::without_controls(text));
                self.above.push(self.look.paint.warning(&line));
            }
            _ => {}
        }
        self.stale = true;
    }

    fn change(&mut self, _: &Change, _: &View<'_>, _: &mut String) {
        self.stale = true;
    }

    fn draw(&mut self, view: &View<'_>, out: &mut String) {
        if !self.cursor_hidden {
            self.cursor_hidden = true;
            mark_hidden(true);
            out.push_str(HIDE_CURSOR);
        }
        let size = self.size();
        let lines = layout::table(view, size, self.look);
        self.show(lines, size.width, out);
    }

    fn finish(&mut self, view: &View<'_>, out: &mut String) {
        let width = self.size().width;
        self.above
            .extend(layout::full_list(view, width, self.look.paint));
        self.show(Vec::new(), width, out);
        out.push_str(&closing::warnings(view.state, self.look.paint));
        if self.cursor_hidden {
            out.push_str(SHOW_CURSOR);
            mark_hidden(false);
        }
    }

    fn redraw_after(&self, state: &State) -> Option<Duration> {
        (self.stale || state.is_running()).then_some(FRAME)
    }
}

/// Lays out a table and checks that it stays within a terminal of this size.
#[cfg(test)]
pub(super) fn assert_fits(view: &View<'_>, width: usize, height: usize) {
    let look = Look {
        log_lines: 6,
        paint: Paint {
            colors: Some(Colors::default()),
        },
    };
    let lines = layout::table(view, Size { width, height }, look);
    assert!(
        lines.len() < height.max(1),
        "{} lines in {height} rows",
        lines.len()
    );
    for line in &lines {
        assert!(
            console::measure_text_width(line) <= width,
            "{line:?} in {width} columns"
        );
        assert!(!line.contains(['\n', '\r', '\t']), "{line:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ClientStep;
    use crate::progress::play::{Player, at, planned, vertex};

    fn player() -> Player<Tty> {
        let mut player = Player::new(Tty::new(None, 6, || Some((40, 10))));
        player.event(&planned(&[("a", "linux/amd64")])).started(0);
        player.vertex(0, vertex("s1", "[1/1] RUN make", 0, None));
        player
    }

    #[test]
    fn the_cursor_comes_back() {
        let mut player = player();
        assert!(player.at(100).text.starts_with(HIDE_CURSOR));
        assert!(player.finish().ends_with(SHOW_CURSOR));
    }

    #[test]
    fn nothing_is_written_while_nothing_changes() {
        let mut player = player();
        player.at(100).text.clear();
        let Player {
            renderer, state, ..
        } = &mut player;
        let mut out = String::new();
        renderer.draw(
            &View {
                state,
                now: at(100),
            },
            &mut out,
        );
        assert_eq!(out, "");
    }

    #[test]
    fn clocks_go_on() {
        let mut player = player();
        player.at(100).text.clear();
        assert!(player.at(200).text.contains("0.2s"));
        assert_eq!(player.renderer.redraw_after(&player.state), Some(FRAME));
    }

    #[test]
    fn nothing_is_drawn_before_something_happens() {
        assert_eq!(
            Tty::new(None, 6, || None).redraw_after(&State::default()),
            None
        );
        let mut player = Player::new(Tty::new(None, 6, || None));
        assert_eq!(player.finish(), "");
    }

    #[test]
    fn notes_and_warnings_stay_above_the_table() {
        let mut player = player();
        player.at(100).text.clear();
        player
            .event(&Event::Note("dialled a".into()))
            .event(&Event::Warning("odd".into()));
        let text = player.at(150).text.replace('\x1b', "^");
        assert!(
            text.starts_with("^[?2026h^[2A\r^[Jdialled a\nWARNING: odd\n^[?7l"),
            "{text}"
        );
    }

    #[test]
    fn steps_of_the_client_are_shown() {
        let mut player = player();
        let step = ClientStep {
            name: "writing index".into(),
            end: None,
        };
        player.event(&Event::Client(step)).at(100);
        assert!(player.text.contains(" => writing index"), "{}", player.text);
    }
}
