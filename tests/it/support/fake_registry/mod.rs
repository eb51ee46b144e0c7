//! An image registry in memory that misbehaves on demand: [`FakeRegistry`].
//!
//! It keeps what it is given, checks references as a real one does, asks for credentials if
//! told to, and plays one scripted fault after the other. It speaks HTTP/1 on loopback, or
//! TLS with a certificate made for it.

mod auth;
mod referrers;
mod serve;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use mbuild::digest::Digest;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use serve::serve;

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
    /// Whether it lists what refers to an image.
    pub(crate) referrers: bool,
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
            referrers: false,
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
    /// Does its duty, and hangs up in the middle of the answer.
    Half,
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
    upload_count: usize,
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
        Self::start_on("127.0.0.1", setup).await
    }

    /// One that daemons reach too, at this address of this machine.
    pub(crate) async fn on(ip: &str) -> Self {
        Self::start_on(ip, Setup::default()).await
    }

    pub(crate) async fn start_on(ip: &str, setup: Setup) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
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

    /// `127.0.0.1:PORT`, or the other address that it was given.
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

    /// Forgets the requests so far.
    pub(crate) fn forget_seen(&self) {
        self.state().seen.clear();
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

    /// Points a tag to a manifest.
    pub(crate) fn put_tag(&self, repo: &str, tag: &str, digest: Digest) {
        let mut state = self.state();
        let tags = &mut state.repos.entry(repo.to_owned()).or_default().tags;
        tags.insert(tag.to_owned(), digest.to_string());
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

    pub(crate) fn blob(&self, repo: &str, digest: &str) -> Bytes {
        self.state().repos[repo].blobs[digest].clone()
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
