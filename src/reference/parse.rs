//! Parses image names as they are typed, filling in Docker Hub.
//!
//! What each part may hold is in `grammar`; this finds the parts and says which one is wrong.

use std::str::FromStr;

use super::{DEFAULT_DOMAIN, ImageRef, OFFICIAL, grammar};
use crate::digest::{Digest, DigestError};

const LEGACY_DOMAIN: &str = "index.docker.io";

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
}

impl FromStr for ImageRef {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
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

pub(super) fn parse_tag(text: &str, tag: &str) -> Result<String, ReferenceError> {
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
    use super::*;

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
}
