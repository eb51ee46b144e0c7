//! The repositories that are published to, and what is done in each of them.
//!
//! Repositories are worked on at the same time, tags one after the other.

use futures_util::future::try_join_all;

use super::Publication;
use crate::reference::ImageRef;
use crate::registry::{At, Manifest, Registries, RegistryError, Repository};

/// The tag that a name without one means.
const DEFAULT_TAG: &str = "latest";

/// Checks that every registry is there and lets us push to every repository, before
/// anything is built.
pub async fn check_push(
    registries: &Registries,
    repositories: &[ImageRef],
) -> Result<(), RegistryError> {
    let targets = find(registries, repositories.iter()).await?;
    try_join_all(targets.iter().map(|(_, target)| target.check_push()))
        .await
        .map(drop)
}

/// The repositories of a publication, each once, in the order named.
pub(super) async fn resolve(
    registries: &Registries,
    publication: &Publication<'_>,
) -> Result<Vec<(String, Repository)>, RegistryError> {
    find(
        registries,
        publication.repositories.iter().chain(publication.tags),
    )
    .await
}

async fn find(
    registries: &Registries,
    names: impl Iterator<Item = &ImageRef>,
) -> Result<Vec<(String, Repository)>, RegistryError> {
    let mut targets: Vec<(String, Repository)> = Vec::new();
    for image in names {
        let name = image.repository();
        if targets.iter().all(|(other, _)| *other != name) {
            targets.push((name, registries.repository(image).await?));
        }
    }
    Ok(targets)
}

/// Writes the root by digest into every repository that does not have it, and looks it up
/// there.
pub(super) async fn push_root(
    targets: &[(String, Repository)],
    root: &Manifest,
) -> Result<(), RegistryError> {
    let at = At::Digest(root.digest);
    let push = |target: &Repository| {
        let target = target.clone();
        async move {
            if target.head_manifest(at).await?.is_none() {
                target.put_manifest(at, root).await?;
                target.await_manifest(at, root.digest).await?;
            }
            Ok(())
        }
    };
    try_join_all(targets.iter().map(|(_, target)| push(target)))
        .await
        .map(drop)
}

/// Writes the root under one tag and looks it up there.
pub(super) async fn move_tag(
    targets: &[(String, Repository)],
    tag: &ImageRef,
    root: &Manifest,
) -> Result<(), RegistryError> {
    let name = tag.repository();
    let at = At::Tag(tag.tag().unwrap_or(DEFAULT_TAG));
    for (_, target) in targets.iter().filter(|(other, _)| *other == name) {
        target.put_manifest(at, root).await?;
        target.await_manifest(at, root.digest).await?;
    }
    Ok(())
}
