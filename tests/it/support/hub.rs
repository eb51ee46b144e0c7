//! Looks into a registry from outside, without the code under test: [`Hub`].
//!
//! Plain HTTP/1.0 by hand, which a registry answers in one piece.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::Value;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// One repository of a registry, such as `10.0.0.1:5000/app`.
pub(crate) struct Hub {
    host: String,
    name: String,
}

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) json: Value,
}

impl Hub {
    pub(crate) fn new(repository: &str) -> Self {
        let (host, name) = repository.split_once('/').unwrap();
        Self {
            host: host.to_owned(),
            name: name.to_owned(),
        }
    }

    /// What stands under a tag or a digest; `None` when nothing does.
    pub(crate) fn find(&self, reference: &str) -> Option<Document> {
        let path = format!("manifests/{reference}");
        let (status, head, body) = self.get(&path);
        match status {
            200 => Some(Document {
                media_type: field(&head, "content-type"),
                digest: field(&head, "docker-content-digest"),
                json: serde_json::from_slice(&body).unwrap(),
            }),
            404 => None,
            other => panic!("{}/{path}: {other}", self.name),
        }
    }

    /// What stands under a tag or a digest.
    #[track_caller]
    pub(crate) fn manifest(&self, reference: &str) -> Document {
        let found = self.find(reference);
        found.unwrap_or_else(|| panic!("{}: no {reference}", self.name))
    }

    /// The bytes of a blob.
    pub(crate) fn blob(&self, digest: &str) -> Vec<u8> {
        let (status, _, body) = self.get(&format!("blobs/{digest}"));
        assert_eq!(status, 200, "{}: {digest}", self.name);
        body
    }

    /// A manifest's configuration.
    pub(crate) fn config(&self, manifest: &Document) -> Value {
        let bytes = self.blob(text(&manifest.json["config"]["digest"]));
        serde_json::from_slice(&bytes).unwrap()
    }

    /// A manifest's layers, unpacked to tars, the base image's first.
    pub(crate) fn layers(&self, manifest: &Document) -> Vec<Vec<u8>> {
        let layers = manifest.json["layers"].as_array().unwrap();
        let unpack = |layer: &Value| {
            let bytes = self.blob(text(&layer["digest"]));
            let mut tar = Vec::new();
            match bytes.starts_with(&[0x1f, 0x8b]) {
                true => GzDecoder::new(&bytes[..]).read_to_end(&mut tar).unwrap(),
                false => (&bytes[..]).read_to_end(&mut tar).unwrap(),
            };
            tar
        };
        layers.iter().map(unpack).collect()
    }

    /// A file's content in the topmost layer that has it.
    #[track_caller]
    pub(crate) fn file(&self, manifest: &Document, path: &str) -> Vec<u8> {
        let layers = self.layers(manifest);
        let read = |layer: &Vec<u8>| {
            let mut tar = tar::Archive::new(&layer[..]);
            let mut entries = tar.entries().unwrap().map(Result::unwrap);
            let mut entry =
                entries.find(|entry| entry.path().unwrap().as_ref() == Path::new(path))?;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            Some(bytes)
        };
        let found = layers.iter().rev().find_map(read);
        found.unwrap_or_else(|| panic!("no {path} in {manifest:?}"))
    }

    /// The one image of an index for a platform such as `linux/arm64`.
    #[track_caller]
    pub(crate) fn image(&self, index: &Document, platform: &str) -> Document {
        let entries = index.json["manifests"].as_array().unwrap();
        let mut found = entries
            .iter()
            .filter(|entry| platform_of(entry) == platform);
        let entry = found
            .next()
            .unwrap_or_else(|| panic!("no {platform} in {index:?}"));
        assert!(found.next().is_none(), "{platform} twice in {index:?}");
        self.manifest(text(&entry["digest"]))
    }

    fn get(&self, path: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let (host, name) = (&self.host, &self.name);
        let request = format!(
            "GET /v2/{name}/{path} HTTP/1.0\r\nHost: {host}\r\nAccept: {MANIFEST}\r\n\
             Accept: {INDEX}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = answer.split_at(end.unwrap() + 4);
        let head = String::from_utf8_lossy(head).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, body.to_vec())
    }
}

impl Document {
    /// Whether this is an index.
    pub(crate) fn is_index(&self) -> bool {
        self.media_type == INDEX
    }

    /// The platforms that an index lists, in its order.
    pub(crate) fn platforms(&self) -> Vec<String> {
        let entries = self.json["manifests"].as_array().unwrap();
        entries.iter().map(platform_of).collect()
    }
}

/// The JSON string's text.
#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no string"))
}

fn platform_of(entry: &Value) -> String {
    let part = |name: &str| text(&entry["platform"][name]).to_owned();
    format!("{}/{}", part("os"), part("architecture"))
}

fn field(head: &str, name: &str) -> String {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let found = fields.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_owned()).unwrap_or_default()
}
