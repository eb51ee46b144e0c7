//! Makes one result of what the units left: files into place, then images under their names.
//!
//! Every output is checked before the first one is moved, so that two platforms that clash in one
//! leave the others as they were, too. Files come first, since what can clash or fill a disk
//! should fail before a name is moved; stdout comes last, since what was written there cannot be
//! taken back.

mod load;
mod ready;

use std::io;

use tokio::task::spawn_blocking;

use crate::event::{ClientStep, Event};
use crate::merge::MergeError;
use crate::merge::archive::Image;
use crate::merge::registry::{Publication, Pushed, publish};
use crate::plan::BuildPlan;
use crate::unit::{ExportKind, ImageTo, MergeStep};

use super::Surroundings;
use super::error::DeliverError;
use super::outcome::{Delivered, DeliveredImage, UnitReport};
use super::receive::Stages;
use ready::{Goods, Ready};

/// Delivers every output; the results are in the order of delivery. After the first failure
/// the rest is left undone.
pub(super) async fn deliver(
    plan: &BuildPlan,
    units: &[UnitReport],
    stages: Stages,
    around: &Surroundings,
) -> Vec<Result<Delivered, DeliverError>> {
    let mut steps: Vec<(usize, &MergeStep)> = plan.merge.iter().enumerate().collect();
    steps.sort_by_key(|(_, step)| turn(step));
    let mut results: Vec<Result<Delivered, DeliverError>> = Vec::new();
    let mut ready = Ready::new(stages);
    if let Err((failed, fault)) = ready.check(&steps).await {
        let mut fault = Some(fault);
        results.extend(steps.iter().map(|(position, _)| {
            let fault = fault.take_if(|_| *position == failed);
            Err(fault.unwrap_or(DeliverError::Skipped))
        }));
        steps.clear();
    }
    for (position, step) in steps {
        let result = match results.iter().any(Result::is_err) {
            true => Err(DeliverError::Skipped),
            false => deliver_step((position, step), units, &mut ready, around).await,
        };
        results.push(result);
    }
    // What is left are stages of outputs that were skipped; removing them takes the disk's time.
    drop(spawn_blocking(move || drop(ready)).await);
    results
}

fn turn(step: &MergeStep) -> u8 {
    match step {
        MergeStep::Local { .. } => 0,
        MergeStep::File { dest: Some(_), .. } | MergeStep::Tars { dest: Some(_), .. } => 1,
        MergeStep::Image { to, .. } => match to {
            ImageTo::File(Some(_)) | ImageTo::Layout(_) => 1,
            ImageTo::NamedEngine | ImageTo::Node(_) => 2,
            ImageTo::File(None) => 4,
        },
        MergeStep::Publish { .. } => 3,
        MergeStep::File { dest: None, .. } | MergeStep::Tars { dest: None, .. } => 4,
    }
}

async fn deliver_step(
    (position, step): (usize, &MergeStep),
    units: &[UnitReport],
    ready: &mut Ready,
    around: &Surroundings,
) -> Result<Delivered, DeliverError> {
    if let MergeStep::Publish { .. } = step {
        return published(step, units, around).await;
    }
    let name = match destination(step) {
        Some(dest) => format!("writing {}", dest.display()),
        None => "writing to stdout".to_owned(),
    };
    let dest = destination(step).cloned();
    match (ready.take(position), step) {
        (Some(Goods::Trees(stage, checked)), _) => {
            let report = blocking(around, name, move || checked.commit(&stage)).await?;
            for warning in report.warnings {
                drop(around.events.send(Event::Warning(warning)));
            }
            Ok(Delivered::Tree(dest.unwrap_or_default()))
        }
        (Some(Goods::File(stage)), _) => {
            blocking(around, name, move || stage.commit(&mut io::stdout().lock())).await?;
            Ok(Delivered::File(dest))
        }
        (Some(Goods::Layout(stage, checked)), _) => {
            let image = blocking(around, name, move || {
                stage.commit(&checked)?;
                Ok(checked.image)
            });
            Ok(delivered(step, &image.await?))
        }
        (
            Some(Goods::Image(stage, image)),
            MergeStep::Image {
                output,
                to: to @ (ImageTo::NamedEngine | ImageTo::Node(_)),
                ..
            },
        ) => {
            load::load(around, (*output, to), stage).await?;
            Ok(delivered(step, &image))
        }
        (Some(Goods::Image(stage, image)), _) => {
            blocking(around, name, move || stage.commit(&mut io::stdout().lock())).await?;
            Ok(delivered(step, &image))
        }
        (None, _) => Err(DeliverError::Skipped),
    }
}

