//! Archives become one image, whatever order they come in.

use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::oci::names;
use crate::oci::{ATTESTATION, REFERENCE_DIGEST, REFERENCE_TYPE};
use crate::unit::DescriptorAnnotation;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

fn sink(bytes: &[u8]) -> Arc<FileSink> {
    let sink = FileSink::new(tempfile::tempfile().unwrap(), "an archive");
    sink.append(&[bytes]).unwrap();
    sink.finish().unwrap();
    Arc::new(sink)
}

fn bytes(sink: &FileSink) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; usize::try_from(sink.file().metadata().unwrap().len()).unwrap()];
    sink.file().read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// What a daemon sends: an image of a layer of its own and one that all share.
struct Sent {
    blobs: Vec<Vec<u8>>,
    root: Descriptor,
}

impl Sent {
    fn image(platform: &Platform) -> Self {
        let own = format!("layer of {platform}").into_bytes();
        let shared = b"shared layer".to_vec();
        let config = json!({"architecture": platform.architecture, "os": platform.os});
        let config = config.to_string().into_bytes();
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "config": Descriptor::of(media_type::CONFIG, &config),
            "layers": [Descriptor::of(LAYER, &shared), Descriptor::of(LAYER, &own)]});
        let manifest = manifest.to_string().into_bytes();
        let root = Descriptor::of(media_type::MANIFEST, &manifest).with_platform(platform.clone());
        Self {
            blobs: vec![own, shared, config, manifest],
            root,
        }
    }

    /// The same with a companion, and so in an index.
    fn attested(platform: &Platform) -> Self {
        let Self { mut blobs, root } = Self::image(platform);
        let statement = format!("about {platform}").into_bytes();
        let config = b"{}".to_vec();
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST,
            "config": Descriptor::of("application/vnd.oci.empty.v1+json", &config),
            "layers": [Descriptor::of("application/vnd.in-toto+json", &statement)]});
        let manifest = manifest.to_string().into_bytes();
        let mut companion = Descriptor::of(media_type::MANIFEST, &manifest)
            .with_platform(Platform::new("unknown", "unknown"));
        companion.annotations = BTreeMap::from([
            (REFERENCE_TYPE.to_owned(), ATTESTATION.to_owned()),
            (REFERENCE_DIGEST.to_owned(), root.digest.to_string()),
        ]);
        let index = Index::new(media_type::INDEX, vec![root, companion]).to_bytes();
        let root = Descriptor::of(media_type::INDEX, &index);
        blobs.extend([statement, config, manifest, index]);
        Self { blobs, root }
    }

    fn archive(&self) -> Vec<u8> {
        let mut root = self.root.clone();
        let created = "org.opencontainers.image.created";
        root.annotations
            .insert(created.to_owned(), "now".to_owned());
        let mut index = Index::new(media_type::INDEX, vec![]);
        put(
            &mut index,
            &root,
            &EntryName::Image("app:1".parse().unwrap()),
        );
        let mut tar = LayoutTar::begin(Vec::new(), &index).unwrap();
        for blob in &self.blobs {
            let size = blob.len() as u64;
            tar.blob(Digest::of(blob), size, |to| to.write_all(blob))
                .unwrap();
        }
        tar.finish().unwrap()
    }
}

fn received(platform: &Platform, sent: &Sent) -> Received {
    Received {
        from: format!("{platform} on a node"),
        platform: platform.clone(),
        file: sink(&sent.archive()),
    }
}

fn notes(names: &[&str]) -> ImageNotes {
    ImageNotes {
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..ImageNotes::default()
    }
}

fn merged(received: &[Received], notes: &ImageNotes) -> Vec<u8> {
    let to = sink(b"");
    gather(received, notes).unwrap().write_tar(&to).unwrap();
    bytes(&to)
}

fn platforms(text: &str) -> Vec<Platform> {
    text.split_whitespace()
        .map(|platform| platform.parse().unwrap())
        .collect()
}

#[test]
fn several_archives_are_one_image_with_shared_blobs_once() {
    let platforms = platforms("linux/arm64 linux/amd64");
    let all: Vec<_> = platforms
        .iter()
        .map(|platform| received(platform, &Sent::attested(platform)))
        .collect();
    let image = gather(&all, &notes(&["app:1", "r.io/app:2"])).unwrap();
    assert!(!image.is_as_sent());
    let kinds: Vec<_> = image
        .entries
        .iter()
        .map(|entry| entry.known_platform().map(|platform| platform.architecture))
        .collect();
    let arch = |name: &str| Some(name.to_owned());
    assert_eq!(kinds, [arch("amd64"), None, arch("arm64"), None]);
    let to = sink(b"");
    image.write_tar(&to).unwrap();
    let read = Archive::read(to.file().try_clone().unwrap()).unwrap();
    assert_eq!(
        names::listed(read.index()),
        ["docker.io/library/app:1", "r.io/app:2"]
    );
    assert_eq!(read.root().unwrap(), image.root);
    // Two layers, two configurations, two manifests, two statements with their manifests, the
    // shared layer, the empty configuration, the index.
    assert_eq!(read.closure(&image.root).unwrap().len(), 13);
    let blobs = bytes(&to);
    let count = blobs.windows(12).filter(|part| part == b"shared layer");
    assert_eq!(count.count(), 1);
}

