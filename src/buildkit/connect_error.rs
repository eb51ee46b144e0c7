//! Why there is no connection to a daemon, or no session on one.

use std::time::Duration;

use tonic::{Code, Status};

use super::connection::loss;
use super::dial::DialError;
use super::io::Line;

/// Why there is no connection to a daemon.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No byte stream could be opened.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A stream is open, but nobody answers on it.
    #[error("{endpoint} accepts the connection but does not answer within {} s", limit.as_secs())]
    Silent {
        /// Where to.
        endpoint: String,
        /// How long it had.
        limit: Duration,
    },
    /// The other end speaks HTTP/1, as a Docker engine or a registry does.
    #[error("{endpoint} is not buildkitd: it answers in HTTP/1")]
    Http1 {
        /// Where to.
        endpoint: String,
    },
    /// The other end wants TLS.
    #[error("{endpoint} expects TLS")]
    NeedsTls {
        /// Where to.
        endpoint: String,
    },
    /// The other end speaks HTTP/2, but is another service.
    #[error("{endpoint} is not BuildKit: {reason}")]
    NotBuildkit {
        /// Where to.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
    /// A proxy, or the daemon, wants to know who asks.
    #[error("{endpoint} does not let this client in: {reason}")]
    Denied {
        /// Where to.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
    /// The connection broke before the first answer.
    #[error("the connection to {endpoint} broke: {reason}")]
    Broken {
        /// Where to.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// The daemon answered with an error.
    #[error("{endpoint} cannot serve: {reason}")]
    Refused {
        /// Where to.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
}

impl ConnectError {
    /// Whether the client's own configuration is at fault, so that nothing was lost.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Dial(DialError::Tls { source, .. }) => source.is_configuration(),
            Self::Dial(DialError::Driver {
                is_configuration, ..
            }) => *is_configuration,
            _ => false,
        }
    }

    /// Finds out what a failed first question means.
    pub(super) fn from_answer(endpoint: String, status: &Status, line: &Line) -> Self {
        if let Some(known) = Self::from_opening(&endpoint, line) {
            return known;
        }
        if let Some(reason) = loss(status, line) {
            return Self::Broken { endpoint, reason };
        }
        let reason = status.message().to_owned();
        match status.code() {
            Code::Unimplemented => Self::NotBuildkit { endpoint, reason },
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied { endpoint, reason },
            _ => Self::Refused { endpoint, reason },
        }
    }

    /// Finds out what silence means: some peers wait for more after they have complained.
    pub(super) fn from_silence(endpoint: String, limit: Duration, line: &Line) -> Self {
        Self::from_opening(&endpoint, line).unwrap_or(Self::Silent { endpoint, limit })
    }

    /// Recognises other protocols by their first bytes.
    fn from_opening(endpoint: &str, line: &Line) -> Option<Self> {
        let endpoint = endpoint.to_owned();
        match line.opening()[..] {
            [b'H', b'T', b'T', b'P', b'/', ..] => Some(Self::Http1 { endpoint }),
            // An alert record of TLS 1.0 to 1.3.
            [0x15, 0x03, ..] => Some(Self::NeedsTls { endpoint }),
            _ => None,
        }
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dial(error) => error.hint(),
            Self::Http1 { endpoint } if !endpoint.starts_with("docker+") => {
                let (scheme, rest) = endpoint.split_once("://")?;
                Some(format!(
                    "if a Docker engine is meant, write docker+{scheme}://{rest}"
                ))
            }
            Self::NeedsTls { .. } => Some("give tls files for this endpoint".to_owned()),
            _ => None,
        }
    }
}

/// Why a session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenSessionError {
    /// The stream of its own that the daemon wants could not be opened.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A value cannot travel in a header.
    #[error("`{0}` cannot be part of a session's headers")]
    Header(String),
    /// The daemon refused.
    #[error("{endpoint} refused a session: {reason}")]
    Refused {
        /// Where to.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
    /// The daemon did not answer.
    #[error("{endpoint} did not open a session within {} s", limit.as_secs())]
    Silent {
        /// Where to.
        endpoint: String,
        /// How long it had.
        limit: Duration,
    },
    /// The connection is gone.
    #[error("the connection to {endpoint} is lost: {reason}")]
    Lost {
        /// Where to.
        endpoint: String,
        /// Why.
        reason: String,
    },
}
