//! Every pod of a pool connected, whatever it has to do.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::Pool;
use super::error::PoolError;
use super::pods::PodState;
use crate::builder::driver::Instance;
use crate::builder::every::Met;
use crate::builder::open::OpenError;
use crate::buildkit::Connection;

impl Pool {
    /// Connects to all pods there are but those on their way out, each within `limit`.
    pub(in crate::builder) async fn open_all(
        &self,
        limit: Duration,
    ) -> Result<Vec<Met>, PoolError> {
        let mut pods = self.list().await?.pods;
        pods.retain(|pod| !pod.is_terminating);
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        let met = pods.into_iter().map(|pod| async move {
            let name = Some(pod.name.clone());
            let outcome = timeout(limit, self.meet(pod, limit)).await;
            Met {
                instance: Instance { name },
                outcome: outcome.unwrap_or(Err(OpenError::Late(limit))),
            }
        });
        Ok(join_all(met).await)
    }

    async fn meet(&self, pod: PodState, limit: Duration) -> Result<Connection, OpenError> {
        if !pod.is_ready {
            let why = pod.trouble.map(|trouble| trouble.text);
            return Err(OpenError::NotReady(why));
        }
        let driver = |error: PoolError| OpenError::Driver(error.into());
        let cluster = self.cluster().await.map_err(driver)?;
        let opened = self.dial(cluster, pod, Instant::now() + limit).await?;
        Ok(opened.connection)
    }
}
