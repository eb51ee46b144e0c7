//! One HTTP/1.1 request to an engine, and its answer.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::{Engine, EngineError};

/// The largest answer that is read whole, in bytes; `/info` has some ten thousand.
const BODY_LIMIT: usize = 4 << 20;
/// How much of an answer that is no message of the engine's is shown, in characters.
const SHOWN: usize = 200;

type Fault = Box<dyn std::error::Error + Send + Sync>;

impl Engine {
    /// Gets a small document.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, EngineError> {
        let request = Request::get(path)
            .header(HOST, &self.host)
            .body(Empty::<Bytes>::new());
        let request = request.map_err(|error| self.odd(error))?;
        self.exchange(request, |response| async { self.whole(response).await })
            .await
    }

    /// Sends a request and lets `read` read the answer, while the connection is driven; an answer
    /// that is no success is an error.
    pub(super) async fn exchange<B, T, R>(
        &self,
        request: Request<B>,
        read: impl FnOnce(Response<Incoming>) -> R,
    ) -> Result<T, EngineError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Fault>,
        R: Future<Output = Result<T, EngineError>>,
    {
        let stream = self.dial.dial().await;
        let stream = stream.map_err(|source| EngineError::Dial {
            engine: self.name.clone(),
            source: Box::new(source),
        })?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| self.odd(error))?;
        // Boxed, since the compiler does not see through hyper's type that it is `Send`.
        let mut connection: BoxFuture<'static, _> = Box::pin(connection);
        let answer = async move {
            let sent = sender.send_request(request).await;
            let response = sent.map_err(|error| self.odd(error))?;
            if response.status().is_success() {
                return read(response).await;
            }
            let status = response.status();
            let body = self.whole(response).await.unwrap_or_default();
            Err(self.refused(&match message(&body) {
                text if text.is_empty() => status.to_string(),
                text => text,
            }))
        };
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The answer may have come before the end; otherwise it says what happened.
            _ = &mut connection => answer.await,
        }
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, EngineError> {
        let body = Limited::new(response.into_body(), BODY_LIMIT).collect();
        let body = body.await.map_err(|error| self.odd(error))?;
        Ok(body.to_bytes())
    }

    pub(super) fn odd(&self, source: impl Into<Fault>) -> EngineError {
        EngineError::Odd {
            engine: self.name.clone(),
            source: source.into(),
        }
    }

    pub(super) fn refused(&self, message: &str) -> EngineError {
        EngineError::Refused {
            engine: self.name.clone(),
            message: message.chars().take(SHOWN * 5).collect(),
        }
    }
}

/// The engine's errors are `{"message": …}`.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_slice::<Message>(body) {
        Ok(body) => body.message,
        Err(_) => {
            let text = String::from_utf8_lossy(body);
            text.trim().chars().take(SHOWN).collect()
        }
    }
}
