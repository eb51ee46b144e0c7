//! WebSockets as the API server has them: the handshake, and a socket of channels.

use base64::prelude::{BASE64_STANDARD, Engine};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::refusal::Refusal;
use super::serve::{Body, text};

pub(super) type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// What follows the handshake's key in the hash of RFC 6455.
const SALT: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A larger frame makes a real API server close the socket.
const LARGEST: usize = 32 << 20;

/// Agrees to speak one of the protocols, the client's first that is known; gives the answer,
/// what becomes the socket, and the protocol.
pub(super) fn agree(
    request: &mut Request<Incoming>,
    known: &[&'static str],
) -> Result<(Response<Body>, hyper::upgrade::OnUpgrade, &'static str), Refusal> {
    let headers = request.headers();
    let Some(key) = field(headers, "sec-websocket-key") else {
        let text = "unable to upgrade: missing upgrade headers in request";
        return Err(Refusal::new(400, text));
    };
    let offered = field(headers, "sec-websocket-protocol").unwrap_or_default();
    let mut offered = offered.split(',').map(str::trim);
    let found = offered.find_map(|offer| known.iter().find(|&&name| name == offer));
    let Some(&protocol) = found else {
        return Err(Refusal::new(403, "no subprotocol of these is known"));
    };
    let accept = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{SALT}").as_bytes());
    let mut response = text(101, "");
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-protocol", protocol),
        ("sec-websocket-accept", &BASE64_STANDARD.encode(accept)),
    ] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    Ok((response, hyper::upgrade::on(request), protocol))
}

/// Opens the socket that was agreed on; `None` if the client is gone.
pub(super) async fn open(upgrade: hyper::upgrade::OnUpgrade) -> Option<Socket> {
    let stream = TokioIo::new(upgrade.await.ok()?);
    let config = WebSocketConfig::default()
        .max_frame_size(Some(LARGEST))
        .max_message_size(Some(LARGEST));
    Some(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
}

fn field(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}
