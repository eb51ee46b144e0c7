//! Makes a cache that a daemon has written to this machine the one that is read next.
//!
//! Its blobs are there, each checked; only `index.json` is changed, by renaming, so that a build
//! that fails before leaves the cache as it was. Blocks on the disk.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::causes::causes;
use crate::digest::Digest;
use crate::oci::layout::{Layout, LayoutError};
use crate::oci::names::EntryName;
use crate::oci::{Descriptor, Index, manifest_parts, media_type};

use super::super::error::UnitError;
use super::Written;

/// The key of a Solve's answer that holds a cache's descriptor; of several caches, one of them.
pub(super) const MANIFEST: &str = "cache.manifest";

/// Keeps all that was written; gives what went wrong and does not matter.
pub(super) fn all(written: &[Written], manifest: Option<&str>) -> Result<Vec<String>, UnitError> {
    let mut warnings = Vec::new();
    for cache in written {
        let name = cache.local.dir.display();
        match one(cache, manifest) {
            Ok(true) => {}
            Ok(false) => warnings.push(format!("there was nothing to keep in the cache {name}")),
            Err(error) if cache.ignore_error => {
                warnings.push(format!(
                    "the cache {name} was not written: {}",
                    causes(&error)
                ));
            }
            Err(error) => {
                return Err(UnitError::Cache(format!("{name}: {}", causes(&error))));
            }
        }
    }
    Ok(warnings)
}

/// Keeps one cache; `false` if the daemon had nothing to write, as where no step made a layer.
fn one(cache: &Written, manifest: Option<&str>) -> Result<bool, LayoutError> {
    let offered = cache.store.offered();
    let told = manifest
        .and_then(digest_of)
        .filter(|digest| offered.contains(digest));
    // With several caches the answer is of one of them, but each daemon writes its root last.
    let Some(root) = told.or(offered.last().copied()) else {
        return Ok(false);
    };
    let layout = Layout::create(&cache.local.dir)?;
    let root = layout.find_digest(root)?;
    let name = EntryName::Tag(cache.local.tag.clone());
    layout.tag(&root, &name)?;
    if cache.local.reset {
        reset(&layout, &root, &name)?;
    }
    Ok(true)
}

fn digest_of(descriptor: &str) -> Option<Digest> {
    #[derive(Deserialize)]
    struct Named {
        digest: Digest,
    }
    let named: Named = serde_json::from_str(descriptor).ok()?;
    Some(named.digest)
}

/// Drops all but one cache.
fn reset(layout: &Layout, root: &Descriptor, name: &EntryName) -> Result<(), LayoutError> {
    // First of all the parts, so that a cache that cannot be read through costs nothing.
    let mut needed = BTreeSet::new();
    collect(layout, root, &mut needed)?;
    let kept = name.on(root);
    layout.update(|index| index.manifests = vec![kept])?;
    let names: BTreeSet<String> = needed.iter().map(Digest::hex).collect();
    let blobs = layout.dir().join("blobs");
    for entry in fs::read_dir(&blobs)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        remove_others(&entry.path(), &names);
    }
    Ok(())
}

/// Removes the blobs that are not named. One that stays takes space and does no harm.
fn remove_others(directory: &Path, names: &BTreeSet<String>) {
    for blob in fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        let name = blob.file_name();
        let needed = name.to_str().is_some_and(|name| names.contains(name));
        if !needed && let Err(error) = fs::remove_file(blob.path()) {
            tracing::debug!(%error, path = %blob.path().display(), "a blob stays");
        }
    }
}

/// Collects the digests of a manifest or index and all that it leads to.
fn collect(
    layout: &Layout,
    from: &Descriptor,
    needed: &mut BTreeSet<Digest>,
) -> Result<(), LayoutError> {
    if !needed.insert(from.digest) {
        return Ok(());
    }
    let is_manifest = [media_type::MANIFEST, media_type::DOCKER_MANIFEST];
    if is_manifest.contains(&from.media_type.as_str()) {
        let parts = manifest_parts(&layout.read_manifest(from)?).unwrap_or_default();
        needed.extend(parts.iter().map(|part| part.digest));
    } else if media_type::is_index(&from.media_type) {
        // An index of layers, which caches have that are no images.
        let index = Index::parse(&layout.read_manifest(from)?);
        for entry in index.map(|index| index.manifests).unwrap_or_default() {
            collect(layout, &entry, needed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::buildkit::session::DirStore;
    use crate::unit::LocalCache;

    fn manifest(layout: &Layout, layer: &[u8]) -> Descriptor {
        let layer = layout.put_blob(layer).unwrap();
        let config = layout.put_blob(b"{}").unwrap();
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}",
            "config":{{"mediaType":"c","digest":"{config}","size":2}},
            "layers":[{{"mediaType":"l","digest":"{layer}","size":1}}]}}"#,
            media_type::MANIFEST
        );
        layout.put_blob(text.as_bytes()).unwrap();
        Descriptor::of(media_type::MANIFEST, text.as_bytes())
    }

    fn blobs(layout: &Layout) -> usize {
        fs::read_dir(layout.dir().join("blobs/sha256"))
            .unwrap()
            .count()
    }

    #[test]
    fn a_reset_drops_what_the_new_cache_does_not_need() {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::create(temp.path()).unwrap();
        let tag = |name: &str| EntryName::Tag(name.to_owned());
        let (old, new) = (manifest(&layout, b"a"), manifest(&layout, b"b"));
        layout.tag(&old, &tag("old")).unwrap();
        layout.tag(&new, &tag("new")).unwrap();
        assert_eq!(blobs(&layout), 5);
        reset(&layout, &new, &tag("new")).unwrap();
        assert_eq!(blobs(&layout), 3);
        assert_eq!(layout.index().unwrap().manifests, [tag("new").on(&new)]);
        assert!(layout.find("old").is_err());
    }

    #[test]
    fn a_daemon_that_wrote_nothing_leaves_the_cache_as_it_was() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Written {
            store: Arc::new(DirStore::read_write(temp.path().join("blobs"))),
            local: LocalCache {
                dir: temp.path().to_owned(),
                tag: "latest".to_owned(),
                digest: None,
                reset: true,
            },
            ignore_error: false,
        };
        assert_eq!(all(&[cache], None).unwrap().len(), 1);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
