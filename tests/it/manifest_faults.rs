//! Copying and joining images where a registry fails, refuses, or a disk holds something else.

use std::fs;
use std::time::Duration;

use http::Method;
use mbuild::digest::Digest;
use mbuild::manifest::{
    Found, Located, Outcome, Place, TargetError, Wanted, attestations, find, make, publish,
};
use mbuild::oci::layout::Layout;
use mbuild::registry::Registries;

use crate::manifest_copy::{push_signature, run};
use crate::support::fake_registry::{Act, Auth, FakeRegistry, Setup};
use crate::support::images::{Image, anonymous};

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    mbuild::causes::causes(error)
}

fn wanted() -> Wanted {
    Wanted {
        index_annotations: Default::default(),
        descriptor_annotations: Vec::new(),
        prefer_index: true,
        platforms: Vec::new(),
    }
}

async fn sources(registries: &Registries, places: &[String]) -> Vec<Found> {
    let located: Vec<Located> = places
        .iter()
        .map(|text| Located {
            label: text.clone(),
            place: Place::parse(text, "/".as_ref()).unwrap(),
            descriptor: None,
        })
        .collect();
    find(registries, &located).await.unwrap()
}

async fn create(
    registries: &Registries,
    places: &[String],
    targets: &[String],
) -> Result<Outcome, TargetError> {
    let found = sources(registries, places).await;
    let (extra, _) = attestations(&found).await;
    let made = make(&found, &extra, &wanted()).unwrap();
    let targets: Vec<Place> = targets
        .iter()
        .map(|text| Place::parse(text, "/".as_ref()).unwrap())
        .collect();
    publish(registries, &targets, &found, &made, &|_| ()).await
}

/// buildx's merge fails when it asks for referrers of images without provenance and the answer
/// is anything but "not found".
#[tokio::test]
async fn an_error_about_referrers_does_not_keep_images_from_being_joined() {
    let (one, two) = (FakeRegistry::open().await, FakeRegistry::open().await);
    let (amd, arm) = (Image::new("amd64"), Image::new("arm64"));
    let mut places = Vec::new();
    for image in [&amd, &arm] {
        image.push(&one, "from");
        places.push(format!("{}/from@{}", one.host(), image.descriptor().digest));
    }
    one.fault(
        &Method::GET,
        "/referrers/",
        999,
        Act::Answer(500, None, "no"),
    );
    let registries = anonymous();
    let found = sources(&registries, &places).await;
    let (entries, failures) = attestations(&found).await;
    assert!(entries.is_empty() && failures.len() == 2, "{failures:?}");
    let same = format!("{}/from:1", one.host());
    let outcome = create(&registries, &places, &[same]).await.unwrap();
    assert!(outcome.warnings.is_empty(), "there is nothing to copy");
    let other = format!("{}/to:1", two.host());
    let outcome = create(&registries, &places, &[other]).await.unwrap();
    assert_eq!(outcome.moved.len(), 1);
    assert_eq!(outcome.warnings.len(), 2, "{:?}", outcome.warnings);
    assert_eq!(two.manifest_count("to"), 3);
}

#[tokio::test]
async fn an_error_about_referrers_keeps_a_copy_from_being_taken_for_whole() {
    let (one, two) = (FakeRegistry::open().await, FakeRegistry::open().await);
    let image = Image::new("amd64");
    image.push(&one, "from");
    one.put_tag("from", "1", image.descriptor().digest);
    one.fault(
        &Method::GET,
        "/referrers/",
        999,
        Act::Answer(500, None, "no"),
    );
    let (from, to) = (
        format!("{}/from:1", one.host()),
        format!("{}/to:1", two.host()),
    );
    let error = run(&anonymous(), &from, &to).await.unwrap_err();
    assert!(
        causes(&error).contains("cannot find out what refers to"),
        "{}",
        causes(&error)
    );
    assert!(error.advice().unwrap().contains("--referrers=false"));
    assert_eq!(two.tag("to", "1"), None, "the tag comes last");
}

