//! One registry: [`Host`], which makes one request at a time for anybody who asks.
//!
//! [`Host::send`] answers one challenge and turns a refusal into an error; it does not try
//! again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Method, StatusCode};
use reqwest::{Client, Response, Url};
use tokio::sync::OnceCell;

use super::answer::refusal;
use super::challenge::Challenge;
use super::config::{RegistrySettings, Security, endpoint};
use super::connector::{CONNECT_LIMIT, Connector};
use super::error::{Problem, RegistryError};
use super::login::{Login, Shown};
use crate::credentials::Credentials;
use crate::oci::media_type;

/// How long a request about a manifest may take as a whole, slow trickles included.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// Access to one registry.
pub(super) struct Host {
    /// As the user writes it.
    pub(super) name: String,
    /// Host and port that requests go to.
    pub(super) endpoint: String,
    pub(super) connector: Arc<Connector>,
    pub(super) login: Login,
    scheme: OnceCell<&'static str>,
    /// Whether the registry had an occasion to make its challenge.
    greeted: OnceCell<()>,
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
    /// The content's type and the content.
    pub(super) content: Option<(&'a str, Bytes)>,
}

impl Host {
    /// Reads the certificates for `domain` and prepares its client.
    pub(super) async fn new(
        domain: &str,
        settings: &RegistrySettings,
        credentials: Arc<Credentials>,
    ) -> Result<Self, RegistryError> {
        let connector = Arc::new(Connector::new(domain, settings).await?);
        let plain = connector.security != Security::Verified;
        Ok(Self {
            name: domain.to_owned(),
            endpoint: endpoint(domain).to_owned(),
            login: Login::new(domain, Arc::clone(&connector), plain, credentials),
            connector,
            scheme: OnceCell::new(),
            greeted: OnceCell::new(),
            blobs: OnceCell::new(),
        })
    }

    /// `https` or `http`; asked of the registry where both are allowed.
    pub(super) async fn scheme(&self) -> Result<&'static str, RegistryError> {
        let scheme = self.scheme.get_or_try_init(|| async {
            match self.connector.security {
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
        let operation = "connect";
        let url = self.address(operation, &format!("{scheme}://{}/v2/", self.endpoint), "")?;
        let get = |http: &Client| http.get(url.clone()).timeout(CONNECT_LIMIT);
        self.connector.send(operation, &url, get).await.map(drop)
    }

    /// Makes one request; the answer has a status of success.
    ///
    /// # Errors
    ///
    /// When no whole answer came, or it is a refusal: told with its status, text and wish to
    /// wait.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let (url, own) = self.url(call).await?;
        let shown = if own {
            self.login.show(&call.scopes).await?
        } else {
            None
        };
        let mut answer = self.attempt(call, url.clone(), shown).await?;
        if own
            && answer.status() == StatusCode::UNAUTHORIZED
            && let Some(challenge) = Challenge::of(answer.headers())
        {
            self.login.learn(challenge, &call.scopes);
            let shown = self.login.show(&call.scopes).await?;
            if shown.is_some() {
                answer = self.attempt(call, url, shown).await?;
            }
        }
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self
            .login
            .explain(refusal(&self.name, call.operation, answer).await))
    }

    /// What to show in requests that others make for us; `None` for nothing.
    pub(super) async fn login(&self, scopes: &[String]) -> Result<Option<Shown>, RegistryError> {
        self.greeted.get_or_try_init(|| self.greet(scopes)).await?;
        self.login.show(scopes).await
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

    /// The call's address, and whether it is the registry's own: an upload may continue at
    /// another host, which must not see our credentials.
    async fn url(&self, call: &Call<'_>) -> Result<(Url, bool), RegistryError> {
        let base = format!("{}://{}/", self.scheme().await?, self.endpoint);
        let url = self.address(call.operation, &base, &call.path)?;
        let own = url.origin() == self.address(call.operation, &base, "")?.origin();
        Ok((url, own))
    }

    fn address(&self, operation: &str, base: &str, path: &str) -> Result<Url, RegistryError> {
        let url = Url::parse(base).and_then(|base| base.join(path));
        url.map_err(|error| {
            let message = "the address is not one";
            RegistryError::new(&self.name, operation, Problem::Settings, message).because(error)
        })
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        url: Url,
        shown: Option<Shown>,
    ) -> Result<Response, RegistryError> {
        let shown = shown.map(|shown| shown.header(&self.name)).transpose()?;
        let make = |http: &Client| {
            let mut request = http
                .request(call.method.clone(), url.clone())
                .timeout(REQUEST_LIMIT)
                .header(ACCEPT, media_type::ACCEPT.join(", "));
            if let Some(shown) = &shown {
                request = request.header(AUTHORIZATION, shown.clone());
            }
            if let Some((media_type, bytes)) = &call.content {
                request = request
                    .header(CONTENT_TYPE, *media_type)
                    .body(bytes.clone());
            }
            request
        };
        self.connector.send(call.operation, &url, make).await
    }
}
