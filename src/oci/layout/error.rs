//! Why a layout cannot be read or written: [`LayoutError`].

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::oci::ParseError;

/// Why a layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The directory has no file `oci-layout`.
    #[error("{} is no OCI image layout: it has no file oci-layout", .0.display())]
    NoLayout(PathBuf),
    /// The layout is of another version.
    #[error("{} says {version}, only version 1.0.0 is understood", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// What it says.
        version: String,
    },
    /// `index.json` is no index.
    #[error("cannot read {}", file.display())]
    Index {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Nothing has the name.
    #[error("{} has no image `{name}`{}", dir.display(), instead(names))]
    NotFound {
        /// The layout.
        dir: PathBuf,
        /// What was looked for.
        name: String,
        /// The names that are there.
        names: Vec<String>,
    },
    /// A name is needed: there are several images, or none.
    #[error("{} does not hold exactly one image{}", dir.display(), instead(names))]
    NotOne {
        /// The layout.
        dir: PathBuf,
        /// The names that are there.
        names: Vec<String>,
    },
    /// A blob is missing.
    #[error("{} lacks {digest}", dir.display())]
    Missing {
        /// The layout.
        dir: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A blob is not what its name and descriptor say.
    #[error("in {} the content of {digest} is not what its digest and size say", dir.display())]
    Altered {
        /// The layout.
        dir: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// What has the digest is neither a manifest nor an index.
    #[error("in {} {digest} is neither a manifest nor an index", dir.display())]
    NoManifest {
        /// The layout.
        dir: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A document is larger than any real one.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// What was written is not what was announced.
    #[error("what came for {digest} has another size or digest")]
    Mismatch {
        /// What was announced.
        digest: Digest,
    },
    /// Another program changes the index and does not end.
    #[error("{} is locked by another program", .0.display())]
    Locked(PathBuf),
    /// The disk fails.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl LayoutError {
    pub(super) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl Fn(io::Error) -> LayoutError + use<'a> {
        move |source| LayoutError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// The end of a sentence that names what is there.
fn instead(names: &[String]) -> String {
    const SHOWN: usize = 10;
    match names {
        [] => String::new(),
        _ if names.len() > SHOWN => format!(
            ", but {} and {} more",
            names[..SHOWN].join(", "),
            names.len() - SHOWN
        ),
        _ => format!(", but {}", names.join(", ")),
    }
}
