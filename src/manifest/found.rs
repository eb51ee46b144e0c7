//! Looks sources up: [`find`] reads each one's manifest and, of a single image, its platform;
//! [`attestations`] finds what attests images that stand alone.

use futures_util::future::try_join_all;

use super::error::StoreError;
use super::source::Located;
use super::store::Store;
use crate::digest::Digest;
use crate::oci::{
    ATTESTATION, Descriptor, Index, ParseError, REFERENCE_DIGEST, REFERENCE_TYPE, config_platform,
    manifest_parts, media_type,
};
use crate::platform::Platform;
use crate::registry::{Manifest, Registries};

/// The largest image configuration that is read, in bytes.
pub(super) const CONFIG_LIMIT: usize = 4 << 20;
/// What BuildKit calls its attestation manifests where they are artifacts.
const ATTESTATION_TYPE: &str = "application/vnd.docker.attestation.manifest.v1+json";

/// A source that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it is called in messages.
    pub label: String,
    /// Where it is.
    pub store: Store,
    /// The store's name.
    pub store_name: String,
    /// Its manifest or index.
    pub manifest: Manifest,
    /// Points to it; has a platform if it is an image that says so.
    pub descriptor: Descriptor,
    /// What it lists; `None` when it is a manifest.
    pub index: Option<Index>,
}

/// Why a source cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Its store fails, or it is not there.
    #[error("source {label}")]
    Store {
        /// The source.
        label: String,
        /// Why.
        source: StoreError,
    },
    /// It has another size than its descriptor says.
    #[error("source {label} has {found} bytes and not {wanted}, as its descriptor says")]
    Size {
        /// The source.
        label: String,
        /// Its size.
        found: u64,
        /// The descriptor's.
        wanted: u64,
    },
    /// Its index cannot be read.
    #[error("source {label} cannot be read")]
    Index {
        /// The source.
        label: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// It is neither an image nor an index.
    #[error("source {label} is of type {media_type}, which is neither an image nor an index")]
    Type {
        /// The source.
        label: String,
        /// What it is.
        media_type: String,
    },
}

/// Looks all sources up, at once; the result has their order.
pub async fn find(registries: &Registries, sources: &[Located]) -> Result<Vec<Found>, FindError> {
    try_join_all(sources.iter().map(|source| find_one(registries, source))).await
}

async fn find_one(registries: &Registries, source: &Located) -> Result<Found, FindError> {
    let label = || source.label.clone();
    let failed = |error| FindError::Store {
        label: label(),
        source: error,
    };
    let store = Store::open(registries, &source.place)
        .await
        .map_err(failed)?;
    let manifest = store.find(&source.place).await.map_err(failed)?;
    let descriptor = describe(source, &manifest)?;
    let mut found = Found {
        label: label(),
        store,
        store_name: source.place.store(),
        index: None,
        descriptor,
        manifest,
    };
    if media_type::is_index(&found.manifest.media_type) {
        let index = Index::parse(&found.manifest.bytes).map_err(|error| FindError::Index {
            label: label(),
            source: error,
        })?;
        found.index = Some(index);
    } else if !media_type::is_manifest(&found.manifest.media_type) {
        return Err(FindError::Type {
            label: label(),
            media_type: found.manifest.media_type,
        });
    } else if found.descriptor.known_platform().is_none() {
        let platform = platform(&found.store, &found.manifest)
            .await
            .map_err(failed)?;
        found.descriptor.platform = platform.map(Into::into);
    }
    Ok(found)
}

/// Puts what the user's descriptor says over what was found.
fn describe(source: &Located, manifest: &Manifest) -> Result<Descriptor, FindError> {
    let mut descriptor = manifest.descriptor();
    let Some(given) = &source.descriptor else {
        return Ok(descriptor);
    };
    if given.size != 0 && given.size != descriptor.size {
        return Err(FindError::Size {
            label: source.label.clone(),
            found: descriptor.size,
            wanted: given.size,
        });
    }
    descriptor.annotations.clone_from(&given.annotations);
    descriptor.platform.clone_from(&given.platform);
    descriptor.artifact_type.clone_from(&given.artifact_type);
    descriptor.extra.clone_from(&given.extra);
    Ok(descriptor)
}

/// The platform that an image's configuration names; `None` when it names none.
async fn platform(store: &Store, manifest: &Manifest) -> Result<Option<Platform>, StoreError> {
    let parts = manifest_parts(&manifest.bytes).unwrap_or_default();
    let Some(config) = parts.first() else {
        return Ok(None);
    };
    let bytes = store.blob(config, CONFIG_LIMIT).await?;
    Ok(config_platform(&bytes)
        .ok()
        .map(|platform| platform.normalized()))
}

/// Finds what attests the images that have no attestation beside them, as an index lists it;
/// with the position of the source that has it.
///
/// A registry that cannot tell is no reason to fail, since most images have none: the second
/// list says so.
pub async fn attestations(found: &[Found]) -> (Vec<(usize, Descriptor)>, Vec<FindError>) {
    let attested: Vec<Digest> = found
        .iter()
        .flat_map(|found| found.entries())
        .filter_map(Descriptor::attests)
        .collect();
    let (mut entries, mut failures) = (Vec::new(), Vec::new());
    for (position, source) in found.iter().enumerate() {
        for image in source.entries() {
            if image.attests().is_some() || attested.contains(&image.digest) {
                continue;
            }
            match attestation(&source.store, image.digest).await {
                Ok(entry) => entries.extend(entry.map(|entry| (position, entry))),
                Err(error) => failures.push(FindError::Store {
                    label: source.label.clone(),
                    source: error,
                }),
            }
        }
    }
    (entries, failures)
}

/// Finds the manifest that attests an image, among what refers to it.
pub(super) async fn attestation(
    store: &Store,
    image: Digest,
) -> Result<Option<Descriptor>, StoreError> {
    let list = store.referrers(image).await?;
    let mut found = list
        .into_iter()
        .filter(|entry| entry.artifact_type.as_deref() == Some(ATTESTATION_TYPE));
    Ok(found.next().map(|entry| {
        let mut listed = Descriptor::new(&entry.media_type, entry.digest, entry.size)
            .with_platform(Platform::new("unknown", "unknown"));
        let notes = [
            (REFERENCE_TYPE, ATTESTATION.to_owned()),
            (REFERENCE_DIGEST, image.to_string()),
        ];
        for (key, value) in notes {
            listed.annotations.insert(key.to_owned(), value);
        }
        listed
    }))
}

impl Found {
    /// What an index that takes it in will list.
    pub fn entries(&self) -> &[Descriptor] {
        match &self.index {
            Some(index) => &index.manifests,
            None => std::slice::from_ref(&self.descriptor),
        }
    }
}

impl FindError {
    /// Whether the source itself is at fault and not the way to it.
    pub fn is_about_content(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.is_about_content(),
            _ => true,
        }
    }

    /// What the user can do about it, in one line, if we know.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Store { source, .. } => source.advice(),
            _ => None,
        }
    }
}
