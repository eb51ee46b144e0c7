//! How an `index.json` names images: annotations of its entries, found and put. Pure.
//!
//! The conventions are containerd's: an image's full name in `io.containerd.image.name`, and its
//! tag, or a bare tag, in `org.opencontainers.image.ref.name`.

use super::{Descriptor, Index};
use crate::reference::ImageRef;

/// The annotation with an image's full name.
pub const IMAGE_NAME: &str = "io.containerd.image.name";
/// The annotation with a tag, or with whatever name a tool gives.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// What an entry of an `index.json` is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryName {
    /// An image's name; without a tag it gets `latest`.
    Image(ImageRef),
    /// A bare tag, as caches have.
    Tag(String),
}

impl EntryName {
    /// The two annotations; an image without tag has the first one only.
    fn annotations(&self) -> (Option<String>, Option<String>) {
        match self {
            EntryName::Image(name) => {
                let name = name.with_default_tag();
                (Some(name.to_string()), name.tag().map(str::to_owned))
            }
            EntryName::Tag(tag) => (None, Some(tag.clone())),
        }
    }

    /// Returns the descriptor under this name; other annotations stay.
    #[must_use]
    pub fn on(&self, descriptor: &Descriptor) -> Descriptor {
        let mut named = unnamed(descriptor);
        let (image, tag) = self.annotations();
        let pairs = [(IMAGE_NAME, image), (REF_NAME, tag)];
        for (key, value) in pairs {
            if let Some(value) = value {
                named.annotations.insert(key.to_owned(), value);
            }
        }
        named
    }
}

/// Returns the descriptor without a name.
#[must_use]
pub fn unnamed(descriptor: &Descriptor) -> Descriptor {
    let mut unnamed = descriptor.clone();
    unnamed.annotations.remove(IMAGE_NAME);
    unnamed.annotations.remove(REF_NAME);
    unnamed
}

/// Puts a descriptor into an index under a name: what had the name before goes, and so does an
/// entry of the same content without a name.
pub fn put(index: &mut Index, descriptor: &Descriptor, name: &EntryName) {
    put_entry(index, &name.on(descriptor));
}

/// Puts an entry that may have a name into an index, by the same rules.
pub fn put_entry(index: &mut Index, entry: &Descriptor) {
    let names = names_of(entry);
    if names == (None, None) {
        return put_unnamed(index, entry);
    }
    index.manifests.retain(|other| {
        let theirs = names_of(other);
        theirs != names && !(theirs == (None, None) && other.digest == entry.digest)
    });
    index.manifests.push(entry.clone());
}

/// Puts a descriptor into an index without a name, unless its content is listed already.
pub fn put_unnamed(index: &mut Index, descriptor: &Descriptor) {
    let digest = descriptor.digest;
    if index.manifests.iter().all(|other| other.digest != digest) {
        index.manifests.push(unnamed(descriptor));
    }
}

/// Finds the entry of a name: an image's full name counts before a tag.
pub fn find<'a>(index: &'a Index, name: &str) -> Option<&'a Descriptor> {
    let by = |key: &str| {
        index
            .manifests
            .iter()
            .find(|entry| entry.annotations.get(key).is_some_and(|text| text == name))
    };
    let full = || {
        let full = name.parse::<ImageRef>().ok()?.with_default_tag();
        let full = full.to_string();
        (full != name).then(|| {
            index
                .manifests
                .iter()
                .find(|entry| entry.annotations.get(IMAGE_NAME) == Some(&full))
        })?
    };
    by(IMAGE_NAME).or_else(|| by(REF_NAME)).or_else(full)
}

/// The names that an index has, for messages: full ones, else tags.
pub fn listed(index: &Index) -> Vec<&str> {
    let name = |entry: &'_ Descriptor| match names_of(entry) {
        (Some(_), _) => IMAGE_NAME,
        _ => REF_NAME,
    };
    index
        .manifests
        .iter()
        .filter_map(|entry| entry.annotations.get(name(entry)).map(String::as_str))
        .collect()
}

fn names_of(entry: &Descriptor) -> (Option<&String>, Option<&String>) {
    let get = |key| entry.annotations.get(key);
    (get(IMAGE_NAME), get(REF_NAME))
}

#[cfg(test)]
mod tests {
    use super::super::media_type;
    use super::*;

    fn image(text: &str) -> Descriptor {
        Descriptor::of(media_type::MANIFEST, text.as_bytes())
    }

    fn name(text: &str) -> EntryName {
        EntryName::Image(text.parse().unwrap())
    }

    fn index() -> Index {
        Index::new(media_type::INDEX, vec![])
    }

    #[test]
    fn an_image_has_both_names_and_a_cache_its_tag() {
        let entry = name("app").on(&image("a"));
        assert_eq!(
            entry.annotations[IMAGE_NAME],
            "docker.io/library/app:latest"
        );
        assert_eq!(entry.annotations[REF_NAME], "latest");
        let entry = EntryName::Tag("x".into()).on(&entry);
        assert_eq!(entry.annotations.get(IMAGE_NAME), None);
        assert_eq!(entry.annotations[REF_NAME], "x");
    }

    #[test]
    fn a_name_moves_and_the_others_stay() {
        let mut index = index();
        put_unnamed(&mut index, &image("a"));
        put_unnamed(&mut index, &image("a"));
        assert_eq!(index.manifests.len(), 1);
        put(&mut index, &image("a"), &name("app:1"));
        put(&mut index, &image("a"), &name("app:2"));
        put(&mut index, &image("b"), &name("app:1"));
        put(&mut index, &image("c"), &EntryName::Tag("1".into()));
        put(&mut index, &image("c"), &name("r.io/app:1"));
        let names = listed(&index);
        assert_eq!(
            names,
            [
                "docker.io/library/app:2",
                "docker.io/library/app:1",
                "1",
                "r.io/app:1"
            ]
        );
        let digest = |text: &str| find(&index, text).map(|entry| entry.digest);
        assert_eq!(digest("app:1"), Some(image("b").digest));
        assert_eq!(digest("docker.io/library/app:2"), Some(image("a").digest));
        assert_eq!(
            digest("1"),
            Some(image("b").digest),
            "the first that has the tag"
        );
        assert_eq!(digest("3"), None);
    }
}
