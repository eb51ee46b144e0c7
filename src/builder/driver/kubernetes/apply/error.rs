//! Why a pool cannot be made.

use super::super::access::KubeError;
use super::super::certs::CertsError;
use super::super::manifest::ManifestError;

/// Why a pool cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The options make no objects.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Objects of these names are there, made by somebody else.
    #[error(
        "{} in namespace `{namespace}` {} made by mbuild for this builder; build on what is there \
         with --attach, choose another name, or take it over with --force",
        objects.join(", "),
        if objects.len() == 1 { "was not" } else { "were not" }
    )]
    NotOurs {
        /// The objects.
        objects: Vec<String>,
        /// The namespace.
        namespace: String,
    },
    /// A field that cannot be changed would have to.
    #[error(
        "{object} cannot be changed in this way: a claim's size or class and a pool's labels stay \
         what they were; remove the builder and create it again"
    )]
    Immutable {
        /// The object.
        object: String,
        /// What the API server said.
        source: Box<KubeError>,
    },
    /// The cluster does not accept an object.
    #[error("the cluster does not accept {object}")]
    Invalid {
        /// The object.
        object: String,
        /// What the API server said.
        source: Box<KubeError>,
    },
    /// There are no certificates for it.
    #[error(transparent)]
    Certs(Box<CertsError>),
    /// The API server refused or could not be asked.
    #[error(transparent)]
    Kube(Box<KubeError>),
}

impl From<KubeError> for ApplyError {
    fn from(error: KubeError) -> Self {
        Self::Kube(Box::new(error))
    }
}
