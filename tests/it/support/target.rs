//! What an end-to-end case runs against: [`Target`].
//!
//! A case is a `fn(&Target)`; [`cases`] makes tests of them, on the environment that the
//! variables name. Which daemons those are, a case does not know.

use std::process::Command;

use rustix::process::Signal;

use super::cluster::Cluster;
use super::real::{self, Env};

/// Two daemons, a registry, and what may be done to them.
pub(crate) struct Target {
    /// The nodes of builder `farm`: amd64, then arm64.
    pub(crate) nodes: [Node; 2],
    /// The registry, as daemons and this machine call it; it speaks plain HTTP.
    pub(crate) registry: String,
    /// An image with busybox for both platforms.
    pub(crate) base: String,
    /// The cluster whose pods the nodes are, if they are pods.
    pub(crate) cluster: Option<Cluster>,
    env: Env,
}

/// One daemon and what it builds.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) platforms: Vec<String>,
    pub(crate) endpoint: String,
    /// What its table names the pods by, if it is an architecture's pods; then there is no
    /// endpoint.
    pods: Option<String>,
    /// Further lines of its table in the configuration.
    pub(crate) more: String,
}

/// Makes a test of each case: `cases!(beside: one, two)`, or `cases!(alone: three)` for those
/// that stop a daemon; what comes before the colon is a function of [`Target`].
macro_rules! cases {
    ($turn:ident: $($case:ident),+ $(,)?) => {
        mod $turn {
            $(#[test]
            fn $case() {
                if let Some(target) = crate::support::target::Target::$turn() {
                    super::$case(&target);
                }
            })+
        }
    };
}
pub(crate) use cases;

impl Target {
    /// The environment's daemons, beside other tests; `None` where there are none.
    pub(crate) fn beside() -> Option<Self> {
        real::env().map(Self::new)
    }

    /// Daemons with endpoints of their own; `None` where the nodes are pods.
    pub(crate) fn at_endpoints() -> Option<Self> {
        let target = Self::beside()?;
        if target.cluster.is_some() {
            target.skip("pods have no endpoints");
            return None;
        }
        Some(target)
    }

    /// Daemons beside other tests; pods with no other test on them, as a busy one is passed over
    /// for another, which has nothing of what the first was sent.
    pub(crate) fn undisturbed() -> Option<Self> {
        match std::env::var_os("MBUILD_TEST_POOL") {
            Some(_) => Self::on_cluster_alone(),
            None => Self::beside(),
        }
    }

    /// Daemons that reach ports of this machine; `None` where they are not known to.
    pub(crate) fn at_host() -> Option<Self> {
        let target = Self::beside()?;
        if target.cluster.is_some() && target.find("HOST").is_none() {
            target.skip("the pods are not known to reach this machine (MBUILD_CLUSTER_HOST)");
            return None;
        }
        Some(target)
    }

    /// The pods of a real cluster; `None` where there are none.
    pub(crate) fn on_cluster() -> Option<Self> {
        real::env_of_cluster(false).map(Self::new)
    }

    /// The pods of a real cluster, with no other test on them; `None` where there are none.
    pub(crate) fn on_cluster_alone() -> Option<Self> {
        real::env_of_cluster(true).map(Self::new)
    }

    /// The environment's daemons, with no other test on them; `None` where there are none, or
    /// they may not be stopped.
    pub(crate) fn alone() -> Option<Self> {
        real::env_alone().map(Self::new)
    }

    fn new(env: Env) -> Self {
        let cluster = Cluster::of(&env);
        let endpoint = |arch: &str| match &cluster {
            Some(_) => String::new(),
            None => env.get(&arch.to_uppercase()).to_owned(),
        };
        let node = |arch: &str| Node {
            name: arch.to_owned(),
            platforms: vec![format!("linux/{arch}")],
            endpoint: endpoint(arch),
            pods: cluster.as_ref().map(|cluster| cluster.lines(arch)),
            more: String::new(),
        };
        Self {
            nodes: [node("amd64"), node("arm64")],
            registry: env.get("REGISTRY").to_owned(),
            base: env.get("BASE").to_owned(),
            cluster,
            env,
        }
    }

    /// A configuration with both nodes and the registry.
    pub(crate) fn config(&self) -> String {
        self.config_of(&self.nodes)
    }

    /// A configuration with these nodes and the registry.
    pub(crate) fn config_of(&self, nodes: &[Node]) -> String {
        let mut text = "builder = \"farm\"\n".to_owned();
        if nodes.iter().any(|node| node.pods.is_some()) {
            text += "[builders.farm]\ndriver = \"kubernetes\"\n";
        }
        for node in nodes {
            let Node {
                name,
                platforms,
                endpoint,
                pods,
                more,
            } = node;
            let reach = match pods {
                Some(lines) => lines.clone(),
                None => format!("endpoint = \"{endpoint}\"\n"),
            };
            text += &format!(
                "[[builders.farm.nodes]]\nname = \"{name}\"\n{reach}\
                 platforms = {platforms:?}\n{more}\n"
            );
        }
        text + &plain_http(&self.registry)
    }

    /// A repository in the registry that no other run uses.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("{}/e2e/{name}-{}", self.registry, fresh())
    }

    /// A value of the environment by the end of its name; panics if it is not given.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.env.get(name)
    }

    /// A value of the environment by the end of its name.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.env.find(name)
    }

    /// Says that a case cannot be had here, and why; a test still passes.
    pub(crate) fn skip(&self, why: &str) {
        real::skipped(why);
    }

    /// Variables that programs need to find the daemons.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let cluster = self.cluster.as_ref();
        cluster.map(Cluster::variables).unwrap_or_default()
    }

    /// The major version of the Docker engines, where that is what the daemons are.
    pub(crate) fn engine_version(&self) -> Option<u32> {
        let host = self.nodes[0].endpoint.strip_prefix("docker+")?;
        let mut command = Command::new(self.find("DOCKER")?);
        command.args(["version", "--format", "{{.Server.Version}}"]);
        let output = command.env("DOCKER_HOST", host).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split('.').next()?.parse().ok()
    }

    /// Sends a signal to the daemon of a node.
    pub(crate) fn signal(&self, node: &Node, signal: Signal) {
        self.env.signal(&node.name.to_uppercase(), signal);
    }

    /// Starts the daemon of a node again, with what it had.
    pub(crate) fn restart(&self, node: &Node) {
        self.env.restart(&node.name.to_uppercase());
    }
}

impl Node {
    /// The same daemon, configured to build these.
    pub(crate) fn with_platforms(&self, platforms: &[&str]) -> Self {
        let platforms = platforms.iter().map(|&platform| platform.into()).collect();
        Self {
            platforms,
            ..self.clone()
        }
    }

    /// The same node with further lines in its table.
    pub(crate) fn with(&self, more: impl Into<String>) -> Self {
        Self {
            more: more.into(),
            ..self.clone()
        }
    }

    /// A node of this name at another endpoint.
    pub(crate) fn at(&self, endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            pods: None,
            ..self.clone()
        }
    }
}

/// The configuration of a registry that speaks plain HTTP.
pub(crate) fn plain_http(registry: &str) -> String {
    format!("[registries.\"{registry}\"]\nhttp = true\n")
}

/// A text that no other run makes: of letters and digits.
pub(crate) fn fresh() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = jiff::Timestamp::now().as_nanosecond();
    format!("{now:x}{}{count}", std::process::id())
}
