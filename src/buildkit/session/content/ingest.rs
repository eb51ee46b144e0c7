//! [`Ingest`]: a blob that is being written, invisible until its bytes are known to be right.
//!
//! Its file lies beside the store's blobs and is locked, so that what a dead process left can be
//! told from what a living one writes.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::StoreError;
use crate::buildkit::session::random_id;
use crate::digest::{Digest, Hasher};

/// What the files' names begin with; others in the directory belong to other programs.
const PREFIX: &str = "mbuild-";
/// How often a new file may be taken for a leftover by another process, at once.
const TRIES: usize = 8;

/// What is known of a write.
#[derive(Debug, Clone)]
pub(super) struct IngestStatus {
    /// The name that the daemon gave it.
    pub(super) name: String,
    pub(super) started: SystemTime,
    pub(super) updated: SystemTime,
    /// How many bytes there are.
    pub(super) offset: u64,
    /// How many there will be, if that was said.
    pub(super) total: Option<u64>,
    /// The digest they will have, if that was said.
    pub(super) expected: Option<Digest>,
}

/// The file of a write; removed with it unless the blob was put into place.
pub(super) struct Ingest {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    offset: u64,
}

impl Ingest {
    /// Makes an empty file in `directory`, which is made too.
    pub(super) fn create(directory: &Path) -> Result<Self, StoreError> {
        for _ in 0..TRIES {
            fs::create_dir_all(directory).map_err(StoreError::disk("create", directory))?;
            let id = random_id().map_err(io::Error::other);
            let id = id.map_err(StoreError::disk("name a file in", directory))?;
            let path = directory.join(format!("{PREFIX}{id}"));
            let file = match create_locked(&path) {
                // Another store that had done with the directory removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file.map_err(StoreError::disk("create", &path))?,
            };
            if let Some(file) = file {
                return Ok(Self {
                    path,
                    file,
                    hasher: Hasher::new(),
                    offset: 0,
                });
            }
        }
        let taken = io::Error::from(io::ErrorKind::ResourceBusy);
        Err(StoreError::disk("keep a file in", directory)(taken))
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, data: &[u8]) -> Result<(), StoreError> {
        let written = self.file.write_all(data);
        written.map_err(StoreError::disk("write", &self.path))?;
        self.hasher.update(data);
        self.offset += data.len() as u64;
        Ok(())
    }

    /// Forgets all bytes.
    pub(super) fn restart(&mut self) -> Result<(), StoreError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(StoreError::disk("empty", &self.path))?;
        (self.hasher, self.offset) = (Hasher::new(), 0);
        Ok(())
    }

    /// The digest of the bytes there are.
    pub(super) fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// Puts the file at `path`; the directories above are made. A file there is replaced, which
    /// is of no consequence, since a blob's name says what is in it.
    pub(super) fn place(self, path: &Path) -> Result<(), StoreError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(StoreError::disk("create", parent))?;
        }
        // Not to be found empty under its final name after a power cut.
        let synced = self.file.sync_all();
        synced.map_err(StoreError::disk("write", &self.path))?;
        fs::rename(&self.path, path).map_err(StoreError::disk("create", path))
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        // Fails after a renaming, which is right.
        let _ = fs::remove_file(&self.path);
    }
}

/// Creates a file and locks it; `None` if another process took it for a leftover meanwhile.
fn create_locked(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().write(true).create_new(true).open(path)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        // A file system without locks: nobody can tell leftovers there, and they stay.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    Ok((file.metadata()?.nlink() > 0).then_some(file))
}

/// Removes what dead processes left in `directory`, and the directory if nothing is left.
pub(super) fn remove_leftovers(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let path = entry.path();
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
            && fs::remove_file(&path).is_ok()
        {
            tracing::debug!(path = %path.display(), "removed what a dead process left");
        }
    }
    let _ = fs::remove_dir(directory);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_goes_with_the_write_and_leftovers_with_the_next_process() {
        let temp = tempfile::tempdir().unwrap();
        let directory = temp.path().join("ingest");
        let mut ingest = Ingest::create(&directory).unwrap();
        ingest.append(b"abc").unwrap();
        fs::write(directory.join("mbuild-dead"), "half").unwrap();
        fs::write(directory.join("other"), "not ours").unwrap();
        remove_leftovers(&directory);
        assert!(!directory.join("mbuild-dead").exists());
        assert!(directory.join("other").exists());
        assert!(ingest.path.exists());
        let path = ingest.path.clone();
        drop(ingest);
        assert!(!path.exists());
        fs::remove_file(directory.join("other")).unwrap();
        remove_leftovers(&directory);
        assert!(!directory.exists());
    }

    #[test]
    fn a_restart_forgets_all() {
        let temp = tempfile::tempdir().unwrap();
        let mut ingest = Ingest::create(temp.path()).unwrap();
        ingest.append(b"abc").unwrap();
        ingest.restart().unwrap();
        ingest.append(b"de").unwrap();
        assert_eq!((ingest.offset(), ingest.digest()), (2, Digest::of(b"de")));
        let path = temp.path().join("a/b");
        ingest.place(&path).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"de");
    }
}
