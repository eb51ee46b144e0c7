use serde_json::json;

use super::*;
use crate::oci::names::{EntryName, put};
use crate::platform::Platform;

/// An image of one layer: its blobs, and its descriptor.
fn image(text: &str) -> (Vec<Vec<u8>>, Descriptor) {
    let layer = format!("layer {text}").into_bytes();
    let config = br#"{"architecture":"arm64","os":"linux"}"#.to_vec();
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST,
        "config": Descriptor::of(media_type::CONFIG, &config),
        "layers": [Descriptor::of("application/vnd.oci.image.layer.v1.tar", &layer)]});
    let manifest = manifest.to_string().into_bytes();
    let descriptor = Descriptor::of(media_type::MANIFEST, &manifest)
        .with_platform(Platform::new("linux", "arm64"));
    (vec![layer, config, manifest], descriptor)
}

fn archive(index: &Index, blobs: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = LayoutTar::begin(Vec::new(), index).unwrap();
    for blob in blobs {
        let size = blob.len() as u64;
        tar.blob(Digest::of(blob), size, |to| to.write_all(blob))
            .unwrap();
    }
    tar.finish().unwrap()
}

fn listed(descriptor: &Descriptor) -> Index {
    let mut index = Index::new(media_type::INDEX, vec![]);
    for name in ["app:1", "app:2"] {
        put(
            &mut index,
            descriptor,
            &EntryName::Image(name.parse().unwrap()),
        );
    }
    index
}

fn read(bytes: &[u8]) -> Result<Archive, ArchiveError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Archive::read(file)
}

/// Reads everything, as who uses an archive does.
fn use_it(bytes: &[u8]) -> Result<usize, ArchiveError> {
    let archive = read(bytes)?;
    let closure = archive.closure(&archive.root()?)?;
    for descriptor in closure.values() {
        archive.copy(descriptor, &mut io::sink())?;
    }
    Ok(closure.len())
}

#[test]
fn what_was_written_is_read() {
    let (blobs, descriptor) = image("x");
    let bytes = archive(&listed(&descriptor), &blobs);
    let read = read(&bytes).unwrap();
    assert_eq!(read.index().manifests.len(), 2);
    assert_eq!(read.root().unwrap(), descriptor, "without names");
    assert_eq!(read.document(&descriptor).unwrap(), blobs[2]);
    assert_eq!(use_it(&bytes).unwrap(), 3);
    assert_eq!(archive(&listed(&descriptor), &blobs), bytes);
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let (blobs, descriptor) = image("x");
    let bytes = archive(&listed(&descriptor), &blobs);
    // Without its last kilobyte of zeros it is complete.
    for length in (0..bytes.len() - 1024 - 512).step_by(256) {
        assert!(use_it(&bytes[..length]).is_err(), "{length}");
    }
}

#[test]
fn content_that_is_not_what_it_should_be_is_refused() {
    let (mut blobs, descriptor) = image("x");
    let check = |blobs: &[Vec<u8>], descriptor: &Descriptor, expect: &str| {
        let error = use_it(&archive(&listed(descriptor), blobs)).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(&blobs[1..], &descriptor, "lacks");
    let sized = Descriptor {
        size: descriptor.size - 1,
        ..descriptor.clone()
    };
    check(&blobs, &sized, "is not what its digest and size say");
    let none = Descriptor::of(media_type::MANIFEST, b"{}");
    blobs.push(b"{}".to_vec());
    check(&blobs, &none, "is not a manifest");
    let layer = Digest::of(&blobs[0]);
    let mut bytes = archive(&listed(&descriptor), &blobs);
    let at = bytes
        .windows(7)
        .position(|window| window == b"layer x")
        .unwrap();
    bytes[at] = b'L';
    let error = use_it(&bytes).unwrap_err();
    assert!(matches!(error, ArchiveError::Altered(digest) if digest == layer));
}

#[test]
fn what_holds_no_layout_says_so() {
    let check = |bytes: &[u8], expect: &str| {
        let error = read(bytes).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(b"", "oci-layout");
    check(&[7; 2048], "cannot be read");
    let mut tar = tar::Builder::new(Vec::new());
    let text = br#"{"imageLayoutVersion":"3"}"#;
    let mut header = file_header(text.len() as u64);
    tar.append_data(&mut header, "./oci-layout", &text[..])
        .unwrap();
    check(&tar.into_inner().unwrap(), "version 3");
    let empty = Index::new(media_type::INDEX, vec![]);
    let error = read(&archive(&empty, &[])).unwrap().root().unwrap_err();
    assert!(error.to_string().contains("0 images"));
}
