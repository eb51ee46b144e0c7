//! Daemons that fail: each failure ends in time and says where and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mbuild::buildkit::dial::CommandDialer;
use mbuild::buildkit::pipe::SessionOpen;
use mbuild::buildkit::{
    ConnectError, Connection, OpenSessionError, Opening, SolveError, SolveErrorKind, SolveSpec,
};
use mbuild_proto::control::{StatusResponse, Vertex};
use mbuild_proto::rpc;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::support::fake_buildkitd::{FakeBuildkitd, OnSolve, ProgressEnd, Script};

/// A killed daemon is to be named within this.
const SOON: Duration = Duration::from_secs(2);

fn spec() -> SolveSpec {
    SolveSpec {
        reference: "r".into(),
        ..SolveSpec::default()
    }
}

fn solving(on_solve: OnSolve) -> FakeBuildkitd {
    FakeBuildkitd::start(Script {
        on_solve,
        ..Script::default()
    })
}

fn session() -> SessionOpen {
    SessionOpen {
        id: "s".into(),
        shared_key: String::new(),
        methods: vec!["/grpc.health.v1.Health/Check".into()],
    }
}

fn assert_lost(error: &SolveError, daemon: &FakeBuildkitd) {
    assert_eq!(error.kind, SolveErrorKind::Lost, "{error:?}");
    let path = daemon.path.to_str().unwrap();
    assert!(error.to_string().contains(path), "{error}");
}

