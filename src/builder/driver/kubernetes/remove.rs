//! Takes a pool away, or only its pods: [`remove`] and [`stop`].
//!
//! Nothing is touched but what this program made for a pool of that name, as its labels say. A
//! pod that builds goes on for as long as its grace period lets it. Namespaces stay.

use std::time::Duration;

use futures_util::future::join_all;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::access::KubeError;
use super::apply::is_ours;
use super::cluster::Cluster;
use super::kinds::{KINDS, Kind};
use super::manifest::{INSTANCE_LABEL, MANAGED_BY, MANAGED_BY_LABEL};

/// How long the cluster may take to let go of claims that are to stay.
const KEEP_LIMIT: Duration = Duration::from_secs(30);
const KEEP_POLL: Duration = Duration::from_millis(200);

/// What becomes of the caches in volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volumes {
    /// They go with the pool.
    Remove,
    /// They stay, and a pool of the same name finds them again.
    Keep,
}

/// What removing did, by object (`statefulset/NAME`).
#[derive(Debug, Default)]
pub struct Removed {
    /// Objects that are gone, or go when their builds have finished.
    pub removed: Vec<String>,
    /// Claims that stay.
    pub kept: Vec<String>,
    /// Kinds of which it is not known whether there are any, and why.
    pub skipped: Vec<(String, KubeError)>,
}

/// Why a pool cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The API server refused or could not be asked.
    #[error(transparent)]
    Kube(#[from] KubeError),
    /// A claim that is to stay would go with its workload.
    #[error(
        "the cluster still ties {object} to its volumes after {} s; nothing was removed",
        KEEP_LIMIT.as_secs()
    )]
    Held {
        /// The workload.
        object: String,
    },
}

