//! Why results could not be staged or put into place: [`StageError`] and [`MergeError`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::oci::archive::ArchiveError;
use crate::oci::layout::LayoutError;
use crate::receive::WriteError;

/// Why there is no place to receive into.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The destination of a tree exists and is something else.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The destination of a file is a directory.
    #[error("{} is a directory, and the output is one file", .0.display())]
    IsADirectory(PathBuf),
    /// The destination holds an image layout that cannot be added to.
    #[error(transparent)]
    Layout(LayoutError),
    /// The destination, or the stage in it, cannot be made.
    #[error("cannot {action} {}", path.display())]
    Create {
        /// What was tried, as a verb.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Why results were not put into place.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A unit's output did not come, or not to its end.
    #[error("the output for {platform} was not received to its end")]
    Incomplete {
        /// The platform, or the file's name.
        platform: String,
    },
    /// A daemon that built several platforms sent something beside their directories.
    #[error("the daemon for {platform} sent {path}, which is in no directory of these platforms")]
    Stray {
        /// The platforms that the daemon built.
        platform: String,
        /// What it sent, safe to print.
        path: String,
    },
    /// A tree cannot be put into its platform's directory.
    #[error("cannot put {path} into the directory of {platform}")]
    Split {
        /// The platform.
        platform: String,
        /// The entry, safe to print.
        path: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Two platforms claim one path with different content.
    #[error(
        "`{path}` differs between {first} and {second}: another {difference}; \
         platform-split=true gives each platform a directory of its own"
    )]
    Collision {
        /// The path, safe to print.
        path: String,
        /// In what the two differ.
        difference: Difference,
        /// The platform that comes first in the request.
        first: String,
        /// The other one.
        second: String,
    },
    /// The received trees cannot be read back.
    #[error("cannot compare {path}")]
    Compare {
        /// The path, safe to print.
        path: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An entry cannot be moved into place.
    #[error("cannot move {path} into {}{moved}", dest.display())]
    Move {
        /// The entry, safe to print.
        path: String,
        /// The user's directory.
        dest: PathBuf,
        /// What is in place already.
        moved: Moved,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Everything is in place, but a directory has not got its mode or time.
    #[error("everything is in place, but not all modes and times are")]
    Attributes(#[source] WriteError),
    /// A daemon's archive is not a whole image.
    #[error("what {from} sent is not a whole image")]
    Archive {
        /// Who sent it.
        from: String,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// A daemon's tar cannot be read.
    #[error("what {from} sent is not a whole tar")]
    Tar {
        /// Who sent it.
        from: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// There is no place for what is made of the results.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// What the daemons sent cannot be one image.
    #[error(transparent)]
    Image(#[from] crate::oci::MergeError),
    /// The image cannot be put into its layout directory.
    #[error(transparent)]
    Layout(LayoutError),
    /// A file cannot be put into place.
    #[error("cannot write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl MergeError {
    /// Tells a disk that fails while an archive is copied from an archive that is at fault.
    pub(super) fn of_writing(self, to: &Path) -> Self {
        match self {
            MergeError::Archive {
                source: ArchiveError::Write(source),
                ..
            } => MergeError::File {
                path: to.to_owned(),
                source,
            },
            other => other,
        }
    }
}

/// In what two entries of one path differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// One is a file, the other a directory, and so on.
    Type,
    /// Permissions.
    Mode,
    /// Bytes.
    Content,
    /// The target of a symbolic link.
    Target,
    /// The numbers of a device.
    Device,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Difference::Type => "type",
            Difference::Mode => "mode",
            Difference::Content => "content",
            Difference::Target => "link target",
            Difference::Device => "device number",
        })
    }
}

/// What was moved before a failure; prints as the end of a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// How many entries, a directory counting as one if it was moved whole.
    pub count: u64,
    /// The first of them, safe to print.
    pub first: Vec<String>,
}

impl Moved {
    const SHOWN: usize = 10;

    pub(super) fn add(&mut self, path: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < Self::SHOWN {
            self.first.push(path());
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("; nothing was moved before");
        }
        write!(f, "; already there: {}", self.first.join(", "))?;
        match self.count - self.first.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
