//! A builder as it is defined: [`BuilderSpec`], with endpoints parsed and checked.
//!
//! Made of what a configuration file says, what `builder create` is told, what buildx kept,
//! or what is found when nothing is configured. Whether anything answers is not known here.

use std::fmt;
use std::path::PathBuf;

use crate::buildkit::dial::TlsFiles;
use crate::buildkit::endpoint::{Endpoint, EndpointError};
use crate::config::{BuilderDef, DriverName, Found, Located, NodeDef, Source, TlsDef};
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
    /// Where its daemon is.
    pub endpoint: Endpoint,
    /// What it builds; empty means what the daemon says.
    pub platforms: Vec<Platform>,
    /// How many builds it takes at once, at least 1; `None` means no limit.
    pub slots: Option<usize>,
    /// How its daemon is authenticated; `None` means plain text.
    pub tls: Option<TlsFiles>,
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
        let DriverName::Remote = def.driver;
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
    pub fn to_def(&self) -> BuilderDef {
        BuilderDef {
            driver: DriverName::Remote,
            nodes: self.nodes.iter().map(NodeSpec::to_def).collect(),
        }
    }
}

impl NodeSpec {
    /// Makes a node of an endpoint alone: no platforms given, no limit, no TLS.
    pub fn new(name: impl Into<String>, endpoint: Endpoint) -> Self {
        Self {
            name: name.into(),
            endpoint,
            platforms: Vec::new(),
            slots: None,
            tls: None,
        }
    }

    fn from_def(builder: &str, def: &NodeDef, source: &Source) -> Result<Self, SpecError> {
        let at = || {
            Box::new(NodePlace {
                path: source.path.clone(),
                line: def.endpoint.line,
                builder: builder.to_owned(),
                node: def.name.clone(),
            })
        };
        let endpoint: Result<Endpoint, _> = def.endpoint.text.parse();
        let endpoint = endpoint.map_err(|source| SpecError::Endpoint { at: at(), source })?;
        if def.tls.is_some() && !endpoint.allows_tls() {
            return Err(SpecError::TlsUnused { at: at(), endpoint });
        }
        Ok(Self {
            name: def.name.clone(),
            endpoint,
            platforms: def.platforms.clone(),
            slots: def.slots,
            tls: def.tls.clone().map(|tls| TlsFiles {
                ca: tls.ca,
                cert: tls.cert,
                key: tls.key,
                server_name: tls.server_name,
            }),
        })
    }

    fn to_def(&self) -> NodeDef {
        NodeDef {
            name: self.name.clone(),
            endpoint: Located {
                text: self.endpoint.to_string(),
                line: 0,
            },
            platforms: self.platforms.clone(),
            slots: self.slots,
            tls: self.tls.clone().map(|tls| TlsDef {
                ca: tls.ca,
                cert: tls.cert,
                key: tls.key,
                server_name: tls.server_name,
            }),
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
        assert_eq!(spec.nodes[0].tls.as_ref().unwrap().ca, Some("/ca".into()));
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
