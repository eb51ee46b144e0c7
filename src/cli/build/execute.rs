//! Runs a placed build with its progress on stderr, until it ends or the user stops it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use crate::event::{Event, UnitLabel};
use crate::plan::BuildPlan;
use crate::progress::{self, Renderer, State};
use crate::request::BuildRequest;
use crate::run::{self, BuildOutcome, PrepareError, Surroundings};

/// How long a stopped build may take to tell its daemons and clean up: a user who pressed
/// Ctrl-C gets the prompt back within two seconds.
const STOP_LIMIT: Duration = Duration::from_millis(1500);
/// How long the last progress may take to be written; the terminal may be stopped by Ctrl-S.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// What a build came to, and the picture that its progress left.
pub(super) struct Executed {
    /// `None` when the user stopped it and it did not end in time.
    pub(super) outcome: Option<Result<BuildOutcome, PrepareError>>,
    pub(super) progress: State,
}

/// Runs the build.
pub(super) async fn execute(
    request: Arc<BuildRequest>,
    plan: Arc<BuildPlan>,
    around: Surroundings,
    events: tokio::sync::mpsc::UnboundedReceiver<Event>,
    renderer: Box<dyn Renderer>,
) -> Executed {
    let shown = progress::start(events, renderer, io::stderr());
    announce(&plan, &around.events);
    let interrupt = around.interrupt.clone();
    let mut work = tokio::spawn(async move { run::run(&request, &plan, &around).await });
    let outcome = tokio::select! {
        outcome = &mut work => Some(outcome),
        () = interrupt.cancelled() => timeout(STOP_LIMIT, &mut work).await.ok(),
    };
    // Dropping the task is what closes the channel of a build that did not stop.
    work.abort();
    let progress = timeout(WRITE_LIMIT, shown)
        .await
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default();
    let outcome = match outcome {
        Some(Ok(outcome)) => Some(outcome),
        Some(Err(error)) => Some(Err(PrepareError::Task(error))),
        None => None,
    };
    Executed { outcome, progress }
}

fn announce(plan: &BuildPlan, events: &UnboundedSender<Event>) {
    let labels = plan
        .units
        .iter()
        .map(|unit| UnitLabel {
            unit: unit.id,
            platform: Some(unit.platform.clone()),
            node: unit.node.clone(),
            instance: None,
        })
        .collect();
    drop(events.send(Event::Planned(labels)));
    for warning in &plan.warnings {
        drop(events.send(Event::Warning(warning.clone())));
    }
}
