//! [`Store`]: a repository or a layout, asked and told the same things.
//!
//! What is read has the digest that it was asked for by. Disks are worked on off the async
//! threads.

use std::io::{self, Read};

use super::error::StoreError;
use super::listed;
use super::place::{LayoutPlace, Place};
use crate::digest::Digest;
use crate::oci::Descriptor;
use crate::oci::layout::{Layout, LayoutError};
use crate::oci::names::EntryName;
use crate::registry::{At, Manifest, Registries, Repository};

/// The tag that a name without one means.
const DEFAULT_TAG: &str = "latest";

/// Where images are.
#[derive(Debug, Clone)]
pub enum Store {
    /// In a repository of a registry.
    Registry(Repository),
    /// In a layout on this machine.
    Layout(Layout),
}

impl Store {
    /// Opens what is there.
    pub async fn open(registries: &Registries, place: &Place) -> Result<Self, StoreError> {
        Ok(match place {
            Place::Image(image) => Self::Registry(registries.repository(image).await?),
            Place::Layout(layout) => {
                let dir = layout.dir.clone();
                Self::Layout(blocking(move || Layout::open(dir)).await?)
            }
        })
    }

    /// Opens what is there to be written to; a layout is made.
    pub async fn create(registries: &Registries, place: &Place) -> Result<Self, StoreError> {
        Ok(match place {
            Place::Image(image) => Self::Registry(registries.repository(image).await?),
            Place::Layout(layout) => {
                let dir = layout.dir.clone();
                Self::Layout(blocking(move || Layout::create(dir)).await?)
            }
        })
    }

    /// Reads what the place names; its digest counts before its tag.
    pub async fn find(&self, place: &Place) -> Result<Manifest, StoreError> {
        let found = match (self, place) {
            (Self::Registry(repository), Place::Image(image)) => {
                let at = match image.digest() {
                    Some(digest) => At::Digest(*digest),
                    None => At::Tag(image.tag().unwrap_or(DEFAULT_TAG)),
                };
                repository.get_manifest(at).await?
            }
            (Self::Layout(layout), Place::Layout(place)) => {
                Some(find_in_layout(layout, place).await?)
            }
            _ => None,
        };
        found.ok_or_else(|| StoreError::NotFound {
            name: place.to_string(),
        })
    }

    /// Reads a manifest or index by its digest.
    pub async fn manifest(&self, digest: Digest) -> Result<Manifest, StoreError> {
        match self {
            Self::Registry(repository) => {
                let found = repository.get_manifest(At::Digest(digest)).await?;
                found.ok_or_else(|| StoreError::NotFound {
                    name: format!("{repository}@{digest}"),
                })
            }
            Self::Layout(layout) => {
                let layout = layout.clone();
                blocking(move || read(&layout, &layout.find_digest(digest)?)).await
            }
        }
    }

    /// Whether a registry has a manifest and with it all that it refers to. A layout never has:
    /// an interrupted copy may have left a part.
    pub async fn has_whole(&self, digest: Digest) -> Result<bool, StoreError> {
        Ok(match self {
            Self::Registry(repository) => repository
                .head_manifest(At::Digest(digest))
                .await?
                .is_some(),
            Self::Layout(_) => false,
        })
    }

    /// Writes a manifest or index whose parts are there.
    pub async fn put_manifest(&self, manifest: &Manifest) -> Result<(), StoreError> {
        match self {
            Self::Registry(repository) => {
                let at = At::Digest(manifest.digest);
                Ok(repository.put_manifest(at, manifest).await?)
            }
            Self::Layout(layout) => {
                let (layout, bytes) = (layout.clone(), manifest.bytes.clone());
                blocking(move || layout.put_blob(&bytes).map(drop)).await
            }
        }
    }

