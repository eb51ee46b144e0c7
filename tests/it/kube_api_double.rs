//! The double of an API server does what tests of the driver rely on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use mbuild::buildkit::dial::{Dial, DialError};
use mbuild::buildkit::io::ByteStream;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::kube_api::{Act, Door, Fault, KubeApi, Loss, PodState, Pool, Rights, Way};

const PODS: &str = "/api/v1/namespaces/default/pods";
const SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";

/// A daemon that says what it hears.
struct Echo;

#[async_trait]
impl Dial for Echo {
    async fn dial(&self) -> Result<ByteStream, DialError> {
        let (near, far) = tokio::io::duplex(65536);
        let (mut from, mut to) = tokio::io::split(far);
        tokio::spawn(async move {
            let _ = tokio::io::copy(&mut from, &mut to).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut to).await;
        });
        Ok(Box::new(near))
    }

    fn describe(&self) -> String {
        "echo".into()
    }
}

/// A server with a node of amd64 and a pool of one pod there.
async fn api() -> KubeApi {
    api_behind(Door::Plain).await
}

async fn api_behind(door: Door) -> KubeApi {
    let api = KubeApi::start(door);
    api.node("node-a", "amd64", Arc::new(Echo));
    api.pool(&Pool::of("amd64", 1));
    until(&api, |pod| phase(pod) == "Running").await;
    api
}

fn pod(api: &KubeApi) -> Value {
    api.find("v1", "pods", "default", "buildkitd-amd64-0")
        .unwrap_or_default()
}

fn phase(pod: &Value) -> &str {
    pod["status"]["phase"].as_str().unwrap_or_default()
}

