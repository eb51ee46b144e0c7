//! Opening one byte stream to a daemon: the trait [`Dial`] and its implementations.
//!
//! A dialer knows how to reach a place and says why it could not. It speaks no gRPC:
//! whether BuildKit answers on the stream is found out by `Connection::open`. Proxies of the
//! environment are not used: a daemon is reached as its endpoint says.

mod command;
mod docker;
mod tcp;
mod tls;
mod unix;

use std::error::Error;
use std::future::Future;
use std::io;
use std::time::Duration;

use async_trait::async_trait;

pub use command::CommandDialer;
pub use docker::DockerDialer;
pub use tcp::TcpDialer;
pub use tls::{TlsDialer, TlsError, TlsFiles, secure};
pub use unix::UnixDialer;

use super::endpoint::Endpoint;
use super::io::ByteStream;
use super::pipe::SessionOpen;

/// How long a socket may take to open, and a daemon to answer its first question.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The same for a command: ssh may cross jump hosts and wait for a hardware key.
pub const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

/// Opens byte streams to one daemon.
#[async_trait]
pub trait Dial: Send + Sync {
    /// Opens a stream on which HTTP/2 can start at once; gives up within [`Terms::patience`].
    ///
    /// # Errors
    ///
    /// When nothing can be reached, or what is reached refuses.
    async fn dial(&self) -> Result<ByteStream, DialError>;

    /// The endpoint as the user knows it, for messages.
    fn describe(&self) -> String;

    /// How to speak on the stream that was opened last.
    fn terms(&self) -> Terms {
        Terms::default()
    }

    /// Opens a stream that carries nothing but a session; `None` means that the daemon takes
    /// sessions on the main stream, through `Control.Session`.
    ///
    /// # Errors
    ///
    /// When the daemon wants a stream of its own and it could not be opened.
    async fn dial_session(&self, _open: &SessionOpen) -> Result<Option<ByteStream>, DialError> {
        Ok(None)
    }
}

/// How to speak on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The URI whose scheme and authority requests carry; sockets and pipes have `localhost`.
    pub origin: String,
    /// How long opening a stream may take, and the first answer after that.
    pub patience: Duration,
    /// Whether it leads to the BuildKit inside a Docker engine.
    pub docker: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            origin: "http://localhost".to_owned(),
            patience: CONNECT_DEADLINE,
            docker: false,
        }
    }
}