    /// Reads what is under a tag; `None` when nothing is.
    pub async fn find_tag(&self, tag: &str) -> Result<Option<Manifest>, StoreError> {
        match self {
            Self::Registry(repository) => Ok(repository.get_manifest(At::Tag(tag)).await?),
            Self::Layout(layout) => {
                let (layout, tag) = (layout.clone(), tag.to_owned());
                blocking(move || match layout.find(&tag) {
                    Err(LayoutError::NotFound { .. }) => Ok(None),
                    found => read(&layout, &found?).map(Some),
                })
                .await
            }
        }
    }

    /// Puts a manifest, which is there, under a tag.
    pub async fn tag(&self, manifest: &Manifest, tag: &str) -> Result<(), StoreError> {
        match self {
            Self::Registry(repository) => {
                Ok(repository.put_manifest(At::Tag(tag), manifest).await?)
            }
            Self::Layout(layout) => {
                let (layout, descriptor) = (layout.clone(), manifest.descriptor());
                let name = EntryName::Tag(tag.to_owned());
                blocking(move || layout.tag(&descriptor, &name)).await
            }
        }
    }

    /// Lists what refers to a manifest by the means of the OCI specification.
    pub async fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, StoreError> {
        match self {
            Self::Registry(repository) => Ok(repository.referrers(subject).await?.list),
            Self::Layout(layout) => {
                let layout = layout.clone();
                blocking(move || listed::referrers(&layout, subject)).await
            }
        }
    }

    /// Makes manifests, which are there, known as referring to another one.
    pub async fn add_referrers(
        &self,
        subject: Digest,
        entries: &[Descriptor],
    ) -> Result<(), StoreError> {
        match self {
            Self::Registry(repository) => Ok(repository.add_referrers(subject, entries).await?),
            Self::Layout(layout) => {
                let (layout, entries) = (layout.clone(), entries.to_vec());
                blocking(move || listed::add_referrers(&layout, subject, &entries)).await
            }
        }
    }

    /// Reads a blob of at most `limit` bytes, such as a configuration or a statement.
    pub async fn blob(&self, blob: &Descriptor, limit: usize) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::Registry(repository) => Ok(repository.get_blob(blob, limit).await?),
            Self::Layout(layout) => {
                let (layout, blob) = (layout.clone(), blob.clone());
                blocking(move || read_blob(&layout, &blob, limit)).await
            }
        }
    }
}

async fn find_in_layout(layout: &Layout, place: &LayoutPlace) -> Result<Manifest, StoreError> {
    let (layout, place) = (layout.clone(), place.clone());
    blocking(move || {
        let descriptor = match (place.digest, &place.tag) {
            (Some(digest), _) => layout.find_digest(digest),
            (None, Some(tag)) => layout.find(tag),
            // The usual tag, or the one image that is there.
            (None, None) => layout.find(DEFAULT_TAG).or_else(|_| layout.only()),
        };
        read(&layout, &descriptor?)
    })
    .await
}

fn read(layout: &Layout, descriptor: &Descriptor) -> Result<Manifest, LayoutError> {
    let bytes = layout.read_manifest(descriptor)?;
    Ok(Manifest::new(&descriptor.media_type, bytes))
}

fn read_blob(layout: &Layout, blob: &Descriptor, limit: usize) -> Result<Vec<u8>, LayoutError> {
    let path = layout.blob_path(blob.digest);
    let failed = |source: io::Error| LayoutError::Io {
        action: "read",
        path: path.clone(),
        source,
    };
    if blob.size > limit as u64 {
        return Err(LayoutError::TooLarge {
            path: path.clone(),
            limit: limit as u64,
        });
    }
    let mut bytes = Vec::new();
    let file = layout.open_blob(blob)?;
    file.take(limit as u64)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match Digest::of(&bytes) == blob.digest {
        true => Ok(bytes),
        false => Err(LayoutError::Altered {
            dir: layout.dir().to_owned(),
            digest: blob.digest,
        }),
    }
}

/// Runs work on a disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LayoutError> + Send + 'static,
) -> Result<T, StoreError> {
    Ok(tokio::task::spawn_blocking(work).await??)
}
