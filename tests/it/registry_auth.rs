//! Registries that want to see credentials first.

use std::time::Duration;

use mbuild::registry::{At, Problem, RegistryError, TokenRequest};
use serde_json::json;

use crate::support::fake_registry::{Auth, FakeRegistry, Setup};
use crate::support::images::{image_ref, index, with_entry};

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
