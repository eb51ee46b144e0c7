//! Makes one result of what the units left: files into place, then images under their names.
//!
//! Every output is checked before the first one is moved, so that two platforms that clash in one
//! leave the others as they were, too. Files come first, since what can clash or fill a disk should fail before a name is moved;
//! stdout comes last, since what was written there cannot be taken back.

use std::collections::BTreeMap;
use std::io;

use tokio::task::spawn_blocking;

use crate::event::{ClientStep, Event};
use crate::merge::MergeError;
use crate::merge::local::{Checked, Layout, Others, check};
use crate::merge::registry::{Publication, Pushed, publish};
use crate::merge::stage::Stage;
use crate::plan::BuildPlan;
use crate::unit::MergeStep;

use super::Surroundings;
use super::error::DeliverError;
use super::outcome::{Delivered, UnitReport};
use super::receive::Stages;

/// Delivers every output; the results are in the order of delivery. After the first failure
/// the rest is left undone.
pub(super) async fn deliver(
    plan: &BuildPlan,
    units: &[UnitReport],
    stages: Stages,
    around: &Surroundings,
) -> Vec<Result<Delivered, DeliverError>> {
    let mut steps: Vec<&MergeStep> = plan.merge.iter().collect();
    steps.sort_by_key(|step| turn(step));
    let mut results: Vec<Result<Delivered, DeliverError>> = Vec::new();
    let mut ready = Ready {
        stages,
        trees: BTreeMap::new(),
    };
    if let Err((at, fault)) = ready.check(&steps, plan).await {
        results.extend(steps.iter().map(|_| Err(DeliverError::Skipped)));
        results[at] = Err(fault);
        steps.clear();
    }
    for step in steps {
        let result = match results.iter().any(Result::is_err) {
            true => Err(DeliverError::Skipped),
            false => deliver_step(step, units, &mut ready, around).await,
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
        MergeStep::File { dest: Some(_), .. } => 1,
        MergeStep::Publish { .. } => 2,
        MergeStep::File { dest: None, .. } => 3,
    }
}

/// What has been received, before and after it is checked.
struct Ready {
    stages: Stages,
    /// Trees that can be moved, by output.
    trees: BTreeMap<usize, (Stage, Checked)>,
}

impl Ready {
    /// Checks all that lies on this machine's disk; a failure comes with its step's position.
    async fn check(
        &mut self,
        steps: &[&MergeStep],
        plan: &BuildPlan,
    ) -> Result<(), (usize, DeliverError)> {
        for (position, step) in steps.iter().enumerate() {
            self.check_step(step, plan)
                .await
                .map_err(|error| (position, error))?;
        }
        Ok(())
    }

    async fn check_step(&mut self, step: &MergeStep, plan: &BuildPlan) -> Result<(), DeliverError> {
        match step {
            MergeStep::Local {
                output,
                mirror,
                split,
                ..
            } => {
                let Some((stage, trees)) = self.stages.take_trees(*output, plan) else {
                    return Err(DeliverError::Skipped);
                };
                let layout = if *split {
                    Layout::Split
                } else {
                    Layout::Joined
                };
                let others = if *mirror {
                    Others::Delete
                } else {
                    Others::Keep
                };
                let work =
                    move || check(&stage, trees, layout, others).map(|checked| (stage, checked));
                let checked = spawn_blocking(work).await.map_err(DeliverError::Task)??;
                self.trees.insert(*output, checked);
                Ok(())
            }
            MergeStep::File { output, .. } => match self.stages.file(*output) {
                Some(stage) => Ok(stage.check()?),
                None => Err(DeliverError::Skipped),
            },
            MergeStep::Publish { .. } => Ok(()),
        }
    }
}

async fn deliver_step(
    step: &MergeStep,
    units: &[UnitReport],
    ready: &mut Ready,
    around: &Surroundings,
) -> Result<Delivered, DeliverError> {
    match step {
        MergeStep::Local { output, dest, .. } => {
            let Some((stage, checked)) = ready.trees.remove(output) else {
                return Err(DeliverError::Skipped);
            };
            let name = format!("writing {}", dest.display());
            let work = move || checked.commit(&stage);
            let report = blocking(around, name, work).await?;
            for warning in report.warnings {
                drop(around.events.send(Event::Warning(warning)));
            }
            Ok(Delivered::Tree(dest.clone()))
        }
        MergeStep::File { output, dest } => {
            let Some(stage) = ready.stages.take_file(*output) else {
                return Err(DeliverError::Skipped);
            };
            let name = match dest {
                Some(dest) => format!("writing {}", dest.display()),
                None => "writing to stdout".to_owned(),
            };
            blocking(around, name, move || stage.commit(&mut io::stdout().lock())).await?;
            Ok(Delivered::File(dest.clone()))
        }
        MergeStep::Publish {
            repositories,
            tags,
            index_annotations,
            descriptor_annotations,
            ..
        } => {
            let publication = Publication {
                repositories,
                tags,
                index_annotations,
                descriptor_annotations,
            };
            let report = |step| drop(around.events.send(Event::Client(step)));
            let pushed = pushed(units)?;
            let published = publish(&around.registries, &publication, &pushed, &report).await?;
            for warning in &published.warnings {
                drop(around.events.send(Event::Warning(warning.clone())));
            }
            Ok(Delivered::Published(Box::new(published)))
        }
    }
}

fn pushed(units: &[UnitReport]) -> Result<Vec<Pushed>, DeliverError> {
    let results = units
        .iter()
        .filter_map(|unit| Some((&unit.unit, unit.result.as_ref().ok()?)));
    let pushed = results.map(|(unit, output)| {
        let from = format!("{} on {}", unit.platform, unit.node);
        Pushed::read(&from, Some(unit.platform.clone()), output)
    });
    Ok(pushed.collect::<Result<_, _>>()?)
}

/// Does blocking work as a step that the user sees.
async fn blocking<T: Send + 'static>(
    around: &Surroundings,
    name: String,
    work: impl FnOnce() -> Result<T, MergeError> + Send + 'static,
) -> Result<T, DeliverError> {
    let tell = |end| {
        let name = name.clone();
        drop(around.events.send(Event::Client(ClientStep { name, end })));
    };
    tell(None);
    let result = spawn_blocking(work)
        .await
        .map_err(DeliverError::Task)
        .and_then(|result| result.map_err(DeliverError::Local));
    tell(Some(result.as_ref().map(drop).map_err(ToString::to_string)));
    result
}
