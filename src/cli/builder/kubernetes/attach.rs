//! `create --attach`: a builder of pods that somebody else deployed.

use std::time::Duration;

use crate::builder::{FoundPool, NodeSpec, PoolSpec, find_pools};
use crate::platform::Platform;

use super::super::super::error::CliError;
use super::super::World;
use super::{Common, PoolArgs, driver_opts, kube_error, node_arch, option_error};
use crate::builder::kubernetes::options::PoolOptions;
use crate::request::parse_platforms;

/// Options that say how a pool is used; all others say how one is made.
const OF_USE: [&str; 4] = ["namespace", "loadbalance", "timeout", "default-load"];

/// Finds the pool and makes nodes of it, and how long they may take to be ready.
pub(super) async fn nodes(
    args: &PoolArgs,
    common: &Common<'_>,
    world: &World<'_>,
) -> Result<(Vec<NodeSpec>, Duration), CliError> {
    let (namespace, fields) = driver_opts(common.driver_opts)?;
    let mut options = PoolOptions::new(common.name, "default", &[]);
    for (key, value) in &fields {
        if !OF_USE.contains(&key.as_str()) {
            let text =
                format!("driver option `{key}` makes a pool, and --attach uses one as it is");
            return Err(CliError::usage(text));
        }
        let none = |_: &std::path::Path| Err(std::io::ErrorKind::Unsupported.into());
        options.set(key, value, &none).map_err(option_error)?;
    }
    if args.replicas.is_some() || common.config.is_some() || common.flags.is_some() {
        let text = "--attach uses a pool as it is: --replicas, --buildkitd-config and \
                    --buildkitd-flags do not go with it";
        return Err(CliError::usage(text));
    }
    let reach = PoolSpec {
        selector: args.attach.clone().filter(|selector| !selector.is_empty()),
        pods: args.pod.clone(),
        load_balance: options.client.load_balance,
        ..args.reach(world)
    };
    let reach = PoolSpec {
        namespace: namespace.or(reach.namespace),
        ..reach
    };
    let pools = find_pools(&reach, &world.app.env)
        .await
        .map_err(kube_error)?;
    let pool = only(pools, common.name, &reach)?;
    let asked = parse_platforms(common.platforms, &Platform::host()).map_err(CliError::usage)?;
    let nodes = with_platforms(pool, &asked)?;
    let slots = args.slots.map(std::num::NonZeroUsize::get);
    let nodes = nodes.into_iter().map(|node| NodeSpec { slots, ..node });
    Ok((nodes.collect(), options.client.timeout))
}

/// The pool of the builder's name, or the only one there is.
fn only(mut pools: Vec<FoundPool>, name: &str, reach: &PoolSpec) -> Result<FoundPool, CliError> {
    let named = pools
        .iter()
        .position(|pool| pool.name.as_deref() == Some(name));
    if let Some(position) = named {
        return Ok(pools.swap_remove(position));
    }
    match pools.len() {
        0 => Err(CliError::config(format!("there are no {reach}"))
            .hint("--attach=SELECTOR names other labels; without --attach, a pool is made")),
        1 => Ok(pools.swap_remove(0)),
        _ => Err(several(&pools)),
    }
}

fn several(pools: &[FoundPool]) -> CliError {
    let names: Vec<&str> = pools
        .iter()
        .map(|pool| pool.name.as_deref().unwrap_or("(no name)"))
        .collect();
    let namespace = pools.first().map_or("", |pool| &pool.namespace);
    CliError::config(format!(
        "namespace {namespace} has several pools: {}",
        names.join(", ")
    ))
    .hint(format!(
        "name the builder as the pool, or choose one: \
         --attach=app.kubernetes.io/name=buildkitd,app.kubernetes.io/instance={}",
        names[0]
    ))
}

/// Gives nodes the platforms that were asked for, and leaves nodes out that build none.
fn with_platforms(pool: FoundPool, asked: &[Platform]) -> Result<Vec<NodeSpec>, CliError> {
    if asked.is_empty() {
        return Ok(pool.nodes);
    }
    let mut nodes = Vec::new();
    for node in pool.nodes {
        let arch = node.platforms.first().map(node_arch).map(str::to_owned);
        let own = |platform: &&Platform| {
            arch.as_deref()
                .is_none_or(|arch| node_arch(platform) == arch)
        };
        let platforms: Vec<Platform> = asked.iter().filter(own).cloned().collect();
        if !platforms.is_empty() {
            nodes.push(NodeSpec { platforms, ..node });
        }
    }
    let missing = asked
        .iter()
        .find(|platform| nodes.iter().all(|node| !node.platforms.contains(platform)));
    match missing {
        None => Ok(nodes),
        Some(platform) => Err(CliError::config(format!(
            "the pool has no pods that run on {platform}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Reach;

    fn pool(name: &str, arches: &[&str]) -> FoundPool {
        let node = |arch: &&str| NodeSpec {
            platforms: vec![Platform::new("linux", *arch)],
            ..NodeSpec::reached(*arch, Reach::Pods(PoolSpec::default()))
        };
        FoundPool {
            name: Some(name.to_owned()),
            namespace: "ns".into(),
            nodes: arches.iter().map(node).collect(),
        }
    }

    #[test]
    fn a_pool_is_chosen_only_where_it_is_clear_which() {
        let reach = PoolSpec::default();
        let found = only(vec![pool("a", &["amd64"])], "kube", &reach).unwrap();
        assert_eq!(found.name.as_deref(), Some("a"));
        let both = || vec![pool("a", &["amd64"]), pool("b", &["amd64"])];
        assert_eq!(
            only(both(), "b", &reach).unwrap().name.as_deref(),
            Some("b")
        );
        let error = only(both(), "kube", &reach).unwrap_err().render();
        assert!(
            error.contains("namespace ns has several pools: a, b"),
            "{error}"
        );
        let error = only(Vec::new(), "kube", &reach).unwrap_err().render();
        assert!(
            error.contains("there are no pods app.kubernetes.io/name"),
            "{error}"
        );
    }

    #[test]
    fn nodes_build_what_was_asked_of_them() {
        let asked: Vec<Platform> = ["linux/arm64", "linux/386"]
            .iter()
            .map(|p| p.parse().unwrap())
            .collect();
        let nodes = with_platforms(pool("a", &["amd64", "arm64", "s390x"]), &asked).unwrap();
        let names: Vec<String> = nodes
            .iter()
            .map(|n| format!("{} {}", n.name, n.platforms[0]))
            .collect();
        assert_eq!(names, ["amd64 linux/386", "arm64 linux/arm64"]);
        let error = with_platforms(pool("a", &["amd64"]), &asked)
            .unwrap_err()
            .render();
        assert!(error.contains("no pods that run on linux/arm64"), "{error}");
    }
}
