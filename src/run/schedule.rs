//! All units at once: a task for each node, a free slot for each unit, and the first failure
//! that stops the others.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::builder::Node;
use crate::event::{Event, UnitEnd, UnitId};
use crate::plan::BuildPlan;
use crate::request::BuildRequest;
use crate::unit::{BuildUnit, UnitOutput};

use super::Surroundings;
use super::again::is_worth_another_push;
use super::daemon::Daemon;
use super::error::UnitError;
use super::inputs::Inputs;
use super::outcome::UnitReport;
use super::receive::Stages;
use super::unit::{self, Attempt};

/// The pause before an image is pushed once more.
const PUSH_PAUSE: Duration = Duration::from_secs(1);

/// One build, as all its units see it.
pub(super) struct Job<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) plan: &'a BuildPlan,
    pub(super) around: &'a Surroundings,
    pub(super) inputs: &'a Inputs,
    pub(super) stages: &'a Stages,
}

impl Job<'_> {
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

async fn run_node(
    job: &Job<'_>,
    name: &str,
    units: Vec<&BuildUnit>,
    cancel: &CancellationToken,
) -> Vec<UnitReport> {
    let connected = tokio::select! {
        connected = connect(job, name, &units) => connected,
        () = cancel.cancelled() => Err(UnitError::Cancelled),
    };
    let (daemon, slots) = match connected {
        Ok(connected) => connected,
        Err(error) => return not_started(job, &units, error, cancel),
    };
    let runs = units.iter().map(|unit| async {
        let attempt = run_one(job, unit, &daemon, slots.as_ref(), cancel).await;
        let report = UnitReport {
            unit: (*unit).clone(),
            instance: daemon.instance.clone(),
            reference: attempt.reference,
            result: attempt.result,
        };
        finish(job, unit.id, &report.result, cancel);
        report
    });
    let reports = join_all(runs).await;
    daemon.close().await;
    reports
}

async fn connect(
    job: &Job<'_>,
    name: &str,
    units: &[&BuildUnit],
) -> Result<(Daemon, Option<Semaphore>), UnitError> {
    let node = find(job, name)?;
    let daemon = Daemon::connect(node, units, job.inputs, job.around).await?;
    Ok((daemon, node.spec().slots.map(Semaphore::new)))
}

fn find<'a>(job: &Job<'a>, name: &str) -> Result<&'a Node, UnitError> {
    job.around
        .builder
        .nodes
        .iter()
        .find(|node| node.name() == name)
        .ok_or_else(|| UnitError::Lacks {
            endpoint: format!("builder {}", job.around.builder.name),
            lack: format!("has no node {name}"),
        })
}

/// All units of a node whose daemon was not reached: the first one says why.
fn not_started(
    job: &Job<'_>,
    units: &[&BuildUnit],
    error: UnitError,
    cancel: &CancellationToken,
) -> Vec<UnitReport> {
    let mut error = Some(error);
    units
        .iter()
        .map(|unit| {
            let result = Err(error.take().unwrap_or(UnitError::Cancelled));
            finish(job, unit.id, &result, cancel);
            UnitReport {
                unit: (*unit).clone(),
                instance: None,
                reference: String::new(),
                result,
            }
        })
        .collect()
}

async fn run_one(
    job: &Job<'_>,
    unit: &BuildUnit,
    daemon: &Daemon,
    slots: Option<&Semaphore>,
    cancel: &CancellationToken,
) -> Attempt {
    let _slot = tokio::select! {
        slot = free_slot(job, unit, slots) => slot,
        () = cancel.cancelled() => return Attempt::cancelled(),
    };
    job.emit(Event::UnitStarted {
        unit: unit.id,
        at: Timestamp::now(),
    });
    let attempt = unit::run(job, unit, daemon, cancel).await;
    let Err(error) = &attempt.result else {
        return attempt;
    };
    if !is_worth_another_push(unit, error) {
        return attempt;
    }
    job.emit(Event::Note(format!(
        "{} on {}: {error}; trying once more",
        unit.platform, unit.node
    )));
    tokio::select! {
        () = sleep(PUSH_PAUSE) => unit::run(job, unit, daemon, cancel).await,
        () = cancel.cancelled() => attempt,
    }
}

async fn free_slot<'a>(
    job: &Job<'_>,
    unit: &BuildUnit,
    slots: Option<&'a Semaphore>,
) -> Option<SemaphorePermit<'a>> {
    let slots = slots?;
    if let Ok(slot) = slots.try_acquire() {
        return Some(slot);
    }
    let reason = format!("a free slot on {}", unit.node);
    job.emit(Event::UnitWaiting {
        unit: unit.id,
        reason,
    });
    // The semaphore is never closed, so the only error cannot happen.
    slots.acquire().await.ok()
}

/// Tells of a unit's end, and stops the others when it failed and they should not go on.
fn finish(
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
