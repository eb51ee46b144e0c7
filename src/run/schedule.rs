//! All units at once: a task for each node, and the first failure that stops the others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use crate::buildkit::history::BuildId;
use crate::event::{Event, UnitEnd, UnitId};
use crate::plan::BuildPlan;
use crate::request::BuildRequest;
use crate::unit::{BuildUnit, UnitOutput};

use super::Surroundings;
use super::caches::Found;
use super::error::UnitError;
use super::inputs::Inputs;
use super::node::run_node;
use super::outcome::UnitReport;
use super::receive::Stages;

/// One build, as all its units see it.
pub(super) struct Job<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) plan: &'a BuildPlan,
    pub(super) around: &'a Surroundings,
    pub(super) inputs: &'a Inputs,
    pub(super) stages: &'a Stages,
    /// The local caches that there are to read.
    pub(super) found: &'a Found,
    /// What all its Solves have in common in the daemons' records.
    pub(super) id: BuildId,
    /// How many Solves each unit had so far.
    pub(super) solves: Solves,
    /// Set when every registry that will be pushed to lets us: no Solve is sent before.
    pub(super) pushable: SetOnce<()>,
}

impl Job<'_> {
    /// The reference of a unit's next Solve.
    pub(super) fn reference(&self, unit: UnitId) -> String {
        self.id.reference(self.solves.next(unit))
    }

    pub(super) fn emit(&self, event: Event) {
        // Nobody listens any more only when the program is about to end.
        drop(self.around.events.send(event));
    }
}

/// How many Solves each unit of a build had.
///
/// No two of a build have one number, since a daemon keeps the references it had for a while; and
/// first tries are numbered as the plan orders them, so that records tell the first platform
/// whichever daemon was reached first.
pub(super) struct Solves(Vec<AtomicUsize>);

impl Solves {
    /// None yet, of so many units.
    pub(super) fn of(units: usize) -> Self {
        Self((0..units).map(|_| AtomicUsize::new(0)).collect())
    }

    /// The number of a unit's next Solve, from 1 on.
    fn next(&self, unit: UnitId) -> usize {
        let tries = self.0[unit.0].fetch_add(1, Ordering::Relaxed);
        tries * self.0.len() + unit.0 + 1
    }
}

/// Runs every unit; reports come back in the plan's order.
pub(super) async fn run_units(job: &Job<'_>) -> Vec<UnitReport> {
    let cancel = job.around.interrupt.child_token();
    let mut by_node: BTreeMap<&str, Vec<&BuildUnit>> = BTreeMap::new();
    for unit in &job.plan.units {
        by_node.entry(&unit.node).or_default().push(unit);
    }
    let nodes = by_node
        .into_iter()
        .map(|(name, units)| run_node(job, name, units, &cancel));
    let mut reports: Vec<UnitReport> = join_all(nodes).await.into_iter().flatten().collect();
    reports.sort_by_key(|report| report.unit.id);
    reports
}

/// Tells of a unit's end, and stops the others when it failed and they should not go on.
pub(super) fn finish(
    job: &Job<'_>,
    unit: UnitId,
    result: &Result<UnitOutput, UnitError>,
    cancel: &CancellationToken,
) {
    let end = match result {
        Ok(_) => UnitEnd::Done,
        Err(error) if error.is_cancelled() => UnitEnd::Cancelled,
        Err(error) => {
            if !job.request.keep_going {
                cancel.cancel();
            }
            UnitEnd::Failed(error.to_string())
        }
    };
    job.emit(Event::UnitFinished {
        unit,
        at: Timestamp::now(),
        end,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_tries_are_numbered_in_the_plans_order() {
        let solves = Solves::of(3);
        let order = [1, 2, 1, 0, 1, 0];
        let numbers = order.map(|unit| solves.next(UnitId(unit)));
        assert_eq!(numbers, [2, 3, 5, 1, 8, 4]);
    }
}
