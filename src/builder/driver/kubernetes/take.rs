//! Taking a pod for a build: dials in the project's order, and asks what the pods have to do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::Pool;
use super::choose::{self, ASKED, Choice, Load};
use super::cluster::Cluster;
use super::error::PoolError;
use super::pods::PodState;
use super::transport::{DirectTerms, PodAddress, PodDialer};
use crate::builder::driver::Instance;
use crate::builder::open::{Answer, OpenError, Wanted};
use crate::builder::pool::LoadBalance;
use crate::buildkit::dial::{Dial, TlsFiles};
use crate::buildkit::session::random_id;
use crate::buildkit::{ConnectError, Connection, history};
use crate::causes::causes;

/// Where an agent's pod has its client certificates, if it has any, as `deploy/buildkit` says.
const CERTIFICATES: &str = "/etc/mbuild/tls";
/// The pause before pods are tried again, or asked again for a free slot.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a free slot is waited for; builds that last longer than this block nobody's
/// pipeline for ever.
const SLOT_LIMIT: Duration = Duration::from_secs(60 * 60);
/// How many pods are asked to find the one with the fewest builds.
const MOST_ASKED: usize = 16;

/// A pod that is connected.
pub(super) struct Opened {
    pod: PodState,
    pub(super) connection: Connection,
    running: Option<usize>,
}

/// What came of one round.
enum Round {
    Taken(Opened),
    /// None has a free slot; the least is how many builds must end first.
    Full(usize),
    Failed(ConnectError),
}

