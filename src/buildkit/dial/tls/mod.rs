//! A daemon on a port, with TLS: client files in, plain words out when it fails.
//!
//! ring only. The files are read at each dial, so that rotated certificates are picked up.

mod explain;
mod files;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ByteStream, CONNECT_DEADLINE, Dial, DialError, TcpDialer, Terms, within};
use crate::buildkit::endpoint::HostPort;
use crate::buildkit::io::Io;

pub use explain::TlsError;
pub use files::TlsFiles;

/// The application protocol of buildkitd.
pub(super) const H2: &[u8] = b"h2";
/// The application protocol of a Docker engine that is to upgrade: offered `h2` as well,
/// newer ones would take it.
pub(super) const HTTP1: &[u8] = b"http/1.1";

/// Dials a TCP port and speaks TLS on it.
#[derive(Debug, Clone)]
pub struct TlsDialer {
    tcp: TcpDialer,
    address: HostPort,
    endpoint: String,
    files: TlsFiles,
    protocol: &'static [u8],
}

impl TlsDialer {
    /// Dials `address` with the files given and offers one application protocol.
    pub fn new(
        address: &HostPort,
        endpoint: String,
        files: &TlsFiles,
        protocol: &'static [u8],
    ) -> Self {
        Self {
            tcp: TcpDialer::new(address, endpoint.clone()),
            address: address.clone(),
            endpoint,
            files: files.clone(),
            protocol,
        }
    }

    fn server_name(&self) -> &str {
        self.files
            .server_name
            .as_deref()
            .unwrap_or(&self.address.host)
    }

    async fn handshake(&self) -> Result<Explained<TcpStream>, TlsOrDial> {
        let client = Client::new(&self.files, self.server_name(), self.protocol).await?;
        let stream = self.tcp.connect().await.map_err(TlsOrDial::Dial)?;
        Ok(client.handshake(stream).await?)
    }
}

/// Speaks TLS on a stream that is open already; the server's name is the one in `files`.
///
/// # Errors
///
/// When the files cannot be used, or the handshake fails. Sets no limit.
pub async fn secure(
    stream: ByteStream,
    files: &TlsFiles,
    protocol: &'static [u8],
) -> Result<ByteStream, TlsError> {
    let name = files.server_name.as_deref().unwrap_or_default();
    let client = Client::new(files, name, protocol).await?;
    Ok(Box::new(client.handshake(stream).await?))
}

/// All that a handshake needs besides the stream.
struct Client {
    config: ClientConfig,
    server: ServerName<'static>,
    name: String,
}

impl Client {
    /// Reads the files first, so that a wrong one is told before anything is dialled.
    async fn new(files: &TlsFiles, name: &str, protocol: &[u8]) -> Result<Self, TlsError> {
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsError::ServerName(name.to_owned()))?;
        let files = files.clone();
        let mut config = tokio::task::spawn_blocking(move || files.client_config())
            .await
            .map_err(|error| TlsError::Other(io::Error::other(error)))??;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self {
            config,
            server,
            name: name.to_owned(),
        })
    }

    async fn handshake<S: Io>(self, stream: S) -> Result<Explained<S>, TlsError> {
        let stream = TlsConnector::from(Arc::new(self.config))
            .connect(self.server, stream)
            .await
            .map_err(|error| explain::explain(error, &self.name))?;
        Ok(Explained {
            stream,
            name: self.name,
        })
    }
}

#[async_trait]
impl Dial for TlsDialer {
    async fn dial(&self) -> Result<ByteStream, DialError> {
        let dial = async {
            match self.handshake().await {
                Ok(stream) => Ok(Box::new(stream) as ByteStream),
                Err(TlsOrDial::Dial(error)) => Err(error),
                Err(TlsOrDial::Tls(source)) => Err(DialError::Tls {
                    endpoint: self.endpoint.clone(),
                    source,
                }),
            }
        };
        within(CONNECT_DEADLINE, &self.endpoint, dial).await
    }

    fn describe(&self) -> String {
        self.endpoint.clone()
    }

    fn terms(&self) -> Terms {
        let host = HostPort {
            host: self.server_name().to_owned(),
            port: self.address.port,
        };
        Terms {
            origin: format!("https://{host}"),
            ..Terms::default()
        }
    }
}

/// What can go wrong on the way to a handshake.
enum TlsOrDial {
    Tls(TlsError),
    Dial(DialError),
}

impl From<TlsError> for TlsOrDial {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

/// A TLS stream whose errors are explained: with TLS 1.3 a server refuses the client's
/// certificate only after the handshake, so that the refusal comes with the first read.
struct Explained<S> {
    stream: TlsStream<S>,
    name: String,
}

impl<S: Io> AsyncRead for Explained<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        outcome.map_err(|error| match error.get_ref() {
            Some(inner) if inner.is::<rustls::Error>() => {
                io::Error::new(error.kind(), explain::explain(error, &self.name))
            }
            _ => error,
        })
    }
}

impl<S: Io> AsyncWrite for Explained<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
