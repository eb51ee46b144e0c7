//! The `ImageRef` type: the name of an image in a registry, with Docker's defaults filled in.
//!
//! Parses, prints and shortens names; which characters each part may hold is in `grammar`.
//! Nothing here talks to a registry.

mod grammar;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, DigestError};

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
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

/// Why a text is not an image name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text is empty.
    #[error("image name is empty")]
    Empty,
    /// 64 hexadecimal digits alone would be taken for an image ID.
    #[error("`{0}` is an image ID, not an image name")]
    ImageId(String),
    /// The part before the first slash is not a host name or address with an optional port.
    #[error("`{domain}` is not a valid registry in image name `{text}`")]
    Domain {
        /// The whole text.
        text: String,
        /// The part at fault.
        domain: String,
    },
    /// Repositories are lower-case.
    #[error("repository `{path}` in image name `{text}` must be lower-case")]
    UpperCase {
        /// The whole text.
        text: String,
        /// The part at fault.
        path: String,
    },
    /// The repository is empty, or has characters or separators that are not allowed.
    #[error("`{path}` is not a valid repository in image name `{text}`")]
    Path {
        /// The whole text.
        text: String,
        /// The part at fault.
        path: String,
    },
    /// The repository, `library/` included, is longer than 255 characters.
    #[error("repository of {0} characters is longer than {max}", max = grammar::MAX_PATH)]
    TooLong(usize),
    /// The tag is empty, too long, or has characters that are not allowed.
    #[error("`{tag}` is not a valid tag in image name `{text}`")]
    Tag {
        /// The whole text.
        text: String,
        /// The part at fault.
        tag: String,
    },
    /// What follows the `@` is not a digest.
    #[error("invalid digest in image name `{text}`")]
    Digest {
        /// The whole text.
        text: String,
        /// What is wrong with the digest.
        source: DigestError,
    },
}

impl ImageRef {
    /// Parses a name as it is typed, e.g. `busybox` for `docker.io/library/busybox`.
    ///
    /// # Errors
    ///
    /// When Docker refuses the name too, or its digest is of another algorithm than sha256.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if grammar::is_image_id(text) {
            return Err(ReferenceError::ImageId(text.to_owned()));
        }
        let (domain, rest) = split_domain(text);
        let (name, digest) = match rest.split_once('@') {
            Some((name, digest)) => (name, Some(parse_digest(text, digest)?)),
            None => (rest, None),
        };
        let (path, tag) = match name.split_once(':') {
            Some((path, tag)) => (path, Some(parse_tag(text, tag)?)),
            None => (name, None),
        };
        if !grammar::is_domain(domain) {
            let (text, domain) = (text.to_owned(), domain.to_owned());
            return Err(ReferenceError::Domain { text, domain });
        }
        Ok(Self {
            domain: domain.to_owned(),
            path: parse_path(text, domain, path)?,
            tag,
            digest,
        })
    }

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

impl FromStr for ImageRef {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
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

/// Splits off the registry; the first part is one if it could not be a part of a repository.
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((LEGACY_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.chars().any(char::is_uppercase) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

fn parse_path(text: &str, domain: &str, path: &str) -> Result<String, ReferenceError> {
    let err = |make: fn(String, String) -> ReferenceError| make(text.to_owned(), path.to_owned());
    if path.chars().any(char::is_uppercase) {
        return Err(err(|text, path| ReferenceError::UpperCase { text, path }));
    }
    if !grammar::is_path(path) {
        return Err(err(|text, path| ReferenceError::Path { text, path }));
    }
    let full = if domain == DEFAULT_DOMAIN && !path.contains('/') {
        format!("{OFFICIAL}{path}")
    } else {
        path.to_owned()
    };
    if full.len() > grammar::MAX_PATH {
        return Err(ReferenceError::TooLong(full.len()));
    }
    Ok(full)
}

fn parse_tag(text: &str, tag: &str) -> Result<String, ReferenceError> {
    let (text, tag) = (text.to_owned(), tag.to_owned());
    if grammar::is_tag(&tag) {
        Ok(tag)
    } else {
        Err(ReferenceError::Tag { text, tag })
    }
}

fn parse_digest(text: &str, digest: &str) -> Result<Digest, ReferenceError> {
    Digest::parse(digest).map_err(|source| ReferenceError::Digest {
        text: text.to_owned(),
        source,
    })
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
    fn says_which_part_is_wrong() {
        let check = |text: &str, expect: &str| {
            assert_eq!(ImageRef::parse(text).unwrap_err().to_string(), expect);
        };
        check("", "image name is empty");
        check(
            "Foo",
            "repository `Foo` in image name `Foo` must be lower-case",
        );
        check(
            "a_b.c/d",
            "`a_b.c` is not a valid registry in image name `a_b.c/d`",
        );
        check(
            "foo/",
            "`foo/` is not a valid repository in image name `foo/`",
        );
        check("foo:", "`` is not a valid tag in image name `foo:`");
        check("a@sha256:0", "invalid digest in image name `a@sha256:0`");
        let id = "a".repeat(64);
        check(&id, &format!("`{id}` is an image ID, not an image name"));
        check(
            &format!("r.io/{}", "a".repeat(256)),
            "repository of 256 characters is longer than 255",
        );
    }

    #[test]
    fn the_limit_counts_the_part_that_is_filled_in() {
        let check = |len: usize| ImageRef::parse(&"x".repeat(len)).map(|image| image.path.len());
        assert_eq!(check(255 - OFFICIAL.len()), Ok(255));
        assert_eq!(
            check(256 - OFFICIAL.len()),
            Err(ReferenceError::TooLong(256))
        );
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
