//! What a build left besides its log: manifests, and statements such as provenance.

use serde_json::{Value, json};

use super::builds::Unit;
use crate::buildkit::history::{Blob, read_blob};
use crate::buildkit::{AskError, Connection};
use crate::digest::Digest;

const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const PREDICATE: &str = "in-toto.io/predicate-type";
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const ATTESTATION: &str = "attestation-manifest";
/// How deep indexes may lie in each other; those of builds do not.
const DEPTH: usize = 3;

/// A blob that belongs to a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attachment {
    /// What it is about; empty where that is not said.
    pub(super) platform: String,
    pub(super) blob: Blob,
}

/// Something that a build was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Material {
    pub(super) uri: String,
    pub(super) digests: Vec<String>,
}

impl Attachment {
    pub(super) fn digest(&self) -> &str {
        &self.blob.digest
    }

    /// What it states, or else what it is.
    pub(super) fn kind(&self) -> &str {
        let stated = self.blob.annotations.get(PREDICATE);
        stated.unwrap_or(&self.blob.media_type)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({"Digest": self.digest(), "Type": self.kind()});
        if !self.platform.is_empty() {
            json["Platform"] = json!(self.platform);
        }
        json
    }

    /// Reads it; `None` where the daemon no longer has it.
    pub(super) async fn read(&self, connection: &Connection) -> Result<Option<Vec<u8>>, AskError> {
        match Digest::parse(self.digest()) {
            Ok(digest) => read_blob(connection, &digest).await,
            Err(_) => Ok(None),
        }
    }
}

impl Material {
    pub(super) fn to_json(&self) -> Value {
        json!({"URI": self.uri, "Digests": self.digests})
    }
}

/// Lists what a part of a build left on its daemon, as far as that still has it.
pub(super) async fn attachments(
    unit: &Unit,
    connection: &Connection,
) -> Result<Vec<Attachment>, AskError> {
    let record = &unit.record;
    let plain = record.result.iter().map(|info| (unit.platform(), info));
    let by_platform = record.results.iter();
    let by_platform = by_platform.map(|(platform, info)| (platform.as_str(), info));
    let mut all = Vec::new();
    for (platform, info) in plain.chain(by_platform) {
        let attachment = |blob: &Blob| Attachment {
            platform: platform.to_owned(),
            blob: blob.clone(),
        };
        all.extend(info.attestations.iter().map(attachment));
        let mut left: Vec<(Attachment, usize)> =
            info.made().map(|blob| (attachment(blob), 0)).collect();
        while let Some((attachment, depth)) = left.pop() {
            let Some(bytes) = attachment.read(connection).await? else {
                continue;
            };
            if depth < DEPTH && INDEXES.contains(&attachment.blob.media_type.as_str()) {
                let inner = manifests(&bytes, &attachment.platform);
                left.extend(inner.into_iter().map(|inner| (inner, depth + 1)));
            }
            if is_attestation(&attachment.blob) {
                all.extend(statements(&bytes, &attachment.platform));
            } else {
                all.push(attachment);
            }
        }
    }
    all.sort_by(|a, b| (&a.platform, a.kind()).cmp(&(&b.platform, b.kind())));
    all.dedup();
    Ok(all)
}

/// The manifests of an index, those about an image with that image's platform.
fn manifests(index: &[u8], platform: &str) -> Vec<Attachment> {
    let index: Value = serde_json::from_slice(index).unwrap_or_default();
    let manifests = index["manifests"].as_array().cloned().unwrap_or_default();
    let name = |descriptor: &Value| {
        let platform = descriptor.get("platform")?;
        let (os, arch) = (platform["os"].as_str()?, platform["architecture"].as_str()?);
        let variant = platform["variant"].as_str().map(|name| format!("/{name}"));
        (os != "unknown").then(|| format!("{os}/{arch}{}", variant.unwrap_or_default()))
    };
    let of = |descriptor: &Value| {
        let about = descriptor["annotations"]["vnd.docker.reference.digest"].as_str();
        let mut others = manifests.iter();
        let image = others.find(|other| about.is_some() && other["digest"].as_str() == about);
        name(image.unwrap_or(descriptor))
    };
    let attachment = |descriptor: &Value| Attachment {
        platform: of(descriptor).unwrap_or_else(|| platform.to_owned()),
        blob: blob(descriptor),
    };
    manifests.iter().map(attachment).collect()
}

