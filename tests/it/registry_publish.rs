//! Publishing: what stands in the registry after success, and after every kind of failure.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use mbuild::event::ClientStep;
use mbuild::merge::registry::{Publication, PublishError, Published, Pushed, check_push, publish};
use mbuild::oci::{Descriptor, Index, media_type};
use mbuild::reference::ImageRef;
use mbuild::registry::Problem;

use crate::support::fake_registry::{Act, FakeRegistry};
use crate::support::images::{Image, anonymous, image_ref};

/// Publishes with these names; the repositories are theirs.
async fn run(tags: &[ImageRef], units: &[Pushed]) -> Result<Published, PublishError> {
    let repositories: Vec<_> = tags.iter().map(ImageRef::without_tag).collect();
    run_with(&repositories, tags, units, &|_| ()).await
}

async fn run_with(
    repositories: &[ImageRef],
    tags: &[ImageRef],
    units: &[Pushed],
    report: &(dyn Fn(ClientStep) + Send + Sync),
) -> Result<Published, PublishError> {
    let publication = Publication {
        repositories,
        tags,
        index_annotations: &BTreeMap::new(),
        descriptor_annotations: &[],
    };
    publish(&anonymous(), &publication, units, report).await
}

/// Two images in `app`, and what their daemons say.
fn two(registry: &FakeRegistry) -> Vec<Pushed> {
    let images = [Image::new("arm64"), Image::new("amd64")];
    for image in &images {
        image.push(registry, "app");
    }
    images.iter().map(Image::pushed).collect()
}

fn index_of(registry: &FakeRegistry, repo: &str, digest: &str) -> Index {
    let (media_type, bytes) = registry.manifest(repo, digest).unwrap();
    assert_eq!(media_type, media_type::INDEX);
    Index::parse(&bytes).unwrap()
}

fn platforms(index: &Index) -> Vec<String> {
    let name = |entry: &Descriptor| {
        entry
            .known_platform()
            .map_or("attestation".to_owned(), |platform| platform.to_string())
    };
    index.manifests.iter().map(name).collect()
}

#[tokio::test]
async fn two_platforms_become_one_index_under_every_tag() {
    let registry = FakeRegistry::open().await;
    let units = two(&registry);
    let host = registry.host();
    let tags = [image_ref(&host, "app:1"), image_ref(&host, "app:latest")];
    let published = run(&tags, &units).await.unwrap();
    assert_eq!(published.moved, tags);
    assert!(published.unmoved.is_empty());
    let digest = published.root.digest.to_string();
    for tag in ["1", "latest"] {
        assert_eq!(registry.tag("app", tag).unwrap(), digest);
    }
    let index = index_of(&registry, "app", &digest);
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
    assert_eq!(published.entries, index.manifests);
    assert_eq!(registry.manifest_count("app"), 3);
}

#[tokio::test]
async fn attestations_stand_behind_their_images() {
    let registry = FakeRegistry::open().await;
    let units: Vec<_> = ["arm64", "amd64"]
        .map(|arch| Image::new(arch).push_attested(&registry, "app"))
        .into();
    let published = run(&[image_ref(&registry.host(), "app:1")], &units)
        .await
        .unwrap();
    let index = index_of(&registry, "app", &published.root.digest.to_string());
    let expect = ["linux/amd64", "attestation", "linux/arm64", "attestation"];
    assert_eq!(platforms(&index), expect);
}

#[tokio::test]
async fn one_platform_stays_a_plain_manifest_and_leaves_no_index() {
    let registry = FakeRegistry::open().await;
    let image = Image::new("amd64");
    image.push(&registry, "app");
    let published = run(&[image_ref(&registry.host(), "app:1")], &[image.pushed()])
        .await
        .unwrap();
    assert_eq!(published.root.digest, image.descriptor().digest);
    assert_eq!(published.entries, [image.descriptor()]);
    assert_eq!(
        registry.tag("app", "1").unwrap(),
        image.descriptor().digest.to_string()
    );
    assert_eq!(registry.manifest_count("app"), 1);
}