#[test]
fn one_archive_stays_as_it_was_sent() {
    let platform = &platforms("linux/arm64")[0];
    for sent in [Sent::image(platform), Sent::attested(platform)] {
        let image = gather(&[received(platform, &sent)], &notes(&["app:1"])).unwrap();
        assert!(image.is_as_sent());
        assert_eq!(image.root, sent.root);
        image.verify().unwrap();
    }
}

#[test]
fn annotations_are_written_on_the_index_and_its_entries() {
    let platforms = platforms("linux/arm64 linux/amd64");
    let all: Vec<_> = platforms
        .iter()
        .map(|platform| received(platform, &Sent::image(platform)))
        .collect();
    let pair = |key: &str| BTreeMap::from([(key.to_owned(), "v".to_owned())]);
    let notes = ImageNotes {
        index: pair("index"),
        index_descriptor: pair("outer"),
        descriptors: vec![DescriptorAnnotation {
            platform: Some(platforms[0].clone()),
            key: "inner".to_owned(),
            value: "v".to_owned(),
        }],
        ..notes(&[])
    };
    let image = gather(&all, &notes).unwrap();
    assert_eq!(image.root.annotations, pair("outer"));
    assert_eq!(
        image.index.manifests,
        std::slice::from_ref(&image.root),
        "without a name"
    );
    assert_eq!(image.entries[0].annotations.len(), 0);
    assert_eq!(image.entries[1].annotations, pair("inner"));
    let Blob::Made(bytes) = &image.blobs[&image.root.digest] else {
        panic!()
    };
    assert_eq!(Index::parse(bytes).unwrap().annotations, pair("index"));
}

#[test]
fn an_archive_that_is_cut_or_altered_is_refused_by_its_senders_name() {
    let platform = &platforms("linux/arm64")[0];
    let sent = Sent::image(platform);
    let check = |bytes: &[u8]| {
        let received = Received {
            file: sink(bytes),
            ..received(platform, &sent)
        };
        let result = gather(&[received], &notes(&[])).and_then(|image| image.verify());
        let text = result.unwrap_err().to_string();
        assert!(text.contains("what linux/arm64 on a node sent"), "{text}");
    };
    let mut bytes = sent.archive();
    check(&bytes[..bytes.len() - 2048]);
    let at = bytes.windows(5).position(|part| part == b"layer").unwrap();
    bytes[at] = b'L';
    check(&bytes);
}

#[test]
fn a_layout_keeps_what_it_has_and_lists_the_image_last() {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path().join("layout");
    let write = |list: &str, name: &str| {
        let all: Vec<_> = platforms(list)
            .iter()
            .map(|platform| received(platform, &Sent::image(platform)))
            .collect();
        let stage = LayoutStage::create(&dest).unwrap();
        let checked = stage.check(gather(&all, &notes(&[name])).unwrap()).unwrap();
        stage.commit(&checked).unwrap();
    };
    write("linux/amd64", "app:1");
    let shared = dest
        .join("blobs/sha256")
        .join(Digest::of(b"shared layer").hex());
    let before = fs::metadata(&shared).unwrap().modified().unwrap();
    write("linux/amd64 linux/arm64", "app:2");
    assert_eq!(fs::metadata(&shared).unwrap().modified().unwrap(), before);
    fs::write(&shared, &b"shared damage"[..12]).unwrap();
    write("linux/amd64 linux/arm64", "app:2");
    assert_eq!(fs::read(&shared).unwrap(), b"shared layer", "mended");
    let layout = crate::oci::layout::Layout::open(&dest).unwrap();
    let index = layout.index().unwrap();
    assert_eq!(
        names::listed(&index),
        ["docker.io/library/app:1", "docker.io/library/app:2"]
    );
    let root = layout.find("app:2").unwrap();
    let listed = Index::parse(&layout.read_manifest(&root).unwrap()).unwrap();
    assert_eq!(listed.manifests.len(), 2);
    let mut names: Vec<_> = fs::read_dir(&dest)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
    fs::write(dest.join("oci-layout"), r#"{"imageLayoutVersion":"2"}"#).unwrap();
    assert!(LayoutStage::create(&dest).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_platform_sets_merge_to_the_same_bytes_in_any_order(
        set in proptest::collection::btree_map(
            proptest::sample::select(vec![
                "linux/386", "linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64",
                "linux/ppc64le", "linux/riscv64", "linux/s390x", "windows/amd64",
            ]),
            (any::<u32>(), any::<bool>()),
            2..7,
        )
    ) {
        let mut all: Vec<(u32, Received)> = set
            .iter()
            .map(|(name, (order, attested))| {
                let platform = name.parse().unwrap();
                let sent = match attested {
                    true => Sent::attested(&platform),
                    false => Sent::image(&platform),
                };
                (*order, received(&platform, &sent))
            })
            .collect();
        let notes = notes(&["app:1", "app:2"]);
        let one: Vec<_> = all.iter().map(|(_, received)| received.clone()).collect();
        all.sort_by_key(|(order, _)| *order);
        let other: Vec<_> = all.into_iter().map(|(_, received)| received).collect();
        prop_assert_eq!(merged(&one, &notes), merged(&other, &notes));
    }
}
