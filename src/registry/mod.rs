//! Registries: what the client itself asks of them, beside what the daemons push.
//!
//! [`Registries`] hands out one [`Repository`] per image name; that one checks, reads and
//! writes manifests, and copies images between repositories. Requests are tried again here
//! and nowhere above. What is read is verified against its digest.
//!
//! Blobs go through the `oci-client` package (`blobs`): upload sessions, mounts, streams.
//! Everything whose answer decides something goes over `reqwest`, which that package uses
//! itself, because through it (0.18) one cannot have: `Retry-After` and the status of a
//! refusal; client certificates; identity tokens and tokens for two repositories; the
//! reason of a refused token; the push of a manifest by digest to a registry that answers
//! without `Location` (it panics).

mod answer;
mod blob_client;
mod blobs;
mod challenge;
mod check;
mod config;
mod connector;
mod copy;
mod error;
mod host;
mod login;
mod referrers;
mod repository;
mod token;
mod transfer;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

pub use config::RegistrySettings;
pub use error::{Problem, RegistryError};
pub use referrers::{Keeper, Referrers, referrers_tag};
pub use repository::{At, Manifest, Repository};
pub use token::{Token, TokenRequest};

use crate::credentials::Credentials;
use crate::reference::ImageRef;
use crate::retry::{Backoff, retry};
use host::Host;

/// All registries that a run talks to; connections and tokens are shared.
pub struct Registries {
    settings: RegistrySettings,
    credentials: Arc<Credentials>,
    backoff: Backoff,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

impl Registries {
    /// Prepares access; talks to nobody yet.
    ///
    /// The process needs a default TLS provider by the time a host is first used.
    pub fn new(settings: RegistrySettings, credentials: Arc<Credentials>) -> Self {
        Self {
            settings,
            credentials,
            backoff: Backoff::REGISTRY,
            hosts: Mutex::default(),
        }
    }

    /// Changes how often requests are tried again.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Gives access to the repository that `image` names; its tag and digest don't matter.
    ///
    /// # Errors
    ///
    /// When a certificate file of that registry cannot be used.
    pub async fn repository(&self, image: &ImageRef) -> Result<Repository, RegistryError> {
        let host = self.host(image.domain()).await?;
        Ok(Repository::new(host, image.path(), self.backoff))
    }

    /// Fetches a token from a registry's token service, for a daemon that asks for one.
    pub async fn fetch_token(&self, request: &TokenRequest) -> Result<Token, RegistryError> {
        let host = self.host(&request.host).await?;
        retry(
            Backoff::CHECK,
            || host.login.fetch_token(request),
            RegistryError::verdict,
        )
        .await
    }

    async fn host(&self, domain: &str) -> Result<Arc<Host>, RegistryError> {
        let mut hosts = self.hosts.lock().await;
        if let Some(host) = hosts.get(domain) {
            return Ok(Arc::clone(host));
        }
        let host = Host::new(domain, &self.settings, Arc::clone(&self.credentials)).await?;
        let host = Arc::new(host);
        hosts.insert(domain.to_owned(), Arc::clone(&host));
        Ok(host)
    }
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registries")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
