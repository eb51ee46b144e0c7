//! Why an archive of an image cannot be used: [`ArchiveError`].

use std::io;

use crate::digest::Digest;
use crate::oci::ParseError;

/// Why an archive of an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read, or is no tar.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// What is made of it cannot be written.
    #[error("cannot write")]
    Write(#[source] io::Error),
    /// It ends in the middle of a file.
    #[error("the archive is cut off")]
    Cut,
    /// It has more files than any image.
    #[error("the archive has more than {0} files")]
    TooMany(usize),
    /// A file that every layout has is missing.
    #[error("the archive holds no complete image layout: it has no usable {0}")]
    Without(&'static str),
    /// The layout is of another version.
    #[error("the archive's oci-layout says {0}, only version 1.0.0 is understood")]
    Version(String),
    /// `index.json` is no index.
    #[error("the archive's index.json cannot be read")]
    Index(#[source] ParseError),
    /// There is not one image in it.
    #[error("the archive holds {0} images instead of one")]
    NotOne(usize),
    /// A blob is missing.
    #[error("the archive lacks {0}, which its image consists of")]
    Missing(Digest),
    /// A blob is not what its name and descriptor say.
    #[error("in the archive the content of {0} is not what its digest and size say")]
    Altered(Digest),
    /// A manifest is larger than any real one.
    #[error("in the archive {0} is too large for a manifest")]
    TooLarge(Digest),
    /// Something that should be a manifest or an index is none.
    #[error("in the archive {0} is not a manifest or an index")]
    NoManifest(Digest),
    /// Indexes lead to indexes, again and again.
    #[error("in the archive {0} is nested too deep")]
    TooDeep(Digest),
}
