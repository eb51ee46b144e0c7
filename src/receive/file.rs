//! [`FileSink`]: one file that an exporter's bytes are appended to.
//!
//! One stream only; the file counts once that stream has ended and its bytes are on the disk.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::append::append;

/// A file that is being received.
#[derive(Debug)]
pub struct FileSink {
    file: File,
    path: PathBuf,
    taken: AtomicBool,
    complete: AtomicBool,
    failure: OnceLock<String>,
}

impl FileSink {
    /// Receives into an open, empty file, which is named `path` in errors.
    pub fn new(file: File, path: impl Into<PathBuf>) -> Self {
        Self {
            file,
            path: path.into(),
            taken: AtomicBool::new(false),
            complete: AtomicBool::new(false),
            failure: OnceLock::new(),
        }
    }

    /// What the file is called in errors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Claims the file for a stream; false when another one has it already.
    pub fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::SeqCst)
    }

    /// Appends pieces, in as few calls as possible. Blocks.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn append(&self, pieces: &[impl AsRef<[u8]>]) -> io::Result<()> {
        append(&self.file, pieces)
    }

    /// Writes everything to the disk, after the stream's orderly end. Blocks.
    ///
    /// # Errors
    ///
    /// Fails when the disk does.
    pub fn finish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        self.complete.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Why it could not be written on this machine; `None` when it could.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Remembers what kept it from being written; the first reason stays.
    pub fn fail(&self, reason: String) {
        self.failure.get_or_init(|| reason);
    }

    /// Whether everything was received.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::SeqCst)
    }
}
