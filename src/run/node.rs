//! The units of one node: on one daemon at once, and on another one if that is lost.
//!
//! What a build does wrong is never tried again. What a lost daemon leaves undone is, on the
//! daemon that the node gives next.

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use crate::builder::{Fate, Instance, Node, Watch};
use crate::event::Event;
use crate::unit::BuildUnit;

use super::again::{after_push, is_worth_another_push};
use super::daemon::Daemon;
use super::error::UnitError;
use super::outcome::UnitReport;
use super::schedule::{Job, finish};
use super::unit::{self, Attempt};

/// What one unit came to on one daemon.
enum End<'a> {
    Final(Box<UnitReport>),
    /// The daemon was lost; another one may do it.
    Lost(&'a BuildUnit),
}

/// Builds all units of a node; reports come in no order.
pub(super) async fn run_node(
    job: &Job<'_>,
    name: &str,
    units: Vec<&BuildUnit>,
    cancel: &CancellationToken,
) -> Vec<UnitReport> {
    let node = match find(job, name) {
        Ok(node) => node,
        Err(error) => return not_started(job, &units, error, cancel),
    };
    let (mut reports, mut left) = (Vec::new(), units);
    let mut lost: Vec<Instance> = Vec::new();
    while !left.is_empty() {
        let connecting = async {
            let connected = Daemon::connect(node, &left, &lost, job).await;
            // What a registry refuses is told before what a daemon does, and nothing is built.
            job.pushable.wait().await;
            connected
        };
        let connected = tokio::select! {
            connected = connecting => connected,
            () = cancel.cancelled() => Err(UnitError::Cancelled),
        };
        let daemon = match connected {
            Ok(daemon) => daemon,
            Err(error) => {
                reports.extend(not_started(job, &left, error, cancel));
                break;
            }
        };
        let round = Round {
            job,
            daemon: &daemon,
            slots: node.spec().slots.map(Semaphore::new),
            watch: node.watch(&daemon.instance),
            retries: job.request.retries.saturating_sub(lost.len()),
            losses: lost.len(),
            cancel,
        };
        let ends = join_all(left.iter().map(|unit| round.run(unit))).await;
        left = Vec::new();
        for end in ends {
            match end {
                End::Final(report) => reports.push(*report),
                End::Lost(unit) => left.push(unit),
            }
        }
        lost.push(daemon.instance.clone());
        daemon.close().await;
    }
    reports
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

/// One daemon, and all that its units share.
struct Round<'a> {
    job: &'a Job<'a>,
    daemon: &'a Daemon,
    slots: Option<Semaphore>,
    /// `None` where a lost daemon is the end.
    watch: Option<Watch>,
    /// How often a lost unit may still be built elsewhere.
    retries: usize,
    /// How many daemons were lost before this one.
    losses: usize,
    cancel: &'a CancellationToken,
}

impl Round<'_> {
    async fn run<'u>(&self, unit: &'u BuildUnit) -> End<'u> {
        let attempt = self.attempt(unit).await;
        let Attempt { reference, result } = attempt;
        let result = match (result, &self.watch) {
            (Err(error), Some(watch)) if error.is_infrastructure() => {
                match self.after_loss(unit, error, watch).await {
                    None => return End::Lost(unit),
                    Some(error) => Err(error),
                }
            }
            (result, _) => result,
        };
        finish(self.job, unit.id, &result, self.cancel);
        End::Final(Box::new(UnitReport {
            unit: unit.clone(),
            instance: self.daemon.instance.name.clone(),
            reference,
            result,
        }))
    }

    /// Says why the daemon was lost; `None` when the unit is to be built on another one.
    async fn after_loss(
        &self,
        unit: &BuildUnit,
        error: UnitError,
        watch: &Watch,
    ) -> Option<UnitError> {
        if self.cancel.is_cancelled() {
            return Some(UnitError::Cancelled);
        }
        let fate = watch.fate().await;
        let is_own_fault = fate.as_ref().is_some_and(|fate| fate.is_own_fault);
        let error = match fate {
            Some(Fate { text, .. }) => UnitError::Died {
                text,
                source: Box::new(error),
            },
            None => error,
        };
        if is_own_fault || self.retries == 0 {
            return Some(error);
        }
        if let Err(error) = self.job.stages.renew(unit) {
            return Some(error);
        }
        let (platform, node) = (&unit.platform, &unit.node);
        let (next, most) = (self.losses + 1, self.job.request.retries);
        self.job.emit(Event::Warning(format!(
            "{platform} on {node}: {error}; building it again ({next} of {most})"
        )));
        None
    }

    async fn attempt(&self, unit: &BuildUnit) -> Attempt {
        let _slot = tokio::select! {
            slot = self.free_slot(unit) => slot,
            () = self.cancel.cancelled() => return Attempt::cancelled(),
        };
        self.job.emit(Event::UnitStarted {
            unit: unit.id,
            instance: self.daemon.instance.name.clone(),
            at: Timestamp::now(),
        });
        let attempt = unit::run(self.job, unit, self.daemon, self.cancel).await;
        let Err(error) = &attempt.result else {
            return attempt;
        };
        if !is_worth_another_push(unit, error) {
            return attempt;
        }
        self.job.emit(Event::Note(format!(
            "{} on {}: {error}; trying once more",
            unit.platform, unit.node
        )));
        tokio::select! {
            () = after_push() => {}
            () = self.cancel.cancelled() => return attempt,
        }
        match self.job.stages.renew(unit) {
            Ok(()) => unit::run(self.job, unit, self.daemon, self.cancel).await,
            Err(_) => attempt,
        }
    }

    async fn free_slot(&self, unit: &BuildUnit) -> Option<SemaphorePermit<'_>> {
        let slots = self.slots.as_ref()?;
        if let Ok(slot) = slots.try_acquire() {
            return Some(slot);
        }
        let reason = format!("a free slot on {}", unit.node);
        self.job.emit(Event::UnitWaiting {
            unit: unit.id,
            reason,
        });
        // The semaphore is never closed, so the only error cannot happen.
        slots.acquire().await.ok()
    }
}
