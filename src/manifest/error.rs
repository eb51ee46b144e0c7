//! What can go wrong between two places: [`StoreError`] about one of them, [`CopyError`] about
//! what was to go from one to the other.

use tokio::task::JoinError;

use crate::digest::Digest;
use crate::oci::ParseError;
use crate::oci::layout::LayoutError;
use crate::registry::{Problem, RegistryError};

/// A registry or a layout that fails or refuses.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A registry.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// A layout.
    #[error(transparent)]
    Layout(Box<LayoutError>),
    /// Work on a thread of its own broke off.
    #[error("work on a layout broke off")]
    Task(#[from] JoinError),
    /// There is no such image.
    #[error("{name} is not there")]
    NotFound {
        /// The image.
        name: String,
    },
    /// What is there is another image than the name says.
    #[error("{name} is {found} there")]
    Other {
        /// The image.
        name: String,
        /// What is there.
        found: Digest,
    },
}

/// Why an image was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of the two places fails or refuses.
    #[error("cannot copy {digest}")]
    Store {
        /// The manifest, index or blob.
        digest: Digest,
        /// Why.
        source: StoreError,
    },
    /// An index cannot be read.
    #[error("cannot copy {digest}: it is not an index")]
    Index {
        /// The index.
        digest: Digest,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A manifest cannot be read.
    #[error(
        "cannot copy {0}: it is not an image manifest, or refers to something without a sha256 digest"
    )]
    Manifest(Digest),
    /// Indexes lie too deep in indexes.
    #[error("cannot copy {0}: indexes lie too deep in indexes")]
    Depth(Digest),
    /// What refers to the image cannot be found out.
    #[error("cannot find out what refers to {digest}")]
    Referrers {
        /// The image.
        digest: Digest,
        /// Why.
        source: StoreError,
    },
}

impl StoreError {
    /// Whether what was asked for is not there, or not as it should be: then the name is at
    /// fault and not the way to it.
    pub fn is_about_content(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::Other { .. } => true,
            Self::Registry(error) => {
                matches!(error.problem, Problem::NotFound | Problem::Digest)
            }
            Self::Layout(error) => {
                !matches!(**error, LayoutError::Io { .. } | LayoutError::Locked(_))
            }
            Self::Task(_) => false,
        }
    }

    /// What the user can do about it, in one line, if we know.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.advice(),
            _ => None,
        }
    }
}

impl CopyError {
    /// What the user can do about it, in one line, if we know.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Referrers { source, .. } => source.advice().or_else(|| {
                Some("--referrers=false copies the image without what refers to it".to_owned())
            }),
            Self::Store { source, .. } => source.advice(),
            _ => None,
        }
    }
}

impl From<RegistryError> for StoreError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<LayoutError> for StoreError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(Box::new(error))
    }
}
