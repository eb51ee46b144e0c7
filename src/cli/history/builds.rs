//! Records of all daemons as builds: one for each, with its nodes beneath ([`Build`]). Pure.
//!
//! buildx lists every node's record in a row of its own. Here what belongs together is found by
//! the references: mbuild's have the build's name in common, buildx's are equal.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::super::daemons::Place;
use crate::buildkit::history::{BuildId, BuildRecord, Steps};

/// One build, and what it left on its daemons.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Build {
    /// What all its references have in common.
    pub(super) id: BuildId,
    /// Its records, by node and time; at least one.
    pub(super) units: Vec<Unit>,
}

/// A build's record on one daemon.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    /// Which daemon, by its position.
    pub(super) daemon: usize,
    /// Where that is.
    pub(super) place: Place,
    pub(super) record: BuildRecord,
}

/// How a build or a part of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    Completed,
    Canceled,
    Error,
    Running,
}

/// Puts the records of daemons together, the latest build first; running ones come before all.
pub(super) fn group(units: Vec<Unit>) -> Vec<Build> {
    let mut by_id: BTreeMap<BuildId, Vec<Unit>> = BTreeMap::new();
    for unit in units {
        let id = BuildId::of(&unit.record.reference);
        by_id.entry(id).or_default().push(unit);
    }
    let mut builds: Vec<Build> = by_id
        .into_iter()
        .map(|(id, mut units)| {
            units.sort_by(|a, b| {
                let key = |unit: &Unit| (unit.daemon, unit.record.created);
                key(a).cmp(&key(b))
            });
            Build { id, units }
        })
        .collect();
    builds.sort_by_key(|build| {
        let is_over = build.status() != Status::Running;
        (is_over, std::cmp::Reverse(build.created()))
    });
    builds
}

impl Build {
    /// The record that speaks for all: of the first platform of the plan.
    pub(super) fn first(&self) -> &Unit {
        let first = self.units.iter().min_by_key(|unit| {
            let is_numbered = unit.record.reference != self.id.as_str();
            let length = unit.record.reference.len();
            // `-2` comes before `-10`.
            is_numbered.then(|| (length, unit.record.reference.clone()))
        });
        // A build without a record does not come out of `group`.
        first.unwrap_or(&self.units[0])
    }

    /// What all that counts comes to: a record that was tried again does not.
    pub(super) fn status(&self) -> Status {
        let mut latest: BTreeMap<&str, &Unit> = BTreeMap::new();
        for unit in &self.units {
            let known = latest.entry(unit.platform()).or_insert(unit);
            if known.record.created <= unit.record.created {
                *known = unit;
            }
        }
        let statuses = latest.values().map(|unit| unit.status());
        statuses.max().unwrap_or(Status::Completed)
    }

    /// When it began.
    pub(super) fn created(&self) -> Option<Timestamp> {
        self.units
            .iter()
            .filter_map(|unit| unit.record.created)
            .min()
    }

    /// When it ended; `None` while it runs.
    pub(super) fn completed(&self) -> Option<Timestamp> {
        let is_over = self.status() != Status::Running;
        let ends = self.units.iter().filter_map(|unit| unit.record.completed);
        ends.max().filter(|_| is_over)
    }

    /// How long it took, or has taken so far.
    pub(super) fn duration(&self, now: Timestamp) -> Duration {
        between(self.created(), self.completed(), now)
    }

    /// The steps on all nodes.
    pub(super) fn steps(&self) -> Steps {
        let mut sum = Steps::default();
        for Steps {
            total,
            cached,
            completed,
        } in self.units.iter().map(|unit| unit.record.steps)
        {
            sum.total += total;
            sum.cached += cached;
            sum.completed += completed;
        }
        sum
    }

    /// Its platforms, each once.
    pub(super) fn platforms(&self) -> Vec<&str> {
        let mut platforms = Vec::new();
        for platform in self
            .units
            .iter()
            .flat_map(|unit| unit.platform().split(','))
        {
            if !platform.is_empty() && !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        platforms
    }
}

impl Unit {
    /// How it is.
    pub(super) fn status(&self) -> Status {
        match &self.record.error {
            _ if self.record.running => Status::Running,
            None => Status::Completed,
            Some(error) if error.is_cancel() => Status::Canceled,
            Some(_) => Status::Error,
        }
    }

    /// What it built for, as it was asked; empty where the daemon chose.
    pub(super) fn platform(&self) -> &str {
        self.record.attrs.get("platform").map_or("", String::as_str)
    }

    /// How long it took, or has taken so far.
    pub(super) fn duration(&self, now: Timestamp) -> Duration {
        between(self.record.created, self.record.completed, now)
    }
}

impl Status {
    /// The word for a person; the first three are buildx's.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::Canceled => "Canceled",
        }
    }

    /// The word in filters.
    pub(super) fn filter_word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Error => "error",
            Self::Canceled => "canceled",
        }
    }
}

