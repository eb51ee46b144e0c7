//! Makes the HTTP client for one registry from its settings and certificates:
//! [`Connector`]. Opens no connection.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Identity};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};

use super::config::{RegistrySettings, Security, TlsFiles, is_loopback};
use super::error::{Problem, RegistryError};

/// How long a connection may take to come about.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a registry may be silent within a request.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// What we call ourselves.
pub(super) const USER_AGENT: &str = concat!("mbuild/", env!("CARGO_PKG_VERSION"));

/// A client, and what it was made of.
pub(super) struct Connector {
    pub(super) http: Client,
    pub(super) security: Security,
    /// Authorities to trust beside the system's.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// Whether we have a certificate of our own to show.
    pub(super) has_identity: bool,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
enum ConnectorError {
    #[error("{} cannot be read", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} is not a PEM file", file.display())]
    Pem { file: PathBuf, source: pem::Error },
    #[error("{} holds no certificate", file.display())]
    NoCertificate { file: PathBuf },
    #[error("{} and its key cannot be used", file.display())]
    Identity {
        file: PathBuf,
        source: reqwest::Error,
    },
    #[error("the client cannot be made")]
    Client(#[from] reqwest::Error),
}

impl Connector {
    /// Reads the certificates for `domain` and makes its client, off the async threads.
    pub(super) async fn new(
        domain: &str,
        settings: &RegistrySettings,
    ) -> Result<Self, RegistryError> {
        let failed = RegistryError::new(
            domain,
            "prepare the connection",
            Problem::Settings,
            "its settings cannot be used",
        );
        let (settings, host) = (settings.clone(), domain.to_owned());
        match tokio::task::spawn_blocking(move || make(&host, &settings)).await {
            Ok(Ok(connector)) => Ok(connector),
            Ok(Err(error)) => Err(failed.because(error)),
            Err(error) => Err(failed.because(error)),
        }
    }
}

fn make(host: &str, settings: &RegistrySettings) -> Result<Connector, ConnectorError> {
    let files = settings
        .tls_files(host)
        .map_err(|(file, source)| ConnectorError::Read { file, source })?;
    let security = settings.security(host);
    let authorities = authorities(&files)?;
    let certificates = authorities
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<Result<Vec<_>, _>>()?;
    let identity = identity(&files)?;
    let basis = || {
        let builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(SILENCE_LIMIT)
            .tls_danger_accept_invalid_certs(security == Security::Any);
        let builder = match &identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        };
        // As in Go's programs, the environment's proxies are not for loopback addresses.
        if is_loopback(host) {
            builder.no_proxy()
        } else {
            builder
        }
    };
    let http = match (basis().tls_certs_merge(certificates).build(), security) {
        // A machine without any authorities (an image from scratch) can still speak plain HTTP.
        (Err(_), Security::Plain) => ClientBuilder::tls_certs_only(basis(), []).build(),
        (client, _) => client,
    };
    Ok(Connector {
        http: http?,
        security,
        authorities,
        has_identity: identity.is_some(),
    })
}

fn authorities(files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, ConnectorError> {
    let mut all = Vec::new();
    for (file, text) in &files.authorities {
        let before = all.len();
        for certificate in CertificateDer::pem_slice_iter(text) {
            let bad = |source| ConnectorError::Pem {
                file: file.clone(),
                source,
            };
            all.push(certificate.map_err(bad)?);
        }
        if all.len() == before {
            return Err(ConnectorError::NoCertificate { file: file.clone() });
        }
    }
    Ok(all)
}

fn identity(files: &TlsFiles) -> Result<Option<Identity>, ConnectorError> {
    let Some((file, text)) = &files.identity else {
        return Ok(None);
    };
    let bad = |source| ConnectorError::Identity {
        file: file.clone(),
        source,
    };
    Identity::from_pem(text).map(Some).map_err(bad)
}
