//! `create --driver kubernetes` and `render`: a pool made as the flags say, or only shown.

use std::time::Duration;

use futures_util::future::join_all;

use crate::builder::kubernetes::apply::{self, Applied, ApplyError, Others};
use crate::builder::kubernetes::manifest;
use crate::builder::{
    Builder, BuilderSpec, NodeSpec, OpenError, Origin, PoolSpec, Reach, Wanted, pool_selector,
};
use crate::platform::Platform;

use super::super::super::error::{CliError, CommandResult};
use super::super::super::exit::Exit;
use super::super::{World, store_error};
use super::{Asked, Common, PoolArgs, attach, cluster, kube_error, node_arch, platforms};

/// What happens to the definition.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Then {
    pub(in super::super) append: bool,
    pub(in super::super) use_it: bool,
    pub(in super::super) bootstrap: bool,
}

/// Makes the pool, or changes it to what the flags say, and keeps the builder's definition.
pub(in super::super) async fn create(
    args: &PoolArgs,
    common: &Common<'_>,
    then: Then,
    world: &World<'_>,
) -> CommandResult {
    let (nodes, timeout) = match args.attach {
        Some(_) => attach::nodes(args, common, world).await?,
        None => make(args, common, world).await?,
    };
    let spec = keep(common.name, nodes, then.append, world)?;
    if then.use_it {
        world.store.choose(Some(common.name)).map_err(store_error)?;
    }
    world.print(&format!("{}\n", common.name))?;
    match then.bootstrap {
        true => bootstrap(spec, timeout, world).await,
        false => Ok(Exit::Done),
    }
}

/// Prints the objects and touches nothing.
pub(in super::super) async fn render(
    args: &PoolArgs,
    common: &Common<'_>,
    world: &World<'_>,
) -> CommandResult {
    let place = args.place(common, world)?;
    let namespace = match place.namespace.clone() {
        Some(namespace) => namespace,
        // Only this needs a cluster's configuration; the cluster itself is not asked.
        None => cluster(&place, world).await?.namespace,
    };
    let Asked { options, .. } = args.asked(common, &namespace, world)?;
    let yaml = manifest::render(&options).map_err(CliError::usage)?;
    world.print(&yaml)
}

async fn make(
    args: &PoolArgs,
    common: &Common<'_>,
    world: &World<'_>,
) -> Result<(Vec<NodeSpec>, Duration), CliError> {
    let cluster = cluster(&args.place(common, world)?, world).await?;
    let Asked { options, reach } = args.asked(common, &cluster.namespace, world)?;
    let others = match args.force {
        true => Others::TakeOver,
        false => Others::Respect,
    };
    let applied = apply::apply(&cluster, &options, others)
        .await
        .map_err(apply_error)?;
    tell(&applied, world);
    let platforms = platforms(common.platforms)?;
    let nodes = options.architectures.iter().map(|arch| {
        let own = platforms
            .iter()
            .filter(|platform| node_arch(platform) == arch);
        node(common.name, arch, own.cloned().collect(), args, &reach)
    });
    Ok((nodes.collect(), options.client.timeout))
}

fn node(
    pool: &str,
    arch: &str,
    platforms: Vec<Platform>,
    args: &PoolArgs,
    reach: &PoolSpec,
) -> NodeSpec {
    let selector = pool_selector(pool, Some(arch));
    let reach = PoolSpec {
        selector: Some(selector),
        created: true,
        ..reach.clone()
    };
    NodeSpec {
        platforms,
        slots: args.slots.map(std::num::NonZeroUsize::get),
        ..NodeSpec::reached(arch, Reach::Pods(reach))
    }
}

fn tell(applied: &Applied, world: &World<'_>) {
    let app = world.app;
    let namespace = applied
        .namespace
        .iter()
        .map(|name| format!("namespace/{name}"));
    let created = namespace.chain(applied.created.iter().cloned());
    let lines = created
        .map(|object| format!("{object} created\n"))
        .chain(
            applied
                .changed
                .iter()
                .map(|object| format!("{object} changed\n")),
        )
        .chain(
            applied
                .removed
                .iter()
                .map(|object| format!("{object} removed\n")),
        );
    let text: String = lines.collect();
    app.say(match text.is_empty() {
        true => "the pool is as it should be\n",
        false => &text,
    });
    for (object, error) in &applied.skipped {
        let why = crate::causes::causes(error);
        app.warn(&format!(
            "{object} is left out, which building does without: {why}"
        ));
    }
}

/// Keeps the definition: nodes of other pools stay where nodes are appended.
fn keep(
    name: &str,
    nodes: Vec<NodeSpec>,
    append: bool,
    world: &World<'_>,
) -> Result<BuilderSpec, CliError> {
    let edited = world.store.edit(name, |old: Option<BuilderSpec>| {
        let mut kept = match old {
            Some(old) if append => old.nodes,
            _ => Vec::new(),
        };
        kept.retain(|node| nodes.iter().all(|new| new.name != node.name));
        kept.extend(nodes);
        Ok(BuilderSpec {
            name: name.to_owned(),
            nodes: kept,
            origin: Origin::New,
        })
    });
    edited.map_err(store_error)
}

/// Waits for all nodes at once, each until one of its pods has answered.
async fn bootstrap(spec: BuilderSpec, wait: Duration, world: &World<'_>) -> CommandResult {
    let builder = Builder::new(spec, &world.app.env);
    let waits = builder.nodes.iter().map(|node| async move {
        let wanted = Wanted {
            key: "",
            wait,
            may_start: true,
            avoid: &[],
            tell: Box::new(|what| {
                world
                    .app
                    .say(&format!("{}: waiting for {what}\n", node.name()))
            }),
        };
        (node.name(), node.open(&wanted).await)
    });
    let mut failed = None;
    for (node, answer) in join_all(waits).await {
        match answer {
            Ok(answer) => {
                let pod = answer.instance.name.as_deref().unwrap_or("its daemon");
                let info = answer.connection.info();
                let version = info.version.as_deref().unwrap_or("of unknown version");
                world
                    .app
                    .say(&format!("{node}: {pod} is ready (BuildKit {version})\n"));
            }
            Err(error) => {
                failed.get_or_insert((node, error));
            }
        }
    }
    match failed {
        None => Ok(Exit::Done),
        Some((node, error)) => Err(open_error(node, error)),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("node `{node}` is not ready")]
struct NotReady {
    node: String,
    source: OpenError,
}

fn open_error(node: &str, source: OpenError) -> CliError {
    let hint = source.hint();
    let node = node.to_owned();
    let error = CliError::new(Exit::Infrastructure, NotReady { node, source });
    hint.into_iter().fold(error, CliError::hint)
}

fn apply_error(error: ApplyError) -> CliError {
    match error {
        ApplyError::Kube(error) => kube_error(*error),
        error => {
            let advice = match &error {
                ApplyError::Immutable { source, .. } | ApplyError::Invalid { source, .. } => {
                    source.advice()
                }
                _ => None,
            };
            advice
                .into_iter()
                .fold(CliError::config(error), CliError::hint)
        }
    }
}
