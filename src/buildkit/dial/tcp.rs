//! A daemon on a port, without TLS; also what TLS runs over.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use rustix::net::sockopt;
use tokio::net::{TcpStream, lookup_host};

use super::{ByteStream, CONNECT_DEADLINE, Dial, DialError, Terms, within};
use crate::buildkit::endpoint::HostPort;

/// Idle time before the system probes the peer; NAT tables and load balancers forget idle
/// connections after minutes, and a build may be silent that long.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Time between two probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// Unanswered probes after which the peer is dead.
const KEEPALIVE_PROBES: u32 = 3;
/// How long sent data may stay unacknowledged: a daemon cut off is noticed within 30 s.
const USER_TIMEOUT: Duration = Duration::from_secs(20);
/// The least time that each of a host's addresses gets.
const MIN_ATTEMPT: Duration = Duration::from_secs(2);

/// Dials a TCP port.
#[derive(Debug, Clone)]
pub struct TcpDialer {
    address: HostPort,
    endpoint: String,
}

impl TcpDialer {
    /// Dials `address`; `endpoint` is its name in messages.
    pub fn new(address: &HostPort, endpoint: String) -> Self {
        Self {
            address: address.clone(),
            endpoint,
        }
    }

    /// Opens the connection and sets its options.
    pub(super) async fn connect(&self) -> Result<TcpStream, DialError> {
        within(CONNECT_DEADLINE, &self.endpoint, self.connect_any()).await
    }

    /// Tries the host's addresses in the resolver's order; the last failure is reported.
    async fn connect_any(&self) -> Result<TcpStream, DialError> {
        let HostPort { host, port } = &self.address;
        let lookup = |source| DialError::Lookup {
            host: host.clone(),
            source,
        };
        let addresses: Vec<SocketAddr> = lookup_host((host.as_str(), *port))
            .await
            .map_err(lookup)?
            .collect();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let share = CONNECT_DEADLINE / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        for address in addresses {
            match tokio::time::timeout(share.max(MIN_ATTEMPT), connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(DialError::Connect {
            endpoint: self.endpoint.clone(),
            source: last,
        })
    }
}

#[async_trait]
impl Dial for TcpDialer {
    async fn dial(&self) -> Result<ByteStream, DialError> {
        Ok(Box::new(self.connect().await?))
    }

    fn describe(&self) -> String {
        self.endpoint.clone()
    }

    fn terms(&self) -> Terms {
        Terms {
            origin: format!("http://{}", self.address),
            ..Terms::default()
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_PROBES)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(&stream, USER_TIMEOUT.as_millis() as u32)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialer(port: u16) -> TcpDialer {
        let address = HostPort {
            host: "127.0.0.1".into(),
            port,
        };
        TcpDialer::new(&address, format!("tcp://{address}"))
    }

    #[tokio::test]
    async fn the_connection_has_its_options() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialer = dialer(listener.local_addr().unwrap().port());
        let stream = dialer.connect().await.unwrap();
        assert!(stream.nodelay().unwrap());
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEPALIVE);
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), 20_000);
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_with_a_hint() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let Err(error) = dialer(port).dial().await else {
            panic!("nothing listens there")
        };
        assert_eq!(
            error.to_string(),
            format!("cannot connect to tcp://127.0.0.1:{port}")
        );
        assert!(error.hint().unwrap().starts_with("nothing listens there"));
    }

    #[tokio::test]
    async fn requests_carry_host_and_port() {
        assert_eq!(dialer(1234).terms().origin, "http://127.0.0.1:1234");
    }
}
