//! The `--attest`, `--sbom` and `--provenance` flags: which statements go with an image.
//!
//! The two short flags are rewritten into the long one, then parsed by it.

use std::collections::BTreeMap;
use std::fmt;

use crate::attrs::{self, FlagError};

const FLAG: &str = "--attest";
/// Names the image that makes an SBOM.
const GENERATOR: &str = "generator";
/// What BuildKit reads of a provenance's keys, and the one that the client does.
const PROVENANCE_KEYS: &[&str] = &[
    "mode",
    "version",
    "builder-id",
    "filename",
    "reproducible",
    "inline-only",
    "complete-materials",
    "capture-usage",
    "disabled",
];

/// One kind of statement about an image, asked for or switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestSpec {
    /// What is stated.
    pub kind: AttestKind,
    /// Whether the statement is switched off, which differs from not mentioning it.
    pub disabled: bool,
    /// All other keys as they go to the daemon: those that are known in lower case.
    pub attrs: BTreeMap<String, String>,
    /// The flag that it was given with, for messages.
    flag: &'static str,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttestKind {
    /// What the image consists of.
    Sbom,
    /// How the image was built.
    Provenance,
    /// Another kind, which the daemon may know.
    Other(String),
}

/// How much of what a daemon records of a build the metadata file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedProvenance {
    /// What went in.
    Min,
    /// The steps, and when they were done, too.
    Max,
}

impl AttestSpec {
    /// Parses `type=KIND[,disabled=BOOL][,key=value…]`.
    ///
    /// # Errors
    ///
    /// When the value is empty, a field is not a pair, `disabled` is not a boolean, or there is
    /// no type.
    pub fn parse(value: &str) -> Result<Self, FlagError> {
        Self::parse_as(FLAG, value)
    }

    /// Parses the same, from a flag of another name.
    ///
    /// # Errors
    ///
    /// As for the other.
    pub fn parse_as(flag: &'static str, value: &str) -> Result<Self, FlagError> {
        let mut kind = None;
        let mut disabled = false;
        let mut attrs = BTreeMap::new();
        for field in attrs::split_flag(flag, value)? {
            let (key, value) = attrs::split_pair(flag, &field)?;
            match key.as_str() {
                "type" => kind = AttestKind::parse(value),
                "disabled" => disabled = attrs::bool_value(flag, &key, value)?,
                _ => {
                    let known = PROVENANCE_KEYS.contains(&key.as_str()) || key == GENERATOR;
                    let typed = field.split('=').next().unwrap_or_default();
                    // What a scanner is told has its case: it becomes a variable.
                    let key = if known { key } else { typed.trim().to_owned() };
                    attrs.insert(key, value.to_owned());
                }
            }
        }
        let kind = kind.ok_or_else(|| FlagError::MissingKey {
            flag,
            key: "type",
            value: value.to_owned(),
        })?;
        Ok(Self {
            kind,
            disabled,
            attrs,
            flag,
        })
    }

    /// Checks what the daemon would refuse, or pass over without a word.
    ///
    /// # Errors
    ///
    /// When the type is none that exists, or a key or its value is none of its.
    pub fn check(&self) -> Result<(), FlagError> {
        match &self.kind {
            // Whatever else is said goes to the scanner.
            AttestKind::Sbom => Ok(()),
            AttestKind::Other(name) => Err(self.value("type", name, "provenance or sbom")),
            AttestKind::Provenance => {
                let unknown = |key: &&String| !PROVENANCE_KEYS.contains(&key.as_str());
                if let Some(key) = self.attrs.keys().find(unknown) {
                    return Err(FlagError::UnknownKey {
                        flag: self.flag,
                        key: key.clone(),
                        allowed: PROVENANCE_KEYS,
                    });
                }
                self.one_of("mode", &["min", "max"], "min or max")?;
                self.one_of("version", &["v0.2", "v1"], "v0.2 or v1")
            }
        }
    }

    /// Whether the daemon takes its own scanner, which it has to pull first.
    pub fn needs_default_scanner(&self) -> bool {
        self.kind == AttestKind::Sbom && !self.disabled && !self.attrs.contains_key(GENERATOR)
    }

    fn one_of(&self, key: &str, allowed: &[&str], expected: &'static str) -> Result<(), FlagError> {
        match self.attrs.get(key) {
            Some(value) if !allowed.contains(&value.as_str()) => {
                Err(self.value(key, value, expected))
            }
            _ => Ok(()),
        }
    }

