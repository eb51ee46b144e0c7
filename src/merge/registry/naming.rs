//! Gives attestations the names that their images get, where daemons could not know them.
//!
//! What they state is read back from the registry, since only there it is. The image manifests
//! stay as they are; an attestation manifest that was wrong stays too, without a name.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::stream;

use super::found::Found;
use super::{Publication, PublishError};
use crate::digest::Digest;
use crate::oci::attestation::{self, Names, Renamed, Replaced};
use crate::oci::{Descriptor, Root as Top};
use crate::registry::{At, Manifest, Repository};

/// The largest statement that is read, in bytes: an SBOM of a large image has tens of megabytes.
/// A larger one keeps the names that it has.
const STATEMENT_LIMIT: usize = 128 << 20;

/// What media types of statements have in them, signed ones too.
const STATEMENTS: [&str; 3] = ["in-toto", "dsse", "sigstore.bundle"];

/// What was found, and what could not be given its names.
pub(super) struct Named {
    pub(super) found: Vec<Found>,
    pub(super) warnings: Vec<String>,
}

/// The names that a publication gives.
pub(super) fn names(publication: &Publication<'_>) -> Names {
    let mut names = Names::default();
    for repository in publication.repositories {
        names.repository(&repository.familiar_name());
    }
    for tag in publication.tags {
        let tag = tag.with_default_tag();
        names.tag(&tag.familiar_name(), tag.tag().unwrap_or_default());
    }
    names
}

/// Replaces every attestation manifest that names something else, in every repository.
pub(super) async fn name_attestations(
    targets: &[(String, Repository)],
    found: Vec<Found>,
    names: &Names,
) -> Result<Named, PublishError> {
    let named = found
        .into_iter()
        .map(|found| name_unit(targets, found, names));
    let (found, warnings): (Vec<_>, Vec<_>) = try_join_all(named).await?.into_iter().unzip();
    Ok(Named {
        found,
        warnings: warnings.into_iter().flatten().collect(),
    })
}

async fn name_unit(
    targets: &[(String, Repository)],
    mut found: Found,
    names: &Names,
) -> Result<(Found, Option<String>), PublishError> {
    let from = found.child.from.clone();
    let Top::Index(index) = &mut found.child.root else {
        return Ok((found, None));
    };
    let mut signed = 0;
    for entry in &mut index.manifests {
        let (Some(image), Some((_, source))) = (entry.attests(), targets.first()) else {
            continue;
        };
        let renamed = rename(source, entry, image, names, &from).await?;
        signed += renamed.signed;
        if let Some(replaced) = renamed.replaced {
            let manifest = push(targets, entry, replaced).await?;
            entry.digest = manifest.digest;
            entry.size = manifest.bytes.len() as u64;
            found.changed = true;
        }
    }
    let warning = (signed > 0).then(|| {
        format!("{from}: {signed} signed statements keep names that are not this image's")
    });
    Ok((found, warning))
}

async fn rename(
    source: &Repository,
    entry: &Descriptor,
    image: Digest,
    names: &Names,
    from: &str,
) -> Result<Renamed, PublishError> {
    let at = At::Digest(entry.digest);
    let manifest = source.get_manifest(at).await?;
    let manifest = manifest.ok_or_else(|| PublishError::Missing {
        digest: entry.digest,
        from: from.to_owned(),
    })?;
    let parts = attestation::parts(&manifest.bytes).unwrap_or_default();
    let read = parts.iter().filter(|part| is_read(part)).map(|part| async {
        let bytes = source.get_blob(part, STATEMENT_LIMIT).await?;
        Ok::<_, PublishError>((part.digest, bytes))
    });
    let blobs: BTreeMap<Digest, Vec<u8>> = try_join_all(read).await?.into_iter().collect();
    let renamed = attestation::rename(&manifest.bytes, &blobs, image, names);
    // What is no manifest of statements is nobody's to change.
    Ok(renamed.unwrap_or_default())
}

/// Whether a part of the manifest can name an image, or lists the others.
fn is_read(part: &Descriptor) -> bool {
    let kind = &part.media_type;
    let is_statement = STATEMENTS.iter().any(|word| kind.contains(word));
    let is_config = kind.contains("image.config") || kind.contains("container.image");
    (is_statement || is_config) && part.size <= STATEMENT_LIMIT as u64
}

/// Writes what is new into every repository.
async fn push(
    targets: &[(String, Repository)],
    entry: &Descriptor,
    replaced: Replaced,
) -> Result<Manifest, PublishError> {
    let manifest = Manifest::new(&entry.media_type, replaced.manifest);
    let blobs: Vec<Bytes> = replaced.blobs.into_iter().map(Bytes::from).collect();
    let write = |target: &Repository| {
        let (target, manifest, blobs) = (target.clone(), manifest.clone(), blobs.clone());
        async move {
            for blob in blobs {
                let pointer = Descriptor::of("", &blob);
                let bytes = || stream::iter([Ok(blob.clone())]);
                target.push_blob(&pointer, bytes).await?;
            }
            let at = At::Digest(manifest.digest);
            target.put_manifest(at, &manifest).await?;
            target.await_manifest(at, manifest.digest).await?;
            Ok::<_, PublishError>(())
        }
    };
    try_join_all(targets.iter().map(|(_, target)| write(target))).await?;
    Ok(manifest)
}
