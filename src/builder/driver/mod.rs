//! How a node's daemons are found and reached: the seam where kinds of builders differ.
//!
//! [`Driver`] is one of two kinds: a daemon at an endpoint, or the pods of a pool.

pub mod kubernetes;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::every::Met;
use super::open::{Answer, OpenError, Wanted};
use super::spec::{NodeSpec, Reach};
use crate::buildkit::dial::{self, Dial};
use crate::buildkit::io::ByteStream;
use crate::buildkit::{ConnectError, Connection};
use crate::config::Env;

pub use kubernetes::{Fate, FoundPool, PodView, PoolError, Watch, find_pools};

/// One daemon of a node; equal instances of one node are the same daemon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance {
    /// Its name among the node's daemons, such as a pod's; `None` where the node is one
    /// daemon and needs no other name.
    pub name: Option<String>,
}

/// Why a node's daemons cannot be listed, or none is ready.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A pool of pods has none that could be taken.
    #[error(transparent)]
    Pool(Box<PoolError>),
}

impl From<PoolError> for DriverError {
    fn from(error: PoolError) -> Self {
        Self::Pool(Box::new(error))
    }
}

impl DriverError {
    /// Says what the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let Self::Pool(error) = self;
        error.hint()
    }

    /// Whether another try might succeed.
    pub fn is_infrastructure(&self) -> bool {
        let Self::Pool(error) = self;
        error.is_infrastructure()
    }
}

/// The way to a node's daemons.
#[derive(Clone)]
pub(super) enum Driver {
    /// One daemon at one endpoint.
    Endpoint(Arc<dyn Dial>),
    /// One architecture's pods.
    Pods(Arc<kubernetes::Pool>),
}

impl Driver {
    /// Chooses the driver of a node; contacts nobody.
    pub(super) fn of(spec: &NodeSpec, env: &Env) -> Self {
        match &spec.reach {
            Reach::Endpoint { endpoint, tls } => {
                Self::Endpoint(Arc::from(dial::dialer(endpoint, tls.as_ref())))
            }
            Reach::Pods(pool) => Self::Pods(Arc::new(kubernetes::Pool::new(spec, pool, env))),
        }
    }

    /// Connects to the daemon, or to the pod that suits the build.
    pub(super) async fn open(&self, wanted: &Wanted<'_>) -> Result<Answer, OpenError> {
        match self {
            Self::Endpoint(dial) => {
                let connection = Connection::open(Arc::clone(dial)).await?;
                Ok(Answer {
                    instance: Instance { name: None },
                    running: connection.running(),
                    connection,
                })
            }
            Self::Pods(pool) => pool.open(wanted).await,
        }
    }

    /// Connects to every daemon there is.
    pub(super) async fn open_all(&self, limit: Duration) -> Result<Vec<Met>, OpenError> {
        let dial = match self {
            Self::Endpoint(dial) => dial,
            Self::Pods(pool) => {
                return Ok(pool.open_all(limit).await.map_err(DriverError::from)?);
            }
        };
        let opened = timeout(limit, Connection::open(Arc::clone(dial))).await;
        let outcome = match opened {
            Ok(opened) => opened.map_err(OpenError::from),
            Err(_) => Err(OpenError::Late(limit)),
        };
        let instance = Instance { name: None };
        Ok(vec![Met { instance, outcome }])
    }

    /// Opens a bare byte stream to the daemon, or to the pod that suits; with its name.
    pub(super) async fn stream(
        &self,
        wanted: &Wanted<'_>,
    ) -> Result<(ByteStream, String), OpenError> {
        let dialer: Arc<dyn Dial> = match self {
            Self::Endpoint(dial) => Arc::clone(dial),
            Self::Pods(pool) => pool.dialer(wanted).await.map_err(DriverError::from)?,
        };
        let stream = dialer.dial().await.map_err(ConnectError::from)?;
        Ok((stream, dialer.describe()))
    }

    /// Looks out for a daemon's death, where somebody else would know of it.
    pub(super) fn watch(&self, instance: &Instance) -> Option<Watch> {
        match self {
            Self::Endpoint(_) => None,
            Self::Pods(pool) => pool.watch(instance.name.as_deref()?),
        }
    }

    /// Looks at the pods there are now, where there are pods.
    pub(super) async fn inspect(&self) -> Result<Option<Vec<PodView>>, DriverError> {
        match self {
            Self::Endpoint(_) => Ok(None),
            Self::Pods(pool) => Ok(Some(pool.inspect().await?)),
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(dial) => write!(f, "Endpoint({})", dial.describe()),
            Self::Pods(pool) => write!(f, "Pods({})", pool.describe()),
        }
    }
}
