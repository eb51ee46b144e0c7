//! What `mbuild.toml` says: [`Settings`], made of a file's text, its place and how it was found.
//!
//! Parsing is pure; only [`load`] touches the disk. Endpoints stay text here, with the line
//! they stand in: what they mean is known one layer up, in `builder::spec`.

mod find;
mod parse;
mod pods;
mod render;
mod schema;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::platform::Platform;

pub use find::{FILE_NAME, Lookup, load, user_file};
pub use parse::{is_name, parse};
pub use render::{RenderError, render_builder, render_choice};

/// The environment, as one map that is passed down instead of asked for.
pub type Env = BTreeMap<String, String>;

/// The only schema so far; files may name it with `version = 1`.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything a configuration file can set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The file this was read from; `None` when there is none and all is default.
    pub source: Option<Source>,
    /// The user's own file, when it is there and one of the source tree was read instead.
    pub unread: Option<PathBuf>,
    /// The builder that is used when nothing else chooses one.
    pub builder: Option<String>,
    /// The builders that the file defines, by name.
    pub builders: BTreeMap<String, BuilderDef>,
    /// Whether platforms may be built by emulation; `None` when the file does not say.
    pub allow_emulation: Option<bool>,
    /// Defaults of `mbuild build`.
    pub build: BuildDefaults,
    /// How the client reaches registries, by `host[:port]`.
    pub registries: BTreeMap<String, RegistryDef>,
}

/// A configuration file and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// What led to it.
    pub found: Found,
}

/// What led to a configuration file, and so how far it is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// `--config` names it.
    Flag,
    /// `MBUILD_CONFIG` names it.
    Env,
    /// It lies in the working directory or above: whoever writes the source tree writes it.
    Walked,
    /// It lies in the user's configuration directory.
    User,
    /// `mbuild builder` wrote it into the state directory.
    State,
}

/// Defaults of `mbuild build`, each below its flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildDefaults {
    /// What to build for without `--platform`; empty when the file does not say.
    pub platforms: Vec<Platform>,
    /// The value of `--progress`.
    pub progress: Option<String>,
}

/// One builder as the file defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderDef {
    /// How its nodes are reached.
    pub driver: DriverName,
    /// Its nodes in the file's order; at least one, with different names.
    pub nodes: Vec<NodeDef>,
}

/// The kinds of builders that a file can define.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriverName {
    /// Every node is a daemon at an endpoint; the default.
    #[default]
    Remote,
    /// Every node is one architecture's pods in a Kubernetes cluster.
    Kubernetes,
}

/// One node as the file defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDef {
    /// Its name, unique in the builder.
    pub name: String,
    /// Where its daemon is, or its daemons are; not yet parsed.
    pub reach: ReachDef,
    /// What it builds; empty means what the daemon says.
    pub platforms: Vec<Platform>,
    /// How many builds it takes at once, at least 1; `None` means no limit.
    pub slots: Option<usize>,
    /// How its daemon is authenticated; `None` means not at all.
    pub tls: Option<TlsDef>,
}

/// Where a node's daemons are, as the file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReachDef {
    /// One, at an endpoint.
    Endpoint(Located),
    /// In the pods of a Kubernetes cluster.
    Pods(PodsDef),
}

/// The pods of a node, as the file names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodsDef {
    /// The namespace; `None` means the context's, or the pod's own.
    pub namespace: Option<String>,
    /// The kubeconfig, absolute wherever the configuration file is; `None` means the usual one.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; `None` means its current one.
    pub context: Option<String>,
    /// The label selector; `None` means the standard labels.
    pub selector: Option<Located>,
    /// The pods' names; empty means all that the selector finds.
    pub pods: Vec<String>,
    /// The container; `None` means `buildkitd`, or the first.
    pub container: Option<String>,
    /// How bytes get there; `None` means what works.
    pub transport: Option<Located>,
    /// Which pod builds; `None` means the project's own.
    pub loadbalance: Option<Located>,
    /// The daemons' TCP port; `None` means the usual one.
    pub port: Option<u16>,
    /// Whether `mbuild builder create` made them, so that `rm` removes them.
    pub created: bool,
}

/// A text and the line of the file that it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The text.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

/// Files of a TLS client, with absolute paths wherever the configuration file's is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsDef {
    /// The authorities that may have signed the daemon's certificate; `None` means the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate; goes with `key`.
    pub cert: Option<PathBuf>,
    /// The client's key; goes with `cert`.
    pub key: Option<PathBuf>,
    /// The name that the daemon's certificate must have; `None` means the endpoint's host.
    pub server_name: Option<String>,
}

/// How the client reaches one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryDef {
    /// Whether it speaks plain HTTP.
    pub http: bool,
    /// Whether its certificate goes unchecked.
    pub insecure: bool,
    /// The authorities that may have signed its certificate; `None` means the system's.
    pub ca: Option<PathBuf>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no configuration: it is far larger than any.
    #[error("the configuration file {} has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size that is read.
        limit: u64,
    },
    /// The file holds something that it must not.
    #[error("{}:{line}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A file of the source tree defines where data goes.
    #[error(
        "{}:{line}: {what} may not be defined here: this file was found by walking up from the \
         working directory, and whoever can change the source tree could use it to have files \
         and credentials sent elsewhere", path.display()
    )]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What it defines.
        what: String,
        /// The user's own file, where it may be defined; `None` without a home directory.
        user_file: Option<PathBuf>,
    },
}

impl ConfigError {
    /// Says what the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let Self::Untrusted {
            path, user_file, ..
        } = self
        else {
            return None;
        };
        let own = match user_file {
            Some(file) => format!("move it to {}, or ", file.display()),
            None => String::new(),
        };
        let path = path.display();
        Some(format!(
            "{own}if you trust this file, name it: --config {path} or MBUILD_CONFIG={path}"
        ))
    }
}
