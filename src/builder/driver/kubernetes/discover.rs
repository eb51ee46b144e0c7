//! Finding pools that somebody deployed: by the standard labels, or by a selector.

use std::collections::{BTreeMap, BTreeSet};

use super::access::KubeError;
use super::cluster::{Cluster, ClusterSpec};
use super::list::list;
use super::pods::PodState;
use super::wait::workloads;
use crate::builder::pool::{POOL_SELECTOR, PoolSpec, pool_selector};
use crate::builder::spec::{NodeSpec, Reach};
use crate::config::Env;
use crate::platform::Platform;

/// A pool in a namespace, with a node for each of its architectures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPool {
    /// Its name by its label; `None` where its pods have no such label.
    pub name: Option<String>,
    /// The namespace.
    pub namespace: String,
    /// Its nodes, by architecture; at least one.
    pub nodes: Vec<NodeSpec>,
}

/// Finds the pools that `spec` leads to: one request where there are pods, three where there
/// are none. Nodes are reached as `spec` says.
///
/// # Errors
///
/// When the cluster is not reached, or does not let us look.
pub async fn find_pools(spec: &PoolSpec, env: &Env) -> Result<Vec<FoundPool>, KubeError> {
    let place = ClusterSpec {
        kubeconfig: spec.kubeconfig.clone(),
        context: spec.context.clone(),
        namespace: spec.namespace.clone(),
    };
    let cluster = Cluster::connect(&place, env).await?;
    let selector = spec.selector.as_deref();
    let asked = match selector {
        None if !spec.pods.is_empty() => None,
        other => Some(other.unwrap_or(POOL_SELECTOR)),
    };
    let (pods, _) = list(&cluster, asked).await?;
    let mut members: Vec<Member> = pods
        .iter()
        .map(|pod| PodState::of(pod, None))
        .filter(|pod| spec.pods.is_empty() || spec.pods.contains(&pod.name))
        .map(|pod| Member {
            pool: pod.pool,
            arch: pod.arch,
        })
        .collect();
    if let (true, Some(selector)) = (members.is_empty() && spec.pods.is_empty(), asked) {
        let found = workloads(&cluster, selector).await?.into_iter();
        members.extend(found.map(|workload| Member {
            pool: workload.pool,
            arch: workload.arch,
        }));
    }
    Ok(group(&cluster.namespace, spec, members))
}

/// What makes something a part of a pool.
struct Member {
    pool: Option<String>,
    arch: Option<String>,
}

/// Parts members into pools, and pools into nodes; pure.
fn group(namespace: &str, spec: &PoolSpec, members: Vec<Member>) -> Vec<FoundPool> {
    let mut pools: BTreeMap<Option<String>, BTreeSet<Option<String>>> = BTreeMap::new();
    for member in members {
        // Who names pods or labels means all that they find.
        let pool = member
            .pool
            .filter(|_| spec.selector.is_none() && spec.pods.is_empty());
        pools.entry(pool).or_default().insert(member.arch);
    }
    let pool = |(name, arches): (Option<String>, BTreeSet<Option<String>>)| FoundPool {
        nodes: arches
            .into_iter()
            .map(|arch| node(namespace, spec, name.as_deref(), arch))
            .collect(),
        name,
        namespace: namespace.to_owned(),
    };
    pools.into_iter().map(pool).collect()
}

fn node(namespace: &str, spec: &PoolSpec, pool: Option<&str>, arch: Option<String>) -> NodeSpec {
    let selector = spec.selector.clone();
    let selector = selector.or_else(|| Some(pool_selector(pool?, None)));
    let reach = PoolSpec {
        namespace: Some(namespace.to_owned()),
        selector,
        ..spec.clone()
    };
    let platforms = arch
        .iter()
        .map(|arch| Platform::new("linux", arch).normalized());
    NodeSpec {
        platforms: platforms.collect(),
        ..NodeSpec::reached(arch.as_deref().unwrap_or("pods"), Reach::Pods(reach))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(spec: &PoolSpec, members: &[(Option<&str>, Option<&str>)]) -> Vec<String> {
        let member = |(pool, arch): &(Option<&str>, Option<&str>)| Member {
            pool: pool.map(str::to_owned),
            arch: arch.map(str::to_owned),
        };
        let pools = group("ns", spec, members.iter().map(member).collect());
        let line = |pool: FoundPool| {
            let nodes = pool
                .nodes
                .iter()
                .map(|node| format!("{}: {}", node.name, node.reach));
            format!("{:?} {}", pool.name, nodes.collect::<Vec<_>>().join("; "))
        };
        pools.into_iter().map(line).collect()
    }

    #[test]
    fn pools_are_told_apart_by_their_label() {
        let members = [
            (Some("blue"), Some("arm64")),
            (Some("blue"), Some("amd64")),
            (Some("blue"), Some("amd64")),
            (Some("red"), None),
        ];
        let blue = "Some(\"blue\") amd64: pods of pool blue in namespace ns; arm64: pods of pool \
                    blue in namespace ns";
        let red = "Some(\"red\") pods: pods of pool red in namespace ns";
        assert_eq!(found(&PoolSpec::default(), &members), [blue, red]);
        assert!(found(&PoolSpec::default(), &[]).is_empty());
    }

    #[test]
    fn a_selector_means_one_pool() {
        let spec = PoolSpec {
            selector: Some("app=b".into()),
            ..PoolSpec::default()
        };
        let members = [(Some("blue"), Some("arm64")), (None, Some("amd64"))];
        assert_eq!(
            found(&spec, &members),
            ["None amd64: pods app=b in namespace ns; arm64: pods app=b in namespace ns"]
        );
    }
}
