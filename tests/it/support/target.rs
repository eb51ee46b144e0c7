//! What an end-to-end case runs against: [`Target`].
//!
//! A case is a `fn(&Target)`; [`cases`] makes tests of them, on the environment that the
//! variables name. Which daemons those are, a case does not know.

use std::process::Command;

use rustix::process::Signal;

use super::real::{self, Env};

/// Two daemons, a registry, and what may be done to them.
pub(crate) struct Target {
    /// The nodes of builder `farm`: amd64, then arm64.
    pub(crate) nodes: [Node; 2],
    /// The registry, as daemons and this machine call it; it speaks plain HTTP.
    pub(crate) registry: String,
    /// An image with busybox for both platforms.
    pub(crate) base: String,
    env: Env,
}

/// One daemon and what it builds.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) platforms: Vec<String>,
    pub(crate) endpoint: String,
    /// Further lines of its table in the configuration.
    pub(crate) more: String,
}

/// Makes a test of each case: `cases!(beside: one, two)`, or `cases!(alone: three)` for those
/// that stop a daemon.
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

    /// The environment's daemons, with no other test on them; `None` where there are none, or
    /// they may not be stopped.
    pub(crate) fn alone() -> Option<Self> {
        real::env_alone().map(Self::new)
    }

    fn new(env: Env) -> Self {
        let node = |arch: &str| Node {
            name: arch.to_owned(),
            platforms: vec![format!("linux/{arch}")],
            endpoint: env.get(&arch.to_uppercase()).to_owned(),
            more: String::new(),
        };
        Self {
            nodes: [node("amd64"), node("arm64")],
            registry: env.get("REGISTRY").to_owned(),
            base: env.get("BASE").to_owned(),
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
        for node in nodes {
            let Node {
                name,
                platforms,
                endpoint,
                more,
            } = node;
            text += &format!(
                "[[builders.farm.nodes]]\nname = \"{name}\"\nendpoint = \"{endpoint}\"\n\
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
