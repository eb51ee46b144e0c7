//! Where builds run: a [`Builder`] has [`Node`]s, and a node has one or more daemons.
//!
//! Definitions, finding and asking daemons are here; what is built where is `plan`'s, and
//! building is `run`'s.

mod choose;
mod docker_host;
mod driver;
mod find;
mod import;
mod places;
mod pool;
mod probe;
mod spec;
mod store;

use std::sync::Arc;

use crate::buildkit::dial::Dial;
use crate::node::{NodeInfo, Reported};

pub use choose::{DEFAULT_BUILDER, Named, NamedBy, NoneChosen, UnknownBuilder};
pub use docker_host::{DockerEngine, DockerHostError, docker_engine};
pub use driver::kubernetes;
pub use driver::{DriverError, Instance};
pub use find::{BrokenBuilder, FindError, Finder, FoundBuilder};
pub use import::{ImportError, Imported, import, import_text};
pub use places::{NothingAnswers, Place, first_answering, nodes_at};
pub use pool::{BUILDKIT_PORT, LoadBalance, POOL_SELECTOR, PoolSpec, Transport, UnknownWord};
pub use probe::{Answer, PROBE_LIMIT, ProbeError, Probed, probe};
pub use spec::{BuilderSpec, NodePlace, NodeSpec, Origin, SpecError};
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
    /// Makes a builder of its definition; contacts nobody.
    pub fn new(spec: BuilderSpec) -> Self {
        Self {
            name: spec.name,
            origin: spec.origin,
            nodes: spec.nodes.into_iter().map(Node::new).collect(),
        }
    }
}

impl Node {
    /// Makes a node of its definition; contacts nobody.
    pub fn new(spec: NodeSpec) -> Self {
        let driver = driver::Driver::of(&spec);
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
            slots: self.spec.slots,
            running: 0,
        }
    }

    /// Lists the daemons behind it; a node with one endpoint has one.
    ///
    /// # Errors
    ///
    /// When they cannot be listed.
    pub async fn instances(&self) -> Result<Vec<Instance>, DriverError> {
        self.driver.instances().await
    }

    /// Returns the way to one of its daemons, for `Connection::open`.
    ///
    /// # Errors
    ///
    /// When the instance is not of this node.
    pub fn dialer(&self, instance: &Instance) -> Result<Arc<dyn Dial>, DriverError> {
        self.driver.dialer(&self.spec.name, instance)
    }
}
