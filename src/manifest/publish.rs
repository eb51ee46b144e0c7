//! Publishes what was made: [`publish`] brings its parts to every target, then writes the root
//! by digest everywhere, then moves the names.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::copy::{Copier, Referring, Tally};
use super::error::{CopyError, StoreError};
use super::found::Found;
use super::made::Made;
use super::place::{LayoutPlace, Place};
use super::store::Store;
use crate::digest::Digest;
use crate::merge::registry::{Publication, PublishError, Published, Report, publish_root, step};
use crate::oci::Descriptor;
use crate::reference::ImageRef;
use crate::registry::{Manifest, Registries};

/// The tag that a name without one means.
const DEFAULT_TAG: &str = "latest";

/// What has been published.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The names that point to it now.
    pub moved: Vec<String>,
    /// The names that could not be moved, and why.
    pub unmoved: Vec<(String, StoreError)>,
    /// How much was copied.
    pub tally: Tally,
    /// What refers to an image and could not be copied.
    pub warnings: Vec<CopyError>,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A target is named by the digest of another image.
    #[error("target {target} is for another image: this one is {digest}")]
    Digest {
        /// The target.
        target: String,
        /// The image's digest.
        digest: Digest,
    },
    /// A target cannot be opened.
    #[error("nothing was published: target {target}")]
    Open {
        /// The target.
        target: String,
        /// Why.
        source: StoreError,
    },
    /// Its parts could not be copied.
    #[error("nothing was published: to {target}")]
    Copy {
        /// The target.
        target: String,
        /// Why.
        source: CopyError,
    },
    /// It could not be written by its digest.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// It could not be written into a layout.
    #[error("nothing was published: {digest}")]
    Layout {
        /// The image's digest.
        digest: Digest,
        /// Why.
        source: StoreError,
    },
}

/// Refuses targets whose digest is not the image's.
pub fn check_targets(targets: &[Place], digest: Digest) -> Result<(), TargetError> {
    let other = |place: &&Place| place.digest().is_some_and(|named| named != digest);
    match targets.iter().find(other) {
        None => Ok(()),
        Some(target) => Err(TargetError::Digest {
            target: target.to_string(),
            digest,
        }),
    }
}

/// Publishes an image made of sources in every target.
pub async fn publish(
    registries: &Registries,
    targets: &[Place],
    found: &[Found],
    made: &Made,
    report: Report<'_>,
) -> Result<Outcome, TargetError> {
    check_targets(targets, made.manifest.digest)?;
    let stores = open(registries, targets).await?;
    let copies = stores
        .iter()
        .map(|(name, store)| bring((name, store), found, made, report));
    let mut outcome = Outcome::default();
    for (tally, warnings) in try_join_all(copies).await?.into_iter().flatten() {
        outcome.tally = outcome.tally.plus(tally);
        outcome.warnings.extend(warnings);
    }
    name(
        registries,
        targets,
        &stores,
        &made.manifest,
        report,
        outcome,
    )
    .await
}

/// Copies an image, as it is, with what refers to it, to one target.
pub async fn copy(
    registries: &Registries,
    (from, manifest): (&Store, &Manifest),
    target: &Place,
    referring: Referring,
    report: Report<'_>,
) -> Result<Outcome, TargetError> {
    let targets = std::slice::from_ref(target);
    check_targets(targets, manifest.digest)?;
    let stores = open(registries, targets).await?;
    let mut outcome = Outcome::default();
    for (name, to) in &stores {
        let copier = Copier::new(from, to, referring, report);
        let copied = copier.copy(&manifest.descriptor()).await;
        copied.map_err(|source| TargetError::Copy {
            target: name.clone(),
            source,
        })?;
        outcome.tally = outcome.tally.plus(copier.tally());
        outcome.warnings.extend(copier.warnings());
    }
    name(registries, targets, &stores, manifest, report, outcome).await
}

/// Opens each target's store, once.
async fn open(
    registries: &Registries,
    targets: &[Place],
) -> Result<Vec<(String, Store)>, TargetError> {
    let mut stores: Vec<(String, Store)> = Vec::new();
    for target in targets {
        let name = target.store();
        if stores.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let store = Store::create(registries, target).await;
        let store = store.map_err(|source| TargetError::Open {
            target: target.to_string(),
            source,
        })?;
        stores.push((name, store));
    }
    Ok(stores)
}

