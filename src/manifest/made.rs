//! Decides what is made of the sources: [`make`]. Pure, and the same whatever their order.

use std::collections::BTreeMap;

use super::found::Found;
use crate::merge::annotate;
use crate::oci::{Child, Descriptor, Index, MergeError, Root, merge_index};
use crate::platform::Platform;
use crate::registry::Manifest;
use crate::unit::DescriptorAnnotation;

/// What the user wants made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Annotations of the index.
    pub index_annotations: BTreeMap<String, String>,
    /// Annotations of its entries.
    pub descriptor_annotations: Vec<DescriptorAnnotation>,
    /// Whether a single image becomes an index of one.
    pub prefer_index: bool,
    /// The platforms to keep; empty means all.
    pub platforms: Vec<Platform>,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Made {
    /// What the tags will point to.
    pub manifest: Manifest,
    /// What has to be where that is, with the position of the source that has it.
    pub entries: Vec<(Descriptor, usize)>,
    /// The platforms wanted that no source has.
    pub missing: Vec<Platform>,
}

/// Why nothing can be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The sources do not fit together.
    #[error("the sources cannot be one image")]
    Merge(#[from] MergeError),
    /// Nothing is for the platforms wanted.
    #[error("no source is for {wanted}: they are for {found}")]
    NoneMatches {
        /// The platforms wanted.
        wanted: String,
        /// The platforms there are.
        found: String,
    },
}

/// Makes one image of the sources and of what attests them.
///
/// A single source to which nothing is done stays as it is, byte for byte.
pub fn make(
    found: &[Found],
    attestations: &[(usize, Descriptor)],
    wanted: &Wanted,
) -> Result<Made, MakeError> {
    if let [only] = found
        && wanted.index_annotations.is_empty()
        && wanted.descriptor_annotations.is_empty()
        && (only.index.is_some() || !wanted.prefer_index)
        && attestations.is_empty()
    {
        let kept = filter(only.entries().to_vec(), &wanted.platforms)?;
        if kept.len() == only.entries().len() {
            return Ok(Made {
                missing: missing(&kept, &wanted.platforms),
                entries: kept.into_iter().map(|entry| (entry, 0)).collect(),
                manifest: only.manifest.clone(),
            });
        }
    }
    let children = found.iter().map(child);
    let extra = attestations.iter().map(|(position, entry)| Child {
        from: found[*position].label.clone(),
        root: Root::Index(Index::new("", vec![entry.clone()])),
    });
    let children: Vec<Child> = children.chain(extra).collect();
    let children = children
        .into_iter()
        .map(|child| annotate(child, &wanted.descriptor_annotations))
        .collect();
    let mut index = merge_index(children, wanted.index_annotations.clone())?;
    index.manifests = filter(index.manifests, &wanted.platforms)?;
    let origin = |entry: &Descriptor| {
        let extra = attestations
            .iter()
            .find(|(_, one)| one.digest == entry.digest);
        let listed = |found: &Found| {
            found
                .entries()
                .iter()
                .any(|other| other.digest == entry.digest)
        };
        found.iter().position(listed).or(extra.map(|(at, _)| *at))
    };
    let entries = index
        .manifests
        .iter()
        .map(|entry| (entry.clone(), origin(entry).unwrap_or_default()));
    Ok(Made {
        entries: entries.collect(),
        missing: missing(&index.manifests, &wanted.platforms),
        manifest: Manifest::new(&index.media_type, index.to_bytes()),
    })
}

fn child(found: &Found) -> Child {
    let root = match &found.index {
        Some(index) => Root::Index(index.clone()),
        None => Root::Manifest(found.descriptor.clone()),
    };
    Child {
        from: found.label.clone(),
        root,
    }
}

/// Keeps the images of these platforms, their attestations, and what names no platform.
fn filter(entries: Vec<Descriptor>, wanted: &[Platform]) -> Result<Vec<Descriptor>, MakeError> {
    if wanted.is_empty() {
        return Ok(entries);
    }
    let matches = |entry: &Descriptor| match entry.known_platform() {
        Some(platform) => wanted.iter().any(|one| one.matches_exactly(&platform)),
        None => entry.platform.is_none(),
    };
    let kept: Vec<_> = entries
        .iter()
        .filter(|entry| match entry.attests() {
            Some(image) => entries
                .iter()
                .any(|other| other.digest == image && matches(other)),
            None => matches(entry),
        })
        .cloned()
        .collect();
    if kept.is_empty() {
        let platforms = entries.iter().filter_map(Descriptor::known_platform);
        return Err(MakeError::NoneMatches {
            wanted: list(wanted.iter().cloned()),
            found: list(platforms),
        });
    }
    Ok(kept)
}

