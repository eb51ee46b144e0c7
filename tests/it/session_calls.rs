//! A session's other services, its beginning and its ends.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mbuild::buildkit::io::Liveness;
use mbuild::buildkit::session::{SecretSource, Services, Session, SessionEnd};
use mbuild::credentials::{CredentialEnv, Credentials};
use mbuild_proto::filesync::auth_client::AuthClient;
use mbuild_proto::filesync::{CredentialsRequest, GetTokenAuthorityRequest};
use mbuild_proto::health::HealthCheckRequest;
use mbuild_proto::health::health_client::HealthClient;
use mbuild_proto::secrets::GetSecretRequest;
use mbuild_proto::secrets::secrets_client::SecretsClient;
use mbuild_proto::upload::BytesMessage;
use mbuild_proto::upload::upload_client::UploadClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};

use crate::support::session_caller::{Caller, LIMIT};

fn secrets() -> Services {
    let value = SecretSource::Value(Bytes::from_static(b"hunter2"));
    Services::new().secrets(BTreeMap::from([("token".to_owned(), value)]))
}

#[test]
fn the_methods_announced_are_those_of_the_services() {
    let credentials = Arc::new(Credentials::new(CredentialEnv::default()));
    let services = secrets()
        .auth(credentials, None)
        .upload(BTreeMap::new())
        .file_sync(BTreeMap::new(), Arc::default());
    let session = Session::new("key", services).unwrap();
    let expected = [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        "/moby.filesync.v1.Auth/Credentials",
        "/moby.filesync.v1.FileSync/DiffCopy",
        "/moby.upload.v1.Upload/Pull",
    ];
    let opening = session.opening();
    assert_eq!(opening.methods, expected);
    assert_eq!((opening.shared_key.as_str(), opening.id.len()), ("key", 25));
    assert!(!format!("{session:?}").contains("hunter2"));
}

#[tokio::test]
async fn services_answer_and_others_are_unimplemented() {
    let caller = Caller::new(secrets()).await;
    let mut client = SecretsClient::new(caller.channel.clone());
    let request = GetSecretRequest {
        id: "token".into(),
        ..GetSecretRequest::default()
    };
    assert_eq!(
        client.get_secret(request).await.unwrap().into_inner().data,
        "hunter2"
    );
    let request = GetSecretRequest {
        id: "GIT_AUTH_TOKEN".into(),
        ..GetSecretRequest::default()
    };
    assert_eq!(
        client.get_secret(request).await.unwrap_err().code(),
        Code::NotFound
    );

    let mut client = AuthClient::new(caller.channel.clone());
    let status = client
        .credentials(CredentialsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(
        status.message(),
        "/moby.filesync.v1.Auth/Credentials is not served"
    );
}

#[tokio::test]
async fn logins_are_told_and_tokens_left_to_the_daemon_without_a_fetcher() {
    let auth_config = r#"{"auths": {"a.example": {"auth": "YW5uOmh1bnRlcjI="}}}"#.to_owned();
    let env = CredentialEnv {
        auth_config: Some(auth_config),
        ..CredentialEnv::default()
    };
    let services = Services::new().auth(Arc::new(Credentials::new(env)), None);
    let caller = Caller::new(services).await;
    let mut client = AuthClient::new(caller.channel.clone());
    let request = CredentialsRequest {
        host: "a.example".into(),
    };
    let answer = client.credentials(request).await.unwrap().into_inner();
    assert_eq!(
        (answer.username.as_str(), answer.secret.as_str()),
        ("ann", "hunter2")
    );
    let request = GetTokenAuthorityRequest::default();
    let status = client.get_token_authority(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

async fn pull(
    client: &mut UploadClient<tonic::transport::Channel>,
    path: &str,
) -> Result<Vec<u8>, Status> {
    // The daemon sends nothing, but its side stays open while it reads.
    let mut request = Request::new(futures_util::stream::pending::<BytesMessage>());
    request
        .metadata_mut()
        .insert("urlpath", path.parse().unwrap());
    request
        .metadata_mut()
        .insert("urlhost", "buildkit-session".parse().unwrap());
    let mut chunks = client.pull(request).await?.into_inner();
    let mut body = Vec::new();
    while let Some(chunk) = chunks.message().await? {
        body.extend(&chunk.data);
    }
    Ok(body)
}

#[tokio::test]
async fn a_body_is_pulled_once() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 3_000_000]).unwrap();
    let bodies = BTreeMap::from([("tar".to_owned(), Arc::new(file))]);
    let caller = Caller::new(Services::new().upload(bodies)).await;
    let mut client = UploadClient::new(caller.channel.clone());
    assert_eq!(
        pull(&mut client, "/other").await.unwrap_err().code(),
        Code::NotFound
    );
    assert!(pull(&mut client, "/tar").await.unwrap() == [7; 3_000_000]);
    assert_eq!(
        pull(&mut client, "/tar").await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn a_watch_of_the_health_stays_open() {
    let caller = Caller::new(Services::new()).await;
    let mut client = HealthClient::new(caller.channel.clone());
    let mut states = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(states.message().await.unwrap().unwrap().status, 1);
    assert!(
        timeout(Duration::from_millis(50), states.message())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_session_ends_when_the_daemon_leaves() {
    let caller = Caller::new(secrets()).await;
    assert!(matches!(caller.end().await, SessionEnd::PeerClosed));
}

#[tokio::test]
async fn closing_ends_open_calls_and_both_sides() {
    let caller = Caller::new(Services::new()).await;
    let mut client = HealthClient::new(caller.channel.clone());
    let mut states = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    states.message().await.unwrap();
    caller.close.cancel();
    let end = timeout(LIMIT, caller.served).await.unwrap().unwrap();
    assert!(matches!(end, SessionEnd::Closed), "{end:?}");
    assert!(states.message().await.is_err());
}

/// Serves a session to bytes that no HTTP/2 client would send.
async fn serve_raw(
    close: &CancellationToken,
) -> (tokio::io::DuplexStream, tokio::task::JoinHandle<SessionEnd>) {
    let (ours, theirs) = tokio::io::duplex(4096);
    let session = Session::new("", Services::new()).unwrap();
    (
        theirs,
        tokio::spawn(session.serve(ours, Liveness::new(), close.clone())),
    )
}

#[tokio::test]
async fn what_is_not_http2_fails_the_session() {
    let (mut daemon, served) = serve_raw(&CancellationToken::new()).await;
    daemon
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let end = timeout(LIMIT, served).await.unwrap().unwrap();
    assert!(matches!(end, SessionEnd::Failed(_)), "{end:?}");
}

#[tokio::test]
async fn the_daemons_side_is_not_waited_for() {
    let close = CancellationToken::new();
    let (mut daemon, served) = serve_raw(&close).await;
    close.cancel();
    let end = timeout(LIMIT, served).await.unwrap().unwrap();
    assert!(matches!(end, SessionEnd::Closed), "{end:?}");
    // It was told all the same, and not by GOAWAY.
    let mut told = Vec::new();
    daemon.read_to_end(&mut told).await.unwrap();
    assert!(
        !told
            .windows(9)
            .any(|frame| frame[3] == 7 && frame[4..] == [0; 5]),
        "{told:?}"
    );
}
