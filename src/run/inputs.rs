//! What a build's daemons may ask for: the directories, walked once, and the archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tempfile::TempDir;

use crate::buildkit::session::{Services, random_id};
use crate::merge::stage::is_stage_name;
use crate::request::{BuildContext, BuildRequest, Dockerfile};
use crate::tree::ContextTree;

use super::error::PrepareError;
use super::frontend::{CONTEXT_MOUNT, DOCKERFILE_MOUNT};

/// The inputs of one build, shared by all its sessions.
pub(super) struct Inputs {
    trees: BTreeMap<String, Arc<ContextTree>>,
    archive: Option<(String, PathBuf)>,
    /// Stands for a context without files.
    _empty: Option<TempDir>,
}

impl Inputs {
    /// Opens the context and the Dockerfile's directory.
    pub(super) async fn load(request: &BuildRequest) -> Result<Self, PrepareError> {
        let request = (request.context.clone(), request.dockerfile.clone());
        tokio::task::spawn_blocking(move || Self::open(&request.0, &request.1))
            .await
            .map_err(PrepareError::Task)?
    }

    fn open(context: &BuildContext, dockerfile: &Dockerfile) -> Result<Self, PrepareError> {
        let mut inputs = Inputs {
            trees: BTreeMap::new(),
            archive: None,
            _empty: None,
        };
        match context {
            BuildContext::Directory(path) => inputs.mount(CONTEXT_MOUNT, path)?,
            BuildContext::Archive(path) => {
                let id = random_id().map_err(PrepareError::Random)?;
                inputs.archive = Some((id, path.clone()));
            }
            BuildContext::Empty => {
                let empty = TempDir::with_prefix("mbuild-empty-").map_err(PrepareError::Temp)?;
                inputs.mount(CONTEXT_MOUNT, empty.path())?;
                inputs._empty = Some(empty);
            }
        }
        if let Dockerfile::Local { dir, .. } = dockerfile {
            match context {
                // One directory is walked once, also where it is both.
                BuildContext::Directory(path) if path == dir => {
                    let tree = Arc::clone(&inputs.trees[CONTEXT_MOUNT]);
                    inputs.trees.insert(DOCKERFILE_MOUNT.to_owned(), tree);
                }
                _ => inputs.mount(DOCKERFILE_MOUNT, dir)?,
            }
        }
        Ok(inputs)
    }

    fn mount(&mut self, name: &str, path: &Path) -> Result<(), PrepareError> {
        let tree = ContextTree::open_without(path, is_stage_name).map_err(PrepareError::Context)?;
        self.trees.insert(name.to_owned(), tree);
        Ok(())
    }

    /// The id under which the archive is uploaded; `None` without one.
    pub(super) fn upload_id(&self) -> Option<&str> {
        self.archive.as_ref().map(|(id, _)| id.as_str())
    }

    /// Adds the services that give daemons these inputs; bytes sent are added to `sent`.
    pub(super) fn serve(
        &self,
        services: Services,
        sent: &Arc<AtomicU64>,
    ) -> Result<Services, PrepareError> {
        let services = match self.trees.is_empty() {
            true => services,
            false => services.file_sync(self.trees.clone(), Arc::clone(sent)),
        };
        let Some((id, path)) = &self.archive else {
            return Ok(services);
        };
        let file = File::open(path).map_err(PrepareError::Temp)?;
        Ok(services.upload(BTreeMap::from([(id.clone(), Arc::new(file))])))
    }
}
