//! Files of a layout, written aside and renamed: [`BlobWriter`] and `replace`.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use super::{Layout, LayoutError};
use crate::digest::{Digest, Hasher};

/// What the names of files start with while they are written.
const PREFIX: &str = ".mbuild-blob-";

/// A blob that is being written; dropped before it is committed, it leaves nothing.
pub struct BlobWriter {
    layout: Layout,
    file: NamedTempFile,
    hasher: Hasher,
    size: u64,
}

impl BlobWriter {
    pub(super) fn create(layout: &Layout) -> Result<Self, LayoutError> {
        Ok(Self {
            layout: layout.clone(),
            file: aside(layout.dir())?,
            hasher: Hasher::new(),
            size: 0,
        })
    }

    /// How many bytes were written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Puts the blob into its place if it is what was announced.
    ///
    /// # Errors
    ///
    /// When it has another digest or size, or the disk fails.
    pub fn commit(self, digest: Digest, size: u64) -> Result<(), LayoutError> {
        if self.size != size || self.hasher.finish() != digest {
            return Err(LayoutError::Mismatch { digest });
        }
        place(self.file, &self.layout.blob_path(digest))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file whole or not at all, by way of `dir`.
pub(super) fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> Result<(), LayoutError> {
    let mut file = aside(dir)?;
    file.write_all(bytes)
        .map_err(LayoutError::io("write", path))?;
    place(file, path)
}

fn aside(dir: &Path) -> Result<NamedTempFile, LayoutError> {
    tempfile::Builder::new()
        .prefix(PREFIX)
        // As any file the user makes: the umask takes away from this.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)
        // The temporary name in its own message helps nobody.
        .map_err(|error| LayoutError::io("write in", dir)(error.kind().into()))
}

fn place(file: NamedTempFile, path: &Path) -> Result<(), LayoutError> {
    let failed = LayoutError::io("write", path);
    file.as_file().sync_all().map_err(&failed)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(LayoutError::io("create", parent))?;
    }
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