#[tokio::test]
async fn one_attested_platform_keeps_its_daemons_index() {
    let registry = FakeRegistry::open().await;
    let unit = Image::new("amd64").push_attested(&registry, "app");
    let before = registry.manifest_count("app");
    let published = run(
        &[image_ref(&registry.host(), "app:1")],
        std::slice::from_ref(&unit),
    )
    .await
    .unwrap();
    assert_eq!(published.root.digest, unit.root.digest);
    assert_eq!(published.entries.len(), 2);
    assert_eq!(registry.manifest_count("app"), before);
}

#[tokio::test]
async fn every_repository_gets_the_whole_image() {
    let (a, b) = (FakeRegistry::open().await, FakeRegistry::open().await);
    let units: Vec<_> = ["amd64", "arm64"]
        .map(|arch| Image::new(arch).push_attested(&a, "app"))
        .into();
    let tags = [
        image_ref(&a.host(), "app:1"),
        image_ref(&a.host(), "copy:1"),
        image_ref(&b.host(), "far:1"),
    ];
    let published = run(&tags, &units).await.unwrap();
    let digest = published.root.digest.to_string();
    for (registry, repo) in [(&a, "app"), (&a, "copy"), (&b, "far")] {
        assert_eq!(registry.tag(repo, "1").as_ref(), Some(&digest), "{repo}");
        for entry in &published.entries {
            assert!(registry.manifest(repo, &entry.digest.to_string()).is_some());
        }
    }
}

#[tokio::test]
async fn a_part_that_one_repository_lost_is_brought_back() {
    let registry = FakeRegistry::open().await;
    let image = Image::new("amd64");
    let units = [
        image.push_attested(&registry, "app"),
        image.push_attested(&registry, "copy"),
    ];
    registry.remove_manifest("copy", image.descriptor().digest);
    let host = registry.host();
    let tags = [image_ref(&host, "app:1"), image_ref(&host, "copy:1")];
    run(&tags, &units[..1]).await.unwrap();
    assert!(
        registry
            .manifest("copy", &image.descriptor().digest.to_string())
            .is_some()
    );
}

