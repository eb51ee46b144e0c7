//! [`Copier`]: an image with all that it consists of, and all that refers to it, from one store
//! to another.
//!
//! Parts go before the whole and tags last, so that what is to be seen is complete. What is
//! there is passed over, so that an interrupted copy goes on where it was.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::{OnceCell, Semaphore};

use super::error::{CopyError, StoreError};
use super::store::Store;
use super::transfer::{Moved, transfer};
use crate::digest::Digest;
use crate::merge::registry::{Report, step};
use crate::oci::{Descriptor, Index, manifest_parts, media_type};
use crate::registry::{Manifest, referrers_tag};

/// How many blobs move at a time: enough to hide waiting, and few enough for registries that
/// limit requests.
const BLOBS: usize = 6;
/// How many manifests are worked on at a time.
const MANIFESTS: usize = 3;
/// How deep indexes may lie in indexes, and referrers refer to referrers: nobody builds deeper
/// than two, and whoever lies must not keep us busy for ever.
const DEPTH: usize = 4;
/// The ends of the tags under which cosign keeps what belongs to an image.
const COSIGN: [&str; 3] = [".sig", ".att", ".sbom"];

/// What happens to that which refers to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referring {
    /// It is copied, and an error if it cannot be.
    Copied,
    /// It is copied, and a warning if it cannot be.
    CopiedIfPossible,
    /// It stays.
    Left,
}

/// How much was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Manifests and indexes that were written.
    pub manifests: u64,
    /// Blobs that were moved or mounted.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Blobs that were there.
    pub present: u64,
}

/// Copies from one store to another.
pub struct Copier<'a> {
    from: &'a Store,
    to: &'a Store,
    referring: Referring,
    report: Report<'a>,
    slots: Semaphore,
    seen: Mutex<BTreeSet<Digest>>,
    blobs: Mutex<HashMap<Digest, Arc<OnceCell<()>>>>,
    warnings: Mutex<Vec<CopyError>>,
    tally: [AtomicU64; 4],
}

impl<'a> Copier<'a> {
    /// Prepares copying; steps are reported as they begin and end.
    pub fn new(from: &'a Store, to: &'a Store, referring: Referring, report: Report<'a>) -> Self {
        Self {
            from,
            to,
            referring,
            report,
            slots: Semaphore::new(BLOBS),
            seen: Mutex::default(),
            blobs: Mutex::default(),
            warnings: Mutex::default(),
            tally: Default::default(),
        }
    }

    /// Copies what the descriptor points to, its parts, and what refers to any of them.
    pub async fn copy(&self, root: &Descriptor) -> Result<(), CopyError> {
        self.whole(root, DEPTH).await?;
        if self.referring == Referring::Left {
            return Ok(());
        }
        let subjects: Vec<Digest> = lock(&self.seen).iter().copied().collect();
        stream::iter(subjects)
            .map(|subject| self.referring(subject, DEPTH))
            .buffer_unordered(MANIFESTS)
            .try_collect()
            .await
    }

    /// How much was copied so far.
    pub fn tally(&self) -> Tally {
        let [manifests, blobs, bytes, present] =
            [0, 1, 2, 3].map(|one: usize| self.tally[one].load(Ordering::Relaxed));
        Tally {
            manifests,
            blobs,
            bytes,
            present,
        }
    }

