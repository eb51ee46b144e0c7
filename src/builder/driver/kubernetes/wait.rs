//! Waiting for a pod that takes builds, and for the first pod of a pool that is scaled to zero.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::access::{Doing, KubeError};
use super::error::PoolError;
use super::events;
use super::list::{Listed, is_of_arch};
use super::pods::{PodState, arch};
use super::{Cluster, Pool};
use crate::builder::open::Wanted;
use crate::builder::pool::{INSTANCE_LABEL, POOL_SELECTOR};

/// A pod that starts well is ready before this; then its events are asked for.
const QUIET: Duration = Duration::from_secs(4);

/// A workload that makes pods of a pool.
pub(super) struct Workload {
    kind: &'static str,
    resource: &'static str,
    name: String,
    replicas: i32,
    pub(super) arch: Option<String>,
    /// The pool it belongs to, by its label.
    pub(super) pool: Option<String>,
}

impl Pool {
    /// Lists the pods that take builds; waits until there is one.
    ///
    /// Pods to be avoided come back only where there is no other.
    pub(super) async fn ready_pods(
        &self,
        wanted: &Wanted<'_>,
        deadline: Instant,
    ) -> Result<Vec<PodState>, PoolError> {
        let (mut told, mut scaled) = (String::new(), false);
        let start = Instant::now();
        loop {
            let mut listed = self.list().await?;
            let ready = takers(&listed.pods, wanted);
            if !ready.is_empty() {
                return Ok(ready);
            }
            if start.elapsed() >= QUIET {
                events::explain(self.cluster().await?, &mut listed).await;
            }
            if listed.pods.is_empty() && !scaled && wanted.may_start {
                self.scale_up(wanted).await?;
                scaled = true;
            }
            if Instant::now() >= deadline {
                return Err(self.not_ready(&listed, wanted).await);
            }
            let state = self.state(&listed.pods);
            if state != told {
                (wanted.tell)(state.clone());
                told = state;
            }
            let changed = self.changed(&listed);
            // After the deadline one last look follows.
            if let Ok(changed) = tokio::time::timeout_at(deadline, changed).await {
                changed?;
            }
        }
    }

    /// What is waited for, as a phrase.
    fn state(&self, pods: &[PodState]) -> String {
        let mut reasons: BTreeSet<String> = pods
            .iter()
            .map(|pod| match &pod.trouble {
                Some(trouble) => format!("{} {}", pod.name, trouble.text),
                None => format!("{} is not ready", pod.name),
            })
            .collect();
        let Some(first) = reasons.pop_first() else {
            return format!("a pod of node {}", self.node);
        };
        let more = match reasons.len() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        format!("a ready pod of node {}: {first}{more}", self.node)
    }

    async fn not_ready(&self, listed: &Listed, wanted: &Wanted<'_>) -> PoolError {
        if listed.pods.is_empty() {
            let pods = self.why_none().await.into_iter().collect();
            return PoolError::NotReady {
                pool: self.describe(),
                waited: wanted.wait,
                pods,
            };
        }
        let why = |pod: &PodState| {
            let trouble = pod.trouble.as_ref().map(|trouble| trouble.text.clone());
            (
                pod.name.clone(),
                trouble.unwrap_or_else(|| "is not ready".to_owned()),
            )
        };
        PoolError::NotReady {
            pool: self.describe(),
            waited: wanted.wait,
            pods: listed.pods.iter().map(why).collect(),
        }
    }

    /// Why a workload gets no pods, where the cluster says so.
    async fn why_none(&self) -> Option<(String, String)> {
        let cluster = self.cluster().await.ok()?;
        let workload = self.workload(cluster).await.ok()??;
        let why = events::about_workload(cluster, &workload.name).await;
        let why = why.map_or_else(
            || "has no pods".to_owned(),
            |why| format!("has no pods ({why})"),
        );
        Some((format!("{} {}", workload.kind, workload.name), why))
    }

    /// Gives a pool without pods its first one, where it is scaled to zero.
    async fn scale_up(&self, wanted: &Wanted<'_>) -> Result<(), PoolError> {
        let cluster = self.cluster().await?;
        let workload = self
            .workload(cluster)
            .await?
            .ok_or_else(|| PoolError::NoPods {
                pool: self.describe(),
                namespace: cluster.namespace.clone(),
            })?;
        if workload.replicas > 0 {
            return Ok(());
        }
        let Workload {
            kind,
            resource,
            name,
            ..
        } = workload;
        (wanted.tell)(format!(
            "a first pod of {kind} {name}, which was scaled to zero"
        ));
        let scaled = scale(cluster, resource, &name, 1).await;
        scaled.map_err(|source| PoolError::ScaledToZero {
            workload: format!("{kind} {name}"),
            namespace: cluster.namespace.clone(),
            source,
        })
    }