/// What a publication asks about manifests, without the digests.
fn requests(registry: &FakeRegistry) -> Vec<String> {
    let lines = registry.seen().into_iter().map(|seen| seen.line);
    let mut lines: Vec<String> = lines
        .filter(|line| line.contains("/manifests/"))
        .map(|line| line.split("sha256:").next().unwrap().to_owned())
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn what_was_published_before_is_looked_up_once_and_not_written() {
    let registry = FakeRegistry::open().await;
    let units = two(&registry);
    let tags = ["app:1", "app:latest"].map(|name| image_ref(&registry.host(), name));
    let first = run(&tags, &units).await.unwrap();
    let before = requests(&registry);
    let expect = [
        // Each image is read, which proves that it is there; each tag is looked up.
        "GET /v2/app/manifests/",
        "GET /v2/app/manifests/",
        "HEAD /v2/app/manifests/",
        "HEAD /v2/app/manifests/1",
        "HEAD /v2/app/manifests/1",
        "HEAD /v2/app/manifests/latest",
        "HEAD /v2/app/manifests/latest",
        // The index by digest and each tag are written and looked up again.
        "PUT /v2/app/manifests/",
        "PUT /v2/app/manifests/1",
        "PUT /v2/app/manifests/latest",
    ];
    assert_eq!(before, expect);

    registry.forget_seen();
    let second = run(&tags, &units).await.unwrap();
    assert_eq!(second.root, first.root);
    assert_eq!(second.moved, tags);
    let expect = [
        "GET /v2/app/manifests/",
        "GET /v2/app/manifests/",
        "HEAD /v2/app/manifests/1",
        "HEAD /v2/app/manifests/latest",
    ];
    assert_eq!(requests(&registry), expect);
}

#[tokio::test]
async fn a_tag_that_points_elsewhere_is_moved_and_the_index_not_written_twice() {
    let registry = FakeRegistry::open().await;
    let units = two(&registry);
    let tags = ["app:1", "app:2"].map(|name| image_ref(&registry.host(), name));
    let first = run(&tags, &units).await.unwrap();
    registry.put_tag("app", "2", units[0].root.digest);
    registry.forget_seen();
    let second = run(&tags, &units).await.unwrap();
    assert_eq!(second.moved, tags);
    assert_eq!(
        registry.tag("app", "2"),
        Some(first.root.digest.to_string())
    );
    assert_eq!(registry.count("PUT"), 1, "tag 2");
}

#[tokio::test]
async fn tags_of_one_repository_are_written_in_order() {
    let registry = FakeRegistry::open().await;
    let units = two(&registry);
    let host = registry.host();
    let names = ["app:3", "app:1", "app:2", "app:latest"];
    let tags = names.map(|name| image_ref(&host, name));
    let slow = Act::Wait(Duration::from_millis(50));
    registry.fault(&Method::PUT, "/manifests/3", 1, slow);
    run(&tags, &units).await.unwrap();
    let lines = registry.seen().into_iter().map(|seen| seen.line);
    let written: Vec<String> = lines
        .filter(|line| line.starts_with("PUT") && !line.contains("sha256:"))
        .map(|line| line.replace("PUT /v2/app/manifests/", "app:"))
        .collect();
    assert_eq!(written, names);
}

#[tokio::test]
async fn a_tag_that_cannot_be_looked_up_is_moved() {
    let registry = FakeRegistry::open().await;
    let units = two(&registry);
    let refusal = Act::Answer(403, None, "");
    registry.fault(&Method::HEAD, "/manifests/1", 1, refusal);
    let tags = [image_ref(&registry.host(), "app:1")];
    let published = run(&tags, &units).await.unwrap();
    assert_eq!(published.moved, tags);
    assert!(registry.tag("app", "1").is_some());
}

#[tokio::test]
async fn push_by_digest_alone_leaves_the_index_without_tag() {
    let registry = FakeRegistry::open().await;
    let units = two(&registry);
    let published = run_with(&[image_ref(&registry.host(), "app")], &[], &units, &|_| ())
        .await
        .unwrap();
    assert!(
        registry
            .manifest("app", &published.root.digest.to_string())
            .is_some()
    );
    assert_eq!(registry.tag("app", "latest"), None);
}

#[tokio::test]
async fn a_daemon_that_gives_only_a_digest_is_enough() {
    let registry = FakeRegistry::open().await;
    let mut units = two(&registry);
    for unit in &mut units {
        unit.root = Descriptor::new("", unit.root.digest, 0);
        unit.platform = None;
    }
    let published = run(&[image_ref(&registry.host(), "app:1")], &units)
        .await
        .unwrap();
    let index = index_of(&registry, "app", &published.root.digest.to_string());
    assert_eq!(platforms(&index), ["linux/amd64", "linux/arm64"]);
    assert!(index.manifests.iter().all(|entry| entry.size > 0));
}

#[tokio::test]
async fn an_image_that_is_not_there_moves_no_tag() {
    let registry = FakeRegistry::open().await;
    let units = two(&registry);
    registry.remove_manifest("app", units[1].root.digest);
    let error = run(&[image_ref(&registry.host(), "app:1")], &units)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("linux/amd64 on a node"),
        "{error}"
    );
    assert!(matches!(error, PublishError::Missing { .. }));
    assert_eq!(registry.tag("app", "1"), None);
    assert_eq!(registry.count("PUT"), 0);
}

