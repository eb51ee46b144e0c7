//! A builder as it is defined: [`BuilderSpec`], with endpoints parsed and checked.
//!
//! Made of what a configuration file says, what `builder create` is told, what buildx kept,
//! or what is found when nothing is configured. Whether anything answers is not known here.

mod def;

use std::fmt;
use std::path::PathBuf;

use super::pool::{PoolSpec, UnknownWord};
use crate::buildkit::dial::TlsFiles;
use crate::buildkit::endpoint::{Endpoint, EndpointError};
use crate::config::{BuilderDef, DriverName, Found, Source};
use crate::platform::Platform;

/// A builder: a name and the nodes behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderSpec {
    /// Its name.
    pub name: String,
    /// Its nodes, at least one, with different names; the first one is the default node.
    pub nodes: Vec<NodeSpec>,
    /// Where this definition is from.
    pub origin: Origin,
}

/// One node: where its daemon is and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its name, unique in the builder.
    pub name: String,
    /// Where its daemon is, or its daemons are.
    pub reach: Reach,
    /// What it builds; empty means what the daemon says.
    pub platforms: Vec<Platform>,
    /// How many builds each of its daemons takes at once, at least 1; `None` means no limit.
    pub slots: Option<usize>,
}

/// Where a node's daemons are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// One daemon, at an endpoint.
    Endpoint {
        /// Where it is.
        endpoint: Endpoint,
        /// How it is authenticated; `None` means plain text.
        tls: Option<TlsFiles>,
    },
    /// One architecture's pods in a Kubernetes cluster.
    Pods(PoolSpec),
}

/// Where a definition is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An `mbuild.toml`.
    Config(PathBuf),
    /// A file that `mbuild builder` wrote.
    State(PathBuf),
    /// Nothing was configured, and this is what led to it: `BUILDKIT_HOST`, a socket.
    Found(String),
    /// It is not stored yet.
    New,
}

/// Where in a file a node is defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlace {
    /// The file.
    pub path: PathBuf,
    /// The line of its endpoint, from 1.
    pub line: usize,
    /// The builder's name.
    pub builder: String,
    /// The node's name.
    pub node: String,
}

/// Why a definition makes no builder.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The endpoint is none.
    #[error("{at}")]
    Endpoint {
        /// The node.
        at: Box<NodePlace>,
        /// What is wrong with it.
        source: EndpointError,
    },
    /// A word of a pool is none that is known.
    #[error("{at}: `{key}`")]
    Word {
        /// The node.
        at: Box<NodePlace>,
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        source: UnknownWord,
    },
    /// There is TLS for an endpoint that has none.
    #[error(
        "{at} has `tls`, which means nothing for {endpoint}: it goes with tcp:// and docker+tcp://"
    )]
    TlsUnused {
        /// The node.
        at: Box<NodePlace>,
        /// The endpoint.
        endpoint: Endpoint,
    },
}

impl BuilderSpec {
    /// Gives meaning to what a file says; `source` is that file.
    ///
    /// # Errors
    ///
    /// When an endpoint is none, or has TLS files that it cannot use.
    pub fn from_def(name: &str, def: &BuilderDef, source: &Source) -> Result<Self, SpecError> {
        let nodes = def
            .nodes
            .iter()
            .map(|node| NodeSpec::from_def(name, node, source));
        let path = source.path.clone();
        Ok(Self {
            name: name.to_owned(),
            nodes: nodes.collect::<Result<_, _>>()?,
            origin: match source.found {
                Found::State => Origin::State(path),
                Found::Flag | Found::Env | Found::Walked | Found::User => Origin::Config(path),
            },
        })
    }

    /// Returns what a file would say of it.
    ///
    /// A file's nodes are all of one kind: where they are not, as in no builder that can be
    /// made, the first one's counts.
    pub fn to_def(&self) -> BuilderDef {
        let driver = match self.nodes.first().map(|node| &node.reach) {
            Some(Reach::Pods(_)) => DriverName::Kubernetes,
            Some(Reach::Endpoint { .. }) | None => DriverName::Remote,
        };
        BuilderDef {
            driver,
            nodes: self.nodes.iter().map(NodeSpec::to_def).collect(),
        }
    }
}

impl NodeSpec {
    /// Makes a node of an endpoint alone: no platforms given, no limit, no TLS.
    pub fn new(name: impl Into<String>, endpoint: Endpoint) -> Self {
        Self::reached(
            name,
            Reach::Endpoint {
                endpoint,
                tls: None,
            },
        )
    }

