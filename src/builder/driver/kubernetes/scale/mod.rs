//! Sets how many pods a pool has: to a number ([`Scaler::set`]), or down by those that are
//! idle, one after the other ([`Scaler::shrink`]).
//!
//! A stateful set gives up its last pod. That one is asked for its builds, marked so that it
//! becomes unready and no client picks it, asked again, and only then given up. A pod that
//! cannot be asked stays. What a build meets that chose it in that very moment is its preStop
//! hook, which waits.

mod judge;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::access::{Doing, KubeError};
use super::pods::PodState;
use super::sets::{PoolSet, PoolSets};
use super::transport::PodAddress;
use super::{Pool, exec};
use crate::builder::pool::PoolSpec;
use crate::builder::spec::{NodeSpec, Reach};
use crate::buildkit::history::Activity;
use crate::buildkit::{Connection, history};
use crate::causes::causes;
use crate::config::Env;

pub use judge::Stays;
use judge::{judge, started, waiting};

/// The file that makes a pod unready, as the readiness probe of `deploy/buildkit` has it.
const MARK: &str = "/tmp/draining";
/// How long a marked pod may take to be unready: the probe fails three times, ten seconds
/// apart, and a busy node may take its time for each.
const UNREADY_LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(1);
/// How long a daemon may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// How often the number of pods may be changed by others while one is about to go.
const TRIES: usize = 3;

/// Changes how many pods a pool has.
pub struct Scaler {
    sets: PoolSets,
    pool: Pool,
    /// Pods that are marked at this moment.
    marked: Mutex<Vec<PodAddress>>,
}

/// What became of one architecture.
#[derive(Debug)]
pub struct Scaled {
    /// The workload.
    pub set: String,
    /// How many pods it had.
    pub from: i32,
    /// How many it has now.
    pub to: i32,
    /// The pods that were given up.
    pub gone: Vec<String>,
    /// The pod that was to go next, and why it stays.
    pub stays: Option<(String, Stays)>,
}

/// The number of pods, and the version of the workload that said it.
struct Size {
    replicas: i32,
    version: Option<String>,
}

impl Scaler {
    /// Prepares; contacts nobody. `reach` says how daemons are asked.
    pub fn new(sets: PoolSets, reach: &PoolSpec, env: &Env) -> Self {
        let node = NodeSpec::reached(&sets.name, Reach::Pods(reach.clone()));
        Self {
            pool: Pool::new(&node, reach, env),
            sets,
            marked: Mutex::default(),
        }
    }

    /// The pool.
    pub fn sets(&self) -> &PoolSets {
        &self.sets
    }

    /// Sets the number of a workload's pods. Those that are one too many end when their builds
    /// have.
    ///
    /// # Errors
    ///
    /// When the API server refuses or cannot be asked.
    pub async fn set(&self, set: &PoolSet, replicas: i32) -> Result<Scaled, KubeError> {
        let size = self.size(set).await?;
        if size.replicas != replicas {
            let size = Size {
                version: None,
                ..size
            };
            self.resize(set, &size, replicas).await?;
        }
        Ok(Scaled {
            set: set.name.clone(),
            from: size.replicas,
            to: replicas,
            gone: Vec::new(),
            stays: None,
        })
    }

    /// Gives up pods that have been idle for so long, the last one first, down to a least
    /// number.
    ///
    /// # Errors
    ///
    /// When the API server refuses or cannot be asked; daemons that cannot are left alone.
    pub async fn shrink(
        &self,
        set: &PoolSet,
        idle: Duration,
        least: i32,
    ) -> Result<Scaled, KubeError> {
        let mut size = self.size(set).await?;
        let mut scaled = Scaled {
            set: set.name.clone(),
            from: size.replicas,
            to: size.replicas,
            gone: Vec::new(),
            stays: None,
        };
        let mut tries = 0;
        loop {
            scaled.to = size.replicas;
            if size.replicas <= least {
                break;
            }
            let name = format!("{}-{}", set.name, set.first + size.replicas - 1);
            match self.give_up(set, &name, &size, idle).await? {
                None => {
                    tries = 0;
                    scaled.gone.push(name);
                }
                Some(Stays::Contested) if tries < TRIES => tries += 1,
                Some(stays) => {
                    scaled.stays = Some((name, stays));
                    break;
                }
            }
            size = self.size(set).await?;
        }
        Ok(scaled)
    }

    /// Takes back the marks that are there at this moment; for a run that is broken off.
    pub async fn take_back(&self) {
        let marked = std::mem::take(&mut *self.marked());
        join_all(marked.iter().map(|pod| self.unmark(pod))).await;
    }

    /// Gives up the last pod if it may go.
    async fn give_up(
        &self,
        set: &PoolSet,
        name: &str,
        size: &Size,
        idle: Duration,
    ) -> Result<Option<Stays>, KubeError> {
        let Some(pod) = self.pod(name).await? else {
            return Ok(Some(Stays::Changing));
        };
        let state = PodState::of(&pod, None);
        if state.is_terminating {
            return Ok(Some(Stays::Changing));
        }
        if let Some(since) = waiting(&pod) {
            return self.give_up_waiting(set, size, since, idle).await;
        }
        let Some(since) = started(&pod, &state.container) else {
            return Ok(Some(Stays::Silent("it does not run".to_owned())));
        };
        let address = PodAddress {
            namespace: self.sets.cluster.namespace.clone(),
            pod: name.to_owned(),
            container: Some(state.container.clone()),
            ip: state.ip,
        };
        let deadline = Instant::now() + ASK_LIMIT;
        let daemon = match self.pool.dial_for_look(state.clone(), deadline).await {
            Ok(daemon) => daemon,
            Err(why) => return Ok(Some(Stays::Silent(why))),
        };
        if let Some(stays) = ask(&daemon, since, idle).await {
            // What an earlier run that was killed has marked.
            if !state.is_ready {
                self.unmark(&address).await;
            }
            return Ok(Some(stays));
        }
        self.marked().push(address.clone());
        let stays = self.drain(set, &address, size, &daemon, since, idle).await;
        self.marked().retain(|pod| *pod != address);
        if !matches!(stays, Ok(None)) {
            self.unmark(&address).await;
        }
        stays
    }

