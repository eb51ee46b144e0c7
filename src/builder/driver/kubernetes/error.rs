//! Why a pool has no daemon for a build: [`PoolError`].

use std::time::Duration;

use super::access::KubeError;

/// Why no pod of a pool takes a build.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The cluster did not do what was asked.
    #[error(transparent)]
    Kube(#[from] KubeError),
    /// There is no pod, and nothing that would make one.
    #[error("there are no {pool} (namespace {namespace}), and no workload that makes them")]
    NoPods {
        /// The pods that are meant.
        pool: String,
        /// The namespace that was looked in.
        namespace: String,
    },
    /// There are pods, and none became ready.
    #[error("none of the {pool} was ready within {} s{}", waited.as_secs(), list(pods))]
    NotReady {
        /// The pods that are meant.
        pool: String,
        /// How long they had.
        waited: Duration,
        /// Each pod, and why it is not ready.
        pods: Vec<(String, String)>,
    },
    /// The workload has no pods, and could not be given one.
    #[error("{workload} in namespace {namespace} is scaled to zero, and could not be scaled up")]
    ScaledToZero {
        /// The workload, such as `statefulset buildkitd-arm64`.
        workload: String,
        /// Its namespace.
        namespace: String,
        /// Why not.
        source: KubeError,
    },
    /// Every pod has as many builds as it takes.
    #[error(
        "no free slot on {pool} within {} min: each of the {pods} ready has {slots} builds or more",
        waited.as_secs() / 60
    )]
    Full {
        /// The pods that are meant.
        pool: String,
        /// How many are ready.
        pods: usize,
        /// How many builds each takes.
        slots: usize,
        /// How long it was waited for.
        waited: Duration,
    },
}

impl PoolError {
    /// Says what the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Kube(error) => error.advice(),
            Self::NoPods { .. } => Some(
                "deploy a pool (mbuild builder create NAME --driver kubernetes), or say which \
                 pods are meant: `namespace`, `selector`"
                    .to_owned(),
            ),
            Self::NotReady { .. } => Some(
                "a build's --wait, or --timeout of `builder create`, gives them more time"
                    .to_owned(),
            ),
            Self::ScaledToZero {
                workload,
                namespace,
                source,
            } => {
                let grant = source.advice().map(|advice| format!("; or {advice}"));
                Some(format!(
                    "somebody with more rights can: kubectl -n {namespace} scale {workload} \
                     --replicas=1{}",
                    grant.unwrap_or_default()
                ))
            }
            Self::Full { .. } => Some("add pods, or raise `slots`".to_owned()),
        }
    }

    /// Whether another try might succeed.
    pub fn is_infrastructure(&self) -> bool {
        match self {
            Self::Kube(error) => error.is_passing(),
            Self::NotReady { .. } | Self::Full { .. } => true,
            Self::NoPods { .. } | Self::ScaledToZero { .. } => false,
        }
    }
}

fn list(pods: &[(String, String)]) -> String {
    pods.iter()
        .map(|(pod, why)| format!("\n  {pod} {why}"))
        .collect()
}
