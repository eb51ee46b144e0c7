//! Finds what the units pushed, brings it into every repository, and decides what will
//! stand under the tags.

use futures_util::future::try_join_all;

use super::super::annotate::annotate;
use super::{Publication, PublishError, Pushed, Root};
use crate::oci::{
    Child, Descriptor, Index, Root as Top, config_platform, manifest_parts, media_type, merge_index,
};
use crate::registry::{At, Manifest, Repository};

/// The largest image configuration that is read, in bytes.
const CONFIG_LIMIT: usize = 4 << 20;

/// A unit's result as it is in the registry.
pub(super) struct Found {
    pub(super) child: Child,
    /// As the unit pushed it.
    manifest: Manifest,
    /// Whether the child is something else by now.
    pub(super) changed: bool,
}

impl Found {
    /// Whether it is an index with attestations.
    pub(super) fn is_attested(&self) -> bool {
        match &self.child.root {
            Top::Index(index) => index
                .manifests
                .iter()
                .any(|entry| entry.attests().is_some()),
            Top::Manifest(_) => false,
        }
    }
}

/// Looks up what every unit pushed in every repository; copies it to where it is missing.
pub(super) async fn locate(
    targets: &[(String, Repository)],
    units: &[Pushed],
) -> Result<Vec<Found>, PublishError> {
    try_join_all(units.iter().map(|unit| locate_one(targets, unit))).await
}

async fn locate_one(
    targets: &[(String, Repository)],
    unit: &Pushed,
) -> Result<Found, PublishError> {
    let at = At::Digest(unit.root.digest);
    let look = |(_, target): &(String, Repository)| {
        let target = target.clone();
        async move { Ok::<_, PublishError>(target.head_manifest(at).await?.map(|_| target)) }
    };
    let holders = try_join_all(targets.iter().map(look)).await?;
    let missing = || PublishError::Missing {
        digest: unit.root.digest,
        from: unit.from.clone(),
    };
    let source = holders.into_iter().flatten().next().ok_or_else(missing)?;
    let manifest = source.get_manifest(at).await?.ok_or_else(missing)?;
    let child = read_child(&source, unit, &manifest).await?;
    // The parts are looked up too: a registry may have lost what its index refers to.
    let mut digests = match &child.root {
        Top::Index(index) => index.manifests.iter().map(|entry| entry.digest).collect(),
        Top::Manifest(_) => Vec::new(),
    };
    digests.push(unit.root.digest);
    let bring = |(_, target): &(String, Repository)| {
        let (target, source, digests) = (target.clone(), source.clone(), digests.clone());
        async move {
            for digest in digests {
                target.copy_image(&source, digest).await?;
            }
            Ok::<_, PublishError>(())
        }
    };
    try_join_all(targets.iter().map(bring)).await?;
    Ok(Found {
        child,
        manifest,
        changed: false,
    })
}

async fn read_child(
    source: &Repository,
    unit: &Pushed,
    manifest: &Manifest,
) -> Result<Child, PublishError> {
    let from = unit.from.clone();
    if media_type::is_index(&manifest.media_type) {
        let index = Index::parse(&manifest.bytes).map_err(|error| PublishError::Index {
            from: from.clone(),
            source: error,
        })?;
        return Ok(Child {
            from,
            root: Top::Index(index),
        });
    }
    let mut descriptor = Descriptor {
        annotations: unit.root.annotations.clone(),
        platform: unit.root.platform.clone(),
        ..manifest.descriptor()
    };
    if descriptor.known_platform().is_none() {
        let platform = match &unit.platform {
            Some(platform) => platform.clone(),
            None => read_platform(source, unit, manifest).await?,
        };
        descriptor = descriptor.with_platform(platform);
    }
    Ok(Child {
        from,
        root: Top::Manifest(descriptor),
    })
}

async fn read_platform(
    source: &Repository,
    unit: &Pushed,
    manifest: &Manifest,
) -> Result<crate::platform::Platform, PublishError> {
    let unknown = || PublishError::Configuration {
        digest: manifest.digest,
        from: unit.from.clone(),
    };
    let parts = manifest_parts(&manifest.bytes).ok_or_else(unknown)?;
    let config = parts.first().ok_or_else(unknown)?;
    let bytes = source.get_blob(config, CONFIG_LIMIT).await?;
    config_platform(&bytes).map_err(|_| unknown())
}

