//! The Docker engines that outputs load their images into: found, and asked what they have.
//!
//! An engine that is missing, or has no room for several platforms, is known before anything is
//! built.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use crate::builder::{Builder, DockerEngine, docker_engine, docker_engine_of};
use crate::engine::{Engine, EngineError};
use crate::node::{EngineInfo, ImageStore};
use crate::request::{BuildRequest, OutputKind, OutputSpec};

use super::super::app::App;
use super::super::error::CliError;
use super::super::exit::Exit;

/// The engines by the position of their output, as planning and running want them.
#[derive(Default)]
pub(super) struct Engines {
    pub(super) infos: BTreeMap<usize, EngineInfo>,
    pub(super) engines: BTreeMap<usize, Engine>,
}

/// Finds the engines of a request and asks them.
pub(super) async fn find(
    request: &BuildRequest,
    builder: &Builder,
    app: &App,
) -> Result<Engines, CliError> {
    let outputs = request.outputs.iter().enumerate();
    // A question to the frontend makes nothing that could be loaded.
    let loading = outputs.filter(|(_, output)| request.call.is_none() && loads(output));
    let found = loading.map(|(position, output)| async move {
        let meant = meant(output, app)?;
        let engine = Engine::new(&meant.endpoint, meant.tls.as_ref())
            .ok_or_else(|| CliError::usage("--load: this is no Docker engine"))?;
        let node = builder
            .nodes
            .iter()
            .find(|node| node.spec().endpoint() == Some(&meant.endpoint));
        // An engine that builds one platform for itself keeps it, whatever its store is.
        let store = match node.is_some() && request.platforms.len() <= 1 && builder.nodes.len() == 1
        {
            true => ImageStore::Engine,
            false => engine
                .store()
                .await
                .map_err(|error| no_engine(error, &meant))?,
        };
        let info = EngineInfo {
            name: engine.name().to_owned(),
            store,
            node: node.map(|node| node.name().to_owned()),
        };
        Ok::<_, CliError>((position, info, engine))
    });
    let mut engines = Engines::default();
    for (position, info, engine) in try_join_all(found).await? {
        engines.infos.insert(position, info);
        engines.engines.insert(position, engine);
    }
    Ok(engines)
}

/// Whether an output goes into a Docker engine.
fn loads(output: &OutputSpec) -> bool {
    output.kind == OutputKind::Docker
        && output.dest.is_none()
        && !matches!(output.writes_directory(), Ok(true))
}

/// The engine that an output names by a docker context, or the one docker itself would take.
fn meant(output: &OutputSpec, app: &App) -> Result<DockerEngine, CliError> {
    let context = output.attrs.get("context").filter(|name| !name.is_empty());
    match context {
        Some(context) => docker_engine_of(&app.env, context, "--output type=docker"),
        None => docker_engine(&app.env),
    }
    .map_err(CliError::config)
}

fn no_engine(error: EngineError, meant: &DockerEngine) -> CliError {
    let hint = error.hint();
    let named = match &meant.named_by {
        Some(by) => format!("the engine is named by {by}"),
        None => "no engine is named by DOCKER_HOST or a docker context, so it is looked for at \
                 the usual socket; --output type=docker,dest=FILE needs none"
            .to_owned(),
    };
    let error = CliError::new(Exit::Config, error);
    hint.into_iter().fold(error, CliError::hint).hint(named)
}
