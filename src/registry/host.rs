//! One registry: its connection settings, how it wants to be shown credentials, and the
//! tokens it gave us: [`Host`].
//!
//! [`Host::send`] makes one request, answering one challenge; it does not try again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use reqwest::{Client, Response, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::OnceCell;

use super::challenge::Challenge;
use super::config::{RegistrySettings, Security, TlsFiles, endpoint};
use super::error::{Problem, RegistryError};
use super::token::{self, Token, TokenRequest};
use crate::credentials::{Credential, Credentials};
use crate::oci::media_type;

/// How long a connection may take to come about.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a registry may be silent within a request.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// How long a request about a manifest may take as a whole, slow trickles included.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// How much of a refusal is read.
const REFUSAL_LIMIT: usize = 64 << 10;
/// A token is no longer used this long before its end, so that a request that carries it
/// arrives in time.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

pub(super) const USER_AGENT: &str = concat!("mbuild/", env!("CARGO_PKG_VERSION"));

/// Access to one registry.
pub(super) struct Host {
    /// As the user writes it.
    pub(super) name: String,
    /// Host and port that requests go to.
    pub(super) endpoint: String,
    pub(super) security: Security,
    /// Authorities to trust beside the system's, as DER.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// Whether we have a certificate of our own to show.
    pub(super) has_identity: bool,
    http: Client,
    credentials: Arc<Credentials>,
    /// Whether credentials are known, for the advice after a refusal.
    known: AtomicBool,
    scheme: OnceCell<&'static str>,
    challenge: Mutex<Option<Challenge>>,
    /// Whether the registry had an occasion to make its challenge.
    greeted: OnceCell<()>,
    tokens: Mutex<HashMap<Vec<String>, (Token, Instant)>>,
    /// The client for blobs, made when the first one moves.
    pub(super) blobs: OnceCell<oci_client::Client>,
}

/// One request to a registry.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    /// What it is for, as in "cannot …".
    pub(super) operation: &'a str,
    pub(super) method: Method,
    /// The path from `/v2/` on, or a whole address that the registry gave us.
    pub(super) path: String,
    /// What a token must allow.
    pub(super) scopes: Vec<String>,
    /// The content and its type.
    pub(super) content: Option<(&'a str, Bytes)>,
}

impl Host {
    /// Reads the certificates for `domain` and prepares its client.
    pub(super) async fn new(
        domain: &str,
        settings: &RegistrySettings,
        credentials: Arc<Credentials>,
    ) -> Result<Self, RegistryError> {
        let failed = |message: String| {
            RegistryError::new(domain, "prepare the connection", Problem::Settings, message)
        };
        let (settings, host) = (settings.clone(), domain.to_owned());
        let security = settings.security(domain);
        let built = tokio::task::spawn_blocking(move || {
            let files = settings.tls_files(&host).map_err(|(file, error)| {
                (
                    format!("{} cannot be read", file.display()),
                    Some(error.into()),
                )
            })?;
            build(security, &files)
        });
        let built = built
            .await
            .map_err(|error| failed("its certificates".into()).because(error))?;
        let (http, authorities, has_identity) =
            built.map_err(|(message, cause): (String, Option<BoxError>)| match cause {
                Some(cause) => failed(message).because(cause),
                None => failed(message),
            })?;
        Ok(Self {
            name: domain.to_owned(),
            endpoint: endpoint(domain).to_owned(),
            security,
            authorities,
            has_identity,
            http,
            credentials,
            known: AtomicBool::new(false),
            scheme: OnceCell::new(),
            challenge: Mutex::default(),
            greeted: OnceCell::new(),
            tokens: Mutex::default(),
            blobs: OnceCell::new(),
        })
    }

