//! Copies of whole images between repositories.

use http::Method;
use mbuild::digest::Digest;
use mbuild::registry::At;
use serde_json::json;

use crate::support::fake_registry::{Act, Auth, FakeRegistry, Setup};
use crate::support::images::{Image, anonymous, image_ref, with_entry};

#[tokio::test]
async fn an_image_is_copied_within_a_registry_by_mounts_or_else_by_upload() {
    let image = Image::new("amd64");
    for mounts in [true, false] {
        for auth in [Auth::Open, Auth::Bearer] {
            let registry = FakeRegistry::start(Setup {
                mounts,
                auth,
                ..Setup::default()
            })
            .await;
            image.push(&registry, "from");
            let (registries, _home) = with_entry(
                &registry.host(),
                &json!({"username": "ann", "password": "pw"}),
            );
            let host = registry.host();
            let from = registries
                .repository(&image_ref(&host, "from"))
                .await
                .unwrap();
            let to = registries
                .repository(&image_ref(&host, "to/there"))
                .await
                .unwrap();
            let digest = image.descriptor().digest;
            to.copy_image(&from, digest).await.unwrap();
            assert!(
                to.head_manifest(At::Digest(digest))
                    .await
                    .unwrap()
                    .is_some()
            );
            let uploads = registry.count("PUT /v2/to/there/blobs/uploads/");
            assert_eq!(uploads, if mounts { 0 } else { 2 });
        }
    }
}

#[tokio::test]
async fn an_image_is_copied_between_registries() {
    let (a, b) = (FakeRegistry::open().await, FakeRegistry::open().await);
    let image = Image::new("arm64");
    let pushed = image.push_attested(&a, "from");
    let registries = anonymous();
    let from = registries
        .repository(&image_ref(&a.host(), "from"))
        .await
        .unwrap();
    let to = registries
        .repository(&image_ref(&b.host(), "to"))
        .await
        .unwrap();
    b.fault(
        &Method::PUT,
        "/blobs/uploads/",
        1,
        Act::Answer(500, None, ""),
    );
    to.copy_image(&from, pushed.root.digest).await.unwrap();
    let root = pushed.root.digest.to_string();
    assert_eq!(b.manifest("to", &root), a.manifest("from", &root));
    assert_eq!(b.manifest_count("to"), 3);
    assert!(b.has_blob("to", Digest::of(&image.layer)));
}

#[tokio::test]
async fn a_blob_with_other_content_is_not_copied() {
    let (a, b) = (FakeRegistry::open().await, FakeRegistry::open().await);
    let image = Image::new("arm64");
    image.push(&a, "from");
    a.fault(
        &Method::GET,
        "/blobs/",
        99,
        Act::Answer(200, None, "other bytes!!"),
    );
    let registries = anonymous();
    let from = registries
        .repository(&image_ref(&a.host(), "from"))
        .await
        .unwrap();
    let to = registries
        .repository(&image_ref(&b.host(), "to"))
        .await
        .unwrap();
    to.copy_image(&from, image.descriptor().digest)
        .await
        .unwrap_err();
    assert_eq!(b.manifest_count("to"), 0);
    assert!(!b.has_blob("to", Digest::of(&image.layer)));
}
