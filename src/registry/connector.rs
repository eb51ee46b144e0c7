//! The HTTP clients for one registry, made from its settings and certificates: [`Connector`].
//!
//! It knows how a request leaves, not what it is for; answers are judged by who asked.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Identity, RequestBuilder, Response, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::config::{RegistrySettings, Security, TlsFiles, is_loopback};
use super::error::{Problem, RegistryError};

/// How long a connection may take to come about.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a registry may be silent within a request.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// What we call ourselves.
pub(super) const USER_AGENT: &str = concat!("mbuild/", env!("CARGO_PKG_VERSION"));

/// The clients for one registry, and what they are made of.
///
/// Reading the system's authorities is two thirds of all that a cached build computes here (19 of
/// 30 million instructions), so a registry that speaks plain HTTP is spoken to by a client
/// without them, until TLS is needed.
pub(super) struct Connector {
    host: String,
    /// For plain HTTP; follows nobody to where TLS may be spoken. `None` where it is spoken anyway.
    plain: Option<Client>,
    whole: OnceCell<Client>,
    parts: Arc<Parts>,
    pub(super) security: Security,
    /// Authorities to trust beside the system's.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// Whether we have a certificate of our own to show.
    pub(super) has_identity: bool,
}

/// What clients are made of.
struct Parts {
    security: Security,
    is_loopback: bool,
    certificates: Vec<Certificate>,
    identity: Option<Identity>,
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
    /// Reads the certificates for `domain` and makes its first client, off the async threads.
    pub(super) async fn new(
        domain: &str,
        settings: &RegistrySettings,
    ) -> Result<Self, RegistryError> {
        let (settings, host) = (settings.clone(), domain.to_owned());
        let made = spawn_blocking(move || make(&host, &settings)).await;
        let made = made.map_err(|error| unusable(domain).because(error))?;
        made.map_err(|error| unusable(domain).because(error))
    }

    /// Sends the request that `make` makes for the address, without TLS where that is enough.
    pub(super) async fn send(
        &self,
        operation: &str,
        url: &Url,
        make: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, RegistryError> {
        let failed = |error| RegistryError::of_transport(&self.host, operation, error);
        if let Some(plain) = self.plain.as_ref().filter(|_| url.scheme() == "http") {
            let answer = make(plain).send().await.map_err(failed)?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
        }
        make(self.whole().await?).send().await.map_err(failed)
    }

    /// The client that can speak TLS; made off the async threads when it is first needed.
    pub(super) async fn whole(&self) -> Result<&Client, RegistryError> {
        let make = || async {
            let parts = Arc::clone(&self.parts);
            let made = spawn_blocking(move || parts.whole()).await;
            let made = made.map_err(|error| unusable(&self.host).because(error))?;
            made.map_err(|error| unusable(&self.host).because(error))
        };
        self.whole.get_or_try_init(make).await
    }
}

fn unusable(host: &str) -> RegistryError {
    let message = "its settings cannot be used";
    RegistryError::new(host, "prepare the connection", Problem::Settings, message)
}

fn make(host: &str, settings: &RegistrySettings) -> Result<Connector, ConnectorError> {
    let files = settings
        .tls_files(host)
        .map_err(|(file, source)| ConnectorError::Read { file, source })?;
    let authorities = authorities(&files)?;
    let parts = Parts {
        security: settings.security(host),
        is_loopback: is_loopback(host),
        certificates: authorities
            .iter()
            .map(|der| Certificate::from_der(der))
            .collect::<Result<_, _>>()?,
        identity: identity(&files)?,
    };
    let (plain, whole) = match parts.security {
        Security::Plain => (Some(parts.plain()?), OnceCell::new()),
        Security::Any | Security::Verified => (None, OnceCell::new_with(Some(parts.whole()?))),
    };
    Ok(Connector {
        host: host.to_owned(),
        plain,
        whole,
        security: parts.security,
        authorities,
        has_identity: parts.identity.is_some(),
        parts: Arc::new(parts),
    })
}

impl Parts {
    fn whole(&self) -> reqwest::Result<Client> {
        let certificates = self.certificates.clone();
        match (
            self.basis().tls_certs_merge(certificates).build(),
            self.security,
        ) {
            // A machine without any authorities (an image from scratch) can still speak plain HTTP.
            (Err(_), Security::Plain) => self.basis().tls_certs_only([]).build(),
            (client, _) => client,
        }
    }

    fn plain(&self) -> reqwest::Result<Client> {
        let basis = self.basis().redirect(Policy::none());
        basis.tls_certs_only([]).build()
    }

    fn basis(&self) -> ClientBuilder {
        let builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(SILENCE_LIMIT)
            .tls_danger_accept_invalid_certs(self.security == Security::Any);
        let builder = match &self.identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        };
        // As in Go's programs, the environment's proxies are not for loopback addresses.
        match self.is_loopback {
            true => builder.no_proxy(),
            false => builder,
        }
    }
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
