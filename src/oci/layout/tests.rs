use std::io::Write;

use super::find::sniff;
use super::*;

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn layout() -> (tempfile::TempDir, Layout) {
    let temp = tempfile::tempdir().unwrap();
    let layout = Layout::create(temp.path().join("a/b")).unwrap();
    (temp, layout)
}

fn manifest(layout: &Layout, text: &str) -> Descriptor {
    let text = format!(r#"{{"schemaVersion":2,"config":{{"k":"{text}"}},"layers":[]}}"#);
    layout.put_blob(text.as_bytes()).unwrap();
    Descriptor::of(media_type::MANIFEST, text.as_bytes())
}

#[test]
fn a_new_layout_is_empty_and_opening_it_again_changes_nothing() {
    let (_temp, layout) = layout();
    assert_eq!(entries(layout.dir()), ["blobs", "index.json", "oci-layout"]);
    assert_eq!(layout.index().unwrap().manifests, []);
    let image = manifest(&layout, "x");
    layout.tag(&image, &EntryName::Tag("1".to_owned())).unwrap();
    let again = Layout::create(layout.dir()).unwrap();
    assert_eq!(again.find("1").unwrap().digest, image.digest);
    assert_eq!(
        entries(layout.dir()),
        ["blobs", "index.json", "oci-layout"],
        "no lock and nothing temporary is left"
    );
}

#[test]
fn what_is_no_layout_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let error = || Layout::open(temp.path()).unwrap_err().to_string();
    assert!(
        error().ends_with("it has no file oci-layout"),
        "{}",
        error()
    );
    let write = |text: &str| fs::write(temp.path().join(LAYOUT_FILE), text).unwrap();
    write(r#"{"imageLayoutVersion":"2.0.0"}"#);
    assert!(error().contains("says version 2.0.0"), "{}", error());
    write("{}");
    assert!(error().contains("something else"), "{}", error());
    write(&" ".repeat(5 << 10));
    assert!(error().contains("larger than 4096 bytes"), "{}", error());
    assert!(
        Layout::create(temp.path()).is_err(),
        "not made over another"
    );
}

#[test]
fn images_are_found_by_tag_name_and_digest() {
    let (_temp, layout) = layout();
    let (one, two) = (manifest(&layout, "1"), manifest(&layout, "2"));
    assert_eq!(layout.find_digest(two.digest).unwrap(), two, "unlisted");
    layout
        .tag(&one, &EntryName::Image("app:1".parse().unwrap()))
        .unwrap();
    assert_eq!(layout.only().unwrap(), one);
    layout
        .tag(&two, &EntryName::Image("app:2".parse().unwrap()))
        .unwrap();
    let digest = |name: &str| layout.find(name).unwrap().digest;
    assert_eq!(digest("1"), one.digest);
    assert_eq!(digest("app:2"), two.digest);
    assert_eq!(digest(&two.digest.to_string()), two.digest);
    let text = |error: LayoutError| error.to_string();
    let names = "but docker.io/library/app:1, docker.io/library/app:2";
    assert!(text(layout.find("3").unwrap_err()).ends_with(names));
    assert!(text(layout.only().unwrap_err()).ends_with(names));
}

#[test]
fn content_that_is_not_its_digest_is_refused() {
    let (_temp, layout) = layout();
    let image = manifest(&layout, "x");
    assert!(layout.read_manifest(&image).is_ok() && layout.has(&image));
    let sized = Descriptor {
        size: image.size + 1,
        ..image.clone()
    };
    let altered = |result: Result<Vec<u8>, LayoutError>| {
        assert!(
            matches!(result, Err(LayoutError::Altered { .. })),
            "{result:?}"
        );
    };
    altered(layout.read_manifest(&sized));
    assert!(layout.open_blob(&sized).is_err() && !layout.has(&sized));
    let path = layout.blob_path(image.digest);
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] = b' ';
    fs::write(&path, bytes).unwrap();
    altered(layout.read_manifest(&image));
    let absent = Descriptor::of(media_type::MANIFEST, b"absent");
    let missing = layout.read_manifest(&absent);
    assert!(matches!(missing, Err(LayoutError::Missing { .. })));
    fs::write(&path, vec![b' '; 5 << 20]).unwrap();
    let large = layout.read_manifest(&image);
    assert!(matches!(large, Err(LayoutError::TooLarge { .. })));
}

#[test]
fn a_blob_is_whole_or_absent() {
    let (_temp, layout) = layout();
    let digest = Digest::of(b"content");
    let mut writer = layout.blob_writer().unwrap();
    writer.write_all(b"conten").unwrap();
    assert!(writer.commit(digest, 7).is_err());
    assert_eq!(entries(&layout.dir().join("blobs/sha256")), [""; 0]);
    let mut writer = layout.blob_writer().unwrap();
    writer.write_all(b"content").unwrap();
    writer.commit(digest, 7).unwrap();
    assert_eq!(fs::read(layout.blob_path(digest)).unwrap(), b"content");
    assert_eq!(entries(layout.dir()), ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn many_may_tag_at_once() {
    let (_temp, layout) = layout();
    let image = manifest(&layout, "x");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (layout, image) = (&layout, &image);
            scope.spawn(move || {
                let name = EntryName::Tag(number.to_string());
                layout.tag(image, &name).unwrap();
            });
        }
    });
    assert_eq!(layout.index().unwrap().manifests.len(), 8);
    assert_eq!(entries(layout.dir()), ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn other_documents_have_no_media_type() {
    let check = |text: &str, expect: Option<&str>| {
        assert_eq!(sniff(text.as_bytes()).as_deref(), expect, "{text}");
    };
    check(r#"{"manifests":[]}"#, Some(media_type::INDEX));
    check(r#"{"config":{},"layers":[]}"#, Some(media_type::MANIFEST));
    check(
        r#"{"mediaType":"a/b","config":{},"layers":[]}"#,
        Some("a/b"),
    );
    check(r#"{"mediaType":"a/b","os":"linux"}"#, None);
    check("x", None);
}
