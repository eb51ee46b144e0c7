//! All that is known of a node's pods, each daemon asked for itself: [`PodView`].

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::Pool;
use super::error::PoolError;
use super::pods::PodState;
use crate::buildkit::usage;

/// How long all pods together may take to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// A pod of a node, as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// The cluster's node that it runs on, once it has one.
    pub host: Option<String>,
    /// Whether it takes builds.
    pub is_ready: bool,
    /// Why not, or what happened to it; or why its daemon does not answer.
    pub trouble: Option<String>,
    /// Its daemon's version; `None` where it did not answer or does not say.
    pub version: Option<String>,
    /// The builds that it runs; `None` likewise.
    pub builds: Option<usize>,
    /// The size of its cache in bytes; `None` likewise.
    pub cache: Option<u64>,
}

impl Pool {
    /// Lists the node's pods and asks the daemons in those that are ready.
    pub(in crate::builder) async fn inspect(&self) -> Result<Vec<PodView>, PoolError> {
        let listed = self.list().await?;
        Ok(join_all(listed.pods.into_iter().map(|pod| self.view(pod))).await)
    }

    async fn view(&self, pod: PodState) -> PodView {
        let mut view = PodView {
            name: pod.name.clone(),
            host: pod.host.clone(),
            is_ready: pod.is_ready,
            trouble: pod.trouble.as_ref().map(|trouble| trouble.text.clone()),
            ..PodView::default()
        };
        if !pod.is_ready {
            return view;
        }
        let asked = timeout(LIMIT, async {
            let opened = self.dial_for_look(pod, Instant::now() + LIMIT).await?;
            let cache = usage::total(&opened).await;
            Ok((opened.info().version.clone(), opened.running(), cache))
        });
        match asked.await {
            Ok(Ok((version, builds, cache))) => {
                (view.version, view.builds, view.cache) = (version, builds, cache);
            }
            Ok(Err(why)) => view.trouble = Some(why),
            Err(_) => view.trouble = Some(format!("does not answer within {} s", LIMIT.as_secs())),
        }
        view
    }
}
