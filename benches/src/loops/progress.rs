//! Folds what four daemons say of forty steps each, with output and progress within steps.

use jiff::Timestamp;
use mbuild_hot::event::{
    Event, StatusUpdate, UnitEnd, UnitId, UnitLabel, Vertex, VertexLog, VertexStatus,
};
use mbuild_hot::progress::State;

use super::plan::PLATFORMS;
use super::project::Numbers;
use super::{Failure, Work};

const UNITS: usize = 4;
const STEPS: usize = 40;
/// Updates between a step's start and its end; daemons send up to ten a second.
const UPDATES: usize = 12;
/// When the build starts, in milliseconds since 1970.
const START: i64 = 1_790_000_000_000;

/// Folds all events into a new picture; returns how many changes that made.
pub(super) fn prepare() -> Result<Work, Failure> {
    let events = events()?;
    Ok(Box::new(move || {
        let mut state = State::default();
        let mut changes = 0;
        for (event, now) in &events {
            changes += state.apply(event, *now).len();
        }
        Ok(changes)
    }))
}

fn events() -> Result<Vec<(Event, Timestamp)>, Failure> {
    let mut numbers = Numbers(5);
    let mut now = Timestamp::from_millisecond(START)?;
    let mut events = vec![(Event::Planned(labels()?), now)];
    for unit in (0..UNITS).map(UnitId) {
        let (instance, at) = (None, now);
        events.push((Event::UnitStarted { unit, instance, at }, now));
    }
    for step in 0..STEPS {
        let started = now;
        for turn in 0..=UPDATES + 1 {
            for unit in (0..UNITS).map(UnitId) {
                now = Timestamp::from_millisecond(now.as_millisecond() + 10)?;
                let completed = (turn > UPDATES).then_some(now);
                let update = match turn {
                    0 => vertexes(step, Some(started), None),
                    turn if turn > UPDATES => vertexes(step, Some(started), completed),
                    _ => within(step, turn, now, &mut numbers),
                };
                events.push((Event::Status { unit, update }, now));
            }
        }
    }
    for unit in (0..UNITS).map(UnitId) {
        let (at, end) = (now, UnitEnd::Done);
        events.push((Event::UnitFinished { unit, at, end }, now));
    }
    Ok(events)
}

fn labels() -> Result<Vec<UnitLabel>, Failure> {
    let label = |(position, name): (usize, &&str)| {
        Ok(UnitLabel {
            unit: UnitId(position),
            platform: Some(name.parse()?),
            node: format!("node-{position}"),
            instance: None,
        })
    };
    PLATFORMS[..UNITS].iter().enumerate().map(label).collect()
}

/// A step that starts or ends, and the next one, which is announced.
fn vertexes(step: usize, started: Option<Timestamp>, completed: Option<Timestamp>) -> StatusUpdate {
    let vertex = |step: usize, started, completed| Vertex {
        digest: digest(step),
        inputs: vec![digest(step.saturating_sub(1))],
        name: format!("[{step}/{STEPS}] RUN make target-{step}"),
        started,
        completed,
        ..Vertex::default()
    };
    StatusUpdate {
        vertexes: vec![
            vertex(step, started, completed),
            vertex(step + 1, None, None),
        ],
        ..StatusUpdate::default()
    }
}

/// What a step says while it runs: three downloads get on, and lines are written.
fn within(step: usize, turn: usize, now: Timestamp, numbers: &mut Numbers) -> StatusUpdate {
    let status = |layer: usize| VertexStatus {
        id: format!("extracting {}", digest(layer)),
        vertex: digest(step),
        name: "transferring".to_owned(),
        current: (turn * 1_000_000) as i64,
        total: (UPDATES * 1_000_000) as i64,
        timestamp: Some(now),
        started: Some(now),
        completed: None,
    };
    let log = |stream: i64, text: String| VertexLog {
        vertex: digest(step),
        timestamp: Some(now),
        stream,
        data: text.into_bytes().into(),
    };
    let lines = (0..numbers.below(12)).map(|line| format!("compiling file {line} of {step}\n"));
    StatusUpdate {
        statuses: (0..3).map(status).collect(),
        logs: vec![
            log(1, lines.collect()),
            log(2, "warning: half a line".to_owned()),
        ],
        ..StatusUpdate::default()
    }
}

fn digest(step: usize) -> String {
    format!("sha256:{step:064x}")
}
