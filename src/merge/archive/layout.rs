//! [`LayoutStage`]: where archives are received for a layout directory, and how an image gets
//! from there into the directory.
//!
//! Blobs that the layout has stay as they are, so do images under other names. New blobs are
//! renamed into place, and `index.json` comes last.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Image;
use crate::digest::{Digest, Hasher};
use crate::merge::error::{MergeError, StageError};
use crate::merge::stage::Stage;
use crate::oci::layout::{LAYOUT_FILE, Layout};
use crate::oci::names;
use crate::receive::FileSink;

/// A place to receive archives for a layout directory.
#[derive(Debug)]
pub struct LayoutStage {
    stage: Stage,
}

/// An image whose new blobs lie beside the layout they belong to.
#[derive(Debug)]
pub struct CheckedLayout {
    /// What becomes of the image.
    pub image: Image,
    new: Vec<(Digest, PathBuf)>,
}

impl LayoutStage {
    /// Prepares for a layout in `dest`, which is made if need be.
    ///
    /// # Errors
    ///
    /// When `dest` is something else than a directory, cannot be written to, or holds a layout
    /// of another version.
    pub fn create(dest: &Path) -> Result<Self, StageError> {
        let stage = Stage::create(dest)?;
        if stage.dest().join(LAYOUT_FILE).exists() {
            Layout::open(stage.dest()).map_err(StageError::Layout)?;
        }
        Ok(Self { stage })
    }

    /// Makes an empty file to receive one archive into.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn attempt(&self) -> Result<Arc<FileSink>, StageError> {
        self.stage.file()
    }

    /// Checks an image, and writes the blobs beside the layout that it lacks or has damaged.
    ///
    /// # Errors
    ///
    /// When a blob is not what it should be, or the disk fails.
    pub fn check(&self, image: Image) -> Result<CheckedLayout, MergeError> {
        let blobs = self.stage.dest().join("blobs/sha256");
        let mut new = Vec::new();
        for (digest, blob) in &image.blobs {
            if holds(&blobs.join(digest.hex()), *digest, blob.size()) {
                continue;
            }
            let path = self.stage.path().join(digest.hex());
            let failed = |source| MergeError::File {
                path: path.clone(),
                source,
            };
            let file = File::create_new(&path).map_err(failed)?;
            let mut out = BufWriter::with_capacity(256 << 10, &file);
            image
                .copy(blob, &mut out)
                .map_err(|error| error.of_writing(&path))?;
            out.into_inner()
                .map_err(|error| failed(error.into_error()))?;
            file.sync_all().map_err(failed)?;
            new.push((*digest, path));
        }
        Ok(CheckedLayout { image, new })
    }

    /// Moves the new blobs into the layout, which is made if there is none, and lists the image.
    ///
    /// # Errors
    ///
    /// When the disk fails; then what was moved is taken away again, and nothing is listed.
    pub fn commit(self, checked: &CheckedLayout) -> Result<(), MergeError> {
        let mut moved = Vec::new();
        let placed = self.place(checked, &mut moved);
        match placed {
            Ok(()) => self.stage.keep_dest(),
            Err(_) => {
                for path in moved {
                    // Best effort: the failure that is reported has most likely the same cause.
                    let _ = fs::remove_file(path);
                }
            }
        }
        placed
    }

    fn place(&self, checked: &CheckedLayout, moved: &mut Vec<PathBuf>) -> Result<(), MergeError> {
        let layout = Layout::create(self.stage.dest()).map_err(MergeError::Layout)?;
        for (digest, from) in &checked.new {
            let to = layout.blob_path(*digest);
            fs::rename(from, &to).map_err(|source| MergeError::File {
                path: to.clone(),
                source,
            })?;
            moved.push(to);
        }
        let entries = &checked.image.index.manifests;
        let list = layout.update(|index| {
            for entry in entries {
                names::put_entry(index, entry);
            }
        });
        list.map_err(MergeError::Layout)
    }
}

/// Whether a file is this blob.
fn holds(path: &Path, digest: Digest, size: u64) -> bool {
    let content = || {
        let mut file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.len() != size {
            return None;
        }
        let mut hasher = Hasher::new();
        std::io::copy(&mut file, &mut hasher).ok()?;
        Some(hasher.finish())
    };
    content() == Some(digest)
}