fn destination(step: &MergeStep) -> Option<&std::path::PathBuf> {
    match step {
        MergeStep::Local { dest, .. } => Some(dest),
        MergeStep::File { dest, .. } | MergeStep::Tars { dest, .. } => dest.as_ref(),
        MergeStep::Image { to, .. } => match to {
            ImageTo::File(dest) => dest.as_ref(),
            ImageTo::Layout(dest) => Some(dest),
            ImageTo::NamedEngine | ImageTo::Node(_) => None,
        },
        MergeStep::Publish { .. } => None,
    }
}

fn delivered(step: &MergeStep, image: &Image) -> Delivered {
    let names = match step {
        MergeStep::Image { notes, .. } => notes.names.clone(),
        _ => Vec::new(),
    };
    Delivered::Image(Box::new(DeliveredImage {
        root: image.root.clone(),
        entries: image.entries.clone(),
        names,
    }))
}

async fn published(
    step: &MergeStep,
    units: &[UnitReport],
    around: &Surroundings,
) -> Result<Delivered, DeliverError> {
    let MergeStep::Publish {
        output,
        repositories,
        tags,
        index_annotations,
        descriptor_annotations,
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
    let report = |step| drop(around.events.send(Event::Client(step)));
    let pushed = pushed(units, *output)?;
    let published = publish(&around.registries, &publication, &pushed, &report).await?;
    for warning in &published.warnings {
        drop(around.events.send(Event::Warning(warning.clone())));
    }
    Ok(Delivered::Published(Box::new(published)))
}

/// What the units pushed for one output.
fn pushed(units: &[UnitReport], output: usize) -> Result<Vec<Pushed>, DeliverError> {
    let results = units
        .iter()
        .filter_map(|unit| Some((&unit.unit, unit.result.as_ref().ok()?)));
    let pushed = results.map(|(unit, answer)| {
        let from = format!("{} on {}", unit.platform, unit.node);
        let mut exports = unit.exports.iter();
        let exporter =
            exports.position(|export| export.output == output && export.kind == ExportKind::Push);
        let answer = answer.of_exporter(exporter.unwrap_or(0));
        Pushed::read(&from, Some(unit.platform.clone()), &answer)
    });
    Ok(pushed.collect::<Result<_, _>>()?)
}

/// Does blocking work as a step that the user sees.
async fn blocking<T: Send + 'static>(
    around: &Surroundings,
    name: String,
    work: impl FnOnce() -> Result<T, MergeError> + Send + 'static,
) -> Result<T, DeliverError> {
    let work = async {
        let done = spawn_blocking(work).await.map_err(DeliverError::Task)?;
        done.map_err(DeliverError::Local)
    };
    step(around, name, work).await
}

/// Does something as a step that the user sees.
async fn step<T>(
    around: &Surroundings,
    name: String,
    work: impl Future<Output = Result<T, DeliverError>>,
) -> Result<T, DeliverError> {
    let tell = |end| {
        let name = name.clone();
        drop(around.events.send(Event::Client(ClientStep { name, end })));
    };
    tell(None);
    let result = work.await;
    tell(Some(result.as_ref().map(drop).map_err(ToString::to_string)));
    result
}