impl Pool {
    /// Connects to the pod that suits the build; waits for one, and for a slot on it.
    pub(in crate::builder) async fn open(&self, wanted: &Wanted<'_>) -> Result<Answer, OpenError> {
        let start = Instant::now();
        let deadline = start + wanted.wait;
        let driver = |error: PoolError| OpenError::Driver(error.into());
        let mut told = String::new();
        loop {
            let pods = self.ready_pods(wanted, deadline).await.map_err(driver)?;
            match self.round(&pods, wanted, deadline).await.map_err(driver)? {
                Round::Taken(opened) => return Ok(opened.into_answer()),
                Round::Full(ahead) if start.elapsed() < SLOT_LIMIT => {
                    let noun = if ahead == 1 { "build is" } else { "builds are" };
                    (wanted.tell)(format!(
                        "a free slot on node {}: {ahead} {noun} ahead",
                        self.node
                    ));
                }
                Round::Full(_) => {
                    return Err(driver(PoolError::Full {
                        pool: self.describe(),
                        pods: pods.len(),
                        slots: self.slots.unwrap_or_default(),
                        waited: SLOT_LIMIT,
                    }));
                }
                Round::Failed(error) if !passes(&error) || Instant::now() >= deadline => {
                    return Err(error.into());
                }
                Round::Failed(error) => {
                    let state = format!("a pod of node {}: {}", self.node, causes(&error));
                    if state != told {
                        (wanted.tell)(state.clone());
                        told = state;
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Tries the ready pods once.
    async fn round(
        &self,
        pods: &[PodState],
        wanted: &Wanted<'_>,
        deadline: Instant,
    ) -> Result<Round, PoolError> {
        let cluster = self.cluster().await?;
        let dial = |pod: &PodState| self.dial(cluster, pod.clone(), deadline);
        let mut ranked: Vec<&PodState> = rank(self.spec.load_balance, wanted.key, pods);
        if self.spec.load_balance == LoadBalance::LeastLoaded && pods.len() > 1 {
            ranked.truncate(MOST_ASKED);
            let (opened, failure) = sort(join_all(ranked.into_iter().map(dial)).await);
            return Ok(pick(opened, failure, self.slots, choose::least_loaded).await);
        }
        let mut failure = None;
        let mut ranked = ranked.into_iter();
        let home = loop {
            let Some(pod) = ranked.next() else { break None };
            match dial(pod).await {
                Ok(opened) => break Some(opened),
                Err(error) => failure = Some(error),
            }
        };
        let Some(home) = home else {
            return Ok(pick(Vec::new(), failure, self.slots, choose::choose).await);
        };
        // Who has no other pod to go to, and no slots to keep to, has no choice.
        if ranked.len() == 0 && self.slots.is_none() {
            return Ok(Round::Taken(home));
        }
        let running = home.running.unwrap_or(0);
        let random = self.spec.load_balance == LoadBalance::Random;
        let is_free = self.slots.is_none_or(|slots| running < slots);
        if choose::is_idle(running, self.slots) || (random && is_free) {
            return Ok(Round::Taken(home));
        }
        let most = if is_free { ASKED - 1 } else { MOST_ASKED };
        let others = join_all(ranked.take(most).map(dial)).await;
        let (mut opened, failure) = sort(others);
        opened.insert(0, home);
        Ok(pick(opened, failure, self.slots, choose::choose).await)
    }

    /// Makes the dialer of the project's own pod; waits for one.
    pub(in crate::builder) async fn dialer(
        &self,
        wanted: &Wanted<'_>,
    ) -> Result<Arc<dyn Dial>, PoolError> {
        let deadline = Instant::now() + wanted.wait;
        let pods = self.ready_pods(wanted, deadline).await?;
        let cluster = self.cluster().await?;
        let mut ranked = rank(self.spec.load_balance, wanted.key, &pods).into_iter();
        match ranked.next() {
            Some(pod) => Ok(Arc::new(self.dialer_of(cluster, pod, deadline))),
            None => Err(PoolError::NoPods {
                pool: self.describe(),
                namespace: cluster.namespace.clone(),
            }),
        }
    }

    fn dialer_of(&self, cluster: &Cluster, pod: &PodState, deadline: Instant) -> PodDialer {
        let address = PodAddress {
            namespace: cluster.namespace.clone(),
            pod: pod.name.clone(),
            container: Some(pod.container.clone()),
            ip: pod.ip,
        };
        let terms = self.direct_terms(cluster, pod);
        let left = deadline.saturating_duration_since(Instant::now());
        PodDialer::new(cluster.clone(), address, self.spec.transport, Some(terms))
            .with_patience(left)
    }

    /// Connects to a pod to look at it; the error is a phrase that goes on from its name.
    pub(super) async fn dial_for_look(
        &self,
        pod: PodState,
        deadline: Instant,
    ) -> Result<Connection, String> {
        let cluster = self.cluster().await.map_err(|error| causes(&error))?;
        let opened = self.dial(cluster, pod, deadline).await;
        let opened = opened.map_err(|error| format!("does not answer: {}", causes(&error)))?;
        Ok(opened.connection)
    }

    pub(super) async fn dial(
        &self,
        cluster: &Cluster,
        pod: PodState,
        deadline: Instant,
    ) -> Result<Opened, ConnectError> {
        let dialer = self.dialer_of(cluster, &pod, deadline);
        let connection = Connection::open(Arc::new(dialer)).await?;
        Ok(Opened {
            pod,
            running: connection.running(),
            connection,
        })
    }

    fn direct_terms(&self, cluster: &Cluster, pod: &PodState) -> DirectTerms {
        let host = pod.service.as_ref().unwrap_or(&pod.name);
        DirectTerms {
            port: self.spec.port,
            tls: self
                .spec
                .tls
                .clone()
                .or_else(|| stated(Path::new(CERTIFICATES))),
            server_name: format!("{host}.{}.svc", cluster.namespace),
        }
    }
}

impl Opened {
    fn into_answer(self) -> Answer {
        Answer {
            instance: Instance {
                name: Some(self.pod.name),
            },
            connection: self.connection,
            running: self.running,
        }
    }
}

/// The client's certificates where a Secret is mounted for it.
fn stated(dir: &Path) -> Option<TlsFiles> {
    let file = |name: &str| Some(dir.join(name)).filter(|path| path.is_file());
    Some(TlsFiles {
        ca: Some(file("ca.crt")?),
        cert: Some(file("tls.crt")?),
        key: Some(file("tls.key")?),
        server_name: None,
    })
}

/// Whether a failed dial is worth another: what is forbidden stays so.
fn passes(error: &ConnectError) -> bool {
    !error.is_configuration()
}

/// The order in which pods are tried.
fn rank<'a>(balance: LoadBalance, key: &str, pods: &'a [PodState]) -> Vec<&'a PodState> {
    let names: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
    let order = match balance {
        LoadBalance::Sticky | LoadBalance::LeastLoaded => choose::order(key, &names),
        // An order by a key that is made up on the spot is as random as the key.
        LoadBalance::Random => choose::order(&random_id().unwrap_or_default(), &names),
    };
    order.into_iter().map(|position| &pods[position]).collect()
}

/// Parts those that opened from the last failure.
fn sort(dialled: Vec<Result<Opened, ConnectError>>) -> (Vec<Opened>, Option<ConnectError>) {
    let (mut opened, mut failure) = (Vec::new(), None);
    for dialled in dialled {
        match dialled {
            Ok(pod) => opened.push(pod),
            Err(error) => failure = Some(error),
        }
    }
    (opened, failure)
}

/// Asks all what they have to do, and takes one.
async fn pick(
    mut opened: Vec<Opened>,
    failure: Option<ConnectError>,
    slots: Option<usize>,
    decide: fn(&[Load], Option<usize>) -> Choice,
) -> Round {
    let loads = join_all(opened.iter().map(|pod| history::load(&pod.connection))).await;
    let loads: Vec<Load> = loads
        .into_iter()
        .map(|load| match load {
            Some(load) => Load {
                running: load.running,
                rate: load.rate,
            },
            None => Load::default(),
        })
        .collect();
    match (decide(&loads, slots), failure) {
        (Choice::Take(position), _) => {
            let mut taken = opened.swap_remove(position);
            taken.running = Some(loads[position].running);
            Round::Taken(taken)
        }
        (Choice::Full, Some(error)) if opened.is_empty() => Round::Failed(error),
        (Choice::Full, _) => {
            let slots = slots.unwrap_or(1);
            let ahead = loads
                .iter()
                .map(|load| (load.running + 1).saturating_sub(slots));
            Round::Full(ahead.min().unwrap_or(1))
        }
    }
}