#[tokio::test]
async fn two_images_for_one_platform_move_no_tag() {
    let registry = FakeRegistry::open().await;
    let mut units = two(&registry);
    let mut second = Image::new("riscv64");
    second.platform = mbuild::platform::Platform::new("linux", "amd64");
    second.push(&registry, "app");
    units.push(Pushed {
        from: "linux/amd64 on node-z".into(),
        ..second.pushed()
    });
    let error = run(&[image_ref(&registry.host(), "app:1")], &units)
        .await
        .unwrap_err();
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        text.contains("linux/amd64 on a node") && text.contains("on node-z"),
        "{text}"
    );
    assert_eq!(registry.count("PUT"), 0);
}

#[tokio::test]
async fn a_lie_about_the_index_moves_no_tag() {
    for act in [Act::Lie, Act::Forget] {
        let registry = FakeRegistry::open().await;
        let units = two(&registry);
        registry.fault(&Method::PUT, "/manifests/sha256:", 99, act);
        let error = run(&[image_ref(&registry.host(), "app:1")], &units)
            .await
            .unwrap_err();
        let PublishError::Registry(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.problem, Problem::Digest);
        assert_eq!(registry.tag("app", "1"), None);
    }
}

#[tokio::test]
async fn failures_that_pass_delay_and_do_not_fail() {
    let registry = FakeRegistry::open().await;
    let units = two(&registry);
    for method in [Method::HEAD, Method::GET, Method::PUT] {
        registry.fault(&method, "/manifests/", 2, Act::Answer(500, None, ""));
    }
    let published = run(&[image_ref(&registry.host(), "app:1")], &units)
        .await
        .unwrap();
    assert!(published.unmoved.is_empty());
}

#[tokio::test]
async fn a_tag_that_fails_does_not_keep_the_others_from_moving() {
    for act in [
        Act::Answer(503, None, ""),
        Act::Answer(403, None, ""),
        Act::Forget,
    ] {
        let registry = FakeRegistry::open().await;
        let units = two(&registry);
        let host = registry.host();
        let tags = ["app:1", "app:2", "app:3"].map(|name| image_ref(&host, name));
        registry.fault(&Method::PUT, "/manifests/2", 99, act);
        let published = run(&tags, &units).await.unwrap();
        assert_eq!(published.moved, [tags[0].clone(), tags[2].clone()]);
        assert_eq!(published.unmoved.len(), 1);
        assert_eq!(published.unmoved[0].0, tags[1]);
        assert_eq!(registry.tag("app", "2"), None);
        assert!(registry.tag("app", "3").is_some());
    }
}

#[tokio::test]
async fn steps_are_reported_as_they_begin_and_end() {
    let registry = FakeRegistry::open().await;
    let units = two(&registry);
    let tag = image_ref(&registry.host(), "app:1");
    registry.fault(&Method::PUT, "/manifests/1", 99, Act::Answer(400, None, ""));
    let steps = Mutex::new(Vec::new());
    let report = |step: ClientStep| {
        let end = match step.end {
            None => "begins",
            Some(Ok(())) => "done",
            Some(Err(_)) => "failed",
        };
        let name: String = step.name.split(" sha256").next().unwrap().into();
        steps.lock().unwrap().push(format!("{name}: {end}"));
    };
    run_with(
        &[tag.without_tag()],
        std::slice::from_ref(&tag),
        &units,
        &report,
    )
    .await
    .unwrap();
    let tagging = format!("tagging {}", tag.familiar());
    assert_eq!(
        *steps.lock().unwrap(),
        [
            "checking the pushed images: begins".to_owned(),
            "checking the pushed images: done".to_owned(),
            "pushing index: begins".to_owned(),
            "pushing index: done".to_owned(),
            format!("{tagging}: begins"),
            format!("{tagging}: failed"),
        ]
    );
}

#[tokio::test]
async fn the_check_before_a_build_names_the_registry_that_is_down() {
    let (up, down) = (FakeRegistry::open().await, FakeRegistry::open().await);
    let images = [image_ref(&up.host(), "app"), image_ref(&down.host(), "app")];
    check_push(&anonymous(), &images).await.unwrap();
    drop(down);
    let error = check_push(&anonymous(), &images).await.unwrap_err();
    assert_eq!(error.host, images[1].domain());
}