/// Removes what was made for a pool; none of it being there is no error.
///
/// # Errors
///
/// When the API server refuses or cannot be asked, or claims that are to stay cannot be freed.
pub async fn remove(
    cluster: &Cluster,
    namespace: &str,
    pool: &str,
    volumes: Volumes,
) -> Result<Removed, RemoveError> {
    let mut removed = Removed::default();
    let lists = join_all(
        KINDS
            .iter()
            .map(|kind| list(cluster, kind, namespace, pool)),
    )
    .await;
    let mut objects = Vec::new();
    for (kind, list) in KINDS.iter().zip(lists) {
        match list {
            Ok(list) => objects.extend(list.into_iter().map(|object| (kind, object))),
            Err(error @ KubeError::Forbidden(_)) if can_be_unknown(kind, volumes) => {
                removed.skipped.push((kind.plural.to_owned(), error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if volumes == Volumes::Keep {
        for (kind, object) in &objects {
            if kind.plural == "statefulsets" {
                free(cluster, kind, namespace, object).await?;
            }
        }
        let (claims, rest) = objects
            .into_iter()
            .partition(|(kind, _)| kind.plural == "persistentvolumeclaims");
        objects = rest;
        release(cluster, namespace, claims, &mut removed).await?;
    }
    let deletions = objects
        .iter()
        .map(|(kind, object)| delete(cluster, kind, namespace, object));
    for ((kind, object), deletion) in objects.iter().zip(join_all(deletions).await) {
        deletion?;
        removed.removed.push(kind.label(name(object)));
    }
    Ok(removed)
}

/// Ends a pool's pods when they have finished; its definition and its volumes stay. Gives back
/// the workloads.
///
/// # Errors
///
/// When the API server refuses or cannot be asked.
pub async fn stop(
    cluster: &Cluster,
    namespace: &str,
    pool: &str,
) -> Result<Vec<String>, KubeError> {
    let Some(kind) = Kind::named("StatefulSet") else {
        return Ok(Vec::new());
    };
    let workloads = list(cluster, kind, namespace, pool).await?;
    let api = kind.api(cluster, namespace);
    let none = json!({"spec": {"replicas": 0}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(&none));
    let patches = workloads.iter().map(|workload| {
        let api = &api;
        let (params, patch) = (&params, &patch);
        async move {
            let answer = api.patch_scale(name(workload), params, patch).await;
            let mut doing = kind.doing("patch", namespace, Some(name(workload)));
            doing.resource = "statefulsets/scale";
            answer.map_err(|error| KubeError::of(error, doing))
        }
    });
    let mut stopped = Vec::new();
    for (workload, patch) in workloads.iter().zip(join_all(patches).await) {
        patch?;
        stopped.push(kind.label(name(workload)));
    }
    Ok(stopped)
}

/// The objects of one kind that were made for a pool.
async fn list(
    cluster: &Cluster,
    kind: &Kind,
    namespace: &str,
    pool: &str,
) -> Result<Vec<DynamicObject>, KubeError> {
    let selector = format!("{MANAGED_BY_LABEL}={MANAGED_BY},{INSTANCE_LABEL}={pool}");
    let params = ListParams::default().labels(&selector);
    let answer = kind.api(cluster, namespace).list(&params).await;
    let list = answer.map_err(|error| KubeError::of(error, kind.doing("list", namespace, None)))?;
    // Deleting is not left to the server's reading of a selector alone.
    let ours = list
        .items
        .into_iter()
        .filter(|object| is_ours(&object.metadata, pool));
    Ok(ours.collect())
}

/// Whether a pool can be removed without knowing of this kind's objects: who made it without
/// them had no rights for them either.
fn can_be_unknown(kind: &Kind, volumes: Volumes) -> bool {
    let keeps_claims = volumes == Volumes::Keep && kind.plural == "persistentvolumeclaims";
    let is_core = ["statefulsets", "services", "configmaps"].contains(&kind.plural);
    !keeps_claims && !is_core
}

/// Makes a workload leave its claims alone when it goes, and waits until the cluster knows.
async fn free(
    cluster: &Cluster,
    kind: &Kind,
    namespace: &str,
    workload: &DynamicObject,
) -> Result<(), RemoveError> {
    let name = name(workload);
    let api = kind.api(cluster, namespace);
    let keep = json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}});
    let patched = api
        .patch(name, &PatchParams::default(), &Patch::Merge(&keep))
        .await;
    let doing = |verb| kind.doing(verb, namespace, Some(name));
    let mut workload = patched.map_err(|error| KubeError::of(error, doing("patch")))?;
    let end = Instant::now() + KEEP_LIMIT;
    while workload.data["status"]["observedGeneration"].as_i64() < workload.metadata.generation {
        if Instant::now() >= end {
            return Err(RemoveError::Held {
                object: kind.label(name),
            });
        }
        sleep(KEEP_POLL).await;
        let answer = api.get(name).await;
        workload = answer.map_err(|error| KubeError::of(error, doing("get")))?;
    }
    Ok(())
}

/// Unties claims from their workload; the cluster does so only for pods that are there.
async fn release(
    cluster: &Cluster,
    namespace: &str,
    claims: Vec<(&Kind, DynamicObject)>,
    removed: &mut Removed,
) -> Result<(), KubeError> {
    for (kind, claim) in claims {
        let owners = claim.metadata.owner_references.iter().flatten();
        let owners: Vec<_> = owners.filter(|owner| owner.kind != "StatefulSet").collect();
        let patch = json!({"metadata": {"ownerReferences": owners}});
        let name = name(&claim);
        let answer = kind
            .api(cluster, namespace)
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        let doing = kind.doing("patch", namespace, Some(name));
        answer.map_err(|error| KubeError::of(error, doing))?;
        removed.kept.push(kind.label(name));
    }
    Ok(())
}

async fn delete(
    cluster: &Cluster,
    kind: &Kind,
    namespace: &str,
    object: &DynamicObject,
) -> Result<(), KubeError> {
    // An object of the same name that somebody made in between is not ours.
    let params = DeleteParams::background().preconditions(Preconditions {
        uid: object.metadata.uid.clone(),
        resource_version: None,
    });
    let name = name(object);
    let answer = kind.api(cluster, namespace).delete(name, &params).await;
    match answer {
        Ok(_) => Ok(()),
        Err(error) => match KubeError::of(error, kind.doing("delete", namespace, Some(name))) {
            KubeError::NotFound { .. } => Ok(()),
            error => Err(error),
        },
    }
}

fn name(object: &DynamicObject) -> &str {
    object.metadata.name.as_deref().unwrap_or_default()
}
