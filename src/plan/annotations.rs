//! Annotations among an image output's attributes: whose they are, and where they go.
//!
//! A unit writes a bare manifest, so what is meant for the index is kept back for the merge,
//! and what names another platform is not sent at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::platform::Platform;
use crate::unit::DescriptorAnnotation;

/// The annotations of one image output, sorted by where they go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    /// Onto the image manifests of units; `None` means every platform's.
    manifests: Vec<(Option<Platform>, String, String)>,
    /// Onto the index.
    pub(super) index: BTreeMap<String, String>,
    /// Onto entries of the index.
    pub(super) descriptors: Vec<DescriptorAnnotation>,
    /// Onto the descriptor of the index, which only a layout has.
    pub(super) index_descriptor: BTreeMap<String, String>,
}

/// The thing an annotation is written on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Manifest,
    Index,
    ManifestDescriptor,
    IndexDescriptor,
}

impl Annotations {
    /// Takes the annotation attributes out of `attrs`.
    ///
    /// The error is the attribute that is none although it looks like one.
    pub(super) fn take(attrs: &mut BTreeMap<String, String>) -> Result<Self, String> {
        let mut taken = Self::default();
        let keys: Vec<String> = attrs
            .keys()
            .filter(|key| key.starts_with("annotation"))
            .cloned()
            .collect();
        for attr in keys {
            let Some((place, platform, key)) = parse(&attr)? else {
                continue;
            };
            let value = attrs.remove(&attr).unwrap_or_default();
            match place {
                Place::Manifest => taken.manifests.push((platform, key, value)),
                Place::Index => drop(taken.index.insert(key, value)),
                Place::ManifestDescriptor => {
                    taken.descriptors.push(DescriptorAnnotation {
                        platform,
                        key,
                        value,
                    });
                }
                Place::IndexDescriptor => drop(taken.index_descriptor.insert(key, value)),
            }
        }
        Ok(taken)
    }

    /// The attributes that the unit of this platform is sent.
    pub(super) fn attrs_for(&self, platform: &Platform) -> BTreeMap<String, String> {
        self.manifests
            .iter()
            .filter(|(only, _, _)| only.as_ref().is_none_or(|only| only == platform))
            .map(|(_, key, value)| (format!("annotation-manifest.{key}"), value.clone()))
            .collect()
    }

    /// The attributes of a unit whose daemon writes the index too, if there is one.
    pub(super) fn all_for(&self, platform: &Platform) -> BTreeMap<String, String> {
        let mut attrs = self.attrs_for(platform);
        for note in &self.descriptors {
            let only = note.platform.as_ref().map(Platform::normalized);
            if only.is_none_or(|only| only == *platform) {
                let key = format!("annotation-manifest-descriptor.{}", note.key);
                attrs.insert(key, note.value.clone());
            }
        }
        let index = self.index.iter().map(|note| ("index", note));
        let descriptor = self.index_descriptor.iter();
        let descriptor = descriptor.map(|note| ("index-descriptor", note));
        for (place, (key, value)) in index.chain(descriptor) {
            attrs.insert(format!("annotation-{place}.{key}"), value.clone());
        }
        attrs
    }

    /// The platforms that annotations name, each once.
    pub(super) fn platforms(&self) -> BTreeSet<Platform> {
        let manifests = self.manifests.iter().map(|(only, _, _)| only);
        let descriptors = self.descriptors.iter().map(|note| &note.platform);
        let named = manifests.chain(descriptors).flatten();
        named.map(Platform::normalized).collect()
    }
}

type Parsed = (Place, Option<Platform>, String);

fn parse(attr: &str) -> Result<Option<Parsed>, String> {
    let rest = &attr["annotation".len()..];
    let Some((head, key)) = split_head(rest) else {
        return Ok(None);
    };
    let (place, platform) = match head.split_once('[') {
        Some((place, platform)) => (place, Some(platform.trim_end_matches(']'))),
        None => (head, None),
    };
    let place = match place {
        "" | "-manifest" => Place::Manifest,
        "-index" => Place::Index,
        "-manifest-descriptor" => Place::ManifestDescriptor,
        "-index-descriptor" => Place::IndexDescriptor,
        _ => return Err(format!("{attr} is not an annotation that exists")),
    };
    let platform = platform
        .map(str::parse::<Platform>)
        .transpose()
        .map_err(|error| format!("{attr}: {error}"))?
        .map(|platform| platform.normalized());
    Ok(Some((place, platform, key.to_owned())))
}

/// Cuts `-manifest[linux/amd64].key` before the key; a platform may hold dots itself.
fn split_head(rest: &str) -> Option<(&str, &str)> {
    let from = rest
        .find(']')
        .filter(|end| rest.find('[').is_some_and(|start| start < *end));
    let dot = match from {
        Some(end)
            if rest[..end]
                .find('.')
                .is_none_or(|dot| dot > rest.find('[').unwrap_or(0)) =>
        {
            rest[end..].find('.')? + end
        }
        _ => rest.find('.')?,
    };
    Some((&rest[..dot], &rest[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(attrs: &[(&str, &str)]) -> Result<(Annotations, BTreeMap<String, String>), String> {
        let mut attrs = attrs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Annotations::take(&mut attrs).map(|taken| (taken, attrs))
    }

    #[test]
    fn each_kind_goes_to_its_place_and_the_rest_stays() {
        let (taken, rest) = take(&[
            ("annotation.a.b", "1"),
            ("annotation-manifest[linux/arm64].c", "2"),
            ("annotation-index.d", "3"),
            ("annotation-manifest-descriptor.e", "4"),
            ("annotation-index-descriptor.f", "5"),
            ("compression", "zstd"),
        ])
        .unwrap();
        let amd64 = taken.attrs_for(&"linux/amd64".parse().unwrap());
        assert_eq!(
            amd64,
            BTreeMap::from([("annotation-manifest.a.b".into(), "1".into())])
        );
        let arm64 = taken.attrs_for(&"linux/arm64".parse().unwrap());
        assert_eq!(arm64.len(), 2);
        assert_eq!(taken.index, BTreeMap::from([("d".into(), "3".into())]));
        assert_eq!(taken.descriptors.len(), 1);
        assert_eq!(rest.into_keys().collect::<Vec<_>>(), ["compression"]);
    }

    #[test]
    fn a_daemon_that_keeps_its_image_is_told_all_of_its_platform() {
        let (taken, _) = take(&[
            ("annotation-manifest-descriptor[linux/arm64].e", "1"),
            ("annotation-manifest-descriptor.f", "2"),
            ("annotation-index.d", "3"),
            ("annotation-index-descriptor.g", "4"),
        ])
        .unwrap();
        let attrs = taken.all_for(&"linux/amd64".parse().unwrap());
        let expect = [
            "annotation-index-descriptor.g",
            "annotation-index.d",
            "annotation-manifest-descriptor.f",
        ];
        assert_eq!(attrs.into_keys().collect::<Vec<_>>(), expect);
        let named: Vec<String> = taken.platforms().iter().map(Platform::to_string).collect();
        assert_eq!(named, ["linux/arm64"]);
    }

    #[test]
    fn an_unknown_kind_or_platform_is_an_error() {
        assert!(take(&[("annotation-layer.a", "1")]).is_err());
        assert!(take(&[("annotation-manifest[*].a", "1")]).is_err());
    }
}
