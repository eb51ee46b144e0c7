//! Requests to a registry that fails, lies, hangs up or keeps us waiting.

use std::time::{Duration, Instant};

use http::Method;
use mbuild::registry::{At, Problem, Repository};

use crate::support::fake_registry::{Act, FakeRegistry, Setup};
use crate::support::images::{anonymous, image_ref, index};

async fn open() -> (FakeRegistry, Repository) {
    let registry = FakeRegistry::open().await;
    let repository = repository(&registry).await;
    (registry, repository)
}

async fn repository(registry: &FakeRegistry) -> Repository {
    anonymous()
        .repository(&image_ref(&registry.host(), "team/app"))
        .await
        .unwrap()
}

fn answer(status: u16) -> Act {
    Act::Answer(
        status,
        None,
        r#"{"errors":[{"code":"UNKNOWN","message":"oops"}]}"#,
    )
}

#[tokio::test]
async fn a_manifest_comes_back_byte_for_byte() {
    let (registry, repository) = open().await;
    let index = index();
    repository.put_manifest(At::Tag("1"), &index).await.unwrap();
    assert_eq!(
        registry.tag("team/app", "1"),
        Some(index.digest.to_string())
    );
    let found = repository
        .head_manifest(At::Tag("1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, index.descriptor());
    for at in [At::Tag("1"), At::Digest(index.digest)] {
        assert_eq!(repository.get_manifest(at).await.unwrap().unwrap(), index);
    }
    assert_eq!(repository.head_manifest(At::Tag("2")).await.unwrap(), None);
    assert_eq!(repository.get_manifest(At::Tag("2")).await.unwrap(), None);
}

#[tokio::test]
async fn two_failures_of_the_server_are_ridden_out() {
    let (registry, repository) = open().await;
    registry.fault(&Method::PUT, "/manifests/", 2, answer(500));
    repository
        .put_manifest(At::Tag("1"), &index())
        .await
        .unwrap();
    assert_eq!(registry.count("PUT"), 3);
}

#[tokio::test]
async fn a_server_that_never_recovers_is_an_error_with_its_words() {
    let (registry, repository) = open().await;
    registry.fault(&Method::PUT, "/manifests/", 99, answer(503));
    let error = repository
        .put_manifest(At::Tag("1"), &index())
        .await
        .unwrap_err();
    assert_eq!((error.status, error.problem), (Some(503), Problem::Server));
    assert!(error.is_temporary());
    assert_eq!(
        error.to_string(),
        format!(
            "cannot write team/app:1 at registry {}: it answered 503: oops (UNKNOWN)",
            registry.host()
        )
    );
    assert_eq!(registry.count("PUT"), 5);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let (registry, repository) = open().await;
    registry.fault(&Method::PUT, "/manifests/", 99, answer(400));
    let error = repository
        .put_manifest(At::Tag("1"), &index())
        .await
        .unwrap_err();
    assert_eq!(error.problem, Problem::Refused);
    assert_eq!(registry.count("PUT"), 1);
}

#[tokio::test]
async fn a_busy_registrys_wish_to_wait_is_honoured() {
    let (registry, repository) = open().await;
    let busy = Act::Answer(429, Some(("retry-after", "1".to_owned())), "");
    registry.fault(&Method::PUT, "/manifests/", 1, busy);
    let started = Instant::now();
    repository
        .put_manifest(At::Tag("1"), &index())
        .await
        .unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_wish_to_wait_for_an_hour_is_an_error_at_once() {
    let (registry, repository) = open().await;
    let busy = Act::Answer(429, Some(("retry-after", "3600".to_owned())), "");
    registry.fault(&Method::PUT, "/manifests/", 9, busy);
    let started = Instant::now();
    let error = repository
        .put_manifest(At::Tag("1"), &index())
        .await
        .unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(3600)));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_lie_about_a_digest_is_found_out() {
    let (registry, repository) = open().await;
    registry.fault(&Method::PUT, "/manifests/", 1, Act::Lie);
    let error = repository
        .put_manifest(At::Tag("1"), &index())
        .await
        .unwrap_err();
    assert_eq!(error.problem, Problem::Digest);

    let index = index();
    repository.put_manifest(At::Tag("1"), &index).await.unwrap();
    registry.fault(&Method::HEAD, "/manifests/", 1, Act::Lie);
    let error = repository
        .head_manifest(At::Digest(index.digest))
        .await
        .unwrap_err();
    assert_eq!(error.problem, Problem::Digest);
}

#[tokio::test]
async fn other_bytes_under_a_digest_are_found_out() {
    let (registry, repository) = open().await;
    let index = index();
    registry.fault(
        &Method::GET,
        "/manifests/",
        1,
        Act::Answer(200, None, "{\"other\":1}"),
    );
    let error = repository
        .get_manifest(At::Digest(index.digest))
        .await
        .unwrap_err();
    assert_eq!(error.problem, Problem::Digest);
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_body_is_tried_again() {
    let (registry, repository) = open().await;
    let index = index();
    repository.put_manifest(At::Tag("1"), &index).await.unwrap();
    registry.fault(&Method::GET, "/manifests/", 2, Act::Cut);
    assert_eq!(
        repository
            .get_manifest(At::Tag("1"))
            .await
            .unwrap()
            .unwrap(),
        index
    );
    registry.fault(&Method::GET, "/manifests/", 99, Act::Cut);
    let error = repository.get_manifest(At::Tag("1")).await.unwrap_err();
    assert_eq!(error.problem, Problem::Broken);
}

#[tokio::test]
async fn a_slow_registry_is_waited_for() {
    let (registry, repository) = open().await;
    registry.fault(
        &Method::PUT,
        "/manifests/",
        1,
        Act::Wait(Duration::from_millis(400)),
    );
    repository
        .put_manifest(At::Tag("1"), &index())
        .await
        .unwrap();
    assert_eq!(registry.count("PUT"), 1);
}

#[tokio::test]
async fn a_registry_that_names_no_digests_is_read_instead() {
    let registry = FakeRegistry::start(Setup {
        names_digests: false,
        ..Setup::default()
    })
    .await;
    let repository = repository(&registry).await;
    let index = index();
    repository.put_manifest(At::Tag("1"), &index).await.unwrap();
    let found = repository
        .head_manifest(At::Tag("1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, index.descriptor());
}

#[tokio::test]
async fn the_check_before_a_build_leaves_nothing_behind() {
    let (registry, repository) = open().await;
    repository.check_push().await.unwrap();
    assert_eq!(registry.count("POST /v2/team/app/blobs/uploads/"), 1);
    // Nobody waits for this one.
    let limit = Instant::now() + Duration::from_secs(10);
    while registry.count("DELETE /v2/team/app/blobs/uploads/") == 0 && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(registry.count("DELETE /v2/team/app/blobs/uploads/"), 1);
}

#[tokio::test]
async fn the_check_does_not_wait_for_what_it_leaves_behind() {
    let (registry, repository) = open().await;
    let hang = Act::Wait(Duration::from_secs(60));
    registry.fault(&Method::DELETE, "/blobs/uploads/", 1, hang);
    let started = Instant::now();
    repository.check_push().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_registry_that_is_down_is_told_soon() {
    let registry = FakeRegistry::open().await;
    let host = registry.host();
    drop(registry);
    let repository = anonymous()
        .repository(&image_ref(&host, "a"))
        .await
        .unwrap();
    let started = Instant::now();
    let error = repository.check_push().await.unwrap_err();
    assert_eq!(error.problem, Problem::Connect);
    assert!(started.elapsed() < Duration::from_secs(10));
}
