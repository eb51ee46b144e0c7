//! A session: the services that a daemon may call while it builds for us.
//!
//! [`Session`] names it and holds its [`Services`]; [`Session::serve`] runs them on a byte
//! stream. Opening that stream, and announcing the methods on it, is the connection's task.

mod auth;
mod authority;
mod dispatch;
mod filesend;
mod health;
mod id;
mod secrets;
mod serve;
mod upload;

pub use auth::{Token, TokenFetcher, TokenRequest, TokenSource};
pub use authority::TokenSeeds;
pub use dispatch::{MAX_MESSAGE, Services};
pub use filesend::{FileSinks, Sink};
pub use id::{IdError, random_id};
pub use secrets::{SECRET_LIMIT, SecretSource};
pub use serve::SessionEnd;

/// What a daemon may ask of us during one run: a snapshot of its inputs.
///
/// A daemon keeps what it fetched under the session's id, so an input that changed needs a
/// new session (and a new id).
#[derive(Debug)]
pub struct Session {
    /// Names the session to the daemon: 25 of `[0-9a-z]`, never used twice.
    pub id: String,
    /// Names the directories to the daemon across sessions, so that only what changed is sent;
    /// empty for none.
    pub shared_key: String,
    services: Services,
}

impl Session {
    /// Makes a session with an id of its own.
    ///
    /// # Errors
    ///
    /// Fails when the system gives no random bytes.
    pub fn new(shared_key: impl Into<String>, services: Services) -> Result<Self, IdError> {
        Ok(Self {
            id: random_id()?,
            shared_key: shared_key.into(),
            services,
        })
    }

    /// The paths of all methods that are served, as the daemon is told when the stream opens:
    /// `/package.Service/Method`.
    pub fn methods(&self) -> Vec<String> {
        let mut methods = health::METHODS.map(str::to_owned).to_vec();
        methods.extend(self.services.methods());
        methods
    }
}
