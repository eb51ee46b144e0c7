//! Connections to the real daemons: who answers, what they can do, sessions.

use std::sync::Arc;
use std::time::Duration;

use mbuild::buildkit::dial::dialer;
use mbuild::buildkit::endpoint::Endpoint;
use mbuild::buildkit::pipe::SessionOpen;
use mbuild::buildkit::session::random_id;
use mbuild::buildkit::{ConnectError, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::real;

#[tokio::test]
async fn a_daemon_says_who_it_is() {
    let Some(env) = real::env() else { return };
    for node in ["AMD64", "ARM64"] {
        let connection = env.connect(node).await;
        let worker = connection.info().default_worker().unwrap();
        assert!(
            worker
                .platforms
                .iter()
                .any(|platform| platform.os == "linux"),
            "{worker:?}"
        );
        assert_eq!(connection.endpoint(), env.get(node));
        assert_eq!(
            connection.info().is_docker(),
            env.endpoint(node).is_docker()
        );
        assert!(connection.line().received() > 0 && connection.line().sent() > 0);
    }
}

#[tokio::test]
async fn a_daemon_says_what_it_can_do() {
    let Some(env) = real::env() else { return };
    let connection = env.connect("AMD64").await;
    let capabilities = connection.capabilities().await.unwrap();
    assert!(capabilities.has("source.local"), "{capabilities:?}");
    assert!(capabilities.has_frontend("solve.base"), "{capabilities:?}");
    let again = connection.capabilities().await.unwrap();
    assert!(std::ptr::eq(capabilities, again), "the answer is kept");
}

#[tokio::test]
async fn in_a_session_the_daemon_speaks_http2_first() {
    let Some(env) = real::env() else { return };
    let connection = env.connect("AMD64").await;
    let open = SessionOpen {
        id: random_id().unwrap(),
        shared_key: String::new(),
        methods: vec!["/grpc.health.v1.Health/Check".into()],
    };
    let mut stream = connection.open_session(&open).await.unwrap().stream;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest))
        .await
        .expect("the daemon closes its side too")
        .unwrap();
}

#[tokio::test]
async fn an_engine_spoken_to_as_buildkitd_is_recognised() {
    let Some(env) = real::env() else { return };
    let Endpoint::DockerUnix(path) = env.endpoint("AMD64") else {
        return;
    };
    let dialer = dialer(&Endpoint::Unix(path), None);
    // New engines take gRPC on their socket.
    let Err(error) = Connection::open(Arc::from(dialer)).await else {
        return;
    };
    assert!(matches!(error, ConnectError::Http1 { .. }), "{error:?}");
    assert!(
        error.hint().unwrap().contains("docker+unix:///"),
        "{error:?}"
    );
}
