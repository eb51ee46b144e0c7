//! Why nothing was published.

use crate::digest::{Digest, DigestError};
use crate::oci::{MergeError, ParseError};
use crate::registry::RegistryError;

/// A failure before any tag has moved.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A registry failed or refused.
    #[error("nothing was published: no tag has moved")]
    Registry(#[from] RegistryError),
    /// What the units delivered cannot be one image.
    #[error("nothing was published: no tag has moved")]
    Merge(#[from] MergeError),
    /// A unit's image is in none of the repositories.
    #[error("nothing was published: {digest}, which {from} says it pushed, is in no repository")]
    Missing {
        /// The image.
        digest: Digest,
        /// Who delivered it.
        from: String,
    },
    /// A unit pushed an index that cannot be read.
    #[error("nothing was published: {from} pushed an index that cannot be read")]
    Index {
        /// Who delivered it.
        from: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A unit's image does not say what it is for, and neither does its configuration.
    #[error("nothing was published: the configuration of {digest} from {from} names no platform")]
    Configuration {
        /// The image.
        digest: Digest,
        /// Who delivered it.
        from: String,
    },
}

impl PublishError {
    /// What the user can do about it, in one line, if we know.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.advice(),
            _ => None,
        }
    }
}

/// Why a daemon's answer does not say what it pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushedError {
    /// Neither a descriptor nor a digest is among the keys.
    #[error("the daemon of {0} does not say what it pushed")]
    Nothing(String),
    /// The descriptor is not base64 of a descriptor.
    #[error("the daemon of {0} describes what it pushed in a form that cannot be read")]
    Descriptor(String),
    /// The digest is not one.
    #[error("the daemon of {from} names what it pushed by something that is not a digest")]
    Digest {
        /// Who delivered it.
        from: String,
        /// What is wrong with it.
        source: DigestError,
    },
}