/// Why no stream could be opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The system refused the connection, or the peer did.
    #[error("cannot connect to {endpoint}")]
    Connect {
        /// Where to.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// The host's name has no address.
    #[error("cannot find the address of `{host}`")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nothing happened in time.
    #[error("cannot connect to {endpoint}: no answer within {} s", limit.as_secs())]
    Deadline {
        /// Where to.
        endpoint: String,
        /// How long it had.
        limit: Duration,
    },
    /// The peer was reached, but TLS failed.
    #[error("no secure connection to {endpoint}")]
    Tls {
        /// Where to.
        endpoint: String,
        /// Why.
        source: TlsError,
    },
    /// A program that leads to the daemon could not be started.
    #[error("cannot run `{program}`, which {endpoint} needs")]
    Spawn {
        /// The program.
        program: String,
        /// Where to.
        endpoint: String,
        /// What the system said.
        source: io::Error,
    },
    /// A Docker engine answered, but offers no BuildKit.
    #[error("the Docker engine at {endpoint} offers no BuildKit: {reason}")]
    NoBuildkit {
        /// Where to.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
    /// A Docker engine refused to open a session.
    #[error("the Docker engine at {endpoint} refused a session: {reason}")]
    SessionRefused {
        /// Where to.
        endpoint: String,
        /// What it answered.
        reason: String,
    },
    /// The exchange before HTTP/2 broke off, or was no HTTP.
    #[error("{endpoint} does not answer as a Docker engine does")]
    Upgrade {
        /// Where to.
        endpoint: String,
        /// What happened.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A driver's own way to its daemon failed.
    #[error("cannot reach {endpoint}")]
    Driver {
        /// Where to.
        endpoint: String,
        /// What the user can do about it; `None` where that is not known.
        hint: Option<String>,
        /// Whether it stays so until somebody changes something.
        is_configuration: bool,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl DialError {
    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect { source, endpoint } => connect_hint(source.kind(), endpoint),
            Self::Spawn {
                program, source, ..
            } if source.kind() == io::ErrorKind::NotFound => {
                Some(format!("install `{program}` or put its directory in PATH"))
            }
            Self::Tls { source, .. } => source.hint(),
            Self::Driver { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}

fn connect_hint(kind: io::ErrorKind, endpoint: &str) -> Option<String> {
    let socket = endpoint.contains("unix://");
    match kind {
        io::ErrorKind::NotFound if socket => {
            Some("there is no such socket; is the daemon running?".into())
        }
        io::ErrorKind::PermissionDenied if socket => {
            Some("the socket is not yours to open; see its owner and group".into())
        }
        io::ErrorKind::ConnectionRefused => {
            Some("nothing listens there; is the daemon running?".into())
        }
        _ => None,
    }
}

/// Chooses the dialer of an endpoint; `tls` counts only where [`Endpoint::allows_tls`].
pub fn dialer(endpoint: &Endpoint, tls: Option<&TlsFiles>) -> Box<dyn Dial> {
    let name = endpoint.to_string();
    match endpoint {
        Endpoint::Unix(path) => Box::new(UnixDialer::new(path, name)),
        Endpoint::Tcp(address) => match tls {
            Some(files) => Box::new(TlsDialer::new(address, name, files, tls::H2)),
            None => Box::new(TcpDialer::new(address, name)),
        },
        Endpoint::DockerUnix(path) => {
            Box::new(DockerDialer::new(UnixDialer::new(path, name), "localhost"))
        }
        Endpoint::DockerTcp(address) => match tls {
            Some(files) => {
                let modern = TlsDialer::new(address, name.clone(), files, tls::H2);
                let upgrade = TlsDialer::new(address, name, files, tls::HTTP1);
                let host = address.to_string();
                Box::new(DockerDialer::new(upgrade, &host).with_direct(modern))
            }
            None => {
                let host = address.to_string();
                Box::new(DockerDialer::new(TcpDialer::new(address, name), &host))
            }
        },
        Endpoint::Ssh(target) => Box::new(CommandDialer::ssh_buildctl(target, name)),
        Endpoint::DockerSsh(target) => Box::new(DockerDialer::new(
            CommandDialer::ssh_docker(target, name),
            "localhost",
        )),
        Endpoint::DockerContainer(container) => {
            Box::new(CommandDialer::docker_exec(container, name))
        }
    }
}

/// Chooses the dialer of a Docker engine's own API; `None` for what is no such engine.
pub fn engine_dialer(endpoint: &Endpoint, tls: Option<&TlsFiles>) -> Option<Box<dyn Dial>> {
    let name = endpoint.to_string();
    Some(match endpoint {
        Endpoint::DockerUnix(path) => Box::new(UnixDialer::new(path, name)),
        Endpoint::DockerTcp(address) => match tls {
            Some(files) => Box::new(TlsDialer::new(address, name, files, tls::HTTP1)),
            None => Box::new(TcpDialer::new(address, name)),
        },
        Endpoint::DockerSsh(target) => Box::new(CommandDialer::ssh_docker(target, name)),
        Endpoint::Unix(_) | Endpoint::Tcp(_) | Endpoint::Ssh(_) | Endpoint::DockerContainer(_) => {
            return None;
        }
    })
}

/// Gives a dial a limit.
async fn within<T>(
    limit: Duration,
    endpoint: &str,
    dial: impl Future<Output = Result<T, DialError>>,
) -> Result<T, DialError> {
    let late = || DialError::Deadline {
        endpoint: endpoint.to_owned(),
        limit,
    };
    tokio::time::timeout(limit, dial)
        .await
        .unwrap_or_else(|_| Err(late()))
}