async fn until(api: &KubeApi, is: impl Fn(&Value) -> bool) {
    for _ in 0..200 {
        if is(&pod(api)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never so: {}", pod(api));
}

async fn send(
    api: &KubeApi,
    request: Request<Full<Bytes>>,
) -> hyper::Result<http::Response<Incoming>> {
    let stream = TcpStream::connect(("127.0.0.1", api.port())).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await
}

fn request(api: &KubeApi, method: &Method, path: &str) -> http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    request.header("authorization", format!("Bearer {}", api.token()))
}

async fn call(
    api: &KubeApi,
    method: Method,
    path: &str,
    media: &str,
    body: &Value,
) -> (u16, Value) {
    let request = request(api, &method, path).header("content-type", media);
    let body = Full::from(body.to_string());
    let response = send(api, request.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn get(api: &KubeApi, path: &str) -> (u16, Value) {
    call(api, Method::GET, path, "", &Value::Null).await
}

/// The names of what a list holds.
fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().into_iter().flatten();
    items
        .filter_map(|item| item["metadata"]["name"].as_str())
        .collect()
}

/// A watch that was begun.
struct Watch(Incoming, Vec<u8>);

impl Watch {
    async fn open(api: &KubeApi, path: &str) -> Self {
        let request = request(api, &Method::GET, path);
        let response = send(api, request.body(Full::default()).unwrap()).await;
        Self(response.unwrap().into_body(), Vec::new())
    }

    /// The next event that is no bookmark; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            let end = self.1.iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let line: Vec<u8> = self.1.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                if event["type"] != "BOOKMARK" {
                    let kind = event["type"].as_str().unwrap().to_owned();
                    return Some((kind, event["object"].clone()));
                }
                continue;
            }
            let frame = self.0.frame().await?.ok()?;
            self.1.extend_from_slice(frame.data_ref().unwrap());
        }
    }
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn socket(api: &KubeApi, path: &str, protocol: &str) -> Result<Socket, (u16, Value)> {
    let request = request(api, &Method::GET, path)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", protocol);
    let response = send(api, request.body(Full::default()).unwrap()).await;
    let response = response.unwrap();
    let status = response.status().as_u16();
    if status != 101 {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        return Err((status, serde_json::from_slice(&bytes).unwrap()));
    }
    // The example of RFC 6455.
    assert_eq!(
        response.headers()["sec-websocket-accept"],
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
    let stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
}

async fn frame(socket: &mut Socket) -> Option<(u8, Vec<u8>)> {
    loop {
        match socket.next().await? {
            Ok(Message::Binary(frame)) => return Some((frame[0], frame[1..].to_vec())),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

async fn write(socket: &mut Socket, channel: u8, bytes: &[u8]) {
    let frame: Bytes = [&[channel], bytes].concat().into();
    socket.send(Message::Binary(frame)).await.unwrap();
}

fn exec_path(command: &str) -> String {
    let command = command.replace(' ', "&command=");
    format!("{PODS}/buildkitd-amd64-0/exec?stdin=true&stdout=true&stderr=true&command={command}")
}

#[tokio::test]
async fn a_workload_gets_pods_that_become_ready() {
    let api = KubeApi::start(Door::Plain);
    api.node("node-a", "amd64", Arc::new(Echo));
    api.pool(&Pool::of("amd64", 2));
    api.pool(&Pool::of("arm64", 1));
    until(&api, |pod| phase(pod) == "Running").await;
    let (_, list) = get(
        &api,
        &format!("{PODS}?labelSelector=app.kubernetes.io/component%20in%20(amd64,x)"),
    )
    .await;
    assert_eq!(names(&list), ["buildkitd-amd64-0", "buildkitd-amd64-1"]);
    let (_, list) = get(
        &api,
        &format!("{PODS}?labelSelector=app.kubernetes.io/component!=amd64"),
    )
    .await;
    let condition = &list["items"][0]["status"]["conditions"][0];
    assert_eq!(condition["reason"], "Unschedulable");
    let patch = json!({"spec": {"replicas": 1}});
    let merge = "application/merge-patch+json";
    let path = format!("{SETS}/buildkitd-amd64/scale");
    let (status, scale) = call(&api, Method::PATCH, &path, merge, &patch).await;
    assert_eq!((status, &scale["spec"]["replicas"]), (200, &json!(1)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (_, list) = get(&api, PODS).await;
    assert_eq!(names(&list), ["buildkitd-amd64-0", "buildkitd-arm64-0"]);
}

#[tokio::test]
async fn what_is_applied_is_kept_and_taken_back() {
    let api = KubeApi::start(Door::Plain);
    let path = "/api/v1/namespaces/default/configmaps/c";
    let apply = "application/apply-patch+yaml";
    let full = format!("{path}?fieldManager=m&force=true");
    let map = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
    let first = map(json!({"a": "1", "b": "2"}));
    assert_eq!(call(&api, Method::PATCH, &full, apply, &first).await.0, 201);
    let second = map(json!({"a": "3"}));
    let (status, found) = call(&api, Method::PATCH, &full, apply, &second).await;
    assert_eq!((status, &found["data"]), (200, &json!({"a": "3"})));
    assert_eq!(found["kind"], "ConfigMap");
    assert_eq!(
        call(&api, Method::DELETE, path, "", &Value::Null).await.0,
        200
    );
    let (status, error) = get(&api, path).await;
    assert_eq!(
        (status, &error["message"]),
        (404, &json!("configmaps \"c\" not found"))
    );
}

#[tokio::test]
async fn a_watch_tells_what_changes() {
    let api = api().await;
    let (_, list) = get(&api, PODS).await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{PODS}?watch=1&resourceVersion={version}&allowWatchBookmarks=true");
    let mut watch = Watch::open(&api, &path).await;
    api.set("default", "buildkitd-amd64-0", &PodState::OomKilled);
    let (event, object) = watch.next().await.unwrap();
    assert_eq!(event, "MODIFIED");
    let last = &object["status"]["containerStatuses"][0]["lastState"];
    assert_eq!(last["terminated"]["reason"], "OOMKilled");
    api.delete("default", "buildkitd-amd64-0");
    assert_eq!(watch.next().await.unwrap().0, "DELETED");
    assert_eq!(watch.next().await.unwrap().0, "ADDED");
    let mut all = Watch::open(&api, &format!("{PODS}?watch=1&timeoutSeconds=1")).await;
    while let Some((event, _)) = all.next().await {
        assert_ne!(event, "DELETED");
    }
}

#[tokio::test]
async fn versions_are_forgotten_and_watches_break() {
    let api = api().await;
    api.compact();
    api.set("default", "buildkitd-amd64-0", &PodState::NotReady);
    let mut old = Watch::open(&api, &format!("{PODS}?watch=1&resourceVersion=1")).await;
    let (event, status) = old.next().await.unwrap();
    assert_eq!((event.as_str(), &status["code"]), ("ERROR", &json!(410)));
    assert!(old.next().await.is_none());
    api.fault(Fault::of("watch", "pods", Act::CutAfter(1)));
    let mut cut = Watch::open(&api, &format!("{PODS}?watch=1")).await;
    assert_eq!(cut.next().await.unwrap().0, "ADDED");
    api.set("default", "buildkitd-amd64-0", &PodState::Ready);
    assert!(cut.next().await.is_none());
    api.fault(Fault::of("watch", "pods", Act::Gone));
    let mut gone = Watch::open(&api, &format!("{PODS}?watch=1")).await;
    assert_eq!(gone.next().await.unwrap().0, "ERROR");
    api.fault(Fault::of("list", "pods", Act::HangUp));
    let list = request(&api, &Method::GET, PODS);
    assert!(
        send(&api, list.body(Full::default()).unwrap())
            .await
            .is_err()
    );
    assert_eq!(api.count("watch", "pods"), 3);
}

#[tokio::test]
async fn rights_are_refused_in_the_words_of_kubernetes() {
    let api = api().await;
    api.allow(Rights::none().and("get", "pods/exec"));
    let (status, refusal) = get(&api, PODS).await;
    assert_eq!(status, 403);
    assert_eq!(
        refusal["message"],
        "pods is forbidden: User \"system:serviceaccount:default:client\" cannot list resource \
         \"pods\" in API group \"\" in the namespace \"default\""
    );
    let path = exec_path("buildctl dial-stdio");
    let (status, refusal) = socket(&api, &path, "v5.channel.k8s.io").await.unwrap_err();
    assert_eq!(status, 403);
    let message = refusal["message"].as_str().unwrap();
    assert!(
        message.contains("cannot create resource \"pods/exec\""),
        "{message}"
    );
}

#[tokio::test]
async fn exec_carries_bytes_and_ends_in_both_protocols() {
    let api = api().await;
    let path = exec_path("buildctl dial-stdio");
    let mut five = socket(&api, &path, "v5.channel.k8s.io,v4.channel.k8s.io")
        .await
        .unwrap();
    assert_eq!(frame(&mut five).await, Some((1, vec![])));
    write(&mut five, 0, b"hello").await;
    assert_eq!(frame(&mut five).await, Some((1, b"hello".to_vec())));
    write(&mut five, 255, &[0]).await;
    let (channel, status) = frame(&mut five).await.unwrap();
    let status: Value = serde_json::from_slice(&status).unwrap();
    assert_eq!((channel, &status["status"]), (3, &json!("Success")));
    assert_eq!(frame(&mut five).await, None);
    assert_eq!(api.traffic(Way::Exec), (1, 10));
    let mut four = socket(&api, &path, "v4.channel.k8s.io").await.unwrap();
    assert_eq!(frame(&mut four).await, Some((1, vec![])));
    api.lose("default", "buildkitd-amd64-0", Loss::Kill);
    let (channel, status) = frame(&mut four).await.unwrap();
    let status: Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(channel, 3);
    assert_eq!(status["details"]["causes"][0]["message"], "137");
    let unknown = socket(&api, &path, "v9.channel.k8s.io").await;
    assert_eq!(unknown.unwrap_err().0, 403);
}

#[tokio::test]
async fn exec_fails_as_told() {
    let api = api().await;
    let path = exec_path("buildctl dial-stdio");
    api.fault(Fault::of("get", "pods/exec", Act::fresh_node()));
    let (status, refusal) = socket(&api, &path, "v4.channel.k8s.io").await.unwrap_err();
    assert_eq!((status, &refusal["reason"]), (500, &json!("InternalError")));
    api.fault(Fault::of("get", "pods/exec", Act::Says("no socket")));
    let mut says = socket(&api, &path, "v5.channel.k8s.io").await.unwrap();
    assert_eq!(frame(&mut says).await, Some((1, vec![])));
    assert_eq!(frame(&mut says).await, Some((2, b"no socket".to_vec())));
    assert_eq!(frame(&mut says).await.unwrap().0, 3);
    let mut missing = socket(&api, &exec_path("nothing"), "v5.channel.k8s.io")
        .await
        .unwrap();
    assert_eq!(frame(&mut missing).await, Some((1, vec![])));
    assert_eq!(frame(&mut missing).await, Some((2, vec![])));
    let (_, status) = frame(&mut missing).await.unwrap();
    assert!(String::from_utf8_lossy(&status).contains("executable file not found"));
    api.fault(Fault::of("get", "pods/exec", Act::CutAfter(3)));
    let mut cut = socket(&api, &path, "v5.channel.k8s.io").await.unwrap();
    assert_eq!(frame(&mut cut).await, Some((1, vec![])));
    write(&mut cut, 0, b"hello").await;
    // Some of it may still have come back.
    while frame(&mut cut).await.is_some() {}
}

#[tokio::test]
async fn port_forward_names_its_port_first() {
    let api = api().await;
    let path = format!("{PODS}/buildkitd-amd64-0/portforward?ports=");
    let protocol = "v4.channel.k8s.io";
    let mut open = socket(&api, &format!("{path}1234"), protocol)
        .await
        .unwrap();
    let port = 1234_u16.to_le_bytes().to_vec();
    assert_eq!(frame(&mut open).await, Some((0, port.clone())));
    assert_eq!(frame(&mut open).await, Some((1, port)));
    write(&mut open, 0, b"hello").await;
    assert_eq!(frame(&mut open).await, Some((0, b"hello".to_vec())));
    let mut closed = socket(&api, &format!("{path}99"), protocol).await.unwrap();
    assert_eq!(frame(&mut closed).await.unwrap().0, 0);
    assert_eq!(frame(&mut closed).await.unwrap().0, 1);
    let (channel, text) = frame(&mut closed).await.unwrap();
    assert_eq!(channel, 1);
    assert!(String::from_utf8_lossy(&text).contains("connection refused"));
    assert_eq!(frame(&mut closed).await, None);
    assert!(api.journal().iter().all(|ask| !ask.line.is_empty()));
}

/// A real `kubectl` checks what was written from memory; it is there where the environment has
/// one.
#[tokio::test]
async fn kubectl_gets_along_with_it() {
    let Ok(kubectl) = std::env::var("MBUILD_TEST_KUBECTL") else {
        return;
    };
    // It keeps its token to itself where nothing is encrypted.
    let api = api_behind(Door::Tls).await;
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    api.kubeconfig(&config, "here", "default");
    let run = async |words: &str, input: &str| {
        let mut command = tokio::process::Command::new(&kubectl);
        command
            .arg("--kubeconfig")
            .arg(&config)
            .args(words.split(' '));
        command.env("HOME", dir.path()).kill_on_drop(true);
        let piped = command.stdin(std::process::Stdio::piped());
        let mut child = piped.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut pipe, input.as_bytes())
            .await
            .unwrap();
        drop(pipe);
        let limit = Duration::from_secs(20);
        let output = tokio::time::timeout(limit, child.wait_with_output()).await;
        let output = output.unwrap().unwrap();
        assert!(output.status.success(), "{words:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let map = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}"#;
    let applied = run("apply --server-side --validate=false -f -", map).await;
    assert!(
        applied.contains("configmap/c serverside-applied"),
        "{applied}"
    );
    assert_eq!(run("get pods -o name", "").await, "pod/buildkitd-amd64-0\n");
    let scaled = run("scale statefulset buildkitd-amd64 --replicas 2", "").await;
    assert!(scaled.contains("scaled"), "{scaled}");
    run(
        "wait --for=condition=Ready pod/buildkitd-amd64-1 --timeout=5s",
        "",
    )
    .await;
    let said = run("exec -i buildkitd-amd64-1 -- buildctl dial-stdio", "hello").await;
    assert_eq!(said, "hello");
}
