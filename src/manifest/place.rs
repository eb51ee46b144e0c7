//! [`Place`]: where an image is or goes, in a registry or in a layout on disk. Pure.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::digest::{Digest, DigestError};
use crate::reference::{ImageRef, ReferenceError};

/// What the names of layouts begin with.
const SCHEME: &str = "oci-layout://";
/// The longest tag (OCI distribution-spec).
const TAG_LENGTH: usize = 128;

/// Where an image is or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a registry; it has a tag or a digest.
    Image(ImageRef),
    /// In an OCI layout.
    Layout(LayoutPlace),
}

/// Where in a layout an image is or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutPlace {
    /// The layout's directory.
    pub dir: PathBuf,
    /// Under this tag; `None` when none was given.
    pub tag: Option<String>,
    /// With this digest.
    pub digest: Option<Digest>,
}

/// Why a text names no place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// It is no image's name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// What follows the `@` is no digest.
    #[error("{text} names no layout")]
    Digest {
        /// The whole text.
        text: String,
        /// What is wrong with it.
        source: DigestError,
    },
    /// There is no directory in it.
    #[error("{0} names no directory: it is oci-layout://DIR[:TAG][@DIGEST]")]
    NoDirectory(String),
}

impl Place {
    /// Parses `NAME[:TAG][@DIGEST]`, where no tag means `latest`, or
    /// `oci-layout://DIR[:TAG][@DIGEST]`; a relative directory starts at `cwd`.
    ///
    /// # Errors
    ///
    /// When the text is neither.
    pub fn parse(text: &str, cwd: &Path) -> Result<Self, PlaceError> {
        match text.strip_prefix(SCHEME) {
            Some(rest) => LayoutPlace::parse(text, rest, cwd).map(Self::Layout),
            None => Ok(Self::Image(ImageRef::parse(text)?.with_default_tag())),
        }
    }

    /// The digest that is part of the name.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Image(image) => image.digest().copied(),
            Self::Layout(layout) => layout.digest,
        }
    }

    /// What holds the image: the repository, or the layout's directory.
    pub fn store(&self) -> String {
        match self {
            Self::Image(image) => image.repository(),
            Self::Layout(layout) => format!("{SCHEME}{}", layout.dir.display()),
        }
    }

    /// The same store, with this digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        match self {
            Self::Image(image) => Self::Image(image.without_tag().with_digest(digest)),
            Self::Layout(layout) => Self::Layout(LayoutPlace {
                tag: None,
                digest: Some(digest),
                ..layout.clone()
            }),
        }
    }
}

impl LayoutPlace {
    fn parse(text: &str, rest: &str, cwd: &Path) -> Result<Self, PlaceError> {
        let (rest, digest) = match rest.rsplit_once('@') {
            Some((before, after)) if after.contains(':') && !after.contains('/') => {
                let digest = after.parse().map_err(|source| PlaceError::Digest {
                    text: text.to_owned(),
                    source,
                })?;
                (before, Some(digest))
            }
            _ => (rest, None),
        };
        let (dir, tag) = match rest.rsplit_once(':') {
            Some((dir, tag)) if is_tag(tag) => (dir, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if dir.is_empty() {
            return Err(PlaceError::NoDirectory(text.to_owned()));
        }
        Ok(Self {
            dir: cwd.join(dir),
            tag,
            digest,
        })
    }
}

impl fmt::Display for Place {
    /// Prints what can be parsed again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(image) => write!(f, "{image}"),
            Self::Layout(layout) => {
                write!(f, "{SCHEME}{}", layout.dir.display())?;
                if let Some(tag) = &layout.tag {
                    write!(f, ":{tag}")?;
                }
                match layout.digest {
                    Some(digest) => write!(f, "@{digest}"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(word)
        && text.len() <= TAG_LENGTH
        && text.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown = match Place::parse(text, Path::new("/work dir")) {
            Ok(place) => place.to_string(),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(shown, expect, "{text}");
    }

    #[test]
    fn images_have_a_tag_or_a_digest() {
        let digest = Digest::of(b"");
        check("app", "docker.io/library/app:latest");
        check("r.io/app:1", "r.io/app:1");
        check(&format!("r.io/app@{digest}"), &format!("r.io/app@{digest}"));
        assert!(Place::parse("Upper", Path::new("/")).is_err());
    }

    #[test]
    fn layouts_have_a_directory_and_perhaps_a_tag_and_a_digest() {
        let digest = Digest::of(b"");
        check("oci-layout://out", "oci-layout:///work dir/out");
        check("oci-layout:///a/b:1.0", "oci-layout:///a/b:1.0");
        check(
            &format!("oci-layout:///a:1@{digest}"),
            &format!("oci-layout:///a:1@{digest}"),
        );
        check("oci-layout:///a:b/c", "oci-layout:///a:b/c");
        check("oci-layout:///a@b", "oci-layout:///a@b");
        check(
            "oci-layout://",
            "error: oci-layout:// names no directory: it is oci-layout://DIR[:TAG][@DIGEST]",
        );
        check(
            "oci-layout:///a@sha256:1",
            "error: oci-layout:///a@sha256:1 names no layout",
        );
    }

    #[test]
    fn a_digest_replaces_a_tag() {
        let digest = Digest::of(b"");
        for (text, expect) in [
            ("r.io/a:1", "r.io/a"),
            ("oci-layout:///a:1", "oci-layout:///a"),
        ] {
            let place = Place::parse(text, Path::new("/")).unwrap();
            assert_eq!(
                place.with_digest(digest).to_string(),
                format!("{expect}@{digest}")
            );
        }
    }
}
