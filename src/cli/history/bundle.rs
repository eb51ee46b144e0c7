//! Records of builds as an image layout in a compressed tar: a `.dockerbuild` file ([`Bundle`]).
//!
//! Each record is a manifest: the record itself as its config, its blobs as layers. Several are
//! in an index. Pure but for the reading of blobs, which is the caller's.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::details::without_credentials;
use crate::buildkit::history::{Blob, BuildRecord, ResultInfo};
use crate::digest::Digest;

const RECORD: &str = "application/vnd.buildkit.historyrecord.v0";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Which build a manifest of the index is.
const REFERENCE: &str = "vnd.buildkit.history.reference";
/// What a result really is: readers would look for the layers of a manifest.
const MEDIA_TYPE: &str = "vnd.export-build.descriptor.mediatype";

/// Records and their blobs.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    /// By digest.
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// A descriptor for each record.
    manifests: Vec<Value>,
}

/// A blob that a bundle of a record has, if its daemon still has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) blob: Blob,
    is_result: bool,
}

/// The blobs that go with a record, in the order of a manifest's layers.
///
/// Traces are left out: they hold the daemons' command lines.
pub(super) fn wanted(record: &BuildRecord) -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    let mut add = |blob: &Blob, is_result| {
        if all.iter().all(|known| known.blob.digest != blob.digest) {
            let blob = blob.clone();
            all.push(Wanted { blob, is_result });
        }
    };
    let results = |info: &ResultInfo, add: &mut dyn FnMut(&Blob, bool)| {
        info.attestations.iter().for_each(|blob| add(blob, false));
        info.made().for_each(|blob| add(blob, true));
    };
    record.logs.iter().for_each(|blob| add(blob, false));
    record
        .result
        .iter()
        .for_each(|info| results(info, &mut add));
    record
        .external_error
        .iter()
        .for_each(|blob| add(blob, false));
    record
        .results
        .values()
        .for_each(|info| results(info, &mut add));
    all
}

impl Bundle {
    /// Adds a record with those of its blobs that there are.
    pub(super) fn add(
        &mut self,
        record: &BuildRecord,
        default_platform: &str,
        blobs: Vec<(Wanted, Vec<u8>)>,
    ) {
        let mut record = record.clone();
        record.trace = None;
        if let Some(imports) = record.attrs.get_mut("cache-imports") {
            *imports = without_credentials(imports);
        }
        let config = self.put_json(RECORD, &record.to_json(default_platform));
        let layers: Vec<Value> = blobs
            .into_iter()
            .map(|(wanted, bytes)| {
                let descriptor = layer(&wanted, &bytes);
                self.blobs.insert(Digest::of(&bytes), bytes);
                descriptor
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        let mut descriptor = self.put_json(MANIFEST, &manifest);
        descriptor["annotations"] = json!({REFERENCE: record.reference});
        self.manifests.push(descriptor);
    }

    fn put_json(&mut self, media_type: &str, json: &Value) -> Value {
        let bytes = format!("{json:#}").into_bytes();
        let digest = Digest::of(&bytes);
        let descriptor = json!({
            "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len(),
        });
        self.blobs.insert(digest, bytes);
        descriptor
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn write(mut self, out: impl Write) -> io::Result<()> {
        let root = match &mut self.manifests[..] {
            [manifest] => {
                let mut manifest = manifest.take();
                manifest
                    .as_object_mut()
                    .map(|json| json.remove("annotations"));
                manifest
            }
            manifests => {
                let manifests: Vec<Value> = manifests.iter_mut().map(Value::take).collect();
                let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
                self.put_json(INDEX, &index)
            }
        };
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [root]});
        let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut tar, "index.json", index.to_string().as_bytes())?;
        for (digest, bytes) in &self.blobs {
            append(&mut tar, &format!("blobs/sha256/{}", digest.hex()), bytes)?;
        }
        tar.into_inner()?.finish()?.flush()
    }
}

fn layer(wanted: &Wanted, bytes: &[u8]) -> Value {
    let Blob {
        media_type,
        digest,
        annotations,
        ..
    } = &wanted.blob;
    let mut annotations = annotations.clone();
    let media_type = match wanted.is_result {
        true => {
            annotations.insert(MEDIA_TYPE.to_owned(), media_type.clone());
            "application/json"
        }
        false => media_type,
    };
    let mut descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
    if !annotations.is_empty() {
        descriptor["annotations"] = json!(annotations);
    }
    descriptor
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    tar.append_data(&mut header, path, bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn blob(bytes: &[u8], media_type: &str) -> Blob {
        Blob {
            media_type: media_type.into(),
            digest: Digest::of(bytes).to_string(),
            size: bytes.len() as i64,
            ..Blob::default()
        }
    }

    fn record(reference: &str) -> BuildRecord {
        let result = ResultInfo {
            results: [(0, blob(b"manifest", MANIFEST))].into(),
            ..ResultInfo::default()
        };
        let imports = r#"[{"Attrs":{"ref":"r","token":"secret"},"Type":"gha"}]"#;
        BuildRecord {
            reference: reference.into(),
            attrs: [("cache-imports".to_owned(), imports.to_owned())].into(),
            logs: Some(blob(b"logs", "l")),
            trace: Some(blob(b"trace", "t")),
            result: Some(result),
            ..BuildRecord::default()
        }
    }

    fn files(bundle: Bundle) -> BTreeMap<String, Vec<u8>> {
        let mut bytes = Vec::new();
        bundle.write(&mut bytes).unwrap();
        let mut tar = tar::Archive::new(GzDecoder::new(&bytes[..]));
        let entries = tar.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (path, bytes)
        });
        entries.collect()
    }

    fn bundle(references: &[&str]) -> Bundle {
        let mut bundle = Bundle::default();
        for reference in references {
            let record = record(reference);
            let contents: [&[u8]; 2] = [b"logs", b"manifest"];
            let blobs = wanted(&record).into_iter().zip(contents);
            let blobs = blobs.map(|(wanted, bytes)| (wanted, bytes.to_vec()));
            bundle.add(&record, "linux/amd64", blobs.collect());
        }
        bundle
    }

    fn find(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Value {
        let digest = descriptor["digest"].as_str().unwrap();
        let path = format!("blobs/sha256/{}", &digest["sha256:".len()..]);
        serde_json::from_slice(&files[&path]).unwrap()
    }

    #[test]
    fn a_record_is_a_manifest_with_its_blobs() {
        let files = files(bundle(&["r"]));
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let manifest = find(&files, &index["manifests"][0]);
        assert_eq!(manifest["config"]["mediaType"], RECORD);
        assert_eq!(manifest["layers"][0]["mediaType"], "l");
        assert_eq!(manifest["layers"][1]["mediaType"], "application/json");
        assert_eq!(manifest["layers"][1]["annotations"][MEDIA_TYPE], MANIFEST);
        let record = find(&files, &manifest["config"]);
        assert_eq!(
            (&record["Ref"], &record["DefaultPlatform"]),
            (&"r".into(), &"linux/amd64".into())
        );
        assert!(record.get("trace").is_none() && !record.to_string().contains("secret"));
    }

    #[test]
    fn several_records_are_in_an_index_and_share_blobs() {
        let files = files(bundle(&["r", "s"]));
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let inner = find(&files, &index["manifests"][0]);
        assert_eq!(inner["manifests"][1]["annotations"][REFERENCE], "s");
        // Layout, index, inner index; two manifests, two records, two shared blobs.
        assert_eq!(files.len(), 3 + 2 + 2 + 2);
    }
}