#[tokio::test]
async fn attestations_that_only_refer_to_their_image_are_listed_with_it() {
    let registry = FakeRegistry::start(Setup {
        referrers: true,
        ..Setup::default()
    })
    .await;
    let image = Image::new("amd64");
    image.push_attested(&registry, "from");
    let place = format!("{}/from@{}", registry.host(), image.descriptor().digest);
    let registries = anonymous();
    let target = format!("{}/to:1", registry.host());
    create(&registries, &[place], &[target]).await.unwrap();
    let digest = registry.tag("to", "1").unwrap();
    let (_, bytes) = registry.manifest("to", &digest).unwrap();
    let index = mbuild::oci::Index::parse(&bytes).unwrap();
    assert_eq!(index.manifests.len(), 2);
    assert_eq!(
        index.manifests[1].attests(),
        Some(image.descriptor().digest)
    );
    assert!(
        registry
            .manifest("to", &index.manifests[1].digest.to_string())
            .is_some()
    );
}

#[tokio::test]
async fn an_upload_that_breaks_is_made_again() {
    let (one, two) = (FakeRegistry::open().await, FakeRegistry::open().await);
    let image = Image::new("amd64");
    image.push(&one, "from");
    one.put_tag("from", "1", image.descriptor().digest);
    two.fault(
        &Method::PUT,
        "/blobs/uploads/",
        2,
        Act::Answer(503, None, "later"),
    );
    two.fault(&Method::POST, "/blobs/uploads/", 1, Act::Cut);
    let temp = tempfile::tempdir().unwrap();
    let layout = format!("oci-layout://{}/l", temp.path().display());
    let registries = anonymous();
    run(&registries, &format!("{}/from:1", one.host()), &layout)
        .await
        .unwrap();
    run(&registries, &layout, &format!("{}/to:1", two.host()))
        .await
        .unwrap();
    assert_eq!(two.tag("to", "1"), one.tag("from", "1"));
    assert!(two.has_blob("to", Digest::of(&image.layer)));
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_where_it_was() {
    let registry = FakeRegistry::open().await;
    let image = Image::new("amd64");
    image.push(&registry, "from");
    registry.put_tag("from", "1", image.descriptor().digest);
    let layer = Digest::of(&image.layer);
    registry.fault(&Method::GET, &layer.to_string(), 2, Act::Half);
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("l");
    let target = format!("oci-layout://{}", dir.display());
    run(
        &anonymous(),
        &format!("{}/from:1", registry.host()),
        &target,
    )
    .await
    .unwrap();
    let path = Layout::open(&dir).unwrap().blob_path(layer);
    assert_eq!(fs::read(path).unwrap(), image.layer);
    let ranges = registry.seen();
    let ranges = ranges
        .iter()
        .filter(|seen| seen.headers.contains_key("range"));
    assert_eq!(ranges.count(), 2, "half, the half of the rest, the rest");
}

#[tokio::test]
async fn an_interrupted_copy_leaves_checked_blobs_and_no_image_and_is_completed() {
    let registry = FakeRegistry::open().await;
    let image = Image::new("amd64");
    image.push(&registry, "from");
    registry.put_tag("from", "1", image.descriptor().digest);
    let (layer, config) = (Digest::of(&image.layer), Digest::of(&image.config));
    registry.fault(
        &Method::GET,
        &layer.to_string(),
        99,
        Act::Answer(404, None, ""),
    );
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("l");
    let (from, to) = (
        format!("{}/from:1", registry.host()),
        format!("oci-layout://{}:x", dir.display()),
    );
    // The configuration may be there or not: both move at once.
    run(&anonymous(), &from, &to).await.unwrap_err();
    let layout = Layout::open(&dir).unwrap();
    assert_eq!(layout.index().unwrap().manifests, []);
    assert!(!layout.blob_path(layer).exists());
    let left = || {
        let entries = fs::read_dir(&dir).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name())
            .collect::<Vec<_>>()
    };
    // A blob that was on its way is dropped by the thread that writes it.
    for _ in 0..100 {
        if left().len() == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(left().len(), 3, "nothing temporary: {:?}", left());
    fs::write(layout.blob_path(config), &image.config).unwrap();
    let whole = FakeRegistry::open().await;
    image.push(&whole, "from");
    let from = format!("{}/from@{}", whole.host(), image.descriptor().digest);
    let outcome = run(&anonymous(), &from, &to).await.unwrap();
    assert_eq!((outcome.tally.blobs, outcome.tally.present), (1, 1));
    let config = format!("GET /v2/from/blobs/{config}");
    assert_eq!(whole.count(&config), 0, "what is there is not sent");
    assert_eq!(layout.find("x").unwrap().digest, image.descriptor().digest);
}

#[tokio::test]
async fn content_that_is_not_its_digest_is_not_passed_on() {
    let (one, two) = (FakeRegistry::open().await, FakeRegistry::open().await);
    let image = Image::new("amd64");
    image.push(&one, "from");
    one.put_tag("from", "1", image.descriptor().digest);
    let temp = tempfile::tempdir().unwrap();
    let registries = anonymous();
    for (name, change) in [
        (
            "altered",
            Box::new(|bytes: &mut Vec<u8>| bytes[0] ^= 1) as Box<dyn Fn(&mut Vec<u8>)>,
        ),
        (
            "truncated",
            Box::new(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1)),
        ),
    ] {
        let dir = temp.path().join(name);
        let layout = format!("oci-layout://{}", dir.display());
        run(&registries, &format!("{}/from:1", one.host()), &layout)
            .await
            .unwrap();
        let path = Layout::open(&dir)
            .unwrap()
            .blob_path(Digest::of(&image.layer));
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        let target = format!("{}/{name}:1", two.host());
        let error = run(&registries, &layout, &target).await.unwrap_err();
        let text = causes(&error);
        assert!(
            text.contains("is not what its digest and size say"),
            "{text}"
        );
        assert_eq!(two.manifest_count(name), 0);
        let copy = temp.path().join(format!("{name}-copy"));
        let target = format!("oci-layout://{}", copy.display());
        run(&registries, &layout, &target).await.unwrap_err();
        assert_eq!(Layout::open(&copy).unwrap().index().unwrap().manifests, []);
    }
    // A registry that lies is not believed either.
    let lie = Act::Answer(200, None, "other bytes!!");
    one.fault(&Method::GET, &Digest::of(&image.layer).to_string(), 99, lie);
    let dir = temp.path().join("lied");
    let target = format!("oci-layout://{}", dir.display());
    run(&registries, &format!("{}/from:1", one.host()), &target)
        .await
        .unwrap_err();
    assert_eq!(Layout::open(&dir).unwrap().index().unwrap().manifests, []);
}

