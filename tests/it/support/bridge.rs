//! Makes buildkitds out of a Docker engine: listens as buildkitd does, on a unix socket or on
//! TCP with or without TLS, and carries each connection to the engine's upgraded stream.
//!
//! So what only a buildkitd has, sessions inside `Control.Session` above all, is tested
//! against a real daemon where there are engines only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mbuild::buildkit::Connection;
use mbuild::buildkit::dial::{Dial, TlsFiles, dialer};
use mbuild::buildkit::endpoint::Endpoint;
use mbuild::buildkit::io::Io;
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::authority::{Authority, Clients};

/// A running bridge; dropping it ends it.
pub(crate) struct Bridge {
    /// `tcp://127.0.0.1:port`, or `unix:///path`
    pub(crate) endpoint: Endpoint,
    /// The files a client needs; `None` without TLS.
    pub(crate) tls: Option<TlsFiles>,
    _folder: Option<tempfile::TempDir>,
    _stop: DropGuard,
}

impl Bridge {
    /// Listens without TLS.
    pub(crate) async fn plain(engine: &Endpoint) -> Self {
        Self::listen(engine, None).await
    }

    /// Listens on a unix socket.
    pub(crate) async fn unix(engine: &Endpoint, path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let endpoint = format!("unix://{}", path.display()).parse().unwrap();
        let engine: Arc<dyn Dial> = Arc::from(dialer(engine, None));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let carry = carry(stream, Arc::clone(&engine));
                tokio::spawn(stopped.clone().run_until_cancelled_owned(carry));
            }
        }));
        Self::running(endpoint, stop)
    }

    /// Listens with TLS and asks for a client's certificate.
    pub(crate) async fn mutual_tls(engine: &Endpoint) -> Self {
        Self::mutual_tls_until(engine, 4096).await
    }

    /// The same with a certificate of the daemon's that expires in that year.
    pub(crate) async fn mutual_tls_until(engine: &Endpoint, year: i32) -> Self {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| -> Option<PathBuf> {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let (cert, key) = authority.sign(&["client"], 4096);
        let files = TlsFiles {
            ca: write("ca.pem", &authority.pem()),
            cert: write("cert.pem", &cert.pem()),
            key: write("key.pem", &key.serialize_pem()),
            server_name: Some("buildkitd".into()),
        };
        let tls = authority.server(&["buildkitd"], year, Clients::Certified, "h2");
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let mut bridge = Self::listen(engine, Some(acceptor)).await;
        bridge.tls = Some(files);
        bridge._folder = Some(folder);
        bridge
    }

    async fn listen(engine: &Endpoint, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let engine: Arc<dyn Dial> = Arc::from(dialer(engine, None));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (engine, tls) = (Arc::clone(&engine), tls.clone());
                let carry = async move {
                    match tls {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                carry(stream, engine).await;
                            }
                        }
                        None => carry(stream, engine).await,
                    }
                };
                tokio::spawn(stopped.clone().run_until_cancelled_owned(carry));
            }
        }));
        Self::running(endpoint, stop)
    }

    fn running(endpoint: Endpoint, stop: CancellationToken) -> Self {
        Self {
            endpoint,
            tls: None,
            _folder: None,
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) async fn connect(&self) -> Connection {
        let dialer = dialer(&self.endpoint, self.tls.as_ref());
        Connection::open(Arc::from(dialer)).await.unwrap()
    }
}

async fn carry(mut near: impl Io, engine: Arc<dyn Dial>) {
    let mut far = engine.dial().await.unwrap();
    let _ = tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, 65536, 65536).await;
}
