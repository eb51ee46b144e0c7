//! Copies an image, with everything it refers to, from one repository to another.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::error::{Problem, RegistryError};
use super::repository::{At, Repository};
use crate::digest::Digest;
use crate::oci::{Index, manifest_parts, media_type};

/// How many blobs of one manifest move at a time: enough to hide waiting, and few enough
/// for registries that limit requests.
const AT_ONCE: usize = 4;

/// How deep indexes may lie in indexes: nobody builds deeper than two, and a registry that
/// lies must not keep us busy for ever.
const DEPTH: usize = 4;

impl Repository {
    /// Copies a manifest or index from `source`, unless it is here; the parts go first, so
    /// that a registry that checks references accepts the whole.
    pub async fn copy_image(&self, source: &Self, digest: Digest) -> Result<(), RegistryError> {
        self.copy_below(source, digest, DEPTH).await
    }

    async fn copy_below(
        &self,
        source: &Self,
        digest: Digest,
        depth: usize,
    ) -> Result<(), RegistryError> {
        if self.head_manifest(At::Digest(digest)).await?.is_some() {
            return Ok(());
        }
        let operation = format!("copy {}@{digest}", source.name());
        let bad = |problem, message: &str| {
            RegistryError::new(source.host(), &operation, problem, message)
        };
        if depth == 0 {
            return Err(bad(Problem::Answer, "indexes lie too deep in indexes"));
        }
        let manifest = source
            .get_manifest(At::Digest(digest))
            .await?
            .ok_or_else(|| bad(Problem::NotFound, "it is not there"))?;
        if media_type::is_index(&manifest.media_type) {
            let index = Index::parse(&manifest.bytes)
                .map_err(|error| bad(Problem::Answer, "it is not an index").because(error))?;
            for child in index.manifests {
                Box::pin(self.copy_below(source, child.digest, depth - 1)).await?;
            }
        } else {
            let parts = manifest_parts(&manifest.bytes)
                .ok_or_else(|| bad(Problem::Answer, "it is not an image manifest"))?;
            stream::iter(parts)
                .map(|part| async move { self.copy_blob(source, &part).await })
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await?;
        }
        self.put_manifest(At::Digest(digest), &manifest).await
    }
}
