//! Why a store refuses, and the code that says so to a daemon.

use std::io;
use std::path::{Path, PathBuf};

use tonic::{Code, Status};

use super::super::status::failure;
use crate::digest::Digest;

/// Why a blob was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store has no such blob.
    #[error("no blob {0}")]
    NotFound(Digest),
    /// The blob is there already, which a daemon counts as written.
    #[error("blob {0} is there already")]
    Exists(Digest),
    /// The store is one that is only read.
    #[error("{0} is not written to")]
    ReadOnly(PathBuf),
    /// No write has this name.
    #[error("nothing is being written as {0}")]
    NoWrite(String),
    /// Another call writes under this name; a daemon tries again.
    #[error("{0} is being written by another call")]
    Busy(String),
    /// More writes were begun than any daemon has open.
    #[error("more than {0} writes are open")]
    TooMany(usize),
    /// A piece does not follow what is there.
    #[error("{name}: bytes from {got} on do not follow the {held} there are")]
    Offset {
        /// The write.
        name: String,
        /// Where the piece was to go.
        got: i64,
        /// How many bytes there are.
        held: u64,
    },
    /// A blob has another size than was said.
    #[error("{name}: {held} bytes instead of {expected}")]
    Size {
        /// The write.
        name: String,
        /// How many bytes there are.
        held: u64,
        /// How many there should be.
        expected: u64,
    },
    /// A blob has another digest than was said.
    #[error("{name}: the digest is {actual} instead of {expected}")]
    Digest {
        /// The write.
        name: String,
        /// The digest of the bytes that came.
        actual: Digest,
        /// The one they should have.
        expected: Digest,
    },
    /// The disk failed.
    #[error("cannot {action} {}", path.display())]
    Disk {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl StoreError {
    /// Makes an error of the disk's.
    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk {
            action,
            path,
            source,
        }
    }

    /// What containerd's own server answers, since daemons go by it.
    fn code(&self) -> Code {
        match self {
            Self::NotFound(_) | Self::NoWrite(_) => Code::NotFound,
            Self::Exists(_) => Code::AlreadyExists,
            Self::ReadOnly(_) => Code::PermissionDenied,
            Self::Busy(_) => Code::Unavailable,
            Self::TooMany(_) => Code::ResourceExhausted,
            Self::Offset { .. } => Code::OutOfRange,
            Self::Size { .. } | Self::Digest { .. } => Code::FailedPrecondition,
            Self::Disk { .. } => Code::Unknown,
        }
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        failure(error.code(), "", &error)
    }
}
