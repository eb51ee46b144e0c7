//! A context besides the build's own, found: [`NamedContext`].
//!
//! Unlike the flag that names it, it holds whole paths and digests.

use std::path::PathBuf;

use crate::digest::Digest;
use crate::reference::ImageRef;

use super::RemoteContext;

/// A context that a Dockerfile uses by name, in `FROM` or `--from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedContext {
    /// The name, shortened as image names are.
    pub name: String,
    /// What it stands for.
    pub source: NamedSource,
}

/// What a named context stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedSource {
    /// A directory on this machine.
    Directory(PathBuf),
    /// Something that daemons fetch by themselves.
    Remote(RemoteContext),
    /// An image of a registry.
    Image(ImageRef),
    /// An image in a layout on this machine.
    Layout {
        /// The layout's directory.
        dir: PathBuf,
        /// The manifest or index that is meant.
        digest: Digest,
    },
}

impl NamedContext {
    /// What daemons fetch by themselves; `None` for everything else.
    pub fn remote(&self) -> Option<&RemoteContext> {
        match &self.source {
            NamedSource::Remote(remote) => Some(remote),
            _ => None,
        }
    }
}
