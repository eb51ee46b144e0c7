//! Where a daemon is: the [`Endpoint`] that configuration, `BUILDKIT_HOST` and `DOCKER_HOST` name.
//!
//! Parses and prints; opens nothing. Hosts and names that would read as options of the
//! program they are given to are refused here, once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

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

fn split(value: &str) -> Result<(&str, &str), String> {
    value
        .split_once("://")
        .ok_or_else(|| "it has no `scheme://`".to_owned())
}

fn socket_path(text: &str) -> Result<PathBuf, String> {
    if !text.starts_with('/') || text == "/" {
        return Err("the socket's path must be absolute, as in `unix:///run/x.sock`".into());
    }
    Ok(Path::new(text).to_path_buf())
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| "the bracket is not closed".to_owned())?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| format!("`{host}` is not an IPv6 address"))?;
        match rest {
            "" => (host, None),
            _ => match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return Err(format!("`{rest}` after the address is no port")),
            },
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address needs brackets, as in `[::1]:1234`".into());
            }
            Some((host, port)) => (plain("host", host)?, Some(port)),
            None => (plain("host", text)?, None),
        }
    };
    let port = port.map(parse_port).transpose()?;
    Ok((host.to_owned(), port))
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => Err(format!("`{text}` is not a port from 1 to 65535")),
    }
}

/// Takes a word that other programs get as an argument, unless they could misread it.
fn plain<'a>(what: &str, text: &'a str) -> Result<&'a str, String> {
    let odd = |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '+' | '\\'));
    match text.find(odd) {
        _ if text.is_empty() => Err(format!("the {what} is missing")),
        _ if text.starts_with('-') => Err(format!("the {what} must not start with `-`")),
        Some(at) => {
            let odd = text[at..].chars().next().unwrap_or_default();
            Err(format!("the {what} `{text}` must not contain {odd:?}"))
        }
        None => Ok(text),
    }
}

fn container_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('/').unwrap_or(text);
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        Ok(name.to_owned())
    } else {
        Err(format!("`{name}` is not a container's name or id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text parses, and prints as it was.
    fn same(text: &str) -> Endpoint {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint.to_string(), text);
        endpoint
    }

    fn refused(text: &str, reason: &str) {
        let error = text.parse::<Endpoint>().unwrap_err();
        assert_eq!(error.reason, reason, "{text}");
        assert!(
            error.to_string().contains(text),
            "the message names the value"
        );
        assert!(
            error.to_string().contains("docker+unix:///path"),
            "the message lists the forms"
        );
    }

    #[test]
    fn every_form_prints_as_it_was_written() {
        assert_eq!(
            same("unix:///run/buildkit/buildkitd.sock"),
            Endpoint::Unix("/run/buildkit/buildkitd.sock".into())
        );
        same("unix:///with space/x.sock");
        same("tcp://10.0.0.5:1234");
        same("tcp://buildkit.example:1234");
        let v6 = HostPort {
            host: "::1".into(),
            port: 1234,
        };
        assert_eq!(same("tcp://[::1]:1234"), Endpoint::Tcp(v6));
        same("docker+unix:///var/run/docker.sock");
        same("docker+tcp://[fe80::1]:2375");
        same("ssh://host");
        same("ssh://me@host:2222");
        same("ssh://me@[::1]:22/run/user/1000/buildkit/buildkitd.sock");
        same("docker+ssh://me@host/var/run/docker.sock");
        same("docker-container://buildx_buildkit_default0");
    }

    #[test]
    fn a_slash_at_the_end_says_nothing() {
        assert_eq!(
            "tcp://h:1/".parse::<Endpoint>().unwrap().to_string(),
            "tcp://h:1"
        );
        assert_eq!(
            "ssh://h/".parse::<Endpoint>().unwrap().to_string(),
            "ssh://h"
        );
    }

    #[test]
    fn words_that_would_be_options_are_refused() {
        refused("ssh://-oProxyCommand=x", "the host must not start with `-`");
        refused("ssh://-l@host", "the user must not start with `-`");
        refused(
            "docker-container://-it",
            "`-it` is not a container's name or id",
        );
        refused("tcp://-h:1", "the host must not start with `-`");
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        refused("", "it has no `scheme://`");
        refused("/run/x.sock", "it has no `scheme://`");
        refused(
            "unix://run/x.sock",
            "the socket's path must be absolute, as in `unix:///run/x.sock`",
        );
        refused("tcp://host", "the port is missing, as in `host:1234`");
        refused("tcp://host:0", "`0` is not a port from 1 to 65535");
        refused("tcp://host:+1", "`+1` is not a port from 1 to 65535");
        refused("tcp://host:99999", "`99999` is not a port from 1 to 65535");
        refused("tcp://:1234", "the host is missing");
        refused(
            "tcp://::1:1234",
            "an IPv6 address needs brackets, as in `[::1]:1234`",
        );
        refused("tcp://[::1", "the bracket is not closed");
        refused("tcp://[host]:1", "`host` is not an IPv6 address");
        refused("tcp://a b:1", "the host `a b` must not contain ' '");
        refused("tcp://h:1/path", "`1/path` is not a port from 1 to 65535");
        refused(
            "ssh://u:p@host",
            "a password in it would be seen by everyone; use a key",
        );
        refused("ssh://h;reboot", "the host `h;reboot` must not contain ';'");
        refused("kube-pod://x", "`kube-pod://` is not supported");
        refused("docker-container://", "`` is not a container's name or id");
    }

    #[test]
    fn docker_host_means_a_docker_engine() {
        let check = |value: &str, tls: bool, expect: &str| {
            let endpoint = Endpoint::from_docker_host(value, tls).unwrap();
            assert_eq!(endpoint.to_string(), expect);
            assert!(endpoint.is_docker());
        };
        check(
            "unix:///var/run/docker.sock",
            false,
            "docker+unix:///var/run/docker.sock",
        );
        check("tcp://10.0.0.1:2375", false, "docker+tcp://10.0.0.1:2375");
        check("tcp://10.0.0.1", false, "docker+tcp://10.0.0.1:2375");
        check("tcp://10.0.0.1", true, "docker+tcp://10.0.0.1:2376");
        check("ssh://me@host", false, "docker+ssh://me@host");
        let error = Endpoint::from_docker_host("npipe:////./pipe/docker", false).unwrap_err();
        assert!(error.to_string().contains("DOCKER_HOST"), "{error}");
    }
}
