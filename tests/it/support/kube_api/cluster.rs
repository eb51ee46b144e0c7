//! What runs the pods: nodes with a daemon each, and what becomes of pods in time.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mbuild::buildkit::dial::Dial;
use mbuild::buildkit::io::ByteStream;
use rustls::ServerConfig;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::direct;
use super::metered::{Control, Traffic};
use super::pod_state::PodState;
use super::select::Selector;
use super::store::{Key, Store};
use crate::support::authority::{Authority, Clients};

/// The port of the daemons in pods.
pub(super) const PORT: u16 = 1234;

/// What becomes of a pod: after that time, this.
pub(crate) type Life = Vec<(Duration, PodState)>;

/// Nodes, and the pods on them.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    /// By the beginning of pods' names; the last that fits counts.
    pub(super) lives: Vec<(String, Life)>,
    /// Who signs the certificates of daemons that speak TLS on their port.
    pub(super) tls: Option<Arc<Authority>>,
    pods: BTreeMap<Key, Arc<Pod>>,
    runtime: Handle,
    direct: Arc<Traffic>,
}

/// A machine for pods, and the daemon that all pods on it are.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) arch: String,
    pub(super) daemon: Arc<dyn Dial>,
}

/// The process of a pod.
pub(super) struct Pod {
    pub(super) daemon: Arc<dyn Dial>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) control: std::sync::Mutex<Control>,
    ip: Ipv4Addr,
    uid: Value,
    born: Instant,
    life: Life,
    /// How much of its life is behind it.
    at: AtomicU32,
    /// Whether the file is there that makes it unready, and whether it was so the last time.
    pub(super) marked: AtomicBool,
    was_marked: AtomicBool,
    _gone: tokio_util::sync::DropGuard,
}

impl Cluster {
    pub(super) fn new(runtime: Handle, direct: Arc<Traffic>) -> Self {
        Self {
            nodes: Vec::new(),
            lives: Vec::new(),
            tls: None,
            pods: BTreeMap::new(),
            runtime,
            direct,
        }
    }

    /// Finds a pod's process.
    pub(super) fn pod(&self, key: &Key) -> Option<Arc<Pod>> {
        self.pods.get(key).cloned()
    }

    /// The pods of a namespace with open streams into them.
    pub(super) fn pods_in_use(&self, namespace: &str) -> Vec<String> {
        let is_used = |(key, pod): &(&Key, &Arc<Pod>)| {
            key.namespace == namespace && pod.control.lock().unwrap().children() > 0
        };
        let used = self.pods.iter().filter(is_used);
        used.map(|(key, _)| key.name.clone()).collect()
    }

    /// Starts new pods, ends those that are gone, and lets the others live on.
    pub(super) fn step(&mut self, store: &mut Store) {
        for object in store.list("v1", "pods", "", &Selector::default()) {
            let key = Key::of_object(&object);
            let uid = &object["metadata"]["uid"];
            if self.pods.get(&key).is_none_or(|pod| pod.uid != *uid) {
                self.start(store, &key, &object);
            }
        }
        let is_gone = |key: &Key| store.get(key).is_none();
        let gone: Vec<_> = self
            .pods
            .keys()
            .filter(|key| is_gone(key))
            .cloned()
            .collect();
        for key in gone {
            self.end(&key);
        }
        for (key, pod) in &self.pods {
            pod.live(key, store);
        }
    }

    fn end(&mut self, key: &Key) {
        if let Some(pod) = self.pods.remove(key) {
            pod.control.lock().unwrap().killed.cancel();
        }
    }

