//! Where the results that come to this machine wait until every unit has succeeded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::buildkit::session::{FileSinks, Services, Sink};
use crate::causes::causes;
use crate::event::UnitId;
use crate::merge::StageError;
use crate::merge::archive::{LayoutStage, Received};
use crate::merge::file::FileStage;
use crate::merge::local::PlatformTree;
use crate::merge::stage::Stage;
use crate::plan::BuildPlan;
use crate::receive::{FileSink, TreeState};
use crate::unit::{BuildUnit, ExportKind, ImageTo, MergeStep, UnitExport};

use super::error::UnitError;

/// Every place that units' results are received into. Making and dropping it blocks on the
/// disk.
pub(super) struct Stages {
    plan: BuildPlan,
    /// The place of each merge step that has one, by the step's position.
    places: BTreeMap<usize, Place>,
    /// What each unit's exporters write into, by the exporter's id.
    sinks: Mutex<BTreeMap<UnitId, BTreeMap<u32, Sink>>>,
}

/// Where one merge step's results wait.
pub(super) enum Place {
    Trees(Stage),
    File(FileStage),
    Layout(LayoutStage),
}

impl Place {
    fn create(step: &MergeStep, temp: &Path) -> Result<Option<Self>, StageError> {
        Ok(Some(match step {
            MergeStep::Publish { .. } => return Ok(None),
            MergeStep::Local { dest, .. } => Place::Trees(Stage::create(dest)?),
            MergeStep::File { dest, .. }
            | MergeStep::Tars { dest, .. }
            | MergeStep::Image {
                to: ImageTo::File(dest),
                ..
            } => Place::File(FileStage::create(dest.as_deref(), temp)?),
            MergeStep::Image {
                to: ImageTo::NamedEngine | ImageTo::Node(_),
                ..
            } => Place::File(FileStage::create(None, temp)?),
            MergeStep::Image {
                to: ImageTo::Layout(dest),
                ..
            } => Place::Layout(LayoutStage::create(dest)?),
        }))
    }

    fn sink(&self) -> Result<Sink, StageError> {
        Ok(match self {
            Place::Trees(stage) => Sink::Tree(stage.tree()?),
            Place::File(stage) => Sink::File(stage.attempt()?),
            Place::Layout(stage) => Sink::File(stage.attempt()?),
        })
    }
}

impl Stages {
    /// Makes all of them: a destination that cannot be written is found before anything is
    /// built.
    pub(super) fn create(plan: &BuildPlan, temp: &Path) -> Result<Self, StageError> {
        let mut stages = Stages {
            plan: plan.clone(),
            places: BTreeMap::new(),
            sinks: Mutex::default(),
        };
        for (position, step) in plan.merge.iter().enumerate() {
            if let Some(place) = Place::create(step, temp)? {
                stages.places.insert(position, place);
            }
        }
        for unit in &plan.units {
            let sinks = stages.sinks_of(unit)?;
            stages.sinks().insert(unit.id, sinks);
        }
        Ok(stages)
    }

    /// Makes other places for a unit that is built again; what came before counts for nothing.
    pub(super) fn renew(&self, unit: &BuildUnit) -> Result<(), UnitError> {
        let sinks = self.sinks_of(unit);
        let sinks = sinks.map_err(|error| UnitError::Write(causes(&error)))?;
        self.sinks().insert(unit.id, sinks);
        Ok(())
    }

    fn sinks(&self) -> MutexGuard<'_, BTreeMap<UnitId, BTreeMap<u32, Sink>>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sinks_of(&self, unit: &BuildUnit) -> Result<BTreeMap<u32, Sink>, StageError> {
        let mut sinks = BTreeMap::new();
        for (id, export) in (0..).zip(&unit.exports) {
            if let Some(place) = self.place_of(unit, export) {
                sinks.insert(id, place.sink()?);
            }
        }
        Ok(sinks)
    }

    fn place_of(&self, unit: &BuildUnit, export: &UnitExport) -> Option<&Place> {
        if matches!(export.kind, ExportKind::Push | ExportKind::Store) {
            return None;
        }
        let mut steps = self.plan.merge.iter();
        let position = steps.position(|step| step.takes(unit, export.output))?;
        self.places.get(&position)
    }

    /// Adds the service that takes this unit's results.
    pub(super) fn serve(
        &self,
        services: Services,
        unit: &BuildUnit,
        received: &Arc<AtomicU64>,
    ) -> Services {
        match self.sinks().get(&unit.id) {
            Some(sinks) if !sinks.is_empty() => services.file_send(FileSinks {
                sinks: sinks.clone(),
                received: Arc::clone(received),
            }),
            _ => services,
        }
    }

    /// Why this unit's results could not be written here; `None` when they could.
    pub(super) fn failure(&self, unit: &BuildUnit) -> Option<String> {
        let sinks = self.sinks();
        sinks.get(&unit.id)?.values().find_map(|sink| match sink {
            Sink::Tree(tree) => tree.failure(),
            Sink::File(file) => file.failure().map(str::to_owned),
        })
    }

    /// Checks that everything came of which the unit's daemon says that it sent it.
    pub(super) fn check(&self, unit: &BuildUnit, endpoint: &str) -> Result<(), UnitError> {
        let sinks = self.sinks();
        let complete = sinks
            .get(&unit.id)
            .into_iter()
            .flatten()
            .all(|(_, sink)| match sink {
                Sink::Tree(tree) => tree.state() == TreeState::Complete,
                Sink::File(file) => file.is_complete(),
            });
        match complete {
            true => Ok(()),
            false => Err(UnitError::Incomplete {
                endpoint: endpoint.to_owned(),
            }),
        }
    }

    /// Takes the place of a merge step; `None` when it has none, or it was taken before.
    pub(super) fn take(&mut self, step: usize) -> Option<Place> {
        self.places.remove(&step)
    }

    /// The trees that came for a merge step, in the units' order.
    pub(super) fn trees(&self, step: usize) -> Vec<PlatformTree> {
        let sinks = self.received(step).into_iter();
        sinks
            .filter_map(|(unit, sink)| match sink {
                Sink::Tree(tree) => Some(PlatformTree {
                    platforms: vec![unit.platform.clone()],
                    tree,
                }),
                Sink::File(_) => None,
            })
            .collect()
    }

    /// The files that came for a merge step, in the units' order.
    pub(super) fn files(&self, step: usize) -> Vec<Received> {
        let of = |unit: &BuildUnit, file: Arc<FileSink>| Received {
            from: format!("{} on {}", unit.platform, unit.node),
            platform: unit.platform.clone(),
            file,
        };
        let sinks = self.received(step).into_iter();
        sinks
            .filter_map(|(unit, sink)| match sink {
                Sink::File(file) => Some(of(unit, file)),
                Sink::Tree(_) => None,
            })
            .collect()
    }

    fn received(&self, step: usize) -> Vec<(&BuildUnit, Sink)> {
        let sinks = self.sinks();
        let sink = |unit: &BuildUnit| {
            let mut exports = (0..).zip(&unit.exports);
            let (id, _) = exports.find(|(_, export)| {
                let merge = &self.plan.merge;
                merge
                    .iter()
                    .position(|other| other.takes(unit, export.output))
                    == Some(step)
            })?;
            sinks.get(&unit.id)?.get(&id).cloned()
        };
        let units = self.plan.units.iter();
        units.filter_map(|unit| Some((unit, sink(unit)?))).collect()
    }
}
