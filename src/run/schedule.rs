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
    /// How many Solves there were so far.
    pub(super) solves: AtomicUsize,
    /// Set when every registry that will be pushed to lets us: no Solve is sent before.
    pub(super) pushable: SetOnce<()>,
}

impl Job<'_> {
    /// The reference of the next Solve: a daemon keeps the ones it had for a while.
    pub(super) fn reference(&self) -> String {
        let number = self.solves.fetch_add(1, Ordering::Relaxed);
        self.id.reference(number + 1)
    }

    pub(super) fn emit(&self, event: Event) {
        // Nobody listens any more only when the program is about to end.
        drop(self.around.events.send(event));
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
