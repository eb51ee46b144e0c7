//! The `--build-context` flag, and what the word for a context may stand for.
//!
//! Tells the kinds of context apart by their spelling alone; whether a directory exists is found
//! out by whoever reads it.

use std::fmt;
use std::path::PathBuf;

use crate::attrs::FlagError;
use crate::reference::ImageRef;

use super::remote::is_remote;

const FLAG: &str = "--build-context";

/// One additional context that a Dockerfile may use by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildContextSpec {
    /// The name, shortened as image names are, without `:latest`.
    pub name: String,
    /// What it stands for.
    pub source: ContextSource,
}

/// What the word for a context stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextSource {
    /// A directory on this machine.
    Directory(PathBuf),
    /// A Git repository or a file on the web, which the daemon fetches.
    Remote(String),
    /// An image, written `docker-image://NAME`.
    Image(String),
    /// An image in a layout on this machine, written `oci-layout://DIR[:TAG][@DIGEST]`.
    OciLayout(String),
    /// Another target of the same bake file, written `target:NAME`.
    Target(String),
}

impl BuildContextSpec {
    /// Parses `NAME=SOURCE`.
    ///
    /// # Errors
    ///
    /// When there is no `=`, or the name could not be an image's.
    pub fn parse(value: &str) -> Result<Self, FlagError> {
        let Some((name, source)) = value.split_once('=') else {
            return Err(FlagError::Form {
                flag: FLAG,
                value: value.to_owned(),
                expected: "of the form name=source",
            });
        };
        let name = ImageRef::parse(name).map_err(|source| FlagError::Reference {
            flag: FLAG,
            value: value.to_owned(),
            source,
        })?;
        let name = name.familiar();
        Ok(Self {
            name: name.strip_suffix(":latest").unwrap_or(&name).to_owned(),
            source: ContextSource::of(source),
        })
    }
}

impl ContextSource {
    /// Tells what a word stands for; anything unknown is a directory.
    pub fn of(text: &str) -> Self {
        let after = |prefix: &str| text.strip_prefix(prefix).map(str::to_owned);
        if let Some(image) = after("docker-image://") {
            Self::Image(image)
        } else if let Some(layout) = after("oci-layout://") {
            Self::OciLayout(layout)
        } else if let Some(target) = after("target:") {
            Self::Target(target)
        } else if is_remote(text) {
            Self::Remote(text.to_owned())
        } else {
            Self::Directory(PathBuf::from(text))
        }
    }
}

/// Prints the word that was given.
impl fmt::Display for ContextSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Remote(url) => f.write_str(url),
            Self::Image(name) => write!(f, "docker-image://{name}"),
            Self::OciLayout(place) => write!(f, "oci-layout://{place}"),
            Self::Target(name) => write!(f, "target:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong() {
        let check = |value: &str, expect: &str| {
            assert_eq!(
                BuildContextSpec::parse(value).unwrap_err().to_string(),
                expect
            );
        };
        check("a", "--build-context: `a` is not of the form name=source");
        check("=b", "--build-context: bad name in `=b`");
        check("A=b", "--build-context: bad name in `A=b`");
    }

    #[test]
    fn the_name_is_as_short_as_an_image_name() {
        let check = |value: &str, expect: &str| {
            assert_eq!(
                BuildContextSpec::parse(value).unwrap().name,
                expect,
                "{value}"
            );
        };
        check("docker.io/library/a:latest=x", "a");
        check("r.io/a:1=x", "r.io/a:1");
    }

    #[test]
    fn the_spelling_tells_what_a_context_is() {
        let check = |text: &str, expect: fn(String) -> ContextSource, inner: &str| {
            let source = ContextSource::of(text);
            assert_eq!(source, expect(inner.to_owned()), "{text}");
            assert_eq!(source.to_string(), text);
        };
        let directory = |path| ContextSource::Directory(PathBuf::from(path));
        check("docker-image://a:1", ContextSource::Image, "a:1");
        check("oci-layout://d@x", ContextSource::OciLayout, "d@x");
        check("target:t", ContextSource::Target, "t");
        check(
            "git@host.io:a/b.git",
            ContextSource::Remote,
            "git@host.io:a/b.git",
        );
        check("github.com/a/b", ContextSource::Remote, "github.com/a/b");
        check("./github.com/a/b", directory, "./github.com/a/b");
        check("a/b@c:d", directory, "a/b@c:d");
        check("", directory, "");
    }
}
