//! [`Index`], [`Descriptor`] and [`DescriptorPlatform`] as they are on the wire.
//!
//! Members that we don't know are kept and written again, maps are sorted, so that equal
//! values give equal bytes. The types of `oci-spec` do neither (youki-dev/oci-spec-rs#163).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ATTESTATION, REFERENCE_DIGEST, REFERENCE_TYPE, media_type};
use crate::digest::Digest;
use crate::platform::{Platform, PlatformObject};

/// The version that every index and manifest of today carries.
const SCHEMA_VERSION: u64 = 2;

/// An image index (or Docker's manifest list).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u64,
    /// The index's own type; empty in some old OCI indexes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// What it lists.
    pub manifests: Vec<Descriptor>,
    /// Free-form notes on the whole; not part of Docker's form.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Members that we don't know.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// A pointer to content: what it is, its digest, its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What kind of content it is.
    pub media_type: String,
    /// The content's digest.
    pub digest: Digest,
    /// The content's size in bytes.
    pub size: u64,
    /// Free-form notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What runs it; `None` when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<DescriptorPlatform>,
    /// What an artifact's manifest is about; `None` for images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Members that we don't know or have no use for, such as `urls` and `data`.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// A descriptor's platform, with members that we don't know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorPlatform {
    /// The members of the specification.
    #[serde(flatten)]
    pub known: PlatformObject,
    /// The others, such as the `features` of Docker's lists.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// Why bytes are not an index.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The bytes are not JSON of the right shape.
    #[error("not an image index")]
    Json(#[from] serde_json::Error),
    /// The document is of another version than 2.
    #[error("an image index of version {0}, only version 2 is understood")]
    Version(u64),
    /// The bytes are a manifest, or another document with a `mediaType` of its own.
    #[error("a document of type {0}, not an image index")]
    Type(String),
}

impl Index {
    /// Makes an index of `media_type` that lists `manifests`.
    pub fn new(media_type: &str, manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            media_type: media_type.to_owned(),
            manifests,
            annotations: BTreeMap::new(),
            extra: BTreeMap::new(),
        }
    }

    /// Parses an OCI index or a Docker manifest list.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let index: Self = serde_json::from_slice(bytes)?;
        if index.schema_version != SCHEMA_VERSION {
            return Err(ParseError::Version(index.schema_version));
        }
        if !index.media_type.is_empty() && !media_type::is_index(&index.media_type) {
            return Err(ParseError::Type(index.media_type));
        }
        Ok(index)
    }

    /// The one form in which this value is written: compact, members in a fixed order.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and maps with string keys: there is nothing that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Descriptor {
    /// Describes `bytes` as content of `media_type`.
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Describes content by its digest and size.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
            extra: BTreeMap::new(),
        }
    }

    /// Sets what runs it.
    #[must_use]
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform.into());
        self
    }

    /// The platform in its canonical spelling; `None` when absent or `unknown`.
    pub fn known_platform(&self) -> Option<Platform> {
        let platform = Platform::from(self.platform.as_ref()?.known.clone());
        let known = |name: &str| !name.is_empty() && name != "unknown";
        (known(&platform.os) && known(&platform.architecture)).then(|| platform.normalized())
    }

    /// The image that this manifest is an attestation for; `None` for everything else.
    pub fn attests(&self) -> Option<Digest> {
        if self.annotations.get(REFERENCE_TYPE)? != ATTESTATION {
            return None;
        }
        self.annotations.get(REFERENCE_DIGEST)?.parse().ok()
    }
}

impl From<Platform> for DescriptorPlatform {
    fn from(platform: Platform) -> Self {
        Self {
            known: platform.into(),
            extra: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = concat!(
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":["#,
        r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
        r#""digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","#,
        r#""size":7,"annotations":{"a":"1","b":"2"},"#,
        r#""platform":{"architecture":"amd64","os":"windows","os.version":"10.0.1","#,
        r#""os.features":["win32k"],"features":["sse4"]},"#,
        r#""artifactType":"x/y","data":"AA==","urls":["https://u"]}],"#,
        r#""annotations":{"k":"v"},"subject":{"digest":"d","size":1}}"#,
    );

    #[test]
    fn an_index_is_written_as_it_was_read() {
        let index = Index::parse(FULL.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(index.to_bytes()).unwrap(), FULL);
        assert_eq!(index.manifests[0].extra.len(), 2);
        assert_eq!(
            index.manifests[0]
                .platform
                .as_ref()
                .unwrap()
                .known
                .os_version,
            "10.0.1"
        );
        assert_eq!(index.extra.len(), 1);
    }

    #[test]
    fn other_documents_are_refused() {
        let check = |text: &str, expect: &str| {
            assert_eq!(
                Index::parse(text.as_bytes()).unwrap_err().to_string(),
                expect
            );
        };
        check("", "not an image index");
        check("{}", "not an image index");
        check(
            r#"{"schemaVersion":2,"config":{},"layers":[]}"#,
            "not an image index",
        );
        check(
            r#"{"schemaVersion":1,"manifests":[]}"#,
            "an image index of version 1, only version 2 is understood",
        );
        check(
            r#"{"schemaVersion":2,"mediaType":"a/b","manifests":[]}"#,
            "a document of type a/b, not an image index",
        );
    }

    #[test]
    fn unknown_platforms_are_none() {
        let descriptor = Descriptor::of(media_type::MANIFEST, b"x");
        assert_eq!(descriptor.known_platform(), None);
        let with = |os: &str, arch: &str| {
            descriptor
                .clone()
                .with_platform(Platform::new(os, arch))
                .known_platform()
        };
        assert_eq!(with("unknown", "unknown"), None);
        assert_eq!(with("linux", "aarch64").unwrap().to_string(), "linux/arm64");
    }
}
