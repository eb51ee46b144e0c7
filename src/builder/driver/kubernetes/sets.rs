//! Pools as their stateful sets show them: [`PoolSets`], found by labels.
//!
//! One request; pods are not looked at. Deployments are nobody's pool that could be scaled
//! down: which of their pods goes is not ours to say.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use super::access::{Doing, KubeError};
use super::cluster::{Cluster, ClusterSpec};
use super::pods::arch;
use crate::builder::pool::INSTANCE_LABEL;
use crate::builder::pool::{POOL_SELECTOR, PoolSpec};
use crate::config::Env;

/// The annotation by which kubectl makes new pods of an unchanged workload.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

/// The stateful sets of one pool.
#[derive(Clone)]
pub struct PoolSets {
    /// The pool's name, by its label.
    pub name: String,
    /// The cluster, and the namespace.
    pub cluster: Cluster,
    /// One for each architecture, at least one.
    pub sets: Vec<PoolSet>,
}

/// The stateful set of one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSet {
    /// Its name.
    pub name: String,
    /// The architecture that its pods ask for.
    pub arch: Option<String>,
    /// The number of its first pod; 0 nearly always.
    pub(super) first: i32,
}

/// Finds the pools that `spec` leads to.
///
/// # Errors
///
/// When the cluster is not reached, or does not let us look.
pub async fn find_sets(spec: &PoolSpec, env: &Env) -> Result<Vec<PoolSets>, KubeError> {
    let place = ClusterSpec {
        kubeconfig: spec.kubeconfig.clone(),
        context: spec.context.clone(),
        namespace: spec.namespace.clone(),
    };
    let cluster = Cluster::connect(&place, env).await?;
    let api: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let selector = spec.selector.as_deref().unwrap_or(POOL_SELECTOR);
    let listed = api.list(&ListParams::default().labels(selector)).await;
    let doing = Doing::new("list", "statefulsets", &cluster.namespace).group("apps");
    let listed = listed.map_err(|error| KubeError::of(error, doing))?;
    let pools = group(listed.items).into_iter();
    let pool = |(name, sets)| PoolSets {
        name,
        cluster: cluster.clone(),
        sets,
    };
    Ok(pools.map(pool).collect())
}

/// Parts stateful sets into pools; pure. One without the label is a pool of its own.
fn group(sets: Vec<StatefulSet>) -> BTreeMap<String, Vec<PoolSet>> {
    let mut pools: BTreeMap<String, Vec<PoolSet>> = BTreeMap::new();
    for set in sets {
        let (Some(name), Some(spec)) = (set.metadata.name, set.spec) else {
            continue;
        };
        let mut labels = set.metadata.labels.unwrap_or_default();
        let pool = labels.remove(INSTANCE_LABEL);
        let set = PoolSet {
            arch: spec.template.spec.as_ref().and_then(arch),
            first: spec
                .ordinals
                .and_then(|ordinals| ordinals.start)
                .unwrap_or(0),
            name: name.clone(),
        };
        pools.entry(pool.unwrap_or(name)).or_default().push(set);
    }
    pools
}

impl PoolSets {
    /// The architectures, each once.
    pub fn arches(&self) -> Vec<String> {
        let mut arches: Vec<String> = self
            .sets
            .iter()
            .filter_map(|set| set.arch.clone())
            .collect();
        arches.sort();
        arches.dedup();
        arches
    }

    /// Replaces all pods, each when its builds have finished; gives back the workloads.
    ///
    /// # Errors
    ///
    /// When the API server refuses or cannot be asked.
    pub async fn restart(&self) -> Result<Vec<String>, KubeError> {
        let (cluster, namespace) = (&self.cluster, &self.cluster.namespace);
        let api: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), namespace);
        let now = jiff::Timestamp::now().to_string();
        let annotations = json!({"annotations": {RESTARTED: now}});
        let patch = json!({"spec": {"template": {"metadata": annotations}}});
        let mut restarted = Vec::new();
        for set in &self.sets {
            let params = PatchParams::default();
            let answer = api.patch(&set.name, &params, &Patch::Merge(&patch)).await;
            let doing = Doing::new("patch", "statefulsets", namespace);
            let doing = doing.group("apps").named(&set.name);
            answer.map_err(|error| KubeError::of(error, doing))?;
            restarted.push(format!("statefulset/{}", set.name));
        }
        Ok(restarted)
    }
}
