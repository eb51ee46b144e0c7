//! The repositories that are published to, and what is done in each of them.
//!
//! Repositories are worked on at the same time, the tags of one are written one after the other.

use std::collections::BTreeMap;

use futures_util::future::{ready, try_join_all};
use futures_util::stream::{self, StreamExt};

use super::Publication;
use crate::digest::Digest;
use crate::reference::ImageRef;
use crate::registry::{At, Manifest, Registries, RegistryError, Repository};

/// The tag that a name without one means.
const DEFAULT_TAG: &str = "latest";

/// How many tags are looked up at a time: a publication with dozens of names must not open as
/// many connections.
const LOOKS_AT_ONCE: usize = 8;

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

/// What is in the repositories before anything is written, by repository and tag, or digest.
pub(super) type Standing = BTreeMap<(String, String), Digest>;

/// Looks up the tags and, once it is known, the root; a few at a time. What is not there, or
/// cannot be looked up, is simply written.
pub(super) async fn standing(
    targets: &[(String, Repository)],
    tags: &[ImageRef],
    root: Option<Digest>,
) -> Standing {
    let named = tags.iter().map(|tag| (tag.repository(), at(tag)));
    let roots = root.into_iter().flat_map(|root| {
        let names = targets.iter().map(|(name, _)| name.clone());
        names.map(move |name| (name, At::Digest(root)))
    });
    let looks: Vec<_> = named
        .chain(roots)
        .map(|(name, at)| look_up(targets, name, at))
        .collect();
    let looks = stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE);
    looks.filter_map(ready).collect().await
}

async fn look_up(
    targets: &[(String, Repository)],
    repository: String,
    at: At<'_>,
) -> Option<((String, String), Digest)> {
    let (_, target) = targets.iter().find(|(name, _)| *name == repository)?;
    let found = target.head_manifest(at).await.ok()??;
    Some(((repository, at.name()), found.digest))
}

/// Writes the root by digest into every repository that is not known to hold it, and looks it up
/// there.
pub(super) async fn push_root(
    targets: &[(String, Repository)],
    root: &Manifest,
    standing: &Standing,
) -> Result<(), RegistryError> {
    let at = At::Digest(root.digest);
    let is_there = |name: &str| {
        let mut all = standing.iter();
        all.any(|((other, _), digest)| other == name && *digest == root.digest)
    };
    let push = |(name, target): &(String, Repository)| {
        let (is_there, target) = (is_there(name), target.clone());
        async move {
            if !is_there {
                target.put_manifest(at, root).await?;
                target.await_manifest(at, root.digest).await?;
            }
            Ok(())
        }
    };
    try_join_all(targets.iter().map(push)).await.map(drop)
}

/// Writes the root under one tag, unless it stands there, and looks it up there while the next
/// one has its `turn`.
pub(super) async fn move_tag<T>(
    (target, tag): (&Repository, &ImageRef),
    root: &Manifest,
    standing: &Standing,
    turn: T,
) -> Result<(), RegistryError> {
    let at = at(tag);
    if standing.get(&(tag.repository(), at.name())) == Some(&root.digest) {
        return Ok(());
    }
    target.put_manifest(at, root).await?;
    drop(turn);
    target.await_manifest(at, root.digest).await
}

fn at(tag: &ImageRef) -> At<'_> {
    At::Tag(tag.tag().unwrap_or(DEFAULT_TAG))
}
