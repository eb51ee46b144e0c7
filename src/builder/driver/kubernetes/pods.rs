//! What a pod object says of the daemon in it: [`PodState`].
//!
//! Pure. Why one is not ready, or has died, is told by `why`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::why::{Trouble, trouble};
use crate::builder::pool::INSTANCE_LABEL;

/// The container that has buildkitd, where the pod has one of that name.
const CONTAINER: &str = "buildkitd";
/// The label by which nodes, and pods that want one, name a CPU architecture.
pub(super) const ARCH_LABEL: &str = "kubernetes.io/arch";

/// A pod, as far as a build cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodState {
    pub(super) name: String,
    /// Tells it from a later pod of the same name.
    pub(super) uid: String,
    /// Its address, once it has one.
    pub(super) ip: Option<IpAddr>,
    /// The cluster's node that it runs on, once it has one.
    pub(super) host: Option<String>,
    /// The architecture that it must run on, in Go's words; `None` where it says nothing.
    pub(super) arch: Option<String>,
    /// The pool it belongs to, by its label.
    pub(super) pool: Option<String>,
    /// The container with the daemon.
    pub(super) container: String,
    /// The Service that names its host, for certificates.
    pub(super) service: Option<String>,
    /// Whether it takes builds: ready, and not on its way out.
    pub(super) is_ready: bool,
    /// Whether it is being deleted.
    pub(super) is_terminating: bool,
    /// Why it is not ready, or what happened to it.
    pub(super) trouble: Option<Trouble>,
}

impl PodState {
    /// Reads a pod; `container` is the one that the user names.
    pub(super) fn of(pod: &Pod, container: Option<&str>) -> Self {
        let labels = pod.metadata.labels.as_ref();
        let spec = pod.spec.as_ref();
        let is_terminating = pod.metadata.deletion_timestamp.is_some();
        let container = container.map(str::to_owned);
        let container = container.or_else(|| spec.and_then(daemon_container));
        let container = container.unwrap_or_else(|| CONTAINER.to_owned());
        let ip = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.as_ref());
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            ip: ip.and_then(|ip| ip.parse().ok()),
            host: spec.and_then(|spec| spec.node_name.clone()),
            arch: spec.and_then(arch),
            pool: labels.and_then(|labels| labels.get(INSTANCE_LABEL).cloned()),
            service: spec.and_then(|spec| spec.subdomain.clone()),
            is_ready: !is_terminating && is_condition_true(pod, "Ready"),
            is_terminating,
            trouble: trouble(pod, &container),
            container,
        }
    }
}

/// The pod's container named `buildkitd`, or its first.
fn daemon_container(spec: &PodSpec) -> Option<String> {
    let named = |container: &&Container| container.name == CONTAINER;
    let container = spec.containers.iter().find(named);
    let container = container.or_else(|| spec.containers.first())?;
    Some(container.name.clone())
}

/// The architecture that a pod asks its node to have.
pub(super) fn arch(spec: &PodSpec) -> Option<String> {
    let selected = spec.node_selector.as_ref();
    if let Some(arch) = selected.and_then(|selector| selector.get(ARCH_LABEL)) {
        return Some(arch.clone());
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    let expressions = required
        .node_selector_terms
        .iter()
        .flat_map(|term| term.match_expressions.iter().flatten());
    let mut named = expressions.filter(|expression| expression.key == ARCH_LABEL);
    let expression = named.next()?;
    match (expression.operator.as_str(), expression.values.as_deref()) {
        ("In", Some([arch])) => Some(arch.clone()),
        _ => None,
    }
}

fn is_condition_true(pod: &Pod, name: &str) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .filter(|condition| condition.type_ == name)
        .any(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(pod: serde_json::Value) -> PodState {
        PodState::of(&serde_json::from_value(pod).unwrap(), None)
    }

    #[test]
    fn a_ready_pod_is_read_whole() {
        let state = read(json!({
            "metadata": {"name": "p-0", "uid": "u", "labels": {INSTANCE_LABEL: "pool"}},
            "spec": {"nodeSelector": {ARCH_LABEL: "arm64"}, "subdomain": "p",
                     "containers": [{"name": "proxy"}, {"name": "buildkitd"}]},
            "status": {"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]}
        }));
        let PodState {
            name,
            ip,
            arch,
            pool,
            container,
            ..
        } = &state;
        assert_eq!((name.as_str(), container.as_str()), ("p-0", "buildkitd"));
        assert_eq!(ip.unwrap().to_string(), "10.0.0.7");
        assert_eq!(
            (arch.as_deref(), pool.as_deref()),
            (Some("arm64"), Some("pool"))
        );
        assert!(state.is_ready && !state.is_terminating && state.trouble.is_none());
    }

    #[test]
    fn a_running_pod_that_is_not_ready_takes_no_builds() {
        let status =
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]});
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}, "status": status});
        let state = read(pod);
        assert!(!state.is_ready);
        assert_eq!(state.container, "c", "the first one");
    }

    #[test]
    fn a_ready_pod_on_its_way_out_takes_no_builds() {
        let state = read(json!({
            "metadata": {"name": "p", "deletionTimestamp": "2026-11-22T00:00:00Z"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}
        }));
        assert!(!state.is_ready && state.is_terminating);
    }

    #[test]
    fn an_affinity_names_an_architecture_too() {
        let affinity = |operator: &str, values: &[&str]| {
            json!({"metadata": {"name": "p"}, "spec": {"containers": [], "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": ARCH_LABEL, "operator": operator, "values": values}]}
            ]}}}}})
        };
        assert_eq!(
            read(affinity("In", &["arm64"])).arch.as_deref(),
            Some("arm64")
        );
        assert_eq!(read(affinity("In", &["arm64", "amd64"])).arch, None);
        assert_eq!(read(affinity("NotIn", &["arm64"])).arch, None);
    }
}
