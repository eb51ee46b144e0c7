//! An API server of Kubernetes in memory that misbehaves on demand: [`KubeApi`].
//!
//! It speaks HTTP/1 and WebSockets on loopback, keeps objects, lets them be watched, runs the
//! pods of workloads, and bridges exec, port-forward and pods' own ports to daemons. Fields
//! have no owners, and nothing is validated but what a test needs to see refused.

mod ask;
mod channels;
mod cluster;
mod direct;
mod exec;
mod farm;
mod fault;
mod forward;
mod kinds;
mod merge;
mod metered;
mod pod_state;
mod pool;
mod refusal;
mod rights;
mod select;
mod serve;
mod socket;
mod store;
mod verbs;
mod watch;
mod way_in;
mod workload;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mbuild::buildkit::dial::Dial;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub(crate) use ask::Ask;
pub(crate) use cluster::Life;
pub(crate) use farm::Farm;
pub(crate) use fault::{Act, Fault};
pub(crate) use pod_state::PodState;
pub(crate) use pool::Pool;
pub(crate) use rights::Rights;

use cluster::Cluster;
use metered::{Control, Traffic};
use store::{Key, Store};

use super::authority::Authority;

/// How often what runs the pods looks at them.
const TICK: Duration = Duration::from_millis(20);

/// How clients get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Plain HTTP with a token.
    Plain,
    /// TLS with a token.
    Tls,
    /// TLS with a client's certificate.
    Certificate,
}

/// A way into a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    Exec,
    Forward,
}

/// How streams into a pod end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The connection breaks.
    Cut,
    /// Nothing comes through any more; what comes later does.
    Silence,
    /// The process is killed.
    Kill,
}

/// An API server that runs until it is dropped.
pub(crate) struct KubeApi {
    shared: Arc<Shared>,
    authority: Arc<Authority>,
    runtime: Option<Runtime>,
}

struct Shared {
    door: Door,
    port: u16,
    token: String,
    user: String,
    world: Mutex<World>,
    /// The version of the last change.
    changed: tokio::sync::watch::Sender<u64>,
    rights: Mutex<Rights>,
    faults: Mutex<Vec<Fault>>,
    journal: Mutex<Vec<Ask>>,
    requests: AtomicU64,
    traffic: Ways,
}

/// The objects, and what runs them.
struct World {
    store: Store,
    cluster: Cluster,
}

#[derive(Default)]
struct Ways {
    direct: Arc<Traffic>,
    exec: Arc<Traffic>,
    forward: Arc<Traffic>,
}

