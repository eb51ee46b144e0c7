//! [`TreeSink`]: an empty directory of our own that a daemon's trees are written into.
//!
//! Several streams may write into one at a time. Directories stay open to the owner while they
//! are here; the modes and times they get in the end are remembered for whoever moves the tree.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::entry::Xattrs;

/// Warnings that are kept; more of the same help nobody.
const MAX_WARNINGS: usize = 10;

/// A directory that trees are received into.
#[derive(Debug)]
pub struct TreeSink {
    root: OwnedFd,
    path: PathBuf,
    closed: AtomicBool,
    streams: AtomicUsize,
    complete: AtomicUsize,
    noted: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    directories: Vec<Directory>,
    warnings: Vec<String>,
    suppressed: usize,
    failure: Option<String>,
}

/// A directory that was received: what it gets once everything is in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where, below the tree's root.
    pub path: Box<[u8]>,
    /// Permissions in the system's bits.
    pub permissions: u32,
    /// Time of the last change in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

/// How much of a tree has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeState {
    /// No stream ever started.
    Missing,
    /// A stream runs, or failed.
    Incomplete,
    /// Every stream that started was received to its end.
    Complete,
}

impl TreeSink {
    /// Receives into the open directory `root`, whose path is `path`.
    pub fn new(root: OwnedFd, path: impl Into<PathBuf>) -> Self {
        Self {
            root,
            path: path.into(),
            closed: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            complete: AtomicUsize::new(0),
            noted: Mutex::default(),
        }
    }

    /// The directory as a handle.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much has come.
    pub fn state(&self) -> TreeState {
        let complete = self.complete.load(Ordering::SeqCst);
        match self.streams.load(Ordering::SeqCst) {
            0 => TreeState::Missing,
            streams if streams == complete => TreeState::Complete,
            _ => TreeState::Incomplete,
        }
    }

    /// The directories received so far, by path; of one sent by two streams, the last.
    pub fn directories(&self) -> Vec<Directory> {
        let mut directories = self.noted().directories.clone();
        directories.sort_by(|a, b| a.path.cmp(&b.path));
        directories.dedup_by(|later, earlier| {
            let same = later.path == earlier.path;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        directories
    }

    /// What the user should know about the tree: entries that could not be made.
    pub fn warnings(&self) -> Vec<String> {
        let noted = self.noted();
        let mut warnings = noted.warnings.clone();
        if noted.suppressed > 0 {
            warnings.push(format!(
                "{} more such files were left out",
                noted.suppressed
            ));
        }
        warnings
    }

    /// Why it could not be written on this machine; `None` when it could.
    pub fn failure(&self) -> Option<String> {
        self.noted().failure.clone()
    }

    /// Remembers what kept it from being written; the first reason stays.
    pub fn fail(&self, reason: String) {
        self.noted().failure.get_or_insert(reason);
    }

    /// Makes every stream stop at its next step; the directory is about to be removed.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn stream_started(&self) {
        self.streams.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn stream_complete(&self, directories: Vec<Directory>) {
        self.noted().directories.extend(directories);
        self.complete.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn warn(&self, warning: String) {
        let mut noted = self.noted();
        if noted.warnings.len() < MAX_WARNINGS {
            noted.warnings.push(warning);
        } else {
            noted.suppressed += 1;
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