    /// Makes a node of where its daemons are alone: no platforms given, no limit.
    pub fn reached(name: impl Into<String>, reach: Reach) -> Self {
        Self {
            name: name.into(),
            reach,
            platforms: Vec::new(),
            slots: None,
        }
    }

    /// Its endpoint, where it has one.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.reach {
            Reach::Endpoint { endpoint, .. } => Some(endpoint),
            Reach::Pods(_) => None,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { endpoint, .. } => write!(f, "{endpoint}"),
            Self::Pods(pool) => write!(f, "{pool}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(path) | Self::State(path) => write!(f, "{}", path.display()),
            Self::Found(what) => f.write_str(what),
            Self::New => f.write_str("not stored"),
        }
    }
}

impl fmt::Display for NodePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            builder,
            node,
        } = self;
        write!(
            f,
            "{}:{line}: node `{node}` of builder `{builder}`",
            path.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::{LoadBalance, Transport};
    use super::*;
    use crate::config::{self, Settings};

    fn settings(text: &str) -> Settings {
        let source = Source {
            path: "/etc/mbuild.toml".into(),
            found: Found::User,
        };
        config::parse(text, source, None).unwrap()
    }

    fn spec(text: &str) -> Result<BuilderSpec, SpecError> {
        let settings = settings(text);
        let source = settings.source.as_ref().unwrap();
        BuilderSpec::from_def("b", &settings.builders["b"], source)
    }

    #[test]
    fn a_definition_survives_both_ways() {
        let spec = spec(
            "[[builders.b.nodes]]\nname = \"n\"\nendpoint = \"docker+tcp://h:1\"\nslots = 2\n\
             platforms = [\"linux/arm64\"]\ntls = { ca = \"/ca\" }\n",
        )
        .unwrap();
        let Reach::Endpoint { tls: Some(tls), .. } = &spec.nodes[0].reach else {
            panic!("{spec:?}");
        };
        assert_eq!(tls.ca, Some("/ca".into()));
        assert_eq!(spec.origin, Origin::Config("/etc/mbuild.toml".into()));
        let source = Source {
            path: "/etc/mbuild.toml".into(),
            found: Found::User,
        };
        assert_eq!(
            BuilderSpec::from_def("b", &spec.to_def(), &source).unwrap(),
            spec
        );
    }

    #[test]
    fn a_pool_survives_both_ways() {
        let spec = spec(
            "[builders.b]\ndriver = \"kubernetes\"\n[[builders.b.nodes]]\nname = \"n\"\n\
             namespace = \"x\"\nselector = \"a=b\"\ntransport = \"exec\"\nport = 99\n\
             loadbalance = \"random\"\nplatforms = [\"linux/arm64\"]\ntls = { ca = \"/ca\" }\n",
        )
        .unwrap();
        let Reach::Pods(pool) = &spec.nodes[0].reach else {
            panic!("{spec:?}");
        };
        assert_eq!((pool.transport, pool.port), (Transport::Exec, 99));
        assert_eq!(pool.load_balance, LoadBalance::Random);
        assert_eq!(pool.to_string(), "pods a=b in namespace x");
        let source = Source {
            path: "/etc/mbuild.toml".into(),
            found: Found::User,
        };
        assert_eq!(
            BuilderSpec::from_def("b", &spec.to_def(), &source).unwrap(),
            spec
        );
    }

    #[test]
    fn a_word_that_is_not_known_names_its_place() {
        let error = spec(
            "[builders.b]\ndriver = \"kubernetes\"\n[[builders.b.nodes]]\nname = \"n\"\n\
             transport = \"spdy\"\n",
        );
        let error = crate::causes::causes(&error.unwrap_err());
        assert_eq!(
            error,
            "/etc/mbuild.toml:5: node `n` of builder `b`: `transport`: `spdy` is not known; it \
             can be auto, direct, exec, port-forward"
        );
    }

    #[test]
    fn a_wrong_endpoint_names_its_place() {
        let error = spec("[[builders.b.nodes]]\nname = \"n\"\nendpoint = \"10.0.0.5:1\"\n");
        let error = error.unwrap_err();
        assert_eq!(
            error.to_string(),
            "/etc/mbuild.toml:3: node `n` of builder `b`"
        );
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("`10.0.0.5:1` is not an endpoint"), "{cause}");
    }

    #[test]
    fn tls_on_a_socket_is_refused() {
        let error = spec(
            "[[builders.b.nodes]]\nname = \"n\"\nendpoint = \"unix:///s\"\ntls = { ca = \"c\" }\n",
        );
        let text = error.unwrap_err().to_string();
        assert!(
            text.starts_with("/etc/mbuild.toml:3: node `n` of builder `b` has `tls`"),
            "{text}"
        );
    }
}
