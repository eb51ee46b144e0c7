//! The `Platform` type: which operating system and processor an image is for.
//!
//! Prints and normalises in containerd's syntax, `os[(version+feature…)]/arch[/variant]`; `parse`
//! reads it. What runs on what is in `compat`, the JSON object of image indexes in `object`.

mod compat;
mod names;
mod object;
mod parse;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use object::PlatformObject;
pub use parse::PlatformError;

/// An operating system and processor, such as `linux/arm/v7`.
///
/// Two spellings of one platform are equal only once [normalized](Platform::normalized).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// Go's name of the operating system, e.g. `linux`; empty means unknown.
    pub os: String,
    /// Go's name of the architecture, e.g. `arm64`.
    pub architecture: String,
    /// The variant of the architecture, e.g. `v7`; empty means none.
    pub variant: String,
    /// The version of the operating system, used by Windows; empty means none.
    pub os_version: String,
    /// Features the operating system must have, e.g. `win32k`.
    pub os_features: Vec<String>,
}

impl Platform {
    /// Makes a platform of an operating system and an architecture, as they are.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self {
            os: os.into(),
            architecture: architecture.into(),
            variant: String::new(),
            os_version: String::new(),
            os_features: Vec::new(),
        }
    }

    /// Returns the same platform with another variant.
    #[must_use]
    pub fn with_variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = variant.into();
        self
    }

    /// Returns the platform this program was compiled for.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86" => "386",
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "loongarch64" => "loong64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "powerpc64" => "ppc64",
            "mips64" if cfg!(target_endian = "little") => "mips64le",
            "mips" if cfg!(target_endian = "little") => "mipsle",
            other => other,
        };
        Self::new(names::os(std::env::consts::OS), architecture)
    }

    /// Returns the canonical spelling: `linux/aarch64/v8` becomes `linux/arm64`, `arm` `arm/v7`.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let (architecture, variant) = names::architecture(&self.architecture, &self.variant);
        let mut os_features = self.os_features.clone();
        os_features.sort();
        os_features.dedup();
        Self {
            os: names::os(&self.os),
            architecture,
            variant,
            os_version: self.os_version.clone(),
            os_features,
        }
    }

    /// Prints everything, with the version and features of the operating system in parentheses.
    pub fn format_all(&self) -> String {
        let mut features = self.os_features.clone();
        features.sort();
        let mut options = names::encode_option(&self.os_version);
        for feature in &features {
            options.push('+');
            options.push_str(&names::encode_option(feature));
        }
        if options.is_empty() {
            return self.to_string();
        }
        self.joined(&format!("{}({options})", self.os))
    }

    /// Names the directory that a local output of several platforms uses, e.g. `linux_arm_v7`.
    pub fn local_dir_name(&self) -> String {
        self.format_all().replace('/', "_")
    }

    fn joined(&self, os: &str) -> String {
        if self.os.is_empty() {
            return "unknown".to_owned();
        }
        let parts = [os, &self.architecture, &self.variant];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("/")
    }
}

/// Prints `os/arch[/variant]`, without the version of the operating system.
impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.joined(&self.os))
    }
}

impl Serialize for Platform {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.format_all())
    }
}

impl<'de> Deserialize<'de> for Platform {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Platform, PlatformError> {
        Platform::parse(text, &Platform::new("linux", "amd64"))
    }

    fn check(text: &str, format_all: &str, normalized: &str) {
        let platform = parse(text).unwrap();
        assert_eq!(platform.format_all(), format_all, "{text}");
        assert_eq!(platform.normalized().to_string(), normalized, "{text}");
    }

    #[test]
    fn spells_architectures_one_way() {
        check("linux/arm", "linux/arm", "linux/arm/v7");
        check("linux/armhf", "linux/arm", "linux/arm/v7");
        check("linux/armel", "linux/arm/v6", "linux/arm/v6");
        check("linux/aarch64/8", "linux/arm64/v8", "linux/arm64");
        check("Linux/X86_64/V1", "linux/amd64", "linux/amd64");
        check("macos/i386", "darwin/386", "darwin/386");
    }

    #[test]
    fn keeps_version_and_features_of_the_system() {
        let text = "windows(10.0.17763+win32k+a%2Fb)/amd64";
        let platform = parse(text).unwrap();
        assert_eq!(platform.os_version, "10.0.17763");
        assert_eq!(platform.os_features, ["win32k", "a/b"]);
        assert_eq!(platform.to_string(), "windows/amd64");
        let expect = "windows(10.0.17763+a%2Fb+win32k)/amd64";
        assert_eq!(platform.format_all(), expect);
    }

    #[test]
    fn names_a_directory_without_slashes() {
        assert_eq!(
            parse("linux/arm/v7").unwrap().local_dir_name(),
            "linux_arm_v7"
        );
    }

    #[test]
    fn travels_as_a_string() {
        let platform = parse("linux(2)/arm/v6").unwrap();
        let json = serde_json::to_string(&platform).unwrap();
        assert_eq!(json, "\"linux(2)/arm/v6\"");
        assert_eq!(serde_json::from_str::<Platform>(&json).unwrap(), platform);
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(
            os in "[a-z]{1,8}",
            version in "[0-9.%+()/]{0,6}",
            arch in "[a-z0-9]{1,8}",
            variant in "(v[0-9])?",
        ) {
            let mut platform = Platform::new(os, arch).with_variant(variant).normalized();
            platform.os_version = version;
            prop_assert_eq!(parse(&platform.format_all()).unwrap().normalized(), platform);
        }
    }
}
