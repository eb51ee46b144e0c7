//! The `--cache-from` and `--cache-to` flags: where build cache comes from and goes to.
//!
//! Keeps the keys as they are: logins are filled in where the environment is known, and each
//! platform's own names when the build is planned.

mod check;
mod keys;

use std::collections::BTreeMap;
use std::fmt;

use crate::attrs::secret::{HIDDEN, shown, shown_all, shown_text};
use crate::attrs::{self, FlagError};

/// One source or destination of build cache. Logins may be among its keys, so only
/// [`CacheSpec::shown`] and `Debug` are fit to be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheSpec {
    /// The back end.
    pub kind: CacheKind,
    /// All other keys, lower-case, as they go to the daemon.
    pub attrs: BTreeMap<String, String>,
}

/// Whether cache is read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheSide {
    /// It is read: `--cache-from`.
    From,
    /// It is written: `--cache-to`.
    To,
}

impl CacheSide {
    /// The flag, with its dashes.
    pub fn flag(self) -> &'static str {
        match self {
            CacheSide::From => "--cache-from",
            CacheSide::To => "--cache-to",
        }
    }
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
        Self::read(flag, value).map_err(|error| hide(error, value))
    }

    /// Returns the long form with secrets hidden.
    pub fn shown(&self) -> String {
        let kind = format!("type={}", self.kind.name());
        let pairs = self.attrs.iter();
        let pairs = pairs.map(|(key, value)| format!("{key}={}", shown(key, value)));
        attrs::join(std::iter::once(kind).chain(pairs))
    }

    fn read(flag: &'static str, value: &str) -> Result<Vec<Self>, FlagError> {
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

impl fmt::Debug for CacheSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheSpec")
            .field("kind", &self.kind)
            .field("attrs", &shown_all(&self.attrs))
            .finish()
    }
}

/// Hides what an error repeats of secrets.
fn hide(error: FlagError, typed: &str) -> FlagError {
    let text = |value: String| shown_text(&value).into_owned();
    let secret = shown_text(typed) != typed;
    match error {
        // It may be the rest of a secret with a comma in it.
        FlagError::NotAPair { flag, .. } if secret => FlagError::NotAPair {
            flag,
            field: HIDDEN.to_owned(),
        },
        FlagError::Fields {
            flag,
            value,
            source,
        } => FlagError::Fields {
            flag,
            value: text(value),
            source,
        },
        FlagError::MissingKey { flag, key, value } => FlagError::MissingKey {
            flag,
            key,
            value: text(value),
        },
        other => other,
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
    fn nothing_that_is_printed_holds_a_secret() {
        let check = |value: &str| {
            let printed = match CacheSpec::parse("--cache-to", value) {
                Ok(specs) => {
                    let shown = specs.iter().map(CacheSpec::shown);
                    format!("{specs:?} {}", shown.collect::<String>())
                }
                Err(error) => crate::causes::causes(&error),
            };
            assert!(!printed.contains("hunter"), "{value}: {printed}");
        };
        check("type=s3,secret_access_key=hunter2");
        check("type=gha,TOKEN=hunter2,url=https://me:hunter2@host/");
        check("secret_access_key=hunter2");
        check("type=s3,secret_access_key=hunter2,hunter3");
        check("type=s3,secret_access_key=hunter2,\"hunter");
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
