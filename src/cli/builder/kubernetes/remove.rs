//! `rm` and `stop` of builders whose pools `create` made.

use std::collections::BTreeSet;
use std::io::{self, BufRead};

use crate::builder::kubernetes::remove::{self as pools, RemoveError, Volumes};
use crate::builder::{Builder, BuilderSpec, PoolSpec, Reach};
use crate::causes::causes;

use super::super::super::error::CliError;
use super::super::World;
use super::{cluster, kube_error};

/// What stays when a builder goes.
#[derive(Debug, Clone, Copy, Default)]
pub(in super::super) struct Keep {
    /// The pool, whole.
    pub(in super::super) daemon: bool,
    /// The volumes with the daemons' caches.
    pub(in super::super) volumes: bool,
    /// Nothing, and nobody is asked.
    pub(in super::super) force: bool,
}

/// Removes the pools that were made for a builder.
pub(in super::super) async fn remove(
    spec: &BuilderSpec,
    keep: Keep,
    world: &World<'_>,
) -> Result<(), CliError> {
    let pools = created(spec);
    if pools.is_empty() || keep.daemon {
        return Ok(());
    }
    if !keep.force {
        ask(spec, world).await?;
    }
    for pool in pools {
        let cluster = cluster(&pool, world).await?;
        let volumes = match keep.volumes {
            true => Volumes::Keep,
            false => Volumes::Remove,
        };
        let removed = pools::remove(&cluster, &cluster.namespace, &spec.name, volumes).await;
        let removed = removed.map_err(|error| match error {
            RemoveError::Kube(error) => kube_error(error),
            error => CliError::config(error),
        })?;
        let say = |text: String| world.app.say(&text);
        removed
            .removed
            .iter()
            .for_each(|object| say(format!("{object} removed\n")));
        removed
            .kept
            .iter()
            .for_each(|object| say(format!("{object} kept\n")));
        for (kind, error) in &removed.skipped {
            world
                .app
                .warn(&format!("{kind} may be left: {}", causes(error)));
        }
    }
    Ok(())
}

/// Ends the pods of a builder's pools; says which.
pub(in super::super) async fn stop(spec: &BuilderSpec, world: &World<'_>) -> Result<(), CliError> {
    for pool in created(spec) {
        let cluster = cluster(&pool, world).await?;
        let stopped = pools::stop(&cluster, &cluster.namespace, &spec.name).await;
        for workload in stopped.map_err(kube_error)? {
            world.app.say(&format!("{workload} stopped\n"));
        }
    }
    Ok(())
}

/// Where the builder's own pools are, each place once.
fn created(spec: &BuilderSpec) -> Vec<PoolSpec> {
    let mut seen = BTreeSet::new();
    let pools = spec.nodes.iter().filter_map(|node| match &node.reach {
        Reach::Pods(pool) if pool.created => Some(pool),
        _ => None,
    });
    pools
        .filter(|pool| {
            let place = (
                pool.kubeconfig.clone(),
                pool.context.clone(),
                pool.namespace.clone(),
            );
            seen.insert(place)
        })
        .cloned()
        .collect()
}

/// Asks before a pool goes that builds now, for whoever it is.
async fn ask(spec: &BuilderSpec, world: &World<'_>) -> Result<(), CliError> {
    let builder = Builder::new(spec.clone(), &world.app.env);
    let mut running = 0;
    for node in &builder.nodes {
        let Ok(Some(pods)) = node.inspect().await else {
            continue;
        };
        running += pods.iter().filter_map(|pod| pod.builds).sum::<usize>();
    }
    if running == 0 {
        return Ok(());
    }
    let name = &spec.name;
    let noun = if running == 1 { "build" } else { "builds" };
    let refuse = || {
        let text = format!("the pool of builder `{name}` has {running} running {noun}");
        Err(CliError::config(text)
            .hint("remove it all the same with --force; running builds finish"))
    };
    if !world.app.stdin_is_terminal {
        return refuse();
    }
    world.app.say(&format!(
        "The pool of builder `{name}` has {running} running {noun}. Remove it? [y/N] "
    ));
    let mut answer = String::new();
    match io::stdin().lock().read_line(&mut answer) {
        Ok(_) if answer.trim().eq_ignore_ascii_case("y") => Ok(()),
        _ => refuse(),
    }
}
