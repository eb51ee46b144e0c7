//! The dialer against an API server that answers as it is told.

use futures_util::SinkExt;
use kube::config::Config;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::super::cluster::client;
use super::*;

const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PORT: &[u8] = &[0xd2, 0x04];

/// What the API server does with one request.
#[derive(Clone)]
enum Answer {
    Status(u16, &'static str),
    /// A WebSocket with these frames, open until the client leaves.
    Frames(Vec<(u8, &'static [u8])>),
    Nothing,
    Cut,
}

/// Gives one answer after the other, the last one for ever; tells which paths were asked for.
async fn dialer(
    transport: Transport,
    answers: &[Answer],
) -> (PodDialer, std::sync::Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let paths = std::sync::Arc::new(Mutex::new(Vec::new()));
    let (asked, answers) = (paths.clone(), answers.to_vec());
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answers[number.min(answers.len() - 1)].clone();
            tokio::spawn(serve(stream, answer, asked.clone()));
        }
    });
    let cluster = Cluster {
        client: client(Config::new(url.parse().unwrap())).unwrap(),
        namespace: "ns".into(),
        name: "fake".into(),
        in_cluster: false,
    };
    let pod = PodAddress {
        namespace: "ns".into(),
        pod: "p".into(),
        container: Some("buildkitd".into()),
        ip: None,
    };
    let direct = DirectTerms {
        port: 1234,
        tls: None,
        server_name: "p.ns.svc".into(),
    };
    (PodDialer::new(cluster, pod, transport, Some(direct)), paths)
}

