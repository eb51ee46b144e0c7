//! Where a daemon is: the [`Endpoint`] that configuration, `BUILDKIT_HOST` and `DOCKER_HOST` name.
//!
//! Parses and prints; opens nothing. Hosts and names that would read as options of the
//! program they are given to are refused here, once.

mod parts;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use parts::{container_name, host_and_port, plain, socket_path, split};

/// The port of a Docker engine without TLS, where `DOCKER_HOST` names none.
const DOCKER_PORT: u16 = 2375;
/// The port of a Docker engine with TLS, where `DOCKER_HOST` names none.
const DOCKER_TLS_PORT: u16 = 2376;

/// Where a daemon listens and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// buildkitd on a socket: `unix:///path`.
    Unix(PathBuf),
    /// buildkitd on a port: `tcp://host:port`.
    Tcp(HostPort),
    /// A Docker engine on a socket: `docker+unix:///path`.
    DockerUnix(PathBuf),
    /// A Docker engine on a port: `docker+tcp://host:port`.
    DockerTcp(HostPort),
    /// buildkitd behind ssh: `ssh://[user@]host[:port][/socket]`.
    Ssh(SshTarget),
    /// A Docker engine behind ssh: `docker+ssh://[user@]host[:port][/socket]`.
    DockerSsh(SshTarget),
    /// buildkitd in a container of the local Docker engine: `docker-container://NAME`.
    DockerContainer(String),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Name or address; an IPv6 address is without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// An account on another machine and a daemon there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshTarget {
    /// User to log in as; `None` leaves it to ssh's configuration.
    pub user: Option<String>,
    /// Name, alias of ssh's configuration, or address without brackets.
    pub host: String,
    /// Port; `None` leaves it to ssh's configuration.
    pub port: Option<u16>,
    /// Absolute path of the daemon's socket there; `None` is the daemon's default.
    pub socket: Option<String>,
}

/// Why a text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not an endpoint: {reason}; {forms}")]
pub struct EndpointError {
    /// The text.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
    forms: &'static str,
}

const FORMS: &str = "allowed are unix:///path, tcp://host:port, docker+unix:///path, \
    docker+tcp://host:port, ssh://[user@]host[:port][/socket], \
    docker+ssh://[user@]host[:port][/socket] and docker-container://NAME";
const DOCKER_FORMS: &str = "allowed in DOCKER_HOST are unix:///path, tcp://host[:port] and ssh://[user@]host[:port][/socket]";

impl Endpoint {
    /// Parses what `DOCKER_HOST` holds, where the same words mean a Docker engine.
    ///
    /// `tls` chooses the port that is meant when none is given: 2376, or else 2375.
    ///
    /// # Errors
    ///
    /// When the value is of another form, `npipe://` and `fd://` included.
    pub fn from_docker_host(value: &str, tls: bool) -> Result<Self, EndpointError> {
        let refuse = |reason: String| EndpointError {
            value: value.to_owned(),
            reason,
            forms: DOCKER_FORMS,
        };
        let (scheme, rest) = split(value).map_err(refuse)?;
        let port = if tls { DOCKER_TLS_PORT } else { DOCKER_PORT };
        match scheme {
            "unix" => socket_path(rest).map(Self::DockerUnix),
            "tcp" => HostPort::parse(rest, Some(port)).map(Self::DockerTcp),
            "ssh" => SshTarget::parse(rest).map(Self::DockerSsh),
            other => Err(format!("`{other}://` is not supported")),
        }
        .map_err(refuse)
    }

    /// Tells whether a Docker engine answers there, with BuildKit inside.
    pub fn is_docker(&self) -> bool {
        matches!(
            self,
            Self::DockerUnix(_) | Self::DockerTcp(_) | Self::DockerSsh(_)
        )
    }

    /// Tells whether files of a TLS client mean anything there.
    pub fn allows_tls(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::DockerTcp(_))
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(value: &str) -> Result<Self, EndpointError> {
        let refuse = |reason: String| EndpointError {
            value: value.to_owned(),
            reason,
            forms: FORMS,
        };
        let (scheme, rest) = split(value).map_err(refuse)?;
        match scheme {
            "unix" => socket_path(rest).map(Self::Unix),
            "tcp" => HostPort::parse(rest, None).map(Self::Tcp),
            "docker+unix" => socket_path(rest).map(Self::DockerUnix),
            "docker+tcp" => HostPort::parse(rest, None).map(Self::DockerTcp),
            "ssh" => SshTarget::parse(rest).map(Self::Ssh),
            "docker+ssh" => SshTarget::parse(rest).map(Self::DockerSsh),
            "docker-container" => container_name(rest).map(Self::DockerContainer),
            other => Err(format!("`{other}://` is not supported")),
        }
        .map_err(refuse)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::DockerUnix(path) => write!(f, "docker+unix://{}", path.display()),
            Self::DockerTcp(address) => write!(f, "docker+tcp://{address}"),
            Self::Ssh(target) => write!(f, "ssh://{target}"),
            Self::DockerSsh(target) => write!(f, "docker+ssh://{target}"),
            Self::DockerContainer(name) => write!(f, "docker-container://{name}"),
        }
    }
}

impl HostPort {
    fn parse(text: &str, default_port: Option<u16>) -> Result<Self, String> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = host_and_port(text)?;
        let port = port
            .or(default_port)
            .ok_or_else(|| format!("the port is missing, as in `{text}:1234`"))?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Bracketed(&self.host), self.port)
    }
}

impl SshTarget {
    fn parse(text: &str) -> Result<Self, String> {
        let (login, socket) = match text.find('/') {
            Some(slash) => (&text[..slash], Some(&text[slash..])),
            None => (text, None),
        };
        let (user, host) = match login.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => {
                return Err("a password in it would be seen by everyone; use a key".into());
            }
            Some((user, host)) => (Some(plain("user", user)?.to_owned()), host),
            None => (None, login),
        };
        let (host, port) = host_and_port(host)?;
        let socket = socket.filter(|path| *path != "/").map(str::to_owned);
        Ok(Self {
            user,
            host,
            port,
            socket,
        })
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        write!(f, "{}", Bracketed(&self.host))?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.socket.as_deref().unwrap_or_default())
    }
}

/// A host as it is written before a port.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') {
            write!(f, "[{}]", self.0)
        } else {
            f.write_str(self.0)
        }
    }
}

#[cfg(test)]
mod tests;