fn between(start: Option<Timestamp>, end: Option<Timestamp>, now: Timestamp) -> Duration {
    let span = start.map(|start| end.unwrap_or(now).duration_since(start));
    span.and_then(|span| Duration::try_from(span).ok())
        .unwrap_or_default()
}

/// A record of a node, for tests: `created` and `completed` in seconds.
#[cfg(test)]
pub(super) fn test_unit(
    node: &str,
    reference: &str,
    platform: &str,
    (created, completed): (i64, Option<i64>),
) -> Unit {
    let at = |second: i64| Timestamp::from_second(second).ok();
    Unit {
        daemon: usize::from(node != "amd64"),
        place: Place {
            node: node.to_owned(),
            instance: None,
        },
        record: BuildRecord {
            reference: reference.to_owned(),
            running: completed.is_none(),
            attrs: [("platform".to_owned(), platform.to_owned())].into(),
            created: at(created),
            completed: completed.and_then(at),
            steps: Steps {
                total: 5,
                cached: 2,
                completed: 5,
            },
            ..BuildRecord::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildkit::history::RecordError;

    const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaa";

    fn ids(builds: &[Build]) -> Vec<(&str, usize)> {
        let each = builds.iter();
        each.map(|build| (build.id.as_str(), build.units.len()))
            .collect()
    }

    fn failed(mut unit: Unit, message: &str) -> Unit {
        unit.record.error = Some(RecordError {
            code: 2,
            message: message.to_owned(),
        });
        unit
    }

    #[test]
    fn a_build_of_two_nodes_is_one() {
        let builds = group(vec![
            test_unit("arm64", &format!("{ID}-1"), "linux/arm64", (101, Some(150))),
            test_unit("amd64", &format!("{ID}-2"), "linux/amd64", (100, Some(120))),
            test_unit("amd64", "other", "linux/amd64", (200, Some(201))),
            test_unit("amd64", "theirs", "linux/amd64", (50, Some(60))),
            test_unit("arm64", "theirs", "linux/arm64", (51, Some(61))),
        ]);
        assert_eq!(ids(&builds), [("other", 1), (ID, 2), ("theirs", 2)]);
        let build = &builds[1];
        assert_eq!(build.status(), Status::Completed);
        assert_eq!(build.first().record.reference, format!("{ID}-1"));
        assert_eq!(build.platforms(), ["linux/amd64", "linux/arm64"]);
        let now = Timestamp::from_second(1_000).unwrap();
        assert_eq!(build.duration(now), Duration::from_secs(50));
        assert_eq!(build.steps().total, 10);
    }

    #[test]
    fn equal_records_of_two_pods_are_both_there() {
        let pod = |number: usize| Unit {
            daemon: number,
            place: Place {
                node: "amd64".into(),
                instance: Some(format!("pod-{number}")),
            },
            ..test_unit("amd64", "r", "linux/amd64", (1, Some(2)))
        };
        assert_eq!(ids(&group(vec![pod(0), pod(1)])), [("r", 2)]);
    }

    #[test]
    fn running_builds_come_first() {
        let builds = group(vec![
            test_unit("amd64", "new", "", (500, Some(501))),
            test_unit("amd64", "old", "", (1, None)),
        ]);
        assert_eq!(ids(&builds), [("old", 1), ("new", 1)]);
        assert_eq!(builds[0].completed(), None);
    }

    #[test]
    fn the_worst_platform_counts_unless_it_was_built_again() {
        let amd64 = || test_unit("amd64", &format!("{ID}-1"), "linux/amd64", (1, Some(9)));
        let arm64 = || test_unit("arm64", &format!("{ID}-2"), "linux/arm64", (1, Some(9)));
        let again = || test_unit("arm64", &format!("{ID}-3"), "linux/arm64", (10, Some(12)));
        let check = |units: Vec<Unit>, expect| assert_eq!(group(units)[0].status(), expect);
        check(
            vec![
                failed(amd64(), "exit code: 1"),
                failed(arm64(), "context canceled"),
            ],
            Status::Error,
        );
        check(
            vec![amd64(), failed(arm64(), "context canceled")],
            Status::Canceled,
        );
        check(
            vec![amd64(), failed(arm64(), "transport is closing"), again()],
            Status::Completed,
        );
    }

    #[test]
    fn the_second_solve_comes_before_the_tenth() {
        let builds = group(vec![
            test_unit("amd64", &format!("{ID}-10"), "", (1, Some(9))),
            test_unit("arm64", &format!("{ID}-2"), "", (1, Some(9))),
        ]);
        assert_eq!(builds[0].first().record.reference, format!("{ID}-2"));
    }
}
