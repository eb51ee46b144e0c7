//! [`Layout`]: an OCI image layout in a directory, read with checks and changed atomically.
//!
//! What others wrote is not trusted: versions, sizes and digests are checked whenever something
//! is read. Everything here blocks on the disk. Archives of layouts are `archive`'s concern.

mod blob;
mod error;
mod find;
mod lock;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::names::{self, EntryName};
use super::{Descriptor, Index, media_type};
use crate::digest::Digest;

pub use blob::BlobWriter;
pub use error::LayoutError;

/// The file that makes a directory a layout.
pub const LAYOUT_FILE: &str = "oci-layout";
/// What that file says.
pub const LAYOUT_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The only version there is.
const VERSION: &str = "1.0.0";
/// The list of what a layout holds.
pub const INDEX_FILE: &str = "index.json";
/// The largest layout file that is read, in bytes; it holds one short member.
const LAYOUT_LIMIT: u64 = 4 << 10;
/// The largest `index.json` that is read, in bytes: layouts of whole mirrors have some.
const INDEX_LIMIT: u64 = 64 << 20;
/// The largest manifest, index or configuration that is read, in bytes; registries take 4 MiB.
pub const MANIFEST_LIMIT: u64 = 4 << 20;

/// An OCI image layout in a directory.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Opens the layout that is in `dir`.
    ///
    /// # Errors
    ///
    /// When there is none, or one of another version than 1.0.0.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, LayoutError> {
        let dir = dir.into();
        let file = dir.join(LAYOUT_FILE);
        let bytes = match read(&file, LAYOUT_LIMIT) {
            Err(LayoutError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(LayoutError::NoLayout(dir));
            }
            bytes => bytes?,
        };
        check_version(&bytes).map_err(|version| LayoutError::Version { file, version })?;
        Ok(Self { dir })
    }

    /// Opens the layout that is in `dir`, or makes an empty one there; directories above are
    /// made.
    ///
    /// # Errors
    ///
    /// When there is one of another version, or the disk fails.
    pub fn create(dir: impl Into<PathBuf>) -> Result<Self, LayoutError> {
        let dir = dir.into();
        match Self::open(&dir) {
            Err(LayoutError::NoLayout(_)) => {}
            opened => return opened,
        }
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(LayoutError::io("create", &blobs))?;
        let layout = Self { dir };
        let index = layout.dir.join(INDEX_FILE);
        if !index.exists() {
            blob::replace(&layout.dir, &index, &empty().to_bytes())?;
        }
        // Last, since it says that the rest is there.
        let file = layout.dir.join(LAYOUT_FILE);
        blob::replace(&layout.dir, &file, LAYOUT_TEXT.as_bytes())?;
        Ok(layout)
    }

    /// The layout's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where a blob of this digest is, or would be.
    pub fn blob_path(&self, digest: Digest) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// Reads `index.json`.
    ///
    /// # Errors
    ///
    /// When it is missing, too large, or no index.
    pub fn index(&self) -> Result<Index, LayoutError> {
        let file = self.dir.join(INDEX_FILE);
        let bytes = read(&file, INDEX_LIMIT)?;
        Index::parse(&bytes).map_err(|source| LayoutError::Index { file, source })
    }

    /// Writes a blob whole or not at all; one that is there stays as it is.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, LayoutError> {
        let digest = Digest::of(bytes);
        let path = self.blob_path(digest);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == bytes.len() as u64) {
            return Ok(digest);
        }
        blob::replace(&self.dir, &path, bytes)?;
        Ok(digest)
    }

    /// Begins to write a blob piece by piece; it is nowhere to be seen until it is committed.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn blob_writer(&self) -> Result<BlobWriter, LayoutError> {
        BlobWriter::create(self)
    }

    /// Lists a descriptor under a name, instead of what had the name before. Others may do the
    /// same at the same time: programs that heed `index.json.lock` wait for each other.
    ///
    /// # Errors
    ///
    /// When the index cannot be read or written, or somebody holds it for too long.
    pub fn tag(&self, descriptor: &Descriptor, name: &EntryName) -> Result<(), LayoutError> {
        self.update(|index| names::put(index, descriptor, name))
    }

    /// Changes `index.json` while nobody else does; one that is missing begins empty.
    ///
    /// # Errors
    ///
    /// As [`Layout::tag`].
    pub fn update(&self, change: impl FnOnce(&mut Index)) -> Result<(), LayoutError> {
        let _lock = lock::IndexLock::take(&self.dir)?;
        let mut index = match self.index() {
            Err(LayoutError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                empty()
            }
            index => index?,
        };
        change(&mut index);
        blob::replace(&self.dir, &self.dir.join(INDEX_FILE), &index.to_bytes())
    }
}

/// Checks what a layout's version file says; the error is what it says instead.
pub(super) fn check_version(bytes: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct LayoutFile {
        image_layout_version: String,
    }
    match serde_json::from_slice::<LayoutFile>(bytes) {
        Ok(file) if file.image_layout_version == VERSION => Ok(()),
        Ok(file) => Err(format!(
            "version {}",
            file.image_layout_version.escape_debug()
        )),
        Err(_) => Err("something else than a version".to_owned()),
    }
}

fn empty() -> Index {
    Index::new(media_type::INDEX, Vec::new())
}

/// Reads a file that is not larger than `limit`.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, LayoutError> {
    let failed = LayoutError::io("read", path);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    match bytes.len() as u64 > limit {
        true => Err(LayoutError::TooLarge {
            path: path.to_owned(),
            limit,
        }),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests;
