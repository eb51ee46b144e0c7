//! Shows a running build on stderr: as a live table, as plain lines or as JSON lines.
//!
//! Events are folded into a [`State`]; a [`Renderer`] turns what changed into text; [`start`]
//! runs both on the one thread that writes. Nothing here knows what a build is for.

mod closing;
mod colors;
mod json;
mod mode;
mod note;
mod plain;
#[cfg(test)]
mod play;
mod quiet;
pub mod report;
mod run;
pub mod state;
mod style;
mod terminal;
mod text;
mod tty;

use std::time::Duration;

use jiff::Timestamp;

use crate::event::Event;
pub use colors::{BadColor, Colors};
pub use json::warnings as warnings_json;
pub use mode::{Display, Mode, ModeError, choose};
pub use note::NoteWriter;
pub use run::{run, start};
pub use state::{Change, State, UnitSummary};
pub use terminal::restore_terminal;
pub use text::bytes;

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

/// How many lines of output the live table shows below a running step, unless
/// `BUILDKIT_TTY_LOG_LINES` says otherwise.
pub const LOG_LINES: usize = 6;

/// Tells the columns and rows of a terminal; `None` where they are not known.
pub type TerminalSize = fn() -> Option<(usize, usize)>;

/// Makes the renderer for a display on stderr.
///
/// `log_lines` is for the live table: [`LOG_LINES`], or what the user wants, of which it shows
/// at most [`state::KEPT_LINES`].
pub fn renderer(display: Display, log_lines: usize) -> Box<dyn Renderer> {
    renderer_on(display, log_lines, terminal::size)
}

/// As [`renderer`], on a terminal whose size is asked before each frame.
pub fn renderer_on(display: Display, log_lines: usize, size: TerminalSize) -> Box<dyn Renderer> {
    match display.mode {
        Mode::Quiet | Mode::None => Box::new(quiet::Quiet),
        Mode::Tty => Box::new(tty::Tty::new(display.colors, log_lines, size)),
        Mode::RawJson => Box::new(json::RawJson),
        Mode::Auto | Mode::Plain => Box::new(plain::Plain::new(display.colors)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::play::{Player, at, planned};
    use super::*;
    use crate::event::{
        ClientStep, ProgressGroup, StatusUpdate, UnitEnd, UnitId, Vertex, VertexLog, VertexStatus,
        VertexWarning,
    };

    prop_compose! {
        fn vertex()(
            digest in "[a-c]",
            name in ".{0,20}",
            times in (any::<Option<i16>>(), any::<Option<i16>>()),
            (cached, error) in (any::<bool>(), prop_oneof!["", "failed", "context canceled"]),
            group in proptest::option::of(("[g-h]", any::<bool>())),
        ) -> Vertex {
            let time = |time: Option<i16>| time.map(|time| at(time.into()));
            let group = group.map(|(id, weak)| ProgressGroup { name: id.clone(), id, weak });
            let (started, completed) = (time(times.0), time(times.1));
            Vertex { digest, name, started, completed, cached, error, group, ..Vertex::default() }
        }
    }

    fn update() -> impl Strategy<Value = StatusUpdate> {
        let status = ("[a-d]", ".{0,9}", any::<(i64, i64, Option<i16>)>());
        let status = status.prop_map(|(vertex, id, (current, total, completed))| VertexStatus {
            id,
            vertex,
            current,
            total,
            completed: completed.map(|time| at(time.into())),
            ..VertexStatus::default()
        });
        let log = (
            "[a-d]",
            any::<i64>(),
            any::<Vec<u8>>(),
            any::<Option<i16>>(),
        );
        let log = log.prop_map(|(vertex, stream, data, time)| VertexLog {
            vertex,
            stream,
            data: data.into(),
            timestamp: time.map(|time| at(time.into())),
        });
        let warning = ("[a-d]", ".{0,9}").prop_map(|(vertex, short)| VertexWarning {
            vertex,
            short,
            ..VertexWarning::default()
        });
        let few = 0..3_usize;
        let lists = (
            vec(vertex(), few.clone()),
            vec(status, few.clone()),
            vec(log, few.clone()),
            vec(warning, few),
        );
        lists.prop_map(|(vertexes, statuses, logs, warnings)| StatusUpdate {
            vertexes,
            statuses,
            logs,
            warnings,
        })
    }

    fn event() -> impl Strategy<Value = Event> {
        let unit = (0..3_usize).prop_map(UnitId);
        let end = prop_oneof![
            Just(UnitEnd::Done),
            ".{0,9}".prop_map(UnitEnd::Failed),
            Just(UnitEnd::Cancelled)
        ];
        let client_end = proptest::option::of(Just(Err("no".to_owned())));
        prop_oneof![
            1 => Just(planned(&[("a", "linux/amd64"), ("b", "linux/arm64")])),
            1 => (unit.clone(), ".{0,9}")
                .prop_map(|(unit, reason)| Event::UnitWaiting { unit, reason }),
            1 => (unit.clone(), any::<i16>())
                .prop_map(|(unit, time)| Event::UnitStarted {
                    unit,
                    instance: None,
                    at: at(time.into()),
                }),
            10 => (unit.clone(), update())
                .prop_map(|(unit, update)| Event::Status { unit, update }),
            1 => (unit.clone(), any::<u64>(), any::<u64>())
                .prop_map(|(unit, sent, received)| Event::Transfer { unit, sent, received }),
            1 => (unit, any::<i16>(), end).prop_map(|(unit, time, end)| Event::UnitFinished {
                unit,
                at: at(time.into()),
                end
            }),
            1 => ("[x-y]", client_end)
                .prop_map(|(name, end)| Event::Client(ClientStep { name, end })),
            1 => ".{0,9}".prop_map(Event::Warning),
            1 => ".{0,9}".prop_map(Event::Note),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn no_order_of_events_makes_a_renderer_fail(
            events in vec((event(), 0..200_i64), 0..40),
            width in 0..90_usize,
            height in 0..12_usize,
        ) {
            for mode in [Mode::Plain, Mode::Quiet, Mode::RawJson, Mode::Tty] {
                let display = Display { mode, colors: None };
                let mut player = Player::boxed(renderer(display, LOG_LINES));
                let mut now = 0;
                for (event, later) in &events {
                    now += later;
                    player.event(event).at(now);
                    tty::assert_fits(&player.view(), width, height);
                }
                player.at(now + 10_000);
                player.finish();
            }
        }
    }
}
