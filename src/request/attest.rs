//! The `--attest`, `--sbom` and `--provenance` flags: which statements go with an image.
//!
//! The two short flags are rewritten into the long one, then parsed by it.

use std::collections::BTreeMap;
use std::fmt;

use crate::attrs::{self, FlagError};

const FLAG: &str = "--attest";

/// One kind of statement about an image, asked for or switched off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestSpec {
    /// What is stated.
    pub kind: AttestKind,
    /// Whether the statement is switched off, which differs from not mentioning it.
    pub disabled: bool,
    /// All other keys, lower-case, as they go to the daemon.
    pub attrs: BTreeMap<String, String>,
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

impl AttestSpec {
    /// Parses `type=KIND[,disabled=BOOL][,key=value…]`.
    ///
    /// # Errors
    ///
    /// When the value is empty, a field is not a pair, `disabled` is not a boolean, or there is
    /// no type.
    pub fn parse(value: &str) -> Result<Self, FlagError> {
        let mut kind = None;
        let mut disabled = false;
        let mut attrs = BTreeMap::new();
        for (key, value) in attrs::split_pairs(FLAG, value)? {
            match key.as_str() {
                "type" => kind = AttestKind::parse(&value),
                "disabled" => disabled = attrs::bool_value(FLAG, &key, &value)?,
                _ => {
                    attrs.insert(key, value);
                }
            }
        }
        let kind = kind.ok_or_else(|| FlagError::MissingKey {
            flag: FLAG,
            key: "type",
            value: value.to_owned(),
        })?;
        Ok(Self {
            kind,
            disabled,
            attrs,
        })
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
