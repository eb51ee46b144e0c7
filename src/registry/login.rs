//! What a registry wants to be shown, and what we have to show it: [`Login`].
//!
//! Keeps the registry's challenge and the tokens that it gave us; asks for the user's
//! credentials when they are needed and never keeps those.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use super::challenge::Challenge;
use super::connector::Connector;
use super::error::{Problem, RegistryError};
use super::token::{Token, TokenRequest, exchange};
use crate::credentials::{Credential, Credentials};

/// A token is no longer used this long before its end, so that a request that carries it
/// arrives in time.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

const OPERATION: &str = "show credentials";

/// How we make ourselves known to one registry.
pub(super) struct Login {
    host: String,
    connector: Arc<Connector>,
    /// Whether a password may go over plain HTTP.
    plain: bool,
    credentials: Arc<Credentials>,
    /// Whether credentials are known, for the advice after a refusal.
    known: AtomicBool,
    challenge: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<Vec<String>, (Token, Instant)>>,
}

/// What goes with a request.
pub(super) enum Shown {
    Basic { username: String, secret: String },
    Bearer(String),
}

impl Login {
    pub(super) fn new(
        host: &str,
        connector: Arc<Connector>,
        plain: bool,
        credentials: Arc<Credentials>,
    ) -> Self {
        Self {
            host: host.to_owned(),
            connector,
            plain,
            credentials,
            known: AtomicBool::new(false),
            challenge: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    /// Remembers what the registry asks for. What was shown before is not used again for
    /// `scopes`.
    pub(super) fn learn(&self, challenge: Challenge, scopes: &[String]) {
        *lock(&self.challenge) = Some(challenge);
        lock(&self.tokens).retain(|have, _| !covers(have, scopes));
    }

    /// Adds to a refusal whether it was credentials that were refused, or none.
    pub(super) fn explain(&self, mut error: RegistryError) -> RegistryError {
        if let Problem::Unauthorized { known } = &mut error.problem {
            *known = self.known.load(Ordering::Relaxed);
        }
        error
    }

    /// What to show for a request that needs `scopes`; `None` when the registry has not
    /// asked, or we have nothing.
    pub(super) async fn show(&self, scopes: &[String]) -> Result<Option<Shown>, RegistryError> {
        let challenge = lock(&self.challenge).clone();
        Ok(match challenge {
            None => None,
            Some(Challenge::Basic) => match self.credential().await? {
                Credential::Basic { username, secret } => Some(Shown::Basic { username, secret }),
                Credential::RegistryToken(token) => Some(Shown::Bearer(token)),
                Credential::IdentityToken(_) | Credential::Anonymous => None,
            },
            Some(Challenge::Bearer { realm, service }) => Some(Shown::Bearer(
                self.token(realm, service, scopes).await?.secret,
            )),
        })
    }

    /// Gets a token as a daemon wants it.
    pub(super) async fn fetch_token(&self, request: &TokenRequest) -> Result<Token, RegistryError> {
        let credential = self.credential().await?;
        // Wherever the registry is, its token service may be behind TLS, or lead there.
        let http = self.connector.whole().await?;
        exchange(http, request, &credential, self.plain)
            .await
            .map_err(|error| self.explain(error))
    }

    /// A token for `scopes`: one that we have and that allows as much, unless it is about to end.
    /// So the token of the check before a build serves whoever looks for what was pushed.
    async fn token(
        &self,
        realm: String,
        service: String,
        scopes: &[String],
    ) -> Result<Token, RegistryError> {
        let now = Instant::now();
        let have = lock(&self.tokens)
            .iter()
            .find_map(|(have, (token, until))| {
                (covers(have, scopes) && now < *until).then(|| token.clone())
            });
        if let Some(token) = have {
            return Ok(token);
        }
        let request = TokenRequest {
            host: self.host.clone(),
            realm,
            service,
            scopes: scopes.to_vec(),
            client_id: String::new(),
        };
        let token = self.fetch_token(&request).await?;
        let until = Instant::now() + token.life.saturating_sub(TOKEN_MARGIN);
        lock(&self.tokens).insert(scopes.to_vec(), (token.clone(), until));
        Ok(token)
    }

    async fn credential(&self) -> Result<Credential, RegistryError> {
        let credential = self.credentials.lookup(&self.host).await.map_err(|error| {
            let message = "they cannot be read";
            RegistryError::new(&self.host, OPERATION, Problem::Credentials, message).because(error)
        })?;
        self.known
            .store(credential != Credential::Anonymous, Ordering::Relaxed);
        Ok(credential)
    }
}

impl Shown {
    /// The value of the `Authorization` header, marked as a secret.
    pub(super) fn header(&self, host: &str) -> Result<HeaderValue, RegistryError> {
        let text = match self {
            Self::Basic { username, secret } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{secret}")))
            }
            Self::Bearer(token) => format!("Bearer {token}"),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            let message = "they hold characters that cannot be sent";
            RegistryError::new(host, OPERATION, Problem::Credentials, message)
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Whether a token for the scopes `have` allows all of `wanted`.
fn covers(have: &[String], wanted: &[String]) -> bool {
    let allows = |have: &String, wanted: &String| {
        let (have, wanted) = (have.rsplit_once(':'), wanted.rsplit_once(':'));
        let (Some((whole, may)), Some((part, wish))) = (have, wanted) else {
            return false;
        };
        whole == part
            && wish
                .split(',')
                .all(|wish| may.split(',').any(|may| may == wish))
    };
    wanted.iter().all(|wanted| {
        have.iter()
            .any(|have| have == wanted || allows(have, wanted))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_serves_for_less_than_it_allows() {
        let check = |have: &[&str], wanted: &[&str], expect| {
            let owned = |all: &[&str]| -> Vec<String> { all.iter().map(|s| (*s).into()).collect() };
            let got = covers(&owned(have), &owned(wanted));
            assert_eq!(got, expect, "{have:?} for {wanted:?}");
        };
        let (pull, push) = ("repository:a/b:pull", "repository:a/b:pull,push");
        check(&[push], &[pull], true);
        check(&[push], &[push], true);
        check(&[push], &["repository:a/b:push,pull"], true);
        check(&[pull], &[push], false);
        check(&[push], &["repository:a/c:pull"], false);
        check(&[push], &[push, "repository:a/c:pull"], false);
        check(
            &[push, "repository:a/c:pull"],
            &["repository:a/c:pull", pull],
            true,
        );
        check(
            &["repository:h:5000/a:pull"],
            &["repository:h:5000/a:pull"],
            true,
        );
        check(&[], &[pull], false);
    }
}
