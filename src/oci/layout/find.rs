//! What is in a layout: found by name or digest, and checked when it is read.

use std::fs::{self, File};
use std::io;

use serde::Deserialize;

use super::{Layout, LayoutError, MANIFEST_LIMIT, read};
use crate::digest::Digest;
use crate::oci::{Descriptor, media_type, names};

impl Layout {
    /// Finds what a tag, an image's name or a digest stands for. A digest need not be listed:
    /// anything that is there is found.
    ///
    /// # Errors
    ///
    /// When there is nothing of that name, naming those that are there; when what has the digest
    /// is not as it should be.
    pub fn find(&self, name: &str) -> Result<Descriptor, LayoutError> {
        if let Ok(digest) = name.parse() {
            return self.find_digest(digest);
        }
        let index = self.index()?;
        let found = names::find(&index, name).cloned();
        found.ok_or_else(|| LayoutError::NotFound {
            dir: self.dir.clone(),
            name: name.to_owned(),
            names: names::listed(&index)
                .into_iter()
                .map(str::to_owned)
                .collect(),
        })
    }

    /// Finds a manifest or index by its digest, listed or not.
    ///
    /// # Errors
    ///
    /// When it is not there, or its content is not what the digest says.
    pub fn find_digest(&self, digest: Digest) -> Result<Descriptor, LayoutError> {
        let listed = self.index()?.manifests;
        if let Some(entry) = listed.into_iter().find(|entry| entry.digest == digest) {
            return Ok(entry);
        }
        let bytes = self.read_checked(digest, None)?;
        let media_type = sniff(&bytes).ok_or(LayoutError::NoManifest {
            dir: self.dir.clone(),
            digest,
        })?;
        Ok(Descriptor::new(&media_type, digest, bytes.len() as u64))
    }

    /// Finds the only thing that is listed; several entries of one digest count as one.
    ///
    /// # Errors
    ///
    /// When nothing is listed, or different things are, naming them.
    pub fn only(&self) -> Result<Descriptor, LayoutError> {
        let index = self.index()?;
        match index.manifests.split_first() {
            Some((first, rest)) if rest.iter().all(|other| other.digest == first.digest) => {
                Ok(names::unnamed(first))
            }
            _ => Err(LayoutError::NotOne {
                dir: self.dir.clone(),
                names: names::listed(&index)
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
            }),
        }
    }

    /// Reads a manifest, an index or a configuration.
    ///
    /// # Errors
    ///
    /// When it is missing, larger than [`MANIFEST_LIMIT`], or not of this size and digest.
    pub fn read_manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        self.read_checked(descriptor.digest, Some(descriptor.size))
    }

    fn read_checked(&self, digest: Digest, size: Option<u64>) -> Result<Vec<u8>, LayoutError> {
        let bytes = match read(&self.blob_path(digest), MANIFEST_LIMIT) {
            Err(LayoutError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(self.missing(digest));
            }
            bytes => bytes?,
        };
        let sized = size.is_none_or(|size| size == bytes.len() as u64);
        match sized && Digest::of(&bytes) == digest {
            true => Ok(bytes),
            false => Err(self.altered(digest)),
        }
    }

    /// Opens a blob whose size is as its descriptor says; the digest is for the reader to check.
    ///
    /// # Errors
    ///
    /// When it is missing or of another size.
    pub fn open_blob(&self, descriptor: &Descriptor) -> Result<File, LayoutError> {
        let path = self.blob_path(descriptor.digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.missing(descriptor.digest));
            }
            file => file.map_err(LayoutError::io("open", &path))?,
        };
        let metadata = file.metadata().map_err(LayoutError::io("read", &path))?;
        match metadata.is_file() && metadata.len() == descriptor.size {
            true => Ok(file),
            false => Err(self.altered(descriptor.digest)),
        }
    }

    /// Whether a blob of this digest and size is there; its content is not looked at.
    pub fn has(&self, descriptor: &Descriptor) -> bool {
        fs::metadata(self.blob_path(descriptor.digest))
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == descriptor.size)
    }

    fn missing(&self, digest: Digest) -> LayoutError {
        LayoutError::Missing {
            dir: self.dir.clone(),
            digest,
        }
    }

    fn altered(&self, digest: Digest) -> LayoutError {
        LayoutError::Altered {
            dir: self.dir.clone(),
            digest,
        }
    }
}

/// The media type of a manifest or an index, which old ones leave out; `None` for other things.
pub(super) fn sniff(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        #[serde(default)]
        media_type: String,
        manifests: Option<serde::de::IgnoredAny>,
        config: Option<serde::de::IgnoredAny>,
        layers: Option<serde::de::IgnoredAny>,
    }
    let document: Document = serde_json::from_slice(bytes).ok()?;
    let inferred = match (&document.manifests, &document.config, &document.layers) {
        (Some(_), ..) => media_type::INDEX,
        (None, Some(_), Some(_)) => media_type::MANIFEST,
        _ => return None,
    };
    Some(match document.media_type {
        stated if stated.is_empty() => inferred.to_owned(),
        stated => stated,
    })
}