impl KubeApi {
    /// Starts one with namespace `default`, no nodes, and a user who may do everything.
    pub(crate) fn start(door: Door) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let traffic = Ways::default();
        let cluster = Cluster::new(runtime.handle().clone(), Arc::clone(&traffic.direct));
        let shared = Arc::new(Shared {
            door,
            port,
            token: format!("token-{port}"),
            user: "system:serviceaccount:default:client".into(),
            world: Mutex::new(World {
                store: Store::default(),
                cluster,
            }),
            changed: tokio::sync::watch::Sender::new(0),
            rights: Mutex::new(Rights::all()),
            faults: Mutex::default(),
            journal: Mutex::default(),
            requests: AtomicU64::new(0),
            traffic,
        });
        let authority = Arc::new(Authority::new());
        let acceptor = way_in::acceptor(door, &authority);
        {
            let _inside = runtime.enter();
            let listener = TcpListener::from_std(listener).unwrap();
            tokio::spawn(way_in::listen(listener, acceptor, Arc::clone(&shared)));
            tokio::spawn(run_pods(Arc::clone(&shared)));
        }
        let api = Self {
            shared,
            authority,
            runtime: Some(runtime),
        };
        api.namespace("default");
        api
    }

    /// Makes a namespace.
    pub(crate) fn namespace(&self, name: &str) {
        self.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }

    /// Adds a machine for pods of an architecture; all pods on it are this daemon.
    pub(crate) fn node(&self, name: &str, arch: &str, daemon: Arc<dyn Dial>) {
        self.put(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/arch": arch}},
            "status": {
                "nodeInfo": {"architecture": arch, "operatingSystem": "linux"},
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        }));
        let node = cluster::Node {
            name: name.into(),
            arch: arch.into(),
            daemon,
        };
        self.world(|world| world.cluster.nodes.push(node));
    }

    /// Decides what becomes of pods whose names begin so; they are ready at once otherwise.
    pub(crate) fn life(&self, prefix: &str, life: Life) {
        let life = (prefix.to_owned(), life);
        self.world(|world| world.cluster.lives.push(life));
    }

    /// Puts an object in its place, whoever may do so.
    pub(crate) fn put(&self, object: Value) -> Value {
        let key = Key::of_object(&object);
        let stored = self.world(|world| world.store.put(&key, object));
        self.shared.step();
        stored
    }

    /// Finds an object; `api` is `v1`, or group and version.
    pub(crate) fn find(
        &self,
        api: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let key = Key::new(api, resource, namespace, name);
        self.world(|world| world.store.get(&key).cloned())
    }

    /// Sets how a pod fares from now on.
    pub(crate) fn set(&self, namespace: &str, pod: &str, state: &PodState) {
        let key = Key::pod(namespace, pod);
        self.world(|world| world.cluster.set(&mut world.store, &key, state));
        self.shared.step();
    }

    /// Deletes a pod, which kills it; its workload makes a new one.
    pub(crate) fn delete(&self, namespace: &str, pod: &str) {
        let key = Key::pod(namespace, pod);
        self.world(|world| world.store.remove(&key)).unwrap();
        self.shared.step();
    }

    /// Ends the streams into a pod that are open now.
    pub(crate) fn lose(&self, namespace: &str, pod: &str, loss: Loss) {
        let key = Key::pod(namespace, pod);
        let pod = self.world(|world| world.cluster.pod(&key)).unwrap();
        let old = std::mem::take(&mut *pod.control.lock().unwrap());
        let Control {
            cut, stall, killed, ..
        } = old;
        match loss {
            Loss::Cut => cut.cancel(),
            Loss::Silence => stall.cancel(),
            Loss::Kill => killed.cancel(),
        }
    }

    /// The pods of a namespace with open streams into them, by name.
    pub(crate) fn pods_in_use(&self, namespace: &str) -> Vec<String> {
        self.world(|world| world.cluster.pods_in_use(namespace))
    }

    /// Forgets the changes until now: who watches from before is told that they are gone.
    pub(crate) fn compact(&self) {
        self.world(|world| world.store.compact());
    }

    /// Sets what the user may do.
    pub(crate) fn allow(&self, rights: Rights) {
        *self.shared.rights.lock().unwrap() = rights;
    }

    /// Lets something go wrong.
    pub(crate) fn fault(&self, fault: Fault) {
        self.shared.faults.lock().unwrap().push(fault);
    }

    /// Lets nothing go wrong any more.
    pub(crate) fn heal(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// The requests about objects so far.
    pub(crate) fn journal(&self) -> Vec<Ask> {
        self.shared.journal.lock().unwrap().clone()
    }

    /// How many requests of a verb on a resource there were.
    pub(crate) fn count(&self, verb: &str, resource: &str) -> usize {
        let journal = self.shared.journal.lock().unwrap();
        let is_meant = |ask: &&Ask| ask.verb == verb && ask.resource == resource;
        journal.iter().filter(is_meant).count()
    }

    /// How many streams there were of a kind, and how many bytes they carried.
    pub(crate) fn traffic(&self, way: Way) -> (u64, u64) {
        let ways = &self.shared.traffic;
        let traffic = match way {
            Way::Direct => &ways.direct,
            Way::Exec => &ways.exec,
            Way::Forward => &ways.forward,
        };
        let (streams, bytes) = (&traffic.streams, &traffic.bytes);
        (
            streams.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        )
    }

    fn world<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        work(&mut self.shared.world.lock().unwrap())
    }
}

impl Drop for KubeApi {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for nothing: it may happen inside another runtime.
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    /// Lets workloads and pods follow what changed.
    fn step(&self) {
        let mut world = self.world.lock().unwrap();
        let World { store, cluster } = &mut *world;
        workload::reconcile(store);
        cluster.step(store);
        workload::reconcile(store);
        drop(world);
        self.tell();
    }

    /// Wakes up who watches, if anything changed.
    fn tell(&self) {
        let version = self.world.lock().unwrap().store.version();
        self.changed.send_if_modified(|known| {
            let newer = version > *known;
            *known = version;
            newer
        });
    }
}

async fn run_pods(shared: Arc<Shared>) {
    loop {
        shared.step();
        tokio::time::sleep(TICK).await;
    }
}