/// Decides what stands under the tags.
///
/// A single result is published as it is, unless annotations are missing in it: a manifest
/// stays a plain manifest (which has no place for annotations of an entry), and an index is
/// not written a second time. All else is merged.
pub(super) fn decide(
    publication: &Publication<'_>,
    found: Vec<Found>,
) -> Result<Root, PublishError> {
    let wanted = publication.index_annotations;
    if let [
        Found {
            child,
            manifest,
            changed: false,
        },
    ] = found.as_slice()
    {
        let annotated = annotate(child.clone(), publication.descriptor_annotations);
        let entries = match (&child.root, annotated.root) {
            (Top::Manifest(_), Top::Manifest(entry)) if wanted.is_empty() => Some(vec![entry]),
            (Top::Index(index), annotated)
                if annotated == child.root
                    && wanted
                        .iter()
                        .all(|(k, v)| index.annotations.get(k) == Some(v)) =>
            {
                Some(index.manifests.clone())
            }
            _ => None,
        };
        if let Some(entries) = entries {
            return Ok(Root {
                manifest: manifest.clone(),
                entries,
            });
        }
    }
    let children = found
        .into_iter()
        .map(|found| annotate(found.child, publication.descriptor_annotations))
        .collect();
    Ok(Root::of_index(merge_index(children, wanted.clone())?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::platform::Platform;
    use crate::unit::DescriptorAnnotation;

    fn found(arch: &str) -> Found {
        let manifest = Manifest::new(media_type::MANIFEST, arch.as_bytes().to_vec());
        let descriptor = manifest
            .descriptor()
            .with_platform(Platform::new("linux", arch));
        Found {
            child: Child {
                from: arch.into(),
                root: Top::Manifest(descriptor),
            },
            manifest,
            changed: false,
        }
    }

    fn publication<'a>(
        index: &'a BTreeMap<String, String>,
        entries: &'a [DescriptorAnnotation],
    ) -> Publication<'a> {
        Publication {
            repositories: &[],
            tags: &[],
            index_annotations: index,
            descriptor_annotations: entries,
        }
    }

    #[test]
    fn one_manifest_stays_a_plain_manifest() {
        let root = decide(&publication(&BTreeMap::new(), &[]), vec![found("amd64")]).unwrap();
        assert_eq!(root.manifest.bytes, "amd64");
        assert_eq!(root.entries.len(), 1);
    }

    #[test]
    fn one_index_is_published_byte_for_byte() {
        let Child {
            from,
            root: Top::Manifest(entry),
        } = found("amd64").child
        else {
            panic!()
        };
        let text = format!(
            "{{ \"schemaVersion\": 2,\n \"manifests\": [{}]}}",
            serde_json::to_string(&entry).unwrap()
        );
        let index = Index::parse(text.as_bytes()).unwrap();
        let manifest = Manifest::new(media_type::INDEX, text.clone());
        let only = Found {
            child: Child {
                from,
                root: Top::Index(index),
            },
            manifest,
            changed: false,
        };
        let root = decide(&publication(&BTreeMap::new(), &[]), vec![only]).unwrap();
        assert_eq!(root.manifest.bytes, text);
    }

    #[test]
    fn annotations_make_an_index_of_one_manifest() {
        let notes = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let root = decide(&publication(&notes, &[]), vec![found("amd64")]).unwrap();
        let index = Index::parse(&root.manifest.bytes).unwrap();
        assert_eq!(index.annotations, notes);
    }

    #[test]
    fn entries_get_the_annotations_of_their_platform() {
        let note = |platform: Option<Platform>, key: &str| DescriptorAnnotation {
            platform,
            key: key.into(),
            value: "v".into(),
        };
        let notes = [
            note(None, "all"),
            note(
                Some(Platform::new("linux", "arm64").with_variant("v8")),
                "arm",
            ),
        ];
        let (none, two) = (BTreeMap::new(), vec![found("arm64"), found("amd64")]);
        let root = decide(&publication(&none, &notes), two).unwrap();
        let keys: Vec<Vec<&String>> = root
            .entries
            .iter()
            .map(|entry| entry.annotations.keys().collect())
            .collect();
        assert_eq!(keys, [vec!["all"], vec!["all", "arm"]]);
    }
}
