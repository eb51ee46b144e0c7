//! Where a relay listens and where it leads: [`Address`], a TCP port or a socket in the file
//! system.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// One end of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `tcp://HOST:PORT`; port 0 takes any free one.
    Tcp(String),
    /// `unix:///PATH`.
    Unix(PathBuf),
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither tcp://HOST:PORT nor unix:///PATH")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bad = || AddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(bad()),
            };
        }
        let place = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
        if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
            return Err(bad());
        }
        Ok(Self::Tcp(place.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(place) => write!(f, "tcp://{place}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

impl Address {
    /// Opens a connection to here.
    pub(crate) async fn connect(&self) -> io::Result<(Reader, Writer)> {
        match self {
            Self::Tcp(place) => split_tcp(TcpStream::connect(place).await?),
            Self::Unix(path) => Ok(split_unix(UnixStream::connect(path).await?)),
        }
    }
}

/// Takes connections; removes its socket file when dropped.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    pub(crate) async fn bind(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Tcp(place) => Self::Tcp(TcpListener::bind(place).await?),
            Address::Unix(path) => Self::Unix(UnixListener::bind(path)?, path.clone()),
        })
    }

    /// Where it listens, with the port it got.
    pub(crate) fn address(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Tcp(listener) => Address::Tcp(listener.local_addr()?.to_string()),
            Self::Unix(_, path) => Address::Unix(path.clone()),
        })
    }

    pub(crate) async fn accept(&self) -> io::Result<(Reader, Writer)> {
        match self {
            Self::Tcp(listener) => split_tcp(listener.accept().await?.0),
            Self::Unix(listener, _) => Ok(split_unix(listener.accept().await?.0)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Who removed it before has done what was wanted.
            drop(std::fs::remove_file(path));
        }
    }
}

fn split_tcp(stream: TcpStream) -> io::Result<(Reader, Writer)> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    Ok((Box::new(reader), Box::new(writer)))
}

fn split_unix(stream: UnixStream) -> (Reader, Writer) {
    let (reader, writer) = stream.into_split();
    (Box::new(reader), Box::new(writer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: Option<&str>) {
        let address = text.parse::<Address>().ok();
        assert_eq!(address.map(|a| a.to_string()).as_deref(), shown, "{text}");
    }

    #[test]
    fn ports_and_sockets_are_addresses() {
        check("127.0.0.1:0", Some("tcp://127.0.0.1:0"));
        check("tcp://[::1]:80", Some("tcp://[::1]:80"));
        check("unix:///run/x.sock", Some("unix:///run/x.sock"));
    }

    #[test]
    fn other_text_is_not() {
        for text in [
            "",
            "host",
            ":1",
            "host:x",
            "host:70000",
            "unix://x",
            "http://h:1/",
        ] {
            check(text, None);
        }
    }
}
