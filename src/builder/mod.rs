//! Where builds run: a [`Builder`] has [`Node`]s, and a node has one or more daemons.
//!
//! Definitions, finding and asking daemons are here; what is built where is `plan`'s, and
//! building is `run`'s.

mod choose;
mod docker_host;
mod driver;
mod every;
mod find;
mod import;
mod open;
mod own_pool;
mod places;
mod pool;
mod probe;
mod spec;
mod store;

use crate::buildkit::endpoint::Endpoint;
use crate::buildkit::io::ByteStream;
use crate::config::Env;
use crate::node::{ImageStore, NodeInfo, Reported};

pub use choose::{DEFAULT_BUILDER, Named, NamedBy, NoneChosen, UnknownBuilder};
pub use docker_host::{DockerEngine, DockerHostError, docker_engine, docker_engine_of};
pub use driver::kubernetes;
pub use driver::{DriverError, Fate, FoundPool, Instance, PodView, PoolError, Watch, find_pools};
pub use every::Met;
pub use find::{BrokenBuilder, FindError, Finder, FoundBuilder};
pub use import::{ImportError, Imported, import, import_text};
pub use open::{Answer, OpenError, Wanted};
pub use own_pool::{OwnPool, SeveralPools};
pub use places::{NothingAnswers, Place, first_answering, nodes_at};
pub use pool::{
    BUILDKIT_PORT, LoadBalance, POOL_SELECTOR, PoolSpec, Transport, UnknownWord, pool_selector,
};
pub use probe::{PROBE_LIMIT, Probed, probe};
pub use spec::{BuilderSpec, NodePlace, NodeSpec, Origin, Reach, SpecError};
pub use store::{Replace, Store, StoreError};

/// A builder whose nodes can be reached.
#[derive(Debug, Clone)]
pub struct Builder {
    /// Its name.
    pub name: String,
    /// Where its definition is from.
    pub origin: Origin,
    /// Its nodes, at least one; the first one is the default node.
    pub nodes: Vec<Node>,
}

/// A node: its definition and the way to its daemons.
#[derive(Debug, Clone)]
pub struct Node {
    spec: NodeSpec,
    driver: driver::Driver,
}

impl Builder {
    /// Makes a builder of its definition; contacts nobody. The environment says where a
    /// cluster is, where the definition does not.
    pub fn new(spec: BuilderSpec, env: &Env) -> Self {
        Self {
            name: spec.name,
            origin: spec.origin,
            nodes: spec
                .nodes
                .into_iter()
                .map(|node| Node::new(node, env))
                .collect(),
        }
    }
}

impl Node {
    /// Makes a node of its definition; contacts nobody.
    pub fn new(spec: NodeSpec, env: &Env) -> Self {
        let driver = driver::Driver::of(&spec, env);
        Self { spec, driver }
    }

    /// Its name, unique in the builder.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its definition.
    pub fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// What is known of it without asking anybody.
    pub fn info(&self) -> NodeInfo {
        NodeInfo {
            name: self.spec.name.clone(),
            configured: self.spec.platforms.clone(),
            reported: Reported::Unasked,
            store: match self.spec.endpoint().is_some_and(Endpoint::is_docker) {
                true => ImageStore::Engine,
                false => ImageStore::None,
            },
            slots: self.spec.slots,
            running: 0,
        }
    }

    /// Opens a bare byte stream to one of its daemons, on which HTTP/2 can start; with the
    /// daemon's name for messages.
    ///
    /// # Errors
    ///
    /// When none is ready in time, or it cannot be reached.
    pub async fn stream(&self, wanted: &Wanted<'_>) -> Result<(ByteStream, String), OpenError> {
        self.driver.stream(wanted).await
    }

    /// Whether it can have several daemons, so that another one can take over.
    pub fn is_pool(&self) -> bool {
        matches!(self.driver, driver::Driver::Pods(_))
    }

    /// Looks at its pods as they are now, and asks those that are ready; `None` where it is
    /// one daemon at an endpoint.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub async fn inspect(&self) -> Result<Option<Vec<PodView>>, DriverError> {
        self.driver.inspect().await
    }

    /// Looks out for a daemon's death from now on; `None` where nobody else would know of it.
    pub fn watch(&self, instance: &Instance) -> Option<Watch> {
        self.driver.watch(instance)
    }
}