    fn start(&mut self, store: &mut Store, key: &Key, object: &Value) {
        self.end(key);
        let wanted = object["spec"]["nodeSelector"]["kubernetes.io/arch"].as_str();
        let fit = |node: &&Node| wanted.is_none_or(|arch| node.arch == arch);
        let fitting: Vec<_> = self.nodes.iter().filter(fit).collect();
        if fitting.is_empty() {
            let count = self.nodes.len();
            let message = format!(
                "0/{count} nodes are available: {count} node(s) didn't match Pod's node \
                 affinity/selector. no new claims to deallocate, preemption: 0/{count} nodes are \
                 available: {count} Preemption is not helpful for scheduling."
            );
            set(store, key, &PodState::Unschedulable(message), "");
            return;
        }
        let number = key.name.rsplit('-').next().and_then(|end| end.parse().ok());
        let node = fitting[number.unwrap_or(0) % fitting.len()];
        let gone = CancellationToken::new();
        let (ip, listener) = address(&self.runtime);
        let tls = self
            .tls
            .as_deref()
            .map(|authority| acceptor(authority, key, object));
        let has_life = |(prefix, _): &&(String, Life)| key.name.starts_with(prefix);
        let life = self.lives.iter().rev().find(has_life).map(|(_, life)| life);
        let pod = Arc::new(Pod {
            daemon: Arc::clone(&node.daemon),
            tls,
            control: std::sync::Mutex::default(),
            ip,
            uid: object["metadata"]["uid"].clone(),
            born: Instant::now(),
            life: life.cloned().unwrap_or_else(default_life),
            at: AtomicU32::new(0),
            marked: AtomicBool::new(false),
            was_marked: AtomicBool::new(false),
            _gone: gone.clone().drop_guard(),
        });
        if pod.tls.is_some() {
            let serve = direct::serve(listener, Arc::downgrade(&pod), Arc::clone(&self.direct));
            self.runtime.spawn(gone.run_until_cancelled_owned(serve));
        }
        let name = node.name.clone();
        store.change(key, |object| object["spec"]["nodeName"] = name.into());
        self.pods.insert(key.clone(), pod);
    }

    /// Sets a pod's state; what was to become of it does not any more.
    pub(super) fn set(&self, store: &mut Store, key: &Key, state: &PodState) {
        let pod = &self.pods[key];
        pod.at.store(u32::MAX, Ordering::Relaxed);
        set(store, key, state, &pod.ip.to_string());
    }
}

impl Pod {
    /// Opens a stream to the daemon's socket.
    pub(super) async fn socket(&self) -> Result<ByteStream, String> {
        let dialled = self.daemon.dial().await;
        dialled.map_err(|error| mbuild::causes::causes(&error))
    }

    /// What ends its streams, those that are open and those to come.
    pub(super) fn control(&self) -> Control {
        self.control.lock().unwrap().child()
    }

    fn live(&self, key: &Key, store: &mut Store) {
        let at = self.at.load(Ordering::Relaxed);
        let age = self.born.elapsed();
        let mut due = self.life.iter().skip(at as usize);
        if let Some((time, state)) = due.next()
            && age >= *time
        {
            self.at.store(at + 1, Ordering::Relaxed);
            set(store, key, state, &self.ip.to_string());
        }
        let marked = self.marked.load(Ordering::Relaxed);
        if self.was_marked.swap(marked, Ordering::Relaxed) != marked {
            let state = match marked {
                true => PodState::NotReady,
                false => PodState::Ready,
            };
            set(store, key, &state, &self.ip.to_string());
        }
    }
}

fn default_life() -> Life {
    let soon = Duration::from_millis(50);
    vec![
        (Duration::ZERO, PodState::Starting),
        (soon, PodState::Ready),
    ]
}

fn set(store: &mut Store, key: &Key, state: &PodState, ip: &str) {
    store.change(key, |pod| state.write(pod, ip));
}

/// An address of this machine that no other pod has, with the daemons' port on it.
fn address(runtime: &Handle) -> (Ipv4Addr, TcpListener) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let _inside = runtime.enter();
    for _ in 0..10_000 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [_, a, b, c] = (std::process::id() * 4099 + number).to_be_bytes();
        let ip = Ipv4Addr::new(127, a, b, c);
        let socket = SocketAddr::from((ip, PORT));
        // 127.0.0.x is for others.
        if (a, b) != (0, 0)
            && let Ok(listener) = std::net::TcpListener::bind(socket)
        {
            listener.set_nonblocking(true).unwrap();
            return (ip, TcpListener::from_std(listener).unwrap());
        }
    }
    panic!("no address for a pod");
}

/// The TLS of a pod whose certificate names its Service, as its labels say.
fn acceptor(authority: &Authority, key: &Key, object: &Value) -> TlsAcceptor {
    let label = |name: &str| {
        let value = &object["metadata"]["labels"][format!("app.kubernetes.io/{name}")];
        value.as_str().unwrap_or("none").to_owned()
    };
    let service = format!("{}-{}", label("instance"), label("component"));
    let full = format!("{service}.{}.svc", key.namespace);
    let any = format!("*.{full}");
    let tls: ServerConfig =
        authority.server(&[&service, &full, &any], 4096, Clients::Certified, "h2");
    TlsAcceptor::from(Arc::new(tls))
}
