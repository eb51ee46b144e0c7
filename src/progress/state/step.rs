//! One line of the picture: a step of a daemon, a group of steps, or a step of the client.
//!
//! The main type is [`Step`]. It knows what was said about it, not how it is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::intervals::{self, Intervals};
use super::output::Output;
use crate::event::{UnitId, Vertex, VertexStatus};

/// Names a step of one picture; steps are numbered by when they were first heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub(super) usize);

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has not started.
    Waiting,
    /// It has started and not ended.
    Running,
    /// Its result came from the cache.
    Cached,
    /// It ran and ended well.
    Done,
    /// It failed.
    Failed,
    /// It was stopped from outside.
    Cancelled,
}

impl Outcome {
    /// Says whether nothing more is to come, unless the step starts once more.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// A step and what became of it.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// The unit it belongs to; `None` for a step of the client's own.
    pub unit: Option<UnitId>,
    /// Its number for readers, from 1, in the order in which steps came into view; `None`
    /// before that.
    pub number: Option<usize>,
    /// Its name, such as `[2/5] RUN make`.
    pub name: String,
    /// What is being transferred, by first mention.
    pub statuses: Vec<VertexStatus>,
    /// The end of its output.
    pub output: Output,
    /// The daemon's vertexes behind it: one, or all members of a group, by digest.
    parts: BTreeMap<String, Part>,
    /// Whether it stands for a group.
    group: bool,
    /// Whether it was given up while it ran.
    abandoned: bool,
}

/// One vertex of a step.
#[derive(Debug, Clone, Default)]
struct Part {
    runs: Intervals,
    cached: bool,
    error: String,
    weak: bool,
}

/// How daemons end the error of a step that was stopped.
const CANCELLED: &str = "context canceled";

impl Step {
    pub(super) fn new(unit: Option<UnitId>, name: &str, group: bool) -> Self {
        Self {
            unit,
            name: name.to_owned(),
            group,
            ..Self::default()
        }
    }

    /// Takes over a record of one of the step's vertexes.
    ///
    /// A record without a start only announces the vertex: it never takes back what is known.
    pub(super) fn record(&mut self, vertex: &Vertex) {
        let part = self.parts.entry(vertex.digest.clone()).or_default();
        part.weak = vertex.group.as_ref().is_some_and(|group| group.weak);
        if let Some(started) = vertex.started {
            part.runs.record(started, vertex.completed);
            part.cached = vertex.cached;
            part.error.clone_from(&vertex.error);
            self.abandoned = false;
        } else if !part.runs.is_started() {
            part.cached |= vertex.cached;
        }
        if !self.group && (vertex.started.is_some() || self.name.is_empty()) {
            self.name.clone_from(&vertex.name);
        }
    }

    /// Takes over progress within the step and returns its place in `statuses`.
    pub(super) fn record_status(&mut self, status: &VertexStatus) -> usize {
        let known = self.statuses.iter().position(|known| known.id == status.id);
        if let Some(place) = known {
            self.statuses[place] = status.clone();
            return place;
        }
        self.statuses.push(status.clone());
        self.statuses.len() - 1
    }

    /// Ends what runs, because nobody will hear its end any more.
    pub(super) fn abandon(&mut self, at: Timestamp) {
        self.abandoned |= self.outcome() == Outcome::Running;
        self.parts.values_mut().for_each(|part| part.runs.close(at));
    }

    /// How the step stands.
    pub fn outcome(&self) -> Outcome {
        let parts = || self.parts.values();
        let error = self.error();
        if parts().any(|part| part.runs.is_open()) {
            Outcome::Running
        } else if self.abandoned || error.ends_with(CANCELLED) {
            Outcome::Cancelled
        } else if !error.is_empty() {
            Outcome::Failed
        } else if !self.parts.is_empty() && parts().all(|part| part.cached) {
            Outcome::Cached
        } else if parts().any(|part| part.runs.is_started()) {
            Outcome::Done
        } else {
            Outcome::Waiting
        }
    }

    /// Why it failed; empty when it did not. Of a group, the first member's error.
    pub fn error(&self) -> &str {
        self.parts
            .values()
            .map(|part| part.error.as_str())
            .find(|e| !e.is_empty())
            .unwrap_or("")
    }

