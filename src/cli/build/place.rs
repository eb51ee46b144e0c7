//! Finds the builder, asks the nodes that have to be asked, and makes the plan.

use std::collections::BTreeMap;

use crate::builder::{Answer, Builder, Finder, FoundBuilder, Probed, Store, probe};
use crate::buildkit::endpoint::Endpoint;
use crate::config::Settings;
use crate::engine::Engine;
use crate::node::NodeInfo;
use crate::plan::{self, BuildPlan};
use crate::platform::Platform;
use crate::request::{BuildRequest, OutputKind, OutputSpec};

use super::super::app::App;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::engines;

/// A build that knows where it will run.
pub(super) struct Placed {
    pub(super) builder: Builder,
    pub(super) plan: BuildPlan,
    /// Connections that were opened on the way, by node.
    pub(super) open: BTreeMap<String, Answer>,
    /// The engines that outputs load into, by the output's position.
    pub(super) engines: BTreeMap<usize, Engine>,
}

/// Places the build; contacts only nodes whose answer matters.
pub(super) async fn place(
    request: &mut BuildRequest,
    settings: &Settings,
    app: &App,
    affinity: &str,
) -> Result<Placed, CliError> {
    let store = Store::new(&app.state_dir());
    let finder = Finder {
        env: &app.env,
        settings,
        store: &store,
        flag: app.global.builder.as_deref(),
    };
    let found = finder.find().await.map_err(|error| {
        let hints = error.hints();
        hints
            .into_iter()
            .fold(CliError::config(error), CliError::hint)
    })?;
    let defaulted = default_output(request, &found.builder, app);
    let engines = engines::find(request, &found.builder, app).await?;
    let (builder, probed) = ask(found, request, affinity).await;
    let infos: Vec<_> = builder
        .nodes
        .iter()
        .map(|node| match probed.get(node.name()) {
            Some(probed) => probed.info.clone(),
            None => node.info(),
        })
        .collect();
    let mut plan = plan::plan(request, &infos, &engines.infos).map_err(plan_error)?;
    plan.warnings.extend(defaulted);
    let open = probed
        .into_iter()
        .filter_map(|(name, probed)| Some((name, probed.outcome.ok()?)))
        .filter(|(name, _)| plan.units.iter().any(|unit| unit.node == *name))
        .collect();
    Ok(Placed {
        builder,
        plan,
        open,
        engines: engines.engines,
    })
}

async fn ask(
    found: FoundBuilder,
    request: &BuildRequest,
    affinity: &str,
) -> (Builder, BTreeMap<String, Probed>) {
    let FoundBuilder { builder, probed } = found;
    let mut answers = BTreeMap::new();
    if let Some(probed) = probed {
        answers.insert(probed.info.name.clone(), probed);
    }
    let infos: Vec<_> = builder.nodes.iter().map(|node| node.info()).collect();
    // A question goes to one node, and no processor has to be the right one.
    let (platforms, emulate) = match request.call {
        Some(_) => (&request.platforms[..request.platforms.len().min(1)], true),
        None => (&request.platforms[..], request.allow_emulation),
    };
    let mut positions = plan::to_ask(platforms, &infos, emulate);
    if keeps_several(request) {
        // What becomes of several platforms on one engine depends on its store.
        let several = |info: &NodeInfo| {
            let suited = |platform: &&Platform| plan::assign::suits(info, &platform.normalized());
            platforms.iter().filter(|p| suited(p).is_some()).count() > 1
        };
        let engines = infos
            .iter()
            .map(|info| info.store.is_engine() && several(info));
        positions.extend((0..).zip(engines).filter_map(|(at, ask)| ask.then_some(at)));
        positions.sort_unstable();
        positions.dedup();
    }
    let nodes = positions
        .into_iter()
        .map(|position| &builder.nodes[position])
        .filter(|node| !answers.contains_key(node.name()));
    let asked = probe(nodes, affinity).await;
    answers.extend(
        asked
            .into_iter()
            .map(|probed| (probed.info.name.clone(), probed)),
    );
    (builder, answers)
}

/// Whether images of several platforms stay with the nodes that build them.
fn keeps_several(request: &BuildRequest) -> bool {
    let stays = |output: &OutputSpec| {
        matches!(output.kind, OutputKind::Image | OutputKind::Registry)
            && output.pushes() == Ok(false)
    };
    request.platforms.len() > 1 && request.outputs.iter().any(stays)
}

/// Without an output, a Docker engine keeps the image as `docker build` would; another
/// daemon keeps the cache alone, which is worth a warning.
fn default_output(request: &mut BuildRequest, builder: &Builder, app: &App) -> Option<String> {
    if !request.outputs.is_empty() || request.call.is_some() {
        return None;
    }
    let off = app.is_on("BUILDX_NO_DEFAULT_LOAD");
    let mut nodes = builder.nodes.iter();
    if !off && nodes.any(|node| node.spec().endpoint().is_some_and(Endpoint::is_docker)) {
        request.outputs.push(OutputSpec::new(OutputKind::Image));
        request.outputs_by_default = true;
        return None;
    }
    Some(
        "no output was given: the result stays in the nodes' caches; add --push, --load, or \
         --output type=local,dest=DIR"
            .to_owned(),
    )
}

fn plan_error(error: plan::PlanError) -> CliError {
    let exit = match error {
        plan::PlanError::Cache { .. }
        | plan::PlanError::Output { .. }
        | plan::PlanError::ClassicStore { .. } => Exit::Usage,
        _ if error.is_unreachable() => Exit::Infrastructure,
        _ => Exit::Config,
    };
    let hint = error.hint();
    let error = CliError::new(exit, error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
