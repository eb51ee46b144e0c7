//! How a node's daemons are found and reached: the seam where kinds of builders differ.
//!
//! [`Driver`] lists a node's instances and makes a dialer for one. Which instance serves a
//! build is decided elsewhere, from what is listed here.

pub mod kubernetes;

use std::fmt;
use std::sync::Arc;

use super::spec::NodeSpec;
use crate::buildkit::dial::{self, Dial};

/// One daemon of a node; equal instances of one node are the same daemon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance {
    /// Its name among the node's daemons, such as a pod's; `None` where the node is one
    /// daemon and needs no other name.
    pub name: Option<String>,
}

/// Why a node's daemons cannot be listed or reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The instance is not of this node.
    #[error("node `{node}` has no daemon `{instance}`")]
    NoSuchInstance {
        /// The node.
        node: String,
        /// The instance.
        instance: String,
    },
}

/// The way to a node's daemons. What has pods gets a variant of its own.
#[derive(Clone)]
pub(super) enum Driver {
    /// One daemon at one endpoint.
    Endpoint(Arc<dyn Dial>),
}

impl Driver {
    /// Chooses the driver of a node; contacts nobody.
    pub(super) fn of(spec: &NodeSpec) -> Self {
        Self::Endpoint(Arc::from(dial::dialer(&spec.endpoint, spec.tls.as_ref())))
    }

    /// Lists the daemons there are now.
    // Async and fallible for drivers that have to ask; an endpoint's answer is at hand.
    pub(super) async fn instances(&self) -> Result<Vec<Instance>, DriverError> {
        match self {
            Self::Endpoint(_) => Ok(vec![Instance { name: None }]),
        }
    }

    /// Makes the dialer of one daemon; `node` is for messages.
    pub(super) fn dialer(
        &self,
        node: &str,
        instance: &Instance,
    ) -> Result<Arc<dyn Dial>, DriverError> {
        match (self, &instance.name) {
            (Self::Endpoint(dial), None) => Ok(Arc::clone(dial)),
            (Self::Endpoint(_), Some(name)) => Err(DriverError::NoSuchInstance {
                node: node.to_owned(),
                instance: name.clone(),
            }),
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(dial) => write!(f, "Endpoint({})", dial.describe()),
        }
    }
}
