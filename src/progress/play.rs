//! Plays hand-made events to a renderer in no time; only for tests.
//!
//! Times are milliseconds since the epoch, for the daemon and the client alike.

use jiff::Timestamp;

use super::{Renderer, State, View};
use crate::event::{
    Event, StatusUpdate, UnitEnd, UnitId, UnitLabel, Vertex, VertexLog, VertexStatus,
};
use crate::platform::Platform;

/// How often a renderer gets to draw while time passes.
const FRAME: i64 = 50;

pub(super) struct Player<R: ?Sized> {
    pub(super) renderer: Box<R>,
    pub(super) state: State,
    pub(super) text: String,
    now: i64,
}

impl<R: Renderer> Player<R> {
    pub(super) fn new(renderer: R) -> Self {
        Self::boxed(Box::new(renderer))
    }
}

impl<R: Renderer + ?Sized> Player<R> {
    pub(super) fn boxed(renderer: Box<R>) -> Self {
        Self {
            renderer,
            state: State::default(),
            text: String::new(),
            now: 0,
        }
    }

    /// Lets time pass until then, as the loop of `run` does.
    pub(super) fn at(&mut self, millis: i64) -> &mut Self {
        while self.now < millis {
            self.now += FRAME;
            self.frame();
        }
        self
    }

    pub(super) fn event(&mut self, event: &Event) -> &mut Self {
        let changes = self.state.apply(event, at(self.now));
        let view = View {
            state: &self.state,
            now: at(self.now),
        };
        self.renderer.event(event, &view, &mut self.text);
        for change in &changes {
            self.renderer.change(change, &view, &mut self.text);
        }
        self
    }

    pub(super) fn vertex(&mut self, unit: usize, vertex: Vertex) -> &mut Self {
        let update = StatusUpdate {
            vertexes: vec![vertex],
            ..StatusUpdate::default()
        };
        self.event(&Event::Status {
            unit: UnitId(unit),
            update,
        })
    }

    pub(super) fn log(&mut self, unit: usize, digest: &str, text: &str) -> &mut Self {
        let log = VertexLog {
            vertex: digest.into(),
            timestamp: Some(at(self.now)),
            stream: 1,
            data: text.to_owned().into(),
        };
        let update = StatusUpdate {
            logs: vec![log],
            ..StatusUpdate::default()
        };
        self.event(&Event::Status {
            unit: UnitId(unit),
            update,
        })
    }

    pub(super) fn status(&mut self, unit: usize, status: VertexStatus) -> &mut Self {
        let update = StatusUpdate {
            statuses: vec![status],
            ..StatusUpdate::default()
        };
        self.event(&Event::Status {
            unit: UnitId(unit),
            update,
        })
    }

    pub(super) fn started(&mut self, unit: usize) -> &mut Self {
        self.event(&Event::UnitStarted {
            unit: UnitId(unit),
            instance: None,
            at: at(self.now),
        })
    }

    pub(super) fn finished(&mut self, unit: usize, end: UnitEnd) -> &mut Self {
        self.event(&Event::UnitFinished {
            unit: UnitId(unit),
            at: at(self.now),
            end,
        })
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            state: &self.state,
            now: at(self.now),
        }
    }

    pub(super) fn finish(&mut self) -> String {
        let view = View {
            state: &self.state,
            now: at(self.now),
        };
        self.renderer.finish(&view, &mut self.text);
        std::mem::take(&mut self.text)
    }

    fn frame(&mut self) {
        let changes = self.state.flush_old_output(at(self.now));
        let view = View {
            state: &self.state,
            now: at(self.now),
        };
        for change in &changes {
            self.renderer.change(change, &view, &mut self.text);
        }
        if self.renderer.redraw_after(&self.state).is_some() {
            self.renderer.draw(&view, &mut self.text);
        }
    }
}

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

/// A plan with one unit for each pair of node and platform.
pub(super) fn planned(units: &[(&str, &str)]) -> Event {
    let label = |(place, (node, platform)): (usize, &(&str, &str))| UnitLabel {
        unit: UnitId(place),
        platform: platform.parse::<Platform>().ok(),
        node: (*node).to_owned(),
        instance: None,
    };
    Event::Planned(units.iter().enumerate().map(label).collect())
}

/// The record of a step that started, and ended if a second time is given.
pub(super) fn vertex(digest: &str, name: &str, started: i64, completed: Option<i64>) -> Vertex {
    Vertex {
        digest: digest.into(),
        name: name.into(),
        started: Some(at(started)),
        completed: completed.map(at),
        ..Vertex::default()
    }
}

/// The record of a step that is only announced.
pub(super) fn announced(digest: &str, name: &str) -> Vertex {
    Vertex {
        started: None,
        ..vertex(digest, name, 0, None)
    }
}

/// The record of a step whose result came from the cache.
pub(super) fn cached(digest: &str, name: &str, when: i64) -> Vertex {
    Vertex {
        cached: true,
        ..vertex(digest, name, when, Some(when))
    }
}

/// The record of a step that failed.
pub(super) fn failed(digest: &str, name: &str, started: i64, completed: i64) -> Vertex {
    Vertex {
        error: "exit code: 1".into(),
        ..vertex(digest, name, started, Some(completed))
    }
}
