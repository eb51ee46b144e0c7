//! What a pool is to be like: [`PoolOptions`], with every option of buildx's kubernetes driver
//! under its own spelling, and ours.
//!
//! `read` turns words into these fields, `check` finds those that contradict each other. What
//! they do to the objects is `manifest`'s.

mod check;
mod daemon_config;
mod read;
mod values;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::builder::pool::LoadBalance;

pub(super) use daemon_config::CERTS_DIR;
pub use daemon_config::DaemonConfig;
pub use read::OPTION_NAMES;

/// How long `create` waits for a pool to be ready, as in buildx.
const READY_LIMIT: Duration = Duration::from_mins(2);
/// buildx's image with the emulators.
const QEMU_IMAGE: &str = "tonistiigi/binfmt:latest";
/// What an autoscaled pool grows to, as in `deploy/buildkit`.
const MOST_PODS: u32 = 8;

/// How files named by options are read; the tests have theirs.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// What a pool is to be like.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolOptions {
    /// The pool's name, the first part of its objects' names.
    pub name: String,
    /// The namespace.
    pub namespace: String,
    /// The architectures, as Kubernetes names them (`amd64`, `arm64`); one workload each.
    pub architectures: Vec<String>,
    /// Pods for each architecture; the least number where it is autoscaled.
    pub replicas: u32,
    /// The daemons' image; `None` means `moby/buildkit:buildx-stable-1`, or its rootless twin.
    pub image: Option<String>,
    /// What keeps the daemons from the node.
    pub isolation: Isolation,
    /// Resource requests by resource; what is named here or in `limits` replaces the default.
    pub requests: BTreeMap<String, String>,
    /// Resource limits by resource.
    pub limits: BTreeMap<String, String>,
    /// The size of each pod's volume claim; `None` means no claim.
    pub claim: Option<String>,
    /// The claims' storage class; `None` means the cluster's default.
    pub storage_class: Option<String>,
    /// The size of a root in memory; `None` means on disk.
    pub root_memory: Option<String>,
    /// Further labels of the nodes that the pods may run on.
    pub node_selector: BTreeMap<String, String>,
    /// Further annotations of workloads and pods.
    pub annotations: BTreeMap<String, String>,
    /// Further labels of workloads and pods.
    pub labels: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    pub tolerations: Vec<Value>,
    /// The pods' service account.
    pub service_account: Option<String>,
    /// The scheduler.
    pub scheduler: Option<String>,
    /// The image that installs emulators on the nodes; `None` means that nothing does.
    pub qemu: Option<String>,
    /// Whether that image was named without being asked for.
    qemu_image: Option<String>,
    /// The daemons' environment, by variable.
    pub env: BTreeMap<String, String>,
    /// The pods' `affinity`.
    pub affinity: Option<Value>,
    /// The pods' `topologySpreadConstraints`.
    pub topology_spread: Option<Value>,
    /// Secrets with which the images are pulled.
    pub pull_secrets: Vec<String>,
    /// The pods' priority class.
    pub priority_class: Option<String>,
    /// A strategic-merge patch for the pod template, merged last.
    pub pod_template: Option<Value>,
    /// Whether the daemons listen on TCP with client certificates.
    pub mtls: bool,
    /// How long a pod that is to end may go on building; `None` means an hour.
    pub grace: Option<Duration>,
    /// Scaling by load; `None` means that the number of pods is as said.
    pub autoscale: Option<Autoscale>,
    /// The daemons' configuration; `None` means the one of `deploy/buildkit`.
    pub config: Option<DaemonConfig>,
    /// Further arguments of buildkitd.
    pub flags: Vec<String>,
    /// What the client does with the pool.
    pub client: ClientOptions,
}

/// What keeps the daemons from the node that they run on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Nothing.
    #[default]
    Privileged,
    /// A user namespace of the pod.
    UserNamespace,
    /// Running without root.
    Rootless,
}

/// Scaling by load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Autoscale {
    /// The image that has mbuild.
    pub image: String,
    /// The most pods of one architecture.
    pub most: u32,
    /// How long a pod has to be idle before it goes, as `builder scale --idle` takes it.
    pub idle: String,
}

/// Options that change no object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// Which of several ready pods builds.
    pub load_balance: LoadBalance,
    /// How long to wait for ready pods.
    pub timeout: Duration,
    /// Whether single-platform results are loaded without being asked for.
    pub default_load: bool,
}

/// Why an option is refused; always before anything is created.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    /// The option does not exist.
    #[error("driver option `{}` is not known; there are {}", option.escape_debug(), known.join(", "))]
    Unknown {
        /// The option.
        option: String,
        /// Those that exist.
        known: &'static [&'static str],
    },
    /// A part of its value is not what it has to be.
    #[error("driver option `{option}`: `{}` {problem}", part.escape_debug())]
    Invalid {
        /// The option.
        option: String,
        /// The part of the value.
        part: String,
        /// What is wrong, as the end of a sentence.
        problem: String,
    },
    /// The file that it names cannot be read.
    #[error("driver option `{option}`: cannot read {path}")]
    Unreadable {
        /// The option.
        option: String,
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file that it names is no YAML, or no TOML.
    #[error("driver option `{option}`: {path} cannot be understood: {reason}")]
    Syntax {
        /// The option.
        option: String,
        /// The file.
        path: String,
        /// Where and why.
        reason: String,
    },
    /// Two options exclude each other.
    #[error("driver options `{one}` and `{other}` exclude each other: {why}")]
    Together {
        /// The one.
        one: &'static str,
        /// The other.
        other: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// An option means nothing without another.
    #[error("driver option `{option}` needs `{needed}`")]
    Needs {
        /// The option.
        option: &'static str,
        /// The other.
        needed: &'static str,
    },
    /// The pool's name, its namespace or an architecture is none.
    #[error("{what} `{}` {problem}", value.escape_debug())]
    Name {
        /// Which of them.
        what: &'static str,
        /// The value.
        value: String,
        /// What is wrong, as the end of a sentence.
        problem: String,
    },
}

/// Reads a span of time as Go writes it, such as `90s` or `1h30m`.
///
/// # Errors
///
/// When it is none, or none at all; the error goes on from the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    values::duration(text).map_err(|wrong| wrong.problem)
}

impl PoolOptions {
    /// A pool as `deploy/buildkit` has it.
    pub fn new(name: &str, namespace: &str, architectures: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            architectures: architectures.iter().map(|&arch| arch.to_owned()).collect(),
            replicas: 1,
            image: None,
            isolation: Isolation::default(),
            requests: BTreeMap::new(),
            limits: BTreeMap::new(),
            claim: None,
            storage_class: None,
            root_memory: None,
            node_selector: BTreeMap::new(),
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
            tolerations: Vec::new(),
            service_account: None,
            scheduler: None,
            qemu: None,
            qemu_image: None,
            env: BTreeMap::new(),
            affinity: None,
            topology_spread: None,
            pull_secrets: Vec::new(),
            priority_class: None,
            pod_template: None,
            mtls: false,
            grace: None,
            autoscale: None,
            config: None,
            flags: Vec::new(),
            client: ClientOptions::default(),
        }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            load_balance: LoadBalance::default(),
            timeout: READY_LIMIT,
            default_load: false,
        }
    }
}
