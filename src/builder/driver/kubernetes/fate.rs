//! Looking out for a pod's death while a build runs in it: [`Watch`] tells its [`Fate`].
//!
//! A broken stream does not say why. The pod may be gone, with all it knew, when somebody
//! asks, so it is watched from the start.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::WatchParams;
use kube::core::WatchEvent;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Pool;
use super::cluster::Cluster;
use super::why::{Trouble, last_death, restarts, trouble};

/// How long the cluster may take to learn of a death that a broken stream has told already.
const NEWS_LIMIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);
/// The pause before a watch that ended is begun again.
const PAUSE: Duration = Duration::from_secs(2);

/// What became of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// A sentence without its full stop: `pod a/b ran out of memory (…)`.
    pub text: String,
    /// Whether the build itself may have caused it, so that the next pod would suffer it too.
    pub is_own_fault: bool,
}

/// Looks out for one pod's death until it is dropped.
#[derive(Debug)]
pub struct Watch {
    pod: String,
    news: Arc<Mutex<Option<Trouble>>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Says what became of the pod; `None` where the cluster knows of nothing, which takes a
    /// few seconds to find out.
    pub async fn fate(&self) -> Option<Fate> {
        let deadline = Instant::now() + NEWS_LIMIT;
        loop {
            let news = self
                .news
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let over = Instant::now() >= deadline;
            match news {
                Some(trouble) if trouble.is_dead || over => {
                    return Some(Fate {
                        text: format!("pod {} {}", self.pod, trouble.text),
                        is_own_fault: trouble.is_own_fault,
                    });
                }
                _ if over => return None,
                _ => sleep(LOOK).await,
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pool {
    /// Looks out for a pod's death from now on.
    pub(in crate::builder) fn watch(&self, pod: &str) -> Option<Watch> {
        let cluster = self.cluster.get()?.clone();
        let news = Arc::new(Mutex::new(None));
        let lookout = Lookout {
            pod: pod.to_owned(),
            container: self.spec.container.clone(),
            before: None,
            news: Arc::clone(&news),
        };
        Some(Watch {
            pod: format!("{}/{pod}", cluster.namespace),
            news,
            task: tokio::spawn(lookout.run(cluster)),
        })
    }
}

/// The task behind a [`Watch`].
struct Lookout {
    pod: String,
    container: Option<String>,
    /// The pod as it was at first: its uid, and how often its daemon had been restarted.
    before: Option<(Option<String>, i32)>,
    news: Arc<Mutex<Option<Trouble>>>,
}

impl Lookout {
    async fn run(mut self, cluster: Cluster) {
        let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let params = WatchParams::default()
            .fields(&format!("metadata.name={}", self.pod))
            .timeout(290);
        loop {
            // From version 0 on, the pod as it is now comes first.
            if let Ok(events) = api.watch(&params, "0").await {
                let mut events = std::pin::pin!(events);
                while let Some(Ok(event)) = events.next().await {
                    self.take(event);
                }
            }
            sleep(PAUSE).await;
        }
    }

    fn take(&mut self, event: WatchEvent<Pod>) {
        let trouble = match event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => self.read(&pod),
            WatchEvent::Deleted(pod) => {
                let trouble = self.read(&pod).filter(|trouble| trouble.is_dead);
                Some(trouble.unwrap_or_else(|| Trouble::dead("was deleted".to_owned())))
            }
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => return,
        };
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        // What comes after its death is another pod's life, or the same one's next.
        if !news.as_ref().is_some_and(|known| known.is_dead) {
            *news = trouble;
        }
    }

    fn read(&mut self, pod: &Pod) -> Option<Trouble> {
        let state = super::pods::PodState::of(pod, self.container.as_deref());
        let now = (pod.metadata.uid.clone(), restarts(pod, &state.container));
        let (uid, count) = self.before.get_or_insert_with(|| now.clone());
        if *uid != now.0 {
            return Some(Trouble::dead("was replaced by a new one".to_owned()));
        }
        if now.1 > *count {
            return last_death(pod, &state.container);
        }
        trouble(pod, &state.container)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, restarts: i32) -> Pod {
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": uid}, "spec": {"containers": [{"name": "buildkitd"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "buildkitd", "image": "i", "imageID": "",
                    "ready": true, "restartCount": restarts, "lastState": killed}]}
        }))
        .unwrap()
    }

    fn check(events: Vec<WatchEvent<Pod>>, expect: Option<(&str, bool)>) {
        let news = Arc::new(Mutex::new(None));
        let mut lookout = Lookout {
            pod: "p".into(),
            container: None,
            before: None,
            news: Arc::clone(&news),
        };
        events.into_iter().for_each(|event| lookout.take(event));
        let news = news.lock().unwrap().clone();
        let news = news
            .as_ref()
            .map(|known: &Trouble| (known.text.as_str(), known.is_own_fault));
        assert_eq!(news, expect);
    }

    #[test]
    fn the_first_death_is_kept() {
        use WatchEvent::{Added, Deleted, Modified};
        check(vec![Added(pod("a", 3))], None);
        let killed = Some(("ran out of memory (OOMKilled)", true));
        check(vec![Added(pod("a", 3)), Modified(pod("a", 4))], killed);
        check(
            vec![
                Added(pod("a", 3)),
                Modified(pod("a", 4)),
                Deleted(pod("a", 4)),
            ],
            killed,
        );
        check(
            vec![Added(pod("a", 3)), Deleted(pod("a", 3))],
            Some(("was deleted", false)),
        );
        let replaced = Some(("was replaced by a new one", false));
        check(vec![Added(pod("a", 0)), Added(pod("b", 0))], replaced);
    }
}
