//! The ways to a buildkitd, each with a build: TCP, TCP with TLS on both sides, and what a
//! refusal looks like.

use std::sync::Arc;

use mbuild::buildkit::dial::{TlsFiles, dialer};
use mbuild::buildkit::endpoint::Endpoint;
use mbuild::buildkit::{Connection, SolveErrorKind};

use crate::support::bridge::Bridge;
use crate::support::dockerfile_build::Build;
use crate::support::real::{self, Env};

/// Builds successfully, then fails with a large error, all on one connection: its session is
/// a stream of the same connection here.
async fn build_twice(env: &Env, connection: Connection) {
    let dockerfile = format!("FROM {}\nRUN echo hello\n", env.get("BASE"));
    let build = Build::on(connection.clone(), "linux/amd64", &dockerfile);
    build.outcome().await.verdict.unwrap();
    let padding = "# sent back with the error\n".repeat(5000);
    let dockerfile = format!("FROM {}\n{padding}RUN exit 3\n", env.get("BASE"));
    let build = Build::on(connection, "linux/amd64", &dockerfile);
    let error = build.outcome().await.verdict.unwrap_err();
    assert_eq!(error.kind, SolveErrorKind::Build, "{error:?}");
    assert_eq!(error.details.exit_code, Some(3), "{error}");
}

#[tokio::test]
async fn a_build_over_tcp() {
    let Some(env) = real::env() else { return };
    let bridge = Bridge::plain(&env.endpoint("AMD64")).await;
    build_twice(&env, bridge.connect().await).await;
}

#[tokio::test]
async fn a_build_over_tls_with_certificates_on_both_sides() {
    let Some(env) = real::env() else { return };
    let bridge = Bridge::mutual_tls(&env.endpoint("AMD64")).await;
    build_twice(&env, bridge.connect().await).await;
}

async fn refusal(endpoint: &Endpoint, tls: Option<&TlsFiles>) -> (String, String) {
    match Connection::open(Arc::from(dialer(endpoint, tls))).await {
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            (format!("{error:?} {error}"), hint)
        }
        Ok(_) => panic!("that must not work"),
    }
}

#[tokio::test]
async fn tls_on_one_side_only_is_explained() {
    let Some(env) = real::env() else { return };
    let secure = Bridge::mutual_tls(&env.endpoint("AMD64")).await;
    let (error, hint) = refusal(&secure.endpoint, None).await;
    assert!(error.contains("expects TLS"), "{error}");
    assert!(hint.contains("tls files"), "{hint}");
    let mut files = secure.tls.clone().unwrap();
    (files.cert, files.key) = (None, None);
    let (error, _) = refusal(&secure.endpoint, Some(&files)).await;
    assert!(error.contains("asks for a client certificate"), "{error}");
    let plain = Bridge::plain(&env.endpoint("AMD64")).await;
    let (error, hint) = refusal(&plain.endpoint, secure.tls.as_ref()).await;
    assert!(error.contains("NotTls"), "{error}");
    assert!(hint.starts_with("leave tls away"), "{hint}");
}
