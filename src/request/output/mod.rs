//! The `--output` flag: what a result is exported as, and where it goes.
//!
//! Checks what can be said without looking at files; keys it doesn't know are the daemon's.

mod kind;

use std::collections::BTreeMap;
use std::fmt;

use crate::attrs::{self, FlagError};

pub use kind::{OutputDest, OutputKind};

const FLAG: &str = "--output";

/// One destination of a build's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    /// The form of the result.
    pub kind: OutputKind,
    /// Where it goes on this machine; `None` if the kind's default is meant.
    pub dest: Option<OutputDest>,
    /// All other keys, lower-case, as they go to the daemon.
    pub attrs: BTreeMap<String, String>,
}

impl OutputSpec {
    /// Makes an output of a kind with nothing else said.
    pub fn new(kind: OutputKind) -> Self {
        Self {
            kind,
            dest: None,
            attrs: BTreeMap::new(),
        }
    }

    /// Parses `DIR`, `-` or `type=KIND,key=value…`; `None` if the value is empty.
    ///
    /// # Errors
    ///
    /// When a field is not a pair or there is no type.
    pub fn parse(value: &str) -> Result<Option<Self>, FlagError> {
        if value.is_empty() {
            return Ok(None);
        }
        let fields = attrs::split_flag(FLAG, value)?;
        if fields == [value] && !value.starts_with("type=") {
            // As in buildx a lone `TYPE=local` names a directory, for only lower case marks a key.
            let dest = OutputDest::parse(value);
            let kind = match dest {
                Some(OutputDest::Stdout) => OutputKind::Tar,
                _ => OutputKind::Local,
            };
            return Ok(Some(Self {
                dest,
                ..Self::new(kind)
            }));
        }
        let mut kind = None;
        let mut spec = Self::new(OutputKind::Local);
        for field in &fields {
            let (key, value) = attrs::split_pair(FLAG, field)?;
            match key.as_str() {
                "type" => kind = OutputKind::parse(value),
                "dest" => spec.dest = OutputDest::parse(value),
                _ => {
                    spec.attrs.insert(key, value.to_owned());
                }
            }
        }
        spec.kind = kind.ok_or_else(|| missing("type", value))?;
        Ok(Some(spec))
    }

    /// Checks that the destination suits the kind, and booleans that the client acts upon.
    ///
    /// # Errors
    ///
    /// When a directory is missing or `-`, or a value is not a boolean.
    pub fn check(&self) -> Result<(), FlagError> {
        self.pushes()?;
        if !self.writes_directory()? {
            return Ok(());
        }
        match &self.dest {
            None => Err(missing("dest", &self.to_string())),
            Some(OutputDest::Path(_)) => Ok(()),
            Some(OutputDest::Stdout) => Err(FlagError::Value {
                flag: FLAG,
                key: "dest".to_owned(),
                value: "-".to_owned(),
                expected: "a directory",
            }),
        }
    }

    /// Says whether the result is pushed: by default a registry output is, an image is not.
    ///
    /// # Errors
    ///
    /// When `push` is not a boolean.
    pub fn pushes(&self) -> Result<bool, FlagError> {
        match self.kind {
            OutputKind::Registry => Ok(self.bool_attr("push")?.unwrap_or(true)),
            OutputKind::Image => Ok(self.bool_attr("push")?.unwrap_or(false)),
            _ => Ok(false),
        }
    }

    /// Says whether the result is a directory: of files, or a layout with `tar=false`.
    ///
    /// # Errors
    ///
    /// When `tar` is not a boolean.
    pub fn writes_directory(&self) -> Result<bool, FlagError> {
        match self.kind {
            OutputKind::Local => Ok(true),
            OutputKind::Oci | OutputKind::Docker => Ok(self.bool_attr("tar")? == Some(false)),
            _ => Ok(false),
        }
    }

    /// Returns the boolean value of a key; `None` if the key is absent.
    ///
    /// # Errors
    ///
    /// When the value is not a boolean.
    pub fn bool_attr(&self, key: &str) -> Result<Option<bool>, FlagError> {
        let value = self.attrs.get(key);
        value
            .map(|value| attrs::bool_value(FLAG, key, value))
            .transpose()
    }
}

/// Prints the long form, which parses to the same.
impl fmt::Display for OutputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = [("type", self.kind.name())];
        let dest = self.dest.as_ref().map(ToString::to_string);
        let dest = dest.iter().map(|dest| ("dest", dest.as_str()));
        let pairs = kind
            .into_iter()
            .chain(dest)
            .chain(attrs::pairs(&self.attrs));
        f.write_str(&attrs::join_pairs(pairs))
    }
}

fn missing(key: &'static str, value: &str) -> FlagError {
    FlagError::MissingKey {
        flag: FLAG,
        key,
        value: value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> OutputSpec {
        OutputSpec::parse(value).unwrap().unwrap()
    }

    fn check(value: &str, long: &str) {
        let spec = parse(value);
        assert_eq!(spec.to_string(), long, "{value}");
        assert_eq!(parse(long), spec, "{value}");
    }

    #[test]
    fn says_what_is_missing() {
        let check = |value: &str, expect: &str| {
            assert_eq!(OutputSpec::parse(value).unwrap_err().to_string(), expect);
        };
        check("type=", "--output: `type=` has no `type`");
        check("a=b,c=d", "--output: `a=b,c=d` has no `type`");
        check("a,b", "--output: field `a` is not of the form key=value");
    }

    #[test]
    fn a_destination_must_suit_its_kind() {
        let check = |value: &str, expect: Option<&str>| {
            let error = parse(value).check().err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), expect, "{value}");
        };
        check("type=local", Some("--output: `type=local` has no `dest`"));
        check(
            "type=local,dest=-",
            Some("--output: `dest` is `-`, which is not a directory"),
        );
        check(
            "type=oci,tar=false",
            Some("--output: `type=oci,tar=false` has no `dest`"),
        );
        let not_bool = "--output: `push` is `yes`, which is not true or false";
        check("type=image,push=yes", Some(not_bool));
        check("type=oci,dest=-", None);
        check("type=docker", None);
        check("out", None);
    }

    #[test]
    fn a_bare_value_is_a_directory_or_stdout() {
        check("out", "type=local,dest=out");
        check("-", "type=tar,dest=-");
        check("a=b", "type=local,dest=a=b");
        assert_eq!(OutputSpec::parse(""), Ok(None));
    }

    #[test]
    fn keys_may_be_quoted_and_the_last_of_equal_ones_wins() {
        check(
            "type=image,\"name=a,b\",PUSH=1",
            "type=image,\"name=a,b\",push=1",
        );
        check("type=local,dest=x,dest=y", "type=local,dest=y");
        check("type=moby", "type=moby");
    }

    #[test]
    fn only_a_registry_output_pushes_by_itself() {
        let check = |value: &str, expect: bool| assert_eq!(parse(value).pushes(), Ok(expect));
        check("type=registry", true);
        check("type=registry,push=f", false);
        check("type=image", false);
        check("type=image,push=True", true);
        check("type=oci,push=true", false);
    }
}
