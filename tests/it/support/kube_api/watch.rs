//! Watching: events from a version on, one JSON object a line.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use super::ask::Ask;
use super::fault::Act;
use super::kinds::Kind;
use super::refusal::Refusal;
use super::select::Selector;
use super::serve::Body;
use super::store::Change;

/// How often a watch is told of the version: a real server does so every minute.
const BOOKMARKS: Duration = Duration::from_secs(1);

type Line = Result<Frame<Bytes>, io::Error>;

/// One watch that goes on.
struct Watch {
    shared: Arc<Shared>,
    ask: Ask,
    kind: Kind,
    selector: Selector,
    to: Sender<Line>,
    /// How many events more until the connection is cut.
    left: Option<u64>,
}

/// Answers a request to watch.
pub(super) fn answer(
    shared: &Arc<Shared>,
    ask: &Ask,
    kind: Kind,
    act: Option<&Act>,
) -> Response<Body> {
    let (to, from) = mpsc::channel(16);
    let mut watch = Watch {
        shared: Arc::clone(shared),
        ask: ask.clone(),
        kind,
        selector: Selector::of(ask),
        to,
        left: None,
    };
    match act {
        Some(Act::CutAfter(events)) => watch.left = Some(*events),
        Some(Act::Gone) => {
            let refusal = Refusal::expired(1, 2);
            let body = line("ERROR", &refusal.status());
            return stream(tokio_stream::iter([Ok(Frame::data(body))]));
        }
        _ => {}
    }
    tokio::spawn(watch.run());
    stream(ReceiverStream::new(from))
}

fn stream(lines: impl futures_util::Stream<Item = Line> + Send + Sync + 'static) -> Response<Body> {
    let body = BodyExt::boxed(StreamBody::new(lines));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert("content-type", "application/json".parse().unwrap());
    response
}

fn line(event: &str, object: &Value) -> Bytes {
    let mut text = json!({"type": event, "object": object}).to_string();
    text.push('\n');
    text.into()
}

impl Watch {
    /// Tells of changes until the client is gone or the time is over.
    async fn run(mut self) {
        let seconds = self
            .ask
            .param("timeoutSeconds")
            .and_then(|n| n.parse().ok());
        let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(1800));
        let _ = tokio::time::timeout_at(end, self.tell()).await;
    }

    async fn tell(&mut self) -> Option<()> {
        let mut changed = self.shared.changed.subscribe();
        let asked = self
            .ask
            .param("resourceVersion")
            .and_then(|n| n.parse().ok());
        let mut at = match asked {
            Some(version @ 1..) if !self.ask.is_on("sendInitialEvents") => version,
            _ => self.tell_all().await?,
        };
        loop {
            let (oldest, changes) = {
                let world = self.shared.world.lock().unwrap();
                (world.store.oldest(), world.store.since(at))
            };
            if at < oldest {
                let refusal = Refusal::expired(at, oldest);
                return self.send("ERROR", &refusal.status()).await;
            }
            for change in changes {
                at = change.version;
                self.tell_change(&change).await?;
            }
            tokio::select! {
                changed = changed.changed() => changed.ok()?,
                () = tokio::time::sleep(BOOKMARKS) => self.bookmark(at, Value::Null).await?,
                () = self.to.closed() => return None,
            }
        }
    }

    /// Tells what there is; gives the version of it.
    async fn tell_all(&mut self) -> Option<u64> {
        let (version, objects) = {
            let world = self.shared.world.lock().unwrap();
            let Ask {
                api,
                base,
                namespace,
                ..
            } = &self.ask;
            let objects = world.store.list(api, base, namespace, &self.selector);
            (world.store.version(), objects)
        };
        for object in objects {
            self.send("ADDED", &object).await?;
        }
        if self.ask.is_on("sendInitialEvents") {
            let end = json!({"k8s.io/initial-events-end": "true"});
            self.bookmark(version, end).await?;
        }
        Some(version)
    }

    async fn tell_change(&mut self, change: &Change) -> Option<()> {
        let key = &change.key;
        let elsewhere = !self.ask.namespace.is_empty() && self.ask.namespace != key.namespace;
        if key.api != self.ask.api || key.resource != self.ask.base || elsewhere {
            return Some(());
        }
        let was = change.before.as_ref();
        let was = was.is_some_and(|before| self.selector.takes(before));
        let is = !change.is_gone && self.selector.takes(&change.object);
        let event = match (was, is) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return Some(()),
        };
        self.send(event, &change.object).await
    }

    async fn bookmark(&mut self, at: u64, annotations: Value) -> Option<()> {
        if !self.ask.is_on("allowWatchBookmarks") {
            return Some(());
        }
        let mut metadata = json!({"resourceVersion": at.to_string(), "creationTimestamp": null});
        if !annotations.is_null() {
            metadata["annotations"] = annotations;
        }
        let object = json!({
            "kind": self.kind.kind, "apiVersion": self.kind.api, "metadata": metadata,
            "spec": {"containers": []}, "status": {},
        });
        self.send("BOOKMARK", &object).await
    }

    async fn send(&mut self, event: &str, object: &Value) -> Option<()> {
        if self.left == Some(0) {
            let cut = io::Error::other("cut");
            let _ = self.to.send(Err(cut)).await;
            return None;
        }
        self.left = self.left.map(|left| left - 1);
        let frame = Frame::data(line(event, object));
        self.to.send(Ok(frame)).await.ok()
    }
}
