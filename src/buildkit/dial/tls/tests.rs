//! Handshakes with a server that presents what a careless person would set up.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key.
struct Pair {
    cert: rcgen::Certificate,
    key: KeyPair,
}

fn signed(by: &Authority, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "buildkitd");
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, by).unwrap();
    Pair { cert, key }
}

/// Serves one connection: says `hi` after the handshake. Asks for a client's certificate if
/// `clients` is given.
async fn server(pair: &Pair, clients: Option<&Authority>) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.key.serialize_der()));
    let mut config = builder
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![H2.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
            let _ = stream.write_all(b"hi").await;
            let _ = stream.read_u8().await;
        }
    });
    address
}

/// The files of a client that trusts `authority`.
struct Client {
    folder: tempfile::TempDir,
    files: TlsFiles,
}

impl Client {
    fn trusting(authority: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut client = Self {
            folder,
            files: TlsFiles::default(),
        };
        client.files.ca = Some(client.write("ca.pem", &authority.pem()));
        client
    }

    fn with(mut self, pair: &Pair) -> Self {
        self.files.cert = Some(self.write("cert.pem", &pair.cert.pem()));
        self.files.key = Some(self.write("key.pem", &pair.key.serialize_pem()));
        self
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn dialer(&self, address: SocketAddr) -> TlsDialer {
        let address = HostPort {
            host: address.ip().to_string(),
            port: address.port(),
        };
        TlsDialer::new(&address, format!("tcp://{address}"), &self.files, H2)
    }

    async fn refusal(&self, address: SocketAddr) -> TlsError {
        match self.dialer(address).dial().await {
            Err(DialError::Tls { source, .. }) => source,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("that is not acceptable"),
        }
    }

    /// The error of the first read, which is where TLS 1.3 tells of a refused client.
    async fn refusal_at_read(&self, address: SocketAddr) -> String {
        let mut stream = self.dialer(address).dial().await.unwrap();
        stream.read_u8().await.unwrap_err().to_string()
    }
}

#[tokio::test]
async fn both_sides_with_certificates_are_connected() {
    let authority = authority();
    let address = server(
        &signed(&authority, &["127.0.0.1"], |_| ()),
        Some(&authority),
    )
    .await;
    let client = Client::trusting(&authority).with(&signed(&authority, &["client"], |_| ()));
    let dialer = client.dialer(address);
    assert_eq!(
        dialer.terms().origin,
        format!("https://127.0.0.1:{}", address.port())
    );
    let mut stream = dialer.dial().await.unwrap();
    let mut text = [0; 2];
    stream.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"hi");
}

#[tokio::test]
async fn the_server_name_may_differ_from_the_host() {
    let authority = authority();
    let pair = signed(&authority, &["buildkit.example"], |_| ());
    let mut client = Client::trusting(&authority);
    let error = client.refusal(server(&pair, None).await).await;
    assert_eq!(
        error.to_string(),
        "the daemon's certificate is not for `127.0.0.1` but for buildkit.example"
    );
    assert!(
        error
            .hint()
            .unwrap()
            .ends_with("tls.server_name = \"buildkit.example\"")
    );
    client.files.server_name = Some("buildkit.example".into());
    let address = server(&pair, None).await;
    client.dialer(address).dial().await.unwrap();
    let origin = client.dialer(address).terms().origin;
    assert_eq!(
        origin,
        format!("https://buildkit.example:{}", address.port())
    );
}

#[tokio::test]
async fn a_certificate_with_a_common_name_only_is_explained() {
    let authority = authority();
    let address = server(&signed(&authority, &[], |_| ()), None).await;
    let error = Client::trusting(&authority).refusal(address).await;
    assert!(
        matches!(error, TlsError::CommonNameOnly { .. }),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("subjectAltName"));
}

#[tokio::test]
async fn certificates_out_of_date_are_told_apart() {
    let authority = authority();
    let old = signed(&authority, &["127.0.0.1"], |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    });
    let error = Client::trusting(&authority)
        .refusal(server(&old, None).await)
        .await;
    assert!(matches!(error, TlsError::Expired), "{error:?}");
    let early = signed(&authority, &["127.0.0.1"], |params| {
        params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    });
    let error = Client::trusting(&authority)
        .refusal(server(&early, None).await)
        .await;
    assert!(matches!(error, TlsError::NotYetValid), "{error:?}");
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let ours = authority();
    let theirs = authority();
    let address = server(&signed(&theirs, &["127.0.0.1"], |_| ()), None).await;
    let error = Client::trusting(&ours).refusal(address).await;
    assert!(matches!(error, TlsError::UnknownAuthority), "{error:?}");
    assert_eq!(
        error.hint().unwrap(),
        "set tls.ca to the authority's certificate"
    );
}

#[tokio::test]
async fn a_client_without_a_certificate_is_told_to_have_one() {
    let authority = authority();
    let address = server(
        &signed(&authority, &["127.0.0.1"], |_| ()),
        Some(&authority),
    )
    .await;
    let text = Client::trusting(&authority).refusal_at_read(address).await;
    assert_eq!(text, "the daemon asks for a client certificate");
}

#[tokio::test]
async fn a_client_with_the_wrong_certificate_is_told_so() {
    let ours = authority();
    let theirs = authority();
    let address = server(&signed(&ours, &["127.0.0.1"], |_| ()), Some(&ours)).await;
    let client = Client::trusting(&ours).with(&signed(&theirs, &["client"], |_| ()));
    let text = client.refusal_at_read(address).await;
    assert!(
        text.starts_with("the daemon refuses the client's certificate"),
        "{text}"
    );
}

#[tokio::test]
async fn a_port_without_tls_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // What an HTTP/2 server says first.
        stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = Client::trusting(&authority()).refusal(address).await;
    assert!(matches!(error, TlsError::NotTls), "{error:?}");
}
