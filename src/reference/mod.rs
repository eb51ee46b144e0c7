//! The `ImageRef` type: the name of an image in a registry, with Docker's defaults filled in.
//!
//! Prints and shortens names; `parse` reads them.
//! Nothing here talks to a registry.

mod grammar;
mod parse;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::parse::parse_tag;
use crate::digest::Digest;

pub use parse::ReferenceError;

const DEFAULT_DOMAIN: &str = "docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";

/// A fully qualified image name: registry, repository, and perhaps a tag and a digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageRef {
    /// Returns the registry as a host with an optional port, `docker.io` for Docker Hub.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Returns the repository within the registry, e.g. `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the tag; `None` if none was given, for none is made up.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Returns the digest, if the name has one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns registry and repository, without tag and digest.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// Returns the name without tag and digest.
    #[must_use]
    pub fn without_tag(&self) -> Self {
        Self {
            tag: None,
            digest: None,
            ..self.clone()
        }
    }

    /// Returns the name with the tag `latest` if it has neither a tag nor a digest.
    #[must_use]
    pub fn with_default_tag(&self) -> Self {
        let mut named = self.clone();
        if named.tag.is_none() && named.digest.is_none() {
            named.tag = Some(DEFAULT_TAG.to_owned());
        }
        named
    }

    /// Returns the name with another tag.
    ///
    /// # Errors
    ///
    /// When the tag is not a valid one.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        let tag = parse_tag(&self.to_string(), tag)?;
        Ok(Self {
            tag: Some(tag),
            ..self.clone()
        })
    }

    /// Returns the name with another digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Returns the name as short as it can be typed, e.g. `busybox:1`.
    pub fn familiar(&self) -> String {
        self.joined(&self.familiar_name())
    }

    /// Returns the short form of registry and repository, without tag and digest.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.repository();
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(name) if !name.contains('/') => name.to_owned(),
            _ => self.path.clone(),
        }
    }

    fn joined(&self, name: &str) -> String {
        let tag = self.tag.iter().map(|tag| format!(":{tag}"));
        let digest = self.digest.iter().map(|digest| format!("@{digest}"));
        std::iter::once(name.to_owned())
            .chain(tag)
            .chain(digest)
            .collect()
    }
}

/// Prints the full name, e.g. `docker.io/library/busybox:1`.
impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.joined(&self.repository()))
    }
}

impl Serialize for ImageRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, full: &str, familiar: &str) {
        let image = ImageRef::parse(text).unwrap();
        assert_eq!(image.to_string(), full, "{text}");
        assert_eq!(image.familiar(), familiar, "{text}");
    }

    #[test]
    fn fills_in_docker_hub() {
        check("busybox", "docker.io/library/busybox", "busybox");
        check("index.docker.io/a:1", "docker.io/library/a:1", "a:1");
        check("a/b", "docker.io/a/b", "a/b");
        check("library/a/b", "docker.io/library/a/b", "library/a/b");
    }

    #[test]
    fn the_first_part_may_be_a_registry() {
        check("localhost/a", "localhost/a", "localhost/a");
        check("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a");
        check("Foo/bar", "Foo/bar", "Foo/bar");
        check("a:5000", "docker.io/library/a:5000", "a:5000");
    }

    #[test]
    fn keeps_tag_and_digest() {
        let digest = Digest::of(b"");
        let text = format!("r.io:5000/a/b:1@{digest}");
        let image = ImageRef::parse(&text).unwrap();
        assert_eq!((image.tag(), image.digest()), (Some("1"), Some(&digest)));
        assert_eq!(image.to_string(), text);
        assert_eq!(image.repository(), "r.io:5000/a/b");
        assert_eq!(
            image
                .without_tag()
                .with_digest(digest)
                .with_default_tag()
                .tag(),
            None
        );
    }

    #[test]
    fn a_tag_is_checked_whenever_it_is_set() {
        let image = ImageRef::parse("a").unwrap();
        assert_eq!(image.with_tag("2").unwrap().familiar(), "a:2");
        assert!(image.with_tag("-2").is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(
            domain in "([a-z]{1,4}\\.io(:[0-9]{1,4})?/)?",
            path in "[a-z0-9]{1,4}(/[a-z0-9]{1,4}(__|-|[.])[a-z0-9]){0,2}",
            tag in "(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,4})?",
            bytes: Option<[u8; 32]>,
        ) {
            let digest = bytes.map(|bytes| format!("@{}", Digest::from_bytes(bytes)));
            let text = format!("{domain}{path}{tag}{}", digest.unwrap_or_default());
            let image = ImageRef::parse(&text).unwrap();
            prop_assert_eq!(ImageRef::parse(&image.to_string()).unwrap(), image.clone());
            prop_assert_eq!(ImageRef::parse(&image.familiar()).unwrap(), image);
        }

        #[test]
        fn any_text_gives_an_answer(text in "\\PC{0,20}") {
            let _ = ImageRef::parse(&text);
        }
    }
}