    fn value(&self, key: &str, value: &str, expected: &'static str) -> FlagError {
        FlagError::Value {
            flag: self.flag,
            key: key.to_owned(),
            value: value.to_owned(),
            expected,
        }
    }

    /// Returns the frontend's attribute and its value; `None` if the statement is switched off.
    ///
    /// The value may be empty, which switches the statement on as well.
    pub fn frontend_attr(&self) -> Option<(String, String)> {
        let key = format!("attest:{}", self.kind.name());
        let value = attrs::join_pairs(attrs::pairs(&self.attrs));
        Some((key, value)).filter(|_| !self.disabled)
    }
}

impl AttestKind {
    /// Returns the name that `type=` has, which is also the daemon's.
    pub fn name(&self) -> &str {
        match self {
            Self::Sbom => "sbom",
            Self::Provenance => "provenance",
            Self::Other(name) => name,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name {
            "" => None,
            "sbom" => Some(Self::Sbom),
            "provenance" => Some(Self::Provenance),
            other => Some(Self::Other(other.to_owned())),
        }
    }
}

/// Rewrites the value of `--sbom` or `--provenance` into one of `--attest`.
///
/// The value is a boolean or the keys of the long form; `None` if it is empty.
pub fn from_short_flag(kind: &AttestKind, value: &str) -> Option<String> {
    let kind = kind.name();
    match attrs::parse_bool(value) {
        Some(enabled) => Some(format!("type={kind},disabled={}", !enabled)),
        None if value.is_empty() => None,
        None => Some(format!("type={kind},{value}")),
    }
}

/// Prints the long form, which parses to the same.
impl fmt::Display for AttestSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = [("type", self.kind.name())];
        let disabled = self.disabled.then_some(("disabled", "true"));
        let pairs = kind
            .into_iter()
            .chain(disabled)
            .chain(attrs::pairs(&self.attrs));
        f.write_str(&attrs::join_pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong() {
        let check = |value: &str, expect: &str| {
            assert_eq!(AttestSpec::parse(value).unwrap_err().to_string(), expect);
        };
        check("", "--attest: cannot read the fields of ``");
        check("mode=max", "--attest: `mode=max` has no `type`");
        check(
            "sbom",
            "--attest: field `sbom` is not of the form key=value",
        );
        let disabled = "--attest: `disabled` is `x`, which is not true or false";
        check("type=sbom,disabled=x", disabled);
    }

    #[test]
    fn becomes_an_attribute_unless_switched_off() {
        let check = |value: &str, expect: Option<(&str, &str)>| {
            let attr = AttestSpec::parse(value).unwrap().frontend_attr();
            let attr = attr
                .as_ref()
                .map(|(key, value)| (key.as_str(), value.as_str()));
            assert_eq!(attr, expect, "{value}");
        };
        check("type=sbom", Some(("attest:sbom", "")));
        check(
            "type=sbom,\"Generator=a,b\"",
            Some(("attest:sbom", "\"generator=a,b\"")),
        );
        check("type=provenance,disabled=1,mode=max", None);
    }

    #[test]
    fn what_a_scanner_is_told_keeps_its_case() {
        let spec = AttestSpec::parse("type=sbom,SELECT=all,Generator=r/s").unwrap();
        assert_eq!(spec.to_string(), "type=sbom,SELECT=all,generator=r/s");
        assert!(spec.check().is_ok() && !spec.needs_default_scanner());
        assert!(
            AttestSpec::parse("type=sbom")
                .unwrap()
                .needs_default_scanner()
        );
    }

    #[test]
    fn the_short_flags_take_a_boolean_or_keys() {
        let check = |value: &str, expect: Option<&str>| {
            let long = from_short_flag(&AttestKind::Sbom, value);
            assert_eq!(long.as_deref(), expect, "{value}");
        };
        check("", None);
        check("T", Some("type=sbom,disabled=false"));
        check("0", Some("type=sbom,disabled=true"));
        check("generator=x", Some("type=sbom,generator=x"));
    }

    #[test]
    fn prints_what_parses_to_the_same() {
        let text = "type=provenance,disabled=true,mode=max";
        assert_eq!(AttestSpec::parse(text).unwrap().to_string(), text);
    }
}