    /// What could not be copied and need not be.
    pub fn warnings(self) -> Vec<CopyError> {
        self.warnings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies a manifest or index with its parts, once.
    async fn whole(&self, entry: &Descriptor, depth: usize) -> Result<(), CopyError> {
        let digest = entry.digest;
        if !lock(&self.seen).insert(digest) {
            return Ok(());
        }
        if depth == 0 {
            return Err(CopyError::Depth(digest));
        }
        if !media_type::is_index(&entry.media_type) {
            let name = match entry.known_platform() {
                Some(platform) => format!("copying {platform} {digest}"),
                None => format!("copying {digest}"),
            };
            return step(self.report, &name, self.manifest(digest)).await;
        }
        let manifest = self.read(digest).await?;
        let index =
            Index::parse(&manifest.bytes).map_err(|source| CopyError::Index { digest, source })?;
        stream::iter(&index.manifests)
            .map(|child| self.part(child, depth - 1))
            .buffer_unordered(MANIFESTS)
            .try_collect::<()>()
            .await?;
        // Its parts may have been lost, so only now.
        self.write(&manifest).await
    }

    /// Copies an entry of an index; caches list their blobs as entries.
    async fn part(&self, child: &Descriptor, depth: usize) -> Result<(), CopyError> {
        let is_manifest =
            media_type::is_index(&child.media_type) || media_type::is_manifest(&child.media_type);
        match is_manifest {
            true => Box::pin(self.whole(child, depth)).await,
            false => self.blob(child).await,
        }
    }

    async fn manifest(&self, digest: Digest) -> Result<(), CopyError> {
        let has = self.to.has_whole(digest).await;
        if has.map_err(|source| CopyError::Store { digest, source })? {
            return Ok(());
        }
        let manifest = self.read(digest).await?;
        let parts = manifest_parts(&manifest.bytes).ok_or(CopyError::Manifest(digest))?;
        stream::iter(&parts)
            .map(|part| self.blob(part))
            .buffer_unordered(BLOBS)
            .try_collect::<()>()
            .await?;
        self.write(&manifest).await
    }

    /// Moves a blob, once for all manifests that share it.
    async fn blob(&self, blob: &Descriptor) -> Result<(), CopyError> {
        let cell = Arc::clone(lock(&self.blobs).entry(blob.digest).or_default());
        let work = cell.get_or_try_init(|| async {
            let _slot = self.slots.acquire().await;
            let moved = transfer(self.from, self.to, blob).await;
            let failed = |source| CopyError::Store {
                digest: blob.digest,
                source,
            };
            match moved.map_err(failed)? {
                Moved::Yes => {
                    self.tally[1].fetch_add(1, Ordering::Relaxed);
                    self.tally[2].fetch_add(blob.size, Ordering::Relaxed);
                }
                Moved::No => drop(self.tally[3].fetch_add(1, Ordering::Relaxed)),
            }
            Ok(())
        });
        work.await.copied()
    }

    async fn read(&self, digest: Digest) -> Result<Manifest, CopyError> {
        let manifest = self.from.manifest(digest).await;
        manifest.map_err(|source| CopyError::Store { digest, source })
    }

    async fn write(&self, manifest: &Manifest) -> Result<(), CopyError> {
        let digest = manifest.digest;
        let write = async {
            if !self.to.has_whole(digest).await? {
                self.to.put_manifest(manifest).await?;
                self.tally[0].fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        write
            .await
            .map_err(|source| CopyError::Store { digest, source })
    }

    /// Copies what refers to a manifest, and what refers to that.
    async fn referring(&self, subject: Digest, depth: usize) -> Result<(), CopyError> {
        match self.referrers_of(subject, depth).await {
            Err(error @ CopyError::Referrers { .. })
                if self.referring == Referring::CopiedIfPossible =>
            {
                lock(&self.warnings).push(error);
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn referrers_of(&self, digest: Digest, depth: usize) -> Result<(), CopyError> {
        let unknown = |source: StoreError| CopyError::Referrers { digest, source };
        let failed = |source: StoreError| CopyError::Store { digest, source };
        if depth == 0 {
            return Err(CopyError::Depth(digest));
        }
        let list = self.from.referrers(digest).await.map_err(unknown)?;
        for entry in &list {
            let is_new = !lock(&self.seen).contains(&entry.digest);
            self.whole(entry, DEPTH).await?;
            if is_new {
                Box::pin(self.referring(entry.digest, depth - 1)).await?;
            }
        }
        if !list.is_empty() {
            self.to.add_referrers(digest, &list).await.map_err(failed)?;
        }
        for end in COSIGN {
            let tag = format!("{}{end}", referrers_tag(digest));
            let found = self.from.find_tag(&tag).await.map_err(unknown)?;
            let Some(manifest) = found else { continue };
            self.whole(&manifest.descriptor(), DEPTH).await?;
            self.to.tag(&manifest, &tag).await.map_err(failed)?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
