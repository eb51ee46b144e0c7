//! `pods/NAME/portforward`: a port of a pod, in the form in which WebSockets have it.

use std::sync::Arc;

use futures_util::StreamExt;
use mbuild::buildkit::io::ByteStream;

use super::channels::{Plan, carry, close, send};
use super::cluster::{PORT, Pod};
use super::fault::Act;
use super::metered::{End, Metered, Traffic};
use super::socket::Socket;

/// The one protocol; what tunnels SPDY is another.
pub(super) const PROTOCOLS: [&str; 1] = ["v4.channel.k8s.io"];

const DATA: u8 = 0;
const ERROR: u8 = 1;

/// A port of a pod.
pub(super) struct Forward {
    pub(super) pod: Arc<Pod>,
    pub(super) port: u16,
    pub(super) traffic: Arc<Traffic>,
    pub(super) act: Option<Act>,
}

impl Forward {
    /// Does it all on a socket. That nobody listens comes after two frames that say nothing
    /// of it.
    pub(super) async fn run(self, socket: Socket) {
        let (mut sink, mut source) = socket.split();
        let control = self.pod.control();
        let mut error = None;
        let work = async {
            for channel in [DATA, ERROR] {
                let _ = send(&mut sink, channel, &self.port.to_le_bytes()).await;
            }
            match self.far().await {
                Err(text) => error = Some(text),
                Ok(far) => {
                    let far = Metered::new(far, &self.traffic, self.act.as_ref(), &control);
                    let plan = Plan {
                        to_pod: DATA,
                        from_pod: DATA,
                        half_close: false,
                    };
                    carry(&mut sink, &mut source, far, plan).await;
                }
            }
        };
        let end = control.govern(work).await;
        if end == End::Cut {
            return;
        }
        if end == End::Killed {
            error = Some("error forwarding port: lost connection to pod".into());
        }
        if let Some(text) = error {
            let _ = send(&mut sink, ERROR, text.as_bytes()).await;
        }
        close(&mut sink).await;
    }

    async fn far(&self) -> Result<ByteStream, String> {
        let refused = |why: &str| {
            format!(
                "error forwarding port {port} to pod 1, uid : failed to execute portforward in \
                 network namespace \"1\": {why}",
                port = self.port
            )
        };
        if self.port != PORT {
            let why = format!(
                "failed to connect to localhost:{} inside namespace \"1\": dial tcp4 \
                 127.0.0.1:{}: connect: connection refused",
                self.port, self.port
            );
            return Err(refused(&why));
        }
        let far = self.pod.socket().await.map_err(|error| refused(&error))?;
        Ok(match &self.pod.tls {
            None => far,
            Some(acceptor) => behind_tls(acceptor.clone(), far),
        })
    }
}

/// The daemon's port where it speaks TLS: the end on which a client's handshake is taken.
fn behind_tls(acceptor: tokio_rustls::TlsAcceptor, mut far: ByteStream) -> ByteStream {
    let (near, inner) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        if let Ok(mut inner) = acceptor.accept(inner).await {
            let _ = tokio::io::copy_bidirectional(&mut inner, &mut far).await;
        }
    });
    Box::new(near)
}
