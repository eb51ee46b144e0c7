//! An image registry in memory that misbehaves on demand: [`FakeRegistry`].
//!
//! It keeps what it is given, checks references as a real one does, asks for credentials if
//! told to, and plays one scripted fault after the other. It speaks HTTP/1 on loopback, or
//! TLS with a certificate made for it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mbuild::digest::Digest;
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Body = BoxBody<Bytes, io::Error>;

/// How the registry is set up.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) auth: Auth,
    /// Whether mounts are granted; else they are answered by an upload (202).
    pub(crate) mounts: bool,
    /// Whether a token service knows the form of OAuth.
    pub(crate) form: bool,
    /// Whether answers name the digest of a manifest.
    pub(crate) names_digests: bool,
    /// TLS, with what the server shows and asks for.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            auth: Auth::Open,
            mounts: true,
            form: true,
            names_digests: true,
            tls: None,
        }
    }
}

/// Whom the registry lets in. The user is `ann`, the password `pw`, the identity token
/// `refresh`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth {
    Open,
    Basic,
    Bearer,
    /// Tokens are given to everybody, and allow reading only.
    ReadOnly,
}

/// What the registry does instead of its duty.
#[derive(Clone)]
pub(crate) enum Act {
    /// Answers with a status, a header and a text.
    Answer(u16, Option<(&'static str, String)>, &'static str),
    /// Does its duty, and names another digest.
    Lie,
    /// Says success and does nothing.
    Forget,
    /// Begins the answer and hangs up.
    Cut,
    /// Waits first, then does its duty.
    Wait(Duration),
}

struct Fault {
    method: Method,
    path: String,
    left: usize,
    act: Act,
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method, path and query: `HEAD /v2/app/manifests/1`.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
}

#[derive(Default)]
struct Repo {
    manifests: BTreeMap<String, (String, Bytes)>,
    tags: BTreeMap<String, String>,
    blobs: BTreeMap<String, Bytes>,
}

#[derive(Default)]
struct State {
    repos: BTreeMap<String, Repo>,
    uploads: BTreeMap<String, Vec<u8>>,
    tokens: BTreeMap<String, Vec<String>>,
    faults: Vec<Fault>,
    seen: Vec<Seen>,
}

struct Shared {
    setup: Setup,
    address: SocketAddr,
    state: Mutex<State>,
}

/// A registry that runs until it is dropped.
pub(crate) struct FakeRegistry {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl FakeRegistry {
    pub(crate) async fn open() -> Self {
        Self::start(Setup::default()).await
    }