    /// The workload that makes the node's pods; `None` where none is seen.
    async fn workload(&self, cluster: &Cluster) -> Result<Option<Workload>, KubeError> {
        if !self.spec.pods.is_empty() {
            return Ok(None);
        }
        let selector = self.spec.selector.as_deref().unwrap_or(POOL_SELECTOR);
        let workloads = workloads(cluster, selector).await?;
        Ok(workloads
            .into_iter()
            .find(|workload| is_of_arch(workload.arch.as_deref(), &self.platforms)))
    }
}

/// The pods that take builds, those to be avoided only where there is no other.
fn takers(pods: &[PodState], wanted: &Wanted<'_>) -> Vec<PodState> {
    let is_avoided = |pod: &PodState| {
        let names = wanted
            .avoid
            .iter()
            .filter_map(|instance| instance.name.as_ref());
        names.into_iter().any(|name| *name == pod.name)
    };
    let ready = pods.iter().filter(|pod| pod.is_ready);
    let (avoided, fresh): (Vec<_>, Vec<_>) = ready.cloned().partition(is_avoided);
    if fresh.is_empty() { avoided } else { fresh }
}

/// Lists the stateful sets and deployments that a selector finds.
pub(super) async fn workloads(
    cluster: &Cluster,
    selector: &str,
) -> Result<Vec<Workload>, KubeError> {
    let params = ListParams::default().labels(selector);
    let of =
        |resource: &'static str| Doing::new("list", resource, &cluster.namespace).group("apps");
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let (sets, deployments) = tokio::join!(sets.list(&params), deployments.list(&params));
    let sets = sets.map_err(|error| KubeError::of(error, of("statefulsets")))?;
    let deployments = deployments.map_err(|error| KubeError::of(error, of("deployments")))?;
    let sets = sets.items.into_iter().filter_map(|set| {
        let spec = set.spec?;
        Some(Workload {
            pool: pool(set.metadata.labels),
            kind: "statefulset",
            resource: "statefulsets",
            name: set.metadata.name?,
            replicas: spec.replicas.unwrap_or(1),
            arch: template_arch(&spec.template),
        })
    });
    let deployments = deployments.items.into_iter().filter_map(|deployment| {
        let spec = deployment.spec?;
        Some(Workload {
            pool: pool(deployment.metadata.labels),
            kind: "deployment",
            resource: "deployments",
            name: deployment.metadata.name?,
            replicas: spec.replicas.unwrap_or(1),
            arch: template_arch(&spec.template),
        })
    });
    Ok(sets.chain(deployments).collect())
}

fn pool(labels: Option<BTreeMap<String, String>>) -> Option<String> {
    labels?.remove(INSTANCE_LABEL)
}

fn template_arch(template: &PodTemplateSpec) -> Option<String> {
    template.spec.as_ref().and_then(arch)
}

/// Sets the number of a workload's pods through its scale subresource.
async fn scale(
    cluster: &Cluster,
    resource: &'static str,
    name: &str,
    replicas: i32,
) -> Result<(), KubeError> {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let params = PatchParams::default();
    let (client, namespace) = (cluster.client.clone(), &cluster.namespace);
    let done = if resource == "deployments" {
        let api: Api<Deployment> = Api::namespaced(client, namespace);
        api.patch_scale(name, &params, &patch).await
    } else {
        let api: Api<StatefulSet> = Api::namespaced(client, namespace);
        api.patch_scale(name, &params, &patch).await
    };
    let scale = match resource {
        "deployments" => "deployments/scale",
        _ => "statefulsets/scale",
    };
    let doing = Doing::new("patch", scale, namespace)
        .group("apps")
        .named(name);
    done.map(drop).map_err(|error| KubeError::of(error, doing))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::Instance;
    use super::*;

    fn pod(name: &str, ready: &str) -> PodState {
        let pod = json!({"metadata": {"name": name},
                         "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        PodState::of(&serde_json::from_value(pod).unwrap(), None)
    }

    #[test]
    fn a_pod_that_was_lost_is_taken_only_where_there_is_no_other() {
        let avoid = [Instance {
            name: Some("a".into()),
        }];
        let wanted = Wanted {
            key: "",
            wait: Duration::ZERO,
            may_start: false,
            avoid: &avoid,
            tell: Box::new(|_| ()),
        };
        let names = |pods: &[PodState]| -> Vec<String> {
            takers(pods, &wanted)
                .into_iter()
                .map(|pod| pod.name)
                .collect()
        };
        assert_eq!(names(&[pod("a", "True"), pod("b", "True")]), ["b"]);
        assert_eq!(names(&[pod("a", "True"), pod("b", "False")]), ["a"]);
        assert!(names(&[pod("a", "False")]).is_empty());
    }
}