fn missing(entries: &[Descriptor], wanted: &[Platform]) -> Vec<Platform> {
    let has = |one: &Platform| {
        entries
            .iter()
            .filter_map(Descriptor::known_platform)
            .any(|platform| one.matches_exactly(&platform))
    };
    wanted.iter().filter(|one| !has(one)).cloned().collect()
}

fn list(platforms: impl Iterator<Item = Platform>) -> String {
    let names: Vec<String> = platforms.map(|platform| platform.format_all()).collect();
    match names.is_empty() {
        true => "no platform".to_owned(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::store::Store;
    use super::*;
    use crate::oci::layout::Layout;
    use crate::oci::{ATTESTATION, REFERENCE_DIGEST, REFERENCE_TYPE, media_type};

    const PLATFORMS: [&str; 6] = [
        "linux/amd64",
        "linux/arm64",
        "linux/arm/v7",
        "linux/s390x",
        "linux/riscv64",
        "windows/amd64",
    ];

    fn store() -> Store {
        let temp = tempfile::tempdir().unwrap();
        Store::Layout(Layout::create(temp.path()).unwrap())
    }

    fn image(platform: &str, text: &str) -> Descriptor {
        let platform = Platform::parse(platform, &Platform::new("linux", "amd64")).unwrap();
        Descriptor::of(media_type::MANIFEST, format!("{platform}{text}").as_bytes())
            .with_platform(platform)
    }

    fn attestation(of: &Descriptor) -> Descriptor {
        let mut entry = Descriptor::of(media_type::MANIFEST, of.digest.to_string().as_bytes())
            .with_platform(Platform::new("unknown", "unknown"));
        let notes = [
            (REFERENCE_TYPE, ATTESTATION.to_owned()),
            (REFERENCE_DIGEST, of.digest.to_string()),
        ];
        entry.annotations = notes.map(|(key, value)| (key.to_owned(), value)).into();
        entry
    }

    fn single(descriptor: Descriptor) -> Found {
        Found {
            label: descriptor.digest.to_string(),
            store: store(),
            store_name: "a".into(),
            manifest: Manifest::new(media_type::MANIFEST, "{}"),
            descriptor,
            index: None,
        }
    }

    fn index(label: &str, manifests: Vec<Descriptor>) -> Found {
        let index = Index::new(media_type::INDEX, manifests);
        let text = serde_json::to_string_pretty(&index).unwrap();
        let manifest = Manifest::new(media_type::INDEX, text);
        Found {
            label: label.into(),
            store: store(),
            store_name: label.into(),
            descriptor: manifest.descriptor(),
            manifest,
            index: Some(index),
        }
    }

    fn wanted(platforms: &[&str]) -> Wanted {
        Wanted {
            index_annotations: BTreeMap::new(),
            descriptor_annotations: Vec::new(),
            prefer_index: true,
            platforms: platforms.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn listed(made: &Made) -> Vec<String> {
        let name = |(entry, at): &(Descriptor, usize)| match entry.known_platform() {
            Some(platform) => format!("{platform} of {at}"),
            None => format!("attestation of {at}"),
        };
        made.entries.iter().map(name).collect()
    }

    #[test]
    fn one_source_to_which_nothing_is_done_stays_as_it_is() {
        let (amd, arm) = (image("linux/amd64", ""), image("linux/arm64", ""));
        let both = index("a", vec![arm.clone(), amd.clone()]);
        for platforms in [vec![], vec!["linux/amd64", "linux/arm64"]] {
            let made = make(std::slice::from_ref(&both), &[], &wanted(&platforms)).unwrap();
            assert_eq!(made.manifest, both.manifest);
        }
        let alone = single(amd);
        let asked = Wanted {
            prefer_index: false,
            ..wanted(&[])
        };
        let made = make(std::slice::from_ref(&alone), &[], &asked).unwrap();
        assert_eq!(made.manifest, alone.manifest);
        let made = make(&[alone], &[], &wanted(&[])).unwrap();
        assert!(media_type::is_index(&made.manifest.media_type));
    }

    #[test]
    fn a_filter_keeps_images_with_their_attestations() {
        let (amd, arm) = (image("linux/amd64", ""), image("linux/arm64", ""));
        let all = vec![
            amd.clone(),
            arm.clone(),
            attestation(&amd),
            attestation(&arm),
        ];
        let found = [index("a", all)];
        let made = make(&found, &[], &wanted(&["linux/arm64/v8", "linux/386"])).unwrap();
        assert_eq!(listed(&made), ["linux/arm64 of 0", "attestation of 0"]);
        assert_eq!(made.missing, ["linux/386".parse::<Platform>().unwrap()]);
        let error = make(&found, &[], &wanted(&["linux/386"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no source is for linux/386: they are for linux/amd64, linux/arm64"
        );
    }

    #[test]
    fn attestations_from_elsewhere_follow_their_image() {
        let (amd, arm) = (image("linux/amd64", ""), image("linux/arm64", ""));
        let extra = [(1, attestation(&amd))];
        let made = make(&[single(arm), single(amd)], &extra, &wanted(&[])).unwrap();
        assert_eq!(
            listed(&made),
            ["linux/amd64 of 1", "attestation of 1", "linux/arm64 of 0"]
        );
    }

    #[test]
    fn two_images_for_one_platform_name_both_sources() {
        let found = [
            index("r.io/a:1", vec![image("linux/arm64", "1")]),
            index("r.io/a:2", vec![image("linux/arm64/v8", "2")]),
        ];
        let error = make(&found, &[], &wanted(&[])).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(
            cause,
            "two different images for linux/arm64: from r.io/a:1 and from r.io/a:2"
        );
    }

    #[test]
    fn annotations_go_to_the_entries_of_their_platform() {
        let note = |platform: Option<&str>, key: &str| DescriptorAnnotation {
            platform: platform.map(|text| text.parse().unwrap()),
            key: key.into(),
            value: "v".into(),
        };
        let amd = image("linux/amd64", "");
        let all = vec![attestation(&amd), amd, image("linux/arm64", "")];
        let asked = Wanted {
            index_annotations: BTreeMap::from([("i".to_owned(), "v".to_owned())]),
            descriptor_annotations: vec![note(None, "all"), note(Some("linux/arm64/v8"), "arm")],
            ..wanted(&[])
        };
        let made = make(&[index("a", all)], &[], &asked).unwrap();
        let index = Index::parse(&made.manifest.bytes).unwrap();
        assert_eq!(index.annotations, asked.index_annotations);
        let keys = |at: usize| -> Vec<&String> { index.manifests[at].annotations.keys().collect() };
        assert_eq!(keys(0), ["all"]);
        assert_eq!(keys(1).len(), 2, "the attestation has its own only");
        assert_eq!(keys(2), ["all", "arm"]);
    }

    proptest! {
        #[test]
        fn the_order_of_sources_does_not_show(
            picked in proptest::sample::subsequence(&PLATFORMS[..], 1..=PLATFORMS.len()),
            attested in any::<u8>(),
            grouped in any::<u8>(),
            seed in proptest::collection::vec(any::<u32>(), PLATFORMS.len()),
        ) {
            let mut together = Vec::new();
            let mut found = Vec::new();
            for (position, platform) in picked.iter().enumerate() {
                let image = image(platform, "");
                let mut entries = vec![image.clone()];
                if attested >> position & 1 == 1 {
                    entries.push(attestation(&image));
                }
                match (grouped >> position & 1, entries.len()) {
                    (1, _) => together.extend(entries),
                    (_, 1) => found.push(single(image)),
                    _ => found.push(index(platform, entries)),
                }
            }
            if !together.is_empty() {
                found.push(index("together", together));
            }
            // One source is taken over as it is.
            prop_assume!(found.len() > 1);
            let expect = make(&found, &[], &wanted(&[])).unwrap().manifest;
            let mut shuffled: Vec<_> = seed.into_iter().zip(found).collect();
            shuffled.sort_by_key(|(key, _)| *key);
            let found: Vec<_> = shuffled.into_iter().map(|(_, found)| found).collect();
            prop_assert_eq!(make(&found, &[], &wanted(&[])).unwrap().manifest, expect);
        }
    }
}
