//! Opening a connection to one of a node's daemons: what a build wants of it ([`Wanted`]) and
//! what it gets ([`Answer`]).

use std::time::Duration;

use super::Node;
use super::driver::{DriverError, Instance};
use crate::buildkit::{ConnectError, Connection};

/// What a build wants of a node.
pub struct Wanted<'a> {
    /// What the build's project is known by: equal keys meet the same daemon, and its cache,
    /// where a node has several.
    pub key: &'a str,
    /// How long it may take until a daemon is ready, where the node can have none for a while.
    pub wait: Duration,
    /// Whether a pool without pods may be given its first one: not for a mere look.
    pub may_start: bool,
    /// Daemons that are not to be taken, since they were lost.
    pub avoid: &'a [Instance],
    /// Is told what is waited for, whenever that changes.
    pub tell: Box<dyn Fn(String) + Send + Sync + 'a>,
}

/// A daemon that is connected.
#[derive(Clone)]
pub struct Answer {
    /// The daemon that answered.
    pub instance: Instance,
    /// The connection to it; its `info` is what the daemon said of itself.
    pub connection: Connection,
    /// How many builds it runs; `None` where it does not say.
    pub running: Option<usize>,
}

/// Why no daemon of a node is connected.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its daemons could not be listed, or none is ready.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// Its daemon could not be reached, or is none.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It is a pod that takes no builds; with the reason, where that is known.
    #[error("is not ready{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    NotReady(Option<String>),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
}

impl OpenError {
    /// Says what the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.hint(),
            Self::Driver(error) => error.hint(),
            Self::NotReady(_) | Self::Late(_) => None,
        }
    }

    /// Whether another daemon, or another try, might succeed.
    pub fn is_infrastructure(&self) -> bool {
        match self {
            Self::Connect(error) => !error.is_configuration(),
            Self::Driver(error) => error.is_infrastructure(),
            Self::NotReady(_) | Self::Late(_) => true,
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("instance", &self.instance)
            .field("endpoint", &self.connection.endpoint())
            .field("running", &self.running)
            .finish()
    }
}

impl Node {
    /// Connects to one of its daemons: the only one there is, or the one that suits the build.
    ///
    /// # Errors
    ///
    /// When none is ready in time, or none that is ready can be reached.
    pub async fn open(&self, wanted: &Wanted<'_>) -> Result<Answer, OpenError> {
        self.driver.open(wanted).await
    }
}
