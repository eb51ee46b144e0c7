//! [`merge_index`]: one index out of what several daemons delivered; pure.
//!
//! Descriptors pass verbatim: an attestation names its image by digest, and no manifest is
//! rewritten here, so all references still hold. The order of the result depends on its
//! content only, never on which daemon was faster.

use std::collections::BTreeMap;

use super::{Descriptor, Index, media_type};
use crate::digest::Digest;
use crate::platform::Platform;

/// What one daemon delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Who delivered it, for messages: `linux/arm64 on node-b`.
    pub from: String,
    /// What it delivered.
    pub root: Root,
}

/// The top of a delivered image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// A manifest, with its platform.
    Manifest(Descriptor),
    /// An index; its entries are taken over, the index itself is not referred to.
    Index(Index),
}

/// Why no index can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Two different images for one platform: a client could pull either.
    #[error("two different images for {platform}: from {first} and from {second}")]
    Duplicate {
        /// The platform, in full.
        platform: String,
        /// Who delivered the first one.
        first: String,
        /// Who delivered the other one.
        second: String,
    },
    /// A single manifest without a platform: no client would find it in an index.
    #[error("the image {digest} from {from} does not say which platform it is for")]
    NoPlatform {
        /// The manifest.
        digest: Digest,
        /// Who delivered it.
        from: String,
    },
    /// There is nothing to list.
    #[error("no image was delivered")]
    Empty,
}

/// One entry and who delivered it.
struct Entry {
    descriptor: Descriptor,
    from: String,
}

/// Merges what the daemons delivered into one index with `annotations`.
///
/// Entries come sorted by platform, each attestation right behind its image, anything else
/// last. An entry delivered twice is listed once. The result is Docker's manifest list if
/// every entry is of Docker's types and no annotation is asked for, else an OCI index.
///
/// # Errors
///
/// When two images differ and are for the same platform, when a bare manifest has no
/// platform, or when there is nothing.
pub fn merge_index(
    children: Vec<Child>,
    annotations: BTreeMap<String, String>,
) -> Result<Index, MergeError> {
    let mut entries = flatten(children)?;
    entries.sort_by(|a, b| a.from.cmp(&b.from));
    let entries = unite(entries);
    refuse_duplicates(&entries)?;
    let manifests = order(entries);
    if manifests.is_empty() {
        return Err(MergeError::Empty);
    }
    let docker = annotations.is_empty()
        && manifests
            .iter()
            .all(|descriptor| media_type::is_docker(&descriptor.media_type));
    let media_type = if docker {
        media_type::DOCKER_LIST
    } else {
        media_type::INDEX
    };
    let mut index = Index::new(media_type, manifests);
    index.annotations = annotations;
    Ok(index)
}

fn flatten(children: Vec<Child>) -> Result<Vec<Entry>, MergeError> {
    let mut entries = Vec::new();
    for Child { from, root } in children {
        match root {
            Root::Manifest(descriptor) => {
                if descriptor.known_platform().is_none() {
                    return Err(MergeError::NoPlatform {
                        digest: descriptor.digest,
                        from,
                    });
                }
                entries.push(Entry { descriptor, from });
            }
            Root::Index(index) => {
                entries.extend(index.manifests.into_iter().map(|descriptor| Entry {
                    descriptor,
                    from: from.clone(),
                }))
            }
        }
    }
    Ok(entries)
}

/// Joins entries with one digest: annotations of both (the first one's value wins), and the
/// platform of the one that has it. Two known and different platforms stay two entries.
fn unite(entries: Vec<Entry>) -> Vec<Entry> {
    let mut united: Vec<Entry> = Vec::new();
    for entry in entries {
        let platform = entry.descriptor.known_platform();
        let same = united.iter_mut().find(|other| {
            let theirs = other.descriptor.known_platform();
            other.descriptor.digest == entry.descriptor.digest
                && (theirs == platform || theirs.is_none() || platform.is_none())
        });
        let Some(same) = same else {
            united.push(entry);
            continue;
        };
        if same.descriptor.known_platform().is_none() {
            same.descriptor.platform = entry.descriptor.platform;
        }
        for (key, value) in entry.descriptor.annotations {
            same.descriptor.annotations.entry(key).or_insert(value);
        }
    }
    united
}