async fn serve(stream: TcpStream, answer: Answer, asked: std::sync::Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    let (mut key, mut line) = (String::new(), String::new());
    stream.read_line(&mut line).await.unwrap();
    asked
        .lock()
        .unwrap()
        .push(line.split(' ').nth(1).unwrap().to_owned());
    while line.trim() != "" {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("sec-websocket-key")
        {
            key = derive_accept_key(value.trim().as_bytes());
        }
    }
    match answer {
        Answer::Nothing => std::future::pending().await,
        Answer::Cut => {}
        Answer::Status(code, message) => {
            let body = serde_json::json!({"kind": "Status", "status": "Failure", "code": code, "message": message}).to_string();
            let head = format!(
                "HTTP/1.1 {code} X\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
            stream.flush().await.unwrap();
        }
        Answer::Frames(frames) => {
            let head = format!(
                "HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                 sec-websocket-accept: {key}\r\nsec-websocket-protocol: v4.channel.k8s.io\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            for (channel, payload) in frames {
                let frame = [&[channel], payload].concat();
                socket.send(Message::Binary(frame.into())).await.unwrap();
            }
            while let Some(Ok(_)) = futures_util::StreamExt::next(&mut socket).await {}
        }
    }
}

fn spoken() -> Answer {
    Answer::Frames(vec![(1, b""), (1, SETTINGS)])
}

fn exited(code: &'static str) -> Answer {
    let status = match code {
        "1" => br#"{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"1"}]}}"#.as_slice(),
        _ => br#"{"status":"Failure","message":"exec: \"buildctl\": executable file not found in $PATH"}"#,
    };
    Answer::Frames(vec![(2, b"no socket"), (3, status)])
}

async fn failure(dialer: &PodDialer) -> (String, Option<String>) {
    match dialer.dial().await {
        Ok(_) => panic!("it must fail"),
        Err(error) => (crate::causes::causes(&error), error.hint()),
    }
}

const FORBIDDEN: Answer = Answer::Status(
    403,
    "pods \"p\" is forbidden: User \"jane\" cannot create resource \"pods/exec\" in API group \
     \"\" in the namespace \"ns\"",
);

#[tokio::test]
async fn a_dial_is_done_when_the_daemon_has_spoken() {
    let (dialer, asked) = dialer(Transport::Auto, &[spoken()]).await;
    let mut stream = dialer.dial().await.unwrap();
    let mut first = [0; 9];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first, SETTINGS);
    assert_eq!(dialer.used(), Some(Transport::Exec));
    assert_eq!(dialer.terms().origin, "http://localhost");
    assert_eq!(dialer.describe(), "pod ns/p");
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "/api/v1/namespaces/ns/pods/p/exec?&stdin=true&stdout=true&stderr=true\
          &container=buildkitd&command=buildctl&command=dial-stdio"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_fresh_node_is_tried_again() {
    let fresh = Answer::Status(
        500,
        "error dialing backend: remote error: tls: internal error",
    );
    let starting = Answer::Status(
        404,
        "unable to upgrade connection: container not found (\"b\")",
    );
    let answers = [fresh, Answer::Cut, starting, exited("1"), spoken()];
    let (dialer, asked) = dialer(Transport::Exec, &answers).await;
    dialer.dial().await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn patience_ends() {
    let fresh = Answer::Status(
        500,
        "error dialing backend: remote error: tls: internal error",
    );
    let (dialer, _) = dialer(Transport::Exec, &[fresh]).await;
    let start = Instant::now();
    let (text, _) = failure(&dialer).await;
    assert!(
        text.ends_with("remote error: tls: internal error (500)"),
        "{text}"
    );
    assert!(start.elapsed() > PATIENCE - LONGEST_PAUSE && start.elapsed() <= PATIENCE);
    let start = Instant::now();
    let dialer = dialer.with_patience(Duration::from_secs(3));
    failure(&dialer).await;
    assert!(start.elapsed() <= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_does_not_come_up_is_given_up_soon() {
    let (dialer, _) = dialer(Transport::Exec, &[exited("1")]).await;
    let start = Instant::now();
    let (text, _) = failure(&dialer).await;
    assert_eq!(
        text,
        "cannot reach pod ns/p: `buildctl dial-stdio` ended in pod ns/p with exit code 1: \
         no socket"
    );
    assert!(start.elapsed() <= SETTLE);
}

#[tokio::test]
async fn what_will_not_change_fails_at_once() {
    let gone = Answer::Status(404, "pods \"p\" not found");
    let (missing, asked) = dialer(Transport::Exec, &[gone]).await;
    let (text, _) = failure(&missing).await;
    assert!(
        text.ends_with("in namespace `ns`: pods \"p\" not found"),
        "{text}"
    );
    assert_eq!(asked.lock().unwrap().len(), 1);

    let (forbidden, asked) = dialer(Transport::Exec, &[FORBIDDEN]).await;
    let (text, hint) = failure(&forbidden).await;
    assert_eq!(
        text,
        "cannot reach pod ns/p: `jane` may not create pods/exec (`p`) in namespace `ns`"
    );
    assert!(hint.unwrap().contains("resources: [\"pods/exec\"]"));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn port_forward_is_tried_where_exec_is_forbidden_or_has_no_program() {
    for refusal in [FORBIDDEN, exited("127")] {
        let forwarded = Answer::Frames(vec![(0, PORT), (1, PORT), (0, SETTINGS)]);
        let (dialer, asked) = dialer(Transport::Auto, &[refusal, forwarded]).await;
        dialer.dial().await.unwrap();
        assert_eq!(dialer.used(), Some(Transport::PortForward));
        let again = dialer.dial().await.unwrap();
        drop(again);
        let asked = asked.lock().unwrap();
        assert!(
            asked[1].ends_with("/pods/p/portforward?&ports=1234"),
            "{asked:?}"
        );
        assert_eq!(asked.len(), 3, "what worked is tried first: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_way_is_the_only_one() {
    let refused = Answer::Frames(vec![(0, PORT), (1, PORT), (1, b"connection refused")]);
    let (dialer, asked) = dialer(Transport::PortForward, &[refused]).await;
    let (text, _) = failure(&dialer).await;
    assert_eq!(
        text,
        "cannot reach pod ns/p: port 1234 of pod ns/p cannot be reached: nothing listens there \
         (connection refused)"
    );
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|path| path.contains("portforward")));
}

#[tokio::test(start_paused = true)]
async fn silence_has_a_limit_wherever_it_is() {
    for answer in [Answer::Nothing, Answer::Frames(vec![(1, b"")])] {
        let (dialer, _) = dialer(Transport::Exec, &[answer]).await;
        let dialer = dialer.with_patience(Duration::from_secs(5));
        let start = Instant::now();
        let (text, _) = failure(&dialer).await;
        assert!(text.contains("within"), "{text}");
        assert!(start.elapsed() < Duration::from_secs(40));
    }
}
