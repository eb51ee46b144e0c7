//! All daemons of a node at once, for what is not one build's: caches and records of builds.

use std::time::Duration;

use super::Node;
use super::driver::Instance;
use super::open::OpenError;
use crate::buildkit::Connection;

/// One of a node's daemons, connected or not.
pub struct Met {
    /// Which one.
    pub instance: Instance,
    /// The connection to it, or why there is none.
    pub outcome: Result<Connection, OpenError>,
}

impl Node {
    /// Connects to every daemon that it has, all at once and each within `limit`: to each pod of
    /// a pool, in the order of their names. Pods on their way out are left out; a pool without
    /// pods has none.
    ///
    /// # Errors
    ///
    /// When its daemons cannot be listed.
    pub async fn open_all(&self, limit: Duration) -> Result<Vec<Met>, OpenError> {
        let listed = tokio::time::timeout(limit + limit, self.driver.open_all(limit));
        listed.await.unwrap_or(Err(OpenError::Late(limit + limit)))
    }
}
