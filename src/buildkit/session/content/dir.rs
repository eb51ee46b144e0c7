//! [`DirStore`]: the blobs of an OCI layout on disk, `blobs/<algorithm>/<hex>`.
//!
//! Knows digests, not manifests or tags. What is written appears under its digest only after it
//! was found to have it. Everything here blocks on the disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::time::SystemTime;

use super::error::StoreError;
use super::writer::Slot;
use crate::digest::Digest;

/// A directory of blobs; shared by all sessions of a run that use it.
#[derive(Debug)]
pub struct DirStore {
    pub(super) blobs: PathBuf,
    /// Where blobs are while they are written; `None` if they are only read.
    pub(super) ingest: Option<PathBuf>,
    pub(super) cleaned: Once,
    pub(super) writes: Mutex<BTreeMap<String, Slot>>,
    pub(super) failure: OnceLock<String>,
    /// What was written, or was there already when it was to be, in this order.
    pub(super) offered: Mutex<Vec<Digest>>,
}

/// A blob that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, as far as the file system knows.
    pub modified: Option<SystemTime>,
}

impl DirStore {
    /// A store in a layout's directory of blobs, which need not exist, to be read only.
    pub fn read_only(blobs: impl Into<PathBuf>) -> Self {
        Self {
            blobs: blobs.into(),
            ingest: None,
            cleaned: Once::new(),
            writes: Mutex::default(),
            failure: OnceLock::new(),
            offered: Mutex::default(),
        }
    }

    /// A store in a layout's directory of blobs that is written to as well. Directories are made
    /// when something is written; while it is, it lies in `ingest` beside `blobs`.
    pub fn read_write(blobs: impl Into<PathBuf>) -> Self {
        let mut store = Self::read_only(blobs);
        store.ingest = Some(store.blobs.with_file_name("ingest"));
        store
    }

    /// Where the blob is, or would be.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.blobs.join("sha256").join(digest.hex())
    }

    /// What is known of a blob.
    ///
    /// # Errors
    ///
    /// When there is none, or the disk fails.
    pub fn info(&self, digest: Digest) -> Result<Blob, StoreError> {
        let path = self.path(digest);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata,
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::disk("read", &path)(error));
            }
            _ => return Err(StoreError::NotFound(digest)),
        };
        Ok(Blob {
            digest,
            size: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }

    /// Opens a blob. Its bytes are as they are on disk: whoever gets them checks the digest.
    ///
    /// # Errors
    ///
    /// When there is none, or the disk fails.
    pub fn open(&self, digest: Digest) -> Result<(File, Blob), StoreError> {
        let blob = self.info(digest)?;
        let path = self.path(digest);
        let file = File::open(&path).map_err(StoreError::disk("open", &path))?;
        Ok((file, blob))
    }

    /// The blobs that daemons wrote, or wanted to write and found here, in this order. All of
    /// them are here.
    pub fn offered(&self) -> Vec<Digest> {
        let offered = self.offered.lock();
        offered.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why something could not be written here; `None` if all could. The first failure of the
    /// disk is kept, since a daemon tells of it as if it were the build's.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}

impl Drop for DirStore {
    fn drop(&mut self) {
        let writes = self.writes.get_mut();
        writes.unwrap_or_else(PoisonError::into_inner).clear();
        if let Some(directory) = &self.ingest {
            // Fails while another store writes there, which is right.
            let _ = fs::remove_dir(directory);
        }
    }
}
