//! Publishes what the daemons pushed by digest: one index under every tag, or the one
//! manifest when there is only one.
//!
//! [`publish`] is the table of contents. No tag moves before every image is known to be in
//! every repository; a tag that cannot be written does not keep the others from moving, and
//! nothing is rolled back (a rollback could fail just as well, and would surprise who has
//! pulled already).
//!
//! What costs a wait is a round trip, so nothing is asked twice, and all that does not depend on
//! each other is asked at once. An image that was built before stands under its tags already:
//! then looking is all, as with containerd's pushes.

mod error;
mod found;
mod naming;
mod pushed;
mod root;
mod targets;

use std::collections::BTreeMap;

use futures_util::future::{FutureExt, join_all, try_join};
use tokio::sync::Mutex;

use crate::event::ClientStep;
use crate::oci::{Descriptor, Index, media_type};
use crate::reference::ImageRef;
use crate::registry::{Manifest, Registries, RegistryError, Repository};
use crate::unit::DescriptorAnnotation;

pub use error::{PublishError, PushedError};
pub use pushed::Pushed;
use targets::Standing;
pub use targets::check_push;

/// Where steps are reported: each one when it begins and when it ends.
pub type Report<'a> = &'a (dyn Fn(ClientStep) + Send + Sync);

/// What is to be published, and where.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The repositories that the daemons were told to push to.
    pub repositories: &'a [ImageRef],
    /// The names to move, in the order in which they are moved.
    pub tags: &'a [ImageRef],
    /// Annotations of the index itself.
    pub index_annotations: &'a BTreeMap<String, String>,
    /// Annotations of its entries.
    pub descriptor_annotations: &'a [DescriptorAnnotation],
}

/// What has been published.
#[derive(Debug)]
pub struct Published {
    /// Points to what the tags point to.
    pub root: Descriptor,
    /// The images and attestations below it; the root itself when it is a manifest.
    pub entries: Vec<Descriptor>,
    /// The repositories that hold it, without tags: `registry.example/app`.
    pub repositories: Vec<String>,
    /// What is not quite as it should be.
    pub warnings: Vec<String>,
    /// The names that point to it now.
    pub moved: Vec<ImageRef>,
    /// The names that could not be moved, and why.
    pub unmoved: Vec<(ImageRef, RegistryError)>,
}

/// Publishes what `units` pushed.
///
/// Every image is looked up in every repository and copied to where it is missing; then the
/// index goes by digest into every repository; then the tags are moved and looked up again.
///
/// # Errors
///
/// Only while no tag has moved; from then on, failures are listed in the result.
pub async fn publish(
    registries: &Registries,
    publication: &Publication<'_>,
    units: &[Pushed],
    report: Report<'_>,
) -> Result<Published, PublishError> {
    let targets = targets::resolve(registries, publication).await?;
    let (found, standing) = step(report, "checking the pushed images", async {
        let standing = targets::standing(&targets, publication.tags, None).map(Ok);
        try_join(found::locate(&targets, units), standing).await
    })
    .await?;
    let named = match found.iter().any(found::Found::is_attested) {
        false => naming::Named {
            found,
            warnings: Vec::new(),
        },
        true => {
            let names = naming::names(publication);
            let name = "naming the image in its attestations";
            let work = naming::name_attestations(&targets, found, &names);
            step(report, name, work).await?
        }
    };
    let root = root::decide(publication, named.found)?;
    let published = place(&targets, publication.tags, &standing, root, report).await?;
    Ok(Published {
        warnings: named.warnings,
        ..published
    })
}

/// Publishes a root whose parts are in every repository already: by digest everywhere, then
/// under its tags. Annotations play no part.
///
/// # Errors
///
/// Only while no tag has moved; from then on, failures are listed in the result.
pub async fn publish_root(
    registries: &Registries,
    publication: &Publication<'_>,
    manifest: Manifest,
    entries: Vec<Descriptor>,
    report: Report<'_>,
) -> Result<Published, PublishError> {
    let targets = targets::resolve(registries, publication).await?;
    let standing = targets::standing(&targets, publication.tags, Some(manifest.digest)).await;
    let root = Root {
        manifest,
        entries,
        is_placed: false,
    };
    place(&targets, publication.tags, &standing, root, report).await
}

/// Writes the root by digest everywhere, then moves the tags: those of one repository one after
/// the other.
async fn place(
    targets: &[(String, Repository)],
    tags: &[ImageRef],
    standing: &Standing,
    root: Root,
    report: Report<'_>,
) -> Result<Published, PublishError> {
    let name = format!("pushing {}", what(&root.manifest));
    step(report, &name, async {
        match root.is_placed {
            true => Ok(()),
            false => targets::push_root(targets, &root.manifest, standing).await,
        }
    })
    .await?;
    let mut published = Published {
        root: root.manifest.descriptor(),
        entries: root.entries,
        repositories: targets.iter().map(|(name, _)| name.clone()).collect(),
        warnings: Vec::new(),
        moved: Vec::new(),
        unmoved: Vec::new(),
    };
    let turns: Vec<Mutex<()>> = targets.iter().map(|_| Mutex::default()).collect();
    let moves = tags.iter().map(|tag| async {
        let name = tag.repository();
        let position = targets.iter().position(|(other, _)| *other == name)?;
        // Turns come in the order in which they are asked for, which is that of the tags.
        let turn = turns.get(position)?.lock().await;
        let target = &targets.get(position)?.1;
        let name = format!("tagging {}", tag.familiar());
        let moving = targets::move_tag((target, tag), &root.manifest, standing, turn);
        Some((tag.clone(), step(report, &name, moving).await))
    });
    for (tag, moved) in join_all(moves).await.into_iter().flatten() {
        match moved {
            Ok(()) => published.moved.push(tag),
            Err(error) => published.unmoved.push((tag, error)),
        }
    }
    Ok(published)
}

/// What will stand under the tags.
struct Root {
    manifest: Manifest,
    entries: Vec<Descriptor>,
    /// Whether it is known to be in every repository.
    is_placed: bool,
}

impl Root {
    fn of_index(index: Index) -> Self {
        let manifest = Manifest::new(&index.media_type, index.to_bytes());
        Self {
            manifest,
            entries: index.manifests,
            is_placed: false,
        }
    }
}

fn what(root: &Manifest) -> String {
    let kind = if media_type::is_index(&root.media_type) {
        "index"
    } else {
        "manifest"
    };
    format!("{kind} {}", root.digest)
}

/// Reports `work` as a step called `name`.
pub async fn step<T, E: std::error::Error>(
    report: Report<'_>,
    name: &str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    report(ClientStep {
        name: name.to_owned(),
        end: None,
    });
    let outcome = work.await;
    let end = outcome.as_ref().map(drop).map_err(ToString::to_string);
    report(ClientStep {
        name: name.to_owned(),
        end: Some(end),
    });
    outcome
}
