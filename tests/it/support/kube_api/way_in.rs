//! How clients find the double and get in: its port, kubeconfig files, and what a pod is given.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use mbuild::buildkit::dial::TlsFiles;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::serve::{Peer, serve};
use super::{Door, KubeApi, Shared};
use crate::support::authority::{Authority, Clients};

/// The TLS of a door; `None` for plain HTTP.
pub(super) fn acceptor(door: Door, authority: &Authority) -> Option<TlsAcceptor> {
    let clients = match door {
        Door::Plain => return None,
        Door::Tls => Clients::Anybody,
        Door::Certificate => Clients::Asked,
    };
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"];
    let tls = authority.server(&names, 4096, clients, "http/1.1");
    Some(TlsAcceptor::from(Arc::new(tls)))
}

/// Takes connections for ever.
pub(super) async fn listen(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let Some(acceptor) = acceptor else {
                let peer = Peer {
                    is_certified: false,
                };
                return serve(stream, peer, shared).await;
            };
            if let Ok(stream) = acceptor.accept(stream).await {
                let is_certified = stream.get_ref().1.peer_certificates().is_some();
                serve(stream, Peer { is_certified }, shared).await;
            }
        });
    }
}

impl KubeApi {
    /// Its address.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.shared.door {
            Door::Plain => "http",
            _ => "https",
        };
        format!("{scheme}://127.0.0.1:{}", self.shared.port)
    }

    /// The port of 127.0.0.1 on which it is.
    pub(crate) fn port(&self) -> u16 {
        self.shared.port
    }

    /// The token that lets in.
    pub(crate) fn token(&self) -> &str {
        &self.shared.token
    }

    /// Writes a kubeconfig file with one context of this name, in a namespace.
    pub(crate) fn kubeconfig(&self, path: &Path, context: &str, namespace: &str) {
        let dir = path.parent().unwrap();
        fs::create_dir_all(dir).unwrap();
        let mut cluster = format!("server: {}", self.url());
        if self.shared.door != Door::Plain {
            fs::write(dir.join("kube-ca.pem"), self.authority.pem()).unwrap();
            cluster += ", certificate-authority: kube-ca.pem";
        }
        let user = match self.shared.door {
            Door::Certificate => {
                let (cert, key) = self.authority.sign(&["client"], 4096);
                fs::write(dir.join("kube-client.pem"), cert.pem()).unwrap();
                fs::write(dir.join("kube-client.key"), key.serialize_pem()).unwrap();
                "client-certificate: kube-client.pem, client-key: kube-client.key".to_owned()
            }
            _ => format!("token: {}", self.token()),
        };
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {context}\n\
             clusters:\n- name: c\n  cluster: {{{cluster}}}\n\
             users:\n- name: u\n  user: {{{user}}}\n\
             contexts:\n- name: {context}\n  context: {{cluster: c, user: u, namespace: {namespace}}}\n"
        );
        fs::write(path, text).unwrap();
    }

    /// Writes what a pod in a namespace finds of its service account.
    pub(crate) fn service_account(&self, dir: &Path, namespace: &str) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("token"), self.token()).unwrap();
        fs::write(dir.join("ca.crt"), self.authority.pem()).unwrap();
        fs::write(dir.join("namespace"), namespace).unwrap();
    }

    /// Lets daemons speak mutual TLS on their port, and listen on their own addresses, in pods
    /// to come; writes the files that a client needs.
    pub(crate) fn mutual_tls(&self, dir: &Path) -> TlsFiles {
        let authority = Arc::new(Authority::new());
        let (cert, key) = authority.sign(&["client"], 4096);
        fs::create_dir_all(dir).unwrap();
        let write = |name: &str, text: String| {
            fs::write(dir.join(name), text).unwrap();
            Some(dir.join(name))
        };
        let files = TlsFiles {
            ca: write("ca.crt", authority.pem()),
            cert: write("tls.crt", cert.pem()),
            key: write("tls.key", key.serialize_pem()),
            server_name: None,
        };
        self.world(|world| world.cluster.tls = Some(authority));
        files
    }
}
