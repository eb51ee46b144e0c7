//! Tokens that are fetched on our side, so that daemons see no password: [`TokenFetcher`].
//!
//! Types only; who speaks HTTP implements the trait. `Debug` output shows no token.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::TokenSeeds;

/// What a token is wanted for: a registry's challenge, as the daemon met it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// The registry: `host` or `host:port`.
    pub host: String,
    /// The URL of the token server.
    pub realm: String,
    /// The registry's name for itself.
    pub service: String,
    /// What the token should allow, such as `repository:app:pull,push`.
    pub scopes: Vec<String>,
    /// What the client calls itself.
    pub client_id: String,
}

/// What a token server gave.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub token: String,
    /// How long it is good for, in seconds; `None` when the server doesn't say.
    pub expires_in: Option<i64>,
    /// When it was issued, in Unix seconds; `None` when the server doesn't say.
    pub issued_at: Option<i64>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires_in", &self.expires_in)
            .field("issued_at", &self.issued_at)
            .finish_non_exhaustive()
    }
}

/// Gets tokens from token servers.
#[async_trait::async_trait]
pub trait TokenFetcher: Send + Sync {
    /// Exchanges the login for the registry, if there is one, for a token, within a time limit
    /// of its own.
    ///
    /// The realm comes from the daemon: whether it may be given the login is decided here. An
    /// error is shown with its causes, so it must hold no secret.
    async fn fetch(&self, request: &TokenRequest) -> Result<Token, Box<dyn Error + Send + Sync>>;
}

/// What it takes to get tokens on our side, so that daemons see no password.
#[derive(Clone)]
pub struct TokenSource {
    /// Gets the tokens.
    pub fetcher: Arc<dyn TokenFetcher>,
    /// Tells this user from others; share one among all sessions.
    pub seeds: Arc<TokenSeeds>,
}
