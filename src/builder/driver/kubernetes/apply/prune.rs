//! Removes what a pool's options no longer ask for: [`prune`].

use futures_util::future::join_all;
use kube::api::DeleteParams;

use super::super::access::KubeError;
use super::super::cluster::Cluster;
use super::super::manifest;
use super::super::options::{Autoscale, DaemonConfig, PoolOptions};
use super::wanted::{Wanted, wanted};
use super::{Applied, ApplyError, is_ours};

/// Removes what these options no longer make and others would have made.
pub(super) async fn prune(
    cluster: &Cluster,
    options: &PoolOptions,
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    let made: Vec<String> = wanted(manifest::objects(options)?)
        .iter()
        .map(Wanted::label)
        .collect();
    let mut everything = options.clone();
    everything.autoscale = Some(Autoscale {
        image: "any".to_owned(),
        most: u32::MAX,
        idle: String::new(),
    });
    everything.config = Some(DaemonConfig {
        files: [("any".to_owned(), Vec::new())].into(),
        ..DaemonConfig::default()
    });
    let mut others = wanted(manifest::objects(&everything)?);
    others.retain(|other| !made.contains(&other.label()));
    let removals = others
        .iter()
        .map(|other| remove_own(cluster, options, other));
    for (other, removal) in others.iter().zip(join_all(removals).await) {
        match removal {
            Ok(true) => applied.removed.push(other.label()),
            Ok(false) => {}
            // Who may not even look at such objects has not made any.
            Err(KubeError::Forbidden(missing)) if missing.verb == "get" => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Removes an object if it is ours; false if there is none.
async fn remove_own(
    cluster: &Cluster,
    options: &PoolOptions,
    other: &Wanted,
) -> Result<bool, KubeError> {
    let api = other.kind.api(cluster, &options.namespace);
    let found = api.get_opt(&other.name).await;
    let found = found.map_err(|error| KubeError::of(error, other.doing("get", options)))?;
    if !found.is_some_and(|object| is_ours(&object.metadata, &options.name)) {
        return Ok(false);
    }
    let removal = api.delete(&other.name, &DeleteParams::background()).await;
    match removal.map_err(|error| KubeError::of(error, other.doing("delete", options))) {
        Ok(_) => Ok(true),
        Err(KubeError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
