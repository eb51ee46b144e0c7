//! Why there is nothing to import.

use std::io;
use std::path::PathBuf;

use super::super::docker_host::DockerHostError;
use crate::buildkit::endpoint::EndpointError;

/// Why there is nothing to import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// buildx keeps no instance of that name.
    #[error("buildx has no builder named `{name}`: there is no {}", path.display())]
    NoInstance {
        /// The name.
        name: String,
        /// The file that would define it.
        path: PathBuf,
    },
    /// There is no home directory, and so no place where buildx keeps its instances.
    #[error("it is not known where buildx keeps its builders: HOME is not set")]
    NoHome,
    /// The text is no instance.
    #[error("this is not a builder as buildx keeps it")]
    Form(#[source] serde_json::Error),
    /// A name cannot be used.
    #[error("`{0}` cannot name a builder or a node")]
    Name(String),
    /// Two nodes have one name.
    #[error("builder `{builder}` has two nodes named `{node}`")]
    Twins {
        /// The builder.
        builder: String,
        /// The node.
        node: String,
    },
    /// There are no nodes.
    #[error("builder `{0}` has no nodes")]
    Empty(String),
    /// The driver is not one that can be imported.
    #[error("builder `{builder}` uses driver `{driver}`, which this version cannot import")]
    Driver {
        /// The builder.
        builder: String,
        /// The driver.
        driver: String,
    },
    /// A node's endpoint is none that can be reached.
    #[error("node `{node}` of builder `{builder}`")]
    Endpoint {
        /// The builder.
        builder: String,
        /// The node.
        node: String,
        /// Why.
        source: EndpointError,
    },
    /// A node's Docker engine is not known.
    #[error("node `{node}` of builder `{builder}`")]
    Docker {
        /// The builder.
        builder: String,
        /// The node.
        node: String,
        /// Why.
        source: Box<DockerHostError>,
    },
}