fn refuse_duplicates(entries: &[Entry]) -> Result<(), MergeError> {
    let mut seen: BTreeMap<Platform, &Entry> = BTreeMap::new();
    for entry in entries {
        if entry.descriptor.attests().is_some() {
            continue;
        }
        let Some(platform) = entry.descriptor.known_platform() else {
            continue;
        };
        let name = platform.format_all();
        if let Some(first) = seen.insert(platform, entry) {
            return Err(MergeError::Duplicate {
                platform: name,
                first: first.from.clone(),
                second: entry.from.clone(),
            });
        }
    }
    Ok(())
}

/// Images by platform, each followed by its attestations; then what is neither.
fn order(entries: Vec<Entry>) -> Vec<Descriptor> {
    let (mut attestations, mut others): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .map(|entry| entry.descriptor)
        .partition(|descriptor| descriptor.attests().is_some());
    attestations.sort_by_key(|descriptor| descriptor.digest);
    others.sort_by_cached_key(|descriptor| {
        let platform = descriptor.known_platform();
        (platform.is_none(), platform, descriptor.digest)
    });
    let mut ordered = Vec::new();
    for image in others {
        let digest = image.digest;
        ordered.push(image);
        let (own, rest) = attestations
            .into_iter()
            .partition(|a| a.attests() == Some(digest));
        attestations = rest;
        ordered.extend::<Vec<_>>(own);
    }
    // Of images that are not here: odd, but somebody listed them so.
    ordered.extend(attestations);
    ordered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{ATTESTATION, REFERENCE_DIGEST, REFERENCE_TYPE};
    use super::*;

    fn image(platform: &str) -> Descriptor {
        let platform = Platform::parse(platform, &Platform::new("linux", "amd64")).unwrap();
        Descriptor::of(media_type::MANIFEST, platform.to_string().as_bytes())
            .with_platform(platform)
    }

    fn attestation(of: &Descriptor) -> Descriptor {
        let text = format!("about {}", of.digest);
        let mut descriptor = Descriptor::of(media_type::MANIFEST, text.as_bytes())
            .with_platform(Platform::new("unknown", "unknown"));
        descriptor
            .annotations
            .insert(REFERENCE_TYPE.into(), ATTESTATION.into());
        descriptor
            .annotations
            .insert(REFERENCE_DIGEST.into(), of.digest.to_string());
        descriptor
    }

    fn manifest(from: &str, descriptor: Descriptor) -> Child {
        Child {
            from: from.into(),
            root: Root::Manifest(descriptor),
        }
    }

    fn index(from: &str, manifests: Vec<Descriptor>) -> Child {
        let index = Index::new(media_type::INDEX, manifests);
        Child {
            from: from.into(),
            root: Root::Index(index),
        }
    }

    fn merge(children: Vec<Child>) -> Result<Index, MergeError> {
        merge_index(children, BTreeMap::new())
    }

    /// Platforms of the entries, `for NAME` where an entry is an attestation.
    fn shape(index: &Index) -> Vec<String> {
        let name_of = |digest: Digest| {
            let image = index.manifests.iter().find(|d| d.digest == digest);
            image
                .and_then(Descriptor::known_platform)
                .map_or("?".into(), |p| p.to_string())
        };
        index
            .manifests
            .iter()
            .map(|d| match (d.attests(), d.known_platform()) {
                (Some(digest), _) => format!("for {}", name_of(digest)),
                (None, Some(platform)) => platform.to_string(),
                (None, None) => "other".into(),
            })
            .collect()
    }

    #[test]
    fn bare_manifests_are_listed_by_platform() {
        let merged = merge(vec![
            manifest("b", image("linux/arm64")),
            manifest("a", image("linux/amd64")),
        ])
        .unwrap();
        assert_eq!(shape(&merged), ["linux/amd64", "linux/arm64"]);
        assert_eq!(merged.media_type, media_type::INDEX);
    }

    #[test]
    fn indexes_are_flattened_and_attestations_follow_their_image() {
        let (amd, arm) = (image("linux/amd64"), image("linux/arm64"));
        let merged = merge(vec![
            index("arm", vec![arm.clone(), attestation(&arm)]),
            index("amd", vec![attestation(&amd), amd]),
        ])
        .unwrap();
        assert_eq!(
            shape(&merged),
            [
                "linux/amd64",
                "for linux/amd64",
                "linux/arm64",
                "for linux/arm64"
            ]
        );
    }

    #[test]
    fn descriptors_pass_verbatim() {
        let mut odd = image("linux/amd64");
        odd.extra
            .insert("newMember".into(), serde_json::json!({"b": 1, "a": [null]}));
        odd.annotations.insert("k".into(), "v".into());
        odd.artifact_type = Some("x/y".into());
        let merged = merge(vec![index("a", vec![odd.clone()])]).unwrap();
        assert_eq!(merged.manifests, [odd]);
    }

    #[test]
    fn two_images_for_one_platform_are_refused_naming_both_senders() {
        let mut other = image("linux/arm64/v8");
        other.digest = Digest::of(b"another");
        let error = merge(vec![
            manifest("node-a", image("linux/arm64")),
            manifest("node-b", other),
        ])
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "two different images for linux/arm64: from node-a and from node-b"
        );
    }

    #[test]
    fn windows_versions_are_platforms_of_their_own() {
        let with = |version: &str| {
            let mut platform = Platform::new("windows", "amd64");
            version.clone_into(&mut platform.os_version);
            Descriptor::of(media_type::MANIFEST, version.as_bytes()).with_platform(platform)
        };
        let merged = merge(vec![
            manifest("a", with("10.0.2")),
            manifest("b", with("10.0.1")),
        ]);
        assert_eq!(merged.unwrap().manifests.len(), 2);
    }

    #[test]
    fn one_image_delivered_twice_is_listed_once_with_both_notes() {
        let (mut first, mut second) = (image("linux/amd64"), image("linux/amd64"));
        first.annotations.insert("a".into(), "1".into());
        second.annotations.insert("b".into(), "2".into());
        let mut nameless = image("linux/amd64");
        nameless.platform = None;
        let merged = merge(vec![
            index("c", vec![nameless]),
            manifest("a", first),
            manifest("b", second),
        ])
        .unwrap();
        assert_eq!(shape(&merged), ["linux/amd64"]);
        assert_eq!(merged.manifests[0].annotations.len(), 2);
    }

    #[test]
    fn one_manifest_for_two_platforms_stays_two_entries() {
        let amd = image("linux/amd64");
        let arm = amd.clone().with_platform(Platform::new("linux", "arm64"));
        let merged = merge(vec![manifest("a", amd), manifest("b", arm)]).unwrap();
        assert_eq!(shape(&merged), ["linux/amd64", "linux/arm64"]);
    }

    #[test]
    fn a_bare_manifest_without_platform_is_refused() {
        let mut nameless = image("linux/amd64");
        nameless.platform = None;
        let error = merge(vec![manifest("node-a", nameless)]).unwrap_err();
        assert!(matches!(error, MergeError::NoPlatform { from, .. } if from == "node-a"));
    }

    #[test]
    fn nothing_is_an_error() {
        assert_eq!(merge(vec![]), Err(MergeError::Empty));
        assert_eq!(merge(vec![index("a", vec![])]), Err(MergeError::Empty));
    }

    #[test]
    fn the_media_type_is_dockers_only_for_dockers_content_without_notes() {
        let mut docker = image("linux/amd64");
        docker.media_type = media_type::DOCKER_MANIFEST.into();
        let check = |children: Vec<Descriptor>, notes: &[(&str, &str)], expect: &str| {
            let children = children.into_iter().map(|d| manifest("a", d)).collect();
            let notes = notes
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect();
            assert_eq!(merge_index(children, notes).unwrap().media_type, expect);
        };
        check(vec![docker.clone()], &[], media_type::DOCKER_LIST);
        check(vec![docker.clone()], &[("k", "v")], media_type::INDEX);
        check(vec![docker, image("linux/arm64")], &[], media_type::INDEX);
    }

    proptest! {
        #[test]
        fn the_order_of_delivery_does_not_show(seed in proptest::collection::vec(any::<u32>(), 4)) {
            let (amd, arm) = (image("linux/amd64"), image("linux/arm64"));
            let mut children: Vec<_> = seed.into_iter().zip([
                manifest("v7", image("linux/arm/v7")),
                manifest("s390x", image("linux/s390x")),
                index("amd", vec![amd.clone(), attestation(&amd)]),
                index("arm", vec![attestation(&arm), arm]),
            ]).collect();
            let expect = merge(children.iter().map(|(_, c)| c.clone()).collect()).unwrap();
            children.sort_by_key(|(key, _)| *key);
            let merged = merge(children.into_iter().map(|(_, c)| c).collect()).unwrap();
            prop_assert_eq!(merged.to_bytes(), expect.to_bytes());
        }
    }
}
