//! Which pool `certs` and `scale` are about: a builder's, one of that name, or the namespace's.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::builder::kubernetes::sets::{PoolSets, find_sets};
use crate::builder::{BuilderSpec, FindError, Named, NamedBy, PoolSpec, Reach, pool_selector};

use super::super::super::error::CliError;
use super::super::{World, find_error, store_error};
use super::kube_error;

/// Which pool, and which of its architectures.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PlaceArgs {
    /// Builder, or pool, by its name [default: the builder in use, else the namespace's pool]
    name: Option<String>,
    /// Namespace [default: the builder's, the context's, or the pod's own]
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Kubeconfig file [default: the builder's, KUBECONFIG, ~/.kube/config, or the pod's]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Only these architectures [default: all]
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    pub(super) arch: Vec<String>,
}

/// Where pools are looked for.
pub(super) struct Place {
    /// How its daemons are reached.
    pub(super) reach: PoolSpec,
    /// The name that was given, where it names no builder.
    pub(super) pool: Option<String>,
}

impl PlaceArgs {
    /// Where to look; asks nobody.
    pub(super) fn places(&self, world: &World<'_>) -> Result<Vec<Place>, CliError> {
        let finder = world.finder(self.name.as_deref());
        let named = match &self.name {
            Some(name) => Some(Named {
                name: name.clone(),
                by: NamedBy::Flag,
            }),
            None => finder.chosen().map_err(store_error)?,
        };
        let Some(named) = named else {
            return Ok(vec![self.at(None, world)]);
        };
        match finder.named(&named) {
            Ok(spec) => self.of_builder(&spec, world),
            Err(FindError::Unknown(_)) if self.name.is_some() => {
                Ok(vec![self.at(self.name.as_deref(), world)])
            }
            Err(error) => Err(find_error(error)),
        }
    }

    fn at(&self, pool: Option<&str>, world: &World<'_>) -> Place {
        let selector = pool.map(|pool| pool_selector(pool, None));
        let reach = PoolSpec {
            selector,
            ..PoolSpec::default()
        };
        Place {
            reach: self.over(reach, world),
            pool: pool.map(str::to_owned),
        }
    }

    /// What the flags say counts for more.
    fn over(&self, reach: PoolSpec, world: &World<'_>) -> PoolSpec {
        let kubeconfig = self.kubeconfig.as_ref().map(|file| world.app.path(file));
        PoolSpec {
            kubeconfig: kubeconfig.or(reach.kubeconfig),
            context: self.context.clone().or(reach.context),
            namespace: self.namespace.clone().or(reach.namespace),
            ..reach
        }
    }

    /// A builder's pools, each place once.
    fn of_builder(&self, spec: &BuilderSpec, world: &World<'_>) -> Result<Vec<Place>, CliError> {
        let mut seen = BTreeSet::new();
        let mut places = Vec::new();
        for node in &spec.nodes {
            let Reach::Pods(reach) = &node.reach else {
                continue;
            };
            if !reach.pods.is_empty() {
                let text = format!(
                    "builder `{}` has pods that are named one by one; name their pool instead",
                    spec.name
                );
                return Err(CliError::config(text));
            }
            let mut reach = self.over(reach.clone(), world);
            reach.selector = reach.selector.as_deref().map(of_all_architectures);
            let place = (
                reach.kubeconfig.clone(),
                reach.context.clone(),
                reach.namespace.clone(),
                reach.selector.clone(),
            );
            if seen.insert(place) {
                places.push(Place { reach, pool: None });
            }
        }
        match places.is_empty() {
            false => Ok(places),
            true => Err(CliError::config(format!(
                "the daemons of builder `{}` are in no Kubernetes cluster",
                spec.name
            ))),
        }
    }

    /// Finds the pools of a place; several only where a builder means them all.
    pub(super) async fn pools(
        &self,
        place: &Place,
        world: &World<'_>,
    ) -> Result<Vec<PoolSets>, CliError> {
        let pools = find_sets(&place.reach, &world.app.env).await;
        let mut pools = pools.map_err(kube_error)?;
        if let (None, [_, _, ..]) = (&place.reach.selector, &pools[..]) {
            let names: Vec<_> = pools.iter().map(|pool| pool.name.as_str()).collect();
            let text = format!(
                "namespace {} has several pools: {}",
                pools[0].cluster.namespace,
                names.join(", ")
            );
            return Err(CliError::config(text).hint("name one of them"));
        }
        if !self.arch.is_empty() {
            let is_meant =
                |arch: &Option<String>| arch.as_ref().is_some_and(|arch| self.arch.contains(arch));
            for pool in &mut pools {
                pool.sets.retain(|set| is_meant(&set.arch));
            }
            pools.retain(|pool| !pool.sets.is_empty());
        }
        Ok(pools)
    }
}

/// A node's selector, but for its architecture: a pool is all of them.
fn of_all_architectures(selector: &str) -> String {
    let terms = selector.split(',');
    let terms = terms.filter(|term| !term.trim().starts_with("app.kubernetes.io/component="));
    terms.collect::<Vec<_>>().join(",")
}

impl Place {
    /// That there is nothing there.
    pub(super) fn empty(&self, namespace: &str) -> CliError {
        let text = match &self.pool {
            Some(pool) => {
                format!(
                    "there is no builder `{pool}`, and no pool of that name in namespace {namespace}"
                )
            }
            None => format!("there is no pool in namespace {namespace}"),
        };
        CliError::config(text)
            .hint("a pool is a StatefulSet that is labelled as deploy/buildkit has it")
    }
}