/// The statements that an attestation manifest holds.
fn statements(manifest: &[u8], platform: &str) -> Vec<Attachment> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap_or_default();
    let layers = manifest["layers"].as_array().into_iter().flatten();
    let statement = |descriptor: &Value| Attachment {
        platform: platform.to_owned(),
        blob: blob(descriptor),
    };
    layers.map(statement).collect()
}

fn blob(descriptor: &Value) -> Blob {
    let text = |key: &str| descriptor[key].as_str().unwrap_or_default().to_owned();
    let annotations = descriptor["annotations"].as_object().into_iter().flatten();
    Blob {
        media_type: text("mediaType"),
        digest: text("digest"),
        size: descriptor["size"].as_i64().unwrap_or_default(),
        annotations: annotations
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect(),
    }
}

fn is_attestation(blob: &Blob) -> bool {
    let kind = blob.annotations.get(REFERENCE_TYPE);
    kind.is_some_and(|kind| kind == ATTESTATION)
}

/// Whether a type that a user names is meant: `provenance`, `sbom`, `index`, `manifest`,
/// `image`, or the type itself.
pub(super) fn is_of_kind(attachment: &Attachment, name: &str) -> bool {
    let kind = attachment.kind();
    match name {
        "provenance" => is_provenance(attachment),
        "sbom" => kind == "https://spdx.dev/Document",
        "index" => INDEXES.contains(&kind),
        "manifest" => [
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json",
        ]
        .contains(&kind),
        "image" => [
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.docker.container.image.v1+json",
        ]
        .contains(&kind),
        name => kind == name,
    }
}

pub(super) fn is_provenance(attachment: &Attachment) -> bool {
    attachment
        .kind()
        .starts_with("https://slsa.dev/provenance/")
}

/// Reads from a provenance what the build was made of, as SLSA 1 or 0.2 has it.
pub(super) fn materials(provenance: &[u8]) -> Vec<Material> {
    let json: Value = serde_json::from_slice(provenance).unwrap_or_default();
    // What the image holds is a whole statement, the record's own the predicate alone.
    let predicate = json.get("predicate").unwrap_or(&json);
    let listed = [
        &predicate["buildDefinition"]["resolvedDependencies"],
        &predicate["materials"],
    ];
    let listed = listed.into_iter().find_map(Value::as_array);
    let material = |entry: &Value| {
        let digests = entry["digest"].as_object().into_iter().flatten();
        Some(Material {
            uri: entry["uri"].as_str()?.to_owned(),
            digests: digests
                .filter_map(|(kind, digest)| Some(format!("{kind}:{}", digest.as_str()?)))
                .collect(),
        })
    };
    listed.into_iter().flatten().filter_map(material).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_have_their_images_platform() {
        let index = json!({"manifests": [
            {"mediaType": "m", "digest": "sha256:a", "size": 1,
             "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
            {"mediaType": "m", "digest": "sha256:b", "size": 1,
             "platform": {"os": "unknown", "architecture": "unknown"},
             "annotations": {REFERENCE_TYPE: ATTESTATION, "vnd.docker.reference.digest": "sha256:a"}},
        ]});
        let listed = manifests(index.to_string().as_bytes(), "");
        assert_eq!(listed[0].platform, "linux/arm/v7");
        assert_eq!(listed[1].platform, "linux/arm/v7");
        assert!(is_attestation(&listed[1].blob) && !is_attestation(&listed[0].blob));
        assert!(manifests(b"no json", "").is_empty());
    }

    #[test]
    fn a_statement_is_what_it_states() {
        let manifest = json!({"layers": [{"mediaType": "application/vnd.in-toto+json",
            "digest": "sha256:c", "annotations": {PREDICATE: "https://spdx.dev/Document"}}]});
        let listed = statements(manifest.to_string().as_bytes(), "linux/amd64");
        assert!(is_of_kind(&listed[0], "sbom") && !is_of_kind(&listed[0], "provenance"));
        assert!(is_of_kind(&listed[0], "https://spdx.dev/Document"));
    }

    #[test]
    fn materials_of_all_versions_are_read() {
        let expect = [Material {
            uri: "pkg:docker/base".into(),
            digests: vec!["sha256:1".into()],
        }];
        let list = json!([{"uri": "pkg:docker/base", "digest": {"sha256": "1"}}, {"odd": 1}]);
        for json in [
            json!({"buildDefinition": {"resolvedDependencies": list}}),
            json!({"materials": list}),
            json!({"predicate": {"materials": list}}),
        ] {
            assert_eq!(materials(json.to_string().as_bytes()), expect);
        }
        assert!(materials(b"").is_empty());
    }
}
