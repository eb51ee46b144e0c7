//! Daemons in the pods of a Kubernetes cluster.
//!
//! Finds them, says why one is not ready, chooses one and opens a byte stream to it. All that
//! knows the Kubernetes API is below this module.

pub mod access;
pub mod apply;
mod attempt;
pub mod certs;
mod choose;
pub mod cluster;
mod discover;
mod ending;
mod error;
mod events;
mod every;
mod exec;
mod fate;
mod forward;
mod inspect;
mod kinds;
mod kubeconfig;
mod list;
pub mod manifest;
pub mod options;
mod pods;
mod pulse;
mod ready;
pub mod remove;
mod rights;
pub mod scale;
pub mod sets;
mod take;
mod transport;
mod wait;
mod websocket;
mod why;

use tokio::sync::OnceCell;

use super::super::pool::PoolSpec;
use super::super::spec::NodeSpec;
use crate::config::Env;
use crate::platform::Platform;
use cluster::{Cluster, ClusterSpec};

pub use discover::{FoundPool, find_pools};
pub use error::PoolError;
pub use fate::{Fate, Watch};
pub use inspect::PodView;

/// One architecture's pods, and the way to their cluster.
pub(in crate::builder) struct Pool {
    node: String,
    spec: PoolSpec,
    platforms: Vec<Platform>,
    slots: Option<usize>,
    env: Env,
    cluster: OnceCell<Cluster>,
}

impl Pool {
    /// Makes the way to a node's pods; contacts nobody.
    pub(in crate::builder) fn new(node: &NodeSpec, spec: &PoolSpec, env: &Env) -> Self {
        Self {
            node: node.name.clone(),
            spec: spec.clone(),
            platforms: node.platforms.clone(),
            slots: node.slots,
            env: env.clone(),
            cluster: OnceCell::new(),
        }
    }

    /// The pods that are meant, for messages.
    pub(in crate::builder) fn describe(&self) -> String {
        self.spec.to_string()
    }

    /// The cluster; found out once.
    async fn cluster(&self) -> Result<&Cluster, PoolError> {
        let spec = ClusterSpec {
            kubeconfig: self.spec.kubeconfig.clone(),
            context: self.spec.context.clone(),
            namespace: self.spec.namespace.clone(),
        };
        let connect = || async { Cluster::connect(&spec, &self.env).await };
        Ok(self.cluster.get_or_try_init(connect).await?)
    }
}