#[tokio::test]
async fn an_error_with_100_kb_of_details_arrives_whole() {
    let dockerfile = "FROM scratch\n".repeat(8000);
    let json = serde_json::json!({
        "info": {"filename": "Dockerfile", "data": base64(&dockerfile)},
        "ranges": [{"start": {"line": 7999}, "end": {"line": 7999}}],
    });
    let detail = prost_types::Any {
        type_url: "github.com/moby/buildkit/errdefs.Source+json".into(),
        value: json.to_string().into_bytes(),
    };
    let status = rpc::Status {
        code: 2,
        message: "m".into(),
        details: vec![detail],
    };
    let details = Bytes::from(status.encode_to_vec());
    assert!(details.len() > 100_000);
    let daemon = solving(OnSolve::Fail {
        code: Code::Unknown,
        message: "failed to solve: exit code: 1".into(),
        details,
    });
    let connection = daemon.connect().await;
    let error = connection.solve(&spec()).await.unwrap_err();
    assert_eq!(error.kind, SolveErrorKind::Build);
    assert_eq!(error.message, "exit code: 1");
    assert_eq!(error.details.sources[0].data, dockerfile);
    connection
        .solve(&spec())
        .await
        .expect_err("the connection is fit for another build");
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn a_daemon_that_died_before_the_build_is_named() {
    let daemon = solving(OnSolve::Wait);
    let connection = daemon.connect().await;
    daemon.seen.die.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    let error = connection.solve(&spec()).await.unwrap_err();
    assert!(start.elapsed() < SOON);
    assert_lost(&error, &daemon);
    assert!(
        error.message.contains("the daemon closed the connection"),
        "{error}"
    );
}

#[tokio::test]
async fn a_daemon_that_dies_during_the_build_is_named() {
    let daemon = solving(OnSolve::Die);
    let connection = daemon.connect().await;
    let start = Instant::now();
    let error = connection.solve(&spec()).await.unwrap_err();
    assert!(start.elapsed() < SOON);
    assert_lost(&error, &daemon);
    assert!(
        error.message.contains("the daemon closed the connection"),
        "{error}"
    );
}

#[tokio::test]
async fn a_daemon_that_dies_after_the_build_does_not_undo_its_success() {
    let answer = BTreeMap::from([("image.name".to_owned(), "x".to_owned())]);
    let daemon = FakeBuildkitd::start(Script {
        on_solve: OnSolve::Succeed(answer.clone()),
        progress_end: ProgressEnd::Never,
        ..Script::default()
    });
    let connection = daemon.connect().await;
    let solved = CancellationToken::new();
    let follow = connection.follow("r", solved.clone(), |_| {});
    let solve = async {
        let output = connection.solve(&spec()).await;
        solved.cancel();
        daemon.seen.die.cancel();
        output
    };
    let start = Instant::now();
    let (output, followed) = tokio::join!(solve, follow);
    assert!(start.elapsed() < SOON);
    assert_eq!(output.unwrap().response, answer);
    let error = followed.unwrap_err().to_string();
    assert!(error.contains(daemon.path.to_str().unwrap()), "{error}");
    let error = connection.solve(&spec()).await.unwrap_err();
    assert_lost(&error, &daemon);
}

#[tokio::test]
async fn a_daemon_that_freezes_during_the_build_is_given_up() {
    let daemon = solving(OnSolve::Freeze);
    let connection = daemon.connect().await;
    let _session = connection.open_session(&session()).await.unwrap();
    let mut spec = spec();
    spec.session = "s".into();
    let build = tokio::spawn({
        let connection = connection.clone();
        async move { connection.solve(&spec).await }
    });
    daemon.seen.solving.notified().await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let error = build.await.unwrap().unwrap_err();
    assert!(
        start.elapsed() <= Duration::from_secs(21),
        "{:?}",
        start.elapsed()
    );
    assert_lost(&error, &daemon);
    assert!(
        error.message.contains("no sign of life for 20 s"),
        "{error}"
    );
}

#[tokio::test]
async fn a_long_silent_step_is_no_dead_daemon() {
    let daemon = FakeBuildkitd::start(Script {
        on_solve: OnSolve::Wait,
        session_ticks: Some(Duration::from_secs(5)),
        ..Script::default()
    });
    let connection = daemon.connect().await;
    let mut stream = connection.open_session(&session()).await.unwrap().stream;
    let mut spec = spec();
    spec.session = "s".into();
    let reader = tokio::spawn(async move {
        let mut sink = Vec::new();
        stream.read_to_end(&mut sink).await
    });
    let build = connection.solve(&spec);
    tokio::pin!(build);
    tokio::select! {
        biased;
        _ = &mut build => panic!("it takes for ever"),
        () = daemon.seen.solving.notified() => {}
    }
    tokio::time::pause();
    let long = tokio::time::timeout(Duration::from_secs(100), &mut build);
    assert!(long.await.is_err());
    reader.abort();
}

#[tokio::test]
async fn dropping_a_build_cancels_it_on_the_daemon() {
    let daemon = solving(OnSolve::Wait);
    let connection = daemon.connect().await;
    let (build, seen) = (spec(), &daemon.seen);
    tokio::select! {
        _ = connection.solve(&build) => panic!("it takes for ever"),
        () = seen.solving.notified() => {}
    }
    tokio::time::timeout(SOON, seen.cancelled.notified())
        .await
        .unwrap();
}

#[tokio::test]
async fn progress_ends_when_the_daemon_ends_it() {
    let vertex = Vertex {
        digest: "sha256:a".into(),
        ..Vertex::default()
    };
    let progress = vec![StatusResponse {
        vertexes: vec![vertex],
        ..StatusResponse::default()
    }];
    let daemon = FakeBuildkitd::start(Script {
        progress: progress.clone(),
        ..Script::default()
    });
    let connection = daemon.connect().await;
    let mut seen = Vec::new();
    let report = |update: mbuild::event::StatusUpdate| seen.extend(update.vertexes);
    connection
        .follow("r", CancellationToken::new(), report)
        .await
        .unwrap();
    assert_eq!(seen[0].digest, "sha256:a");
}

#[tokio::test]
async fn a_build_that_never_became_a_job_is_not_waited_for() {
    let daemon = FakeBuildkitd::start(Script {
        progress_end: ProgressEnd::NoSuchJob,
        ..Script::default()
    });
    let connection = daemon.connect().await;
    let solved = CancellationToken::new();
    solved.cancel();
    let start = Instant::now();
    connection.follow("r", solved, |_| {}).await.unwrap();
    assert!(start.elapsed() < SOON);
}

#[tokio::test]
async fn an_old_daemon_has_no_version_and_serves() {
    let daemon = FakeBuildkitd::start(Script {
        old: true,
        ..Script::default()
    });
    let connection = daemon.connect().await;
    assert_eq!(connection.info().version, None);
    assert_eq!(connection.info().workers.len(), 1);
    let error = connection.capabilities().await.unwrap_err().to_string();
    assert!(error.contains("does not tell what it can do"), "{error}");
}

#[tokio::test]
async fn a_session_is_a_pipe_both_ways() {
    let daemon = FakeBuildkitd::start(Script::default());
    let connection = daemon.connect().await;
    let mut stream = connection.open_session(&session()).await.unwrap().stream;
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    let data: Vec<u8> = (0..5_000_000_u32)
        .map(|number| number.to_le_bytes()[0])
        .collect();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sent = data.clone();
    let writing = async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut echo = Vec::new();
    let (_, read) = tokio::join!(writing, reader.read_to_end(&mut echo));
    read.unwrap();
    assert!(echo == data, "{} of {} bytes", echo.len(), data.len());
}

#[tokio::test]
async fn a_session_that_is_refused_says_so() {
    let daemon = FakeBuildkitd::start(Script {
        sessionless: true,
        ..Script::default()
    });
    let connection = daemon.connect().await;
    let opening = connection.open_session(&session()).await.unwrap();
    let Opening {
        mut stream,
        outcome,
    } = opening;
    let (read, outcome) = tokio::join!(stream.read_u8(), outcome);
    assert!(read.is_err());
    let error = outcome.unwrap().unwrap_err();
    assert!(
        matches!(&error, OpenSessionError::Refused { reason, .. } if reason == "no sessions today"),
        "{error:?}"
    );
}

#[tokio::test]
async fn other_peers_are_told_apart() {
    let check = async |daemon: FakeBuildkitd, expect: fn(&ConnectError) -> bool| {
        let start = Instant::now();
        let Err(error) = daemon.try_connect().await else {
            panic!("that is no daemon")
        };
        assert!(expect(&error), "{error:?}");
        let path = daemon.path.to_str().unwrap();
        assert!(error.to_string().contains(path), "{error}");
        assert!(start.elapsed() < SOON);
    };
    let http1 = FakeBuildkitd::sending(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    check(http1, |error| matches!(error, ConnectError::Http1 { .. })).await;
    let tls = FakeBuildkitd::sending(b"\x15\x03\x01\x00\x02\x02\x46");
    check(tls, |error| matches!(error, ConnectError::NeedsTls { .. })).await;
    let closing = FakeBuildkitd::closing();
    check(closing, |error| {
        matches!(error, ConnectError::Broken { .. })
    })
    .await;
    let stranger = FakeBuildkitd::start(Script {
        stranger: true,
        ..Script::default()
    });
    check(stranger, |error| {
        matches!(error, ConnectError::NotBuildkit { .. })
    })
    .await;
}

#[tokio::test]
async fn what_a_command_says_before_it_goes_is_the_reason() {
    let script = "echo 'host: Permission denied (publickey).' >&2; exit 255";
    let args = vec!["-c".into(), script.into()];
    let dialer = CommandDialer::new("sh", args, "ssh://host".into());
    let Err(error) = Connection::open(Arc::new(dialer)).await else {
        panic!("nobody answers")
    };
    let text = error.to_string();
    assert!(text.contains("ssh://host"), "{text}");
    assert!(
        text.ends_with("exit code 255: host: Permission denied (publickey)."),
        "{text}"
    );
}

#[tokio::test]
async fn a_peer_that_never_answers_is_given_up() {
    let daemon = FakeBuildkitd::sending(b"");
    let start = Instant::now();
    let Err(error) = daemon.try_connect().await else {
        panic!("that is no daemon")
    };
    assert!(matches!(error, ConnectError::Silent { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(12));
}
