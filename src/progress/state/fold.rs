//! How each event changes the picture.
//!
//! [`State::apply`] is the only way in. Events may come in any order and name units and
//! steps that nobody announced: such ones are added rather than refused, because a picture
//! with a gap is better than none.

use std::time::Duration;

use jiff::Timestamp;

use super::{Change, Key, State, Step, StepId, Unit, intervals, warnings};
use crate::event::{
    ClientStep, Event, StatusUpdate, UnitEnd, UnitId, UnitLabel, Vertex, VertexLog, VertexStatus,
    VertexWarning,
};

/// How long an unfinished line of output waits for its end. Programs that print dots or
/// redraw a bar would otherwise look dead, also to a CI server that ends silent jobs.
const PATIENCE: Duration = Duration::from_secs(5);

impl State {
    /// Takes over an event that comes `now` and returns what it changed.
    pub fn apply(&mut self, event: &Event, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        match event {
            Event::Planned(labels) => self.plan(labels),
            Event::UnitWaiting { unit, reason } => {
                self.unit_mut(*unit).waiting = Some(reason.clone());
            }
            Event::UnitStarted { unit, instance, at } => {
                changes = self.start(*unit, *at, now);
                if let Some(label) = &mut self.unit_mut(*unit).label {
                    label.instance.clone_from(instance);
                }
            }
            Event::Status { unit, update } => changes = self.update(*unit, update, now),
            Event::Transfer {
                unit,
                sent,
                received,
            } => {
                let unit = self.unit_mut(*unit);
                unit.sent = unit.sent.saturating_add(*sent);
                unit.received = unit.received.saturating_add(*received);
            }
            Event::UnitFinished { unit, at, end } => changes = self.end(*unit, *at, end, now),
            Event::Client(step) => changes = self.client_step(step, now),
            Event::Warning(text) => self.message(text),
            Event::Note(_) => {}
        }
        changes
    }

    /// Returns the lines of output that have waited too long for their end.
    pub fn flush_old_output(&mut self, now: Timestamp) -> Vec<Change> {
        let came_before = now.checked_sub(PATIENCE).unwrap_or(now);
        let ids = self.in_view.clone();
        ids.into_iter()
            .flat_map(|id| self.flush(id, came_before))
            .collect()
    }

    fn plan(&mut self, labels: &[UnitLabel]) {
        for label in labels {
            self.unit_mut(label.unit).label = Some(label.clone());
        }
    }

    /// Starts a unit; a unit that starts again does so on another daemon.
    fn start(&mut self, id: UnitId, at: Timestamp, now: Timestamp) -> Vec<Change> {
        let repeated = self.unit_mut(id).started.is_some();
        let changes = if repeated {
            self.abandon(id, now)
        } else {
            Vec::new()
        };
        let unit = self.unit_mut(id);
        if repeated {
            unit.next_attempt();
        }
        unit.started.get_or_insert(at);
        unit.waiting = None;
        unit.ended = None;
        changes
    }

    fn end(&mut self, id: UnitId, at: Timestamp, end: &UnitEnd, now: Timestamp) -> Vec<Change> {
        let changes = self.abandon(id, now);
        let unit = self.unit_mut(id);
        unit.waiting = None;
        unit.ended = Some((at, end.clone()));
        changes
    }

    /// Ends the steps of a unit that still run: their end will not be told.
    fn abandon(&mut self, id: UnitId, now: Timestamp) -> Vec<Change> {
        let at = self.daemon_time(Some(id), now);
        let steps = self.unit_mut(id).steps.clone();
        steps
            .into_iter()
            .flat_map(|step| self.change(step, |step| step.abandon(at)))
            .collect()
    }

    fn update(&mut self, unit: UnitId, update: &StatusUpdate, now: Timestamp) -> Vec<Change> {
        self.unit_mut(unit).learn_clock(update, now);
        let vertexes = update.vertexes.iter();
        let mut changes: Vec<_> = vertexes.flat_map(|one| self.vertex(unit, one)).collect();
        changes.extend(
            update
                .statuses
                .iter()
                .flat_map(|one| self.status(unit, one)),
        );
        changes.extend(
            update
                .warnings
                .iter()
                .flat_map(|one| self.warning(unit, one)),
        );
        changes.extend(update.logs.iter().flat_map(|one| self.log(unit, one, now)));
        changes
    }

    fn vertex(&mut self, unit: UnitId, vertex: &Vertex) -> Vec<Change> {
        let id = self.step_of(unit, vertex);
        self.change(id, |step| step.record(vertex))
    }

    fn status(&mut self, unit: UnitId, status: &VertexStatus) -> Vec<Change> {
        let id = self.step_with(unit, &status.vertex);
        let mut changes = self.reveal(id);
        let place = self.steps[id.0].record_status(status);
        changes.push(Change::Status(id, place));
        self.if_in_view(id, changes)
    }

