//! An engine in a few lines: it answers the requests it was told to.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Mutex;

use super::*;

const SWITCH: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
const MISSING: &str =
    "HTTP/1.1 404 Not Found\r\nContent-Length: 28\r\n\r\n{\"message\":\"page not found\"}";

/// Each dial is a connection on which one canned answer waits.
struct Engine {
    answers: Mutex<Vec<&'static str>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    fn answering(answers: &[&'static str]) -> (Self, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::default();
        let answers = Mutex::new(answers.iter().rev().copied().collect());
        let engine = Self {
            answers,
            seen: Arc::clone(&seen),
        };
        (engine, seen)
    }
}

#[async_trait]
impl Dial for Engine {
    async fn dial(&self) -> Result<ByteStream, DialError> {
        let (near, far) = tokio::io::duplex(4096);
        let answer = self.answers.lock().await.pop();
        tokio::spawn(serve(far, answer, Arc::clone(&self.seen)));
        Ok(Box::new(near))
    }

    fn describe(&self) -> String {
        "docker+unix:///d.sock".into()
    }
}

async fn serve(mut far: DuplexStream, answer: Option<&'static str>, seen: Arc<Mutex<Vec<String>>>) {
    let Some(answer) = answer else {
        // A stream that was not asked for an upgrade carries bytes as they are.
        let _ = far.write_all(b"direct").await;
        return;
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(far.read_u8().await.unwrap());
    }
    seen.lock().await.push(String::from_utf8(head).unwrap());
    far.write_all(answer.as_bytes()).await.unwrap();
    // Whatever comes after is echoed.
    let (mut reader, mut writer) = tokio::io::split(far);
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
}

fn session() -> SessionOpen {
    SessionOpen {
        id: "abc".into(),
        shared_key: "key".into(),
        methods: vec!["/a.B/C".into(), "/a.B/D".into()],
    }
}

#[tokio::test]
async fn bytes_that_come_with_the_101_are_not_lost() {
    let (engine, seen) = Engine::answering(&[
        "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nearly",
    ]);
    let mut stream = DockerDialer::new(engine, "localhost").dial().await.unwrap();
    stream.write_all(b"later").await.unwrap();
    let mut bytes = [0; 10];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"earlylater");
    let head = seen.lock().await[0].to_lowercase();
    assert!(head.starts_with("post /grpc http/1.1\r\n"), "{head}");
    assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: h2c\r\n"));
    assert!(head.contains("host: localhost\r\n"), "{head}");
}

#[tokio::test]
async fn after_an_upgrade_a_session_is_an_upgrade_of_its_own() {
    let (engine, seen) = Engine::answering(&[SWITCH, SWITCH]);
    let dialer = DockerDialer::new(engine, "localhost");
    dialer.dial().await.unwrap();
    assert!(dialer.dial_session(&session()).await.unwrap().is_some());
    let head = seen.lock().await[1].to_lowercase();
    assert!(head.starts_with("post /session "), "{head}");
    assert!(
        head.contains("x-docker-expose-session-uuid: abc\r\n"),
        "{head}"
    );
    assert_eq!(
        head.matches("x-docker-expose-session-grpc-method: ")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_new_engine_without_the_upgrade_is_spoken_to_directly() {
    let (engine, _) = Engine::answering(&[
        MISSING,
        "HTTP/1.1 200 OK\r\nApi-Version: 1.53\r\nContent-Length: 2\r\n\r\nOK",
    ]);
    let dialer = DockerDialer::new(engine, "localhost");
    let mut stream = dialer.dial().await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "direct");
    assert!(dialer.dial_session(&session()).await.unwrap().is_none());
}

#[tokio::test]
async fn an_engine_without_buildkit_is_named() {
    let (engine, _) = Engine::answering(&[
        MISSING,
        "HTTP/1.1 200 OK\r\nApi-Version: 1.38\r\nContent-Length: 2\r\n\r\nOK",
    ]);
    let Err(error) = DockerDialer::new(engine, "localhost").dial().await else {
        panic!("it has no BuildKit")
    };
    assert_eq!(
        error.to_string(),
        "the Docker engine at docker+unix:///d.sock offers no BuildKit: POST /grpc was answered \
         with 404 Not Found: page not found (its API is 1.38)"
    );
}

#[tokio::test]
async fn another_service_is_an_error_not_a_stream() {
    let (engine, _) = Engine::answering(&["\0\0\x12\x04\0\0\0\0\0\r\n\r\n"]);
    let Err(error) = DockerDialer::new(engine, "localhost").dial().await else {
        panic!("it is no engine")
    };
    assert!(
        error
            .to_string()
            .contains("does not answer as a Docker engine does"),
        "{error}"
    );
}

#[tokio::test]
async fn a_refused_session_says_why() {
    let (engine, _) = Engine::answering(&[
        SWITCH,
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 25\r\n\r\n{\"message\":\"id is taken\"}\n",
    ]);
    let dialer = DockerDialer::new(engine, "localhost");
    dialer.dial().await.unwrap();
    let Err(error) = dialer.dial_session(&session()).await else {
        panic!("it was refused")
    };
    assert!(
        error.to_string().ends_with("400 Bad Request: id is taken"),
        "{error}"
    );
}
