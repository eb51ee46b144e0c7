//! The picture of a running build, folded from its events.
//!
//! [`State`] answers questions; how events change it is in `fold`. It is pure: the present
//! is handed in, nothing is printed, and no order of events can make it fail.

mod fold;
mod intervals;
mod output;
mod step;
mod unit;
mod warnings;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use crate::event::UnitId;

pub(super) use intervals::between;
pub use output::{KEPT_LINES, LogLine, Output};
pub use step::{Outcome, Step, StepId};
pub use unit::{Unit, UnitSummary};
pub use warnings::Finding;

/// Everything known about a running build.
#[derive(Debug, Default)]
pub struct State {
    units: BTreeMap<UnitId, Unit>,
    steps: Vec<Step>,
    by_key: HashMap<Key, StepId>,
    in_view: Vec<StepId>,
    findings: Vec<Finding>,
    messages: Vec<String>,
}

/// What names a step: its digest is unique only within one attempt of one unit.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Vertex {
        unit: UnitId,
        attempt: usize,
        digest: String,
    },
    Group {
        unit: UnitId,
        attempt: usize,
        id: String,
    },
    Client(String),
}

/// What an event changed, for renderers that tell of each change once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A step came into view, or started once more.
    Started(StepId),
    /// The status at this place among the step's statuses changed.
    Status(StepId, usize),
    /// The step wrote a line.
    Line(StepId, LogLine),
    /// The daemon warned about something in this step.
    Warned(StepId, String),
    /// The step ended, or its end was corrected.
    Ended(StepId),
}

impl State {
    /// The units, in the plan's order.
    pub fn units(&self) -> impl ExactSizeIterator<Item = (UnitId, &Unit)> {
        self.units.iter().map(|(id, unit)| (*id, unit))
    }

    /// One unit; `None` if nothing was said of it.
    pub fn unit(&self, unit: UnitId) -> Option<&Unit> {
        self.units.get(&unit)
    }

    /// One step; ids come from this state's own changes.
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[id.0]
    }

    /// The steps that have come into view, in that order.
    pub fn steps_in_view(&self) -> impl Iterator<Item = (StepId, &Step)> {
        self.in_view.iter().map(|id| (*id, self.step(*id)))
    }

    /// How long a step has run.
    pub fn elapsed(&self, step: &Step, now: Timestamp) -> Duration {
        step.elapsed(self.daemon_time(step.unit, now))
    }

    /// A step's name, with its unit's node and platform in it when there are several units.
    pub fn step_name(&self, step: &Step) -> String {
        let name = super::text::without_controls(&step.name).into_owned();
        match step.unit.and_then(|id| self.units.get(&id)) {
            Some(unit) if self.units.len() > 1 => {
                super::text::with_unit(&name, unit.node(), &unit.platform())
            }
            _ => name,
        }
    }

    /// Counts and times of a unit, for the metadata file and for headers.
    pub fn summary(&self, unit: UnitId) -> UnitSummary {
        let Some(unit) = self.units.get(&unit) else {
            return UnitSummary::default();
        };
        let shown = || {
            unit.steps
                .iter()
                .map(|id| self.step(*id))
                .filter(|step| !step.is_hidden())
        };
        UnitSummary {
            steps_total: shown().count(),
            steps_cached: shown()
                .filter(|step| step.outcome() == Outcome::Cached)
                .count(),
            steps_ended: shown().filter(|step| step.outcome().is_end()).count(),
            started: unit.started,
            completed: unit.ended.as_ref().map(|(at, _)| *at),
        }
    }

    /// The step that made a unit fail: the one with this vertex, else the first that failed.
    pub fn failed_step(&self, unit: UnitId, digest: Option<&str>) -> Option<&Step> {
        let steps: Vec<_> = self
            .unit(unit)?
            .steps
            .iter()
            .map(|id| self.step(*id))
            .collect();
        let named = steps
            .iter()
            .find(|step| digest.is_some_and(|d| step.has_vertex(d)));
        named
            .or(steps.iter().find(|step| step.outcome() == Outcome::Failed))
            .copied()
    }

    /// Warnings about Dockerfiles, each once.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The client's own warnings, each once.
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    /// Says whether a unit or a step runs, so that clocks on the screen must go on.
    pub fn is_running(&self) -> bool {
        self.units.values().any(Unit::is_running)
            || self
                .in_view
                .iter()
                .any(|id| self.step(*id).outcome() == Outcome::Running)
    }

    /// The present by the clock of a unit's daemon; by the client's for its own steps.
    fn daemon_time(&self, unit: Option<UnitId>, now: Timestamp) -> Timestamp {
        unit.and_then(|id| self.units.get(&id))
            .map_or(now, |unit| unit.daemon_time(now))
    }
}