    /// `https` or `http`; asked of the registry where both are allowed.
    pub(super) async fn scheme(&self) -> Result<&'static str, RegistryError> {
        let scheme = self.scheme.get_or_try_init(|| async {
            match self.security {
                Security::Verified => return Ok("https"),
                Security::Plain => return Ok("http"),
                Security::Any => {}
            }
            let Err(tls) = self.probe("https").await else {
                return Ok("https");
            };
            if !matches!(
                tls.problem,
                Problem::SpeaksHttp | Problem::Connect | Problem::Broken
            ) {
                return Err(tls);
            }
            // The first error tells more when neither works.
            self.probe("http").await.map_or(Err(tls), |()| Ok("http"))
        });
        scheme.await.copied()
    }

    async fn probe(&self, scheme: &str) -> Result<(), RegistryError> {
        let url = format!("{scheme}://{}/v2/", self.endpoint);
        let answer = self.http.get(url).timeout(CONNECT_LIMIT).send().await;
        let failed = |error| RegistryError::of_transport(&self.name, "connect", error);
        answer.map(drop).map_err(failed)
    }

    /// Makes one request; the answer has a status of success.
    ///
    /// # Errors
    ///
    /// When no whole answer came, or it is a refusal: told with its status, text and wish to
    /// wait.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let (url, own) = self.url(call).await?;
        let challenge = self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let authorization = self
            .authorization(challenge.as_ref(), &call.scopes, false)
            .await?;
        let authorization = authorization.filter(|_| own);
        let mut answer = self.attempt(call, url.clone(), authorization).await?;
        if own
            && answer.status() == StatusCode::UNAUTHORIZED
            && let Some(challenge) = Challenge::of(answer.headers())
        {
            *self
                .challenge
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
            let authorization = self
                .authorization(Some(&challenge), &call.scopes, true)
                .await?;
            if authorization.is_some() {
                answer = self.attempt(call, url, authorization).await?;
            }
        }
        if answer.status().is_success() {
            return Ok(answer);
        }
        let mut error = refusal(&self.name, call.operation, answer).await;
        if let Problem::Unauthorized { known } = &mut error.problem {
            *known = self.known.load(Ordering::Relaxed);
        }
        Err(error)
    }

    /// Gets a token as a daemon wants it.
    pub(super) async fn fetch_token(&self, request: &TokenRequest) -> Result<Token, RegistryError> {
        let credential = self.credential("get a token").await?;
        let plain = self.security != Security::Verified;
        token::exchange(&self.http, request, &credential, plain)
            .await
            .map_err(|mut error| {
                if let Problem::Unauthorized { known } = &mut error.problem {
                    *known = credential != Credential::Anonymous;
                }
                error
            })
    }

    /// The call's address, and whether it is the registry's own: an upload may continue at
    /// another host, which must not see our credentials.
    async fn url(&self, call: &Call<'_>) -> Result<(Url, bool), RegistryError> {
        let base = format!("{}://{}/", self.scheme().await?, self.endpoint);
        let url = Url::parse(&base).and_then(|base| Ok((base.join(&call.path)?, base)));
        let (url, base) = url.map_err(|error| {
            let message = "the address is not one";
            RegistryError::new(&self.name, call.operation, Problem::Settings, message)
                .because(error)
        })?;
        let own = url.origin() == base.origin();
        Ok((url, own))
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        url: Url,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let mut request = self
            .http
            .request(call.method.clone(), url)
            .timeout(REQUEST_LIMIT)
            .header(ACCEPT, media_type::ACCEPT.join(", "));
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        if let Some((media_type, bytes)) = &call.content {
            request = request
                .header(CONTENT_TYPE, *media_type)
                .body(bytes.clone());
        }
        request
            .send()
            .await
            .map_err(|error| RegistryError::of_transport(&self.name, call.operation, error))
    }

    /// The value that answers `challenge`; `None` when there is nothing to show.
    async fn authorization(
        &self,
        challenge: Option<&Challenge>,
        scopes: &[String],
        fresh: bool,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let text = match challenge {
            None => return Ok(None),
            Some(Challenge::Basic) => match self.credential("show credentials").await? {
                Credential::Basic { username, secret } => {
                    format!("Basic {}", STANDARD.encode(format!("{username}:{secret}")))
                }
                Credential::RegistryToken(token) => format!("Bearer {token}"),
                Credential::IdentityToken(_) | Credential::Anonymous => return Ok(None),
            },
            Some(Challenge::Bearer { .. }) => {
                format!(
                    "Bearer {}",
                    self.token(challenge, scopes, fresh).await?.secret
                )
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            let message = "the credentials hold characters that cannot be sent";
            RegistryError::new(
                &self.name,
                "show credentials",
                Problem::Credentials,
                message,
            )
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// A token for `scopes`: one that we have, unless it is about to end or `fresh` is set.
    async fn token(
        &self,
        challenge: Option<&Challenge>,
        scopes: &[String],
        fresh: bool,
    ) -> Result<Token, RegistryError> {
        let Some(Challenge::Bearer { realm, service, .. }) = challenge else {
            let message = "it has not said where to get a token";
            return Err(RegistryError::new(
                &self.name,
                "get a token",
                Problem::Answer,
                message,
            ));
        };
        let have = self
            .tokens
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(scopes)
            .cloned();
        if let Some((token, until)) = have
            && !fresh
            && Instant::now() < until
        {
            return Ok(token);
        }
        let request = TokenRequest {
            host: self.name.clone(),
            realm: realm.clone(),
            service: service.clone(),
            scopes: scopes.to_vec(),
            client_id: String::new(),
        };
        let token = self.fetch_token(&request).await?;
        let until = Instant::now() + token.life.saturating_sub(TOKEN_MARGIN);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(scopes.to_vec(), (token.clone(), until));
        Ok(token)
    }

    /// What the blob client needs to show for `scopes`; `None` for nothing.
    pub(super) async fn login(
        &self,
        scopes: &[String],
    ) -> Result<Option<oci_client::token_cache::RegistryTokenType>, RegistryError> {
        use oci_client::token_cache::{RegistryToken, RegistryTokenType};
        self.greeted.get_or_try_init(|| self.greet(scopes)).await?;
        let challenge = self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok(match challenge {
            None => None,
            Some(Challenge::Basic) => match self.credential("show credentials").await? {
                Credential::Basic { username, secret } => {
                    Some(RegistryTokenType::Basic(username, secret))
                }
                Credential::RegistryToken(token) => {
                    Some(RegistryTokenType::Bearer(RegistryToken::Token { token }))
                }
                Credential::IdentityToken(_) | Credential::Anonymous => None,
            },
            Some(Challenge::Bearer { .. }) => {
                let token = self.token(challenge.as_ref(), scopes, false).await?.secret;
                Some(RegistryTokenType::Bearer(RegistryToken::Token { token }))
            }
        })
    }

    /// Lets the registry say how it wants to be shown credentials.
    async fn greet(&self, scopes: &[String]) -> Result<(), RegistryError> {
        let call = Call {
            operation: "connect",
            method: Method::GET,
            path: "/v2/".to_owned(),
            scopes: scopes.to_vec(),
            content: None,
        };
        match self.send(&call).await {
            // What it refuses here it may grant for a repository.
            Err(error) if error.status.is_none() || error.is_temporary() => Err(error),
            _ => Ok(()),
        }
    }

    async fn credential(&self, operation: &str) -> Result<Credential, RegistryError> {
        let credential = self.credentials.lookup(&self.name).await.map_err(|error| {
            let message = "the credentials for it cannot be read";
            RegistryError::new(&self.name, operation, Problem::Credentials, message).because(error)
        })?;
        self.known
            .store(credential != Credential::Anonymous, Ordering::Relaxed);
        Ok(credential)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Built = (Client, Vec<CertificateDer<'static>>, bool);

/// Makes the client; the error is a message and its cause.
fn build(security: Security, files: &TlsFiles) -> Result<Built, (String, Option<BoxError>)> {
    let mut authorities = Vec::new();
    for (file, pem) in &files.authorities {
        let bad = |error: BoxError| (format!("{} is not a PEM file", file.display()), Some(error));
        let before = authorities.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            authorities.push(certificate.map_err(|error| bad(error.into()))?);
        }
        if authorities.len() == before {
            return Err((format!("{} holds no certificate", file.display()), None));
        }
    }
    let identity = match &files.identity {
        Some((file, pem)) => Some(reqwest::Identity::from_pem(pem).map_err(|error| {
            let message = format!("{} and its key cannot be used", file.display());
            (message, Some(error.into()))
        })?),
        None => None,
    };
    let has_identity = identity.is_some();
    let failed = |error: reqwest::Error| ("its client".to_owned(), Some(error.into()));
    let certificates = authorities
        .iter()
        .map(|der| reqwest::Certificate::from_der(der))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let builder = || {
        let builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(SILENCE_LIMIT)
            .tls_danger_accept_invalid_certs(security == Security::Any);
        match &identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
    };
    let client = builder().tls_certs_merge(certificates).build();
    let client = match (client, security) {
        // A machine without any authorities (an image from scratch) can still speak plain HTTP.
        (Err(_), Security::Plain) => builder().tls_certs_only([]).build(),
        (client, _) => client,
    };
    Ok((client.map_err(failed)?, authorities, has_identity))
}

/// Reads an answer that is a refusal into an error.
pub(super) async fn refusal(host: &str, operation: &str, answer: Response) -> RegistryError {
    let status = answer.status().as_u16();
    let retry_after = retry_after(answer.headers(), Timestamp::now());
    // The refusal counts; if its text breaks off, there is less to say.
    let text = body(host, operation, answer, REFUSAL_LIMIT)
        .await
        .unwrap_or_default();
    let mut error = RegistryError::of_status(host, operation, status, &text);
    error.retry_after = retry_after;
    error
}

/// Reads an answer's body of at most `limit` bytes.
pub(super) async fn body(
    host: &str,
    operation: &str,
    mut answer: Response,
    limit: usize,
) -> Result<Bytes, RegistryError> {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > limit => {
                let message = format!("its answer is larger than {limit} bytes");
                return Err(RegistryError::new(
                    host,
                    operation,
                    Problem::Answer,
                    message,
                ));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes.into()),
            Err(error) => return Err(RegistryError::of_transport(host, operation, error)),
        }
    }
}

/// The wait that a refusal asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_date() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let check = |text: &'static str, expect: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            assert_eq!(
                retry_after(&headers, now),
                expect.map(Duration::from_secs),
                "{text}"
            );
        };
        check("7", Some(7));
        check("Fri, 02 Jan 2026 03:04:15 GMT", Some(10));
        check("Fri, 02 Jan 2026 03:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
