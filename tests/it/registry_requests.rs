//! Requests to a registry that fails, lies, hangs up, or wants to see credentials first.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use mbuild::oci::media_type;
use mbuild::registry::{
    At, HostSettings, Manifest, Problem, RegistryError, RegistrySettings, Repository, TokenRequest,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::json;

use crate::support::fake_registry::{Act, Auth, FakeRegistry, Setup};
use crate::support::images::{Image, anonymous, image_ref, with_entry, with_settings};

fn index() -> Manifest {
    let text = r#"{"schemaVersion":2,"manifests":[]}"#;
    Manifest::new(media_type::INDEX, text)
}

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
    assert_eq!(registry.count("DELETE /v2/team/app/blobs/uploads/"), 1);
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

async fn push_as(
    setup: Setup,
    entry: &serde_json::Value,
) -> (FakeRegistry, Result<(), RegistryError>) {
    let registry = FakeRegistry::start(setup).await;
    let (registries, _home) = with_entry(&registry.host(), entry);
    let repository = registries
        .repository(&image_ref(&registry.host(), "team/app"))
        .await
        .unwrap();
    let mut outcome = repository.check_push().await;
    if outcome.is_ok() {
        outcome = repository.put_manifest(At::Tag("1"), &index()).await;
    }
    (registry, outcome)
}

#[tokio::test]
async fn basic_credentials_are_shown_when_asked_for() {
    let setup = Setup {
        auth: Auth::Basic,
        ..Setup::default()
    };
    let (registry, outcome) = push_as(setup, &json!({"username": "ann", "password": "pw"})).await;
    outcome.unwrap();
    // Only the first request needed to be told.
    assert_eq!(registry.count("PUT"), 1);
}

#[tokio::test]
async fn tokens_come_by_the_form_or_by_the_older_query() {
    for form in [true, false] {
        let setup = Setup {
            auth: Auth::Bearer,
            form,
            ..Setup::default()
        };
        let (registry, outcome) =
            push_as(setup, &json!({"username": "ann", "password": "pw"})).await;
        outcome.unwrap();
        assert_eq!(
            registry.count("POST /token"),
            1,
            "one token serves all requests"
        );
        assert_eq!(registry.count("GET /token"), usize::from(!form));
    }
}

#[tokio::test]
async fn identity_tokens_are_exchanged_and_registry_tokens_used_as_they_are() {
    let setup = || Setup {
        auth: Auth::Bearer,
        ..Setup::default()
    };
    let (_registry, outcome) = push_as(setup(), &json!({"identitytoken": "refresh"})).await;
    outcome.unwrap();

    let (registry, outcome) = push_as(setup(), &json!({"registrytoken": "wrong"})).await;
    assert!(matches!(
        outcome.unwrap_err().problem,
        Problem::Unauthorized { known: true }
    ));
    let shown = registry.seen().into_iter().filter_map(|seen| {
        seen.headers
            .get("authorization")
            .and_then(|value| value.to_str().ok().map(str::to_owned))
    });
    assert!(shown.into_iter().all(|value| value == "Bearer wrong"));
}

#[tokio::test]
async fn wrong_or_missing_credentials_are_an_error_with_advice() {
    for auth in [Auth::Basic, Auth::Bearer] {
        let setup = || Setup {
            auth,
            ..Setup::default()
        };
        let (registry, outcome) =
            push_as(setup(), &json!({"username": "ann", "password": "wrong"})).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.problem, Problem::Unauthorized { known: true });
        assert!(
            error
                .advice()
                .unwrap()
                .contains(&format!("docker login {}", registry.host()))
        );
        assert!(!format!("{error:?} {error}").contains("wrong"));

        let (_registry, outcome) = push_as(setup(), &json!({})).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.problem, Problem::Unauthorized { known: false });
        assert!(error.advice().unwrap().contains("no credentials"));
    }
}

#[tokio::test]
async fn a_token_that_only_reads_fails_the_check() {
    let setup = Setup {
        auth: Auth::ReadOnly,
        ..Setup::default()
    };
    let (_registry, outcome) = push_as(setup, &json!({})).await;
    assert!(matches!(
        outcome.unwrap_err().problem,
        Problem::Unauthorized { .. }
    ));
}

#[tokio::test]
async fn a_daemons_wish_for_a_token_is_granted() {
    let registry = FakeRegistry::start(Setup {
        auth: Auth::Bearer,
        ..Setup::default()
    })
    .await;
    let (registries, _home) = with_entry(
        &registry.host(),
        &json!({"username": "ann", "password": "pw"}),
    );
    let request = TokenRequest {
        host: registry.host(),
        realm: format!("http://{}/token", registry.host()),
        service: "fake".into(),
        scopes: vec!["repository:a:pull".into(), "repository:b:pull,push".into()],
        client_id: "buildkit-client".into(),
    };
    let token = registries.fetch_token(&request).await.unwrap();
    assert_eq!(
        (token.secret.as_str(), token.life),
        ("token-0", Duration::from_secs(300))
    );
}