    /// How long it ran altogether, by the daemon's clock, of which `now` is the present.
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        intervals::elapsed(self.parts.values().map(|part| &part.runs), now)
    }

    /// When its latest run started, by the daemon's clock.
    pub fn last_start(&self) -> Option<Timestamp> {
        self.parts
            .values()
            .filter_map(|part| part.runs.last_start())
            .max()
    }

    /// Says whether one of its vertexes has this digest.
    pub fn has_vertex(&self, digest: &str) -> bool {
        self.parts.contains_key(digest)
    }

    /// Says whether readers should not hear of it: a group of which only weak members have
    /// run, and well.
    pub fn is_hidden(&self) -> bool {
        let shows = |part: &Part| part.runs.is_started() && !part.weak || !part.error.is_empty();
        self.group && !self.parts.values().any(shows)
    }

    /// Says whether it has started at least once.
    pub(super) fn is_started(&self) -> bool {
        self.parts.values().any(|part| part.runs.is_started())
    }

    /// Everything that, when it changes, is worth telling.
    pub(super) fn standing(&self) -> (Outcome, Option<Timestamp>, bool) {
        (self.outcome(), self.last_start(), self.is_hidden())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ProgressGroup;

    fn vertex(times: Option<(i64, Option<i64>)>) -> Vertex {
        let at = |second| Timestamp::from_second(second).unwrap();
        Vertex {
            digest: "sha256:1".into(),
            name: "RUN make".into(),
            started: times.map(|(start, _)| at(start)),
            completed: times.and_then(|(_, end)| end).map(at),
            ..Vertex::default()
        }
    }

    fn outcome(records: &[Vertex]) -> Outcome {
        let mut step = Step::new(None, "", false);
        records.iter().for_each(|record| step.record(record));
        step.outcome()
    }

    #[test]
    fn the_latest_record_says_how_a_step_stands() {
        let ran = vertex(Some((1, Some(2))));
        let cached = Vertex {
            cached: true,
            ..ran.clone()
        };
        let failed = Vertex {
            error: "exit code: 1".into(),
            ..ran.clone()
        };
        let stopped = Vertex {
            error: "process: context canceled".into(),
            ..ran.clone()
        };
        assert_eq!(outcome(&[vertex(None)]), Outcome::Waiting);
        assert_eq!(outcome(&[vertex(Some((1, None)))]), Outcome::Running);
        assert_eq!(outcome(std::slice::from_ref(&ran)), Outcome::Done);
        assert_eq!(
            outcome(&[ran.clone(), vertex(Some((3, None)))]),
            Outcome::Running
        );
        assert_eq!(outcome(&[cached]), Outcome::Cached);
        assert_eq!(outcome(&[failed]), Outcome::Failed);
        assert_eq!(outcome(&[stopped]), Outcome::Cancelled);
    }

    #[test]
    fn an_announcement_takes_nothing_back() {
        assert_eq!(
            outcome(&[vertex(Some((1, Some(2)))), vertex(None)]),
            Outcome::Done
        );
        let announced_cached = Vertex {
            cached: true,
            ..vertex(None)
        };
        assert_eq!(outcome(&[announced_cached]), Outcome::Cached);
    }

    #[test]
    fn a_group_is_hidden_until_a_member_that_is_not_weak_starts() {
        let member = |digest: &str, weak| Vertex {
            digest: digest.into(),
            group: Some(ProgressGroup {
                id: "g".into(),
                name: "all".into(),
                weak,
            }),
            ..vertex(Some((1, Some(2))))
        };
        let mut step = Step::new(None, "all", true);
        step.record(&member("sha256:1", true));
        assert!(step.is_hidden());
        step.record(&member("sha256:2", false));
        assert!(!step.is_hidden());
        assert_eq!((step.name.as_str(), step.outcome()), ("all", Outcome::Done));
    }

    #[test]
    fn an_abandoned_step_is_cancelled_and_stops_its_clock() {
        let mut step = Step::new(None, "", false);
        step.record(&vertex(Some((1, None))));
        step.abandon(Timestamp::from_second(3).unwrap());
        assert_eq!(step.outcome(), Outcome::Cancelled);
        assert_eq!(step.elapsed(Timestamp::MAX), Duration::from_secs(2));
    }

    #[test]
    fn a_status_replaces_the_one_with_its_id() {
        let mut step = Step::new(None, "", false);
        let status = |id: &str, current| VertexStatus {
            id: id.into(),
            current,
            ..VertexStatus::default()
        };
        assert_eq!(step.record_status(&status("a", 1)), 0);
        assert_eq!(step.record_status(&status("b", 1)), 1);
        assert_eq!(step.record_status(&status("a", 2)), 0);
        assert_eq!(step.statuses[0].current, 2);
    }
}
