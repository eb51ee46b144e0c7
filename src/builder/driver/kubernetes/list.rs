//! The pods of a node, listed; and what wakes a reader when they change.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, WatchParams};

use super::Pool;
use super::access::{Doing, KubeError};
use super::cluster::Cluster;
use super::error::PoolError;
use super::pods::PodState;
use crate::builder::pool::{POOL_SELECTOR, PoolSpec};
use crate::platform::Platform;

/// How long a change is waited for before the pods are listed again whatever happens: a watch
/// may be forbidden, cut, or answered by a server that fell behind.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The pause where there is no watch, so that nothing spins.
const PAUSE: Duration = Duration::from_secs(1);

/// A node's pods at one moment.
pub(super) struct Listed {
    pub(super) pods: Vec<PodState>,
    /// From where a watch goes on.
    version: String,
}

impl Pool {
    /// Lists the node's pods, ready or not: one request.
    pub(super) async fn list(&self) -> Result<Listed, PoolError> {
        let cluster = self.cluster().await?;
        let selector = self.spec.selector.as_deref();
        let (pods, version) = list(cluster, selector_of(&self.spec, selector)).await?;
        let pods = pods
            .iter()
            .map(|pod| PodState::of(pod, self.spec.container.as_deref()))
            .filter(|pod| is_meant(pod, &self.spec.pods, &self.platforms))
            .collect();
        Ok(Listed { pods, version })
    }

    /// Returns when a pod has changed since `listed`, or after a while.
    pub(super) async fn changed(&self, listed: &Listed) -> Result<(), PoolError> {
        let cluster = self.cluster().await?;
        let selector = selector_of(&self.spec, self.spec.selector.as_deref());
        let mut params = WatchParams::default().timeout(60);
        if let Some(selector) = selector {
            params = params.labels(selector);
        }
        let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let change = async {
            match api.watch(&params, &listed.version).await {
                Ok(events) => match std::pin::pin!(events.into_stream()).next().await {
                    Some(Ok(kube::core::WatchEvent::Error(_)) | Err(_)) | None => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    Some(Ok(_)) => {}
                },
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        // That nothing came is as good a reason to look as that something did.
        tokio::time::timeout(LOOK_AGAIN, change).await.ok();
        Ok(())
    }
}

/// Lists the pods that a selector finds, with the version of the list.
pub(super) async fn list(
    cluster: &Cluster,
    selector: Option<&str>,
) -> Result<(Vec<Pod>, String), KubeError> {
    let mut params = ListParams::default();
    if let Some(selector) = selector {
        params = params.labels(selector);
    }
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let listed = api
        .list(&params)
        .await
        .map_err(|error| KubeError::of(error, Doing::new("list", "pods", &cluster.namespace)))?;
    let version = listed.metadata.resource_version.unwrap_or_default();
    Ok((listed.items, version))
}

/// What the API server is asked for; pods that are named need no labels.
fn selector_of<'a>(spec: &PoolSpec, selector: Option<&'a str>) -> Option<&'a str> {
    match selector {
        None if !spec.pods.is_empty() => None,
        None => Some(POOL_SELECTOR),
        some => some,
    }
}

/// Whether a pod is one of the node's: named if any are, and of the node's architecture.
fn is_meant(pod: &PodState, names: &[String], platforms: &[Platform]) -> bool {
    let named = names.is_empty() || names.contains(&pod.name);
    named && is_of_arch(pod.arch.as_deref(), platforms)
}

/// Whether what runs on an architecture can be one of these platforms' node. What says
/// nothing, or a node that says nothing, is believed.
pub(super) fn is_of_arch(arch: Option<&str>, platforms: &[Platform]) -> bool {
    let Some(arch) = arch else { return true };
    let family = |arch: &str| match arch {
        "386" => "amd64".to_owned(),
        "arm" => "arm64".to_owned(),
        other => other.to_owned(),
    };
    platforms.is_empty()
        || platforms
            .iter()
            .any(|platform| family(&platform.architecture) == family(arch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_another_architecture_belong_to_another_node() {
        let check = |arch, platforms: &[&str], expect| {
            let platforms: Vec<Platform> = platforms.iter().map(|p| p.parse().unwrap()).collect();
            assert_eq!(
                is_of_arch(arch, &platforms),
                expect,
                "{arch:?} {platforms:?}"
            );
        };
        check(Some("arm64"), &["linux/arm64"], true);
        check(Some("arm64"), &["linux/amd64"], false);
        check(Some("arm64"), &["linux/arm/v7"], true);
        check(Some("amd64"), &["linux/386"], true);
        check(Some("amd64"), &["linux/arm64", "linux/amd64/v3"], true);
        check(Some("amd64"), &[], true);
        check(None, &["linux/arm64"], true);
    }

    #[test]
    fn named_pods_need_no_labels() {
        let named = PoolSpec {
            pods: vec!["p-0".into()],
            ..PoolSpec::default()
        };
        assert_eq!(selector_of(&named, None), None);
        assert_eq!(selector_of(&PoolSpec::default(), None), Some(POOL_SELECTOR));
        assert_eq!(selector_of(&PoolSpec::default(), Some("a=b")), Some("a=b"));
    }
}
