//! The HTTP/1.1 exchange that turns a connection to a Docker engine into a byte stream.
//!
//! It is no upgrade as RFC 7540 has it: after the 101, both sides speak HTTP/2 from its
//! beginning. Bytes that came together with the 101 belong to the stream already.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join};
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::buildkit::io::ByteStream;

/// How much of an error's body is read; the engine's messages are one sentence.
const BODY_LIMIT: usize = 64 * 1024;

/// Why there was no HTTP answer.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// What the engine did.
pub(super) enum Answer {
    /// It said 101; the stream follows.
    Upgraded(ByteStream),
    /// It said something else.
    Refused(Refusal),
}

/// An answer that is no upgrade.
pub(super) struct Refusal {
    /// The status line's code.
    pub(super) status: StatusCode,
    message: String,
}

impl Refusal {
    /// Tells whether the engine does not know the path: engines without BuildKit and those
    /// that dropped the upgrade say 404, or 400 where a proxy filters the API.
    pub(super) fn is_unknown_path(&self) -> bool {
        matches!(self.status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if self.message.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.message)
    }
}

/// Makes the request for an upgrade at `path`.
pub(super) fn request(
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Request<Empty<Bytes>>, http::Error> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, host)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "h2c");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Empty::new())
}

/// Asks for an upgrade of `stream`.
pub(super) async fn upgrade(
    stream: ByteStream,
    request: Request<Empty<Bytes>>,
) -> Result<Answer, Failure> {
    exchange(stream, request, |response| async move {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = hyper::upgrade::on(response).await?;
            return Ok(Answer::Upgraded(Box::new(TokioIo::new(upgraded))));
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_LIMIT)
            .collect()
            .await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let message = message(&body);
        Ok(Answer::Refused(Refusal { status, message }))
    })
    .await
}

/// Asks the engine for the version of its API; `None` if it does not say.
pub(super) async fn ping(stream: ByteStream, host: &str) -> Result<Option<String>, Failure> {
    let request = Request::get("/_ping")
        .header(HOST, host)
        .body(Empty::new())?;
    let version = |response: Response<Incoming>| header(response.headers(), "api-version");
    exchange(stream, request, move |response| {
        std::future::ready(Ok(version(response)))
    })
    .await
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Sends one request and reads the answer while driving the connection, so that no task is
/// left behind.
async fn exchange<T, R>(
    stream: ByteStream,
    request: Request<Empty<Bytes>>,
    read: impl FnOnce(Response<Incoming>) -> R,
) -> Result<T, Failure>
where
    R: Future<Output = Result<T, Failure>>,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Boxed, since the compiler does not see through hyper's type that it is `Send`.
    let connection: BoxFuture<'static, _> = Box::pin(connection.with_upgrades());
    let answer = async move { read(sender.send_request(request).await?).await };
    join(connection, answer).await.1
}

/// The engine's errors are `{"message": …}`.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        message: String,
    }
    match serde_json::from_slice::<Body>(body) {
        Ok(body) => body.message,
        Err(_) => String::from_utf8_lossy(body)
            .trim()
            .chars()
            .take(200)
            .collect(),
    }
}