#[tokio::test]
async fn a_password_never_goes_over_plain_http_for_a_registry_with_tls() {
    let registry = FakeRegistry::start(Setup {
        auth: Auth::Bearer,
        ..Setup::default()
    })
    .await;
    let (registries, _home) = with_entry(
        "secure.example",
        &json!({"username": "ann", "password": "pw"}),
    );
    let request = TokenRequest {
        host: "secure.example".into(),
        realm: format!("http://{}/token", registry.host()),
        service: String::new(),
        scopes: vec![],
        client_id: String::new(),
    };
    let error = registries.fetch_token(&request).await.unwrap_err();
    assert_eq!(error.problem, Problem::Refused);
    assert_eq!(registry.seen().len(), 0);
}

/// A registry with TLS, and the PEM of its authority.
async fn with_tls() -> (FakeRegistry, String) {
    crate::support::images::provider();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let leaf = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let setup = Setup {
        tls: Some(Arc::new(tls)),
        ..Setup::default()
    };
    (FakeRegistry::start(setup).await, authority.pem())
}

async fn check_with(name: &str, host: HostSettings) -> Result<(), RegistryError> {
    let hosts = BTreeMap::from([(name.to_owned(), host)]);
    let registries = with_settings(RegistrySettings {
        hosts,
        certs_dirs: vec![],
    });
    registries
        .repository(&image_ref(name, "team/app"))
        .await?
        .check_push()
        .await
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_configured() {
    let (registry, pem) = with_tls().await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, pem).unwrap();
    let trusting = HostSettings {
        ca: Some(ca.clone()),
        ..HostSettings::default()
    };
    check_with(&registry.local_name(), trusting.clone())
        .await
        .unwrap();

    // The certificate is for `localhost`, not for the address.
    let error = check_with(&registry.host(), trusting).await.unwrap_err();
    assert_eq!(error.problem, Problem::Certificate);
    assert!(error.message.contains("another name"), "{error}");

    // As docker's daemon finds it.
    let host = dir.path().join(registry.local_name());
    fs::create_dir(&host).unwrap();
    fs::rename(&ca, host.join("ca.crt")).unwrap();
    let settings = RegistrySettings {
        hosts: BTreeMap::new(),
        certs_dirs: vec![dir.path().into()],
    };
    let registries = with_settings(settings);
    let image = image_ref(&registry.local_name(), "team/app");
    registries
        .repository(&image)
        .await
        .unwrap()
        .check_push()
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unknown_authority_is_an_error_naming_the_key() {
    let (registry, _pem) = with_tls().await;
    let (_, other) = with_tls().await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("other.pem");
    fs::write(&ca, other).unwrap();
    let distrusting = HostSettings {
        ca: Some(ca),
        ..HostSettings::default()
    };
    let error = check_with(&registry.local_name(), distrusting)
        .await
        .unwrap_err();
    assert_eq!(error.problem, Problem::Certificate);
    let advice = error.advice().unwrap();
    assert!(
        advice.contains("ca = \"FILE\"") && advice.contains("certs.d/localhost:"),
        "{advice}"
    );

    let lax = HostSettings {
        insecure: true,
        ..HostSettings::default()
    };
    check_with(&registry.local_name(), lax).await.unwrap();
}

#[tokio::test]
async fn plain_http_and_tls_mistaken_for_each_other_are_told() {
    let plain = FakeRegistry::open().await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let (secure, pem) = with_tls().await;
    fs::write(&ca, pem).unwrap();
    let verified = HostSettings {
        ca: Some(ca),
        ..HostSettings::default()
    };
    let error = check_with(&plain.host(), verified).await.unwrap_err();
    assert_eq!(error.problem, Problem::SpeaksHttp, "{error:?}");
    assert!(error.advice().unwrap().contains("http = true"));

    let http = HostSettings {
        http: true,
        ..HostSettings::default()
    };
    let error = check_with(&secure.local_name(), http).await.unwrap_err();
    assert!(
        matches!(error.problem, Problem::Broken | Problem::SpeaksTls),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_file_that_holds_no_certificate_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, "nothing").unwrap();
    let host = HostSettings {
        ca: Some(ca),
        ..HostSettings::default()
    };
    let error = check_with("localhost:1", host).await.unwrap_err();
    assert_eq!(error.problem, Problem::Settings);
    assert!(error.message.contains("ca.pem"), "{error}");
}

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
    b.fault(&Method::PUT, "/blobs/uploads/", 1, answer(500));
    to.copy_image(&from, pushed.root.digest).await.unwrap();
    let root = pushed.root.digest.to_string();
    assert_eq!(b.manifest("to", &root), a.manifest("from", &root));
    assert_eq!(b.manifest_count("to"), 3);
    assert!(b.has_blob("to", mbuild::digest::Digest::of(&image.layer)));
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
    assert!(!b.has_blob("to", mbuild::digest::Digest::of(&image.layer)));
}