    /// Gives up a pod that no node has taken for so long: nobody builds on it.
    async fn give_up_waiting(
        &self,
        set: &PoolSet,
        size: &Size,
        since: Timestamp,
        idle: Duration,
    ) -> Result<Option<Stays>, KubeError> {
        let none = Activity {
            running: 0,
            last_end: None,
        };
        if let Some(stays) = judge(&none, since, idle, Timestamp::now()) {
            return Ok(Some(stays));
        }
        match self.resize(set, size, size.replicas - 1).await {
            Ok(()) => Ok(None),
            Err(KubeError::Conflict { .. }) => Ok(Some(Stays::Contested)),
            Err(error) => Err(error),
        }
    }

    /// Marks a pod, waits until it is unready, asks again and gives it up.
    async fn drain(
        &self,
        set: &PoolSet,
        pod: &PodAddress,
        size: &Size,
        daemon: &Connection,
        since: Timestamp,
        idle: Duration,
    ) -> Result<Option<Stays>, KubeError> {
        if let Err(error) = exec::run(&self.sets.cluster, pod, &["touch", MARK]).await {
            return Ok(Some(Stays::Unmarked(causes(&error))));
        }
        tracing::info!("pod {pod} is marked; waiting until it is unready");
        let deadline = Instant::now() + UNREADY_LIMIT;
        loop {
            let Some(now) = self.pod(&pod.pod).await? else {
                return Ok(Some(Stays::Changing));
            };
            if !PodState::of(&now, None).is_ready {
                break;
            }
            if Instant::now() >= deadline {
                return Ok(Some(Stays::Ready(UNREADY_LIMIT)));
            }
            sleep(LOOK).await;
        }
        // Its becoming unready changes the version, sooner or later.
        for _ in 0..TRIES {
            let now = self.size(set).await?;
            if now.replicas != size.replicas {
                break;
            }
            match ask(daemon, since, idle).await {
                Some(Stays::Building(_) | Stays::Used(_)) => return Ok(Some(Stays::Chosen)),
                Some(stays) => return Ok(Some(stays)),
                None => {}
            }
            match self.resize(set, &now, now.replicas - 1).await {
                Ok(()) => return Ok(None),
                Err(KubeError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(Stays::Contested))
    }

    async fn pod(&self, name: &str) -> Result<Option<Pod>, KubeError> {
        let cluster = &self.sets.cluster;
        let api: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let doing = Doing::new("get", "pods", &cluster.namespace).named(name);
        let found = api.get_opt(name).await;
        found.map_err(|error| KubeError::of(error, doing))
    }

    async fn size(&self, set: &PoolSet) -> Result<Size, KubeError> {
        let scale = self.api().get_scale(&set.name).await;
        let scale = scale.map_err(|error| KubeError::of(error, self.doing("get", set)))?;
        Ok(Size {
            replicas: scale.spec.and_then(|spec| spec.replicas).unwrap_or(0),
            version: scale.metadata.resource_version,
        })
    }

    /// Sets the number of pods, unless somebody changed the workload since its version.
    async fn resize(&self, set: &PoolSet, size: &Size, replicas: i32) -> Result<(), KubeError> {
        let mut patch = json!({"spec": {"replicas": replicas}});
        if let Some(version) = &size.version {
            patch["metadata"] = json!({"resourceVersion": version});
        }
        let params = PatchParams::default();
        let answer = self
            .api()
            .patch_scale(&set.name, &params, &Patch::Merge(&patch))
            .await;
        let doing = self.doing("patch", set);
        answer
            .map(drop)
            .map_err(|error| KubeError::of(error, doing))
    }

    /// As well as it can be: a pod that is gone needs no more.
    async fn unmark(&self, pod: &PodAddress) {
        let outcome = exec::run(&self.sets.cluster, pod, &["rm", "-f", MARK]).await;
        if let Err(error) = outcome {
            let why = causes(&error);
            tracing::warn!("pod {pod} may stay unready, with a file {MARK} in it: {why}");
        }
    }

    fn marked(&self) -> std::sync::MutexGuard<'_, Vec<PodAddress>> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn api(&self) -> Api<StatefulSet> {
        let cluster = &self.sets.cluster;
        Api::namespaced(cluster.client.clone(), &cluster.namespace)
    }

    fn doing(&self, verb: &'static str, set: &PoolSet) -> Doing {
        let namespace = &self.sets.cluster.namespace;
        let doing = Doing::new(verb, "statefulsets/scale", namespace);
        doing.group("apps").named(&set.name)
    }
}

/// Asks a daemon what it does; says why its pod stays.
async fn ask(daemon: &Connection, since: Timestamp, idle: Duration) -> Option<Stays> {
    match history::activity(daemon).await {
        Some(activity) => judge(&activity, since, idle, Timestamp::now()),
        None => Some(Stays::Silent("its daemon keeps no record".to_owned())),
    }
}
