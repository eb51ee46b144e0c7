//! The `--cache-from` and `--cache-to` flags: where build cache comes from and goes to.
//!
//! Keeps the keys as they are; filling in tokens and suffixing names is done when the Solve is
//! made.

use std::collections::BTreeMap;
use std::fmt;

use crate::attrs::{self, FlagError};

/// One source or destination of build cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSpec {
    /// The back end.
    pub kind: CacheKind,
    /// All other keys, lower-case, as they go to the daemon.
    pub attrs: BTreeMap<String, String>,
}

/// Where build cache is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheKind {
    /// An image of its own in a registry, named by `ref`.
    Registry,
    /// A directory of the client, `src` or `dest`.
    Local,
    /// Inside the image that is pushed.
    Inline,
    /// GitHub's cache service.
    Gha,
    /// An S3 bucket.
    S3,
    /// An Azure blob container.
    Azblob,
    /// Another type, which the daemon may know.
    Other(String),
}

impl CacheSpec {
    /// Parses `type=KIND,key=value…`, or a list of image names, which are registry caches.
    ///
    /// An empty value gives none. `flag` names the flag in errors.
    ///
    /// # Errors
    ///
    /// When a field is not a pair or there is no type.
    pub fn parse(flag: &'static str, value: &str) -> Result<Vec<Self>, FlagError> {
        if value.is_empty() {
            return Ok(Vec::new());
        }
        if !value.contains('=') {
            let fields = attrs::split_flag(flag, value)?;
            return fields
                .into_iter()
                .map(|name| Self::registry(flag, value, name))
                .collect();
        }
        let mut kind = None;
        let mut attrs = BTreeMap::new();
        for (key, value) in attrs::split_pairs(flag, value)? {
            if key == "type" {
                kind = CacheKind::parse(&value);
            } else {
                attrs.insert(key, value);
            }
        }
        let kind = kind.ok_or_else(|| FlagError::MissingKey {
            flag,
            key: "type",
            value: value.to_owned(),
        })?;
        Ok(vec![Self { kind, attrs }])
    }

    fn registry(flag: &'static str, value: &str, name: String) -> Result<Self, FlagError> {
        if name.is_empty() || name.contains(',') {
            return Err(FlagError::Form {
                flag,
                value: value.to_owned(),
                expected: "a list of image names",
            });
        }
        Ok(Self {
            kind: CacheKind::Registry,
            attrs: BTreeMap::from([("ref".to_owned(), name)]),
        })
    }
}

impl CacheKind {
    /// Returns the name that `type=` has, which is also the daemon's.
    pub fn name(&self) -> &str {
        match self {
            Self::Registry => "registry",
            Self::Local => "local",
            Self::Inline => "inline",
            Self::Gha => "gha",
            Self::S3 => "s3",
            Self::Azblob => "azblob",
            Self::Other(name) => name,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name {
            "" => None,
            "registry" => Some(Self::Registry),
            "local" => Some(Self::Local),
            "inline" => Some(Self::Inline),
            "gha" => Some(Self::Gha),
            "s3" => Some(Self::S3),
            "azblob" => Some(Self::Azblob),
            other => Some(Self::Other(other.to_owned())),
        }
    }
}

/// Prints the long form, which parses to the same.
impl fmt::Display for CacheSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = [("type", self.kind.name())];
        f.write_str(&attrs::join_pairs(
            kind.into_iter().chain(attrs::pairs(&self.attrs)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, long: &[&str]) {
        let specs = CacheSpec::parse("--cache-to", value).unwrap();
        let printed: Vec<String> = specs.iter().map(ToString::to_string).collect();
        assert_eq!(printed, long, "{value}");
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |value: &str, expect: &str| {
            let error = CacheSpec::parse("--cache-from", value).unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        check("ref=x", "--cache-from: `ref=x` has no `type`");
        check("type=,ref=x", "--cache-from: `type=,ref=x` has no `type`");
        check(
            "type=local,src",
            "--cache-from: field `src` is not of the form key=value",
        );
        check("a,,b", "--cache-from: `a,,b` is not a list of image names");
        check(
            "\"a,b\"",
            "--cache-from: `\"a,b\"` is not a list of image names",
        );
    }

    #[test]
    fn names_alone_are_registry_caches() {
        check("a:1", &["type=registry,ref=a:1"]);
        check("a,b", &["type=registry,ref=a", "type=registry,ref=b"]);
        check("", &[]);
    }

    #[test]
    fn keys_lose_their_case_and_values_keep_it() {
        check("type=gha,Scope=A,mode=MAX", &["type=gha,mode=MAX,scope=A"]);
        check("type=bogus", &["type=bogus"]);
    }
}
