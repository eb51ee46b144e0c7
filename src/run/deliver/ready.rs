//! [`Ready`]: what was received, checked and made what it shall be, before anything is moved.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::merge::MergeError;
use crate::merge::archive::{CheckedLayout, Image, LayoutStage, Received, gather};
use crate::merge::file::FileStage;
use crate::merge::local::{Checked, Layout, Others, check};
use crate::merge::stage::Stage;
use crate::merge::tars;
use crate::receive::FileSink;
use crate::unit::{ImageNotes, MergeStep};

use super::super::error::DeliverError;
use super::super::receive::{Place, Stages};

/// What has been received, before and after it is checked.
pub(super) struct Ready {
    stages: Stages,
    /// What can be moved, by the position of its step.
    checked: BTreeMap<usize, Goods>,
}

/// Something that can be moved.
pub(super) enum Goods {
    Trees(Stage, Checked),
    File(FileStage),
    /// An image in one file.
    Image(FileStage, Image),
    Layout(LayoutStage, CheckedLayout),
}

impl Ready {
    pub(super) fn new(stages: Stages) -> Self {
        Self {
            stages,
            checked: BTreeMap::new(),
        }
    }

    /// Checks all that lies on this machine's disk; a failure comes with its step's position.
    pub(super) async fn check(
        &mut self,
        steps: &[(usize, &MergeStep)],
    ) -> Result<(), (usize, DeliverError)> {
        for (position, step) in steps {
            self.check_step(*position, step)
                .await
                .map_err(|error| (*position, error))?;
        }
        Ok(())
    }

    async fn check_step(&mut self, position: usize, step: &MergeStep) -> Result<(), DeliverError> {
        if matches!(step, MergeStep::Publish { .. }) {
            return Ok(());
        }
        let Some(place) = self.stages.take(position) else {
            return Err(DeliverError::Skipped);
        };
        let work: Box<dyn FnOnce() -> Result<Goods, MergeError> + Send> = match (step, place) {
            (MergeStep::Local { mirror, split, .. }, Place::Trees(stage)) => {
                let trees = self.stages.trees(position);
                let layout = match split {
                    true => Layout::Split,
                    false => Layout::Joined,
                };
                let others = match mirror {
                    true => Others::Delete,
                    false => Others::Keep,
                };
                Box::new(move || {
                    let checked = check(&stage, trees, layout, others)?;
                    Ok(Goods::Trees(stage, checked))
                })
            }
            (MergeStep::Image { notes, .. }, place) => {
                let (received, notes) = (self.stages.files(position), notes.clone());
                Box::new(move || image(&received, &notes, place))
            }
            (MergeStep::Tars { .. }, Place::File(stage)) => {
                let received = self.stages.files(position);
                Box::new(move || {
                    tars::join(&received, &*stage.attempt()?)?;
                    Ok(Goods::File(stage))
                })
            }
            (MergeStep::File { .. }, Place::File(stage)) => Box::new(move || {
                stage.check()?;
                Ok(Goods::File(stage))
            }),
            _ => return Err(DeliverError::Skipped),
        };
        let goods = spawn_blocking(work).await.map_err(DeliverError::Task)??;
        self.checked.insert(position, goods);
        Ok(())
    }

    /// Takes what a step delivers; `None` when it was not checked.
    pub(super) fn take(&mut self, position: usize) -> Option<Goods> {
        self.checked.remove(&position)
    }
}

/// Makes one image, every blob of it checked, and puts it beside its destination.
fn image(received: &[Received], notes: &ImageNotes, place: Place) -> Result<Goods, MergeError> {
    let image = gather(received, notes)?;
    match place {
        Place::Layout(stage) => {
            let checked = stage.check(image)?;
            Ok(Goods::Layout(stage, checked))
        }
        Place::File(stage) if image.is_as_sent() => {
            image.verify()?;
            Ok(Goods::Image(stage, image))
        }
        Place::File(stage) => {
            let file: Arc<FileSink> = stage.attempt()?;
            image.write_tar(&file)?;
            Ok(Goods::Image(stage, image))
        }
        Place::Trees(_) => Err(MergeError::Incomplete {
            platform: "the image".to_owned(),
        }),
    }
}
