//! A request's way: who asks, what goes wrong, whether it is allowed, and the answer.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mbuild::buildkit::io::Io;
use serde_json::{Value, json};

use super::ask::Ask;
use super::fault::{self, Act};
use super::kinds::{Kind, discovery};
use super::refusal::Refusal;
use super::store::Key;
use super::{Door, Shared, exec, forward, socket, verbs, watch};

pub(super) type Body = BoxBody<Bytes, io::Error>;

/// Who is at the other end, as far as the connection tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) is_certified: bool,
}

/// Serves a connection.
pub(super) async fn serve(stream: impl Io, peer: Peer, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { shared.answer(request, peer).await }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    let serving = server
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that hangs up is none of the server's concern.
    let _ = serving.with_upgrades().await;
}

pub(super) fn text(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {});
    let mut response = Response::new(body.boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn object(status: u16, object: &Value) -> Response<Body> {
    let mut response = text(status, object.to_string());
    let json = "application/json".parse().unwrap();
    response.headers_mut().insert("content-type", json);
    response
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    if refusal.is_plain {
        return text(refusal.code, refusal.message().to_owned());
    }
    object(refusal.code, &refusal.status())
}

impl Shared {
    /// Answers; an error closes the connection.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> io::Result<Response<Body>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(found) = discovery(request.uri().path()) {
            return Ok(object(200, &found));
        }
        let Some(ask) = Ask::of(request.method(), request.uri()) else {
            let line = "the server could not find the requested resource";
            return Ok(refuse(&Refusal::new(404, line)));
        };
        self.journal.lock().unwrap().push(ask.clone());
        if !self.knows(request.headers(), peer) {
            return Ok(refuse(&Refusal::new(401, "Unauthorized")));
        }
        let act = fault::take(&mut self.faults.lock().unwrap(), &ask);
        match &act {
            Some(Act::Refuse(refusal)) => return Ok(refuse(refusal)),
            Some(Act::Wait(time)) => tokio::time::sleep(*time).await,
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::HangUp) => return Err(io::Error::other("hangs up")),
            _ => {}
        }
        if let Some(refusal) = self.guard(&ask) {
            return Ok(refuse(&refusal));
        }
        let answer = match ask.resource.as_str() {
            "pods/exec" | "pods/portforward" => self.stream(&ask, request, act),
            _ => self.about_objects(&ask, request, act).await,
        };
        Ok(answer.unwrap_or_else(|refusal| refuse(&refusal)))
    }

    fn knows(&self, headers: &HeaderMap, peer: Peer) -> bool {
        let token = format!("Bearer {}", self.token);
        let shown = headers.get("authorization");
        match self.door {
            Door::Certificate => peer.is_certified,
            Door::Plain | Door::Tls => {
                shown.is_some_and(|shown| shown.as_bytes() == token.as_bytes())
            }
        }
    }

    /// Refuses what the user may not do. Since 1.35 a stream needs two verbs.
    fn guard(&self, ask: &Ask) -> Option<Refusal> {
        let rights = self.rights.lock().unwrap();
        let both = ["get", "create"];
        let verbs = match ask.resource.as_str() {
            "pods/exec" | "pods/portforward" => &both[..],
            "selfsubjectaccessreviews" => &[],
            _ => &[ask.verb],
        };
        let missing = verbs.iter().find(|verb| !rights.allow(ask, verb))?;
        Some(Refusal::forbidden(ask, missing, &self.user))
    }

    async fn about_objects(
        self: &Arc<Self>,
        ask: &Ask,
        request: Request<Incoming>,
        act: Option<Act>,
    ) -> Result<Response<Body>, Refusal> {
        let Some(kind) = Kind::of_resource(&ask.api, &ask.base) else {
            let line = "the server could not find the requested resource";
            return Err(Refusal::new(404, line));
        };
        if ask.verb == "watch" {
            return Ok(watch::answer(self, ask, kind, act.as_ref()));
        }
        let media = request.headers().get("content-type");
        let media = media
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = request.into_body().collect().await;
        let body = body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        if ask.base == "selfsubjectaccessreviews" {
            return Ok(object(201, &self.review(&body)));
        }
        let done = {
            let mut world = self.world.lock().unwrap();
            verbs::act(&mut world.store, ask, kind, &media, &body)
        };
        self.tell();
        done.map(|(status, value)| object(status, &value))
    }

    /// Tells whether the user may do something.
    fn review(&self, body: &Bytes) -> Value {
        let mut review: Value = serde_json::from_slice(body).unwrap();
        let about = &review["spec"]["resourceAttributes"];
        let word = |name: &str| about[name].as_str().unwrap_or_default();
        let resource = match word("subresource") {
            "" => word("resource").to_owned(),
            sub => format!("{}/{sub}", word("resource")),
        };
        let rights = self.rights.lock().unwrap();
        let allowed = rights.allow_named(word("verb"), word("group"), &resource, word("name"));
        review["status"] = json!({"allowed": allowed});
        review
    }

    fn stream(
        &self,
        ask: &Ask,
        mut request: Request<Incoming>,
        act: Option<Act>,
    ) -> Result<Response<Body>, Refusal> {
        let key = Key::pod(&ask.namespace, &ask.name);
        let (found, pod) = {
            let world = self.world.lock().unwrap();
            (world.store.get(&key).cloned(), world.cluster.pod(&key))
        };
        let found = found.ok_or_else(|| Refusal::not_found(ask))?;
        let Some(pod) = pod else {
            let text = format!("pod {} does not have a host assigned", ask.name);
            return Err(Refusal::new(400, text));
        };
        if ask.sub == "exec" {
            exec::check(ask, &found)?;
            let agreed = socket::agree(&mut request, &exec::PROTOCOLS)?;
            let (response, upgrade, protocol) = agreed;
            let exec = exec::Exec {
                pod,
                command: ask.params("command").map(str::to_owned).collect(),
                traffic: Arc::clone(&self.traffic.exec),
                act,
                half_close: protocol == exec::PROTOCOLS[0],
            };
            tokio::spawn(async move {
                if let Some(socket) = socket::open(upgrade).await {
                    exec.run(socket).await;
                }
            });
            return Ok(response);
        }
        let (response, upgrade, _) = socket::agree(&mut request, &forward::PROTOCOLS)?;
        let port = ask.param("ports").and_then(|port| port.parse().ok());
        let forward = forward::Forward {
            pod,
            port: port.ok_or_else(|| Refusal::new(400, "query parameter \"port\" is required"))?,
            traffic: Arc::clone(&self.traffic.forward),
            act,
        };
        tokio::spawn(async move {
            if let Some(socket) = socket::open(upgrade).await {
                forward.run(socket).await;
            }
        });
        Ok(response)
    }
}
