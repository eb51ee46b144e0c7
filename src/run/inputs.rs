//! What a build's daemons may ask for: the directories, walked once, and the archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tempfile::TempDir;

use crate::buildkit::session::{ContentStores, DirStore, Services, random_id};
use crate::merge::stage::is_stage_name;
use crate::request::{BuildContext, BuildRequest, Dockerfile, NamedContext, NamedSource};
use crate::tree::ContextTree;

use super::error::PrepareError;
use super::frontend::{CONTEXT_MOUNT, DOCKERFILE_MOUNT, named_mount};

/// The inputs of one build, shared by all its sessions.
pub(super) struct Inputs {
    trees: BTreeMap<String, Arc<ContextTree>>,
    archive: Option<(String, PathBuf)>,
    /// The ids of the stores that serve layouts, by the names of their contexts.
    layouts: BTreeMap<String, String>,
    stores: ContentStores,
    /// Stands for a context without files.
    _empty: Option<TempDir>,
}

impl Inputs {
    /// Opens the context, the Dockerfile's directory and the named contexts.
    pub(super) async fn load(request: &BuildRequest) -> Result<Self, PrepareError> {
        let sources = Sources {
            context: request.context.clone(),
            dockerfile: request.dockerfile.clone(),
            named: request.named_contexts.clone(),
        };
        tokio::task::spawn_blocking(move || Self::open(&sources))
            .await
            .map_err(PrepareError::Task)?
    }

    fn open(sources: &Sources) -> Result<Self, PrepareError> {
        let mut trees = Trees::default();
        let (mut archive, mut empty) = (None, None);
        match &sources.context {
            BuildContext::Directory(path) => trees.mount(CONTEXT_MOUNT, path)?,
            BuildContext::Archive(path) => {
                let id = random_id().map_err(PrepareError::Random)?;
                archive = Some((id, path.clone()));
            }
            BuildContext::Remote(_) => {}
            BuildContext::Empty => {
                let dir = TempDir::with_prefix("mbuild-empty-").map_err(PrepareError::Temp)?;
                trees.mount(CONTEXT_MOUNT, dir.path())?;
                empty = Some(dir);
            }
        }
        if let Dockerfile::Local { dir, .. } = &sources.dockerfile {
            match trees.by_mount.get(CONTEXT_MOUNT) {
                Some(context) => {
                    let context = context.root().to_owned();
                    trees.mount_dockerfile(dir, context)?;
                }
                None => trees.mount(DOCKERFILE_MOUNT, dir)?,
            }
        }
        let (mut layouts, mut stores) = (BTreeMap::new(), ContentStores::new());
        for NamedContext { name, source } in &sources.named {
            match source {
                NamedSource::Directory(path) => trees.mount(&named_mount(name), path)?,
                NamedSource::Layout { dir, .. } => {
                    let id = random_id().map_err(PrepareError::Random)?;
                    let store = DirStore::read_only(dir.join("blobs"));
                    stores.insert(format!("oci:{id}"), Arc::new(store));
                    layouts.insert(name.clone(), id);
                }
                NamedSource::Remote(_) | NamedSource::Image(_) => {}
            }
        }
        Ok(Inputs {
            trees: trees.by_mount,
            archive,
            layouts,
            stores,
            _empty: empty,
        })
    }

    /// The id under which the archive is uploaded; `None` without one.
    pub(super) fn upload_id(&self) -> Option<&str> {
        self.archive.as_ref().map(|(id, _)| id.as_str())
    }

    /// The ids of the stores that serve layouts, by the names of their contexts.
    pub(super) fn layouts(&self) -> &BTreeMap<String, String> {
        &self.layouts
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
        let services = match self.stores.is_empty() {
            true => services,
            false => services.content(self.stores.clone()),
        };
        let Some((id, path)) = &self.archive else {
            return Ok(services);
        };
        let file = File::open(path).map_err(PrepareError::Temp)?;
        Ok(services.upload(BTreeMap::from([(id.clone(), Arc::new(file))])))
    }
}

/// What of a request says where files are.
struct Sources {
    context: BuildContext,
    dockerfile: Dockerfile,
    named: Vec<NamedContext>,
}

/// The directories, each of which is walked once, whatever it is mounted as.
#[derive(Default)]
struct Trees {
    by_path: BTreeMap<PathBuf, Arc<ContextTree>>,
    by_mount: BTreeMap<String, Arc<ContextTree>>,
}

impl Trees {
    fn mount(&mut self, name: &str, path: &Path) -> Result<(), PrepareError> {
        let tree = match self.by_path.get(path) {
            Some(tree) => Arc::clone(tree),
            None => {
                ContextTree::open_without(path, is_stage_name).map_err(PrepareError::Context)?
            }
        };
        self.by_path.insert(path.to_owned(), Arc::clone(&tree));
        self.by_mount.insert(name.to_owned(), tree);
        Ok(())
    }

    /// Mounts the Dockerfile's directory, from which daemons get the ignore file as well.
    fn mount_dockerfile(&mut self, path: &Path, context: PathBuf) -> Result<(), PrepareError> {
        let tree = ContextTree::open_for_dockerfile(path, is_stage_name, context);
        let tree = tree.map_err(PrepareError::Context)?;
        self.by_mount.insert(DOCKERFILE_MOUNT.to_owned(), tree);
        Ok(())
    }
}
