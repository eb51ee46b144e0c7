//! Where the results that come to this machine wait until every unit has succeeded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::buildkit::session::{FileSinks, Services, Sink};
use crate::causes::causes;
use crate::event::UnitId;
use crate::merge::StageError;
use crate::merge::file::FileStage;
use crate::merge::local::PlatformTree;
use crate::merge::stage::Stage;
use crate::plan::BuildPlan;
use crate::receive::TreeState;
use crate::unit::{BuildUnit, ExportKind, MergeStep, UnitExport};

use super::error::UnitError;

/// Every place that units' results are received into. Making and dropping it blocks on the
/// disk.
pub(super) struct Stages {
    /// Stages of directory outputs, by output.
    trees: BTreeMap<usize, Stage>,
    /// Stages of file outputs, by output.
    files: BTreeMap<usize, FileStage>,
    /// What each unit's exporters write into, by the exporter's id.
    sinks: Mutex<BTreeMap<UnitId, BTreeMap<u32, Sink>>>,
}

impl Stages {
    /// Makes all of them: a destination that cannot be written is found before anything is
    /// built.
    pub(super) fn create(plan: &BuildPlan, temp: &Path) -> Result<Self, StageError> {
        let mut stages = Stages {
            trees: BTreeMap::new(),
            files: BTreeMap::new(),
            sinks: Mutex::default(),
        };
        for step in &plan.merge {
            match step {
                MergeStep::Publish { .. } => {}
                MergeStep::Local { output, dest, .. } => {
                    stages.trees.insert(*output, Stage::create(dest)?);
                }
                MergeStep::File { output, dest } => {
                    let stage = FileStage::create(dest.as_deref(), temp)?;
                    stages.files.insert(*output, stage);
                }
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
            if let Some(sink) = self.sink(export)? {
                sinks.insert(id, sink);
            }
        }
        Ok(sinks)
    }

    fn sink(&self, export: &UnitExport) -> Result<Option<Sink>, StageError> {
        Ok(match export.kind {
            ExportKind::Push | ExportKind::Store => None,
            ExportKind::Tree => match self.trees.get(&export.output) {
                Some(stage) => Some(Sink::Tree(stage.tree()?)),
                None => None,
            },
            ExportKind::File(_) => match self.files.get(&export.output) {
                Some(stage) => Some(Sink::File(stage.attempt()?)),
                None => None,
            },
        })
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

    /// Takes the stage of a directory output, with the trees of the units in their order.
    pub(super) fn take_trees(
        &mut self,
        output: usize,
        plan: &BuildPlan,
    ) -> Option<(Stage, Vec<PlatformTree>)> {
        let stage = self.trees.remove(&output)?;
        let trees = plan.units.iter().filter_map(|unit| {
            let sinks = (0..).zip(&unit.exports);
            let (id, _) = sinks
                .into_iter()
                .find(|(_, export)| export.output == output)?;
            match self.sinks().get(&unit.id)?.get(&id)? {
                Sink::Tree(tree) => Some(PlatformTree {
                    platforms: vec![unit.platform.clone()],
                    tree: Arc::clone(tree),
                }),
                Sink::File(_) => None,
            }
        });
        Some((stage, trees.collect()))
    }

    /// The stage of a file output.
    pub(super) fn file(&self, output: usize) -> Option<&FileStage> {
        self.files.get(&output)
    }

    /// Takes the stage of a file output.
    pub(super) fn take_file(&mut self, output: usize) -> Option<FileStage> {
        self.files.remove(&output)
    }
}
