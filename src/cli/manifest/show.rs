//! An image as text and as values, in buildx's forms. Pure.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::manifest::{Image, Inspected, Place};
use crate::oci::Descriptor;
use crate::platform::Platform;

/// Writes the head, and of an index every entry.
pub(super) fn text(place: &Place, inspected: &Inspected) -> String {
    let manifest = &inspected.manifest;
    let mut text = format!(
        "Name:      {place}\nMediaType: {}\nDigest:    {}\n",
        manifest.media_type, manifest.digest
    );
    let Some(index) = &inspected.index else {
        return text;
    };
    text.push_str("\nManifests:\n");
    for (position, entry) in index.manifests.iter().enumerate() {
        if position > 0 {
            text.push('\n');
        }
        entry_text(&mut text, place, entry);
    }
    text
}

fn entry_text(text: &mut String, place: &Place, entry: &Descriptor) {
    let mut field = |name: &str, value: &str| {
        let name = format!("{name}:");
        let _ = writeln!(text, "  {name:<11}{value}");
    };
    let name = match place {
        Place::Image(image) => image.with_digest(entry.digest).to_string(),
        Place::Layout(_) => place.with_digest(entry.digest).to_string(),
    };
    field("Name", &name);
    field("MediaType", &entry.media_type);
    if let Some(platform) = &entry.platform {
        let platform = Platform::from(platform.known.clone());
        field("Platform", &platform.to_string());
        if !platform.os_version.is_empty() {
            field("OSVersion", &platform.os_version);
        }
        if !platform.os_features.is_empty() {
            field(
                "OSFeatures",
                &format!(" {}", platform.os_features.join(", ")),
            );
        }
    }
    if !entry.annotations.is_empty() {
        let widest = entry.annotations.keys().map(String::len).max().unwrap_or(0) + 2;
        let _ = writeln!(text, "  Annotations:");
        for (key, value) in &entry.annotations {
            let key = format!("{key}:");
            let _ = writeln!(text, "    {key:<widest$}{value}");
        }
    }
}

/// All there is to know, as one document.
pub(super) fn everything(name: &str, inspected: &Inspected) -> Value {
    let mut all = fields(name, inspected);
    if let Value::Object(members) = &mut all {
        for (from, to) in [("SBOM", "sbom"), ("Provenance", "provenance")] {
            if let Some(value) = members.remove(from)
                && value.as_object().is_some_and(|value| !value.is_empty())
            {
                members.insert(to.to_owned(), value);
            }
        }
    }
    all
}

/// The values that buildx's templates know: `name`, `manifest`, `image`, `SBOM`, `Provenance`;
/// of an image for several platforms the last three are by platform.
pub(super) fn fields(name: &str, inspected: &Inspected) -> Value {
    json!({
        "name": name,
        "manifest": manifest(inspected),
        "image": by_platform(&inspected.images, |image| Some(image.config.clone())),
        "SBOM": by_platform(&inspected.images, sbom),
        "Provenance": by_platform(&inspected.images, |image| {
            image.provenance.as_ref().map(|slsa| json!({"SLSA": slsa}))
        }),
    })
}

fn manifest(inspected: &Inspected) -> Value {
    let manifest = &inspected.manifest;
    let descriptor = serde_json::to_value(manifest.descriptor()).unwrap_or_default();
    let Some(index) = &inspected.index else {
        return descriptor;
    };
    let mut value = serde_json::to_value(index).unwrap_or_default();
    value["mediaType"] = json!(manifest.media_type);
    value["digest"] = json!(manifest.digest);
    value["size"] = json!(manifest.bytes.len());
    value
}

fn sbom(image: &Image) -> Option<Value> {
    let (first, more) = image.sboms.split_first()?;
    let mut value = json!({ "SPDX": first });
    if !more.is_empty() {
        value["AdditionalSPDXs"] = json!(more);
    }
    Some(value)
}

fn by_platform(images: &[Image], of: impl Fn(&Image) -> Option<Value>) -> Value {
    if let [only] = images {
        return of(only).unwrap_or_else(|| json!({}));
    }
    let mut all = Map::new();
    for image in images {
        let platform = image.platform.as_ref();
        let key = platform.map_or_else(|| image.digest.to_string(), Platform::format_all);
        all.extend(of(image).map(|value| (key, value)));
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::digest::Digest;
    use crate::oci::{ATTESTATION, Index, REFERENCE_DIGEST, REFERENCE_TYPE, media_type};
    use crate::registry::Manifest;

    fn image(arch: &str) -> Image {
        Image {
            platform: Some(Platform::new("linux", arch)),
            digest: Digest::of(arch.as_bytes()),
            config: json!({ "architecture": arch }),
            sboms: vec![json!({"name": "a"}), json!({"name": "b"})],
            provenance: None,
        }
    }

    fn inspected() -> Inspected {
        let amd = Descriptor::of(media_type::MANIFEST, b"a")
            .with_platform(Platform::new("linux", "amd64"));
        let mut attestation = Descriptor::of(media_type::MANIFEST, b"b")
            .with_platform(Platform::new("unknown", "unknown"));
        for (key, value) in [
            (REFERENCE_TYPE, ATTESTATION.to_owned()),
            (REFERENCE_DIGEST, amd.digest.to_string()),
        ] {
            attestation.annotations.insert(key.into(), value);
        }
        let index = Index::new(media_type::INDEX, vec![amd, attestation]);
        Inspected {
            manifest: Manifest::new(media_type::INDEX, index.to_bytes()),
            index: Some(index),
            images: vec![image("amd64"), image("arm64")],
        }
    }

    #[test]
    fn the_text_is_as_buildx_has_it() {
        let place = Place::parse("r.io/a:1", Path::new("/")).unwrap();
        insta::assert_snapshot!(text(&place, &inspected()), @r"
        Name:      r.io/a:1
        MediaType: application/vnd.oci.image.index.v1+json
        Digest:    sha256:3d341cb3aeda25678b0d25667712df15ce783f777d5ee9991a83be842649e77a

        Manifests:
          Name:      r.io/a:1@sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb
          MediaType: application/vnd.oci.image.manifest.v1+json
          Platform:  linux/amd64

          Name:      r.io/a:1@sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d
          MediaType: application/vnd.oci.image.manifest.v1+json
          Platform:  unknown/unknown
          Annotations:
            vnd.docker.reference.digest: sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb
            vnd.docker.reference.type:   attestation-manifest
        ");
    }

    #[test]
    fn one_platform_stands_alone_and_several_are_named() {
        let mut inspected = inspected();
        let value = fields("a", &inspected);
        assert_eq!(value["image"]["linux/arm64"]["architecture"], "arm64");
        assert_eq!(value["SBOM"]["linux/amd64"]["SPDX"]["name"], "a");
        assert_eq!(value["Provenance"], json!({}));
        inspected.images.truncate(1);
        let value = fields("a", &inspected);
        assert_eq!(value["image"]["architecture"], "amd64");
        assert_eq!(value["SBOM"]["AdditionalSPDXs"][0]["name"], "b");
        let all = everything("a", &inspected);
        assert!(all.get("sbom").is_some() && all.get("provenance").is_none());
    }
}
