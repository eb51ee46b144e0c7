//! A session: the services that a daemon may call while it builds for us.
//!
//! [`Session`] names it and holds its [`Services`]; [`Session::serve`] runs them on a byte
//! stream. The stream comes from `Connection::open_session`, which is told the session's
//! [`opening`](Session::opening).

mod auth;
mod authority;
mod batches;
mod buffers;
mod content;
mod dispatch;
mod filesend;
mod filesync;
mod fill;
mod health;
mod id;
mod list;
mod outgoing;
mod packet;
mod read;
mod received;
mod secrets;
mod send;
mod serve;
mod ssh;
mod status;
mod tokens;
mod upload;
mod wire;

pub use authority::TokenSeeds;
pub use content::{Blob, ContentStores, DirStore, StoreError};
pub use dispatch::{MAX_MESSAGE, Services};
pub use filesend::{FileSinks, Sink};
pub use id::{IdError, random_id};
pub use secrets::{SECRET_LIMIT, SecretSource};
pub use serve::SessionEnd;
pub use ssh::{SshAgent, SshWarnings};
pub use tokens::{Token, TokenFetcher, TokenRequest, TokenSource};

use std::time::Duration;

use super::pipe::SessionOpen;

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
    /// How long an answer takes at least, which says how much may be under way; `None` where
    /// nobody measured it.
    pub round_trip: Option<Duration>,
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
            round_trip: None,
            services,
        })
    }

    /// What the daemon is told when the session's stream opens.
    pub fn opening(&self) -> SessionOpen {
        let mut methods = health::METHODS.map(str::to_owned).to_vec();
        methods.extend(self.services.methods());
        SessionOpen {
            id: self.id.clone(),
            shared_key: self.shared_key.clone(),
            methods,
        }
    }
}
