//! What can go wrong with a tree; every variant names the path or the list at fault.

use std::io;
use std::path::PathBuf;

use crate::ignore::PatternError;

/// Why a tree cannot be opened or listed.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The root is missing or may not be read.
    #[error("cannot open directory {}", path.display())]
    Root {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The root is a file.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path as it was given.
        path: PathBuf,
    },
    /// An entry that is to be sent cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The entry's path, the root's included.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An exclude pattern is malformed.
    #[error("bad exclude pattern")]
    Exclude(#[source] PatternError),
    /// An include pattern, or a followed path used as one, is malformed.
    #[error("bad include pattern")]
    Include(#[source] PatternError),
}
