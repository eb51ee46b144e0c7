//! The words of an output: in which form a result is exported, and to which place.

use std::fmt;
use std::path::PathBuf;

/// The form in which a result is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// A directory of files.
    Local,
    /// The files as one tar.
    Tar,
    /// An image in an OCI layout.
    Oci,
    /// An image for `docker load`, or loaded into an engine.
    Docker,
    /// An image in the daemon's store, pushed if `push` says so.
    Image,
    /// An image that is pushed.
    Registry,
    /// Nothing but what the build leaves in the cache.
    Cacheonly,
    /// Another type, which the daemon may know.
    Other(String),
}

/// A place on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputDest {
    /// Standard output, written `-`.
    Stdout,
    /// A file or directory.
    Path(PathBuf),
}

impl OutputKind {
    /// Returns the name that `type=` has, which is also the daemon's except for `registry`.
    pub fn name(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Tar => "tar",
            Self::Oci => "oci",
            Self::Docker => "docker",
            Self::Image => "image",
            Self::Registry => "registry",
            Self::Cacheonly => "cacheonly",
            Self::Other(name) => name,
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "" => None,
            "local" => Some(Self::Local),
            "tar" => Some(Self::Tar),
            "oci" => Some(Self::Oci),
            "docker" => Some(Self::Docker),
            "image" => Some(Self::Image),
            "registry" => Some(Self::Registry),
            "cacheonly" => Some(Self::Cacheonly),
            other => Some(Self::Other(other.to_owned())),
        }
    }
}

impl OutputDest {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "" => None,
            "-" => Some(Self::Stdout),
            path => Some(Self::Path(PathBuf::from(path))),
        }
    }
}

/// Prints the place as it is typed.
impl fmt::Display for OutputDest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("-"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}
