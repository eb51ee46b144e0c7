//! Decides what will stand under the tags: [`decide`]. Pure.

use super::super::annotate::annotate;
use super::found::Found;
use super::{Publication, PublishError, Root};
use crate::oci::{Root as Top, merge_index};

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
                is_placed: true,
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
    use crate::oci::{Child, Index, media_type};
    use crate::platform::Platform;
    use crate::registry::Manifest;
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
