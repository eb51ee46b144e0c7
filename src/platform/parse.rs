//! Parses platforms in containerd's syntax.
//!
//! Spells architectures in the canonical way, but keeps a variant as it was typed, or left out.

use std::str::FromStr;

use super::{Platform, names};

/// Why a text is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// Wildcards are not part of the syntax.
    #[error("wildcards are not supported in platform `{0}`")]
    Wildcard(String),
    /// One of the parts between slashes is empty or holds other characters than names may.
    #[error("`{part}` is not a valid part of platform `{text}`")]
    Part {
        /// The whole text.
        text: String,
        /// The part at fault.
        part: String,
    },
    /// There are more than three parts.
    #[error("platform `{0}` has more parts than os/arch/variant")]
    TooManyParts(String),
    /// A single word is neither a known operating system nor a known architecture.
    #[error("`{0}` is neither an operating system nor an architecture")]
    Unknown(String),
}

impl Platform {
    /// Parses a platform; a single word, `linux` or `arm64`, takes the rest from `host`.
    ///
    /// # Errors
    ///
    /// When the text is not of the form `os/arch/variant`, or is one unknown word.
    pub fn parse(text: &str, host: &Self) -> Result<Self, PlatformError> {
        if text.contains('*') {
            return Err(PlatformError::Wildcard(text.to_owned()));
        }
        let (first, others) = match text.split_once('/') {
            Some((first, others)) => (first, others.split('/').collect()),
            None => (text, Vec::new()),
        };
        let bad = |part: &str| PlatformError::Part {
            text: text.to_owned(),
            part: part.to_owned(),
        };
        let (os, os_version, os_features) = names::split_os(first).ok_or_else(|| bad(first))?;
        if let Some(part) = others.iter().find(|part| !names::is_component(part)) {
            return Err(bad(part));
        }
        let (os, (architecture, variant)) = match others[..] {
            [] if names::is_known_os(&os) => {
                let host = (host.architecture.clone(), host.variant.clone());
                (os, without_arm_v7(host))
            }
            [] => (host.os.clone(), known_architecture(text)?),
            [architecture] => (os, without_arm_v7(names::architecture(architecture, ""))),
            [architecture, variant] => (
                os,
                with_arm64_v8(names::architecture(architecture, variant)),
            ),
            _ => return Err(PlatformError::TooManyParts(text.to_owned())),
        };
        Ok(Self {
            os,
            architecture,
            variant,
            os_version,
            os_features,
        })
    }
}

/// Parses with [`Platform::host`] filling in what a single word leaves open.
impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Self::parse(text, &Self::host())
    }
}

fn known_architecture(word: &str) -> Result<(String, String), PlatformError> {
    let (architecture, variant) = names::architecture(word, "");
    if names::is_known_architecture(&architecture) {
        Ok(without_arm_v7((architecture, variant)))
    } else {
        Err(PlatformError::Unknown(word.to_owned()))
    }
}

/// Drops the variant that `arm` stands for when none was typed.
fn without_arm_v7((architecture, variant): (String, String)) -> (String, String) {
    let is_default = architecture == "arm" && variant == "v7";
    (
        architecture,
        if is_default { String::new() } else { variant },
    )
}

/// Puts back the variant of `arm64/v8` that was typed.
fn with_arm64_v8((architecture, variant): (String, String)) -> (String, String) {
    let is_default = architecture == "arm64" && variant.is_empty();
    (
        architecture,
        if is_default { "v8".to_owned() } else { variant },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Platform, PlatformError> {
        Platform::parse(text, &Platform::new("linux", "amd64"))
    }

    #[test]
    fn refuses_what_is_not_a_platform() {
        for text in [
            "",
            "*",
            "linux/*",
            "linux/",
            "/amd64",
            "local",
            "a b/amd64",
            "arm64(2)",
            "linux(%zz)/amd64",
            "linux(2/amd64",
            "linux/arm/v7/x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_the_part_at_fault() {
        let error = parse("linux/am:d64").unwrap_err();
        let expect = "`am:d64` is not a valid part of platform `linux/am:d64`";
        assert_eq!(error.to_string(), expect);
    }

    #[test]
    fn fills_in_the_host() {
        let host = Platform::new("darwin", "arm64");
        let check = |text: &str, expect: &str| {
            assert_eq!(Platform::parse(text, &host).unwrap().to_string(), expect);
        };
        check("linux", "linux/arm64");
        check("amd64", "darwin/amd64");
        check("armhf", "darwin/arm");
    }
}