    pub(crate) async fn start(setup: Setup) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            setup,
            address,
            state: Mutex::default(),
        });
        let server = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&server);
                tokio::spawn(async move {
                    match shared.setup.tls.clone() {
                        None => serve(stream, shared).await,
                        Some(tls) => {
                            let acceptor = tokio_rustls::TlsAcceptor::from(tls);
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, shared).await;
                            }
                        }
                    }
                });
            }
        });
        Self { shared, task }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.shared.address.to_string()
    }

    /// `localhost:PORT`, for certificates.
    pub(crate) fn local_name(&self) -> String {
        format!("localhost:{}", self.shared.address.port())
    }

    /// Misbehaves the next `times` requests of that method whose path contains `path`.
    pub(crate) fn fault(&self, method: &Method, path: &str, times: usize, act: Act) {
        let (method, path) = (method.clone(), path.to_owned());
        self.state().faults.push(Fault {
            method,
            path,
            left: times,
            act,
        });
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// How many requests began like this: `PUT /v2/app/`.
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.state()
            .seen
            .iter()
            .filter(|seen| seen.line.starts_with(prefix))
            .count()
    }

    pub(crate) fn put_blob(&self, repo: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let mut state = self.state();
        let blobs = &mut state.repos.entry(repo.to_owned()).or_default().blobs;
        blobs.insert(digest.to_string(), Bytes::copy_from_slice(bytes));
        digest
    }

    pub(crate) fn put_manifest(&self, repo: &str, media_type: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let mut state = self.state();
        let manifests = &mut state.repos.entry(repo.to_owned()).or_default().manifests;
        let value = (media_type.to_owned(), Bytes::copy_from_slice(bytes));
        manifests.insert(digest.to_string(), value);
        digest
    }

    /// Makes a repository lose a manifest.
    pub(crate) fn remove_manifest(&self, repo: &str, digest: Digest) {
        if let Some(repo) = self.state().repos.get_mut(repo) {
            repo.manifests.remove(&digest.to_string());
        }
    }

    pub(crate) fn manifest(&self, repo: &str, digest: &str) -> Option<(String, Bytes)> {
        self.state().repos.get(repo)?.manifests.get(digest).cloned()
    }

    pub(crate) fn manifest_count(&self, repo: &str) -> usize {
        self.state()
            .repos
            .get(repo)
            .map_or(0, |repo| repo.manifests.len())
    }

    pub(crate) fn has_blob(&self, repo: &str, digest: Digest) -> bool {
        let state = self.state();
        state
            .repos
            .get(repo)
            .is_some_and(|repo| repo.blobs.contains_key(&digest.to_string()))
    }

    /// What a tag points to.
    pub(crate) fn tag(&self, repo: &str, tag: &str) -> Option<String> {
        self.state().repos.get(repo)?.tags.get(tag).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let server = hyper::server::conn::http1::Builder::new();
    // A client that hangs up is none of the server's concern.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

fn plain(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into())
        .map_err(|never| match never {})
        .boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn with(mut response: Response<Body>, headers: &[(&'static str, String)]) -> Response<Body> {
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

fn refuse(status: u16, code: &str) -> Response<Body> {
    plain(
        status,
        format!(r#"{{"errors":[{{"code":"{code}","message":"no luck"}}]}}"#),
    )
}

fn pairs(query: &str) -> BTreeMap<String, String> {
    let url = Url::parse(&format!("http://x/?{query}")).unwrap();
    url.query_pairs()
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect()
}

/// What a request is about, taken from its path.
struct Target<'a> {
    repo: &'a str,
    kind: &'a str,
    name: &'a str,
}

impl<'a> Target<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2/")?;
        for kind in ["/manifests/", "/blobs/uploads/", "/blobs/"] {
            if let Some((repo, name)) = rest.split_once(kind) {
                return Some(Self { repo, kind, name });
            }
        }
        None
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let line = format!("{} {}", head.method, head.uri);
        let bytes = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        let act = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(Seen {
                line,
                headers: head.headers.clone(),
            });
            state.take_fault(&head.method, &path)
        };
        match &act {
            Some(Act::Answer(status, header, text)) => {
                return with(plain(*status, *text), header.as_slice());
            }
            Some(Act::Wait(duration)) => tokio::time::sleep(*duration).await,
            Some(Act::Forget) => return plain(201, ""),
            Some(Act::Cut) => {
                let frames = [
                    Ok(Frame::data(Bytes::from("{\"sche"))),
                    Err(io::Error::other("cut")),
                ];
                let body = StreamBody::new(tokio_stream::iter(frames));
                return with(
                    Response::new(body.boxed()),
                    &[("content-length", "900".into())],
                );
            }
            Some(Act::Lie) | None => {}
        }
        if path == "/token" {
            return self.give_token(&head.method, &query, &head.headers, &bytes);
        }
        if let Some(refusal) = self.guard(&head.method, &path, &head.headers) {
            return refusal;
        }
        let authorization = head
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let response = self.work(
            &head.method,
            &path,
            &query,
            &head.headers,
            bytes,
            authorization,
        );
        match act {
            Some(Act::Lie) => with(
                response,
                &[("docker-content-digest", Digest::of(b"a lie").to_string())],
            ),
            _ => response,
        }
    }

    fn work(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        bytes: Bytes,
        authorization: Option<&str>,
    ) -> Response<Body> {
        let Some(target) = Target::of(path) else {
            return plain(if path == "/v2/" { 200 } else { 404 }, "");
        };
        match (target.kind, method.as_str()) {
            ("/manifests/", "PUT") => self.put_manifest(&target, headers, bytes),
            ("/manifests/", _) => self.get_manifest(&target),
            ("/blobs/", _) => {
                let state = self.state.lock().unwrap();
                let found = state
                    .repos
                    .get(target.repo)
                    .and_then(|r| r.blobs.get(target.name));
                found.map_or_else(
                    || refuse(404, "BLOB_UNKNOWN"),
                    |blob| plain(200, blob.clone()),
                )
            }
            _ => self.upload(method, &target, &pairs(query), bytes, authorization),
        }
    }

    fn get_manifest(&self, target: &Target<'_>) -> Response<Body> {
        let state = self.state.lock().unwrap();
        let found = state.repos.get(target.repo).and_then(|repo| {
            let digest = repo
                .tags
                .get(target.name)
                .map_or(target.name, String::as_str);
            let (media_type, bytes) = repo.manifests.get(digest)?;
            Some((digest.to_owned(), media_type.clone(), bytes.clone()))
        });
        let Some((digest, media_type, bytes)) = found else {
            return refuse(404, "MANIFEST_UNKNOWN");
        };
        let response = with(plain(200, bytes), &[("content-type", media_type)]);
        match self.setup.names_digests {
            true => with(response, &[("docker-content-digest", digest)]),
            false => response,
        }
    }

    fn put_manifest(
        &self,
        target: &Target<'_>,
        headers: &HeaderMap,
        bytes: Bytes,
    ) -> Response<Body> {
        let digest = Digest::of(&bytes).to_string();
        if target.name.starts_with("sha256:") && target.name != digest {
            return refuse(400, "DIGEST_INVALID");
        }
        let media_type = headers["content-type"].to_str().unwrap().to_owned();
        let mut state = self.state.lock().unwrap();
        let repo = state.repos.entry(target.repo.to_owned()).or_default();
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let parts = |member: &str| document[member].as_array().cloned().unwrap_or_default();
        let digest_of = |part: &serde_json::Value| part["digest"].as_str().map(str::to_owned);
        let children = parts("manifests");
        let mut blobs = parts("layers");
        blobs.push(document["config"].clone());
        let whole = children
            .iter()
            .filter_map(digest_of)
            .all(|d| repo.manifests.contains_key(&d))
            && blobs
                .iter()
                .filter_map(digest_of)
                .all(|d| repo.blobs.contains_key(&d));
        if !whole {
            return refuse(400, "MANIFEST_BLOB_UNKNOWN");
        }
        if !target.name.starts_with("sha256:") {
            repo.tags.insert(target.name.to_owned(), digest.clone());
        }
        repo.manifests.insert(digest.clone(), (media_type, bytes));
        match self.setup.names_digests {
            true => with(plain(201, ""), &[("docker-content-digest", digest)]),
            false => plain(201, ""),
        }
    }

    fn upload(
        &self,
        method: &Method,
        target: &Target<'_>,
        query: &BTreeMap<String, String>,
        bytes: Bytes,
        authorization: Option<&str>,
    ) -> Response<Body> {
        let mut state = self.state.lock().unwrap();
        match method.as_str() {
            "POST" => {
                if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from"))
                    && self.setup.mounts
                    && state.allows(self.setup.auth, authorization, from, "pull")
                    && let Some(blob) = state.repos.get(from).and_then(|r| r.blobs.get(digest))
                {
                    let blob = blob.clone();
                    let repo = state.repos.entry(target.repo.to_owned()).or_default();
                    repo.blobs.insert(digest.clone(), blob);
                    let at = format!("/v2/{}/blobs/{digest}", target.repo);
                    return with(plain(201, ""), &[("location", at)]);
                }
                let id = format!("upload-{}", state.seen.len());
                state.uploads.insert(id.clone(), Vec::new());
                let at = format!("/v2/{}/blobs/uploads/{id}?_state=x", target.repo);
                with(plain(202, ""), &[("location", at)])
            }
            "PUT" => {
                let Some(mut content) = state.uploads.remove(target.name) else {
                    return refuse(404, "BLOB_UPLOAD_UNKNOWN");
                };
                content.extend_from_slice(&bytes);
                let digest = Digest::of(&content).to_string();
                if query.get("digest") != Some(&digest) {
                    return refuse(400, "DIGEST_INVALID");
                }
                let repo = state.repos.entry(target.repo.to_owned()).or_default();
                repo.blobs.insert(digest.clone(), content.into());
                let at = format!("/v2/{}/blobs/{digest}", target.repo);
                with(plain(201, ""), &[("location", at)])
            }
            "DELETE" => {
                let known = state.uploads.remove(target.name).is_some();
                plain(if known { 204 } else { 404 }, "")
            }
            _ => refuse(405, "UNSUPPORTED"),
        }
    }

    /// Refuses who has not shown what is asked for.
    fn guard(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        let shown = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let reads = matches!(method.as_str(), "GET" | "HEAD");
        let action = if reads { "pull" } else { "push" };
        let repo = Target::of(path).map_or("", |target| target.repo);
        let state = self.state.lock().unwrap();
        if state.allows(self.setup.auth, shown, repo, action) {
            return None;
        }
        let scheme = if self.setup.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let challenge = match self.setup.auth {
            Auth::Basic => "Basic realm=\"fake\"".to_owned(),
            _ => format!(
                "Bearer realm=\"{scheme}://{}/token\",service=\"fake\",scope=\"repository:{repo}:{action}\"",
                self.address,
            ),
        };
        Some(with(
            refuse(401, "UNAUTHORIZED"),
            &[("www-authenticate", challenge)],
        ))
    }

    fn give_token(
        &self,
        method: &Method,
        query: &str,
        headers: &HeaderMap,
        bytes: &Bytes,
    ) -> Response<Body> {
        let text = if *method == Method::POST {
            if !self.setup.form {
                return plain(404, "");
            }
            String::from_utf8_lossy(bytes).into_owned()
        } else {
            query.to_owned()
        };
        let url = Url::parse(&format!("http://x/?{text}")).unwrap();
        let of = |name: &str| -> Vec<String> {
            let values = url.query_pairs().filter(|(key, _)| key == name);
            values.map(|(_, value)| value.into_owned()).collect()
        };
        let is = |name: &str, value: &str| of(name) == [value];
        let basic = format!("Basic {}", STANDARD.encode("ann:pw"));
        let known = is("refresh_token", "refresh")
            || (is("username", "ann") && is("password", "pw"))
            || headers
                .get("authorization")
                .is_some_and(|value| *value == *basic);
        if !known && self.setup.auth == Auth::Bearer {
            return refuse(401, "UNAUTHORIZED");
        }
        let mut scopes: Vec<String> = of("scope")
            .iter()
            .flat_map(|scopes| scopes.split(' '))
            .map(str::to_owned)
            .collect();
        if self.setup.auth == Auth::ReadOnly {
            scopes
                .iter_mut()
                .for_each(|scope| *scope = scope.replace("pull,push", "pull"));
        }
        let mut state = self.state.lock().unwrap();
        let token = format!("token-{}", state.tokens.len());
        state.tokens.insert(token.clone(), scopes);
        plain(200, format!(r#"{{"token":"{token}","expires_in":300}}"#))
    }
}

impl State {
    fn take_fault(&mut self, method: &Method, path: &str) -> Option<Act> {
        let matches = |fault: &&mut Fault| {
            fault.left > 0 && fault.method == *method && path.contains(&fault.path)
        };
        let fault = self.faults.iter_mut().find(matches)?;
        fault.left -= 1;
        Some(fault.act.clone())
    }

    fn allows(&self, auth: Auth, shown: Option<&str>, repo: &str, action: &str) -> bool {
        match auth {
            Auth::Open => true,
            Auth::Basic => shown == Some(&format!("Basic {}", STANDARD.encode("ann:pw"))),
            Auth::Bearer | Auth::ReadOnly => {
                let token = shown.and_then(|value| value.strip_prefix("Bearer "));
                let Some(scopes) = token.and_then(|token| self.tokens.get(token)) else {
                    return false;
                };
                let prefix = format!("repository:{repo}:");
                repo.is_empty()
                    || scopes.iter().any(|scope| {
                        let actions = scope.strip_prefix(&prefix);
                        actions.is_some_and(|actions| actions.split(',').any(|a| a == action))
                    })
            }
        }
    }
}
