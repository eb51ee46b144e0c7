//! One unit of the picture: where it runs, how far it is, what it moved.
//!
//! The main types are [`Unit`] and [`UnitSummary`], which the metadata file needs.

use jiff::{SignedDuration, Timestamp};

use super::step::StepId;
use crate::event::{StatusUpdate, UnitEnd, UnitLabel};

/// A unit and what is known of it.
#[derive(Debug, Clone, Default)]
pub struct Unit {
    /// Where it runs; `None` if the plan did not name it.
    pub label: Option<UnitLabel>,
    /// What it waits for, before it starts.
    pub waiting: Option<String>,
    /// When it started, by the client's clock; at a second attempt, the first start.
    pub started: Option<Timestamp>,
    /// When it ended and how.
    pub ended: Option<(Timestamp, UnitEnd)>,
    /// Bytes sent to its daemon.
    pub sent: u64,
    /// Bytes received from its daemon.
    pub received: u64,
    /// Its steps, as they were first heard of; of the last attempt only.
    pub steps: Vec<StepId>,
    /// Which attempt this is, from 0: digests of an earlier one name other steps.
    pub(super) attempt: usize,
    /// How far the daemon's clock is behind the client's, network delay included.
    lag: Option<SignedDuration>,
}

/// What the metadata file says of a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnitSummary {
    /// Steps that the daemon spoke of, internal ones included.
    pub steps_total: usize,
    /// Steps whose result came from the cache.
    pub steps_cached: usize,
    /// Steps that have ended, cached ones included.
    pub steps_ended: usize,
    /// When the unit started; `None` if it did not.
    pub started: Option<Timestamp>,
    /// When it ended; `None` if it has not.
    pub completed: Option<Timestamp>,
}

impl Unit {
    /// The node's name, or the empty text.
    pub fn node(&self) -> &str {
        self.label.as_ref().map_or("", |label| &label.node)
    }

    /// The platform as text, or the empty text where the daemon chooses it.
    pub fn platform(&self) -> String {
        let platform = self
            .label
            .as_ref()
            .and_then(|label| label.platform.as_ref());
        platform.map(ToString::to_string).unwrap_or_default()
    }

    /// Says whether it has started and not ended.
    pub fn is_running(&self) -> bool {
        self.started.is_some() && self.ended.is_none()
    }

    /// The present by the daemon's clock, as well as it is known.
    pub(super) fn daemon_time(&self, now: Timestamp) -> Timestamp {
        self.lag
            .and_then(|lag| now.checked_sub(lag).ok())
            .unwrap_or(now)
    }

    /// Learns the daemon's clock from an update: nothing in it can lie in the future, so the
    /// smallest difference seen is the best.
    pub(super) fn learn_clock(&mut self, update: &StatusUpdate, now: Timestamp) {
        let Some(newest) = newest(update) else {
            return;
        };
        let lag = now.duration_since(newest);
        self.lag = Some(self.lag.map_or(lag, |known| known.min(lag)));
    }

    /// Forgets what belongs to one daemon: the next attempt runs on another.
    pub(super) fn next_attempt(&mut self) {
        self.attempt += 1;
        self.steps.clear();
        self.lag = None;
    }
}

fn newest(update: &StatusUpdate) -> Option<Timestamp> {
    let vertexes = update
        .vertexes
        .iter()
        .filter_map(|vertex| vertex.completed.or(vertex.started));
    let statuses = update.statuses.iter().filter_map(|status| status.timestamp);
    let logs = update.logs.iter().filter_map(|log| log.timestamp);
    vertexes.chain(statuses).chain(logs).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::VertexLog;

    #[test]
    fn the_smallest_difference_is_the_daemons_clock() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let update = |second| StatusUpdate {
            logs: vec![VertexLog {
                timestamp: Some(at(second)),
                ..VertexLog::default()
            }],
            ..StatusUpdate::default()
        };
        let mut unit = Unit::default();
        assert_eq!(unit.daemon_time(at(100)), at(100));
        unit.learn_clock(&update(60), at(100));
        unit.learn_clock(&update(80), at(105));
        unit.learn_clock(&update(81), at(110));
        unit.learn_clock(&StatusUpdate::default(), at(110));
        assert_eq!(unit.daemon_time(at(110)), at(85));
    }
}