    fn log(&mut self, unit: UnitId, log: &VertexLog, now: Timestamp) -> Vec<Change> {
        let id = self.step_with(unit, &log.vertex);
        let mut changes = self.reveal(id);
        let step = &mut self.steps[id.0];
        let since_start = match (step.last_start(), log.timestamp) {
            (Some(start), Some(at)) => intervals::between(start, at),
            _ => Duration::ZERO,
        };
        let lines = step.output.feed(log.stream, &log.data, since_start, now);
        changes.extend(lines.into_iter().map(|line| Change::Line(id, line)));
        self.if_in_view(id, changes)
    }

    fn warning(&mut self, unit: UnitId, warning: &VertexWarning) -> Vec<Change> {
        if !warnings::add(&mut self.findings, unit, warning) {
            return Vec::new();
        }
        let id = self.step_with(unit, &warning.vertex);
        self.if_in_view(id, vec![Change::Warned(id, warning.short.clone())])
    }

    fn message(&mut self, text: &str) {
        if !self.messages.iter().any(|known| known == text) {
            self.messages.push(text.to_owned());
        }
    }

    /// The client's steps are kept as a daemon's vertexes are, with the name as the digest.
    fn client_step(&mut self, client: &ClientStep, now: Timestamp) -> Vec<Change> {
        let key = Key::Client(client.name.clone());
        let id = self.step_or_new(key, None, &client.name, false);
        let started = match &client.end {
            Some(_) => self.step(id).last_start().unwrap_or(now),
            None => now,
        };
        let error = client.end.clone().and_then(Result::err);
        let record = Vertex {
            digest: client.name.clone(),
            name: client.name.clone(),
            started: Some(started),
            completed: client.end.as_ref().map(|_| now),
            error: error.unwrap_or_default(),
            ..Vertex::default()
        };
        self.change(id, |step| step.record(&record))
    }

    /// Changes a step and tells what that means to readers.
    fn change(&mut self, id: StepId, change: impl FnOnce(&mut Step)) -> Vec<Change> {
        let before = self.step(id).standing();
        change(&mut self.steps[id.0]);
        let after = self.step(id).standing();
        if before == after || !self.step(id).is_started() {
            return Vec::new();
        }
        let mut changes = self.reveal(id);
        if changes.is_empty() && before.0.is_end() && before.1 != after.1 {
            changes.push(Change::Started(id));
        }
        if after.0.is_end() {
            changes.extend(self.flush(id, Timestamp::MAX));
            changes.push(Change::Ended(id));
        }
        self.if_in_view(id, changes)
    }

    /// Brings a step into view, unless it is there already or has to stay hidden.
    fn reveal(&mut self, id: StepId) -> Vec<Change> {
        let step = &mut self.steps[id.0];
        if step.number.is_some() || step.is_hidden() {
            return Vec::new();
        }
        self.in_view.push(id);
        step.number = Some(self.in_view.len());
        vec![Change::Started(id)]
    }

    fn flush(&mut self, id: StepId, came_before: Timestamp) -> Vec<Change> {
        let lines = self.steps[id.0].output.flush(came_before);
        lines
            .into_iter()
            .map(|line| Change::Line(id, line))
            .collect()
    }

    fn if_in_view(&self, id: StepId, changes: Vec<Change>) -> Vec<Change> {
        if self.step(id).number.is_some() {
            changes
        } else {
            Vec::new()
        }
    }

    fn unit_mut(&mut self, id: UnitId) -> &mut Unit {
        self.units.entry(id).or_default()
    }

    /// The step that stands for a vertex: its group's, if it has one, else its own.
    fn step_of(&mut self, unit: UnitId, vertex: &Vertex) -> StepId {
        let own = self.vertex_key(unit, &vertex.digest);
        if let Some(known) = self.by_key.get(&own) {
            return *known;
        }
        let Some(group) = &vertex.group else {
            return self.step_or_new(own, Some(unit), &vertex.name, false);
        };
        let attempt = self.unit_mut(unit).attempt;
        let key = Key::Group {
            unit,
            attempt,
            id: group.id.clone(),
        };
        let id = self.step_or_new(key, Some(unit), &group.name, true);
        self.by_key.insert(own, id);
        id
    }

    /// The step of a vertex of which only the digest is known.
    fn step_with(&mut self, unit: UnitId, digest: &str) -> StepId {
        let key = self.vertex_key(unit, digest);
        self.step_or_new(key, Some(unit), "", false)
    }

    fn vertex_key(&mut self, unit: UnitId, digest: &str) -> Key {
        let attempt = self.unit_mut(unit).attempt;
        Key::Vertex {
            unit,
            attempt,
            digest: digest.to_owned(),
        }
    }

    fn step_or_new(&mut self, key: Key, unit: Option<UnitId>, name: &str, group: bool) -> StepId {
        if let Some(known) = self.by_key.get(&key) {
            return *known;
        }
        let id = StepId(self.steps.len());
        self.steps.push(Step::new(unit, name, group));
        self.by_key.insert(key, id);
        if let Some(unit) = unit {
            self.unit_mut(unit).steps.push(id);
        }
        id
    }
}