/// Brings what was made, but for its root, to one store.
async fn bring(
    (name, to): (&String, &Store),
    found: &[Found],
    made: &Made,
    report: Report<'_>,
) -> Result<Vec<(Tally, Vec<CopyError>)>, TargetError> {
    let mut origins: BTreeMap<usize, Vec<&Descriptor>> = BTreeMap::new();
    for (entry, origin) in &made.entries {
        origins.entry(*origin).or_default().push(entry);
    }
    let mut all = Vec::new();
    for (origin, entries) in origins {
        let source = &found[origin];
        // What refers to an image in the same repository is there already.
        let referring = match source.store_name == *name {
            true => Referring::Left,
            false => Referring::CopiedIfPossible,
        };
        let copier = Copier::new(&source.store, to, referring, report);
        for entry in entries {
            let copied = copier.copy(entry).await;
            copied.map_err(|error| TargetError::Copy {
                target: name.clone(),
                source: error,
            })?;
        }
        all.push((copier.tally(), copier.warnings()));
    }
    Ok(all)
}

/// Writes the root by digest everywhere, then moves the names; layouts come last, since a
/// registry is likelier to fail.
async fn name(
    registries: &Registries,
    targets: &[Place],
    stores: &[(String, Store)],
    manifest: &Manifest,
    report: Report<'_>,
    mut outcome: Outcome,
) -> Result<Outcome, TargetError> {
    let digest = manifest.digest;
    for (_, store) in stores {
        if let Store::Layout(_) = store {
            let put = store.put_manifest(manifest).await;
            put.map_err(|source| TargetError::Layout { digest, source })?;
        }
    }
    let mut images: Vec<ImageRef> = Vec::new();
    let mut layouts: Vec<&LayoutPlace> = Vec::new();
    for target in targets {
        match target {
            Place::Image(image) => images.push(image.clone()),
            Place::Layout(layout) => layouts.push(layout),
        }
    }
    if !images.is_empty() {
        let published = publish_images(registries, &images, manifest, report).await?;
        outcome.moved = published.moved.iter().map(ToString::to_string).collect();
        let unmoved = published.unmoved.into_iter();
        outcome.unmoved = unmoved
            .map(|(name, error)| (name.to_string(), error.into()))
            .collect();
        outcome.moved.extend(by_digest(&images));
    }
    for layout in layouts {
        let place = Place::Layout(layout.clone());
        let tag = layout.tag.as_deref().unwrap_or(DEFAULT_TAG);
        let Some((_, store)) = stores.iter().find(|(name, _)| *name == place.store()) else {
            continue;
        };
        let step_name = format!("tagging {place}");
        match step(report, &step_name, store.tag(manifest, tag)).await {
            Ok(()) => outcome.moved.push(place.to_string()),
            Err(error) => outcome.unmoved.push((place.to_string(), error)),
        }
    }
    Ok(outcome)
}

async fn publish_images(
    registries: &Registries,
    images: &[ImageRef],
    manifest: &Manifest,
    report: Report<'_>,
) -> Result<Published, PublishError> {
    let tags: Vec<ImageRef> = images
        .iter()
        .filter(|image| image.digest().is_none())
        .cloned()
        .collect();
    let publication = Publication {
        repositories: images,
        tags: &tags,
        index_annotations: &BTreeMap::new(),
        descriptor_annotations: &[],
    };
    publish_root(
        registries,
        &publication,
        manifest.clone(),
        Vec::new(),
        report,
    )
    .await
}

/// The names that are digests: nothing had to be moved for them.
fn by_digest(images: &[ImageRef]) -> impl Iterator<Item = String> {
    let named = images.iter().filter(|image| image.digest().is_some());
    named.map(ToString::to_string)
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            manifests: self.manifests + other.manifests,
            blobs: self.blobs + other.blobs,
            bytes: self.bytes + other.bytes,
            present: self.present + other.present,
        }
    }
}

impl TargetError {
    /// Whether a name or a source is at fault and not the way to it.
    pub fn is_about_content(&self) -> bool {
        matches!(self, Self::Digest { .. })
    }

    /// What the user can do about it, in one line, if we know.
    pub fn advice(&self) -> Option<String> {
        match self {
            Self::Digest { .. } => None,
            Self::Open { source, .. } | Self::Layout { source, .. } => source.advice(),
            Self::Copy { source, .. } => source.advice(),
            Self::Publish(error) => error.advice(),
        }
    }
}
