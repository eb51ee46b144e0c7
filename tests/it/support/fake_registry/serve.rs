//! What the registry answers: faults first, then manifests, blobs and uploads.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mbuild::digest::Digest;
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Act, Fault, Seen, Shared, State};

pub(super) type Body = BoxBody<Bytes, io::Error>;

pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let server = hyper::server::conn::http1::Builder::new();
    // A client that hangs up is none of the server's concern.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

pub(super) fn plain(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into())
        .map_err(|never| match never {})
        .boxed();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

pub(super) fn with(
    mut response: Response<Body>,
    headers: &[(&'static str, String)],
) -> Response<Body> {
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

pub(super) fn refuse(status: u16, code: &str) -> Response<Body> {
    plain(
        status,
        format!(r#"{{"errors":[{{"code":"{code}","message":"no luck"}}]}}"#),
    )
}

/// Where a request wants to begin to read: `bytes=5-`.
fn start_of(headers: &HeaderMap) -> Option<usize> {
    let range = headers.get("range")?.to_str().unwrap();
    range
        .strip_prefix("bytes=")?
        .split('-')
        .next()?
        .parse()
        .ok()
}

/// The same answer, which breaks off in the middle.
async fn half(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    head.headers.insert("content-length", bytes.len().into());
    let first = bytes.slice(..bytes.len() / 2);
    let begun = stream::once(async { Ok(Frame::data(first)) });
    // What was begun is sent while this waits; an error at once would take it back.
    let cut = stream::once(async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(io::Error::other("cut"))
    });
    let frames = stream::StreamExt::chain(begun, cut);
    let body = StreamBody::new(frames);
    Response::from_parts(head, body.boxed())
}

fn pairs(query: &str) -> BTreeMap<String, String> {
    let url = Url::parse(&format!("http://x/?{query}")).unwrap();
    url.query_pairs()
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect()
}

/// What a request is about, taken from its path.
pub(super) struct Target<'a> {
    pub(super) repo: &'a str,
    kind: &'a str,
    name: &'a str,
}

impl<'a> Target<'a> {
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2/")?;
        for kind in ["/manifests/", "/referrers/", "/blobs/uploads/", "/blobs/"] {
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
            Some(Act::Forget) => {
                let digest = Digest::of(&bytes).to_string();
                return with(plain(201, ""), &[("docker-content-digest", digest)]);
            }
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
            Some(Act::Lie | Act::Half) | None => {}
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
            Some(Act::Half) => half(response).await,
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
            ("/referrers/", _) => self.list_referrers(target.repo, target.name),
            ("/blobs/", _) => {
                let state = self.state.lock().unwrap();
                let found = state
                    .repos
                    .get(target.repo)
                    .and_then(|r| r.blobs.get(target.name));
                found.map_or_else(
                    || refuse(404, "BLOB_UNKNOWN"),
                    |blob| match start_of(headers) {
                        Some(start) => plain(206, blob.slice(start.min(blob.len())..)),
                        None => plain(200, blob.clone()),
                    },
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
                state.upload_count += 1;
                let id = format!("upload-{}", state.upload_count);
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
                let headers = [("location", at), ("docker-content-digest", digest)];
                with(plain(201, ""), &headers)
            }
            "DELETE" => {
                let known = state.uploads.remove(target.name).is_some();
                plain(if known { 204 } else { 404 }, "")
            }
            _ => refuse(405, "UNSUPPORTED"),
        }
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
}
