//! Finds the builder, asks the nodes that have to be asked, and makes the plan.

use std::collections::BTreeMap;

use crate::builder::{Answer, Builder, Finder, FoundBuilder, Probed, Store, probe};
use crate::buildkit::endpoint::Endpoint;
use crate::config::Settings;
use crate::plan::{self, BuildPlan};
use crate::request::{BuildRequest, OutputKind, OutputSpec};

use super::super::app::App;
use super::super::error::CliError;
use super::super::exit::Exit;

/// A build that knows where it will run.
pub(super) struct Placed {
    pub(super) builder: Builder,
    pub(super) plan: BuildPlan,
    /// Connections that were opened on the way, by node.
    pub(super) open: BTreeMap<String, Answer>,
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
    let (builder, probed) = ask(found, request, affinity).await;
    let infos: Vec<_> = builder
        .nodes
        .iter()
        .map(|node| match probed.get(node.name()) {
            Some(probed) => probed.info.clone(),
            None => node.info(),
        })
        .collect();
    let defaulted = default_output(request, &builder);
    let mut plan = plan::plan(request, &infos).map_err(plan_error)?;
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
    let nodes = plan::to_ask(platforms, &infos, emulate)
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

/// Without an output, a Docker engine keeps the image as `docker build` would; another
/// daemon keeps the cache alone, which is worth a warning.
fn default_output(request: &mut BuildRequest, builder: &Builder) -> Option<String> {
    if !request.outputs.is_empty() || request.call.is_some() {
        return None;
    }
    if builder
        .nodes
        .iter()
        .all(|node| node.spec().endpoint().is_some_and(Endpoint::is_docker))
    {
        request.outputs.push(OutputSpec::new(OutputKind::Image));
        return None;
    }
    Some(
        "no output was given: the result stays in the nodes' caches; add --push, or \
         --output type=local,dest=DIR"
            .to_owned(),
    )
}

fn plan_error(error: plan::PlanError) -> CliError {
    let exit = match error {
        plan::PlanError::Output { .. } => Exit::Usage,
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