#[tokio::test]
async fn a_registry_that_may_only_be_read_is_told_and_no_name_moves() {
    let one = FakeRegistry::open().await;
    let two = FakeRegistry::start(Setup {
        auth: Auth::ReadOnly,
        ..Setup::default()
    })
    .await;
    let image = Image::new("amd64");
    image.push(&one, "from");
    let place = format!("{}/from@{}", one.host(), image.descriptor().digest);
    let targets = [
        format!("{}/from:1", one.host()),
        format!("{}/to:1", two.host()),
    ];
    let error = create(&anonymous(), &[place], &targets).await.unwrap_err();
    let text = causes(&error);
    assert!(
        text.contains("nothing was published") && text.contains(&two.host()),
        "{text}"
    );
    assert!(error.advice().unwrap().contains("docker login"));
    assert_eq!(one.tag("from", "1"), None);
}

#[tokio::test]
async fn a_name_that_cannot_be_moved_does_not_keep_others() {
    let registry = FakeRegistry::open().await;
    let image = Image::new("amd64");
    image.push(&registry, "from");
    let host = registry.host();
    let place = format!("{host}/from@{}", image.descriptor().digest);
    registry.fault(
        &Method::PUT,
        "/from/manifests/1",
        99,
        Act::Answer(403, None, "no"),
    );
    let targets = [format!("{host}/from:1"), format!("{host}/from:2")];
    let outcome = create(&anonymous(), &[place], &targets).await.unwrap();
    assert_eq!(outcome.moved, [targets[1].clone()]);
    assert_eq!(outcome.unmoved.len(), 1);
    assert_eq!(outcome.unmoved[0].0, targets[0]);
}

#[tokio::test]
async fn signatures_go_along_when_images_are_joined_elsewhere() {
    let one = FakeRegistry::start(Setup {
        referrers: true,
        ..Setup::default()
    })
    .await;
    let two = FakeRegistry::open().await;
    let image = Image::new("amd64");
    image.push(&one, "from");
    let signature = push_signature(&one, "from", &image.descriptor());
    let place = format!("{}/from@{}", one.host(), image.descriptor().digest);
    create(&anonymous(), &[place], &[format!("{}/to:1", two.host())])
        .await
        .unwrap();
    assert!(two.manifest("to", &signature.to_string()).is_some());
}
