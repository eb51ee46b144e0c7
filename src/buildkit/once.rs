//! A connector that hands over one stream, once.
//!
//! tonic asks its connector again after a connection died. The answer then is why it died,
//! and that answer is what every later call reports.

use std::sync::Mutex;
use std::task::{Context, Poll};

use http::Uri;
use tower::Service;

use super::io::Line;

/// The connection is gone, and no other will be made.
#[derive(Debug, thiserror::Error)]
#[error("the connection is gone: {0}")]
pub(super) struct Gone(String);

/// Makes the connector of `stream`, whose end is noted on `line`.
pub(super) fn once<S>(stream: S, line: Line) -> Once<S> {
    Once {
        stream: Mutex::new(Some(stream)),
        line,
    }
}

/// Hands over its stream at the first call.
pub(super) struct Once<S> {
    stream: Mutex<Option<S>>,
    line: Line,
}

impl<S> Service<Uri> for Once<S> {
    type Response = S;
    type Error = Gone;
    type Future = std::future::Ready<Result<S, Gone>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = self.stream.get_mut().ok().and_then(Option::take);
        let why = || {
            self.line
                .end()
                .unwrap_or_else(|| "it was closed".to_owned())
        };
        std::future::ready(stream.ok_or_else(|| Gone(why())))
    }
}
